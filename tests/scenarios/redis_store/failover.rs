//! Replicas: writes that wait for them, and one that takes the primary's place.

use std::time::{Duration, Instant};

use switchboard::store::redis::Config;
use switchboard::store::{AppendOutcome, Health};

use super::{config, is_unavailable, open, open_at, renewed, use_all};
use crate::store_contract::world::{HERE, THERE, World, scope, text};
use crate::world::redis::Watched;
use crate::world::{Redis, eventually};

/// Half of it is what a replica has to say that it has a write; here it shares its cores with others.
const TIMEOUT: Duration = Duration::from_secs(6);

fn replicated(url: &str) -> Config {
    Config {
        replicas: 1,
        timeout: TIMEOUT,
        ..config(url)
    }
}

async fn creates(world: &World, name: &str) -> bool {
    let created = world
        .store
        .create(&scope(name), text("record"), world.in_an_hour());
    let created = created.await;
    assert!(created.is_ok() || is_unavailable(&created), "{created:?}");
    created.is_ok()
}

/// Ours (`[store] replicas`): what counts is with a replica; without one nothing counts.
#[tokio::test]
async fn writes_wait_for_the_replica_that_is_asked_for() {
    let primary = Redis::start().await;
    let mut replica = Redis::with().replica_of(&primary).start().await;
    replica.in_step_with(&primary).await;
    let world = open(&replicated(&primary.url()));
    use_all(&world, HERE, "a").await;
    let session = world.session("b").await;
    let (stream, epoch) = world.stream(&session, "stream").await;

    replica.stop_hard().await;
    assert!(!creates(&world, "c").await);
    let append = world.append((&session, &stream, epoch), [1], 10).await;
    assert!(is_unavailable(&append), "{append:?}");
    let claim = world.store.claim(&session, &stream, THERE, None, text(""));
    assert!(is_unavailable(&claim.await));
    assert!(world.store.read(&session).await.unwrap().is_some());
    renewed(&world, HERE).await;
    assert_eq!(world.store.health(), Health::ReadOnly);

    replica.restart().await;
    eventually("it is with a replica again", || async {
        creates(&world, "d").await.then_some(())
    })
    .await;
    eventually("a renewal finds that, too", || async {
        renewed(&world, HERE).await;
        (world.store.health() == Health::Well).then_some(())
    })
    .await;
}

/// Ours: the primary is gone with one of the sentinels; the store finds the new one by itself, and all
/// that was with a replica is there.
#[tokio::test]
async fn a_store_behind_sentinels_finds_the_new_primary() {
    let mut watched = Watched::with(1).await;
    let world = open(&replicated(&watched.url()));
    use_all(&world, HERE, "a").await;
    let session = world.session("b").await;
    assert!(!renewed(&world, HERE).await.lost);
    let (stream, epoch) = world.stream(&session, "stream").await;
    world
        .append((&session, &stream, epoch), 1..=3, 10)
        .await
        .unwrap();

    let began = Instant::now();
    watched.sentinels[0].0.freeze().await;
    watched.primary.stop_hard().await;

    eventually("it is read from the new primary", || async {
        world.store.read(&session).await.ok().flatten()
    })
    .await;
    println!("read again after {:?}", began.elapsed());
    let role = watched.replicas[0].info_value("replication", "role").await;
    assert_eq!(role, "master");
    assert_eq!(world.seqs(&session, &stream, 0).await, Ok(vec![1, 2, 3]));
    assert!(!creates(&world, "c").await, "it has no replica yet");
    renewed(&world, HERE).await;
    watched.sentinels[0].0.wake().await;
}

/// Ours: an old primary wakes up and takes writes for a while. None of an owner who was replaced
/// meanwhile counts, and none ever stands.
#[tokio::test]
async fn an_owner_from_before_a_failover_writes_nothing_after_it() {
    let watched = Watched::with(1).await;
    let here = open(&replicated(&watched.url()));
    let there = open_at(&watched.url());
    let session = here.session("a").await;
    let (stream, before) = here.stream(&session, "stream").await;
    let first = here.append((&session, &stream, before), [1], 10).await;
    first.unwrap();

    watched.primary.freeze().await;
    let taken = eventually("it is taken over at the new primary", || async {
        let taking = there
            .store
            .claim(&session, &stream, THERE, Some(before), text(""));
        let _unavailable = taking.await;
        let owner = there.store.ownership(&session, &stream).await.ok()??;
        (owner.owner == THERE).then_some(owner.epoch)
    })
    .await;
    assert!(taken > before);
    there
        .append((&session, &stream, taken), [2], 10)
        .await
        .unwrap();

    watched.primary.wake().await;
    eventually("the old owner knows that it is one", || async {
        let late = here.append((&session, &stream, before), [2], 10).await;
        assert!(
            late == Ok(AppendOutcome::Stale) || is_unavailable(&late),
            "{late:?}"
        );
        (late == Ok(AppendOutcome::Stale)).then_some(())
    })
    .await;
    eventually("the old primary follows", || async {
        let role = watched.primary.info_value("replication", "role").await;
        (role == "slave").then_some(())
    })
    .await;
    watched.primary.in_step_with(&watched.replicas[0]).await;
    there
        .append((&session, &stream, taken), [3], 10)
        .await
        .unwrap();
    assert_eq!(here.seqs(&session, &stream, 0).await, Ok(vec![1, 2, 3]));
    eventually("writes are with a replica again", || async {
        creates(&here, "b").await.then_some(())
    })
    .await;
}
