//! What only a store in Redis goes through: who is let in, servers that are slow, full, replaced or
//! emptied, and values that somebody else wrote.
//!
//! What every store promises is told in [`crate::store_contract`], over Redis as well.

mod access;
mod buckets;
mod cluster;
mod damage;
mod failover;
mod idle;
mod loss;
mod trouble;

use std::time::Duration;

use switchboard::store::redis::Config;
use switchboard::store::{Bounds, Health, Incarnation, Renewed, StoreError, StoreResult};

use crate::store_contract::world::{World, redis_config, scope};
use crate::world::eventually;

/// How long an operation may take: far longer than one does, and short enough to be waited for.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Long enough that it never lapses.
const LEASE: Duration = Duration::from_secs(3_600);

fn config(url: &str) -> Config {
    Config {
        timeout: TIMEOUT,
        ..redis_config(url)
    }
}

fn open(config: &Config) -> World {
    World::redis_as(config, Bounds::default())
}

/// The store of this URL, in a hurry.
fn open_at(url: &str) -> World {
    open(&config(url))
}

fn is_unavailable<T>(result: &StoreResult<T>) -> bool {
    matches!(result, Err(StoreError::Unavailable(_)))
}

fn is_damaged<T>(result: &StoreResult<T>) -> bool {
    matches!(result, Err(StoreError::Damaged(_)))
}

/// Everything a node does with its store, once.
async fn use_all(world: &World, node: Incarnation, name: &str) {
    let store = &world.store;
    let renewed = store.renew(node, LEASE).await.unwrap();
    assert!(renewed.living.contains(&node));
    let session = world.session(name).await;
    let record = store.read(&session).await.unwrap().unwrap();
    let written = store.compare_and_set(&session, record.version, record.value);
    written.await.unwrap();
    let touched = vec![(session.clone(), world.in_an_hour())];
    store.touch(touched).await.unwrap();
    let (stream, epoch) = world.stream(&session, "stream").await;
    store.ownership(&session, &stream).await.unwrap().unwrap();
    let appended = world.append((&session, &stream, epoch), 1..=3, 10).await;
    appended.unwrap();
    assert_eq!(world.seqs(&session, &stream, 0).await, Ok(vec![1, 2, 3]));
    world.end(&session, &stream, epoch).await;
    store.post(node, "a letter".into()).await.unwrap();
    let page = store.receive(node, 0, LEASE).await.unwrap();
    assert_eq!(page.messages, ["a letter"]);
    let none = store.receive(node, page.cursor, Duration::from_millis(10));
    assert!(none.await.unwrap().messages.is_empty());
    assert_eq!(store.remove(&session).await, Ok(true));
    store.retire(node).await.unwrap();
}

/// Waits until it takes a new session again, with nobody telling it anything.
async fn is_back(world: &World) {
    eventually("the store is back", || async {
        let expires = world.in_an_hour();
        let created = world.store.create(&scope("back"), "".into(), expires);
        created.await.is_ok().then_some(())
    })
    .await;
    assert_eq!(world.store.health(), Health::Well);
}

/// The next renewal that the store answers.
async fn renewed(world: &World, node: Incarnation) -> Renewed {
    eventually("the lease is renewed", || async {
        world.store.renew(node, LEASE).await.ok()
    })
    .await
}
