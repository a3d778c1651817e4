//! Answering each method from the catalog.
//!
//! One function per family of methods. They decode what the method takes, find what it is about,
//! run it ([`super::run`]) and write the result for the caller's revision.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::catalog::{Entry, Listed};
use super::complete::{Completable, Typed};
use super::context::Context;
use super::handle::Handle;
use super::outcome::ToolError;
use super::replay::Replay;
use super::run::{Ended, guarded, run};
use super::tool::RegisteredTool;
use crate::protocol::capabilities::ClientCapability;
use crate::protocol::completion::{
    CompleteParams, CompleteResult, Completion, CompletionReference,
};
use crate::protocol::content::{ResourceBody, ResourceContents};
use crate::protocol::jsonrpc::Params;
use crate::protocol::prompt::GetPromptParams;
use crate::protocol::raw::{RawJson, ShapeError};
use crate::protocol::resource::{ReadResourceParams, ReadResourceResult};
use crate::protocol::tool::{CallToolParams, TaskSupport, ToolResult};
use crate::protocol::version::{Era, ProtocolVersion};
use crate::service::{CacheHints, Call, CallContext, Reply, ServiceError};

/// A read of a resource that has begun.
type Reading = BoxFuture<'static, Result<ResourceBody, ServiceError>>;

fn invalid(error: &ShapeError) -> ServiceError {
    ServiceError::InvalidParams(error.to_string())
}

/// `tools/call`
pub(super) async fn call_tool(server: Handle, call: Call) -> Result<Reply, ServiceError> {
    let Call {
        method,
        params,
        context,
    } = call;
    let version = context.version;
    let decoded = CallToolParams::of(&params).map_err(|error| invalid(&error))?;
    let catalog = server.offer().catalog;
    let Some(tool) = catalog
        .tools
        .get(&decoded.name, &context.caller)
        .map(Arc::clone)
    else {
        return Err(ServiceError::UnknownTool(decoded.name.into_owned()));
    };
    let arguments: Value = match decoded.arguments {
        None => Value::Object(serde_json::Map::new()),
        Some(arguments) => crate::protocol::raw::decode::<serde_json::Map<_, _>>(arguments)
            .map(Value::Object)
            .map_err(|_| ServiceError::InvalidParams("`arguments` must be an object".into()))?,
    };
    if tool.task_use().support == TaskSupport::Required && !context.outlet.is_task() {
        match version {
            ProtocolVersion::V2026_07_28 => {
                return Err(ServiceError::MissingCapability(ClientCapability::Tasks));
            }
            ProtocolVersion::V2025_11_25 => {
                return Err(ServiceError::NotATask(decoded.name.into_owned()));
            }
            // These clients have no way to ask for a task, so they wait.
            ProtocolVersion::V2024_11_05
            | ProtocolVersion::V2025_03_26
            | ProtocolVersion::V2025_06_18 => {}
        }
    }
    let replay = match version.era() {
        Era::Stateless if decoded.is_retry => server.0.rounds.open(&context, &method, &params)?,
        Era::Stateless | Era::Session => Replay::default(),
    };
    let ctx = Context::new(context, server.clone(), replay);
    for needed in tool.needs() {
        if !ctx.client_can(*needed) {
            return match version.era() {
                Era::Stateless => Err(ServiceError::MissingCapability(*needed)),
                Era::Session => failed(
                    &tool,
                    &ctx,
                    format!("this tool needs the client capability {}", needed.name()),
                ),
            };
        }
    }
    if let Err(complaints) = tool.check_arguments(&arguments) {
        return invalid_arguments(&tool, &ctx, &complaints);
    }
    let handler = {
        let (tool, ctx) = (Arc::clone(&tool), ctx.clone());
        // Inside the future, so that a panic before the first await is caught too.
        async move { tool.start(ctx, arguments).await }
    };
    match run(&ctx, &server.0.rounds, &method, &params, handler).await? {
        Ended::Done(Ok(result)) => finished(&tool, &ctx, &result),
        Ended::Done(Err(ToolError::Failed(result))) => finished(
            &tool,
            &ctx,
            &ToolResult {
                is_error: true,
                ..result
            },
        ),
        Ended::Done(Err(ToolError::Arguments(complaint))) => {
            invalid_arguments(&tool, &ctx, &complaint)
        }
        Ended::Done(Err(ToolError::Service(error))) => Err(error),
        Ended::Asks(reply) => Ok(reply),
        Ended::Stuck(error) => failed(&tool, &ctx, error.to_string()),
    }
}

fn finished(
    tool: &RegisteredTool,
    ctx: &Context,
    result: &ToolResult,
) -> Result<Reply, ServiceError> {
    Ok(Reply {
        is_tool_error: result.is_error,
        ..Reply::complete(tool.finish(result, ctx.version())?)
    })
}

fn failed(tool: &RegisteredTool, ctx: &Context, text: String) -> Result<Reply, ServiceError> {
    finished(tool, ctx, &ToolResult::error(text))
}

fn invalid_arguments(
    tool: &RegisteredTool,
    ctx: &Context,
    complaints: &str,
) -> Result<Reply, ServiceError> {
    let text = format!("invalid arguments: {complaints}");
    if ctx.version().invalid_arguments_are_tool_errors() {
        failed(tool, ctx, text)
    } else {
        Err(ServiceError::InvalidParams(text))
    }
}

/// The replay of a call that may be a retry.
fn replay_of(server: &Handle, call: &Call) -> Result<Replay, ServiceError> {
    match call.context.version.era() {
        Era::Stateless => server
            .0
            .rounds
            .open(&call.context, &call.method, &call.params),
        Era::Session => Ok(Replay::default()),
    }
}

/// What a run of a prompt or a resource gave, whose failures are errors of the call.
fn ended<T>(
    ended: Ended<Result<T, ServiceError>>,
    write: impl FnOnce(T) -> Reply,
) -> Result<Reply, ServiceError> {
    match ended {
        Ended::Done(Ok(value)) => Ok(write(value)),
        Ended::Done(Err(error)) => Err(error),
        Ended::Asks(reply) => Ok(reply),
        Ended::Stuck(error) => Err(ServiceError::InvalidParams(error.to_string())),
    }
}

/// `prompts/get`
pub(super) async fn get_prompt(server: Handle, call: Call) -> Result<Reply, ServiceError> {
    let decoded: GetPromptParams = call.params.decode().map_err(|error| invalid(&error))?;
    let catalog = server.offer().catalog;
    let Some(prompt) = catalog
        .prompts
        .get(&decoded.name, &call.context.caller)
        .map(Arc::clone)
    else {
        return Err(ServiceError::UnknownPrompt(decoded.name));
    };
    let replay = replay_of(&server, &call)?;
    let arguments = prompt.check(decoded.arguments.unwrap_or_default())?;
    let version = call.context.version;
    let ctx = Context::new(call.context, server.clone(), replay);
    let handler = {
        let (prompt, ctx) = (Arc::clone(&prompt), ctx.clone());
        async move { prompt.start(ctx, arguments).await }
    };
    let run = run(&ctx, &server.0.rounds, &call.method, &call.params, handler).await?;
    ended(run, |messages| {
        Reply::complete(prompt.finish(messages, version))
    })
}

/// `resources/read`
pub(super) async fn read_resource(server: Handle, call: Call) -> Result<Reply, ServiceError> {
    let ReadResourceParams { uri } = call.params.decode().map_err(|error| invalid(&error))?;
    let catalog = server.offer().catalog;
    let replay = replay_of(&server, &call)?;
    let ctx = Context::new(call.context, server.clone(), replay);
    let (handler, mime_type, cache): (Reading, _, _) =
        if let Some(resource) = catalog.resources.get(&uri, ctx.caller()) {
            let (mime_type, cache) = (resource.mime_type().cloned(), resource.cache());
            let (resource, ctx) = (Arc::clone(resource), ctx.clone());
            let handler = Box::pin(async move { resource.start(ctx).await });
            (handler, mime_type, cache)
        } else if let Some((template, found)) = catalog
            .templates
            .seen_by(ctx.caller())
            .iter()
            .find_map(|template| template.find(&uri).map(|found| (template, found)))
        {
            let (mime_type, cache) = (template.mime_type().cloned(), template.cache());
            let (template, ctx) = (Arc::clone(template), ctx.clone());
            let handler = Box::pin(async move { template.start(ctx, found).await });
            (handler, mime_type, cache)
        } else {
            return Err(ServiceError::ResourceNotFound { uri });
        };
    let run = run(&ctx, &server.0.rounds, &call.method, &call.params, handler).await?;
    ended(run, |body| {
        let contents = ResourceContents {
            uri,
            mime_type,
            body,
        };
        Reply {
            cache: if ctx.replay().was_answered() {
                CacheHints::default()
            } else {
                cache
            },
            ..Reply::complete(RawJson::of(&ReadResourceResult {
                contents: vec![contents],
            }))
        }
    })
}

/// `completion/complete`
pub(super) async fn complete(server: Handle, call: Call) -> Result<Reply, ServiceError> {
    let decoded: CompleteParams = call.params.decode().map_err(|error| invalid(&error))?;
    let catalog = server.offer().catalog;
    let (argument, caller) = (decoded.argument, &call.context.caller);
    let completable = match &decoded.reference {
        CompletionReference::Prompt { name } => catalog
            .prompts
            .get(name, caller)
            .ok_or_else(|| ServiceError::UnknownPrompt(name.clone()))?
            .completable(&argument.name),
        CompletionReference::Resource { uri } => match catalog.templates.get(uri, caller) {
            Some(template) => template.completable(&argument.name),
            // A resource at a fixed URI has nothing to complete, but is no mistake either.
            None if catalog.resources.get(uri, caller).is_some() => Completable::Freely,
            None => {
                return Err(ServiceError::InvalidParams(format!(
                    "unknown resource template {uri:?}"
                )));
            }
        },
    };
    let values = match completable {
        Completable::Unknown => {
            return Err(ServiceError::InvalidParams(format!(
                "unknown argument {:?}",
                argument.name
            )));
        }
        Completable::Freely => Vec::new(),
        Completable::With(completer) => {
            let typed = Typed {
                value: argument.value,
                others: decoded.context.unwrap_or_default().arguments,
            };
            let completer = completer.clone();
            // Inside the future, so that a panic before the first await is caught too.
            let running = async move { completer.start(typed).await };
            guarded(&call.method, &call.params, running).await?
        }
    };
    Ok(Reply::complete(RawJson::of(&CompleteResult {
        completion: Completion::from(values),
    })))
}

/// The four lists.
pub(super) fn list(server: &Handle, call: &Call, list: List) -> Result<Reply, ServiceError> {
    let Call {
        params, context, ..
    } = call;
    let catalog = server.offer().catalog;
    match list {
        List::Tools => page(server, &catalog.tools, "tools", context, params),
        List::Prompts => page(server, &catalog.prompts, "prompts", context, params),
        List::Resources => page(server, &catalog.resources, "resources", context, params),
        List::Templates => page(
            server,
            &catalog.templates,
            "resourceTemplates",
            context,
            params,
        ),
    }
}

/// A page of what the caller sees of a list.
fn page<T: Entry>(
    server: &Handle,
    listed: &Listed<T>,
    member: &str,
    context: &CallContext,
    params: &Params,
) -> Result<Reply, ServiceError> {
    let listed = &*listed.seen_by(&context.caller);
    let cache = CacheHints {
        public: server.0.list_cache.public && !listed.is_restricted(),
        ..server.0.list_cache
    };
    server.0.pages.page(listed, member, context, params, cache)
}

/// Which list.
#[derive(Clone, Copy, Debug)]
pub(super) enum List {
    Tools,
    Prompts,
    Resources,
    Templates,
}
