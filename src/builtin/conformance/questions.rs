//! Tools that ask the client while it waits, or let it go and finish without it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::server::{Context, Elicited, Field, Form, NoArguments, SampleRequest, Tool};

pub(super) fn tools() -> Vec<Tool> {
    vec![
        sampling(),
        elicitation(),
        elicitation_defaults(),
        elicitation_enums(),
        reconnection(),
    ]
}

#[derive(Deserialize, JsonSchema)]
struct Sampling {
    /// What to ask the model.
    prompt: String,
}

fn sampling() -> Tool {
    Tool::new(
        "test_sampling",
        |ctx: Context, Sampling { prompt }| async move {
            let request = SampleRequest::new(prompt).max_tokens(100);
            let answer = ctx.sample("sampling", request).await?;
            Ok(format!("LLM response: {}", answer.text()))
        },
    )
    .description("Asks the client's model.")
}

#[derive(Deserialize, JsonSchema)]
struct Elicitation {
    /// What to ask the user.
    message: String,
}

fn elicitation() -> Tool {
    Tool::new(
        "test_elicitation",
        |ctx: Context, Elicitation { message }| async move {
            let form = Form::new(message)
                .field("username", Field::string().description("User's response"))
                .field("email", Field::string().description("User's email address"));
            let answer = ctx.elicit("elicitation", form).await?;
            let (action, content) = told(answer);
            Ok(format!("User response: {action}, content: {content}"))
        },
    )
    .description("Asks the user.")
}

fn elicitation_defaults() -> Tool {
    Tool::new(
        "test_elicitation_sep1034_defaults",
        |ctx: Context, NoArguments {}| async move {
            let status = Field::choice(["active", "inactive", "pending"]);
            let form = Form::new("Please review and update the form fields with defaults")
                .optional("name", Field::string().default_value("John Doe"))
                .optional("age", Field::integer().default_value(30))
                .optional("score", Field::number().default_value(95.5))
                .optional("status", status.default_value("active"))
                .optional("verified", Field::boolean().default_value(true));
            Ok(completed(ctx.elicit("defaults", form).await?))
        },
    )
    .description("Asks the user with something filled in already.")
}

fn elicitation_enums() -> Tool {
    Tool::new(
        "test_elicitation_sep1330_enums",
        |ctx: Context, NoArguments {}| async move {
            let titles = [
                ("value1", "First Option"),
                ("value2", "Second Option"),
                ("value3", "Third Option"),
            ];
            let names = [
                ("opt1", "Option One"),
                ("opt2", "Option Two"),
                ("opt3", "Option Three"),
            ];
            let choices = [
                ("value1", "First Choice"),
                ("value2", "Second Choice"),
                ("value3", "Third Choice"),
            ];
            let options = ["option1", "option2", "option3"];
            let form = Form::new("Please select options from the enum fields")
                .optional("untitledSingle", Field::choice(options))
                .optional("titledSingle", Field::titled_choice(titles))
                .optional("legacyEnum", Field::named_choice(names))
                .optional("untitledMulti", Field::choices(options))
                .optional("titledMulti", Field::titled_choices(choices));
            Ok(completed(ctx.elicit("enums", form).await?))
        },
    )
    .description("Asks the user to choose, in every way there is.")
}

fn completed(answer: Elicited) -> String {
    let (action, content) = told(answer);
    format!("Elicitation completed: action={action}, content={content}")
}

fn told(answer: Elicited) -> (&'static str, Value) {
    let action = answer.action();
    (action, Value::Object(answer.accepted().unwrap_or_default()))
}

fn reconnection() -> Tool {
    Tool::new(
        "test_reconnection",
        |ctx: Context, NoArguments {}| async move {
            ctx.release_connection().await;
            // Long enough for the client to notice that it was let go before there is a result.
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok("Reconnection test completed successfully")
        },
    )
    .description("Lets the client's connection go before it has a result.")
}
