//! Calls that are made once, however often their client sends them.
//!
//! A client that cannot know whether its `tools/call` was run gives it an idempotency key
//! ([`crate::protocol::meta::IDEMPOTENCY_KEY`]) and sends it again with the same: [`OnceService`],
//! which stands before all else that answers an endpoint's calls, lets the first one run and gives
//! every other what came of it, at any node and after a restart. A key belongs to its principal,
//! endpoint and tool, and is kept for a day from its first use. A call without one passes by.
//!
//! | the key was used | the call is answered |
//! |---|---|
//! | never, or the call ended with questions | by running it |
//! | and the call runs, here or elsewhere | when that one has ended |
//! | and the call has ended | as that one was: a result, an error, the handle of a task |
//! | with other arguments | -32602 |
//! | and the node that ran it is gone, or it was cut off | *outcome unknown* |
//! | and the result was too large to keep | with an error that says so |
//!
//! What a round of questions holds is no outcome: the client calls again, with answers and the same
//! key. Nor is a refusal for want of room.
//!
//! Cancelling the request that runs the call, from whichever node, cancels it for all: a tool that
//! ends by itself then has come to something, which is kept; one that is cut off has not, and nobody
//! knows how far it came. A node that was taken for dead while it ran the call says what has been said
//! in its place. Cancelled before it ran, the call may be made again. A request that only
//! waits for the call can be given up without consequence.
//!
//! It does not make a tool's effects happen once across crashes: what a run had done before its node
//! died nobody knows, and *unknown* is what its client hears, never a second run.
//!
//! Invariants:
//! - Nothing runs under a key before the store has it, and nothing is run under it again.
//! - The first end is the end.

mod calls;
mod kept;
mod record;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub use calls::{Calls, Parts};
use calls::{Claimed, Name, Standing};
use record::End;

use crate::identity::Caller;
use crate::protocol::meta;
use crate::protocol::method::Method;
use crate::protocol::notification::ServerNotification;
use crate::protocol::param_headers::HeaderParams;
use crate::protocol::subscription::{Change, SubscriptionFilter};
use crate::protocol::version::ProtocolVersion;
use crate::runtime::tasks::TaskKind;
use crate::service::changes::{CatalogDigest, Elsewhere, PassOn, Watch};
use crate::service::{
    Call, CallFuture, Canonical, Description, EntryKind, Reply, Sees, Service, ServiceError,
    SessionKey, TaskUse,
};

/// How long a cancelled run may take to end by itself before it is dropped where it stands.
const CANCELLED_MAX: Duration = Duration::from_secs(10);

/// See the module docs. Cloning shares it.
#[derive(Clone)]
pub struct OnceService {
    inner: Arc<dyn Service>,
    calls: Arc<Calls>,
}

impl OnceService {
    /// Lets calls with a key be made once before `inner` answers them.
    #[must_use]
    pub fn before(inner: Arc<dyn Service>, calls: Arc<Calls>) -> Self {
        Self { inner, calls }
    }

    async fn once(self, call: Call, key: String) -> Result<Reply, ServiceError> {
        let name = Name::of(&call, &key);
        loop {
            // Waits before it looks, here and below, so that no end falls between the two.
            let ended = self.calls.wait(&name);
            if let Some(claimed) = self.calls.enter(&name) {
                drop(ended);
                return self.find_or_run(call, &name, claimed).await;
            }
            tokio::select! {
                () = ended.ended() => {}
                () = call.context.cancel.cancelled() => return Err(ServiceError::Cancelled),
            }
        }
    }

    async fn find_or_run(
        self,
        call: Call,
        name: &Name,
        mut claimed: Claimed,
    ) -> Result<Reply, ServiceError> {
        loop {
            let ended = self.calls.wait(name);
            let gone = self.calls.node().gone();
            match self.calls.look(&mut claimed).await? {
                Standing::Ours => {
                    drop(ended);
                    if call.context.cancel.is_cancelled() {
                        // Nothing was run, so it may be made after all.
                        self.calls.release(claimed).await;
                        return Err(ServiceError::Cancelled);
                    }
                    return self.run(call, claimed).await;
                }
                Standing::Ended(end) => return end.into_outcome(),
                Standing::Moved => {}
                Standing::Runs(runner) => {
                    self.calls.ask_to_be_told(name, runner);
                    tokio::select! {
                        () = ended.ended() => {}
                        _more = self.calls.node().next_gone(gone) => {}
                        () = call.context.cancel.cancelled() => return Err(ServiceError::Cancelled),
                    }
                }
            }
        }
    }

    /// Runs a call to its end, whether or not its client waits for it, and keeps what came of it
    /// before anybody hears of it. A stateless client that leaves cancels it, as it does any call.
    async fn run(self, call: Call, claimed: Claimed) -> Result<Reply, ServiceError> {
        let (answer, answered) = oneshot::channel();
        let leaving = call.context.cancel.clone().drop_guard();
        let calls = self.calls.clone();
        self.calls.tasks().spawn(TaskKind::Call, async move {
            let (cancel, version) = (call.context.cancel.clone(), call.context.version);
            let running = async { self.inner.call(call).await };
            let outcome = tokio::select! {
                biased;
                outcome = AssertUnwindSafe(running).catch_unwind() => {
                    outcome.unwrap_or(Err(ServiceError::Internal))
                }
                () = cut_off(&cancel) => Err(ServiceError::Cancelled),
            };
            let end = End::of(&outcome, |error| calls.on_the_wire(error, version));
            let told = if let Some(end) = end {
                // One key, one end, wherever it is asked for.
                let first = calls.keep(claimed, end).await;
                first.map_or(outcome, End::into_outcome)
            } else {
                calls.release(claimed).await;
                outcome
            };
            // Whoever waited may have gone.
            drop(answer.send(told));
        });
        let outcome = answered.await.unwrap_or(Err(ServiceError::Internal));
        leaving.disarm();
        outcome
    }
}

async fn cut_off(cancel: &CancellationToken) {
    cancel.cancelled().await;
    tokio::time::sleep(CANCELLED_MAX).await;
}

impl Service for OnceService {
    fn describe(&self, caller: &Caller) -> Arc<Description> {
        self.inner.describe(caller)
    }

    fn call(&self, call: Call) -> CallFuture {
        if call.method != Method::ToolsCall {
            return self.inner.call(call);
        }
        match meta::idempotency_key(&call.params) {
            Ok(None) => self.inner.call(call),
            Ok(Some(key)) => {
                let key = key.into_owned();
                Box::pin(self.clone().once(call, key))
            }
            Err(error) => {
                let error = ServiceError::InvalidParams(error.to_string());
                Box::pin(std::future::ready(Err(error)))
            }
        }
    }

    fn header_params(&self, caller: &Caller, tool: &str) -> Option<Arc<HeaderParams>> {
        self.inner.header_params(caller, tool)
    }

    fn task_use(&self, caller: &Caller, tool: &str) -> Option<TaskUse> {
        self.inner.task_use(caller, tool)
    }

    fn is_idempotent(&self, caller: &Caller, tool: &str) -> bool {
        self.inner.is_idempotent(caller, tool)
    }

    fn catalog_digest(&self, caller: &Caller, sees: Sees<'_>) -> CatalogDigest {
        self.inner.catalog_digest(caller, sees)
    }

    fn canonical(&self, kind: EntryKind, shown: &str) -> Option<Canonical> {
        self.inner.canonical(kind, shown)
    }

    fn lists(&self, caller: &Caller, kind: EntryKind, shown: &str) -> bool {
        self.inner.lists(caller, kind, shown)
    }

    fn watch(
        &self,
        caller: &Arc<Caller>,
        filter: SubscriptionFilter,
    ) -> BoxFuture<'static, Result<Watch, ServiceError>> {
        self.inner.watch(caller, filter)
    }

    fn tell(
        &self,
        caller: &Caller,
        version: ProtocolVersion,
        change: &Change,
    ) -> BoxFuture<'static, Option<ServerNotification>> {
        self.inner.tell(caller, version, change)
    }

    fn let_go(&self, session: &SessionKey) {
        self.inner.let_go(session);
    }

    fn pass_on_to(&self, pass_on: PassOn) {
        self.inner.pass_on_to(pass_on);
    }

    fn hear(&self, elsewhere: &Elsewhere) {
        self.inner.hear(elsewhere);
    }
}

impl fmt::Debug for OnceService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceService").finish_non_exhaustive()
    }
}
