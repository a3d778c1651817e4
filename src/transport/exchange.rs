//! From a running call to an HTTP answer: one JSON object if it comes fast and alone, otherwise an
//! event stream.
//!
//! A call is first polled on the worker that took the request, inside the main runtime's context.
//! If it ends within the grace without having said anything, its answer is one object and nothing
//! was spawned, queued or stored. When it says something first, or the grace is over, its
//! [`Line`] opens a stream: the call then moves to the main runtime and the response body reads
//! what it says.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::protocol::method::Method;
use crate::protocol::version::Era;
use crate::runtime::tasks::{TaskKind, Tasks};
use crate::service::event::EventReceiver;
use crate::service::{CallFuture, Deadline, Reply, ReplyKind, ServiceError};
use crate::session::event_log::StreamName;
use crate::telemetry::labels::Outcome;
use crate::telemetry::metrics::Metrics;

/// The stream of an exchange, as the body sees it.
#[derive(Debug)]
pub struct Opened {
    /// What it says.
    pub events: EventReceiver,
    /// Its name, where its events have ids.
    pub name: Option<StreamName>,
}

/// The way from a call, or a batch of calls, to the one HTTP answer they share.
pub trait Line: Send + Sync + 'static {
    /// Opens the stream, unless it is open. Goes on by itself once begun, polled or not.
    fn open(&self) -> BoxFuture<'_, ()>;

    /// Whether the stream is open.
    fn is_open(&self) -> bool;

    /// Runs the call to its end on the open stream and says its last messages.
    fn carry(self: Arc<Self>, call: BoxFuture<'static, Vec<ByteString>>) -> BoxFuture<'static, ()>;
}

/// What the exchange came to.
#[derive(Debug)]
pub enum Answered<T> {
    /// The call ended alone and in time.
    Alone(T),
    /// The call goes on; its answer is a stream.
    Streaming(Opened),
}

/// Runs `call` until it has ended or become a stream.
pub async fn run<T, L: Line>(
    call: BoxFuture<'static, T>,
    last_messages: impl FnOnce(T) -> Vec<ByteString> + Send + 'static,
    line: Arc<L>,
    mut opened: oneshot::Receiver<Opened>,
    grace: Duration,
    tasks: &Tasks,
) -> Answered<T>
where
    T: Send + 'static,
{
    // A call that waits on this worker is waited for when stopping, like one that has moved.
    let tracked = tasks.track();
    let mut call = tasks.inside(call);
    let mut ended = None;
    let mut stream = None;
    // Most calls end at once, and never come to need a timer.
    tokio::select! {
        biased;
        outcome = &mut call => {
            if !line.is_open() {
                return Answered::Alone(outcome);
            }
            ended = Some(outcome);
        }
        open = &mut opened => stream = open.ok(),
        () = tokio::time::sleep(grace) => {}
    }
    let rest: BoxFuture<'static, Vec<ByteString>> = match ended {
        Some(outcome) => Box::pin(std::future::ready(last_messages(outcome))),
        None => Box::pin(call.map(last_messages)),
    };
    let running = line.clone();
    tasks.spawn(TaskKind::Call, async move {
        // Opening never depends on the call being polled, so waiting for it first cannot lock up.
        running.open().await;
        running.carry(rest).await;
    });
    drop(tracked);
    let stream = match stream {
        Some(stream) => stream,
        None => opened
            .await
            .expect("invariant: an opened line hands over its stream"),
    };
    Answered::Streaming(stream)
}

/// Runs one call under its cancellation and its deadline, which was made when the call began, and
/// counts how it ended.
pub async fn bounded(
    mut call: CallFuture,
    cancel: CancellationToken,
    deadline: Deadline,
    method: Method,
    era: Era,
    metrics: Metrics,
) -> Result<Reply, ServiceError> {
    let running = metrics.running_call();
    let outcome = tokio::select! {
        biased;
        // Whatever a cancelled call still says: nobody hears it (basic/utilities/cancellation).
        outcome = &mut call => if cancel.is_cancelled() {
            Err(ServiceError::Cancelled)
        } else {
            outcome
        },
        () = cut_off(&cancel) => Err(ServiceError::Cancelled),
        () = deadline.passed() => {
            let said = tokio::time::timeout(LAST_WORD, call).await;
            said.unwrap_or(Err(ServiceError::DeadlineExceeded))
        }
    };
    drop(running);
    // Tells whatever the call left behind that nobody waits any more.
    cancel.cancel();
    metrics.request(&method, era, label(&outcome), deadline.elapsed());
    outcome
}

/// How long a call may say what was late, once it is. It has the same deadline, and its timer may fire a
/// moment after ours.
const LAST_WORD: Duration = Duration::from_millis(20);

/// How long a cancelled call may still run before it is dropped where it stands. A service that
/// cleans up decides for itself how long that takes; this is for one that does not end.
const CANCELLED_MAX: Duration = Duration::from_secs(10);

async fn cut_off(cancel: &CancellationToken) {
    cancel.cancelled().await;
    tokio::time::sleep(CANCELLED_MAX).await;
}

fn label(outcome: &Result<Reply, ServiceError>) -> Outcome {
    match outcome {
        Ok(reply) => match reply.kind {
            ReplyKind::Complete if reply.is_tool_error => Outcome::ToolError,
            ReplyKind::Complete | ReplyKind::Task => Outcome::Ok,
            ReplyKind::InputRequired => Outcome::InputRequired,
        },
        Err(ServiceError::Cancelled) => Outcome::Cancelled,
        Err(ServiceError::DeadlineExceeded) => Outcome::Deadline,
        Err(
            ServiceError::Overloaded { .. }
            | ServiceError::Unavailable { .. }
            | ServiceError::Limited { .. }
            | ServiceError::Denied(_)
            | ServiceError::NeedsScopes(_),
        ) => Outcome::Refused,
        Err(
            ServiceError::MethodNotFound(_)
            | ServiceError::UnknownTool(_)
            | ServiceError::UnknownPrompt(_)
            | ServiceError::NotATask(_)
            | ServiceError::NoTasks(_)
            | ServiceError::UnknownTask
            | ServiceError::ResourceNotFound { .. }
            | ServiceError::InvalidParams(_)
            | ServiceError::InvalidRequestState
            | ServiceError::MissingCapability(_)
            | ServiceError::OutcomeUnknown(_)
            | ServiceError::Upstream(_)
            | ServiceError::Application { .. }
            | ServiceError::ResultTooLarge { .. }
            | ServiceError::Internal,
        ) => Outcome::Error,
    }
}
