//! The front of all sessions of this node: open, find, close.
//!
//! [`Sessions::find`] is on every request's way and asks nobody when the session lives here: one
//! look into the index, which compares principal and endpoint. Only what is not there is checked
//! by its MAC and then asked of the registry.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::Addr;
use dashmap::DashMap;

use super::checkpoint;
use super::clients::Clients;
use super::config::Config;
use super::ending::Endings;
use super::handle::{Beginning, SessionHandle};
use super::id::{IdMint, SessionId};
use super::messages::{Adopt, Awaken, Close, Died, Found, Restore};
use super::record::{Changing, Negotiated};
use super::registry::Registry;
use super::state::QuestionNumber;
use super::strangers;
use crate::audit::{Audit, Event as AuditEvent, Party, What};
use crate::identity::{Caller, Principal};
use crate::node::Node;
use crate::protocol::version::ProtocolVersion;
use crate::runtime::arbiters::Arbiters;
use crate::runtime::clock::Clock;
use crate::runtime::per_second::PerSecond;
use crate::runtime::seal::{self, ClusterKeys, Seal};
use crate::runtime::shutdown::{Phase, Shutdown};
use crate::runtime::tasks::Tasks;
use crate::service::event::EventSender;
use crate::service::{Client, Service};
use crate::store::{Epoch, Incarnation, Store, StoreError, Version};
use crate::telemetry::events::{Event as _, SessionOpened, StoreFailed};
use crate::telemetry::labels::{CloseReason, StoreOperation};
use crate::telemetry::metrics::{Gauged, Metrics};

/// Guests among which the one to go is chosen when a new one comes and there is no room.
const GUESTS_LOOKED_AT: usize = 16;

/// What sessions need of the rest of the process.
pub struct Parts {
    /// Who answers, by endpoint name.
    pub services: HashMap<Arc<str>, Arc<dyn Service>>,
    /// Where sessions outlive the process.
    pub store: Arc<dyn Store>,
    /// What ids are made with.
    pub keys: ClusterKeys,
    /// Time.
    pub clock: Clock,
    /// The main runtime.
    pub tasks: Tasks,
    /// Where session actors live.
    pub arbiters: Arbiters,
    /// How far the process is on its way out.
    pub shutdown: Shutdown,
    /// This node among the others.
    pub node: Node,
    /// Where to count.
    pub metrics: Metrics,
    /// Where it goes on record that sessions begin and end, if anywhere.
    pub audit: Option<Audit>,
    /// Bounds and times.
    pub config: Config,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// The sessions of this node. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Sessions(pub(super) Arc<Shared>);

/// What the registry, the actors and the handles share. Outlives all of them.
pub(super) struct Shared {
    pub(super) services: HashMap<Arc<str>, Arc<dyn Service>>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
    pub(super) arbiters: Arbiters,
    pub(super) shutdown: Shutdown,
    pub(super) node: Node,
    pub(super) config: Config,
    pub(super) metrics: Metrics,
    pub(super) audit: Option<Audit>,
    /// By id: the sessions that are at home here, and guests.
    pub(super) index: DashMap<SessionId, SessionHandle>,
    pub(super) clients: Clients,
    pub(super) mint: IdMint,
    /// What is put on record of those who ask for what they never had.
    pub(super) strangers: PerSecond,
    questions: Seal,
    /// Counts the times that all sessions kept here were in doubt.
    pub(super) doubts: AtomicU64,
    pub(super) endings: Endings,
    /// Sessions at home here.
    live: AtomicUsize,
    registry: Mutex<Option<Addr<Registry>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("live", &self.live)
            .finish_non_exhaustive()
    }
}

/// What `initialize` settled, before it has an id.
#[derive(Debug)]
pub struct NewSession {
    /// The revision spoken.
    pub version: ProtocolVersion,
    /// The other side.
    pub client: Client,
    /// Whose it is.
    pub caller: Arc<Caller>,
    /// Where it came in.
    pub endpoint: Arc<str>,
}

/// Why a session was not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// As many sessions live here as may.
    #[error("this node has as many sessions as it may")]
    Full,
    /// As many sessions of this principal are kept, live or not, as may.
    #[error("this principal has as many sessions as it may")]
    FullForPrincipal,
    /// The process is on its way out, and the time for what still came has passed.
    #[error("this node is stopping")]
    Stopping,
    /// It could not be written, or the registry could not be reached.
    #[error("the session store is unavailable")]
    Unavailable,
}

/// Why a session was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// There is none, or it is somebody else's: nobody can tell which.
    #[error("session not found")]
    NotFound,
    /// It may exist; the store cannot say.
    #[error("the session store is unavailable")]
    Unavailable,
    /// It exists, and this node has no room to carry it on.
    #[error("this node has as many sessions as it may")]
    Full,
}

/// A place among the live sessions; given back when dropped.
pub(super) struct Place {
    shared: Arc<Shared>,
    _gauged: Gauged,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Place")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.live.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Shared {
    /// Puts something about a session on record. Nobody waits for that.
    pub(super) fn record(&self, session: &SessionHandle, what: What) {
        let Some(audit) = &self.audit else { return };
        let caller = session.caller();
        let party = Party {
            caller: &caller,
            session: Some(session.id().as_str()),
            origin: &Arc::default(),
        };
        drop(audit.note(&AuditEvent::by(party, what)));
    }

    /// Puts on record that this node has, under `epoch`, what another had of a session.
    pub(super) fn taken_over(&self, session: &SessionHandle, epoch: Epoch) {
        self.record(session, What::SessionTakenOver { epoch: epoch.0 });
    }
}

impl Sessions {
    /// Starts the registry.
    ///
    /// # Panics
    /// Outside an actix system.
    #[must_use]
    pub fn start(parts: Parts) -> Self {
        let shared = Arc::new(Shared {
            mint: IdMint::new(&parts.keys),
            strangers: PerSecond::new(strangers::PER_SECOND_MAX),
            questions: parts.keys.seal("client-request"),
            services: parts.services,
            store: parts.store,
            clock: parts.clock,
            tasks: parts.tasks,
            arbiters: parts.arbiters,
            shutdown: parts.shutdown,
            node: parts.node,
            config: parts.config,
            metrics: parts.metrics,
            audit: parts.audit,
            index: DashMap::new(),
            doubts: AtomicU64::new(0),
            endings: Endings::default(),
            clients: Clients::default(),
            live: AtomicUsize::new(0),
            registry: Mutex::new(None),
        });
        Registry::start(&shared);
        shared.listen();
        Self(shared)
    }

    /// Rebuilds the registry if it died; the index and all sessions are still there.
    pub fn revive_registry(&self) {
        if self.0.registry().is_none() {
            tracing::error!("the session registry died and is started again");
            Registry::start(&self.0);
        }
    }

    /// The registry, for tests of what it is told in which order.
    #[cfg(test)]
    pub(super) fn registry(&self) -> Addr<Registry> {
        self.0.registry().expect("the registry lives")
    }

    /// Kills the registry as a bug would.
    #[cfg(test)]
    pub(super) async fn kill_registry(&self) {
        assert!(self.registry().send(super::messages::Panic).await.is_err());
    }

    /// Opens a session that outlives its connections. Its record is in the store when this
    /// returns.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(&self, new: NewSession) -> Result<SessionHandle, OpenError> {
        self.begin(new, None).await
    }

    /// Opens a session that lives and dies with one connection, to which everything goes.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_piped(
        &self,
        new: NewSession,
        pipe: EventSender,
    ) -> Result<SessionHandle, OpenError> {
        self.begin(new, Some(pipe)).await
    }

    async fn begin(
        &self,
        new: NewSession,
        pipe: Option<EventSender>,
    ) -> Result<SessionHandle, OpenError> {
        let shared = &self.0;
        // While it drains, what arrives over connections that are open is served: the next call
        // goes elsewhere and finds the session in the store.
        if shared.shutdown.phase() >= Phase::Stopping {
            return Err(OpenError::Stopping);
        }
        let place = Shared::take_place(shared)?;
        let service = shared
            .services
            .get(&new.endpoint)
            .ok_or(OpenError::Unavailable)?
            .clone();
        let id = shared.mint.mint(&new.caller.principal, &new.endpoint);
        let changing = Changing {
            home: shared.node.incarnation(),
            seen: service.catalog_digest(&new.caller, None),
            ..Changing::default()
        };
        let now = shared.clock.now();
        let negotiated = Negotiated {
            version: new.version,
            client: shared.clients.share(new.client),
            principal: new.caller.principal.clone(),
            endpoint: new.endpoint,
            created: now,
        };
        let expires = now
            .after(shared.config.idle_ttl)
            .min(now.after(shared.config.absolute_ttl));
        if pipe.is_none() {
            let value = checkpoint::encode(&negotiated, &changing);
            match shared.store.create(&id.scope(), value, expires).await {
                Ok(true) => {}
                // 128 random bits do not repeat; if they seem to, trust nothing.
                Ok(false) => return Err(OpenError::Unavailable),
                Err(StoreError::Full(_)) => return Err(OpenError::FullForPrincipal),
                Err(error) => {
                    let operation = StoreOperation::Create;
                    StoreFailed { operation, error }.emit(&shared.metrics);
                    return Err(OpenError::Unavailable);
                }
            }
        }
        let beginning = Beginning {
            id,
            negotiated,
            changing,
            version: Version(1),
            service,
            pipe,
            expires,
            caller: new.caller,
        };
        let handle = SessionHandle::new(beginning, shared.clone(), Some(place));
        let registry = shared.registry().ok_or(OpenError::Unavailable)?;
        registry
            .send(Adopt(handle.clone()))
            .await
            .map_err(|_| OpenError::Unavailable)?;
        let negotiated = handle.negotiated();
        SessionOpened {
            session: handle.id().log_name(),
            version: negotiated.version,
            client: negotiated
                .client
                .info
                .as_ref()
                .map_or("", |info| &info.name),
        }
        .emit(&shared.metrics);
        let endpoint = negotiated.endpoint.to_string();
        shared.record(&handle, What::SessionOpened { endpoint });
        Ok(handle)
    }

    /// Finds a live session, or brings it back from the store.
    ///
    /// # Errors
    /// [`FindError`].
    pub async fn find(
        &self,
        id: &str,
        caller: &Arc<Caller>,
        endpoint: &str,
    ) -> Result<SessionHandle, FindError> {
        let principal = &caller.principal;
        let live = self.0.live_handle(id);
        if let Some(handle) = live {
            let negotiated = handle.negotiated();
            return if negotiated.principal == *principal && *negotiated.endpoint == *endpoint {
                handle.visited_by(caller);
                Ok(handle)
            } else {
                Err(FindError::NotFound)
            };
        }
        let id = self
            .0
            .mint
            .verify(id, principal, endpoint)
            .ok_or(FindError::NotFound)?;
        let handle = self.restore(&id).await?;
        handle.visited_by(caller);
        Ok(handle)
    }

    /// Finds a session again that was being passivated when a request met it.
    ///
    /// # Errors
    /// [`FindError`].
    pub async fn restore(&self, id: &SessionId) -> Result<SessionHandle, FindError> {
        let registry = self.0.registry().ok_or(FindError::Unavailable)?;
        let found = registry
            .send(Restore(id.clone()))
            .await
            .map_err(|_| FindError::Unavailable)?;
        match found.await {
            Ok(Ok(Some(handle))) => Ok(handle),
            Ok(Ok(None)) => Err(FindError::NotFound),
            Ok(Err(StoreError::Full(_))) => Err(FindError::Full),
            Ok(Err(_)) | Err(_) => Err(FindError::Unavailable),
        }
    }

    /// Ends a session for good: its record is gone when this returns.
    ///
    /// # Errors
    /// [`FindError`], also when it did not exist.
    pub async fn close(
        &self,
        id: &str,
        principal: &Principal,
        endpoint: &str,
        reason: CloseReason,
    ) -> Result<(), FindError> {
        let id = self
            .0
            .mint
            .verify(id, principal, endpoint)
            .ok_or(FindError::NotFound)?;
        let piped = self
            .0
            .live_handle(id.as_str())
            .is_some_and(|handle| handle.is_piped());
        let existed = if piped {
            true
        } else {
            self.0.store.remove(&id.scope()).await.map_err(|error| {
                let operation = StoreOperation::Remove;
                StoreFailed { operation, error }.emit(&self.0.metrics);
                FindError::Unavailable
            })?
        };
        let registry = self.0.registry().ok_or(FindError::Unavailable)?;
        let elsewhere = async {
            if existed && !piped {
                self.0.end_elsewhere(&id).await;
            }
        };
        let (closed, ()) = tokio::join!(registry.send(Close(id.clone(), reason)), elsewhere);
        closed.map_err(|_| FindError::Unavailable)?;
        if existed {
            Ok(())
        } else {
            Err(FindError::NotFound)
        }
    }

    /// Number of sessions at home here.
    #[must_use]
    pub fn live(&self) -> usize {
        self.0.live.load(Ordering::Acquire)
    }

    /// Whether this node has room for another session.
    #[must_use]
    pub fn can_be_opened(&self) -> bool {
        self.live() < self.0.config.max
    }

    /// Writes out what sessions and their logs still have in memory.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn flush(&self) -> Result<(), StoreError> {
        super::registry::flush_touches(&self.0, Duration::ZERO).await?;
        self.0.store.flush().await
    }

    /// Lets go of every session: nothing here holds the store any more, once the actors are gone.
    pub fn let_go(&self) {
        self.0.index.clear();
    }
}

impl Shared {
    pub(super) fn registry(&self) -> Option<Addr<Registry>> {
        self.registry
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .filter(Addr::connected)
    }

    pub(super) fn set_registry(&self, addr: Addr<Registry>) {
        *self.registry.lock().unwrap_or_else(PoisonError::into_inner) = Some(addr);
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "once per life of an actor, from a drop that cannot wait; the bound is the number of sessions"
    )]
    pub(super) fn tell_registry_of_death(&self, died: Died) {
        if let Some(registry) = self.registry() {
            registry.do_send(died);
        }
    }

    /// Takes a place among the live sessions.
    pub(super) fn take_place(shared: &Arc<Self>) -> Result<Place, OpenError> {
        let taken = shared
            .live
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |live| {
                (live < shared.config.max).then_some(live + 1)
            });
        if taken.is_err() {
            return Err(OpenError::Full);
        }
        Ok(Place {
            shared: shared.clone(),
            _gauged: shared.metrics.active_session(),
        })
    }

    /// Whether a session was not used for so long that it may leave this process.
    pub(super) fn is_unused(&self, handle: &SessionHandle) -> bool {
        let since = self.clock.now().since(handle.last_used());
        !handle.is_piped() && since >= self.config.passivate_after
    }

    /// The session of that id, if it lives here. No guard of the index outlives this call.
    pub(super) fn live_handle(&self, id: &str) -> Option<SessionHandle> {
        self.index.get(id).map(|handle| handle.clone())
    }

    /// Reads a session's record. One that cannot be understood is reported, and is no session.
    pub(super) async fn read(&self, id: &SessionId) -> Result<Option<Found>, StoreError> {
        let record = match self.store.read(&id.scope()).await {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(None),
            Err(error) => {
                let operation = StoreOperation::Read;
                StoreFailed {
                    operation,
                    error: &error,
                }
                .emit(&self.metrics);
                return match error {
                    StoreError::Damaged(_) => Ok(None),
                    StoreError::Unavailable(_) | StoreError::Full(_) => Err(error),
                };
            }
        };
        match checkpoint::decode(&record.value) {
            Ok((negotiated, changing)) => Ok(Some(Found {
                negotiated,
                changing,
                version: record.version,
                expires: record.expires,
            })),
            Err(error) => {
                tracing::error!(session = id.log_name(), %error, "a session checkpoint cannot be read");
                Ok(None)
            }
        }
    }

    /// Makes a handle the one that is found.
    pub(super) fn remember(&self, handle: SessionHandle) {
        self.index.insert(handle.id().clone(), handle);
    }

    /// Takes a handle out of the index and gives its place back. Says whether it was at home.
    pub(super) fn forget(&self, id: &SessionId) -> Option<(SessionHandle, bool)> {
        let (_, handle) = self.index.remove(id)?;
        let was_at_home = handle.leave_home();
        Some((handle, was_at_home))
    }

    /// Makes room for one more guest; `false` when every guest looked at is in use. Guests may be
    /// as many as sessions at home; of a few taken at random the one unused for longest goes.
    pub(super) fn make_room_for_guest(&self) -> bool {
        let all = self.index.len();
        let at_home = self.live.load(Ordering::Acquire);
        if all < self.config.max.saturating_add(at_home) {
            return true;
        }
        let [skip] = seal::random();
        let mut sample = (self.index.iter())
            .map(|entry| entry.clone())
            .filter(|handle| !handle.is_at_home() && handle.inner().in_flight.uses() == 0)
            .skip(usize::from(skip) % all.max(1))
            .take(GUESTS_LOOKED_AT)
            .collect::<Vec<_>>();
        sample.sort_by_key(SessionHandle::last_used);
        sample.iter().any(|guest| {
            let leaves = guest.inner().in_flight.close_if_unused();
            if leaves {
                self.forget(guest.id());
            }
            leaves
        })
    }

    /// Gives a guest the actor it had no need of so far.
    pub(super) async fn awaken(&self, handle: &SessionHandle) {
        if handle.inner().sleeps()
            && let Some(registry) = self.registry()
        {
            // Closed: the registry died, and whoever asks the actor waits for its successor.
            let _closed = registry.send(Awaken(handle.clone())).await;
        }
    }

    /// The id under which a question is asked: it names this run of this node, sealed.
    pub(super) fn seal_question(&self, session: &SessionId, number: QuestionNumber) -> String {
        let mut contents = [0; 16];
        contents[..8].copy_from_slice(&self.node.incarnation().0.to_be_bytes());
        contents[8..].copy_from_slice(&number.0.to_be_bytes());
        self.questions.seal(session.as_str().as_bytes(), &contents)
    }

    /// The question an answer is for, and the run of the node that asked it in this session.
    pub(super) fn open_question_id(
        &self,
        session: &SessionId,
        id: &str,
    ) -> Option<(Incarnation, QuestionNumber)> {
        let contents = self.questions.open(session.as_str().as_bytes(), id).ok()?;
        let (incarnation, number) = contents.split_at_checked(8)?;
        let incarnation = u64::from_be_bytes(incarnation.try_into().ok()?);
        let number = u64::from_be_bytes(number.try_into().ok()?);
        Some((Incarnation(incarnation), QuestionNumber(number)))
    }
}
