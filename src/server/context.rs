//! What a handler knows of its call, and its way to the client.
//!
//! [`Context`] is cheap to clone and may be handed to other tasks. Questions to the client are in
//! [`super::ask`].
//!
//! Invariants: nothing is sent that the client did not ask for (progress without a token, log
//! lines below its level), and progress only moves forward.
//!
//! Spec: basic/utilities/progress and cancellation, server/utilities/logging.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handle::Handle;
use super::replay::Replay;
use crate::identity::{Caller, Principal};
use crate::protocol::capabilities::ClientCapability;
use crate::protocol::logging::LogLevel;
use crate::protocol::notification::{LogMessage, Progress, Quantity, ServerNotification};
use crate::protocol::raw::{self, RawJson};
use crate::protocol::version::{Era, ProtocolVersion};
use crate::service::{CallContext, Client, ServiceError};

/// A handler's view of its call. Cloning shares it.
///
/// ```
/// use std::time::Duration;
/// use switchboard::prelude::*;
///
/// let crawl = Tool::new("crawl", |ctx: Context, NoArguments {}| async move {
///     for page in 1..=20_u32 {
///         if ctx.is_cancelled() || ctx.deadline() < Duration::from_secs(1) {
///             return Ok(format!("stopped at page {page}"));
///         }
///         ctx.progress(page.into(), Some(20.0), Some("reading")).await;
///         ctx.log(LogLevel::Debug, None, format!("page {page} is read")).await;
///     }
///     Ok("read it all".to_owned())
/// });
/// ```
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    call: CallContext,
    server: Handle,
    replay: Replay,
    progress: Mutex<Option<f64>>,
    watches_cancel: AtomicBool,
}

impl Context {
    pub(super) fn new(call: CallContext, server: Handle, replay: Replay) -> Self {
        Self(Arc::new(Inner {
            call,
            server,
            replay,
            progress: Mutex::new(None),
            watches_cancel: AtomicBool::new(false),
        }))
    }

    /// Whose state the call may touch: the key of whatever a server keeps per caller.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        self.0.call.principal()
    }

    /// Who calls, with what they proved: tenant, roles, scopes, claims.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.0.call.caller
    }

    /// The revision it is spoken in.
    #[must_use]
    pub fn version(&self) -> ProtocolVersion {
        self.0.call.version
    }

    /// What the client can do and says it is.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0.call.client
    }

    /// Whether the client can be asked this. A handler that can do without asks here first:
    /// asking what the client cannot answer ends a call of the stateless era.
    #[must_use]
    pub fn client_can(&self, capability: ClientCapability) -> bool {
        let version = self.version();
        let expressible = match capability {
            ClientCapability::Sampling | ClientCapability::Roots => true,
            ClientCapability::Tasks => version.era() == Era::Stateless,
            ClientCapability::ElicitationForm => version >= ProtocolVersion::V2025_06_18,
            ClientCapability::ElicitationUrl | ClientCapability::SamplingTools => {
                version >= ProtocolVersion::V2025_11_25
            }
        };
        expressible && self.client().capabilities.has(capability)
    }

    /// The server that answers the call, to change what it offers or to announce changes.
    #[must_use]
    pub fn server(&self) -> &Handle {
        &self.0.server
    }

    /// The time left, not counting questions open now.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.0.call.deadline.remaining()
    }

    /// Waits until nobody wants the answer any more.
    ///
    /// A handler that never looks at its cancellation is dropped at its next await; one that
    /// looks has [`super::CANCEL_GRACE`] to end by itself.
    ///
    /// # Cancel safety
    /// May be dropped at any await.
    pub async fn cancelled(&self) {
        self.0.watches_cancel.store(true, Ordering::Relaxed);
        self.0.call.cancel.cancelled().await;
    }

    /// Whether nobody wants the answer any more; see [`Context::cancelled`].
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.watches_cancel.store(true, Ordering::Relaxed);
        self.0.call.cancel.is_cancelled()
    }

    /// Tells how far the work is. Goes nowhere if the client did not ask, if it is not further
    /// than before, or if it is no number.
    ///
    /// Waits while the client is slow, and now and then lets others run.
    pub async fn progress(&self, progress: f64, total: Option<f64>, message: Option<&str>) {
        let Some(token) = &self.0.call.progress_token else {
            return;
        };
        if !progress.is_finite() {
            return;
        }
        {
            let mut last = self
                .0
                .progress
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|last| progress <= last) {
                return;
            }
            *last = Some(progress);
        }
        let notification = ServerNotification::progress(&Progress {
            progress_token: token.clone(),
            progress: Quantity(progress),
            total: total.filter(|total| total.is_finite()).map(Quantity),
            message: message
                .filter(|_| self.version() >= ProtocolVersion::V2025_03_26)
                .map(ToOwned::to_owned),
        });
        self.0.call.outlet.notify(notification).await;
        tokio::task::consume_budget().await;
    }

    /// Sends a log line, if the client wants lines of this level.
    pub async fn log(&self, level: LogLevel, logger: Option<&str>, data: impl Serialize + Send) {
        if !self.0.call.outlet.wants_log(level) {
            return;
        }
        let Ok(data) = serde_json::to_value(data) else {
            return;
        };
        let notification = ServerNotification::log(&LogMessage {
            level,
            logger: logger.map(ToOwned::to_owned),
            data,
        });
        self.0.call.outlet.notify(notification).await;
    }

    /// Does `work` once, however often the handler is run: its result is kept with the answers.
    ///
    /// ```
    /// use switchboard::prelude::*;
    ///
    /// # async fn charge() -> Result<u64, ToolError> { Ok(1) }
    /// let buy = Tool::new("buy", |ctx: Context, NoArguments {}| async move {
    ///     let receipt: u64 = ctx.once("charge", charge()).await?;
    ///     // In the stateless era this question ends the run; the next one does not charge again.
    ///     let form = Form::new("Where to?").field("address", Field::string());
    ///     let answer = ctx.elicit("address", form).await?;
    ///     Ok(format!("{receipt} goes to {}", answer.text("address").unwrap_or("nobody")))
    /// });
    /// ```
    ///
    /// Only a result that is `Ok` is kept. The key is the handler's own name for this work. Once
    /// begun it is not cut by a question put beside it; it is cut when the call is cancelled.
    ///
    /// # Errors
    /// Whatever `work` failed with.
    pub async fn once<T, E, F>(&self, key: &str, work: F) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        F: Future<Output = Result<T, E>>,
    {
        if let Some(done) = self.0.replay.done(key) {
            match raw::decode_any(done.as_str()) {
                Ok(done) => return Ok(done),
                Err(error) => {
                    // Another version of this handler did it. Doing it again is not an option.
                    tracing::warn!(key, %error, "kept result has another shape");
                    self.0.replay.end(ServiceError::InvalidRequestState);
                    return std::future::pending().await;
                }
            }
        }
        let running = self.0.replay.begin_work();
        let result = work.await?;
        match serde_json::to_string(&result) {
            Ok(text) => self.0.replay.keep(key, RawJson::from_valid(text)),
            Err(error) => {
                tracing::error!(key, %error, "result cannot be kept");
                self.0.replay.end(ServiceError::Internal);
                return std::future::pending().await;
            }
        }
        drop(running);
        Ok(result)
    }

    /// Goes on as a task from here: the client gets a handle now and the result later. Returns
    /// whether it does; when the client cannot follow a task, or [`super::Tool::task`] does not
    /// say that calls may be tasks, the call goes on as it is.
    ///
    /// Questions put before this are rounds of the call; questions put after it belong to the
    /// task.
    pub async fn become_task(&self) -> bool {
        self.0.call.outlet.become_task().await
    }

    /// Whether the call goes on as a task.
    #[must_use]
    pub fn is_task(&self) -> bool {
        self.0.call.outlet.is_task()
    }

    /// Lets the client's connection go while the work goes on, where the revision can; the client
    /// comes back for the result.
    pub async fn release_connection(&self) {
        self.0.call.outlet.release_connection().await;
    }

    pub(super) fn call(&self) -> &CallContext {
        &self.0.call
    }

    pub(super) fn replay(&self) -> &Replay {
        &self.0.replay
    }

    pub(super) fn watches_cancel(&self) -> bool {
        self.0.watches_cancel.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Context").field(&self.0.call).finish()
    }
}
