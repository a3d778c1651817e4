//! What waits to be told to other nodes: a bounded set, each change in it once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::service::changes::Announced;

/// Changes that may wait, about 100 KiB of a letter. With more than that it is cheaper for
/// everybody to look again than to be told of each.
const WAITING_MAX: usize = 1_000;

/// See the module docs.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    count: usize,
    changed: BTreeMap<Arc<str>, BTreeSet<Announced>>,
}

/// What one node tells the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Letter {
    /// This, by endpoint.
    Changed(BTreeMap<Arc<str>, BTreeSet<Announced>>),
    /// More than can be told.
    TooMany,
}

impl Outgoing {
    pub(super) fn put(&self, endpoint: &Arc<str>, announced: Announced) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.count <= WAITING_MAX {
            let of_endpoint = waiting.changed.entry(endpoint.clone()).or_default();
            waiting.count += usize::from(of_endpoint.insert(announced));
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Waits until something waits, and takes all of it.
    pub(super) async fn next(&self) -> Letter {
        loop {
            let waiting =
                std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            match waiting.count {
                0 => self.arrived.notified().await,
                1..=WAITING_MAX => return Letter::Changed(waiting.changed),
                _ => return Letter::TooMany,
            }
        }
    }
}

impl Letter {
    pub(super) fn encode(&self) -> Bytes {
        serde_json::to_vec(self)
            .expect("invariant: our values serialize")
            .into()
    }

    pub(super) fn decode(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::subscription::Change;

    fn resource(number: usize) -> Announced {
        Announced {
            change: Change::Resource(format!("a:{number}")),
            of: None,
        }
    }

    #[tokio::test]
    async fn what_changes_again_and_again_is_told_once() {
        let (outgoing, endpoint) = (Outgoing::default(), Arc::from("main"));
        for _ in 0..10 * WAITING_MAX {
            outgoing.put(&endpoint, resource(1));
        }
        let letter = outgoing.next().await;
        let told = BTreeMap::from([(endpoint, BTreeSet::from([resource(1)]))]);
        assert_eq!(letter, Letter::Changed(told));
        assert_eq!(Letter::decode(&letter.encode()).unwrap(), letter);
    }

    #[tokio::test]
    async fn more_changes_than_may_wait_are_told_as_too_many() {
        let (outgoing, endpoint) = (Outgoing::default(), Arc::from("main"));
        for number in 0..10 * WAITING_MAX {
            outgoing.put(&endpoint, resource(number));
        }
        assert_eq!(outgoing.next().await, Letter::TooMany);
        outgoing.put(&endpoint, resource(1));
        assert!(matches!(outgoing.next().await, Letter::Changed(_)));
    }
}
