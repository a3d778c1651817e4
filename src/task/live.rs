//! A task while it runs here: its record, its open questions, and those who wait for it.
//!
//! Whoever asks this node sees the record as it stands here; [`super::run`] writes each change of
//! status to the store and then announces it. A status message is no change of status: it is
//! written with the next one.
//!
//! Concurrency: the lock is held for the time of a change, never across an await.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::places::Place;
use super::record::{End, Record};
use super::wire;
use crate::protocol::client_request::ClientRequest;
use crate::protocol::logging::LogLevel;
use crate::protocol::notification::ServerNotification;
use crate::protocol::raw::RawJson;
use crate::runtime::clock::Clock;
use crate::service::{AskError, Outlet};
use crate::store::Scope;

/// A running task.
pub(super) struct Live {
    id: Arc<str>,
    clock: Clock,
    state: Mutex<State>,
    /// Moves with every change, for those who wait for one.
    changes: watch::Sender<u64>,
    /// Which of them is in the store, or will never be.
    kept: watch::Sender<u64>,
    /// Fires when the work shall end: cancelled, or its time is over.
    pub(super) cancel: CancellationToken,
    _place: Place,
}

struct State {
    record: Record,
    /// Where answers go, by the key of their question.
    waiting: HashMap<String, oneshot::Sender<RawJson>>,
    /// Session era: questions that no `tasks/result` has carried to the client yet.
    to_carry: VecDeque<Carried>,
    /// Session era: the calls of `tasks/result` that wait, oldest first.
    carriers: Vec<(u64, Arc<dyn Outlet>)>,
    carriers_so_far: u64,
}

/// A question of the session era on its way to the client.
struct Carried {
    key: String,
    request: ClientRequest,
    answer: oneshot::Sender<Result<RawJson, AskError>>,
}

/// What a `tasks/result` that waits has to do next.
pub(super) enum Next {
    /// The task has ended.
    Ended(End),
    /// A question is to be carried to the client.
    Carry(Question),
}

/// A question taken by a `tasks/result`; dropped without an answer, the next one takes it.
pub(super) struct Question {
    live: Arc<Live>,
    carried: Option<Carried>,
}

/// A `tasks/result` that waits; what the task says meanwhile goes its way.
pub(super) struct Carrier<'a> {
    live: &'a Live,
    number: u64,
}

impl Live {
    pub(super) fn new(id: Arc<str>, record: Record, clock: Clock, place: Place) -> Arc<Self> {
        Arc::new(Self {
            id,
            clock,
            state: Mutex::new(State {
                record,
                waiting: HashMap::new(),
                to_carry: VecDeque::new(),
                carriers: Vec::new(),
                carriers_so_far: 0,
            }),
            changes: watch::Sender::new(0),
            kept: watch::Sender::new(0),
            cancel: CancellationToken::new(),
            _place: place,
        })
    }

    pub(super) fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub(super) fn record(&self) -> Record {
        self.lock().record.clone()
    }

    /// Notes how far the work is.
    pub(super) fn note(&self, message: &str) {
        self.lock().record.note(message);
    }

    /// Puts questions together; each answer comes when `tasks/update` brings it. `None` when the
    /// task has ended.
    pub(super) fn ask_all(
        &self,
        questions: Vec<(String, RawJson)>,
    ) -> Option<Vec<(String, oneshot::Receiver<RawJson>)>> {
        let now = self.clock.now();
        let mut state = self.lock();
        let mut answers = Vec::new();
        for (key, question) in questions {
            let open = state.record.ask(now, &key, question)?;
            let (tx, rx) = oneshot::channel();
            state.waiting.insert(open, tx);
            answers.push((key, rx));
        }
        drop(state);
        self.changed();
        Some(answers)
    }

    /// Takes answers to open questions. Others are ignored: unknown, or answered before. Returns
    /// whether any was taken.
    pub(super) fn answer(&self, answers: impl IntoIterator<Item = (String, RawJson)>) -> bool {
        let now = self.clock.now();
        let mut state = self.lock();
        let mut taken = Vec::new();
        for (key, answer) in answers {
            if state.record.settle(now, &key)
                && let Some(waiting) = state.waiting.remove(&key)
            {
                taken.push((waiting, answer));
            }
        }
        drop(state);
        let any = !taken.is_empty();
        if any {
            self.changed();
        }
        for (waiting, answer) in taken {
            // The work may have ended meanwhile; then the answer is of no use to anybody.
            drop(waiting.send(answer));
        }
        any
    }

    /// Puts a question of the session era, which a `tasks/result` carries to the client.
    pub(super) fn ask(
        &self,
        request: ClientRequest,
    ) -> Option<oneshot::Receiver<Result<RawJson, AskError>>> {
        let now = self.clock.now();
        let (answer, answered) = oneshot::channel();
        let mut state = self.lock();
        let question = RawJson::of(&request.to_value());
        let key = state.record.ask(now, "question", question)?;
        let request = ClientRequest {
            params: request.params.with_meta(&wire::related(&self.id)),
            ..request
        };
        state.to_carry.push_back(Carried {
            key,
            request,
            answer,
        });
        drop(state);
        self.changed();
        Some(answered)
    }

    /// Ends it. `false` when it has ended before.
    pub(super) fn finish(&self, end: End) -> bool {
        let mut state = self.lock();
        let ends = state.record.finish(self.clock.now(), end);
        if ends {
            state.waiting.clear();
            state.to_carry.clear();
        }
        drop(state);
        if ends {
            self.changed();
        }
        ends
    }

    /// Waits until there is something for a `tasks/result` to do.
    pub(super) async fn next(self: &Arc<Self>) -> Next {
        let mut changes = self.changes.subscribe();
        loop {
            {
                let mut state = self.lock();
                if let Some(end) = state.record.end() {
                    return Next::Ended(end.clone());
                }
                if let Some(carried) = state.to_carry.pop_front() {
                    return Next::Carry(Question {
                        live: self.clone(),
                        carried: Some(carried),
                    });
                }
            }
            // The sender lives in `self`, so it cannot be gone.
            let _changed = changes.changed().await;
        }
    }

    /// Lets what the task says go the way of a `tasks/result` that waits.
    pub(super) fn carry_for(&self, outlet: Arc<dyn Outlet>) -> Carrier<'_> {
        let mut state = self.lock();
        state.carriers_so_far += 1;
        let number = state.carriers_so_far;
        state.carriers.push((number, outlet));
        Carrier { live: self, number }
    }

    /// Says something to the client, if somebody waits who can carry it.
    pub(super) async fn say(&self, notification: ServerNotification) {
        if let Some(outlet) = self.carrier() {
            let params = notification.params.with_meta(&wire::related(&self.id));
            outlet
                .notify(ServerNotification {
                    params,
                    ..notification
                })
                .await;
        }
    }

    pub(super) fn wants_log(&self, level: LogLevel) -> bool {
        self.carrier().is_some_and(|outlet| outlet.wants_log(level))
    }

    fn carrier(&self) -> Option<Arc<dyn Outlet>> {
        let state = self.lock();
        state.carriers.last().map(|(_, outlet)| outlet.clone())
    }

    /// The changes to come, for whoever writes them.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Everything up to this change is in the store, or never will be; after the last one that is
    /// written, `u64::MAX`.
    pub(super) fn keep(&self, change: u64) {
        self.kept.send_replace(change);
    }

    /// Waits until everything up to now is in the store.
    pub(super) async fn kept(&self) {
        let change = *self.changes.borrow();
        // The sender lives in `self`, so it cannot be gone.
        drop(self.kept.subscribe().wait_for(|kept| *kept >= change).await);
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The scope in the store that holds a task.
pub(super) fn scope(id: &str) -> Scope {
    Scope(format!("task:{id}").into())
}

impl Question {
    pub(super) fn request(&self) -> ClientRequest {
        let carried = self.carried.as_ref();
        carried
            .map(|carried| carried.request.clone())
            .expect("invariant: a question is held until it is answered")
    }

    /// Brings the answer back. The question is then open no more.
    pub(super) fn answered(mut self, answer: Result<RawJson, AskError>) {
        if let Some(carried) = self.carried.take() {
            let now = self.live.clock.now();
            self.live.lock().record.settle(now, &carried.key);
            self.live.changed();
            // The work may have ended meanwhile.
            drop(carried.answer.send(answer));
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if let Some(carried) = self.carried.take() {
            let mut state = self.live.lock();
            if state.record.end().is_none() {
                state.to_carry.push_front(carried);
            }
            drop(state);
            self.live.changed();
        }
    }
}

impl Drop for Carrier<'_> {
    fn drop(&mut self) {
        let mut state = self.live.lock();
        state.carriers.retain(|(number, _)| *number != self.number);
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The id opens the task, so it never reaches a log.
        f.debug_struct("Live").finish_non_exhaustive()
    }
}
