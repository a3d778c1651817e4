//! Many servers that share the keys.

use futures_util::future::join_all;
use switchboard::store::{Bounds, Health};

use super::{LEASE, TIMEOUT, config, is_unavailable, open_at, renewed, use_all};
use crate::store_contract::world::{HERE, THERE, World, scope, text};
use crate::world::redis::{Monitor, RedisCluster};
use crate::world::{Redis, eventually};

/// Opens sessions enough that no partition is without one.
async fn use_every_partition(world: &World) {
    let names: Vec<_> = (0..600).map(|number| number.to_string()).collect();
    join_all(names.iter().map(|name| world.session(name))).await;
}

async fn generations(node: &Redis) -> usize {
    node.cli(&["KEYS", "sb:1:{p*}:g"]).await.list().len()
}

/// Ours: scopes are in 64 parts, and every server has its share of them.
#[tokio::test]
async fn scopes_spread_over_all_servers() {
    let cluster = RedisCluster::of(3).await;
    let world = open_at(&cluster.url());
    use_every_partition(&world).await;
    let mut shares = Vec::new();
    for node in &cluster.0 {
        shares.push(generations(node).await);
    }
    println!("partitions: {shares:?}");
    assert_eq!(shares.iter().sum::<usize>(), 64);
    assert!(shares.iter().all(|share| *share > 8), "{shares:?}");
    use_all(&world, HERE, "a").await;
}

/// Ours: a reader waits longer than any other command may take.
#[tokio::test]
async fn an_inbox_is_waited_for_longer_than_a_command_may_take() {
    let cluster = RedisCluster::of(3).await;
    let world = open_at(&cluster.url());
    let quiet = world.store.receive(HERE, 0, TIMEOUT * 2).await.unwrap();
    assert!(quiet.messages.is_empty() && !quiet.lost);
    let (page, posted) = tokio::join!(
        world.store.receive(HERE, quiet.cursor, LEASE),
        world.store.post(HERE, text("a"))
    );
    posted.unwrap();
    assert_eq!(page.unwrap().messages, [text("a")]);
}

/// Ours: a node renews every two seconds, whether it is used or not.
#[tokio::test]
async fn a_renewal_costs_a_cluster_three_commands() {
    let cluster = RedisCluster::of(3).await;
    let world = open_at(&cluster.url());
    use_every_partition(&world).await;
    renewed(&world, HERE).await;
    let monitors = join_all(cluster.0.iter().map(Redis::monitor)).await;
    for _ in 0..10 {
        renewed(&world, HERE).await;
    }
    let said = eventually("the monitors heard it all", || async {
        let counts = monitors.iter().flat_map(Monitor::counts);
        let said: Vec<_> = counts.collect();
        (said.iter().map(|(_, count)| count).sum::<u64>() >= 30).then_some(said)
    })
    .await;
    let times = |name: &str| -> u64 {
        let named = said.iter().filter(|(said, _)| said == name);
        named.map(|(_, count)| count).sum()
    };
    assert_eq!((times("evalsha"), times("get")), (10, 20), "{said:?}");
}

/// Ours: one server lost its share; a few renewals find it, and say it once.
#[tokio::test]
async fn a_server_that_was_emptied_is_noticed_once() {
    let cluster = RedisCluster::of(3).await;
    let world = open_at(&cluster.url());
    use_every_partition(&world).await;
    assert!(!renewed(&world, THERE).await.lost);
    cluster.0[2].flushall().await;

    let mut renewals = 0;
    while !renewed(&world, THERE).await.lost {
        renewals += 1;
        assert!(renewals < 32, "all were looked at");
    }
    println!("found by renewal {renewals}");
    for _ in 0..32 {
        assert!(!renewed(&world, THERE).await.lost, "once");
    }
}

/// Ours: a cluster that misses a server serves nothing, and goes on when it is whole.
#[tokio::test]
async fn a_cluster_that_is_not_whole_is_away_until_it_is() {
    let mut cluster = RedisCluster::of(3).await;
    let world = World::redis_as(&config(&cluster.url()), Bounds::default());
    world.session("a").await;
    cluster.0[2].stop_hard().await;
    eventually("the store is away", || async {
        let asked = world
            .store
            .create(&scope("b"), text("b"), world.in_an_hour());
        let asked = asked.await;
        assert!(asked.is_ok() || is_unavailable(&asked), "{asked:?}");
        (world.store.health() == Health::Away).then_some(())
    })
    .await;

    cluster.0[2].restart().await;
    super::is_back(&world).await;
}
