//! A server of the Rust SDK on standard input and output, in both eras.

#![allow(deprecated, reason = "asking a model is, since 2026-07-28")]

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, CreateMessageRequest,
    CreateMessageRequestParams, ElicitRequest, ElicitRequestParams, InputRequest, InputRequests,
    InputRequiredResult, ListToolsResult, PaginatedRequestParams, ProgressNotificationParam,
    ProtocolVersion, SamplingMessage, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer, ServiceError};
use rmcp::transport::stdio;
use rmcp::{ErrorData, ServerHandler, ServiceExt as _};
use serde_json::{Value, json};

#[derive(Clone)]
struct Desk;

fn text(said: impl Into<String>) -> CallToolResponse {
    CallToolResult::success(vec![ContentBlock::text(said.into())]).into()
}

fn failed(error: ServiceError) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}

fn form() -> ElicitRequestParams {
    let schema = json!({
        "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]
    });
    ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: "Who?".into(),
        requested_schema: serde_json::from_value(schema).expect("a form"),
    }
}

fn turn() -> CreateMessageRequestParams {
    CreateMessageRequestParams::new(vec![SamplingMessage::user_text("What?")], 20)
}

/// Asks a client without a session, which calls again with its answer.
fn ask(question: InputRequest) -> CallToolResponse {
    let mut asked = InputRequests::new();
    asked.insert("question".to_owned(), question);
    InputRequiredResult::from_input_requests(asked).into()
}

async fn count(context: &RequestContext<RoleServer>) -> Result<CallToolResponse, ErrorData> {
    if let Some(token) = context.meta.get_progress_token() {
        for at in 1..=3 {
            let progress = ProgressNotificationParam::new(token.clone(), f64::from(at));
            let told = context.peer.notify_progress(progress.with_total(3.0)).await;
            told.map_err(failed)?;
        }
    }
    Ok(text("three"))
}

impl ServerHandler for Desk {
    fn get_info(&self) -> ServerConfig {
        let mut info = ServerConfig::new(ServerCapabilities::builder().enable_tools().build());
        info.protocol_version = ProtocolVersion::V_2026_07_28;
        info
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = ["add", "count", "name", "think"].map(|name| {
            let schema = json!({"type": "object"}).as_object().cloned();
            Tool::new(name, "", schema.expect("an object"))
        });
        Ok(ListToolsResult::with_all_items(tools.to_vec()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let has_session = context.protocol_version() < Some(ProtocolVersion::V_2026_07_28);
        let answers = request.input_responses.unwrap_or_default();
        let answer = answers.get("question");
        match &*request.name {
            "add" => {
                let arguments = Value::Object(request.arguments.unwrap_or_default());
                let sum = arguments["a"].as_i64().zip(arguments["b"].as_i64());
                let (a, b) = sum.ok_or_else(|| ErrorData::invalid_params("a and b", None))?;
                Ok(text((a + b).to_string()))
            }
            "count" => count(&context).await,
            "name" if has_session => {
                let answer = context.peer.create_elicitation(form()).await;
                let content = answer.map_err(failed)?.content.unwrap_or_default();
                Ok(text(content["name"].as_str().unwrap_or("nobody")))
            }
            "name" => Ok(match answer {
                Some(answer) => text(answer["content"]["name"].as_str().unwrap_or("nobody")),
                None => ask(InputRequest::Elicitation(ElicitRequest::new(form()))),
            }),
            "think" if has_session => {
                let said = context.peer.create_message(turn()).await.map_err(failed)?;
                let said = json!(said);
                Ok(text(said["content"]["text"].as_str().unwrap_or("nothing")))
            }
            "think" => Ok(match answer {
                Some(answer) => text(answer["content"]["text"].as_str().unwrap_or("nothing")),
                None => ask(InputRequest::CreateMessage(CreateMessageRequest::new(
                    turn(),
                ))),
            }),
            other => Err(ErrorData::invalid_params(
                format!("unknown tool {other}"),
                None,
            )),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Desk.serve(stdio()).await?.waiting().await?;
    Ok(())
}
