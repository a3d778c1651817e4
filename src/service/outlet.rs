//! The way from a running call to its client.

use std::fmt;

use futures_util::future::BoxFuture;

use crate::protocol::client_request::ClientRequest;
use crate::protocol::jsonrpc::ResponseError;
use crate::protocol::logging::LogLevel;
use crate::protocol::notification::ServerNotification;
use crate::protocol::raw::RawJson;

/// Where what a call says before its result goes. One per call, made by its transport.
pub trait Outlet: Send + Sync + fmt::Debug {
    /// Sends a notification that belongs to this call. Waits while the client is slow; returns
    /// when it is accepted for delivery, or the client is gone.
    fn notify(&self, notification: ServerNotification) -> BoxFuture<'_, ()>;

    /// Whether the client wants log messages of this level for this call.
    fn wants_log(&self, level: LogLevel) -> bool;

    /// Asks the client and waits for its answer. Session era only: in the stateless era a call
    /// ends with its questions instead ([`super::ReplyKind::InputRequired`]).
    fn ask(&self, request: ClientRequest) -> BoxFuture<'_, Result<RawJson, AskError>>;

    /// Lets the call go on as a task from here, if its client can follow one and the tool's
    /// [`super::TaskUse`] allows it. Returns whether it now is a task.
    fn become_task(&self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(self.is_task()))
    }

    /// Whether the call goes on as a task.
    fn is_task(&self) -> bool {
        false
    }

    /// Lets the client's connection go while the work goes on: the client comes back and polls.
    /// Does nothing where the revision or the transport has no such thing.
    fn release_connection(&self) -> BoxFuture<'_, ()>;
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The client answered with an error: its user refused, or it cannot.
    #[error("the client answered with error {}: {}", .0.code, .0.message)]
    Refused(ResponseError),
    /// Nobody answered in time.
    #[error("the client did not answer in time")]
    TimedOut,
    /// The session ended, the call was cancelled, or too many questions are open.
    #[error("the question cannot be put: {0}")]
    Impossible(&'static str),
}

/// An outlet for calls whose client hears nothing but the result.
#[derive(Clone, Copy, Debug)]
pub struct Quiet;

impl Outlet for Quiet {
    fn notify(&self, _: ServerNotification) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn wants_log(&self, _: LogLevel) -> bool {
        false
    }

    fn ask(&self, _: ClientRequest) -> BoxFuture<'_, Result<RawJson, AskError>> {
        Box::pin(std::future::ready(Err(AskError::Impossible(
            "this call has no way back to its client",
        ))))
    }

    fn release_connection(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
