//! The store in this process's memory: for tests, harnesses, and servers that may forget.
//!
//! [`MemoryStore`] keeps everything of a scope in one entry of [`scopes::Scopes`], so removal is
//! atomic per scope, and inboxes beside them. Its parts are values that the embedded store uses as
//! well, in front of its files.
//!
//! It does not survive the process; [`crate::store::embedded`] does.
//!
//! Concurrency: every operation but `receive` is complete when the method returns, whether or not
//! its future is polled; so appends keep the order in which they were called.

mod event_log;
mod inbox;
mod leases;
mod scopes;
mod single_thing;
mod things;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::ready;

use crate::runtime::clock::{Clock, Timestamp};
use crate::store::{
    AppendOutcome, Bounds, CasOutcome, ClaimOutcome, Epoch, InboxPage, Incarnation, LogEntry,
    LogPage, Ownership, Record, Renewed, Scope, Store, StoreFuture, StoreResult, Thing, Version,
};

pub(in crate::store) use event_log::EventLog;
pub(in crate::store) use inbox::Inboxes;
pub(in crate::store) use leases::Leases;
pub(in crate::store) use scopes::{JudgedAppend, Scopes};
pub(in crate::store) use single_thing::{Head, SingleThing};

/// State that lives as long as this value.
pub struct MemoryStore {
    scopes: Scopes<Row>,
    inboxes: Inboxes,
    leases: Leases,
}

/// A record without its expiry, which the scope keeps.
#[derive(Debug)]
struct Row {
    value: Bytes,
    version: Version,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Clock, bounds: Bounds) -> Self {
        Self {
            inboxes: Inboxes::new(clock.clone(), bounds.inbox_messages),
            leases: Leases::new(clock.clone()),
            scopes: Scopes::new(clock, bounds),
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("event_bytes", &self.scopes.bytes())
            .finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    fn describe(&self) -> String {
        "memory".into()
    }

    fn create(&self, scope: &Scope, value: Bytes, expires: Timestamp) -> StoreFuture<bool> {
        let row = Row {
            value,
            version: Version(1),
        };
        let room = self.scopes.room();
        done(room.map(|()| self.scopes.create(scope, row, expires)))
    }

    fn read(&self, scope: &Scope) -> StoreFuture<Option<Record>> {
        let living = self.scopes.get(scope);
        done(Ok(
            living.map(|living| living.record.with_expiry(living.expires))
        ))
    }

    fn compare_and_set(
        &self,
        scope: &Scope,
        expected: Version,
        value: Bytes,
    ) -> StoreFuture<CasOutcome> {
        let outcome = match self.scopes.get_mut(scope) {
            None => CasOutcome::Gone,
            Some(living) if living.record.version != expected => {
                CasOutcome::Lost(living.record.with_expiry(living.expires))
            }
            Some(mut living) => {
                let version = Version(expected.0 + 1);
                living.record = Row { value, version };
                CasOutcome::Written(version)
            }
        };
        done(Ok(outcome))
    }

    fn touch(&self, scopes: Vec<(Scope, Timestamp)>) -> StoreFuture<()> {
        for (scope, expires) in &scopes {
            self.scopes.touch(scope, *expires);
        }
        done(Ok(()))
    }

    fn remove(&self, scope: &Scope) -> StoreFuture<bool> {
        done(Ok(self.scopes.remove(scope)))
    }

    fn claim(
        &self,
        scope: &Scope,
        thing: &Thing,
        owner: Incarnation,
        ending: Option<Epoch>,
        note: Bytes,
    ) -> StoreFuture<ClaimOutcome> {
        done(Ok(self.scopes.claim((scope, thing), ending, (owner, note))))
    }

    fn ownership(&self, scope: &Scope, thing: &Thing) -> StoreFuture<Option<Ownership>> {
        done(Ok(self.scopes.ownership(scope, thing)))
    }

    fn append(
        &self,
        scope: &Scope,
        thing: &Thing,
        epoch: Epoch,
        entries: Vec<LogEntry>,
        ends: bool,
    ) -> StoreFuture<AppendOutcome> {
        done(self.scopes.append((scope, thing), epoch, entries, ends))
    }

    fn read_log(
        &self,
        scope: &Scope,
        thing: &Thing,
        after: u64,
        limit: usize,
        follower: Option<Incarnation>,
    ) -> StoreFuture<LogPage> {
        let page = self
            .scopes
            .read_log((scope, thing), (after, limit), follower);
        done(Ok(page))
    }

    fn post(&self, to: Incarnation, message: Bytes) -> StoreFuture<()> {
        done(self.inboxes.post(to, message))
    }

    fn receive(&self, inbox: Incarnation, cursor: u64, wait: Duration) -> StoreFuture<InboxPage> {
        self.inboxes.receive(inbox, cursor, wait).map(Ok).boxed()
    }

    fn renew(&self, node: Incarnation, lease: Duration) -> StoreFuture<Renewed> {
        done(Ok(self.leases.renew(node, lease)))
    }

    fn retire(&self, node: Incarnation) -> StoreFuture<()> {
        self.leases.retire(node);
        done(Ok(()))
    }

    fn sweep(&self) -> StoreFuture<Vec<Scope>> {
        self.scopes.remove_aged_logs();
        self.inboxes.sweep();
        let mut expired = self.scopes.expired();
        expired.retain(|scope| self.scopes.remove_expired(scope));
        done(Ok(expired))
    }

    fn flush(&self) -> StoreFuture<()> {
        done(Ok(()))
    }
}

impl Row {
    fn with_expiry(&self, expires: Timestamp) -> Record {
        Record {
            value: self.value.clone(),
            version: self.version,
            expires,
        }
    }
}

fn done<T: Send + 'static>(result: StoreResult<T>) -> StoreFuture<T> {
    ready(result).boxed()
}
