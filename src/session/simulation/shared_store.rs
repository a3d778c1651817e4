//! The store that the nodes share, and their ways to it.
//!
//! It is the real store in memory, which answers at once; what takes time or fails is the way.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;

use super::event::{Answer, Ask, At, By, Event, Purpose, incarnation};
use super::nodes::LEASE;
use super::world::World;
use crate::runtime::clock::{Clock, Timestamp};
use crate::session::event_log::{NOBODY, OwnedLog, StreamName};
use crate::store::memory::MemoryStore;
use crate::store::{
    Bounds, Epoch, LogEntry, LogPage, Ownership, Scope, Store, StoreError, StoreFuture, StoreResult,
};

/// Entries read at once: few, so that reading takes turns.
pub(super) const PAGE: usize = 3;

pub(super) struct SharedStore {
    store: Arc<dyn Store>,
    scope: Scope,
    stream: StreamName,
}

impl SharedStore {
    /// A store with one session, whose stream belongs to the first of these nodes. It keeps that
    /// many entries.
    pub(super) fn begin(clock: &Clock, nodes: usize, kept: usize) -> Self {
        let bounds = Bounds {
            log_entries: kept,
            ..Bounds::default()
        };
        let shared = Self {
            store: Arc::new(MemoryStore::new(clock.clone(), bounds)),
            scope: Scope("session".into()),
            stream: StreamName::standing(),
        };
        let forever = Timestamp(u64::MAX);
        now(shared.store.create(&shared.scope, Bytes::new(), forever)).expect("it is created");
        for node in 0..nodes {
            let lease = Duration::from_millis(LEASE);
            now(shared.store.renew(incarnation(node), lease)).expect("it is held");
        }
        let (scope, stream) = (shared.scope.clone(), &shared.stream);
        let begun = OwnedLog::begin(
            shared.store.clone(),
            scope,
            stream,
            incarnation(0),
            Bytes::new(),
        );
        let begun = begun.now_or_never().expect("it answers at once");
        assert!(matches!(begun, Ok(Some(_))), "the stream begins");
        shared
    }

    /// The log after that number.
    pub(super) fn all_after(&self, after: u64) -> Vec<LogEntry> {
        match self.read(after, usize::MAX, None) {
            Ok(LogPage::Entries { entries, .. }) => entries,
            page => panic!("the log is gone: {page:?}"),
        }
    }

    fn read(&self, after: u64, limit: usize, follower: Option<At>) -> StoreResult<LogPage> {
        let (scope, thing) = (&self.scope, self.stream.thing());
        let follower = follower.map(incarnation);
        now(self.store.read_log(scope, &thing, after, limit, follower))
    }

    fn ownership(&self) -> StoreResult<Option<Ownership>> {
        now(self.store.ownership(&self.scope, &self.stream.thing()))
    }

    fn log(&self, epoch: Epoch) -> OwnedLog {
        OwnedLog::under(self.store.clone(), self.scope.clone(), &self.stream, epoch)
    }
}

impl World {
    /// A node asks the store. Appends of the call keep their order; all else may pass each other.
    pub(super) fn ask(&mut self, node: At, ask: Ask) {
        let mut arrives = self.now + self.delay();
        if let Ask::Append(By::Call, ..) = ask {
            arrives = arrives.max(self.call.asked_until);
            self.call.asked_until = arrives;
        }
        self.at(arrives, Event::Asked(node, ask));
    }

    pub(super) fn asked(&mut self, node: At, ask: Ask) {
        let reached = self.nodes[node].cut_off_until <= self.now;
        // It may be the answer that is lost.
        let done = (reached || self.random.one_in(3)).then(|| self.done(node, &ask));
        let answer = done.filter(|_| reached).unwrap_or_else(|| no_answer(&ask));
        let mut arrives = self.now + self.delay();
        if let Ask::Append(By::Call, ..) = ask {
            arrives = arrives.max(self.call.answered_until);
            self.call.answered_until = arrives;
        }
        self.at(arrives, Event::Answered(node, answer));
    }

    fn done(&mut self, node: At, ask: &Ask) -> Answer {
        match ask {
            Ask::Append(by, epoch, append) => {
                let outcome = now(self.store.log(*epoch).append(append.clone()));
                self.witness.appended(*by, *epoch, append, &outcome);
                Answer::Append(*by, outcome)
            }
            Ask::Own(purpose) => Answer::Own(*purpose, self.store.ownership()),
            Ask::PassOn(purpose, epoch) => {
                let to = match purpose {
                    Purpose::Mend => incarnation(node),
                    Purpose::Leave => NOBODY,
                };
                let claim = self.store.log(*epoch).take_over(to, Bytes::new());
                Answer::PassOn(*purpose, now(claim))
            }
            Ask::Disown(reader, epoch) => {
                let outcome = now(self.store.log(*epoch).disown(Bytes::new()));
                self.disowned(&outcome);
                Answer::Disown(*reader, outcome)
            }
            Ask::Read(reader, after) => {
                Answer::Read(*reader, self.store.read(*after, PAGE, Some(node)))
            }
            Ask::Look(connection, after) => {
                Answer::Look(*connection, *after, self.store.read(*after, 1, None))
            }
            Ask::Owner(reader) => Answer::Owner(*reader, self.store.ownership()),
            Ask::Renew => {
                self.nodes[node].renews(self.now);
                let lease = Duration::from_millis(LEASE);
                Answer::Renew(now(self.store.store.renew(incarnation(node), lease)))
            }
        }
    }
}

fn no_answer(ask: &Ask) -> Answer {
    fn away<T>() -> StoreResult<T> {
        Err(StoreError::Unavailable(String::new()))
    }
    match ask {
        Ask::Append(by, ..) => Answer::Append(*by, away()),
        Ask::Own(purpose) => Answer::Own(*purpose, away()),
        Ask::PassOn(purpose, _) => Answer::PassOn(*purpose, away()),
        Ask::Disown(reader, _) => Answer::Disown(*reader, away()),
        Ask::Read(reader, _) => Answer::Read(*reader, away()),
        Ask::Look(connection, after) => Answer::Look(*connection, *after, away()),
        Ask::Owner(reader) => Answer::Owner(*reader, away()),
        Ask::Renew => Answer::Renew(away()),
    }
}

fn now<T>(asked: StoreFuture<T>) -> StoreResult<T> {
    asked.now_or_never().expect("it answers at once")
}
