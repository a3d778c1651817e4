//! The seam between those who carry requests and those who answer them: request in, result out.
//!
//! A transport builds a [`Call`] and hands it to a [`Service`]; the library ([`crate::server`])
//! answers from this process, a gateway from upstreams. While it runs, a call reaches its client
//! through its [`Outlet`]: progress, log lines and questions. What changes over time reaches
//! clients through a [`changes::Watch`]. What services list they give in [`pages`].
//!
//! It does not know HTTP, sessions or stores; and errors leave here as [`ServiceError`], without a
//! status or a JSON-RPC code (those are given in `transport/reply.rs`).
//!
//! Concurrency: a [`CallFuture`] is `Send`. It may be polled first where it arrived and later on
//! the main runtime; it ends when dropped, and should end soon after its
//! [`CallContext::cancel`] fires.

mod call;
mod catalog;
pub mod changes;
mod credential;
mod deadline;
mod error;
pub mod event;
mod ongoing;
mod outlet;
pub mod pages;
mod task_use;
mod visit;

pub use call::{Call, CallContext, Client, SessionKey};
pub use catalog::{Canonical, EntryKind, Sees};
pub use credential::CallerToken;
pub use deadline::Deadline;
pub use error::ServiceError;
pub use ongoing::{Held, Ongoing};
pub use outlet::{AskError, Outlet, Quiet};
pub use task_use::{TaskStart, TaskUse};
pub use visit::Visit;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::identity::Caller;
use crate::protocol::capabilities::ServerCapabilities;
use crate::protocol::client_request::ClientRequest;
use crate::protocol::encode;
use crate::protocol::icon::Icon;
use crate::protocol::lifecycle::Implementation;
use crate::protocol::notification::ServerNotification;
use crate::protocol::param_headers::HeaderParams;
use crate::protocol::raw::RawJson;
use crate::protocol::subscription::{Change, SubscriptionFilter};
use crate::protocol::tool::ToolResult;
use crate::protocol::version::ProtocolVersion;
use changes::{CatalogDigest, Elsewhere, PassOn, Watch};

/// A running call.
pub type CallFuture = Pin<Box<dyn Future<Output = Result<Reply, ServiceError>> + Send>>;

/// Something that answers requests.
pub trait Service: Send + Sync + 'static {
    /// Who it is and what it offers, to this caller.
    fn describe(&self, caller: &Caller) -> Arc<Description>;

    /// Answers one of the methods that are the service's to answer: `tools/*`, `resources/list`,
    /// `resources/templates/list`, `resources/read`, `prompts/*`, `completion/complete`.
    fn call(&self, call: Call) -> CallFuture;

    /// Which arguments of `tool` a stateless client must repeat as headers.
    fn header_params(&self, caller: &Caller, tool: &str) -> Option<Arc<HeaderParams>>;

    /// How calls of `tool` may go on as tasks; `None` when there is no such tool.
    fn task_use(&self, caller: &Caller, tool: &str) -> Option<TaskUse>;

    /// Whether calling `tool` again with the same arguments is trusted to do no harm. What its
    /// definition says to clients is no ground for that.
    fn is_idempotent(&self, _caller: &Caller, _tool: &str) -> bool {
        false
    }

    /// A digest of each list as this caller sees it, of what `sees` lets them see.
    fn catalog_digest(&self, caller: &Caller, sees: Sees<'_>) -> CatalogDigest;

    /// What rules call the tool or prompt that clients know by that name, and whose it is; `None` for
    /// what is not of another server, or not there.
    fn canonical(&self, _: EntryKind, _shown: &str) -> Option<Canonical> {
        None
    }

    /// Whether it lists a tool or prompt by that name; what it does not is a client's own word. URIs
    /// always are.
    fn lists(&self, _: &Caller, _: EntryKind, _shown: &str) -> bool {
        false
    }

    /// Starts to watch what `filter` asks for, as far as it can be watched.
    fn watch(
        &self,
        caller: &Arc<Caller>,
        filter: SubscriptionFilter,
    ) -> BoxFuture<'static, Result<Watch, ServiceError>>;

    /// How a change is told in `version`; `None` when there is nothing to tell any more.
    fn tell(
        &self,
        _: &Caller,
        _: ProtocolVersion,
        change: &Change,
    ) -> BoxFuture<'static, Option<ServerNotification>> {
        Box::pin(std::future::ready(change.notification()))
    }

    /// A session has ended: what is kept for it here can go.
    fn let_go(&self, _: &SessionKey) {}

    /// Passes on what it announces from now on, to be announced by the same service on other
    /// nodes. Asked once, and only where there may be other nodes.
    fn pass_on_to(&self, _: PassOn) {}

    /// Announces here what happened to the same service on other nodes.
    fn hear(&self, _: &Elsewhere) {}
}

/// What a service says of itself.
#[derive(Clone, Debug)]
pub struct Description {
    /// Its name and version.
    pub info: Implementation,
    /// The same as JSON: it stands in every result of the stateless era, so without pictures.
    pub info_json: RawJson,
    /// Pictures of it; from 2025-11-25.
    pub icons: Vec<Icon>,
    /// What it offers.
    pub capabilities: ServerCapabilities,
    /// How a model should use it.
    pub instructions: Option<String>,
}

impl Description {
    /// A description.
    #[must_use]
    pub fn new(
        info: Implementation,
        capabilities: ServerCapabilities,
        instructions: Option<String>,
    ) -> Self {
        Self {
            info_json: RawJson::of(&info),
            info,
            icons: Vec::new(),
            capabilities,
            instructions,
        }
    }

    /// The same with pictures.
    #[must_use]
    pub fn with_icons(mut self, icons: &[Icon]) -> Self {
        self.icons = icons.to_vec();
        self
    }

    /// Who it is, for a client that asks once: with pictures, where `version` knows them.
    #[must_use]
    pub fn introduction(&self, version: ProtocolVersion) -> RawJson {
        #[derive(serde::Serialize)]
        struct Introduction<'a> {
            #[serde(flatten)]
            info: &'a Implementation,
            icons: &'a [Icon],
        }
        if self.icons.is_empty() || version < ProtocolVersion::V2025_11_25 {
            return self.info_json.clone();
        }
        RawJson::of(&Introduction {
            info: &self.info,
            icons: &self.icons,
        })
    }
}

/// A result on its way to the client. Each era writes its own envelope around it.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Whether the work is done.
    pub kind: ReplyKind,
    /// The members of the result but for `_meta`, an object.
    pub members: RawJson,
    /// The result's own `_meta`, an object.
    pub meta: Option<RawJson>,
    /// How long it may be kept; written on cacheable results of the stateless era.
    pub cache: CacheHints,
    /// Whether it is the result of a tool that failed (`isError`), for whoever counts.
    pub is_tool_error: bool,
}

impl Reply {
    /// A finished result without metadata.
    #[must_use]
    pub fn complete(members: RawJson) -> Self {
        Self {
            kind: ReplyKind::Complete,
            members,
            meta: None,
            cache: CacheHints::default(),
            is_tool_error: false,
        }
    }

    /// What a tool gives back, for whoever answers in a tool's place.
    #[must_use]
    pub fn tool(result: &ToolResult, version: ProtocolVersion) -> Self {
        Self {
            is_tool_error: result.is_error,
            ..Self::complete(result.to_wire(version, false))
        }
    }

    /// Questions that must be answered before the work can go on; stateless era only.
    #[must_use]
    pub fn input_required(requests: &[(String, ClientRequest)], state: Option<String>) -> Self {
        let mut members = Vec::new();
        if !requests.is_empty() {
            let mut questions = String::from(r#""inputRequests":{"#);
            for (at, (key, request)) in requests.iter().enumerate() {
                questions.push_str(if at == 0 { "" } else { "," });
                encode::push_string(&mut questions, key);
                questions.push(':');
                questions.push_str(request.to_json().as_str());
            }
            questions.push('}');
            members.push(questions);
        }
        if let Some(state) = state {
            let mut member = String::from(r#""requestState":"#);
            encode::push_string(&mut member, &state);
            members.push(member);
        }
        let members = RawJson::from_valid(format!("{{{}}}", members.join(",")));
        Self {
            kind: ReplyKind::InputRequired,
            ..Self::complete(members)
        }
    }
}

/// Whether a result ends its request's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// It does.
    Complete,
    /// The client must answer questions and ask again.
    InputRequired,
    /// The work goes on as a task; stateless era only.
    Task,
}

impl ReplyKind {
    /// The value of `resultType`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::InputRequired => "input_required",
            Self::Task => "task",
        }
    }
}

/// How long a result stays true, and for whom (2026-07-28 server/utilities/caching).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CacheHints {
    /// Milliseconds it may be reused; 0 = ask again.
    pub ttl_ms: u64,
    /// Whether everybody would have got the same.
    pub public: bool,
}

impl CacheHints {
    /// What holds of something made of two parts.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            ttl_ms: self.ttl_ms.min(other.ttl_ms),
            public: self.public && other.public,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::client_request::ClientRequestKind;

    #[test]
    fn a_result_that_asks_has_its_questions_in_order_and_its_state() {
        let roots = |params: &str| ClientRequest {
            kind: ClientRequestKind::ListRoots,
            params: RawJson::from_valid(params.to_owned()),
        };
        let asked = [
            ("z\"".to_owned(), roots(r#"{"b":1,"a":2}"#)),
            ("a".to_owned(), roots("{}")),
        ];
        for (asked, state, members) in [
            (
                &asked[..],
                None,
                r#"{"inputRequests":{"z\"":{"method":"roots/list","params":{"b":1,"a":2}},"a":{"method":"roots/list","params":{}}}}"#,
            ),
            (
                &asked[1..],
                Some("s\"".to_owned()),
                r#"{"inputRequests":{"a":{"method":"roots/list","params":{}}},"requestState":"s\""}"#,
            ),
            (&[], Some("s".to_owned()), r#"{"requestState":"s"}"#),
        ] {
            let reply = Reply::input_required(asked, state);
            assert_eq!(reply.members.as_str(), members);
            assert_eq!(reply.kind, ReplyKind::InputRequired);
        }
    }
}
