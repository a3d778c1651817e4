//! Buckets of tokens that nodes share.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use switchboard::policy::limits::config::{Config, Most, OnFailure, RuleConfig, What, Who};
use switchboard::policy::limits::{Limits, SharedTokens, Take, Tokens};
use switchboard::runtime::clock::Clock;
use switchboard::runtime::tasks::Tasks;
use switchboard::store::Bounds;
use switchboard::store::buckets::{Ask, Buckets, Given};
use switchboard::store::redis::RedisStore;
use switchboard::telemetry::metrics::Metrics;

use super::config;
use crate::world::redis::RedisCluster;
use crate::world::{Redis, eventually};

/// Longer than any test takes: what is taken does not come back.
const HOUR: Duration = Duration::from_secs(3_600);

fn store(url: &str) -> Arc<RedisStore> {
    let tasks = Tasks::on(tokio::runtime::Handle::current());
    let opened = RedisStore::open(&config(url), Clock::system(), Bounds::default(), &tasks);
    Arc::new(opened.expect("the configuration is right"))
}

/// Five at once, one per hour.
fn ask(key: &str, want: u32, back: u32) -> Ask {
    Ask {
        key: key.to_owned(),
        interval_nanos: u64::try_from(HOUR.as_nanos()).unwrap(),
        burst: 5,
        want,
        back,
    }
}

fn tokens(given: &[Given]) -> Vec<u32> {
    given.iter().map(|given| given.tokens).collect()
}

/// Ours: a limit holds for all nodes together.
#[tokio::test]
async fn nodes_take_from_the_same_buckets() {
    let redis = Redis::start().await;
    let (here, there) = (store(&redis.url()), store(&redis.url()));
    // Many keys, which lie on many shelves, are answered in their order.
    let keys: Vec<_> = (0..40).map(|number| format!("key-{number}")).collect();
    let all = |want: &dyn Fn(usize) -> u32| {
        let asks = keys.iter().enumerate();
        asks.map(|(at, key)| ask(key, want(at), 0))
            .collect::<Vec<_>>()
    };
    let wanted = |at: usize| u32::try_from(at % 5).unwrap() + 1;
    let given = here.take(all(&wanted)).await.unwrap();
    let expected: Vec<_> = (0..40).map(wanted).collect();
    assert_eq!(tokens(&given), expected);
    assert!(given.iter().all(|given| given.retry_after_us == 0));

    let given = there.take(all(&|_| 5)).await.unwrap();
    let rest: Vec<_> = (0..40).map(|at| 5 - wanted(at)).collect();
    assert_eq!(tokens(&given), rest, "what the other node left");
    let hour = u64::try_from(HOUR.as_micros()).unwrap();
    assert!(
        given
            .iter()
            .all(|given| (1..=hour).contains(&given.retry_after_us))
    );
}

/// Ours: what a node took and did not use is there for the others.
#[tokio::test]
async fn what_is_given_back_can_be_taken_and_never_more_than_fits() {
    let redis = Redis::start().await;
    let store = store(&redis.url());
    assert_eq!(
        tokens(&store.take(vec![ask("a", 5, 0)]).await.unwrap()),
        [5]
    );
    assert_eq!(
        tokens(&store.take(vec![ask("a", 1, 0)]).await.unwrap()),
        [0]
    );
    assert_eq!(
        tokens(&store.take(vec![ask("a", 5, 3)]).await.unwrap()),
        [3]
    );
    assert_eq!(
        tokens(&store.take(vec![ask("a", 9, 100)]).await.unwrap()),
        [5]
    );
}

/// Ours: whoever calls once is forgotten when their bucket is full again.
#[tokio::test]
async fn every_bucket_lapses_when_it_is_full() {
    let redis = Redis::start().await;
    let store = store(&redis.url());
    store
        .take(vec![ask("a", 2, 0), ask("b", 0, 0)])
        .await
        .unwrap();
    let keys = redis.cli(&["KEYS", "*}:a"]).await;
    let [key] = keys.list() else {
        panic!("one bucket: {keys:?}")
    };
    let life = redis.cli(&["PTTL", &key.text()]).await.number();
    let two_hours = i64::try_from(2 * HOUR.as_millis()).unwrap();
    assert!((two_hours - 60_000..=two_hours).contains(&life), "{life}");
    let full = redis.cli(&["KEYS", "*}:b"]).await;
    assert!(full.list().is_empty(), "one that is full is not kept");
}

/// Ours: a store that lost its buckets begins with full ones, and a damaged one counts as full.
#[tokio::test]
async fn a_bucket_that_was_lost_or_damaged_is_full() {
    let redis = Redis::start().await;
    let store = store(&redis.url());
    store.take(vec![ask("a", 5, 0)]).await.unwrap();
    redis.flushall().await;
    assert_eq!(
        tokens(&store.take(vec![ask("a", 5, 0)]).await.unwrap()),
        [5]
    );
    let keys = redis.cli(&["KEYS", "*}:a"]).await;
    redis.cli(&["SET", &keys.list()[0].text(), "no time"]).await;
    assert_eq!(
        tokens(&store.take(vec![ask("a", 5, 0)]).await.unwrap()),
        [5]
    );
}

/// Ours: the buckets of one call may lie on several servers.
#[tokio::test]
async fn a_cluster_gives_from_all_its_servers_at_once() {
    let cluster = RedisCluster::of(3).await;
    let store = store(&cluster.url());
    let asks = || {
        (0..40)
            .map(|number| ask(&number.to_string(), 3, 0))
            .collect::<Vec<_>>()
    };
    assert_eq!(tokens(&store.take(asks()).await.unwrap()), [3; 40]);
    assert_eq!(tokens(&store.take(asks()).await.unwrap()), [2; 40]);
}

/// Ours: as many pass as the limit says, whichever node they come to, for few commands.
#[tokio::test]
async fn three_nodes_let_pass_what_one_would() {
    let redis = Redis::start().await;
    let limits = Limits::new(&Config {
        rules: vec![RuleConfig {
            name: "per_user".to_owned(),
            who: Who::User,
            what: What::All,
            most: Most::Rate("500/day".parse().unwrap(), OnFailure::Refuse),
        }],
        ..Config::default()
    });
    let caller = switchboard::identity::Caller::local();
    let roles = std::iter::empty().collect();
    let demands = limits
        .unwrap()
        .demands(&caller, &roles, "jira", "jira.get", true)
        .rates;
    let nodes: Vec<_> = (0..3)
        .map(|_| SharedTokens::new(store(&redis.url()), NonZeroU32::MIN, Metrics::new()))
        .collect();
    let monitor = redis.monitor().await;

    let now = Clock::system().wall_micros();
    let takes = (0..1_500).map(|call| nodes[call % 3].take(&demands, now));
    let takes = join_all(takes).await;

    let passed = takes.iter().filter(|take| **take == Take::Taken).count();
    // A little may flow in while the test runs.
    assert!((500..=501).contains(&passed), "{passed} passed");
    let commands = eventually("the monitor heard it", || async {
        monitor.counts().get("evalsha").copied()
    })
    .await;
    assert!(commands < 50, "{commands} commands for 1500 calls");
}
