//! For tests: nodes of one process that share a store.

use std::sync::Arc;
use std::time::Duration;

use super::{Incarnation, Node, Parts};
use crate::runtime::clock::Clock;
use crate::store::memory::MemoryStore;
use crate::store::{Bounds, Store};

/// A store to share, in memory.
pub(crate) fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(Clock::system(), Bounds::default()))
}

/// One more node, not started yet. Its lease is short, so that tests do not wait long for one that
/// died.
pub(crate) fn node(store: &Arc<dyn Store>, number: u64) -> Node {
    Node::new(Parts {
        store: store.clone(),
        incarnation: Incarnation(number),
        lease: Duration::from_millis(600),
        clock: Clock::system(),
        fingerprints: vec![],
    })
}

/// Starts them, and waits until each knows of all.
pub(crate) async fn start(nodes: &[&Node]) {
    for node in nodes {
        node.start().await.expect("a node starts");
    }
    for node in nodes {
        for other in nodes {
            let lives = node.lives(other.incarnation()).await;
            assert!(lives.expect("the store says who lives"));
        }
    }
}
