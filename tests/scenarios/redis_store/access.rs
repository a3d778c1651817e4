//! Who is let in, and by which certificate.

use switchboard::store::Health;

use super::{config, is_back, is_unavailable, open, open_at, use_all};
use crate::store_contract::world::{HERE, scope, text};
use crate::world::redis::{RedisCluster, Reply, Setup, Watched};
use crate::world::{Redis, eventually};

/// What docs/nodes.md tells operators to allow.
fn rule() -> &'static str {
    const BEGIN: &str = "ACL SETUSER switchboard on >PASSWORD ";
    let page = include_str!("../../../docs/nodes.md");
    let rule = page.lines().find_map(|line| line.strip_prefix(BEGIN));
    rule.expect("the page has the rule")
}

/// Ours: what the documentation says is enough, is.
#[tokio::test]
async fn a_user_with_the_documented_rule_may_do_all_that_is_needed() {
    let setup = Redis::with().user("switchboard", "s3cret", rule());
    let redis = setup.start().await;
    let world = open_at(&redis.url());
    use_all(&world, HERE, "a").await;
    let denied = redis.cli(&["ACL", "LOG"]).await;
    assert_eq!(denied, Reply::List(vec![]));

    let other = redis.cli(&["ACL", "DRYRUN", "switchboard", "GET", "other"]);
    assert!(other.await.text().contains("no permissions"));
}

/// Ours: the same of a cluster.
#[tokio::test]
async fn a_user_with_the_documented_rule_may_do_all_that_is_needed_of_a_cluster() {
    let cluster = RedisCluster::of(3).await;
    let mut user = vec!["ACL", "SETUSER", "switchboard", "on", ">s3cret"];
    user.extend(rule().split(' '));
    for node in &cluster.0 {
        assert_eq!(node.cli(&user).await.text(), "OK");
    }
    let address = cluster.0[0].address();
    let world = open_at(&format!("redis+cluster://switchboard:s3cret@{address}"));
    use_all(&world, HERE, "a").await;
    for node in &cluster.0 {
        for denied in node.cli(&["ACL", "LOG"]).await.list() {
            // Reason, context, and what was denied: its client may not say its name, and does not mind.
            let denied = denied.list()[7].text();
            assert!(denied.starts_with("client"), "{denied}");
        }
    }
}

/// TLS and a user with no more than the documented rule.
fn guarded() -> Setup {
    Redis::with().tls().user("switchboard", "s3cret", rule())
}

/// Ours: a cluster whose servers speak TLS, to each other too.
#[tokio::test]
async fn a_cluster_is_trusted_by_its_certificates() {
    let cluster = RedisCluster::like(&guarded(), 3).await;
    assert!(cluster.url().starts_with("rediss+cluster://switchboard:"));
    let mut config = config(&cluster.url());
    let stranger = open(&config);
    assert!(is_unavailable(&stranger.store.read(&scope("a")).await));

    config.ca = Some(std::fs::read(cluster.0[0].authority()).unwrap());
    let world = open(&config);
    // Enough that each server has some.
    for name in ["a", "b", "c", "d", "e", "f"] {
        use_all(&world, HERE, name).await;
    }
}

/// Ours: sentinels and the servers that they watch, before and after a failover.
#[tokio::test]
async fn a_watched_store_is_trusted_by_its_certificates() {
    let mut watched = Watched::like(&guarded(), 1).await;
    assert!(watched.url().starts_with("rediss+sentinel://switchboard:"));
    let mut config = config(&watched.url());
    let stranger = open(&config);
    assert!(is_unavailable(&stranger.store.read(&scope("a")).await));

    config.ca = Some(std::fs::read(watched.primary.authority()).unwrap());
    let world = open(&config);
    use_all(&world, HERE, "a").await;
    watched.primary.stop_hard().await;
    is_back(&world).await;
    use_all(&world, HERE, "b").await;
}

/// Ours: a password that is changed while nodes run costs what it costs, and no more.
#[tokio::test]
async fn a_user_who_is_locked_out_comes_back_once_let_in() {
    let redis = Redis::with().user("switchboard", "s3cret", rule());
    let redis = redis.start().await;
    let world = open_at(&redis.url());
    world.session("a").await;
    redis.cli(&["ACL", "DELUSER", "switchboard"]).await;

    eventually("the store is away", || async {
        let read = world.store.read(&scope("a")).await;
        assert!(read.is_ok() || is_unavailable(&read), "{read:?}");
        (world.store.health() == Health::Away).then_some(())
    })
    .await;
    let again = ["ACL", "SETUSER", "switchboard", "on", ">s3cret"];
    let again = again.into_iter().chain(rule().split(' '));
    redis.cli(&again.collect::<Vec<_>>()).await;
    is_back(&world).await;
    let kept = world.store.read(&scope("a")).await.unwrap().unwrap();
    assert_eq!(kept.value, text("record"));
}

/// Ours: a user who may not write is told from a server that is gone: reads go on.
#[tokio::test]
async fn who_may_not_write_still_reads() {
    let redis = Redis::start().await;
    open_at(&redis.url()).session("a").await;
    let rule = format!("{} -xadd -hset", rule());
    let mut user = vec!["ACL", "SETUSER", "reader", "on", ">pass"];
    user.extend(rule.split(' '));
    assert_eq!(redis.cli(&user).await.text(), "OK");
    let url = format!("redis://reader:pass@{}", redis.address());

    let world = open_at(&url);
    assert!(world.store.read(&scope("a")).await.unwrap().is_some());
    let created = world
        .store
        .create(&scope("b"), text("b"), world.in_an_hour());
    assert!(is_unavailable(&created.await));
    assert!(world.store.read(&scope("a")).await.unwrap().is_some());
}

/// Ours: TLS by the authority that is configured, and by no other.
#[tokio::test]
async fn a_store_is_trusted_by_its_certificate() {
    let redis = Redis::with().tls().password("sesame").start().await;
    let mut config = config(&redis.url());
    let stranger = open(&config);
    assert!(is_unavailable(&stranger.store.read(&scope("a")).await));

    config.ca = Some(std::fs::read(redis.authority()).unwrap());
    use_all(&open(&config), HERE, "a").await;
}
