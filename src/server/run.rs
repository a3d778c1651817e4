//! Running a handler until it is done, asks, or is given up.
//!
//! [`run`] polls a handler and looks at its replay after each poll: in the stateless era a handler
//! that waits for an answer will never be woken, so the round ends there. A panic is caught and
//! becomes an error of this call alone.
//!
//! Concurrency: the handler runs on the task of its caller and is dropped where it stands when the
//! call ends otherwise.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;

use super::context::Context;
use super::replay::{RoundError, Rounds};
use crate::protocol::jsonrpc::Params;
use crate::protocol::method::Method;
use crate::protocol::params::subject;
use crate::service::{Reply, ServiceError};

/// How long a handler that watches its cancellation may take to end by itself.
pub const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// How a handler's run ended.
pub(super) enum Ended<T> {
    /// It returned.
    Done(T),
    /// It asks its client.
    Asks(Reply),
    /// It asks, and cannot.
    Stuck(RoundError),
}

enum Step<T> {
    Done(std::thread::Result<T>),
    RoundOver,
    Refused(ServiceError),
}

/// Runs `handler`, which works for `ctx`, as the call `method` of `params`.
pub(super) async fn run<T>(
    ctx: &Context,
    rounds: &Rounds,
    method: &Method,
    params: &Params,
    handler: impl Future<Output = T> + Send,
) -> Result<Ended<T>, ServiceError> {
    let call = ctx.call();
    if call.cancel.is_cancelled() {
        return Err(ServiceError::Cancelled);
    }
    let mut handler = pin!(AssertUnwindSafe(handler).catch_unwind());
    let step = poll_fn(|cx| {
        ctx.replay().set_runner(cx.waker());
        let polled = handler.as_mut().poll(cx);
        if let Some(error) = ctx.replay().ended() {
            return Poll::Ready(Step::Refused(error));
        }
        match polled {
            Poll::Ready(done) => Poll::Ready(Step::Done(done)),
            Poll::Pending if ctx.replay().has_questions() => Poll::Ready(Step::RoundOver),
            Poll::Pending => Poll::Pending,
        }
    });
    let step = tokio::select! {
        // The handler comes first: what is ready at the deadline is still an answer.
        biased;
        step = step => step,
        () = unwanted(ctx) => return Err(ServiceError::Cancelled),
        () = call.deadline.passed() => return Err(ServiceError::DeadlineExceeded),
    };
    match step {
        Step::Done(Ok(done)) => Ok(Ended::Done(done)),
        Step::Done(Err(panic)) => {
            tracing::error!(
                %method,
                subject = subject(params),
                panic = panic_text(&*panic),
                "handler panicked"
            );
            Err(ServiceError::Internal)
        }
        Step::Refused(error) => Err(error),
        Step::RoundOver => Ok(match rounds.close(ctx.replay(), call, method, params) {
            Ok(reply) => Ended::Asks(reply),
            Err(error) => {
                tracing::warn!(%method, subject = subject(params), %error, "call cannot go on");
                Ended::Stuck(error)
            }
        }),
    }
}

/// Runs something that cannot ask its client, guarding against panics.
pub(super) async fn guarded<T>(
    method: &Method,
    params: &Params,
    work: impl Future<Output = T> + Send,
) -> Result<T, ServiceError> {
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .map_err(|panic| {
            tracing::error!(
                %method,
                subject = subject(params),
                panic = panic_text(&*panic),
                "handler panicked"
            );
            ServiceError::Internal
        })
}

/// Waits until nobody wants the answer, and the handler had its time to end by itself.
async fn unwanted(ctx: &Context) {
    ctx.call().cancel.cancelled().await;
    if ctx.watches_cancel() {
        tokio::time::sleep(CANCEL_GRACE).await;
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}
