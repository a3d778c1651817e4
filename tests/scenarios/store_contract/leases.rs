//! Leases: who renews lives, who stops renewing is taken for dead, who retires is gone at once.

use std::time::Duration;

use switchboard::store::Bounds;

use super::contract;
use super::world::{HERE, Open, THERE};

contract!(
    who_renews_is_among_the_living,
    a_lease_that_is_not_renewed_lapses,
    who_retires_is_gone_at_once,
);

const LEASE: Duration = Duration::from_secs(2);
/// Long enough that it never lapses.
const LONG: Duration = Duration::from_secs(3_600);

async fn who_renews_is_among_the_living(open: Open) {
    let world = open(Bounds::default()).await;
    let first = world.store.renew(THERE, LONG).await.unwrap();
    assert_eq!((first.living, first.lost), (vec![THERE], false));
    let second = world.store.renew(HERE, LONG).await.unwrap();
    assert_eq!(second.living, [HERE, THERE]);
    let again = world.store.renew(HERE, LONG).await.unwrap();
    assert_eq!((again.living, again.lost), (vec![HERE, THERE], false));
}

async fn a_lease_that_is_not_renewed_lapses(open: Open) {
    let world = open(Bounds::default()).await;
    world.store.renew(THERE, LEASE).await.unwrap();
    world.store.renew(HERE, LEASE).await.unwrap();
    world.pass(LEASE / 2).await;
    world.store.renew(HERE, LEASE).await.unwrap();
    world.pass(LEASE / 2).await;
    let left = world.store.renew(HERE, LEASE).await.unwrap();
    assert_eq!(left.living, [HERE]);
    let back = world.store.renew(THERE, LEASE).await.unwrap();
    assert_eq!(back.living, [HERE, THERE], "it lives again once it renews");
}

async fn who_retires_is_gone_at_once(open: Open) {
    let world = open(Bounds::default()).await;
    world.store.renew(THERE, LONG).await.unwrap();
    world.store.retire(THERE).await.unwrap();
    world.store.retire(THERE).await.unwrap();
    let left = world.store.renew(HERE, LONG).await.unwrap();
    assert_eq!(left.living, [HERE]);
}
