//! The session actor: translates messages into the state machine's inputs, and its effects into
//! work.
//!
//! It holds what cannot be a plain value: connections waiting for their epoch, those who wait for
//! answers and writes, the task of the standing stream. Nothing waits in a handler: store work is
//! spawned on the main runtime and comes back as a message.
//!
//! A panic in here kills the actor (actix restarts nothing after one). Its [`DeathNotice`] then
//! tells the registry, which builds a new one from the checkpoint.

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, MessageResult};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::checkpoint;
use super::event_log::{EventId, LogWriter, OwnedLog, StreamName};
use super::handle::SessionHandle;
use super::letters::News;
use super::messages::{
    Answer, AnswerQuestion, Attach, Claimed, Died, End, GiveUpQuestion, MakeChange, OpenQuestion,
    Reloaded, StreamEnded, Superseded, Written,
};
use super::record::Changing;
use super::sessions::FindError;
use super::standing_stream::StandingStream;
use super::state::{Attempt, Effect, QuestionNumber, State, Ticket};
use crate::runtime::ratelimited::warn_ratelimited;
use crate::runtime::sabotage::{self, Bug};
use crate::runtime::seal;
use crate::runtime::tasks::TaskKind;
use crate::service::event::EventSender;
use crate::store::{self, CasOutcome, ClaimOutcome, Epoch, Ownership, StoreError, Version};

/// Messages that may wait for one session. Its calls do not pass here, so what queues is a few
/// questions and changes; 64 is far above what one client does at once.
const MAILBOX: usize = 64;

/// See the module docs.
pub struct Session {
    handle: SessionHandle,
    state: State,
    version: Version,
    /// Ends the task of the standing stream when replaced or dropped. What it was about to say is
    /// in its log by then, or nobody has heard of it.
    standing: Option<AbortOnDropHandle<()>>,
    /// Apart, because in most sessions nobody waits most of the time.
    waiting: Option<Box<Waiting>>,
    notice: DeathNotice,
}

/// Who waits for the actor. Lists, because they are short; a map would keep its table.
#[derive(Default)]
struct Waiting {
    /// Connections that wait for their epoch.
    attaching: Vec<(Attempt, Attaching)>,
    questions: Vec<(QuestionNumber, oneshot::Sender<Answer>)>,
    changes: Vec<(Ticket, oneshot::Sender<Result<(), StoreError>>)>,
}

/// A connection on its way to being the standing stream.
struct Attaching {
    connection: EventSender,
    after: Option<EventId>,
    /// Who waits to hear whether it is.
    told: oneshot::Sender<Result<(), FindError>>,
    /// Where the stream's log stands; known once the epoch is raised.
    last_seq: u64,
}

/// Tells the registry when its actor is dropped without having been told to end.
struct DeathNotice {
    handle: SessionHandle,
    ended: bool,
}

impl Drop for DeathNotice {
    fn drop(&mut self) {
        if !self.ended {
            let id = self.handle.id().clone();
            self.handle.inner().shared.tell_registry_of_death(Died(id));
        }
    }
}

/// Takes what is kept under `key`.
fn take<K: PartialEq, V>(list: &mut Vec<(K, V)>, key: K) -> Option<V> {
    let at = list.iter().position(|(known, _)| *known == key)?;
    Some(list.swap_remove(at).1)
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("handle", &self.handle)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Starts the actor of a session on its arbiter and makes it the one the handle finds.
    pub(super) fn start(handle: &SessionHandle) {
        let arbiter = handle.inner().shared.arbiters.place(handle.id());
        let session = handle.clone();
        let addr = Self::start_in_arbiter(&arbiter, move |ctx: &mut Context<Self>| {
            ctx.set_mailbox_capacity(MAILBOX);
            Self {
                notice: DeathNotice {
                    handle: session.clone(),
                    ended: false,
                },
                version: session.version(),
                state: State::new(session.changing(), u64::from_be_bytes(seal::random())),
                handle: session,
                standing: None,
                waiting: None,
            }
        });
        handle.inner().set_actor(addr);
    }

    fn perform(&mut self, effects: impl IntoIterator<Item = Effect>, ctx: &mut Context<Self>) {
        for effect in effects {
            match effect {
                Effect::Claim(attempt) => self.claim(attempt, ctx),
                Effect::StopStanding => self.standing = None,
                Effect::StartStanding(attempt, epoch) => self.start_standing(attempt, epoch),
                // A newer one is the standing stream; this one was, as far as its client can tell.
                Effect::Discard(attempt) => self.attached(attempt, Ok(())),
                Effect::Write(changing) => self.write(&changing, ctx),
                Effect::Announce => {
                    let shared = &self.handle.inner().shared;
                    shared.announce(self.handle.id(), News::Changed);
                }
                Effect::Settled(tickets) => self.settle(tickets, &Ok(())),
            }
        }
    }

    /// Takes one that waits. Gives the lists back when nobody waits any more.
    fn take_waiting<T>(&mut self, take: impl FnOnce(&mut Waiting) -> Option<T>) -> Option<T> {
        let waiting = self.waiting.as_mut()?;
        let taken = take(waiting);
        if waiting.attaching.is_empty()
            && waiting.questions.is_empty()
            && waiting.changes.is_empty()
        {
            self.waiting = None;
        }
        taken
    }

    fn take_attaching(&mut self, attempt: Attempt) -> Option<Attaching> {
        self.take_waiting(|all| take(&mut all.attaching, attempt))
    }

    /// Says how an attempt ended that did not become the standing stream.
    fn attached(&mut self, attempt: Attempt, outcome: Result<(), FindError>) {
        if let Some(attaching) = self.take_attaching(attempt) {
            // Whoever asked may have gone.
            let _gone = attaching.told.send(outcome);
        }
    }

    fn claim(&self, attempt: Attempt, ctx: &Context<Self>) {
        let shared = self.handle.inner().shared.clone();
        let scope = self.handle.id().scope();
        let me = ctx.address();
        if self.handle.is_piped() {
            // Nobody else can hold the stream of a session that lives with one connection.
            let outcome = Ok(ClaimOutcome::Claimed(store::Claimed {
                ownership: Ownership {
                    epoch: Epoch(attempt.0),
                    owner: shared.node.incarnation(),
                    note: Bytes::new(),
                },
                last_seq: 0,
                ended: false,
                previous: None,
            }));
            drop(me.try_send(Claimed { attempt, outcome }));
            return;
        }
        if !shared.node.holds_lease() {
            let error = "this node does not hold its lease".to_owned();
            let outcome = Err(StoreError::Unavailable(error));
            drop(me.try_send(Claimed { attempt, outcome }));
            return;
        }
        let tasks = shared.tasks.clone();
        tasks.spawn(TaskKind::Store, async move {
            let thing = StreamName::standing().thing();
            let outcome = shared
                .store
                .claim(
                    &scope,
                    &thing,
                    shared.node.incarnation(),
                    None,
                    Bytes::new(),
                )
                .await;
            // Closed: the session ended meanwhile, and with it the connection that waits.
            let _closed = me.send(Claimed { attempt, outcome }).await;
        });
    }

    fn start_standing(&mut self, attempt: Attempt, epoch: Epoch) {
        let Some(Attaching {
            connection,
            after,
            told,
            last_seq,
        }) = self.take_attaching(attempt)
        else {
            return;
        };
        let Some(held) = self.handle.hold() else {
            return;
        };
        // Whoever asked may have gone; the stream finds out by itself.
        let _gone = told.send(Ok(()));
        // Where its standing stream is, a session is at home.
        if !self.handle.is_at_home() && self.handle.come_home() {
            self.handle.settle_in(self.handle.changing().home);
        }
        let shared = &self.handle.inner().shared;
        let log = (!self.handle.is_piped()).then(|| {
            let (store, scope) = (shared.store.clone(), self.handle.id().scope());
            let log = OwnedLog::under(store, scope, &StreamName::standing(), epoch);
            LogWriter::carry_on(log, last_seq)
        });
        let mut stream = StandingStream {
            handle: self.handle.clone(),
            log,
            connection,
            after,
            seen: self.handle.changing().seen,
        };
        // Boxed, because a task is laid out in steps of 128 bytes and more is lost to align it.
        let standing = Box::pin(async move {
            let watch = stream.run().await;
            drop(held);
            // Looked up only now: every address that is kept costs memory. Closed: the session
            // ended, and its watch with it.
            if let Some(session) = stream.handle.inner().actor() {
                let _closed = Box::pin(session.send(StreamEnded { epoch, watch })).await;
            }
        });
        let running = shared.tasks.spawn(TaskKind::Stream, standing);
        self.standing = Some(AbortOnDropHandle::new(running));
    }

    fn write(&self, changing: &Changing, ctx: &Context<Self>) {
        let me = ctx.address();
        if self.handle.is_piped() {
            let outcome = Ok(CasOutcome::Written(self.version));
            drop(me.try_send(Written { outcome }));
            return;
        }
        let value = checkpoint::encode(self.handle.negotiated(), changing);
        let shared = self.handle.inner().shared.clone();
        let scope = self.handle.id().scope();
        let expected = self.version;
        let tasks = shared.tasks.clone();
        tasks.spawn(TaskKind::Store, async move {
            let store = &shared.store;
            let mut outcome = store.compare_and_set(&scope, expected, value.clone()).await;
            if sabotage::is(Bug::ResurrectionAfterDelete) && outcome == Ok(CasOutcome::Gone) {
                let expires = shared.clock.now().after(shared.config.idle_ttl);
                let created = store.create(&scope, value, expires).await;
                outcome = created.map(|_| CasOutcome::Written(Version(1)));
            }
            let _closed = me.send(Written { outcome }).await;
        });
    }

    fn settle(&mut self, tickets: Vec<Ticket>, outcome: &Result<(), StoreError>) {
        for ticket in tickets {
            if let Some(waiting) = self.take_waiting(|all| take(&mut all.changes, ticket)) {
                // Whoever made the change may have gone.
                drop(waiting.send(outcome.clone()));
            }
        }
    }

    fn end(&mut self, ctx: &mut Context<Self>) {
        self.notice.ended = true;
        self.state.close();
        self.standing = None;
        self.waiting = None;
        ctx.stop();
    }
}

impl Actor for Session {
    type Context = Context<Self>;
}

impl Handler<Attach> for Session {
    type Result = MessageResult<Attach>;

    fn handle(&mut self, message: Attach, ctx: &mut Context<Self>) -> Self::Result {
        let (attempt, effect) = self.state.attach();
        let (told, attached) = oneshot::channel();
        let attaching = Attaching {
            connection: message.connection,
            after: message.after,
            told,
            last_seq: 0,
        };
        let waiting = self.waiting.get_or_insert_default();
        waiting.attaching.push((attempt, attaching));
        self.perform([effect], ctx);
        MessageResult(attached)
    }
}

impl Handler<Claimed> for Session {
    type Result = ();

    fn handle(&mut self, message: Claimed, ctx: &mut Context<Self>) {
        match message.outcome {
            Ok(ClaimOutcome::Claimed(claimed)) => {
                let attempt = message.attempt;
                let waiting = self.waiting.iter_mut();
                for (key, attaching) in waiting.flat_map(|all| &mut all.attaching) {
                    if *key == attempt {
                        attaching.last_seq = claimed.last_seq;
                    }
                }
                let epoch = claimed.ownership.epoch;
                let shared = &self.handle.inner().shared;
                let here = shared.node.incarnation();
                if let Some(previous) = claimed.previous.filter(|node| *node != here) {
                    shared.tell(previous, self.handle.id(), News::Superseded(epoch));
                    shared.taken_over(&self.handle, epoch);
                }
                let effects = self.state.claimed(message.attempt, epoch);
                self.perform(effects, ctx);
            }
            Ok(ClaimOutcome::Lost | ClaimOutcome::Gone) => {
                self.attached(message.attempt, Err(FindError::NotFound));
            }
            Err(error) => {
                tracing::debug!(%error, "a standing stream could not be attached");
                self.attached(message.attempt, Err(FindError::Unavailable));
            }
        }
    }
}

impl Handler<StreamEnded> for Session {
    type Result = ();

    fn handle(&mut self, message: StreamEnded, _: &mut Context<Self>) {
        // One that was replaced has nothing to give back: its successor watches for itself.
        if self.state.stream_ended(message.epoch) {
            self.standing = None;
            if let Some(watch) = message.watch
                && !self.state.changing().subscriptions.is_empty()
            {
                self.handle.keep_watch(watch);
            }
        }
    }
}

impl Handler<OpenQuestion> for Session {
    type Result = MessageResult<OpenQuestion>;

    fn handle(&mut self, _: OpenQuestion, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.state.ask().map(|number| {
            let (tx, rx) = oneshot::channel();
            let waiting = self.waiting.get_or_insert_default();
            waiting.questions.push((number, tx));
            (number, rx)
        }))
    }
}

impl Handler<GiveUpQuestion> for Session {
    type Result = ();

    fn handle(&mut self, GiveUpQuestion(number): GiveUpQuestion, _: &mut Context<Self>) {
        self.state.settle_question(number);
        drop(self.take_waiting(|all| take(&mut all.questions, number)));
    }
}

impl Handler<AnswerQuestion> for Session {
    type Result = bool;

    fn handle(&mut self, message: AnswerQuestion, _: &mut Context<Self>) -> bool {
        self.state.settle_question(message.number)
            && self
                .take_waiting(|all| take(&mut all.questions, message.number))
                .is_some_and(|waiting| waiting.send(message.answer).is_ok())
    }
}

impl Handler<MakeChange> for Session {
    type Result = MessageResult<MakeChange>;

    fn handle(&mut self, MakeChange(change): MakeChange, ctx: &mut Context<Self>) -> Self::Result {
        let Some((ticket, effect)) = self.state.change(change) else {
            return MessageResult(None);
        };
        let (tx, rx) = oneshot::channel();
        let waiting = self.waiting.get_or_insert_default();
        waiting.changes.push((ticket, tx));
        self.perform(effect, ctx);
        MessageResult(Some(rx))
    }
}

impl Handler<Written> for Session {
    type Result = ();

    fn handle(&mut self, message: Written, ctx: &mut Context<Self>) {
        let effects = match message.outcome {
            Ok(CasOutcome::Written(version)) => {
                self.version = version;
                let effects = self.state.written();
                self.handle
                    .set_changing(self.state.changing().clone(), version);
                effects
            }
            Ok(CasOutcome::Lost(record)) => match checkpoint::decode(&record.value) {
                Ok((_, theirs)) => {
                    self.version = record.version;
                    self.state.lost(theirs).into_iter().collect()
                }
                Err(error) => {
                    tracing::error!(%error, "a session checkpoint cannot be read");
                    self.fail(&StoreError::Damaged(error.to_string()))
                }
            },
            Ok(CasOutcome::Gone) => self.fail(&StoreError::Unavailable("the session ended".into())),
            Err(error) => {
                warn_ratelimited!("a session's change could not be written", %error);
                self.fail(&error)
            }
        };
        self.perform(effects, ctx);
    }
}

impl Session {
    fn fail(&mut self, error: &StoreError) -> Vec<Effect> {
        let (tickets, effect) = self.state.failed();
        self.settle(tickets, &Err(error.clone()));
        effect.into_iter().collect()
    }
}

impl Handler<Superseded> for Session {
    type Result = ();

    fn handle(&mut self, Superseded(by): Superseded, ctx: &mut Context<Self>) {
        let effect = self.state.superseded(by);
        if effect.is_some() {
            self.handle.leave_home();
        }
        self.perform(effect, ctx);
    }
}

impl Handler<Reloaded> for Session {
    type Result = ();

    fn handle(&mut self, Reloaded(theirs, version): Reloaded, _: &mut Context<Self>) {
        if self.version < version && self.state.reloaded(theirs.clone()) {
            self.version = version;
            self.handle.set_changing(theirs, version);
        }
    }
}

impl Handler<End> for Session {
    type Result = ();

    fn handle(&mut self, _: End, ctx: &mut Context<Self>) {
        self.end(ctx);
    }
}

#[cfg(test)]
impl Handler<super::messages::Panic> for Session {
    type Result = ();

    fn handle(&mut self, _: super::messages::Panic, _: &mut Context<Self>) {
        panic!("a bug in a session actor");
    }
}
