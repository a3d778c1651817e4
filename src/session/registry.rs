//! The registry: birth, restoration, passivation and death of this node's sessions.
//!
//! An actor, so that each of these happens once per session however many ask at the same time. It
//! is on no ordinary request's way. The index it keeps ([`super::sessions::Shared`]) outlives it:
//! after a bug in here a new registry carries on with the sessions that live.
//!
//! It sweeps several times a minute: ends what expired, passivates what is unused, moves expiries
//! in the store on, in batches.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, MessageResult};
use tokio::sync::oneshot;

use super::actor::Session;
use super::handle::{Beginning, SessionHandle};
use super::id::SessionId;
use super::letters::News;
use super::messages::{Adopt, Awaken, Close, Died, End, Found, RecordRead, Restore, Unused};
use super::sessions::Shared;
use crate::audit::What;
use crate::identity::Caller;
use crate::runtime::ratelimited::warn_ratelimited;
use crate::runtime::tasks::TaskKind;
use crate::store::{StoreError, StoreResult};
use crate::telemetry::events::{
    Event as _, SessionClosed, SessionPanicked, SessionRestored, StoreFailed,
};
use crate::telemetry::labels::{CloseReason, Label as _, StoreOperation};

/// Births and restores that may wait; senders beyond it wait their turn.
const MAILBOX: usize = 1_024;
/// An actor that dies more often than this within [`DEATHS_WINDOW`] is not built again: whatever
/// kills it will do so again.
const DEATHS_MAX: usize = 5;
const DEATHS_WINDOW: Duration = Duration::from_secs(60);
/// The store is told of use at most this often per session.
const TOUCH_INTERVAL: Duration = Duration::from_secs(60);
/// Expiries written at once.
const TOUCH_BATCH: usize = 200;

type Waiting = oneshot::Sender<Result<Option<SessionHandle>, StoreError>>;

/// See the module docs.
#[derive(Debug)]
pub struct Registry {
    shared: Arc<Shared>,
    /// Sessions that are being read from the store.
    restoring: HashMap<SessionId, Restoring>,
}

/// A session on its way back.
#[derive(Debug, Default)]
struct Restoring {
    waiting: Vec<Waiting>,
    /// It was closed meanwhile: what was read before is no session any more.
    closed: bool,
}

impl Registry {
    pub(super) fn start(shared: &Arc<Shared>) {
        let arbiter = shared.arbiters.place(&"registry");
        let of_actor = shared.clone();
        let addr = Self::start_in_arbiter(&arbiter, move |ctx: &mut Context<Self>| {
            ctx.set_mailbox_capacity(MAILBOX);
            Self {
                shared: of_actor,
                restoring: HashMap::new(),
            }
        });
        shared.set_registry(addr);
    }

    /// Reads a session's record; the answer comes back as [`RecordRead`].
    fn read(&self, id: SessionId, ctx: &Context<Self>) {
        let me = ctx.address();
        let shared = self.shared.clone();
        let tasks = shared.tasks.clone();
        tasks.spawn(TaskKind::Store, async move {
            let outcome = shared.read(&id).await;
            // Closed: the registry died, and those who waited are told by their dropped channel.
            let _closed = me.send(RecordRead { id, outcome }).await;
        });
    }

    /// A handle for what was read: at home here, unless its home is another node that lives.
    fn restored(&self, id: &SessionId, found: Found) -> Result<Option<SessionHandle>, StoreError> {
        let shared = &self.shared;
        let full = StoreError::Full("this node has as many sessions as it may");
        let Some(service) = shared.services.get(&found.negotiated.endpoint).cloned() else {
            return Ok(None);
        };
        let home = found.changing.home;
        let is_guest = shared.node.seems_alive(home) && home != shared.node.incarnation();
        let place = if is_guest {
            shared.make_room_for_guest().then_some(None)
        } else {
            Shared::take_place(shared).ok().map(Some)
        };
        let caller = Arc::new(Caller::of(found.negotiated.principal.clone()));
        let beginning = Beginning {
            id: id.clone(),
            negotiated: found.negotiated,
            changing: found.changing,
            version: found.version,
            service,
            pipe: None,
            expires: found.expires,
            caller,
        };
        let handle = SessionHandle::new(beginning, shared.clone(), place.ok_or(full)?);
        shared.remember(handle.clone());
        if !is_guest {
            Session::start(&handle);
            handle.settle_in(home);
            SessionRestored {
                session: id.log_name(),
            }
            .emit(&shared.metrics);
        }
        Ok(Some(handle))
    }

    /// Takes a session out of the index: cancels, and stops its actor. Says whether it was at home.
    fn take_out(&self, id: &SessionId) -> Option<(SessionHandle, bool)> {
        let (handle, was_at_home) = self.shared.forget(id)?;
        handle.inner().in_flight.close();
        stop_actor(&handle);
        Some((handle, was_at_home))
    }

    /// Ends a session.
    fn end(&self, id: &SessionId, reason: CloseReason) {
        let taken_out = self.take_out(id);
        // What is kept for it may outlast its place in the index, and be kept where it has none.
        for service in self.shared.services.values() {
            service.let_go(&id.key());
        }
        // Counted once, wherever else it was a guest.
        if let Some((handle, true)) = taken_out {
            let word = reason.text().to_owned();
            let what = What::SessionClosed { reason: word };
            self.shared.record(&handle, what);
            SessionClosed {
                session: id.log_name(),
                reason,
            }
            .emit(&self.shared.metrics);
        }
    }

    fn sweep(&self, ctx: &Context<Self>) {
        let now = self.shared.clock.now();
        let config = &self.shared.config;
        let mut expired = Vec::new();
        let mut unused = Vec::new();
        for entry in &self.shared.index {
            let handle = entry.value();
            if handle.inner().in_flight.uses() > 0 {
                // A stream or a running call is use.
                handle.used();
            }
            if handle.expires() <= now {
                expired.push(handle.clone());
            } else if self.shared.is_unused(handle) {
                unused.push(handle.clone());
            }
        }
        for handle in expired {
            let too_old = handle.negotiated().created.after(config.absolute_ttl) <= now;
            if !handle.is_at_home() {
                // It goes on elsewhere, or its home ends it for all.
                let _was_guest = self.take_out(handle.id());
            } else if too_old {
                self.end_for_good(&handle, CloseReason::Expired);
            } else {
                self.end_if_idle_everywhere(handle, ctx);
            }
        }
        self.passivate(unused, ctx);
        let shared = self.shared.clone();
        let tasks = shared.tasks.clone();
        tasks.spawn(TaskKind::Store, async move {
            if let Err(error) = upkeep(&shared).await {
                let operation = StoreOperation::Sweep;
                StoreFailed { operation, error }.emit(&shared.metrics);
            }
        });
    }

    /// Ends a session that was not used here for long, unless it was used elsewhere.
    fn end_if_idle_everywhere(&self, handle: SessionHandle, ctx: &Context<Self>) {
        if handle.is_piped() {
            return self.end_for_good(&handle, CloseReason::Idle);
        }
        let me = ctx.address();
        let shared = self.shared.clone();
        let tasks = shared.tasks.clone();
        tasks.spawn(TaskKind::Store, async move {
            match shared.store.read(&handle.id().scope()).await {
                Ok(Some(record)) if record.expires > shared.clock.now() => {
                    handle.used_until(record.expires);
                }
                Ok(_) | Err(StoreError::Damaged(_)) => {
                    let id = handle.id();
                    let _closed = me.send(Close(id.clone(), CloseReason::Idle)).await;
                    remove_record(&shared, id).await;
                }
                // It may have been used elsewhere; the next sweep asks again.
                Err(StoreError::Unavailable(_) | StoreError::Full(_)) => {}
            }
        });
    }

    /// Ends a session and removes its record.
    fn end_for_good(&self, handle: &SessionHandle, reason: CloseReason) {
        self.end(handle.id(), reason);
        if handle.is_piped() {
            return;
        }
        let shared = self.shared.clone();
        let id = handle.id().clone();
        self.shared.tasks.spawn(TaskKind::Store, async move {
            remove_record(&shared, &id).await;
        });
    }

    /// Lets unused sessions go; they live on in the store, which is told for how long. While it cannot
    /// be told they stay: what leaves could not come back when it is called.
    fn passivate(&self, unused: Vec<SessionHandle>, ctx: &Context<Self>) {
        if unused.is_empty() {
            return;
        }
        let me = ctx.address();
        let shared = self.shared.clone();
        let tasks = shared.tasks.clone();
        tasks.spawn(TaskKind::Store, async move {
            for batch in unused.chunks(TOUCH_BATCH) {
                if let Err(error) = touch(&shared, batch).await {
                    warn_ratelimited!("unused sessions stay: their expiry could not be written", %error);
                    return;
                }
                let _closed = me.send(Unused(batch.to_vec())).await;
            }
        });
    }
}

/// Removes the record of a session that ended here, and tells the other nodes.
async fn remove_record(shared: &Shared, id: &SessionId) {
    match shared.store.remove(&id.scope()).await {
        Ok(_) => shared.announce(id, News::Ended),
        // Its own expiry in the store ends it instead.
        Err(error) => {
            warn_ratelimited!("the record of an ended session could not be removed", %error);
        }
    }
}

/// Tells an actor to end; it ends after what is queued before.
fn stop_actor(handle: &SessionHandle) {
    if let Some(addr) = handle.inner().actor() {
        let session = handle.clone();
        let tasks = handle.inner().shared.tasks.clone();
        tasks.spawn(TaskKind::Store, async move {
            // Closed: it is dead already.
            let _closed = addr.send(End).await;
            drop(session);
        });
    }
}

async fn upkeep(shared: &Arc<Shared>) -> StoreResult<()> {
    flush_touches(shared, TOUCH_INTERVAL.min(shared.config.idle_ttl / 4)).await?;
    shared.store.sweep().await.map(drop)
}

/// Writes every expiry that moved on by at least `by`.
pub(super) async fn flush_touches(shared: &Arc<Shared>, by: Duration) -> StoreResult<()> {
    let mut touches = Vec::new();
    for entry in &shared.index {
        let handle = entry.value();
        let expires = handle.expires();
        let written = handle.inner().expiry_written.load(Ordering::Acquire);
        let moved = expires.0.saturating_sub(written);
        if !handle.is_piped() && moved > 0 && u128::from(moved) >= by.as_millis() {
            touches.push(handle.clone());
        }
    }
    for batch in touches.chunks(TOUCH_BATCH) {
        touch(shared, batch).await?;
    }
    Ok(())
}

/// Writes the expiries of a batch, and notes that they are written.
async fn touch(shared: &Arc<Shared>, batch: &[SessionHandle]) -> StoreResult<()> {
    let expires = batch.iter().map(SessionHandle::expires).collect::<Vec<_>>();
    let touched = batch.iter().zip(&expires);
    let touched = touched.map(|(handle, expires)| (handle.id().scope(), *expires));
    shared.store.touch(touched.collect()).await?;
    for (handle, expires) in batch.iter().zip(expires) {
        let written = &handle.inner().expiry_written;
        written.fetch_max(expires.0, Ordering::AcqRel);
    }
    Ok(())
}

impl Actor for Registry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(self.shared.config.sweep_interval(), |registry, ctx| {
            registry.sweep(ctx);
        });
    }
}

impl Handler<Adopt> for Registry {
    type Result = ();

    fn handle(&mut self, Adopt(handle): Adopt, _: &mut Context<Self>) {
        Session::start(&handle);
        self.shared.remember(handle);
    }
}

impl Handler<Awaken> for Registry {
    type Result = ();

    fn handle(&mut self, Awaken(handle): Awaken, _: &mut Context<Self>) {
        // Somebody else may have asked just before.
        if handle.inner().sleeps() {
            Session::start(&handle);
        }
    }
}

impl Handler<Restore> for Registry {
    type Result = MessageResult<Restore>;

    fn handle(&mut self, Restore(id): Restore, ctx: &mut Context<Self>) -> Self::Result {
        let (tx, rx) = oneshot::channel();
        let live = self.shared.live_handle(id.as_str());
        if let Some(handle) = live {
            drop(tx.send(Ok(Some(handle))));
            return MessageResult(rx);
        }
        let is_read = self.restoring.contains_key(id.as_str());
        let restoring = self.restoring.entry(id.clone()).or_default();
        restoring.waiting.push(tx);
        if !is_read {
            self.read(id, ctx);
        }
        MessageResult(rx)
    }
}

impl Handler<RecordRead> for Registry {
    type Result = ();

    fn handle(&mut self, RecordRead { id, outcome }: RecordRead, _: &mut Context<Self>) {
        let restoring = self.restoring.remove(&id).unwrap_or_default();
        let live = self.shared.live_handle(id.as_str());
        // Read before it was closed, the record says nothing any more.
        let outcome = if restoring.closed { Ok(None) } else { outcome };
        let answer = match (outcome, live) {
            // A dead actor is built again under the handle its callers already hold.
            (Ok(Some(found)), Some(handle)) => {
                handle.set_changing(found.changing, found.version);
                Session::start(&handle);
                Ok(Some(handle))
            }
            (Ok(Some(found)), None) => self.restored(&id, found),
            (Ok(None), live) => {
                if live.is_some() {
                    self.end(&id, CloseReason::Lost);
                }
                Ok(None)
            }
            (Err(error), _) => Err(error),
        };
        for waiting in restoring.waiting {
            drop(waiting.send(answer.clone()));
        }
    }
}

#[cfg(test)]
impl Handler<super::messages::Panic> for Registry {
    type Result = ();

    fn handle(&mut self, _: super::messages::Panic, _: &mut Context<Self>) {
        panic!("a bug in the registry");
    }
}

impl Handler<Close> for Registry {
    type Result = ();

    fn handle(&mut self, Close(id, reason): Close, _: &mut Context<Self>) {
        if let Some(restoring) = self.restoring.get_mut(id.as_str()) {
            restoring.closed = true;
        }
        self.end(&id, reason);
    }
}

impl Handler<Unused> for Registry {
    type Result = ();

    fn handle(&mut self, Unused(handles): Unused, _: &mut Context<Self>) {
        for handle in handles {
            if self.shared.is_unused(&handle) && handle.inner().in_flight.close_if_unused() {
                self.shared.forget(handle.id());
                stop_actor(&handle);
            }
        }
    }
}

impl Handler<Died> for Registry {
    type Result = ();

    fn handle(&mut self, Died(id): Died, ctx: &mut Context<Self>) {
        let Some(handle) = self.shared.live_handle(id.as_str()) else {
            return;
        };
        SessionPanicked {
            session: id.log_name(),
        }
        .emit(&self.shared.metrics);
        let now = self.shared.clock.now();
        let deaths = handle
            .inner()
            .now_and_then
            .note_death(now, |at| now.since(at) < DEATHS_WINDOW);
        if handle.is_piped() || deaths > DEATHS_MAX {
            tracing::error!(
                session = id.log_name(),
                deaths,
                "session actor died and is given up"
            );
            self.end_for_good(&handle, CloseReason::Failed);
        } else {
            tracing::error!(
                session = id.log_name(),
                deaths,
                "session actor died and is rebuilt"
            );
            self.restoring.entry(id.clone()).or_default();
            self.read(id, ctx);
        }
    }
}
