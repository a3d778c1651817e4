//! Leases: which nodes live. In a store of one process that is this one.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::runtime::clock::{Clock, Timestamp};
use crate::store::{Incarnation, Renewed};

/// Every lease, by node. Lapsed ones go with the next renewal, so there are as many as nodes.
#[derive(Debug)]
pub(in crate::store) struct Leases {
    clock: Clock,
    until: Mutex<BTreeMap<Incarnation, Timestamp>>,
}

impl Leases {
    /// Nobody lives yet.
    pub(in crate::store) const fn new(clock: Clock) -> Self {
        Self {
            clock,
            until: Mutex::new(BTreeMap::new()),
        }
    }

    /// See [`crate::store::Store::renew`]. What this process holds is lost with it, so never here.
    pub(in crate::store) fn renew(&self, node: Incarnation, lease: Duration) -> Renewed {
        let now = self.clock.now();
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.retain(|_, until| *until > now);
        until.insert(node, now.after(lease));
        Renewed {
            living: until.keys().copied().collect(),
            now,
            lost: false,
        }
    }

    /// See [`crate::store::Store::retire`].
    pub(in crate::store) fn retire(&self, node: Incarnation) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.remove(&node);
    }
}
