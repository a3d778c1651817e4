//! The clonable front of a session: what calls see without asking the actor, and the questions
//! they may ask it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, Message};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::actor::Session;
use super::event_log::EventId;
use super::id::SessionId;
use super::in_flight::{InFlight, NotEntered};
use super::letters::News;
use super::messages::{
    Answer, AnswerQuestion, Attach, GiveUpQuestion, MakeChange, OpenQuestion, Reloaded, Superseded,
};
use super::now_and_then::NowAndThen;
use super::record::{Change, Changing, Negotiated};
use super::sessions::{FindError, Place, Shared};
use super::state::QuestionNumber;
use crate::identity::Caller;
use crate::protocol::client_request::ClientRequestKind;
use crate::protocol::jsonrpc::{RequestId, Response};
use crate::protocol::logging::LogLevel;
use crate::protocol::raw::RawJson;
use crate::runtime::clock::Timestamp;
use crate::service::changes::Watch;
use crate::service::event::EventSender;
use crate::service::{AskError, Service, ServiceError};
use crate::store::{Epoch, Incarnation, Version};

/// How long a caller waits for the successor of an actor that died. Rebuilding takes one store
/// read; if that takes longer, the store is in trouble and the caller says so.
const SUCCESSOR_PATIENCE: Duration = Duration::from_secs(2);

/// How long a client may take for an answer that no person gives.
const MACHINE_PATIENCE: Duration = Duration::from_secs(60);

/// See the module docs. Cloning is cheap; a clone keeps the session's data, not the session.
#[derive(Clone)]
pub struct SessionHandle(Arc<Inner>);

pub(super) struct Inner {
    pub(super) id: SessionId,
    pub(super) negotiated: Negotiated,
    pub(super) service: Arc<dyn Service>,
    /// Who came last, and with which roles: what the session sees without being asked goes by it.
    caller: RwLock<Arc<Caller>>,
    pub(super) shared: Arc<Shared>,
    /// Where everything goes in a session that lives and dies with one connection (HTTP+SSE,
    /// stdio); `None` for a session that outlives its connections.
    pub(super) pipe: Option<EventSender>,
    pub(super) in_flight: InFlight,
    /// Milliseconds; moved on by every use.
    last_used: AtomicU64,
    /// The expiry the store knows, in milliseconds.
    pub(super) expiry_written: AtomicU64,
    /// What may change, and which write of it this is.
    changing: Mutex<(Changing, Version)>,
    /// Held while the session is at home here.
    place: Mutex<Option<Place>>,
    /// Where the present actor is found; nothing until a guest needs one.
    actor: Mutex<Option<Addr<Session>>>,
    /// Fires when `changing` has changed, and when there is another actor. One for both, because
    /// who waits for either looks again anyway.
    pub(super) news: Notify,
    pub(super) now_and_then: NowAndThen,
}

/// What a handle begins with.
pub(super) struct Beginning {
    pub(super) id: SessionId,
    pub(super) negotiated: Negotiated,
    pub(super) changing: Changing,
    pub(super) version: Version,
    pub(super) service: Arc<dyn Service>,
    /// Where everything goes in a session that lives with one connection.
    pub(super) pipe: Option<EventSender>,
    /// The expiry the store knows.
    pub(super) expires: Timestamp,
    pub(super) caller: Arc<Caller>,
}

impl Inner {
    /// Makes this the actor that is asked.
    pub(super) fn set_actor(&self, addr: Addr<Session>) {
        *self.actor.lock().unwrap_or_else(PoisonError::into_inner) = Some(addr);
        self.news.notify_waiters();
    }

    /// Whether it never had one: a guest that needed none so far.
    pub(super) fn sleeps(&self) -> bool {
        self.actor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
    }

    /// The present actor, unless it died and has no successor yet.
    pub(super) fn actor(&self) -> Option<Addr<Session>> {
        self.actor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .filter(Addr::connected)
    }
}

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionHandle").field(&self.0.id).finish()
    }
}

/// A call that has entered its session; leaving is dropping it.
#[derive(Debug)]
pub struct Entered {
    session: SessionHandle,
    id: RequestId,
    /// Fires when the client cancels the call or the session ends.
    pub cancel: CancellationToken,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.session.0.in_flight.exit(&self.id);
        self.session.used();
    }
}

/// Something that keeps a session in use, such as a stream; releasing is dropping it.
#[derive(Debug)]
pub struct Held(SessionHandle);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.in_flight.leave();
        self.0.used();
    }
}

/// An open question to the client. Dropped, the answer is no longer waited for.
#[derive(Debug)]
pub struct Question {
    session: SessionHandle,
    number: QuestionNumber,
    answer: oneshot::Receiver<Answer>,
    /// The id under which to ask: sealed, so that an answer finds the node that waits.
    pub id: RequestId,
}

impl Question {
    /// Waits for the answer.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn answer(&mut self, patience: Duration) -> Result<RawJson, AskError> {
        match tokio::time::timeout(patience, &mut self.answer).await {
            Ok(Ok(Ok(result))) => Ok(result),
            Ok(Ok(Err(error))) => Err(AskError::Refused(error)),
            Ok(Err(_)) => Err(AskError::Impossible("the session ended")),
            Err(_) => Err(AskError::TimedOut),
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if let Some(addr) = self.session.0.actor() {
            // Full only when the actor is hopelessly behind; the entry then stays until the
            // session ends, and there are at most `QUESTIONS_MAX`.
            drop(addr.try_send(GiveUpQuestion(self.number)));
        }
    }
}

impl SessionHandle {
    /// With a place it is at home here, without it is a guest.
    pub(super) fn new(beginning: Beginning, shared: Arc<Shared>, place: Option<Place>) -> Self {
        let now = shared.clock.now();
        Self(Arc::new(Inner {
            in_flight: InFlight::new(shared.config.calls_per_session),
            last_used: AtomicU64::new(now.0),
            expiry_written: AtomicU64::new(beginning.expires.0),
            changing: Mutex::new((beginning.changing, beginning.version)),
            place: Mutex::new(place),
            actor: Mutex::new(None),
            news: Notify::new(),
            now_and_then: NowAndThen::default(),
            id: beginning.id,
            negotiated: beginning.negotiated,
            service: beginning.service,
            caller: RwLock::new(beginning.caller),
            shared,
            pipe: beginning.pipe,
        }))
    }

    /// Who came last. Whoever restored it has not come yet, and may do nothing so far.
    #[must_use]
    pub fn caller(&self) -> Arc<Caller> {
        let caller = self.0.caller.read();
        caller.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its principal came again, perhaps with other roles than last time.
    pub fn visited_by(&self, caller: &Arc<Caller>) {
        let before = self.caller();
        // Who presents the same credential is mostly the same value, which costs one comparison.
        if !Arc::ptr_eq(&before, caller) && before != *caller {
            let mut last = self
                .0
                .caller
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            last.clone_from(caller);
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.0.id
    }

    /// What was negotiated.
    #[must_use]
    pub fn negotiated(&self) -> &Negotiated {
        &self.0.negotiated
    }

    /// Who answers its requests.
    #[must_use]
    pub fn service(&self) -> &Arc<dyn Service> {
        &self.0.service
    }

    /// Whether it lives and dies with one connection.
    #[must_use]
    pub fn is_piped(&self) -> bool {
        self.0.pipe.is_some()
    }

    /// Whether it is at home on this node.
    #[must_use]
    pub fn is_at_home(&self) -> bool {
        self.lock_place().is_some()
    }

    /// What may change, as it stands.
    #[must_use]
    pub fn changing(&self) -> Changing {
        self.lock_changing().0.clone()
    }

    /// Whether the client wants log messages of this level.
    #[must_use]
    pub fn wants_log(&self, level: LogLevel) -> bool {
        level >= self.lock_changing().0.log_level.unwrap_or(LogLevel::Info)
    }

    /// Enters a call.
    ///
    /// # Errors
    /// [`NotEntered`].
    pub fn enter(&self, id: &RequestId) -> Result<Entered, NotEntered> {
        let cancel = self.0.in_flight.enter(id)?;
        self.used();
        Ok(Entered {
            session: self.clone(),
            id: id.clone(),
            cancel,
        })
    }

    /// Keeps the session in use; `None` once it is closing.
    #[must_use]
    pub fn hold(&self) -> Option<Held> {
        self.0.in_flight.hold().then(|| {
            self.used();
            Held(self.clone())
        })
    }

    /// Cancels a running call by the client's id for it; `false` when none runs.
    #[must_use]
    pub fn cancel(&self, id: &RequestId) -> bool {
        self.0.in_flight.cancel(id)
    }

    /// Cancels a running call by the client's id for it, on whichever node it runs.
    pub fn cancel_anywhere(&self, id: RequestId) {
        if !self.cancel(&id) && !self.is_piped() {
            let shared = &self.0.shared;
            shared.announce(&self.0.id, News::Cancelled(id));
        }
    }

    /// Makes `connection` the standing stream, replaying what follows `after` first.
    ///
    /// # Errors
    /// When the session is gone, or the store cannot say whose stream it is.
    pub async fn attach(
        &self,
        connection: EventSender,
        after: Option<EventId>,
    ) -> Result<(), FindError> {
        let asked = self.ask_actor(|| Attach {
            connection: connection.clone(),
            after: after.clone(),
        });
        let attached = asked.await.map_err(|_| FindError::Unavailable)?;
        // Dropped: the session ended, or its actor died meanwhile.
        attached.await.unwrap_or(Err(FindError::Unavailable))
    }

    /// Opens a question to the client.
    ///
    /// # Errors
    /// [`AskError::Impossible`] when too many are open or the session cannot be reached.
    pub async fn open_question(&self) -> Result<Question, AskError> {
        let opened = self
            .ask_actor(|| OpenQuestion)
            .await
            .map_err(|_| AskError::Impossible("the session cannot be reached"))?;
        let (number, answer) = opened.ok_or(AskError::Impossible("too many questions are open"))?;
        Ok(Question {
            id: RequestId::String(self.0.shared.seal_question(&self.0.id, number).into()),
            session: self.clone(),
            number,
            answer,
        })
    }

    /// Takes the client's answer to a question, wherever it was asked. `false`: nobody waits for
    /// it, it is dropped.
    pub async fn answer(&self, response: Response) -> bool {
        let Some(RequestId::String(id)) = response.id else {
            return false;
        };
        let shared = &self.0.shared;
        match shared.open_question_id(&self.0.id, &id) {
            None => false,
            Some((node, number)) if node == shared.node.incarnation() => {
                self.answer_here(number, response.outcome).await
            }
            Some((node, number)) => {
                let news = News::Answered(number, response.outcome);
                shared.tell(node, &self.0.id, news);
                true
            }
        }
    }

    /// Takes the answer to a question that was asked here.
    pub(super) async fn answer_here(&self, number: QuestionNumber, answer: Answer) -> bool {
        let answered = self.ask_actor(|| AnswerQuestion {
            number,
            answer: answer.clone(),
        });
        answered.await.unwrap_or(false)
    }

    /// Ends the standing stream here, if it is older than the one that another node holds.
    pub(super) async fn superseded(&self, by: Epoch) {
        // A guest without an actor has no stream.
        if self.0.actor().is_some() {
            let told = self.ask_actor(|| Superseded(by)).await;
            drop(told);
        }
    }

    /// Takes over what another node wrote.
    pub(super) async fn reload(&self, changing: Changing, version: Version) {
        if self.0.actor().is_some() {
            let told = self.ask_actor(|| Reloaded(changing.clone(), version));
            drop(told.await);
        } else if self.version() < version {
            self.set_changing(changing, version);
        }
    }

    /// Keeps a watch until a standing stream watches the same and tells what it gathered.
    pub(super) fn keep_watch(&self, watch: Watch) {
        self.0.now_and_then.keep_watch(watch);
    }

    /// What was kept since this was last asked.
    pub(super) fn kept_watches(&self) -> Vec<Watch> {
        self.0.now_and_then.take_watches()
    }

    /// Changes state; returns when the change is in the store.
    ///
    /// # Errors
    /// [`ServiceError::Overloaded`] when the store is away or too many changes wait.
    pub async fn change(&self, change: Change) -> Result<(), ServiceError> {
        let waiting = self.ask_actor(|| MakeChange(change.clone())).await?;
        let overloaded = |what| ServiceError::Overloaded {
            what,
            retry_after: Duration::from_secs(1),
        };
        let waiting = waiting.ok_or_else(|| overloaded("too many changes wait in this session"))?;
        match waiting.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(overloaded("the session store is unavailable")),
            Err(_) => Err(ServiceError::Internal),
        }
    }

    /// How long a client should wait before it comes back.
    #[must_use]
    pub fn retry(&self) -> Duration {
        self.0.shared.config.retry
    }

    /// How long a question of this kind may stay open.
    #[must_use]
    pub fn patience(&self, kind: ClientRequestKind) -> Duration {
        if kind.is_human_paced() {
            self.0.shared.config.question_timeout
        } else {
            MACHINE_PATIENCE.min(self.0.shared.config.question_timeout)
        }
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    pub(super) fn set_changing(&self, changing: Changing, version: Version) {
        *self.lock_changing() = (changing, version);
        self.0.news.notify_waiters();
    }

    pub(super) fn version(&self) -> Version {
        self.lock_changing().1
    }

    /// Lets the store know that it is at home here now, if other nodes could ask.
    pub(super) fn settle_in(&self, home_before: Incarnation) {
        let shared = &self.0.shared;
        let here = shared.node.incarnation();
        if home_before == here || shared.node.is_alone() {
            return;
        }
        if let Some(addr) = self.0.actor() {
            // Not written, another node may count it as well, for a while.
            drop(addr.try_send(MakeChange(Change::Home(here))));
        }
    }

    /// It was used elsewhere, so that it lives until then.
    pub(super) fn used_until(&self, expires: Timestamp) {
        let idle_ttl = self.0.shared.config.idle_ttl.as_millis();
        let idle_ttl = u64::try_from(idle_ttl).unwrap_or(u64::MAX);
        let used = expires.0.saturating_sub(idle_ttl);
        self.0.last_used.fetch_max(used, Ordering::AcqRel);
    }

    /// Makes the session at home here. `false`: there is no room.
    pub(super) fn come_home(&self) -> bool {
        let mut place = self.lock_place();
        if place.is_none() {
            *place = Shared::take_place(&self.0.shared).ok();
        }
        place.is_some()
    }

    /// Gives its place back: it is a guest from now on, or gone. `false`: it had none.
    pub(super) fn leave_home(&self) -> bool {
        self.lock_place().take().is_some()
    }

    pub(super) fn used(&self) {
        self.0
            .last_used
            .fetch_max(self.0.shared.clock.now().0, Ordering::AcqRel);
    }

    pub(super) fn last_used(&self) -> Timestamp {
        Timestamp(self.0.last_used.load(Ordering::Acquire))
    }

    /// When the session ends if it is not used again.
    pub(super) fn expires(&self) -> Timestamp {
        let config = &self.0.shared.config;
        self.last_used()
            .after(config.idle_ttl)
            .min(self.0.negotiated.created.after(config.absolute_ttl))
    }

    /// Asks the actor, or its successor if it died just now.
    async fn ask_actor<M>(&self, message: impl Fn() -> M) -> Result<M::Result, ServiceError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Session: Actor + Handler<M>,
        <Session as Actor>::Context: ToEnvelope<Session, M>,
    {
        // Never more than twice: what is asked may be what kills the actor.
        let mut times_asked = 0;
        self.0.shared.awaken(self).await;
        while times_asked < 2 {
            let news = self.0.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if let Some(addr) = self.0.actor() {
                if let Ok(answer) = addr.send(message()).await {
                    return Ok(answer);
                }
                times_asked += 1;
            }
            if tokio::time::timeout(SUCCESSOR_PATIENCE, news)
                .await
                .is_err()
            {
                break;
            }
        }
        Err(ServiceError::Overloaded {
            what: "the session cannot be reached",
            retry_after: Duration::from_secs(1),
        })
    }

    fn lock_changing(&self) -> MutexGuard<'_, (Changing, Version)> {
        self.0
            .changing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_place(&self) -> MutexGuard<'_, Option<Place>> {
        self.0.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
