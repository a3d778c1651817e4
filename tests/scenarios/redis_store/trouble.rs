//! A server that does not answer, or not as one that works.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use switchboard::store::Health;

use super::{TIMEOUT, is_back, is_unavailable, open_at, renewed};
use crate::store_contract::world::{HERE, World, scope, text};
use crate::world::{FaultProxy, Redis, eventually, within};

/// Asks until the breaker is open; everything asked ends, and as unavailable.
async fn goes_away(world: &World) {
    eventually("the store is away", || async {
        let began = Instant::now();
        let created = world
            .store
            .create(&scope("b"), text("b"), world.in_an_hour());
        let created = within("it is answered", created).await;
        assert!(is_unavailable(&created), "{created:?}");
        println!("refused after {:?}: {created:?}", began.elapsed());
        (world.store.health() == Health::Away).then_some(())
    })
    .await;
}

/// Ours: every operation has a deadline, however many wait and however silent the server is.
#[tokio::test]
async fn a_silent_server_costs_a_deadline_and_then_nothing() {
    let redis = Redis::start().await;
    let world = open_at(&redis.url());
    world.session("a").await;
    redis.freeze().await;

    let began = Instant::now();
    let reads = (0..200).map(|number| world.store.read(&scope(&number.to_string())));
    let reads = within("all are answered", join_all(reads)).await;
    assert!(reads.iter().all(is_unavailable));
    println!(
        "200 were refused after {:?} of {TIMEOUT:?}",
        began.elapsed()
    );
    goes_away(&world).await;

    redis.wake().await;
    is_back(&world).await;
    assert!(world.store.read(&scope("a")).await.unwrap().is_some());
}

/// Ours: a server that is slow to all its clients for a while.
#[tokio::test]
async fn a_paused_server_is_found_again() {
    let redis = Redis::start().await;
    let world = open_at(&redis.url());
    world.session("a").await;
    // Longer than the three failures that the breaker waits for.
    redis.pause(TIMEOUT * 6).await;
    goes_away(&world).await;
    is_back(&world).await;
}

/// Ours: full is not gone: what is there can be read, and once there is room it goes on.
#[tokio::test]
async fn a_full_server_refuses_writes_until_there_is_room() {
    let redis = Redis::start().await;
    let world = open_at(&redis.url());
    let session = world.session("a").await;
    let (stream, epoch) = world.stream(&session, "stream").await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;

    let append = world.append((&session, &stream, epoch), [1], 10).await;
    assert!(is_unavailable(&append), "{append:?}");
    assert!(world.store.read(&session).await.unwrap().is_some());
    goes_away(&world).await;

    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
    is_back(&world).await;
    let append = world.append((&session, &stream, epoch), [1], 10).await;
    append.unwrap();
    assert_eq!(world.seqs(&session, &stream, 0).await, Ok(vec![1]));
}

/// Ours: a primary that became a replica under our hands, and a primary again.
#[tokio::test]
async fn a_read_only_server_is_away_until_it_can_be_written() {
    let redis = Redis::start().await;
    let world = open_at(&redis.url());
    world.session("a").await;
    // Nobody is there: it keeps what it has.
    let nobody = FaultProxy::before(redis.address()).await;
    let nowhere = nobody.address();
    drop(nobody);
    redis.replicate(Some(nowhere)).await;
    goes_away(&world).await;

    redis.replicate(None).await;
    is_back(&world).await;
    assert!(world.store.read(&scope("a")).await.unwrap().is_some());
}

/// Ours: a store that is gone is asked for at a steady, low rate by everything that wants it.
#[tokio::test]
async fn a_store_that_is_gone_is_not_stormed() {
    let mut redis = Redis::start().await;
    let link = FaultProxy::before(redis.address()).await;
    let world = open_at(&format!("redis://{}", link.address()));
    world.session("a").await;
    redis.stop_hard().await;
    goes_away(&world).await;

    let (before, began) = (link.accepted(), Instant::now());
    let span = Duration::from_secs(4);
    let asking = join_all((0..8).map(|_| async {
        while began.elapsed() < span {
            let lease = world.store.renew(HERE, TIMEOUT).await;
            let inbox = world.store.receive(HERE, 0, TIMEOUT).await;
            let record = world.store.read(&scope("a")).await;
            assert!(lease.is_err() && inbox.is_err() && record.is_err());
            tokio::task::yield_now().await;
        }
    }));
    within("all are answered", asking).await;
    let (tries, took) = (link.accepted() - before, began.elapsed());
    println!("{tries} connections in {took:?}");
    assert!(tries as u64 <= 10 * took.as_secs(), "no storm");

    redis.restart().await;
    let began = Instant::now();
    is_back(&world).await;
    println!("back after {:?}", began.elapsed());
}

/// Ours: connections that break again and again cost only what was on them.
#[tokio::test]
async fn a_link_that_breaks_all_the_time_is_used_while_it_holds() {
    let redis = Redis::start().await;
    let link = FaultProxy::before(redis.address()).await;
    let world = open_at(&format!("redis://{}", link.address()));
    world.session("a").await;
    for round in 0..5 {
        link.reset();
        is_back_to_reading(&world, round).await;
        renewed(&world, HERE).await;
    }
}

async fn is_back_to_reading(world: &World, round: u32) {
    let began = Instant::now();
    eventually("it is read again", || async {
        world.store.read(&scope("a")).await.ok().flatten()
    })
    .await;
    println!("round {round}: read after {:?}", began.elapsed());
}
