//! All scopes of one process: what lives, until when, and what its single things hold.
//!
//! [`Scopes`] maps each scope to one entry that holds everything of it, so that removing a scope
//! is one act and nothing of it can come back. `R` is what a store keeps of the record itself: the
//! memory store the whole of it, the embedded store only which record it is. Here are the records
//! and the bounds; what is done with single things lies in [`decide`] for a store that decides and
//! writes at once, in [`follow`] for one that writes elsewhere first.
//!
//! It does not keep anything beyond the process; [`crate::store::embedded`] does.
//!
//! Invariants: an expired entry is never seen; `bytes` is the sum of the costs of all things.
//!
//! Concurrency: an entry is changed under the lock of its shard, never two at a time, and nothing
//! waits inside. The list of ended logs has its own lock, which is taken last.

mod decide;
mod follow;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use dashmap::mapref::one::{Ref, RefMut};

use crate::runtime::clock::{Clock, Timestamp};
use crate::store::memory::things::Things;
use crate::store::{Bounds, Incarnation, LogEntry, Scope, StoreError, StoreResult, Thing};

/// Locks the map is cut into. A sweep holds one at a time, for the time of 1/64 of all scopes.
const SHARDS: usize = 64;

/// Every scope with its record `R` and its single things.
#[derive(Debug)]
pub(in crate::store) struct Scopes<R> {
    map: DashMap<Scope, Living<R>>,
    clock: Clock,
    bounds: Bounds,
    bytes: AtomicUsize,
    /// In the order they ended. Some may be gone already; they are passed over.
    ended: Mutex<VecDeque<EndedLog>>,
}

/// A scope that exists.
#[derive(Debug)]
pub(in crate::store) struct Living<R> {
    /// What the store keeps of its record.
    pub(in crate::store) record: R,
    /// When it goes away by itself.
    pub(in crate::store) expires: Timestamp,
    things: Things,
}

#[derive(Debug)]
struct EndedLog {
    at: Timestamp,
    scope: Scope,
    thing: Thing,
}

/// A write to a log that was judged right.
#[derive(Debug)]
pub(in crate::store) struct JudgedAppend {
    /// What is appended.
    pub(in crate::store) entries: Vec<LogEntry>,
    /// When it ended the log, if it does.
    pub(in crate::store) ended: Option<Timestamp>,
}

/// The record: whether a scope is there, and until when.
impl<R> Scopes<R> {
    /// No scopes yet.
    pub(in crate::store) fn new(clock: Clock, bounds: Bounds) -> Self {
        Self {
            map: DashMap::with_shard_amount(SHARDS),
            clock,
            bounds,
            bytes: AtomicUsize::new(0),
            ended: Mutex::default(),
        }
    }

    /// The clock expiries are measured by.
    pub(in crate::store) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether there is room for another scope. Creations at the same time may pass together: the
    /// bound is there for memory, not for counting.
    pub(in crate::store) fn room(&self) -> StoreResult<()> {
        if self.map.len() < self.bounds.scopes {
            Ok(())
        } else {
            Err(StoreError::Full("it holds as many sessions as it may"))
        }
    }

    /// Begins a scope. `false`: it exists.
    pub(in crate::store) fn create(&self, scope: &Scope, record: R, expires: Timestamp) -> bool {
        let living = Living {
            record,
            expires,
            things: Things::default(),
        };
        match self.map.entry(scope.clone()) {
            Entry::Vacant(place) => {
                place.insert(living);
            }
            Entry::Occupied(place) if place.get().expires > self.clock.now() => return false,
            Entry::Occupied(mut place) => self.forget(&place.insert(living)),
        }
        true
    }

    /// The scope, if it lives. Holds a lock: look and let go.
    pub(in crate::store) fn get(&self, scope: &Scope) -> Option<Ref<'_, Scope, Living<R>>> {
        let living = self.map.get(scope)?;
        (living.expires > self.clock.now()).then_some(living)
    }

    /// The scope for changing, if it lives. Holds a lock: change and let go.
    pub(in crate::store) fn get_mut(&self, scope: &Scope) -> Option<RefMut<'_, Scope, Living<R>>> {
        let living = self.map.get_mut(scope)?;
        (living.expires > self.clock.now()).then_some(living)
    }

    /// Moves an expiry on; never back, and not beyond death.
    pub(in crate::store) fn touch(&self, scope: &Scope, expires: Timestamp) {
        if let Some(mut living) = self.get_mut(scope) {
            living.expires = living.expires.max(expires);
        }
    }

    /// Ends a scope with all that is in it. `false`: there was none, or it had expired.
    pub(in crate::store) fn remove(&self, scope: &Scope) -> bool {
        let Some((_, living)) = self.map.remove(scope) else {
            return false;
        };
        self.forget(&living);
        living.expires > self.clock.now()
    }

    /// Scopes that have expired and still take up room.
    pub(in crate::store) fn expired(&self) -> Vec<Scope> {
        let now = self.clock.now();
        self.map
            .iter()
            .filter(|living| living.expires <= now)
            .map(|living| living.key().clone())
            .collect()
    }

    /// Ends a scope if it has expired. `false`: it was removed or begun anew meanwhile.
    pub(in crate::store) fn remove_expired(&self, scope: &Scope) -> bool {
        let now = self.clock.now();
        let removed = self.map.remove_if(scope, |_, living| living.expires <= now);
        if let Some((_, living)) = &removed {
            self.forget(living);
        }
        removed.is_some()
    }

    fn forget(&self, living: &Living<R>) {
        self.bytes
            .fetch_sub(living.things.cost(), Ordering::Relaxed);
    }
}

/// Bounds.
impl<R> Scopes<R> {
    /// What all things occupy.
    pub(in crate::store) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Removes logs that ended longer ago than they are kept.
    pub(in crate::store) fn remove_aged_logs(&self) {
        let now = self.clock.now();
        loop {
            let mut ended = self.ended();
            let aged = |log: &EndedLog| now.since(log.at) >= self.bounds.ended_log_age;
            if !ended.front().is_some_and(aged) {
                return;
            }
            let oldest = ended.pop_front();
            drop(ended);
            if let Some(log) = oldest {
                self.remove_ended(&log);
            }
        }
    }

    fn write(
        &self,
        scope: &Scope,
        thing: &Thing,
        living: &mut Living<R>,
        append: JudgedAppend,
    ) -> Vec<Incarnation> {
        let JudgedAppend { entries, ended } = append;
        let followers = self.counted(living, |things, bounds| {
            let followers = things.update(thing, |known| known.append(entries, ended, bounds));
            things.trim(bounds);
            followers.unwrap_or_default()
        });
        self.list_ended(scope, thing, ended);
        followers
    }

    fn list_ended(&self, scope: &Scope, thing: &Thing, ended: Option<Timestamp>) {
        if let Some(at) = ended {
            self.ended().push_back(EndedLog {
                at,
                scope: scope.clone(),
                thing: thing.clone(),
            });
        }
    }

    /// Changes a scope's things, keeping count.
    fn counted<T>(
        &self,
        living: &mut Living<R>,
        change: impl FnOnce(&mut Things, &Bounds) -> T,
    ) -> T {
        let before = living.things.cost();
        let result = change(&mut living.things, &self.bounds);
        self.bytes
            .fetch_add(living.things.cost(), Ordering::Relaxed);
        self.bytes.fetch_sub(before, Ordering::Relaxed);
        result
    }

    /// Keeps the node's bound after an append to `thing`: the oldest ended logs of the whole node
    /// go first, then the log that grew pays for itself. A log that still runs elsewhere never
    /// suffers for this one. Called without a lock, since any shard may be meant.
    fn trim(&self, scope: &Scope, thing: &Thing) {
        while self.bytes() > self.bounds.total_bytes {
            let oldest = self.ended().pop_front();
            if let Some(log) = oldest {
                self.remove_ended(&log);
                continue;
            }
            let dropped = self.map.get_mut(scope).and_then(|mut living| {
                self.counted(&mut living, |things, _| {
                    things.update(thing, |thing| thing.log.drop_oldest())
                })
            });
            if dropped != Some(true) {
                return;
            }
        }
    }

    fn remove_ended(&self, log: &EndedLog) {
        if let Some(mut living) = self.map.get_mut(&log.scope) {
            self.counted(&mut living, |things, _| {
                things.remove_ended(&log.thing, log.at);
            });
        }
    }

    fn ended(&self) -> MutexGuard<'_, VecDeque<EndedLog>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
