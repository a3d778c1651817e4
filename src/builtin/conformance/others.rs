//! Resources and prompts.

use serde::Deserialize;
use serde_json::json;

use super::PIXEL_PNG;
use crate::protocol::content::Content;
use crate::protocol::prompt::PromptMessage;
use crate::server::{
    Completer, Context, Field, Form, Prompt, Resource, ResourceTemplate, ServerBuilder,
};

pub(super) fn register(builder: ServerBuilder) -> ServerBuilder {
    let builder = prompts().into_iter().fold(builder, ServerBuilder::prompt);
    builder
        .resource(
            Resource::fixed(
                "test://static-text",
                "Static text",
                "This is the content of the static text resource.",
            )
            .description("A text.")
            .mime_type("text/plain"),
        )
        .resource(
            Resource::fixed("test://static-binary", "Static binary", PIXEL_PNG.to_vec())
                .description("An image.")
                .mime_type("image/png"),
        )
        .resource(
            Resource::fixed(
                "test://watched-resource",
                "Watched resource",
                "This resource can be subscribed to.",
            )
            .description("A text to subscribe to.")
            .mime_type("text/plain"),
        )
        .resource_template(
            ResourceTemplate::new(
                "test://template/{id}/data",
                "Template",
                |_, Record { id }| async move {
                    let data = format!("Data for ID: {id}");
                    Ok(json!({"id": id, "templateTest": true, "data": data}).to_string())
                },
            )
            .description("A record by its id.")
            .mime_type("application/json"),
        )
}

#[derive(Deserialize)]
struct Record {
    id: String,
}

fn prompts() -> [Prompt; 5] {
    [
        Prompt::new("test_simple_prompt", |_, _| async {
            Ok("This is a simple prompt for testing.")
        })
        .description("A text."),
        Prompt::new("test_prompt_with_arguments", |_, arguments| async move {
            Ok(format!(
                "Prompt with arguments: arg1='{}', arg2='{}'",
                arguments.get("arg1"),
                arguments.get("arg2")
            ))
        })
        .description("A text with things filled in.")
        .required("arg1", "First test argument")
        .required("arg2", "Second test argument")
        .complete("arg1", Completer::among(["test", "testing", "tester"])),
        Prompt::new(
            "test_prompt_with_embedded_resource",
            |_, arguments| async move {
                let text = "Embedded resource content for testing.";
                Ok(vec![
                    PromptMessage::user(Content::resource(
                        arguments.get("resourceUri"),
                        "text/plain",
                        text,
                    )),
                    PromptMessage::user(Content::text(
                        "Please process the embedded resource above.",
                    )),
                ])
            },
        )
        .description("A resource in place.")
        .required("resourceUri", "The URI the resource is shown under"),
        Prompt::new("test_prompt_with_image", |_, _| async {
            Ok(vec![
                PromptMessage::user(Content::image(PIXEL_PNG, "image/png")),
                PromptMessage::user(Content::text("Please analyze the image above.")),
            ])
        })
        .description("An image."),
        Prompt::new(
            "test_input_required_result_prompt",
            |ctx: Context, _| async move {
                let form = Form::new("What context should the prompt use?")
                    .field("context", Field::string());
                let answer = ctx.elicit("user_context", form).await?;
                Ok(format!(
                    "Use this context: {}",
                    answer.text("context").unwrap_or("none")
                ))
            },
        )
        .description("Asks the user before it is there."),
    ]
}
