//! Messages posted at one node for a stream that another holds.
//!
//! The id in a message URL names the run of the node that holds the stream, sealed for its principal
//! and endpoint: an invented one, or another's, opens nothing and never reaches the store. A message
//! that comes in elsewhere is put into the owner's inbox, and is accepted once it is there; the owner
//! takes what is in its inbox in that order. So that a client's messages are taken in the order they
//! were accepted wherever each of them came in, the owner puts those posted to itself there as well
//! while it has others beside it.
//!
//! It does not answer anything: answers go over the stream.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use dashmap::DashMap;
use futures_util::FutureExt as _;

use crate::identity::Principal;
use crate::node::{Heard, Incarnation, Node, Topic};
use crate::runtime::queue::{self, Capacity, Receiver, Sender, Weigh};
use crate::runtime::seal::{self, Seal};
use crate::runtime::tasks::{TaskKind, Tasks};
use crate::session::FindError;

/// Posted messages of one stream that may wait to be taken: calls run beside each other, so only a
/// client that does not read keeps any waiting. One that posts more loses its stream.
const WAITING: Capacity = Capacity {
    items: 64,
    weight: 4 << 20,
};
const OWNER_BYTES: usize = 8;
const KEY_BYTES: usize = 16;

/// Names an open stream at the node that holds it.
pub(super) type Key = [u8; KEY_BYTES];

/// Where the messages for one stream go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    owner: Incarnation,
    pub(super) key: Key,
}

/// A message as it was posted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Posted(pub(super) Bytes);

impl Weigh for Posted {
    fn weight(&self) -> usize {
        self.0.len()
    }
}

/// See the module docs. Cloning shares it.
#[derive(Clone)]
pub(super) struct Postings(Arc<Inner>);

struct Inner {
    node: Node,
    tasks: Tasks,
    seal: Seal,
    endpoint: Arc<str>,
    /// The streams this node holds; as many as there are places.
    open: DashMap<Key, Sender<Posted>>,
}

impl Postings {
    /// No streams yet, of this endpoint. Before the node starts, and once.
    pub(super) fn listen(node: Node, tasks: Tasks, seal: Seal, endpoint: Arc<str>) -> Self {
        let inner = Arc::new(Inner {
            node: node.clone(),
            tasks,
            seal,
            endpoint,
            open: DashMap::new(),
        });
        let hearing = Arc::downgrade(&inner);
        let listener = move |heard| {
            if let (Some(inner), Heard::Letter { body, .. }) = (hearing.upgrade(), heard) {
                inner.take(&body);
            }
        };
        node.listen(Topic::Pipes, Box::new(listener));
        Self(inner)
    }

    /// Opens a stream: its id for the message URL, its key, and what is posted for it elsewhere.
    pub(super) fn open(&self, principal: &Principal) -> (String, Key, Receiver<Posted>) {
        let key: Key = seal::random();
        let mut address = [0; OWNER_BYTES + KEY_BYTES];
        address[..OWNER_BYTES].copy_from_slice(&self.0.node.incarnation().0.to_be_bytes());
        address[OWNER_BYTES..].copy_from_slice(&key);
        let id = self.0.seal.seal(&self.0.context(principal), &address);
        let (tx, rx) = queue::queue(WAITING);
        self.0.open.insert(key, tx);
        (id, key, rx)
    }

    pub(super) fn close(&self, key: &Key) {
        self.0.open.remove(key);
    }

    /// The stream of that id, if it is this principal's at this endpoint.
    pub(super) fn address(&self, id: &str, principal: &Principal) -> Option<Address> {
        let address = self.0.seal.open(&self.0.context(principal), id).ok()?;
        let (owner, key) = address.split_at_checked(OWNER_BYTES)?;
        Some(Address {
            owner: Incarnation(u64::from_be_bytes(owner.try_into().ok()?)),
            key: key.try_into().ok()?,
        })
    }

    /// Whether this node holds that stream, or did.
    pub(super) fn is_here(&self, address: &Address) -> bool {
        address.owner == self.0.node.incarnation()
    }

    /// Whether messages for our own streams can only come in here, so that they are in order anyway.
    /// Without a lease others take us for dead, and put nothing into our inbox.
    pub(super) fn come_in_here_only(&self) -> bool {
        self.0.node.is_alone() || !self.0.node.holds_lease()
    }

    /// Whether the node that holds the stream lives.
    pub(super) async fn reach(&self, address: &Address) -> Result<(), FindError> {
        match self.0.node.lives(address.owner).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(FindError::NotFound),
            Err(_) => Err(FindError::Unavailable),
        }
    }

    /// Puts a message into the inbox of the node that holds the stream. When the store did not
    /// answer it may be there all the same, as with any POST whose answer is lost.
    pub(super) async fn carry(&self, address: Address, message: &Bytes) -> Result<(), FindError> {
        let mut letter = BytesMut::with_capacity(KEY_BYTES + message.len());
        letter.put_slice(&address.key);
        letter.put_slice(message);
        let node = self.0.node.clone();
        // Begun, it is put there whether or not its client waits.
        let delivered = self.0.tasks.spawn(TaskKind::Store, async move {
            node.deliver(address.owner, Topic::Pipes, &letter).await
        });
        match delivered.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(FindError::Unavailable),
        }
    }
}

impl Inner {
    fn context(&self, principal: &Principal) -> [u8; 32] {
        seal::digest(&[principal.key().as_bytes(), self.endpoint.as_bytes()])
    }

    fn take(&self, letter: &Bytes) {
        let Some(key) = letter.first_chunk::<KEY_BYTES>() else {
            tracing::warn!("a letter for a stream was cut short");
            return;
        };
        // A stream that has ended needs no messages.
        let Some(waiting) = self.open.get(key).map(|open| open.clone()) else {
            return;
        };
        let message = Posted(letter.slice(KEY_BYTES..));
        if waiting.send(message).now_or_never().is_none() {
            // It was accepted and cannot be taken: with its stream ended, its client knows.
            tracing::warn!("a stream ended: its client posts and does not read");
            self.open.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::StreamExt as _;

    use super::*;
    use crate::node::sharing;
    use crate::runtime::seal::ClusterKeys;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Nodes of one cluster that share a store.
    async fn nodes<const N: usize>() -> [(Node, Postings); N] {
        let (store, keys) = (sharing::store(), ClusterKeys::generate());
        let tasks = Tasks::on(tokio::runtime::Handle::current());
        let nodes = std::array::from_fn(|at| {
            let node = sharing::node(&store, at as u64);
            let seal = keys.seal("message-url");
            (
                node.clone(),
                Postings::listen(node, tasks.clone(), seal, "main".into()),
            )
        });
        sharing::start(&nodes.each_ref().map(|(node, _)| node)).await;
        nodes
    }

    fn alice() -> Principal {
        Principal::from_key("alice")
    }

    #[tokio::test]
    async fn messages_are_taken_in_the_order_they_were_accepted_wherever_they_came_in() {
        let all = nodes::<3>().await;
        let (id, _, mut posted) = all[0].1.open(&alice());
        assert!(!all[0].1.come_in_here_only());
        for number in 0..60_u8 {
            // Now and then one that is too large for an inbox.
            let size = if number % 7 == 0 { 200_000 } else { 10 };
            let message = Bytes::from(vec![number; size]);
            let (_, at) = &all[usize::from(number) % 3];
            let address = at.address(&id, &alice()).unwrap();
            at.reach(&address).await.unwrap();
            at.carry(address, &message).await.unwrap();
            assert_eq!(posted.next().await, Some(Posted(message)));
        }
    }

    #[tokio::test]
    async fn an_id_opens_nothing_for_anybody_else() {
        let [(node, here), (_, there)] = nodes().await;
        let (id, _, _posted) = here.open(&alice());
        assert!(there.address(&id, &alice()).is_some());
        assert_eq!(there.address(&id, &Principal::from_key("bob")), None);
        let forged = id.replacen(&id[..1], if id.starts_with('A') { "B" } else { "A" }, 1);
        assert_eq!(there.address(&forged, &alice()), None);
        let tasks = Tasks::on(tokio::runtime::Handle::current());
        let seal = ClusterKeys::generate().seal("message-url");
        let other = sharing::node(&sharing::store(), node.incarnation().0);
        let elsewhere = Postings::listen(other, tasks, seal, "main".into());
        assert_eq!(elsewhere.address(&id, &alice()), None, "another cluster");
    }

    #[tokio::test]
    async fn a_stream_whose_node_is_gone_is_not_found() {
        let [(node, here), (_, there)] = nodes().await;
        let (id, _, _posted) = here.open(&alice());
        node.retire().await;
        let address = there.address(&id, &alice()).unwrap();
        let gone = async { while there.reach(&address).await != Err(FindError::NotFound) {} };
        tokio::time::timeout(PATIENCE, gone)
            .await
            .expect("a node that retired lives no more");
    }

    #[tokio::test]
    async fn a_stream_that_takes_nothing_ends_when_too_much_waits() {
        let [(_, here), (_, there)] = nodes().await;
        let (id, _, posted) = here.open(&alice());
        let address = there.address(&id, &alice()).unwrap();
        for _ in 0..=WAITING.items {
            let message = Bytes::from_static(b"{}");
            there.carry(address, &message).await.unwrap();
        }
        // Read before, it would make room.
        let ended = async {
            while !here.0.open.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ended)
            .await
            .expect("too much waits");
        assert_eq!(posted.count().await, WAITING.items);
    }
}
