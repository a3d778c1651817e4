//! Two nodes with one store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Heard, Node, Parts, Topic};
use crate::runtime::clock::Clock;
use crate::store::memory::MemoryStore;
use crate::store::{Bounds, Incarnation, Store};

const LEASE: Duration = Duration::from_millis(600);
const PATIENCE: Duration = Duration::from_secs(10);

fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(Clock::system(), Bounds::default()))
}

async fn node(store: &Arc<dyn Store>, number: u64) -> (Node, mpsc::UnboundedReceiver<Heard>) {
    let node = Node::new(Parts {
        store: store.clone(),
        incarnation: Incarnation(number),
        lease: LEASE,
        clock: Clock::system(),
        fingerprints: vec![],
    });
    let (tx, rx) = mpsc::unbounded_channel();
    node.listen(Topic::Sessions, Box::new(move |heard| drop(tx.send(heard))));
    node.start().await.unwrap();
    (node, rx)
}

async fn next(heard: &mut mpsc::UnboundedReceiver<Heard>) -> Heard {
    let next = tokio::time::timeout(PATIENCE, heard.recv());
    next.await
        .expect("something is heard")
        .expect("the node lives")
}

/// The next letter, whatever doubts come before it.
async fn letter(heard: &mut mpsc::UnboundedReceiver<Heard>) -> (Incarnation, Bytes) {
    loop {
        if let Heard::Letter { from, body } = next(heard).await {
            return (from, body);
        }
    }
}

async fn lives(node: &Node, other: u64) -> bool {
    node.lives(Incarnation(other)).await.unwrap()
}

#[tokio::test]
async fn letters_of_every_size_arrive_where_they_are_sent() {
    let store = store();
    let (here, _) = node(&store, 1).await;
    let (_there, mut heard) = node(&store, 2).await;
    for size in [0, 10, 64 * 1024, 1 << 20] {
        let body = Bytes::from(vec![b'x'; size]);
        here.tell(Incarnation(2), Topic::Sessions, body.clone());
        assert_eq!(letter(&mut heard).await, (Incarnation(1), body));
    }
}

#[tokio::test]
async fn an_announcement_goes_to_all_others_and_a_new_node_is_told_to_doubt() {
    let store = store();
    let (here, mut own) = node(&store, 1).await;
    let (there, mut heard) = node(&store, 2).await;
    assert!(lives(&here, 2).await, "a fresh list has the new node");
    assert_eq!(next(&mut heard).await, Heard::Doubt);
    here.announce(Topic::Sessions, &Bytes::from_static(b"hello"));
    assert_eq!(letter(&mut heard).await.1, "hello");
    there.announce(Topic::Sessions, &Bytes::from_static(b"back"));
    assert_eq!(letter(&mut own).await.1, "back");
    assert!(own.try_recv().is_err(), "nobody hears itself");
}

#[tokio::test]
async fn who_comes_and_who_goes_is_known_before_the_next_renewal() {
    let store = store();
    let among = |number| {
        Node::new(Parts {
            store: store.clone(),
            incarnation: Incarnation(number),
            // Renewed after longer than this test has patience.
            lease: 9 * PATIENCE,
            clock: Clock::system(),
            fingerprints: vec![],
        })
    };
    let (here, there) = (among(1), among(2));
    here.start().await.unwrap();
    there.start().await.unwrap();
    let knows = async |lives| {
        while here.seems_alive(Incarnation(2)) != lives {
            here.next_renewal().await;
        }
    };
    let known = tokio::time::timeout(PATIENCE, knows(true)).await;
    known.expect("a node that came is known");
    there.retire().await;
    let known = tokio::time::timeout(PATIENCE, knows(false)).await;
    known.expect("a node that went is known");
}

#[tokio::test]
async fn who_sleeps_finds_what_was_announced_when_it_wakes() {
    let store = store();
    let (here, _) = node(&store, 1).await;
    // Asleep from the start: it renewed once and reads nothing.
    let sleeper = Incarnation(2);
    store.renew(sleeper, LEASE).await.unwrap();
    assert!(lives(&here, 2).await);
    while lives(&here, 2).await {
        here.next_renewal().await;
    }

    here.announce(Topic::Sessions, &Bytes::from_static(b"hello"));

    let (_woken, mut heard) = node(&store, 2).await;
    assert_eq!(letter(&mut heard).await.1, "hello");
}

#[tokio::test]
async fn who_retires_is_not_waited_for() {
    let store = store();
    let (here, _) = node(&store, 1).await;
    let (there, _) = node(&store, 2).await;
    assert!(here.holds_lease() && there.holds_lease());
    assert!(lives(&here, 2).await);
    there.retire().await;
    assert!(!there.holds_lease());
    while lives(&here, 2).await {
        here.next_renewal().await;
    }
    assert!(!lives(&here, 99).await, "nobody ever was 99");
}
