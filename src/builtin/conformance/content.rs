//! Tools that show what a result can be made of.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::PIXEL_PNG;
use crate::protocol::content::Content;
use crate::protocol::logging::LogLevel;
use crate::server::{Context, NoArguments, Tool, ToolError};

/// Between two steps of a tool that tells how far it is.
const STEP: Duration = Duration::from_millis(50);

/// One sample of silence.
const SILENCE_WAV: &[u8] = b"RIFF\x26\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\
    \x02\0\x10\0data\x02\0\0\0\0\0";

pub(super) fn tools() -> Vec<Tool> {
    vec![
        simple("test_simple_text", "Gives a text.", || {
            vec![Content::text("This is a simple text response for testing.")]
        }),
        simple("test_image_content", "Gives an image.", || {
            vec![Content::image(PIXEL_PNG, "image/png")]
        }),
        simple("test_audio_content", "Gives a sound.", || {
            vec![Content::audio(SILENCE_WAV, "audio/wav")]
        }),
        simple(
            "test_embedded_resource",
            "Gives a resource in place.",
            || {
                vec![Content::resource(
                    "test://embedded-resource",
                    "text/plain",
                    "This is an embedded resource content.",
                )]
            },
        ),
        simple("test_multiple_content_types", "Gives one of each.", || {
            vec![
                Content::text("Multiple content types test:"),
                Content::image(PIXEL_PNG, "image/png"),
                Content::resource(
                    "test://mixed-content-resource",
                    "application/json",
                    r#"{"test":"data","value":123}"#,
                ),
            ]
        }),
        error_handling(),
        with_progress(),
        with_logging(),
        logging_tool(),
        json_schema_2020_12(),
        header_parameter(),
    ]
}

fn simple(name: &str, description: &str, content: fn() -> Vec<Content>) -> Tool {
    Tool::new(name, move |_, NoArguments {}| async move { Ok(content()) })
        .description(description)
        .read_only()
}

fn error_handling() -> Tool {
    Tool::new("test_error_handling", |_, NoArguments {}| async {
        Err::<String, _>(ToolError::new(
            "This tool intentionally returns an error for testing",
        ))
    })
    .description("Fails.")
}

fn with_progress() -> Tool {
    Tool::new(
        "test_tool_with_progress",
        |ctx: Context, NoArguments {}| async move {
            ctx.progress(0.0, Some(100.0), Some("Started")).await;
            sleep(STEP).await;
            ctx.progress(50.0, Some(100.0), Some("Half done")).await;
            sleep(STEP).await;
            ctx.progress(100.0, Some(100.0), Some("Done")).await;
            Ok("Tool execution with progress completed")
        },
    )
    .description("Tells how far it is.")
}

fn with_logging() -> Tool {
    Tool::new(
        "test_tool_with_logging",
        |ctx: Context, NoArguments {}| async move {
            ctx.log(LogLevel::Info, None, "Tool execution started")
                .await;
            sleep(STEP).await;
            ctx.log(LogLevel::Info, None, "Tool processing data").await;
            sleep(STEP).await;
            ctx.log(LogLevel::Info, None, "Tool execution completed")
                .await;
            Ok("Tool execution with logging completed")
        },
    )
    .description("Sends log lines while it runs.")
}

fn logging_tool() -> Tool {
    Tool::new(
        "test_logging_tool",
        |ctx: Context, NoArguments {}| async move {
            ctx.log(LogLevel::Info, None, "Logging tool called").await;
            Ok("Logging tool completed")
        },
    )
    .description("Sends a log line, if the request wants any.")
}

fn json_schema_2020_12() -> Tool {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            },
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {
            "properties": {"contactMethod": {"const": "phone"}},
            "required": ["contactMethod"],
        },
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false,
    });
    Tool::untyped(
        "json_schema_2020_12_tool",
        schema,
        |_, arguments| async move { Ok(format!("Arguments: {arguments}")) },
    )
    .description("Takes arguments of a schema that uses what is particular to 2020-12.")
}

fn header_parameter() -> Tool {
    let schema = json!({
        "type": "object",
        "properties": {
            "region": {
                "type": "string",
                "description": "Where to run.",
                "x-mcp-header": "Region",
            },
        },
    });
    Tool::untyped("test_x_mcp_header", schema, |_, arguments| async move {
        let region = arguments["region"].as_str().unwrap_or("nowhere");
        Ok(format!("Region: {region}"))
    })
    .description("Takes an argument that clients repeat as a header.")
}
