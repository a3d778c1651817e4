//! A task while it runs here: its record, its open questions, and those who wait for it.
//!
//! Whoever asks sees the record as it is in the store ([`super::run`] writes each change of status
//! there), so that nobody is told of an end that a crash could take back. A status message is no
//! change of status: it is seen at once, and written with the next one.
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
use crate::protocol::client_request::{ClientRequest, ClientRequestKind};
use crate::protocol::logging::LogLevel;
use crate::protocol::notification::ServerNotification;
use crate::protocol::raw::RawJson;
use crate::runtime::clock::Clock;
use crate::service::{AskError, Client, Outlet};
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
    /// The record as it was last written.
    written: Record,
    /// Where answers go, by the key of their question.
    waiting: HashMap<String, oneshot::Sender<RawJson>>,
    /// Session era: questions that no `tasks/result` has carried to the client yet.
    to_carry: VecDeque<Carried>,
    /// Session era: the calls of `tasks/result` that wait, oldest first.
    carriers: Vec<Carries>,
    carriers_so_far: u64,
}

/// A call of `tasks/result` that waits, and what its client can be asked.
struct Carries {
    number: u64,
    client: Arc<Client>,
    outlet: Arc<dyn Outlet>,
}

impl State {
    /// Who carries a question of this kind: the newest of those whose client can be asked it. An
    /// older one may be a connection that broke.
    fn carrier_of(&self, kind: ClientRequestKind) -> Option<u64> {
        let able = |it: &&Carries| it.client.capabilities.has(kind.needs());
        self.carriers.iter().rev().find(able).map(|it| it.number)
    }
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

/// A `tasks/result` that waits; what the task asks and says meanwhile goes its way.
pub(super) struct Carrier {
    live: Arc<Live>,
    number: u64,
}

impl Live {
    pub(super) fn new(id: Arc<str>, record: Record, clock: Clock, place: Place) -> Arc<Self> {
        Arc::new(Self {
            id,
            clock,
            state: Mutex::new(State {
                written: record.clone(),
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

    /// The record as others may see it.
    pub(super) fn seen(&self) -> Record {
        let state = self.lock();
        let mut seen = state.written.clone();
        if let Some(message) = state.record.message() {
            seen.note(message);
        }
        seen
    }

    /// Whether others see the record as it now stands.
    pub(super) fn is_shown(&self) -> bool {
        let state = self.lock();
        state.written == state.record
    }

    /// From now on others see the record like this.
    pub(super) fn show(&self, written: Record) {
        self.lock().written = written;
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
        let question = request.to_json();
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

    /// Lets what the task asks and says go the way of a `tasks/result` that waits.
    pub(super) fn carry_for(
        self: &Arc<Self>,
        client: Arc<Client>,
        outlet: Arc<dyn Outlet>,
    ) -> Carrier {
        let mut state = self.lock();
        state.carriers_so_far += 1;
        let number = state.carriers_so_far;
        state.carriers.push(Carries {
            number,
            client,
            outlet,
        });
        drop(state);
        self.changed();
        Carrier {
            live: self.clone(),
            number,
        }
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
        state.carriers.last().map(|it| it.outlet.clone())
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

impl Carrier {
    /// Waits until there is something to do.
    pub(super) async fn next(&self) -> Next {
        let mut changes = self.live.changes.subscribe();
        loop {
            {
                let mut state = self.live.lock();
                if let Some(end) = state.record.end() {
                    return Next::Ended(end.clone());
                }
                let mine = (state.to_carry.iter())
                    .position(|it| state.carrier_of(it.request.kind) == Some(self.number));
                if let Some(carried) = mine.and_then(|at| state.to_carry.remove(at)) {
                    return Next::Carry(Question {
                        live: self.live.clone(),
                        carried: Some(carried),
                    });
                }
            }
            // The sender lives in `live`, so it cannot be gone.
            drop(changes.changed().await);
        }
    }

    /// Waits until a question of this kind is not this one's to carry any more: the task has
    /// ended, or a newer call can carry it.
    pub(super) async fn relieved(&self, kind: ClientRequestKind) {
        let mut changes = self.live.changes.subscribe();
        loop {
            {
                let state = self.live.lock();
                if state.record.end().is_some() || state.carrier_of(kind) != Some(self.number) {
                    return;
                }
            }
            drop(changes.changed().await);
        }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        let mut state = self.live.lock();
        state.carriers.retain(|it| it.number != self.number);
        drop(state);
        self.live.changed();
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The id opens the task, so it never reaches a log.
        f.debug_struct("Live").finish_non_exhaustive()
    }
}
