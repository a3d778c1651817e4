//! A store that lost what it held says so once, and nothing of before is taken for what is now.

use switchboard::store::AppendOutcome;

use super::{LEASE, is_back, is_unavailable, open_at, renewed};
use crate::store_contract::world::{HERE, THERE, scope};
use crate::world::{Redis, eventually};

/// Ours: everything at once, under the hands of two nodes.
#[tokio::test]
async fn a_flushed_store_is_noticed_by_every_node_once() {
    let redis = Redis::start().await;
    let (here, there) = (open_at(&redis.url()), open_at(&redis.url()));
    let session = here.session("a").await;
    let (stream, epoch) = here.stream(&session, "stream").await;
    assert!(there.store.read(&session).await.unwrap().is_some());
    assert!(!renewed(&here, HERE).await.lost);
    assert!(!renewed(&there, THERE).await.lost);
    let generation = redis.cli(&["GET", "sb:1:{p00}:g"]).await;

    redis.flushall().await;

    assert!(renewed(&here, HERE).await.lost);
    assert!(!renewed(&here, HERE).await.lost, "once");
    assert_eq!(here.store.read(&session).await, Ok(None));
    let append = here.append((&session, &stream, epoch), [1], 10).await;
    assert_eq!(append, Ok(AppendOutcome::Gone));
    assert_ne!(redis.cli(&["GET", "sb:1:{p00}:g"]).await, generation);
    // The other one may find out by using it, and is told all the same.
    let first = there.store.read(&session).await;
    assert!(is_unavailable(&first), "{first:?}");
    assert_eq!(there.store.read(&session).await, Ok(None));
    assert!(renewed(&there, THERE).await.lost);
    assert!(!renewed(&there, THERE).await.lost, "once");
    here.session("a").await;
}

/// Ours: a server that begins anew with nothing, and knows no script either.
#[tokio::test]
async fn a_server_that_comes_back_empty_is_noticed_once() {
    let mut redis = Redis::start().await;
    let world = open_at(&redis.url());
    let session = world.session("a").await;
    assert!(!renewed(&world, HERE).await.lost);

    redis.restart().await;

    assert!(renewed(&world, HERE).await.lost);
    is_back(&world).await;
    assert_eq!(world.store.read(&session).await, Ok(None));
    assert!(!renewed(&world, HERE).await.lost, "once");
}

/// Ours: a server that began anew may lack what was written last, even if it kept its files.
#[tokio::test]
async fn a_server_that_comes_back_with_its_files_is_in_doubt_once() {
    let mut redis = Redis::with().append_only().start().await;
    let world = open_at(&redis.url());
    let session = world.session("a").await;
    renewed(&world, HERE).await;

    redis.restart().await;

    let renewal = renewed(&world, HERE).await;
    assert!(renewal.lost, "what it wrote last may be missing");
    eventually("it is read again", || async {
        world.store.read(&session).await.ok().flatten()
    })
    .await;
    world.stream(&session, "stream").await;
    assert!(!world.store.renew(HERE, LEASE).await.unwrap().lost);
}

/// Ours: what came back is older than what was acknowledged: the node's own lease shows it.
#[tokio::test]
async fn a_server_that_comes_back_as_it_was_earlier_is_noticed() {
    let redis = Redis::start().await;
    let world = open_at(&redis.url());
    world.session("a").await;
    renewed(&world, HERE).await;
    let earlier = redis
        .cli(&["ZSCORE", "sb:1:{nodes}:leases", "1"])
        .await
        .text();
    world.pass_a_moment().await;
    assert!(!renewed(&world, HERE).await.lost);
    redis
        .cli(&["ZADD", "sb:1:{nodes}:leases", &earlier, "1"])
        .await;
    assert!(renewed(&world, HERE).await.lost);
    assert!(world.store.read(&scope("a")).await.unwrap().is_some());
}
