//! A fixed pool of actix arbiters, apart from the HTTP workers, on which session actors live.
//!
//! An actor's place is chosen by a hash of its key, so that one busy session never gathers others
//! around it by accident of arrival. HTTP workers are arbiters too, but stopping the server kills
//! what lives on them before it could write its last checkpoint.

use std::hash::{BuildHasher, Hash, RandomState};

use actix::{Arbiter, ArbiterHandle};

/// The pool. Dropping it stops nothing; [`Arbiters::stop`] does.
#[derive(Debug)]
pub struct Arbiters {
    members: Vec<Arbiter>,
    hasher: RandomState,
}

impl Arbiters {
    /// Starts `count` arbiter threads (at least one).
    ///
    /// # Panics
    /// Outside an actix system.
    #[must_use]
    pub fn start(count: usize) -> Self {
        Self {
            members: (0..count.max(1)).map(|_| Arbiter::new()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// The arbiter on which the actor for `key` lives.
    #[must_use]
    pub fn place<K: Hash>(&self, key: &K) -> ArbiterHandle {
        let hash = self.hasher.hash_one(key);
        let index = usize::try_from(hash % self.members.len() as u64).unwrap_or(0);
        self.members[index].handle()
    }

    /// Tells every arbiter to end after what it is doing now.
    pub fn stop(&self) {
        for arbiter in &self.members {
            arbiter.stop();
        }
    }
}
