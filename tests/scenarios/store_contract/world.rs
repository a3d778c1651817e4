//! A store, time that passes when told, and the few acts every story needs.

use std::any::Any;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use switchboard::runtime::clock::{Clock, Timestamp};
use switchboard::runtime::tasks::Tasks;
use switchboard::store::embedded::EmbeddedStore;
use switchboard::store::memory::MemoryStore;
use switchboard::store::redis::{self, RedisStore};
use switchboard::store::{
    AppendOutcome, Bounds, ClaimOutcome, Epoch, Incarnation, LogEntry, LogPage, Scope, Store,
    StoreResult, Thing,
};
use tempfile::TempDir;

use crate::world::redis::{Connection, Redis, RedisCluster, Reply};
use crate::world::{PATIENCE, within};

pub const HOUR: Duration = Duration::from_secs(3_600);
/// Short enough to be waited for where time cannot be moved, long enough for what must happen within.
pub const SHORT: Duration = Duration::from_secs(2);
pub const KIB: usize = 1_024;

/// How a story opens its world.
pub type Open = Box<dyn Fn(Bounds) -> BoxFuture<'static, World>>;

pub fn memory() -> Open {
    Box::new(|bounds| ready(World::memory(bounds)).boxed())
}

pub fn embedded() -> Open {
    Box::new(|bounds| ready(World::embedded(bounds)).boxed())
}

pub fn redis() -> Open {
    Box::new(|bounds| World::redis(bounds).boxed())
}

/// Emptied first.
pub async fn redis_cluster(cluster: &RedisCluster) -> Open {
    for node in &cluster.0 {
        node.flushall().await;
    }
    let url = cluster.url();
    let servers: Vec<_> = cluster.0.iter().map(Redis::address).collect();
    Box::new(move |bounds| {
        let mut world = World::redis_as(&redis_config(&url), bounds);
        world.place = Place::Redis(servers.clone());
        ready(world).boxed()
    })
}

/// With the patience of a story, which is not in a hurry.
pub fn redis_config(url: &str) -> redis::Config {
    redis::Config {
        target: redis::Target::parse(url).expect("the URL is right"),
        ca: None,
        replicas: 0,
        timeout: PATIENCE,
    }
}

pub struct World {
    pub store: Arc<dyn Store>,
    pub clock: Clock,
    time: Time,
    place: Place,
    /// After the store, so that it is closed before what it lies in goes.
    _held: Option<Box<dyn Any + Send + Sync>>,
}

/// How time passes in a world.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Time {
    /// When it is told to.
    Told,
    /// By itself: it is a server's.
    Real,
}

/// Where a store lies.
enum Place {
    Here,
    Redis(Vec<SocketAddr>),
}

impl World {
    pub fn memory(bounds: Bounds) -> Self {
        let clock = clock();
        Self {
            store: Arc::new(MemoryStore::new(clock.clone(), bounds)),
            clock,
            time: Time::Told,
            place: Place::Here,
            _held: None,
        }
    }

    pub fn embedded(bounds: Bounds) -> Self {
        let dir = TempDir::new().expect("a place for files");
        let mut world = Self::embedded_in(dir.path(), clock(), bounds);
        world._held = Some(Box::new(dir));
        world
    }

    /// In a directory that outlives this world.
    pub fn embedded_in(dir: &Path, clock: Clock, bounds: Bounds) -> Self {
        let store = EmbeddedStore::open(dir, clock.clone(), bounds).expect("the directory is good");
        Self {
            store: Arc::new(store),
            clock,
            time: Time::Told,
            place: Place::Here,
            _held: None,
        }
    }

    pub async fn redis(bounds: Bounds) -> Self {
        let redis = Redis::start().await;
        let mut world = Self::redis_as(&redis_config(&redis.url()), bounds);
        world.place = Place::Redis(vec![redis.address()]);
        world._held = Some(Box::new(redis));
        world
    }

    /// In a Redis that outlives this world.
    pub fn redis_as(config: &redis::Config, bounds: Bounds) -> Self {
        let clock = Clock::system();
        let tasks = Tasks::on(tokio::runtime::Handle::current());
        let store = RedisStore::open(config, clock.clone(), bounds, &tasks);
        Self {
            store: Arc::new(store.expect("the configuration is right")),
            clock,
            time: Time::Real,
            place: Place::Redis(vec![]),
            _held: None,
        }
    }

    /// Lets time pass. A server's clock cannot be moved, so there it is waited for.
    pub async fn pass(&self, time: Duration) {
        match self.time {
            Time::Told => self.clock.advance(time),
            Time::Real => tokio::time::sleep(time).await,
        }
    }

    /// Lets almost as much time pass: as near as may be without a doubt.
    pub async fn pass_almost(&self, time: Duration) {
        match self.time {
            Time::Told => self.pass(time - Duration::from_millis(1)).await,
            Time::Real => self.pass(time / 4).await,
        }
    }

    /// Lets enough time pass to tell before from after.
    pub async fn pass_a_moment(&self) {
        self.pass(Duration::from_millis(5)).await;
    }

    /// Whether two times are the same, as far as this world's clocks can tell.
    pub fn same(&self, one: Timestamp, other: Timestamp) -> bool {
        let apart = one.since(other).max(other.since(one));
        match self.time {
            Time::Told => apart.is_zero(),
            Time::Real => apart < PATIENCE,
        }
    }

    /// Lets every inbox be forgotten, as if nobody had read it for long.
    pub async fn forget_inboxes(&self) {
        match &self.place {
            Place::Redis(servers) => {
                for server in servers {
                    let forgotten = forget_inboxes_of(*server);
                    within("the inboxes go", forgotten).await.unwrap();
                }
            }
            Place::Here => {
                self.clock.advance(HOUR);
                self.store.sweep().await.expect("the store works");
            }
        }
    }

    /// A session that lives for an hour.
    pub async fn session(&self, name: &str) -> Scope {
        self.session_for(name, HOUR).await
    }

    /// A session that lives for so long.
    pub async fn session_for(&self, name: &str, life: Duration) -> Scope {
        let scope = scope(name);
        let expires = self.clock.now().after(life);
        let created = self.store.create(&scope, text("record"), expires).await;
        assert_eq!(created, Ok(true));
        scope
    }

    /// A single thing of that session, owned by [`HERE`].
    pub async fn stream(&self, scope: &Scope, name: &str) -> (Thing, Epoch) {
        let thing = thing(name);
        let epoch = self.claim(scope, &thing, HERE, None).await;
        (thing, epoch.expect("nobody else claims"))
    }

    /// Claims; the epoch if that succeeded.
    pub async fn claim(
        &self,
        scope: &Scope,
        thing: &Thing,
        owner: Incarnation,
        ending: Option<Epoch>,
    ) -> Option<Epoch> {
        let claim = self.store.claim(scope, thing, owner, ending, text("note"));
        match claim.await.expect("the store works") {
            ClaimOutcome::Claimed(claimed) => Some(claimed.ownership.epoch),
            ClaimOutcome::Lost | ClaimOutcome::Gone => None,
        }
    }

    /// Appends entries of these numbers, each of `size` bytes.
    pub async fn append(
        &self,
        (scope, thing, epoch): (&Scope, &Thing, Epoch),
        seqs: impl IntoIterator<Item = u64>,
        size: usize,
    ) -> StoreResult<AppendOutcome> {
        let entries = entries(seqs, size);
        self.store.append(scope, thing, epoch, entries, false).await
    }

    /// Ends a log without a further entry.
    pub async fn end(&self, scope: &Scope, thing: &Thing, epoch: Epoch) {
        let end = self.store.append(scope, thing, epoch, vec![], true).await;
        assert_eq!(end, Ok(stored()));
    }

    /// The numbers after `after`, or how the log refused.
    pub async fn seqs(
        &self,
        scope: &Scope,
        thing: &Thing,
        after: u64,
    ) -> Result<Vec<u64>, LogPage> {
        let page = self.store.read_log(scope, thing, after, usize::MAX, None);
        match page.await.expect("the store works") {
            LogPage::Entries { entries, .. } => Ok(entries.iter().map(|entry| entry.seq).collect()),
            refused @ (LogPage::Dropped | LogPage::Missing) => Err(refused),
        }
    }

    pub fn in_an_hour(&self) -> Timestamp {
        self.clock.now().after(HOUR)
    }
}

async fn forget_inboxes_of(server: SocketAddr) -> std::io::Result<()> {
    let mut connection = Connection::open(server).await?;
    let inboxes = connection.command(&["KEYS", "sb:1:{n*}:i"]).await?;
    for inbox in inboxes.list() {
        let gone = connection.command(&["DEL", &inbox.text()]).await?;
        assert_eq!(gone, Reply::Number(1));
    }
    Ok(())
}

/// Two runs of nodes.
pub const HERE: Incarnation = Incarnation(1);
pub const THERE: Incarnation = Incarnation(2);

/// Any point in time will do; this one is in 2026.
pub fn clock() -> Clock {
    Clock::manual(Timestamp(1_784_000_000_000))
}

pub fn scope(name: &str) -> Scope {
    Scope(name.into())
}

pub fn thing(name: &str) -> Thing {
    Thing(name.into())
}

pub fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Entries of these numbers; each payload tells its number in its first bytes.
pub fn entries(seqs: impl IntoIterator<Item = u64>, size: usize) -> Vec<LogEntry> {
    let entry = |seq: u64| {
        let mut payload = seq.to_be_bytes().to_vec();
        payload.resize(size.max(8), b'.');
        LogEntry {
            seq,
            payload: payload.into(),
        }
    };
    seqs.into_iter().map(entry).collect()
}

/// Stored, and nobody else wants to know.
pub fn stored() -> AppendOutcome {
    AppendOutcome::Stored { followers: vec![] }
}
