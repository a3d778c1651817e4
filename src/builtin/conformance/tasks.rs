//! Tools whose calls are tasks.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::rounds::{ask_name, hello};
use crate::server::{Context, Field, Form, NoArguments, TaskUse, Tool, ToolError};
use crate::service::ServiceError;

pub(super) fn tools() -> Vec<Tool> {
    vec![
        greet(),
        slow_compute(),
        failing_job(),
        protocol_error_job(),
        confirm_delete(),
        multi_input(),
        asks_then_becomes_a_task(),
    ]
}

#[derive(Deserialize, JsonSchema)]
struct Greet {
    /// Who is greeted.
    name: String,
}

fn greet() -> Tool {
    Tool::new("greet", |_, Greet { name }| async move {
        Ok(format!("Hello, {name}!"))
    })
    .description("Greets; its calls are never tasks.")
    .task(TaskUse::forbidden())
}

#[derive(Deserialize, JsonSchema)]
struct SlowCompute {
    /// How long it takes.
    #[schemars(range(max = 600))]
    seconds: u32,
    /// Given back.
    #[serde(default)]
    label: String,
}

fn slow_compute() -> Tool {
    Tool::new("slow_compute", |_, arguments: SlowCompute| async move {
        let SlowCompute { seconds, label } = arguments;
        tokio::time::sleep(Duration::from_secs(seconds.into())).await;
        Ok(format!("{label}: computed for {seconds} s"))
    })
    .description("Takes its time.")
    .task(TaskUse::optional())
}

fn failing_job() -> Tool {
    Tool::new("failing_job", |_, NoArguments {}| async {
        Err::<String, _>(ToolError::new("This job always fails"))
    })
    .description("Fails, as a task.")
    .task(TaskUse::required())
}

fn protocol_error_job() -> Tool {
    Tool::new("protocol_error_job", |_, NoArguments {}| async {
        Err::<String, _>(ToolError::Service(ServiceError::Internal))
    })
    .description("Comes to no result at all, as a task.")
    .task(TaskUse::optional())
}

#[derive(Deserialize, JsonSchema)]
struct ConfirmDelete {
    /// What would be deleted.
    filename: String,
}

fn confirm_delete() -> Tool {
    Tool::new(
        "confirm_delete",
        |ctx: Context, ConfirmDelete { filename }| async move {
            let form = Form::new(format!("Delete {filename}?")).field("confirm", Field::boolean());
            let answer = ctx.elicit("confirm", form).await?.accepted();
            Ok(if answer.is_some_and(|answer| answer["confirm"] == true) {
                format!("Deleted {filename}")
            } else {
                format!("Kept {filename}")
            })
        },
    )
    .description("Asks before it pretends to delete, as a task.")
    .task(TaskUse::optional())
}

fn multi_input() -> Tool {
    Tool::new("multi_input", |ctx: Context, NoArguments {}| async move {
        let (first, second) = tokio::join!(
            ask_name(&ctx, "first", "Who comes first?"),
            ask_name(&ctx, "second", "Who comes second?"),
        );
        let accepted = [first?, second?]
            .iter()
            .filter(|answer| answer.text("name").is_some())
            .count();
        Ok(format!("{accepted} of 2 questions were answered"))
    })
    .description("Asks two things at once, as a task.")
    .task(TaskUse::optional())
}

fn asks_then_becomes_a_task() -> Tool {
    Tool::new(
        "test_tool_with_task",
        |ctx: Context, NoArguments {}| async move {
            let answer = ask_name(&ctx, "user_name", "What is your name?").await?;
            ctx.become_task().await;
            Ok(hello(&answer))
        },
    )
    .description("Asks as a call, then goes on as a task.")
    .task(TaskUse::on_demand())
}
