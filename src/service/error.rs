//! Why a call has no result.

use std::borrow::Cow;
use std::time::Duration;

use crate::auth::challenge::Challenge;
use crate::protocol::capabilities::ClientCapability;
use crate::protocol::jsonrpc::ResponseError;
use crate::protocol::raw::RawJson;

/// What went wrong, as far as the client may know it. Details for operators are logged where the
/// error arises.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ServiceError {
    /// The service does not offer this method.
    #[error("method {0:?} is not available")]
    MethodNotFound(String),
    /// No tool of that name.
    #[error("unknown tool {0:?}")]
    UnknownTool(String),
    /// No prompt of that name.
    #[error("unknown prompt {0:?}")]
    UnknownPrompt(String),
    /// No resource at that URI.
    #[error("resource {uri:?} not found")]
    ResourceNotFound {
        /// The URI asked for.
        uri: String,
    },
    /// This tool is called as a task only (2025-11-25 basic/utilities/tasks).
    #[error("tool {0:?} must be called as a task")]
    NotATask(String),
    /// Calls of this tool are no tasks.
    #[error("tool {0:?} cannot be called as a task")]
    NoTasks(String),
    /// No task of that id, or not this caller's.
    #[error("unknown task")]
    UnknownTask,
    /// The parameters do not fit.
    #[error("invalid params: {0}")]
    InvalidParams(String),
    /// A `requestState` we did not issue for this, or whose time is over.
    #[error("invalid or expired requestState")]
    InvalidRequestState,
    /// The client did not declare what this needs.
    #[error("this needs the client capability {}", .0.name())]
    MissingCapability(ClientCapability),
    /// The call was given up at its deadline.
    #[error("the call did not end within its deadline")]
    DeadlineExceeded,
    /// The call was cancelled; nobody hears of it.
    #[error("the call was cancelled")]
    Cancelled,
    /// No room for it now.
    #[error("overloaded: {what}")]
    Overloaded {
        /// Which bound was met.
        what: &'static str,
        /// When to try again.
        retry_after: Duration,
    },
    /// More often than it may be called.
    #[error("{what}")]
    Limited {
        /// Which limit is in the way.
        what: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// The caller may know of it, and not do it; what is missing. To a call of a tool this is said by a
    /// result that failed.
    #[error("{0}")]
    Denied(String),
    /// The caller's credential lacks a scope; with another one the call may be made.
    #[error("this needs the scope {}", scopes(.0))]
    NeedsScopes(Challenge),
    /// It may or may not have taken effect, and nobody will ever know.
    #[error("the outcome of this call is unknown: {0}")]
    OutcomeUnknown(Cow<'static, str>),
    /// The upstream that should answer cannot be asked now; it was not. A call of a tool is told so
    /// by a result that failed, which a model can read.
    #[error("upstream `{upstream}` {why}; try again in {} s", seconds(*.retry_after))]
    Unavailable {
        /// Its name.
        upstream: String,
        /// Completes a sentence that begins with its name.
        why: Cow<'static, str>,
        /// When to try again.
        retry_after: Duration,
    },
    /// An error of an upstream, as the client's revision has it.
    #[error("{}", .0.message)]
    Upstream(ResponseError),
    /// A code of the tool's own.
    #[error("{message}")]
    Application {
        /// The code; outside the ranges JSON-RPC and MCP reserve.
        code: i64,
        /// What it says.
        message: String,
        /// Anything more.
        data: Option<RawJson>,
    },
    /// The result is larger than a message may be.
    #[error("the result has {bytes} bytes, more than the {max} a message may have")]
    ResultTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A fault of ours.
    #[error("internal error")]
    Internal,
}

impl ServiceError {
    /// A short fixed name, for metrics and logs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::MethodNotFound(_) => "method_not_found",
            Self::UnknownTool(_) => "unknown_tool",
            Self::UnknownPrompt(_) => "unknown_prompt",
            Self::ResourceNotFound { .. } => "resource_not_found",
            Self::NotATask(_) | Self::NoTasks(_) => "task_use",
            Self::UnknownTask => "unknown_task",
            Self::InvalidParams(_) => "invalid_params",
            Self::InvalidRequestState => "invalid_request_state",
            Self::MissingCapability(_) => "missing_capability",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Cancelled => "cancelled",
            Self::Overloaded { .. } => "overloaded",
            Self::Limited { .. } => "limited",
            Self::Denied(_) => "denied",
            Self::NeedsScopes(_) => "needs_scopes",
            Self::OutcomeUnknown(_) => "outcome_unknown",
            Self::Unavailable { .. } => "upstream_unavailable",
            Self::Upstream(_) => "upstream",
            Self::Application { .. } => "application",
            Self::ResultTooLarge { .. } => "result_too_large",
            Self::Internal => "internal",
        }
    }

    /// Whether the very same call may succeed later without having had an effect now.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Overloaded { .. }
                | Self::Unavailable { .. }
                | Self::Limited { .. }
                | Self::NeedsScopes(_)
        )
    }
}

fn scopes(challenge: &Challenge) -> String {
    let scopes = challenge.scopes.iter().map(|scope| format!("`{scope}`"));
    scopes.collect::<Vec<_>>().join(", ")
}

/// Whole seconds, at least one, in a text for people and models.
fn seconds(after: Duration) -> u64 {
    (after + Duration::from_millis(999)).as_secs().max(1)
}
