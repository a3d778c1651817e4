//! How many tasks there may be: running, on this node and of one principal; and ended, as many
//! records and bytes as are kept until their time is over.
//!
//! What a process before this one kept is not counted; the store's own bound holds for all.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Config;
use crate::identity::Principal;
use crate::runtime::clock::{Clock, Timestamp};

/// The places there are. Cloning shares them.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    config: Config,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    /// Only those who have a running task.
    of: HashMap<Principal, usize>,
    /// Ended tasks by the time they go away, with their bytes.
    kept: BinaryHeap<Reverse<(Timestamp, usize)>>,
    kept_bytes: usize,
}

/// A place for one running task; giving it back is dropping it.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    principal: Principal,
}

impl Places {
    pub(super) fn new(clock: Clock, config: Config) -> Self {
        Self(Arc::new(Inner {
            clock,
            config,
            taken: Mutex::default(),
        }))
    }

    /// A place, or which bound was met.
    pub(super) fn take(&self, principal: &Principal) -> Result<Place, &'static str> {
        let config = &self.0.config;
        let now = self.0.clock.now();
        let mut taken = self.lock();
        while let Some(Reverse((expires, bytes))) = taken.kept.peek().copied()
            && expires <= now
        {
            taken.kept.pop();
            taken.kept_bytes -= bytes;
        }
        if taken.kept.len() >= config.max_kept || taken.kept_bytes >= config.max_kept_bytes {
            return Err("as many ended tasks are kept as may");
        }
        if taken.total >= config.max {
            return Err("as many tasks run on this node as may");
        }
        let own = taken.of.entry(principal.clone()).or_insert(0);
        if *own >= config.max_per_principal {
            return Err("as many of your tasks run as may");
        }
        *own += 1;
        taken.total += 1;
        drop(taken);
        Ok(Place {
            places: self.clone(),
            principal: principal.clone(),
        })
    }

    /// Counts a task that ended, until it goes away.
    pub(super) fn keep(&self, expires: Timestamp, bytes: usize) {
        let mut taken = self.lock();
        taken.kept.push(Reverse((expires, bytes)));
        taken.kept_bytes += bytes;
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.total -= 1;
        if let Entry::Occupied(mut own) = taken.of.entry(self.principal.clone()) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn places(clock: &Clock) -> Places {
        let config = Config {
            ttl: Duration::from_secs(60),
            ttl_max: Duration::from_secs(60),
            poll_interval: Duration::from_secs(1),
            max: 3,
            max_per_principal: 2,
            max_kept: 2,
            max_kept_bytes: 100,
            result_max: 100,
        };
        Places::new(clock.clone(), config)
    }

    #[test]
    fn a_place_is_free_again_when_dropped() {
        let places = places(&Clock::manual(Timestamp(0)));
        let (alice, bob) = (Principal::from_key("alice"), Principal::from_key("bob"));
        let first = places.take(&alice).unwrap();
        let _second = places.take(&alice).unwrap();
        assert!(places.take(&alice).unwrap_err().contains("your"));
        let _third = places.take(&bob).unwrap();
        assert!(places.take(&bob).unwrap_err().contains("node"));
        drop(first);
        assert!(places.take(&bob).is_ok());
        assert_eq!(places.lock().of.len(), 2);
    }

    #[test]
    fn what_is_kept_leaves_no_room_until_its_time_is_over() {
        let clock = Clock::manual(Timestamp(0));
        let alice = Principal::from_key("alice");
        for bytes in [[100, 0], [1, 1]] {
            let places = places(&clock);
            let in_a_second = clock.now().after(Duration::from_secs(1));
            for bytes in bytes {
                places.keep(in_a_second, bytes);
            }
            assert!(places.take(&alice).unwrap_err().contains("kept"));
            clock.advance(Duration::from_secs(1));
            assert!(places.take(&alice).is_ok());
        }
    }
}
