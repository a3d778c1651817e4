//! Tools that ask the client in rounds, and others that only the stateless era has a use for.

use crate::protocol::capabilities::ClientCapability;
use crate::server::{
    Context, Elicited, Field, Form, NoAnswer, NoArguments, Prompt, Root, SampleRequest, Tool,
    ToolError,
};

pub(super) fn tools() -> Vec<Tool> {
    vec![
        missing_capability(),
        streaming_elicitation(),
        trigger_tool_change(),
        trigger_prompt_change(),
        elicitation(),
        sampling(),
        list_roots(),
        request_state(),
        multiple_inputs(),
        multi_round(),
        tampered_state(),
        capabilities(),
    ]
}

fn missing_capability() -> Tool {
    Tool::new("test_missing_capability", |_, NoArguments {}| async {
        Ok("The client declared sampling")
    })
    .description("Needs a client that can sample.")
    .needs(ClientCapability::Sampling)
}

fn streaming_elicitation() -> Tool {
    Tool::new(
        "test_streaming_elicitation",
        |ctx: Context, NoArguments {}| async move {
            ctx.progress(1.0, Some(2.0), Some("About to ask")).await;
            let answer = ask_name(&ctx, "user_name", "What is your name?").await?;
            Ok(hello(&answer))
        },
    )
    .description("Tells how far it is, then asks.")
}

/// A tool that comes and goes, so that the list changed and is the same again.
fn trigger_tool_change() -> Tool {
    Tool::new(
        "test_trigger_tool_change",
        |ctx: Context, NoArguments {}| async move {
            let name = "test_transient_tool";
            let transient = Tool::new(name, |_, NoArguments {}| async { Ok("Here for a moment") });
            ctx.server()
                .add_tool(transient)
                .map_err(|error| ToolError::internal(&error))?;
            ctx.server().remove_tool(name);
            Ok("The list of tools changed")
        },
    )
    .description("Changes the list of tools, and changes it back.")
}

fn trigger_prompt_change() -> Tool {
    Tool::new(
        "test_trigger_prompt_change",
        |ctx: Context, NoArguments {}| async move {
            let name = "test_transient_prompt";
            ctx.server()
                .add_prompt(Prompt::new(name, |_, _| async { Ok("Here for a moment") }));
            ctx.server().remove_prompt(name);
            Ok("The list of prompts changed")
        },
    )
    .description("Changes the list of prompts, and changes it back.")
}

fn elicitation() -> Tool {
    Tool::new(
        "test_input_required_result_elicitation",
        |ctx: Context, NoArguments {}| async move {
            let answer = ask_name(&ctx, "user_name", "What is your name?").await?;
            Ok(hello(&answer))
        },
    )
    .description("Asks the user one thing.")
}

fn sampling() -> Tool {
    Tool::new(
        "test_input_required_result_sampling",
        |ctx: Context, NoArguments {}| async move {
            let request = SampleRequest::new("What is the capital of France?").max_tokens(100);
            Ok(ctx.sample("capital_question", request).await?.text())
        },
    )
    .description("Asks the client's model one thing.")
}

fn list_roots() -> Tool {
    Tool::new(
        "test_input_required_result_list_roots",
        |ctx: Context, NoArguments {}| async move {
            Ok(format!(
                "Roots: {}",
                told(&ctx.roots("client_roots").await?)
            ))
        },
    )
    .description("Asks for the client's roots.")
}

fn request_state() -> Tool {
    Tool::new(
        "test_input_required_result_request_state",
        |ctx: Context, NoArguments {}| async move {
            let answer = confirm(&ctx).await?;
            Ok(format!("state-ok: {}", answer.action()))
        },
    )
    .description("Asks, and checks the state that comes back.")
}

fn multiple_inputs() -> Tool {
    Tool::new(
        "test_input_required_result_multiple_inputs",
        |ctx: Context, NoArguments {}| async move {
            let greeting = SampleRequest::new("Generate a greeting").max_tokens(50);
            let (name, greeting, roots) = tokio::join!(
                ask_name(&ctx, "user_name", "What is your name?"),
                ctx.sample("greeting", greeting),
                ctx.roots("client_roots"),
            );
            Ok(format!(
                "{} {} Roots: {}",
                hello(&name?),
                greeting?.text(),
                told(&roots?)
            ))
        },
    )
    .description("Asks three things at once.")
}

fn multi_round() -> Tool {
    Tool::new(
        "test_input_required_result_multi_round",
        |ctx: Context, NoArguments {}| async move {
            let name = ask_name(&ctx, "step1", "Step 1: What is your name?").await?;
            let form =
                Form::new("Step 2: What is your favorite color?").field("color", Field::string());
            let color = ctx.elicit("step2", form).await?;
            Ok(format!(
                "{} likes {}",
                name.text("name").unwrap_or("Somebody"),
                color.text("color").unwrap_or("no color")
            ))
        },
    )
    .description("Asks one thing after another.")
}

fn tampered_state() -> Tool {
    Tool::new(
        "test_input_required_result_tampered_state",
        |ctx: Context, NoArguments {}| async move {
            let answer = confirm(&ctx).await?;
            Ok(format!("Confirmed: {}", answer.action()))
        },
    )
    .description("Asks, and refuses a state it did not make.")
}

/// Asks whichever way the client declared, and never another.
fn capabilities() -> Tool {
    Tool::new(
        "test_input_required_result_capabilities",
        |ctx: Context, NoArguments {}| async move {
            if ctx.client_can(ClientCapability::Sampling) {
                let request = SampleRequest::new("Say something").max_tokens(50);
                return Ok(ctx.sample("model", request).await?.text());
            }
            let answer = ask_name(&ctx, "user_name", "What is your name?").await?;
            Ok(hello(&answer))
        },
    )
    .description("Asks only what the client can answer.")
}

pub(super) async fn ask_name(
    ctx: &Context,
    key: &str,
    message: &str,
) -> Result<Elicited, NoAnswer> {
    let form = Form::new(message).field("name", Field::string());
    ctx.elicit(key, form).await
}

async fn confirm(ctx: &Context) -> Result<Elicited, NoAnswer> {
    let form = Form::new("Please confirm").field("ok", Field::boolean());
    ctx.elicit("confirm", form).await
}

pub(super) fn hello(answer: &Elicited) -> String {
    match answer.text("name") {
        Some(name) => format!("Hello, {name}!"),
        None => format!("No name: {}", answer.action()),
    }
}

fn told(roots: &[Root]) -> String {
    roots
        .iter()
        .map(|root| root.name.as_deref().unwrap_or(&root.uri))
        .collect::<Vec<_>>()
        .join(", ")
}
