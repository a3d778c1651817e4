//! Calls as a whole, against servers of a few tools.
//!
//! [`Caller`] is a client with a recording outlet: it calls a server and looks at the reply. Each
//! file here asks about one family of behaviour.

mod errors;
mod lists;
mod middleware;
mod rounds;
mod sessions;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::protocol::capabilities::ClientCapabilities;
use crate::protocol::client_request::ClientRequest;
use crate::protocol::jsonrpc::{Params, ProgressToken, RequestId};
use crate::protocol::logging::LogLevel;
use crate::protocol::notification::ServerNotification;
use crate::protocol::raw::RawJson;
use crate::protocol::version::ProtocolVersion;
use crate::runtime::clock::{Clock, Timestamp};
use crate::runtime::seal::ClusterKeys;
use crate::service::{AskError, CallContext, Client, Deadline, Ongoing, Outlet, Reply, ReplyKind};

/// Everything a client can declare.
fn everything() -> Value {
    json!({"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}})
}

/// An outlet that writes down what it is given and answers from a list.
#[derive(Debug, Default)]
struct Recorder {
    heard: Mutex<Vec<(String, Value)>>,
    asked: Mutex<Vec<Value>>,
    answers: Mutex<VecDeque<Value>>,
    log_from: Option<LogLevel>,
}

impl Outlet for Recorder {
    fn notify(&self, notification: ServerNotification) -> BoxFuture<'_, ()> {
        let heard = (
            notification.method.to_owned(),
            notification.params.to_value(),
        );
        self.heard.lock().unwrap().push(heard);
        Box::pin(std::future::ready(()))
    }

    fn wants_log(&self, level: LogLevel) -> bool {
        self.log_from.is_some_and(|from| level >= from)
    }

    fn ask(&self, request: ClientRequest) -> BoxFuture<'_, Result<RawJson, AskError>> {
        self.asked
            .lock()
            .unwrap()
            .push(request.to_json().to_value());
        let answer = self.answers.lock().unwrap().pop_front();
        let answer = answer.map_or(Err(AskError::TimedOut), |answer| Ok(RawJson::of(&answer)));
        Box::pin(std::future::ready(answer))
    }

    fn release_connection(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A client.
#[derive(Clone)]
struct Caller {
    server: Server,
    version: ProtocolVersion,
    principal: &'static str,
    endpoint: &'static str,
    capabilities: Value,
    outlet: Arc<Recorder>,
    cancel: CancellationToken,
    deadline: Duration,
}

impl Caller {
    fn new(server: &Server, version: ProtocolVersion) -> Self {
        Self {
            server: server.clone(),
            version,
            principal: "alice",
            endpoint: "main",
            capabilities: everything(),
            outlet: Arc::default(),
            cancel: CancellationToken::new(),
            deadline: Duration::from_secs(60),
        }
    }

    fn stateless(server: &Server) -> Self {
        Self::new(server, ProtocolVersion::V2026_07_28)
    }

    fn session(server: &Server) -> Self {
        Self::new(server, ProtocolVersion::V2025_11_25)
    }

    fn answering(self, answers: impl IntoIterator<Item = Value>) -> Self {
        self.outlet.answers.lock().unwrap().extend(answers);
        self
    }

    async fn call(&self, method: &str, params: Value) -> Result<Reply, ServiceError> {
        let capabilities = ClientCapabilities::parse(RawJson::of(&self.capabilities)).unwrap();
        let call = Call {
            method: Method::parse(method),
            params: Params::new(RawJson::of(&params)),
            context: CallContext {
                caller: Arc::new(crate::identity::Caller::known_as(self.principal)),
                origin: Arc::default(),
                credential: None,
                session: None,
                endpoint: self.endpoint.into(),
                version: self.version,
                client: Arc::new(Client {
                    capabilities,
                    info: None,
                }),
                progress_token: Some(ProgressToken(RequestId::Number(1))),
                cancel: self.cancel.clone(),
                deadline: Deadline::after(self.deadline),
                outlet: Arc::<Recorder>::clone(&self.outlet),
                ongoing: Ongoing::default(),
            },
        };
        self.server.call(call).await
    }

    async fn tool(&self, name: &str, arguments: Value) -> Result<Reply, ServiceError> {
        let params = json!({"name": name, "arguments": arguments});
        self.call("tools/call", params).await
    }

    /// Calls a tool again with answers and the state of an earlier reply.
    async fn retry(
        &self,
        name: &str,
        earlier: &Reply,
        answers: Value,
    ) -> Result<Reply, ServiceError> {
        let params = json!({"name": name, "arguments": {}, "inputResponses": answers,
                            "requestState": state(earlier)});
        self.call("tools/call", params).await
    }
}

fn manual_clock() -> Clock {
    Clock::manual(Timestamp(1_000_000))
}

fn one_tool(tool: Tool) -> Server {
    Server::builder("test", "1")
        .clock(manual_clock())
        .tool(tool)
        .build(&ClusterKeys::generate())
        .unwrap()
}

/// The first text of a finished result.
#[track_caller]
fn text(reply: &Reply) -> String {
    assert_eq!(
        reply.kind,
        ReplyKind::Complete,
        "{}",
        reply.members.as_str()
    );
    let members = reply.members.to_value();
    members["content"][0]["text"].as_str().unwrap().to_owned()
}

/// The text of a tool's failure.
#[track_caller]
fn failure(reply: &Reply) -> String {
    assert_eq!(reply.members.to_value()["isError"], true);
    text(reply)
}

/// The keys a reply asks for.
#[track_caller]
fn questions(reply: &Reply) -> Vec<String> {
    assert_eq!(
        reply.kind,
        ReplyKind::InputRequired,
        "{}",
        reply.members.as_str()
    );
    let members = reply.members.to_value();
    members["inputRequests"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}

#[track_caller]
fn state(reply: &Reply) -> String {
    reply.members.to_value()["requestState"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn name_form() -> Form {
    Form::new("Who?").field("name", Field::string())
}

fn accepted(name: &str) -> Value {
    json!({"action": "accept", "content": {"name": name}})
}
