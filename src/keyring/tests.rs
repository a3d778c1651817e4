//! The life of keys, over a store in memory and a clock that is moved.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::Bytes;

use super::*;
use crate::auth::api_key::COMPARED;
use crate::store::memory::MemoryStore;
use crate::store::{Bounds, Scope, StoreFuture};

struct World {
    clock: Clock,
    keys: ClusterKeys,
    store: Arc<MemoryStore>,
}

impl World {
    fn new() -> Self {
        let clock = Clock::manual(Timestamp(1_000_000));
        let store = Arc::new(MemoryStore::new(clock.clone(), Bounds::default()));
        let keys = ClusterKeys::generate();
        Self { clock, keys, store }
    }

    /// The keyring of one node.
    fn node(&self) -> Keyring {
        Keyring::new(self.store.clone(), &self.keys, self.clock.clone())
    }
}

fn key_of(owner: &str) -> NewKey {
    NewKey {
        tenant: "t1".into(),
        owner: owner.into(),
        roles: ["analyst".to_owned()].into(),
        scopes: std::collections::BTreeSet::new(),
        life: None,
        begins_in: None,
        networks: Vec::new(),
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn a_key_is_good_at_every_node_until_it_expires() {
    let world = World::new();
    let (here, there) = (world.node(), world.node());
    let (key, record) = here.create(key_of("ci")).await.unwrap();
    for node in [&here, &there] {
        let found = node.verify(&key, None).await.unwrap();
        assert_eq!(*found, record);
        assert_eq!((&*found.owner, &*found.tenant), ("ci", "t1"));
    }
    let another = ApiKey::generate(key.id().page());
    let refused = here.verify(&another, None).await;
    assert_eq!(refused, Err(KeyRefusal::Unknown));
    world.clock.advance(90 * DAY);
    let refused = here.verify(&key, None).await;
    assert_eq!(refused, Err(KeyRefusal::State(KeyState::Expired)));
}

#[tokio::test]
async fn a_revoked_key_is_void_at_once_here_and_soon_elsewhere() {
    let world = World::new();
    let (here, there) = (world.node(), world.node());
    let (key, _) = here.create(key_of("ci")).await.unwrap();
    there.verify(&key, None).await.unwrap();
    here.revoke(key.id().as_str()).await.unwrap();
    let revoked = Err(KeyRefusal::State(KeyState::Revoked));
    assert_eq!(here.verify(&key, None).await, revoked);
    assert!(there.verify(&key, None).await.is_ok());
    world.clock.advance(FRESH);
    assert_eq!(there.verify(&key, None).await, revoked);
    // Listed as such for a month, and then forgotten with the next change.
    assert_eq!(there.list().await.unwrap().len(), 1);
    world.clock.advance(31 * DAY);
    there.create(key_of("ci")).await.unwrap();
    assert_eq!(there.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_owner_has_the_key_in_use_and_the_next() {
    let world = World::new();
    let node = world.node();
    let (first, _) = node.create(key_of("ci")).await.unwrap();
    let next = NewKey {
        begins_in: Some(DAY),
        ..key_of("ci")
    };
    let (next, _) = node.create(next).await.unwrap();
    let refused = node.create(key_of("ci")).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`ci` has 2 keys that are good: revoke one first"
    );
    node.create(key_of("other")).await.unwrap();
    let refused = node.verify(&next, None).await;
    assert_eq!(refused, Err(KeyRefusal::State(KeyState::NotYet)));
    world.clock.advance(DAY);
    let (old, new) = (
        node.verify(&first, None).await,
        node.verify(&next, None).await,
    );
    assert_eq!(old.unwrap().owner, new.unwrap().owner);
    node.revoke(first.id().as_str()).await.unwrap();
    node.create(key_of("ci")).await.unwrap();
}

#[tokio::test]
async fn a_key_is_used_from_its_networks_alone() {
    let node = World::new().node();
    let bound = NewKey {
        networks: vec![
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8::/32".parse().unwrap(),
        ],
        ..key_of("ci")
    };
    let (key, _) = node.create(bound).await.unwrap();
    for (address, is_good) in [
        (Some("10.1.2.3"), true),
        (Some("::ffff:10.1.2.3"), true),
        (Some("2001:db8::1"), true),
        (Some("11.1.2.3"), false),
        (Some("::1"), false),
        (None, false),
    ] {
        let from = address.map(|text| text.parse().unwrap());
        let verified = node.verify(&key, from).await;
        assert_eq!(verified.is_ok(), is_good, "{address:?} {verified:?}");
    }
}

/// What keeps a stream open knows a key by its id alone.
#[tokio::test]
async fn a_key_that_was_accepted_is_looked_up_by_its_id() {
    let world = World::new();
    let (here, there) = (world.node(), world.node());
    let bound = NewKey {
        networks: vec!["10.0.0.0/8".parse().unwrap()],
        ..key_of("ci")
    };
    let (key, record) = here.create(bound).await.unwrap();
    let (id, address) = (key.id(), Some("10.1.2.3".parse().unwrap()));
    assert_eq!(*there.look_up(id, address).await.unwrap(), record);
    let refused = there.look_up(id, Some("11.1.2.3".parse().unwrap())).await;
    assert_eq!(refused, Err(KeyRefusal::Address));
    let beside = ApiKey::generate(id.page());
    let refused = there.look_up(beside.id(), address).await;
    assert_eq!(refused, Err(KeyRefusal::Unknown));
    here.revoke(id.as_str()).await.unwrap();
    world.clock.advance(FRESH);
    let refused = there.look_up(id, address).await;
    assert_eq!(refused, Err(KeyRefusal::State(KeyState::Revoked)));
    here.forget("t1", "owner ci").await.unwrap();
    world.clock.advance(FRESH);
    let refused = there.look_up(id, address).await;
    assert_eq!(refused, Err(KeyRefusal::Unknown));
}

#[tokio::test]
async fn what_cannot_be_a_key_is_not_made() {
    let node = World::new().node();
    for (told, wrong) in [
        (
            "owner",
            NewKey {
                owner: String::new(),
                ..key_of("ci")
            },
        ),
        (
            "owner",
            NewKey {
                owner: "a\nb".into(),
                ..key_of("ci")
            },
        ),
        (
            "tenant",
            NewKey {
                tenant: "t".repeat(201),
                ..key_of("ci")
            },
        ),
        (
            "scope",
            NewKey {
                scopes: ["a b".to_owned()].into(),
                ..key_of("ci")
            },
        ),
        (
            "366 days",
            NewKey {
                life: Some(367 * DAY),
                ..key_of("ci")
            },
        ),
        (
            "366 days",
            NewKey {
                life: Some(Duration::ZERO),
                ..key_of("ci")
            },
        ),
    ] {
        let refused = node.create(wrong).await.unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
    }
    for unknown in ["", "ffAAAAAAAAAAAAAA", "00AAAAAAAAAAAAAA", "ä"] {
        let refused = node.revoke(unknown).await.unwrap_err();
        assert!(matches!(refused, KeyringError::Unknown(_)), "{unknown}");
    }
}

#[tokio::test]
async fn keys_made_at_once_at_two_nodes_are_both_kept() {
    let world = World::new();
    let (here, there) = (world.node(), world.node());
    let (one, other) = tokio::join!(here.create(key_of("ci")), there.create(key_of("ci")));
    world.clock.advance(RECHECK);
    for (key, _) in [one.unwrap(), other.unwrap()] {
        assert!(here.verify(&key, None).await.is_ok());
    }
}

/// A store that can be away, and counts what it is asked.
#[derive(Debug)]
struct Moody {
    store: Arc<MemoryStore>,
    is_away: AtomicBool,
    asked: AtomicU32,
}

impl Moody {
    fn over(store: &Arc<MemoryStore>) -> Arc<Self> {
        Arc::new(Self {
            store: store.clone(),
            is_away: AtomicBool::new(false),
            asked: AtomicU32::new(0),
        })
    }

    fn ask<T: Send + 'static>(&self, asked: StoreFuture<T>) -> StoreFuture<T> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.is_away.load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(Err(StoreError::Unavailable(
                "away".into(),
            ))));
        }
        asked
    }
}

#[tokio::test]
async fn while_the_store_is_away_keys_are_believed_for_a_while() {
    let world = World::new();
    let (key, _) = world.node().create(key_of("ci")).await.unwrap();
    let store = Moody::over(&world.store);
    let node = Keyring::new(store.clone(), &world.keys, world.clock.clone());
    node.verify(&key, None).await.unwrap();
    store.is_away.store(true, Ordering::Relaxed);
    world
        .clock
        .advance(STALE_MAX.saturating_sub(Duration::from_millis(1)));
    assert!(node.verify(&key, None).await.is_ok());
    assert!(node.look_up(key.id(), None).await.is_ok());
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(node.verify(&key, None).await, Err(KeyRefusal::Unavailable));
    let looked_up = node.look_up(key.id(), None).await;
    assert_eq!(looked_up, Err(KeyRefusal::Unavailable));
    let fresh = Keyring::new(store.clone(), &world.keys, world.clock.clone());
    assert_eq!(fresh.verify(&key, None).await, Err(KeyRefusal::Unavailable));
    store.is_away.store(false, Ordering::Relaxed);
    assert!(node.verify(&key, None).await.is_ok());
}

/// What verifying a key costs: how often the store is asked, and how often a secret is compared.
async fn cost(world: &World, key: &ApiKey) -> (Result<(), KeyRefusal>, u32, u32) {
    let store = Moody::over(&world.store);
    let node = Keyring::new(store.clone(), &world.keys, world.clock.clone());
    // What it knows of all pages is as old as what makes it ask again.
    node.list().await.unwrap();
    world.clock.advance(RECHECK);
    let (asked, compared) = (store.asked.load(Ordering::Relaxed), COMPARED.get());
    let verified = node.verify(key, None).await.map(|_| ());
    let asked = store.asked.load(Ordering::Relaxed) - asked;
    (verified, asked, COMPARED.get() - compared)
}

/// Whoever tries keys learns by none of what is done for them which ids there are.
#[tokio::test]
async fn an_unknown_key_takes_the_way_of_a_wrong_one() {
    let world = World::new();
    let (node, refused) = (world.node(), Err(KeyRefusal::Unknown));
    let (good, _) = node.create(key_of("ci")).await.unwrap();
    let (revoked, _) = node.create(key_of("ci")).await.unwrap();
    node.revoke(revoked.id().as_str()).await.unwrap();
    for key in [
        // Beside keys that there are, and where there is none.
        ApiKey::generate(good.id().page()),
        ApiKey::generate((good.id().page() + 1) % PAGES),
        good.with_another_secret(),
        revoked.with_another_secret(),
    ] {
        assert_eq!(cost(&world, &key).await, (refused, 1, 2), "{key:?}");
    }
    // The secret was right, so whoever presents it knows that there is such a key.
    let state = Err(KeyRefusal::State(KeyState::Revoked));
    assert_eq!(cost(&world, &revoked).await, (state, 0, 1));
    assert_eq!(cost(&world, &good).await, (Ok(()), 0, 1));
}

impl Store for Moody {
    fn describe(&self) -> String {
        self.store.describe()
    }
    fn create(&self, scope: &Scope, value: Bytes, expires: Timestamp) -> StoreFuture<bool> {
        self.ask(self.store.create(scope, value, expires))
    }
    fn read(&self, scope: &Scope) -> StoreFuture<Option<crate::store::Record>> {
        self.ask(self.store.read(scope))
    }
    fn compare_and_set(
        &self,
        scope: &Scope,
        expected: crate::store::Version,
        value: Bytes,
    ) -> StoreFuture<CasOutcome> {
        self.ask(self.store.compare_and_set(scope, expected, value))
    }
    fn touch(&self, scopes: Vec<(Scope, Timestamp)>) -> StoreFuture<()> {
        self.ask(self.store.touch(scopes))
    }
    fn remove(&self, scope: &Scope) -> StoreFuture<bool> {
        self.ask(self.store.remove(scope))
    }
    fn claim(
        &self,
        scope: &Scope,
        thing: &crate::store::Thing,
        owner: crate::store::Incarnation,
        ending: Option<crate::store::Epoch>,
        note: Bytes,
    ) -> StoreFuture<crate::store::ClaimOutcome> {
        self.store.claim(scope, thing, owner, ending, note)
    }
    fn ownership(
        &self,
        scope: &Scope,
        thing: &crate::store::Thing,
    ) -> StoreFuture<Option<crate::store::Ownership>> {
        self.store.ownership(scope, thing)
    }
    fn append(
        &self,
        scope: &Scope,
        thing: &crate::store::Thing,
        epoch: crate::store::Epoch,
        entries: Vec<crate::store::LogEntry>,
        ends: bool,
    ) -> StoreFuture<crate::store::AppendOutcome> {
        self.store.append(scope, thing, epoch, entries, ends)
    }
    fn read_log(
        &self,
        scope: &Scope,
        thing: &crate::store::Thing,
        after: u64,
        limit: usize,
        follower: Option<crate::store::Incarnation>,
    ) -> StoreFuture<crate::store::LogPage> {
        self.store.read_log(scope, thing, after, limit, follower)
    }
    fn post(&self, to: crate::store::Incarnation, message: Bytes) -> StoreFuture<()> {
        self.store.post(to, message)
    }
    fn receive(
        &self,
        inbox: crate::store::Incarnation,
        cursor: u64,
        wait: Duration,
    ) -> StoreFuture<crate::store::InboxPage> {
        self.store.receive(inbox, cursor, wait)
    }
    fn renew(
        &self,
        node: crate::store::Incarnation,
        lease: Duration,
    ) -> StoreFuture<crate::store::Renewed> {
        self.store.renew(node, lease)
    }
    fn retire(&self, node: crate::store::Incarnation) -> StoreFuture<()> {
        self.store.retire(node)
    }
    fn sweep(&self) -> StoreFuture<Vec<Scope>> {
        self.store.sweep()
    }
    fn flush(&self) -> StoreFuture<()> {
        self.store.flush()
    }
}
