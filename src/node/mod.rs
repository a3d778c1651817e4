//! This process among the others that share its store: who lives, and how to tell them something.
//!
//! [`Node`] renews this process's lease ([`lease`]), reads its inbox ([`inbox`]) and carries letters
//! to the inboxes of others ([`forward`]). All of it happens on a thread of its own, so that a node
//! busy with restoring ten thousand sessions still renews in time.
//!
//! With a store that one process has alone there are no others ([`Node::alone`]): it has no lease to
//! lose, and every announcement goes to nobody.
//!
//! It does not know what letters say: each [`Topic`] belongs to one part, which listens to it. Nor
//! does it prove that anything is owned: a lease only says who is worth waiting for. Ownership is a
//! matter of epochs in the store.
//!
//! Nodes that have different cluster keys share a store all the same, and each tells the others which
//! it has ([`keys`]).
//!
//! Invariants:
//! - What this node does about single things stops by its own clock before its lease can lapse
//!   elsewhere ([`Node::holds_lease`]).
//! - A letter that may have been lost is made up for: whoever may have missed one is told to doubt
//!   all it keeps ([`Heard::Doubt`]).

mod forward;
mod inbox;
mod keys;
mod lease;
mod letter;
#[cfg(test)]
pub(crate) mod sharing;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use crate::runtime::clock::Clock;
use crate::runtime::seal::Fingerprint;
use crate::store::{Store, StoreError, StoreResult};
use forward::Outbox;
use keys::Keys;

pub use crate::store::Incarnation;
pub use letter::Topic;

/// How long a start waits for the first renewal. A store that is away then is found later.
const FIRST_RENEWAL: Duration = Duration::from_secs(2);

/// How long a node that does not renew may be asleep rather than dead, and how many of them are kept
/// in mind. What one is told meanwhile waits in its inbox; a dead one's goes by its expiry.
const ASLEEP_AT_MOST: Duration = Duration::from_secs(60);
const ASLEEP_MAX: usize = 64;

/// What a node needs.
#[derive(Clone, Debug)]
pub struct Parts {
    /// What the nodes share.
    pub store: Arc<dyn Store>,
    /// This run of this node.
    pub incarnation: Incarnation,
    /// How long this node counts as living after it last renewed.
    pub lease: Duration,
    /// The clock that is set by the store's.
    pub clock: Clock,
    /// The cluster keys it has; the first one signs.
    pub fingerprints: Vec<Fingerprint>,
}

/// What a part hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Another node says something.
    Letter {
        /// Which.
        from: Incarnation,
        /// What.
        body: Bytes,
    },
    /// Letters or the store's own contents may have been lost: what is kept of either must be
    /// checked.
    Doubt,
}

/// Takes what is heard, at once and without waiting; what takes time is spawned.
pub type Listener = Box<dyn Fn(Heard) + Send + Sync>;

/// See the module docs. Cloning shares it.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    incarnation: Incarnation,
    /// Nothing for a node that is alone.
    parts: Option<Parts>,
    began: Instant,
    /// Until when the lease is held, in milliseconds since `began`.
    held_until: AtomicU64,
    /// Since when, without a break.
    held_since: AtomicU64,
    living: watch::Sender<Living>,
    /// Asks for a renewal before its time.
    hurry: Notify,
    outbox: Outbox,
    keys: Keys,
    listeners: [OnceLock<Listener>; Topic::COUNT],
    stop: tokio_util::sync::CancellationToken,
}

/// Who lives, as of the last renewal.
#[derive(Clone, Debug, Default)]
struct Living {
    nodes: Arc<[Incarnation]>,
    /// Which did until lately, and since when they do not.
    asleep: Vec<(Incarnation, Instant)>,
    /// Counts renewals.
    round: u64,
    /// Counts the nodes that lived and live no more.
    gone: u64,
}

/// See [`Node::tenure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure(u64);

impl Node {
    /// A node among others, which does nothing yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self::with(parts.incarnation, Some(parts))
    }

    /// The only node there is: nobody else can have its store.
    #[must_use]
    pub fn alone(incarnation: Incarnation) -> Self {
        Self::with(incarnation, None)
    }

    fn with(incarnation: Incarnation, parts: Option<Parts>) -> Self {
        let fingerprints = parts.as_ref().map(|parts| &*parts.fingerprints);
        let keys = Keys::new(fingerprints.unwrap_or_default());
        Self(Arc::new(Inner {
            incarnation,
            parts,
            began: Instant::now(),
            held_until: AtomicU64::new(0),
            held_since: AtomicU64::new(0),
            living: watch::Sender::new(Living::default()),
            hurry: Notify::new(),
            outbox: Outbox::default(),
            keys,
            listeners: Default::default(),
            stop: tokio_util::sync::CancellationToken::new(),
        }))
    }

    /// Lets one part hear what comes under its topic. Once per topic, before [`Node::start`].
    ///
    /// # Panics
    /// When the topic has a listener already.
    pub fn listen(&self, topic: Topic, listener: Listener) {
        let slot = &self.0.listeners[topic.place()];
        assert!(slot.set(listener).is_ok(), "one listener for each topic");
    }

    /// Begins to renew, to read and to send. Returns once the lease is held, or after a short
    /// while without.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub async fn start(&self) -> std::io::Result<()> {
        let Some(parts) = self.0.parts.clone() else {
            return Ok(());
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let node = self.clone();
        std::thread::Builder::new()
            .name("node".into())
            .spawn(move || runtime.block_on(node.live(parts)))?;
        let mut living = self.0.living.subscribe();
        let first = living.wait_for(|living| living.round > 0);
        if tokio::time::timeout(FIRST_RENEWAL, first).await.is_err() {
            tracing::warn!("the store does not answer; sessions are served once it does");
        }
        Ok(())
    }

    async fn live(self, parts: Parts) {
        tokio::select! {
            () = self.0.stop.cancelled() => {}
            _never = async {
                tokio::join!(
                    lease::renew(&self.0, &parts),
                    inbox::read(&self.0, &parts),
                    forward::send(&self.0, &parts)
                )
            } => {}
        }
        // What was announced last must still go out: sessions that ended, streams that moved.
        forward::send_rest(&self.0, &parts).await;
        if let Err(error) = parts.store.retire(parts.incarnation).await {
            tracing::warn!(%error, "the lease could not be given back; it lapses by itself");
        }
        // Nothing is left for this node any more, so nobody should send it anything.
        self.0.call_census();
        forward::send_rest(&self.0, &parts).await;
        self.0.living.send_modify(|living| living.round = u64::MAX);
    }

    /// Gives the lease back, after what was still to be sent. Returns when that is done.
    pub async fn retire(&self) {
        if self.0.parts.is_none() {
            return;
        }
        self.0.held_until.store(0, Ordering::Release);
        self.0.stop.cancel();
        let mut living = self.0.living.subscribe();
        drop(living.wait_for(|living| living.round == u64::MAX).await);
    }

    /// This run of this node.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.0.incarnation
    }

    /// Whether this node may begin something that must exist once. Without a lease it finishes
    /// what it runs.
    #[must_use]
    pub fn holds_lease(&self) -> bool {
        self.0.parts.is_none() || self.0.elapsed() < self.0.held_until.load(Ordering::Acquire)
    }

    /// The time for which this node has held its lease without a break; `None` when it does not hold
    /// it. What was claimed within the same tenure nobody can have taken over since.
    #[must_use]
    pub fn tenure(&self) -> Option<Tenure> {
        let since = self.0.held_since.load(Ordering::Acquire);
        self.holds_lease().then_some(Tenure(since))
    }

    /// Whether that tenure, if there was one, has lasted until now.
    #[must_use]
    pub fn is_still_in(&self, tenure: Option<Tenure>) -> bool {
        tenure.is_some() && tenure == self.tenure()
    }

    /// Whether another run of a node is worth waiting for.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn lives(&self, other: Incarnation) -> StoreResult<bool> {
        let Some(parts) = &self.0.parts else {
            return Ok(other == self.0.incarnation);
        };
        let mut living = self.0.living.subscribe();
        let round = {
            let now = living.borrow();
            if now.nodes.contains(&other) {
                return Ok(true);
            }
            now.round
        };
        // It may have begun since: only a fresh list says that somebody is not on it.
        self.0.hurry.notify_one();
        let fresh = living.wait_for(|living| living.round > round);
        match tokio::time::timeout(parts.lease, fresh).await {
            Ok(Ok(living)) => Ok(living.nodes.contains(&other)),
            Ok(Err(_)) | Err(_) => Err(StoreError::Unavailable(
                "it does not say which nodes live".into(),
            )),
        }
    }

    /// Whether another run of a node lived when it was last asked. May lag behind.
    #[must_use]
    pub fn seems_alive(&self, other: Incarnation) -> bool {
        self.0.living.borrow().nodes.contains(&other)
    }

    /// Whether its store is one that several nodes can share.
    #[must_use]
    pub fn may_have_others(&self) -> bool {
        self.0.parts.is_some()
    }

    /// Whether there is no other node, as far as is known. One that came since is told to doubt what
    /// it keeps.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.0.living.borrow().nodes.len() < 2
    }

    /// How many other nodes live that do not know the key with which this one signs: the ids it gives
    /// out are unknown there.
    #[must_use]
    pub fn strangers(&self) -> usize {
        self.0.keys.strangers(&self.0.living.borrow().nodes)
    }

    /// Waits until who lives was asked for once more; for ever in a node that is alone.
    pub async fn next_renewal(&self) {
        // The sender is `self`, so it cannot be gone.
        drop(self.0.living.subscribe().changed().await);
    }

    /// Waits until more than `seen` nodes that lived live no more, and says how many that is.
    pub async fn next_gone(&self, seen: u64) -> u64 {
        let mut living = self.0.living.subscribe();
        // The sender is `self`, so it cannot be gone.
        let more = living.wait_for(|living| living.gone > seen).await;
        more.map_or(seen, |living| living.gone)
    }

    /// How many nodes that lived live no more.
    #[must_use]
    pub fn gone(&self) -> u64 {
        self.0.living.borrow().gone
    }

    /// Puts something into the inbox of one node, this one too, and returns when it is there. What
    /// is delivered after that is read after it.
    ///
    /// # Errors
    /// When the store did not say that it is there; it may be.
    pub async fn deliver(&self, to: Incarnation, topic: Topic, body: &[u8]) -> StoreResult<()> {
        let Some(parts) = &self.0.parts else {
            return Err(StoreError::Unavailable("there is no other node".into()));
        };
        let letter = letter::write(topic, self.incarnation(), body);
        forward::post(parts, to, letter).await
    }

    /// Tells one node something. Arrives soon, or when the store is back, in no promised order; twice
    /// when the store did not say that it has it; not at all if that node is dead, or this one before
    /// it was sent.
    pub fn tell(&self, to: Incarnation, topic: Topic, body: Bytes) {
        if to != self.0.incarnation {
            self.0
                .outbox
                .put(to, letter::write(topic, self.incarnation(), &body));
        }
    }

    /// The other nodes that live, as far as is known.
    #[must_use]
    pub fn others(&self) -> Vec<Incarnation> {
        self.0.others()
    }

    /// Tells every other node something: those that live, and those that did until lately and may
    /// only be asleep.
    pub fn announce(&self, topic: Topic, body: &Bytes) {
        let Living { nodes, asleep, .. } = self.0.living.borrow().clone();
        for node in nodes.iter().chain(asleep.iter().map(|(node, _)| node)) {
            self.tell(*node, topic, body.clone());
        }
    }
}

/// Lets a node doubt as if a letter had been lost.
#[cfg(test)]
pub(crate) fn doubt_for_tests(node: &Node) {
    node.0.doubt();
}

impl Inner {
    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes who lives. A node that was not there when something was announced may keep what it
    /// should have heard of, so it is told to doubt.
    fn note_living(&self, nodes: Vec<Incarnation>) {
        let before = self.living.borrow().clone();
        if before.round > 0 {
            let new = nodes.iter().filter(|node| !before.nodes.contains(node));
            self.outbox.doubt(new.copied());
        }
        let gone = before.nodes.iter().filter(|node| !nodes.contains(node));
        let gone = gone.copied().collect::<Vec<_>>();
        let now = Instant::now();
        let mut asleep = before.asleep;
        asleep.extend(gone.iter().map(|node| (*node, now)));
        asleep.retain(|(node, since)| !nodes.contains(node) && now - *since < ASLEEP_AT_MOST);
        asleep.drain(..asleep.len().saturating_sub(ASLEEP_MAX));
        self.living.send_replace(Living {
            nodes: nodes.into(),
            asleep,
            round: before.round + 1,
            gone: before.gone + gone.len() as u64,
        });
    }

    /// Lets the others ask who lives now, rather than at their next renewal.
    fn call_census(&self) {
        for node in self.others() {
            let letter = letter::write(Topic::Census, self.incarnation, self.keys.letter());
            self.outbox.put(node, letter);
        }
    }

    fn others(&self) -> Vec<Incarnation> {
        let nodes = self.living.borrow().nodes.clone();
        let others = nodes.iter().filter(|node| **node != self.incarnation);
        others.copied().collect()
    }

    fn hear(&self, topic: Topic, heard: Heard) {
        if let Some(listener) = self.listeners[topic.place()].get() {
            listener(heard);
        }
    }

    fn doubt(&self) {
        for topic in Topic::ALL {
            self.hear(topic, Heard::Doubt);
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("incarnation", &self.0.incarnation)
            .finish_non_exhaustive()
    }
}
