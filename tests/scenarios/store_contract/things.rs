//! Single things: one owner at a time, and what it wrote under an old epoch is refused.

use switchboard::store::{AppendOutcome, Bounds, ClaimOutcome, Claimed, Epoch, Ownership};

use super::contract;
use super::world::{HERE, Open, SHORT, THERE, entries, text, thing};

contract!(
    a_thing_nobody_claimed_has_no_owner,
    a_claim_raises_the_epoch_and_takes_the_thing_as_it_is,
    a_takeover_wins_only_while_the_epoch_it_ends_still_stands,
    of_many_takeovers_exactly_one_wins,
    an_owner_under_a_stale_epoch_can_write_nothing,
    a_thing_that_ended_keeps_its_owner_until_its_log_ages_out,
);

async fn a_thing_nobody_claimed_has_no_owner(open: Open) {
    let world = open(Bounds::default()).await;
    let session = world.session("s").await;
    let call = thing("call");
    assert_eq!(world.store.ownership(&session, &call).await, Ok(None));
    let append = world.append((&session, &call, Epoch(1)), 1..=1, 8).await;
    assert_eq!(append, Ok(AppendOutcome::Stale));
}

async fn a_claim_raises_the_epoch_and_takes_the_thing_as_it_is(open: Open) {
    let world = open(Bounds::default()).await;
    let session = world.session("s").await;
    let (call, store) = (thing("call"), &world.store);
    let claim = store.claim(&session, &call, HERE, None, text("first"));
    let Ok(ClaimOutcome::Claimed(first)) = claim.await else {
        panic!("nobody else claims");
    };
    let epoch = first.ownership.epoch;
    let expected = |(epoch, owner, note), last_seq, previous| Claimed {
        ownership: Ownership {
            epoch,
            owner,
            note: text(note),
        },
        last_seq,
        ended: false,
        previous,
    };
    assert_eq!(first, expected((epoch, HERE, "first"), 0, None));
    let append = world.append((&session, &call, epoch), 1..=3, 8).await;
    assert!(matches!(append, Ok(AppendOutcome::Stored { .. })));
    let claim = store.claim(&session, &call, THERE, None, text("second"));
    let Ok(ClaimOutcome::Claimed(second)) = claim.await else {
        panic!("nobody else claims");
    };
    let newer = second.ownership.epoch;
    assert!(newer > epoch, "an epoch grows");
    assert_eq!(second, expected((newer, THERE, "second"), 3, Some(HERE)));
    let owner = store.ownership(&session, &call).await;
    assert_eq!(owner, Ok(Some(second.ownership)));
}

async fn a_takeover_wins_only_while_the_epoch_it_ends_still_stands(open: Open) {
    let world = open(Bounds::default()).await;
    let session = world.session("s").await;
    let (call, store) = (thing("call"), &world.store);
    let unborn = store.claim(&session, &call, THERE, Some(Epoch(1)), text("note"));
    assert_eq!(unborn.await, Ok(ClaimOutcome::Lost));

    let first = world.claim(&session, &call, HERE, None).await;
    let second = world.claim(&session, &call, THERE, first).await;
    assert!(second > first);

    let late = store.claim(&session, &call, HERE, first, text("note"));
    assert_eq!(late.await, Ok(ClaimOutcome::Lost));
    let owner = store.ownership(&session, &call).await.unwrap().unwrap();
    assert_eq!((owner.owner, Some(owner.epoch)), (THERE, second));
}

async fn of_many_takeovers_exactly_one_wins(open: Open) {
    let world = open(Bounds::default()).await;
    let session = world.session("s").await;
    let unclaimed = (thing("unclaimed"), Epoch::UNCLAIMED);
    for (call, epoch) in [world.stream(&session, "call").await, unclaimed] {
        let mut rivals = tokio::task::JoinSet::new();
        for rival in 10..30 {
            let owner = switchboard::store::Incarnation(rival);
            let claim = world
                .store
                .claim(&session, &call, owner, Some(epoch), text("rival"));
            rivals.spawn(claim);
        }
        let outcomes = rivals.join_all().await;
        let mut won = outcomes.into_iter().filter_map(|outcome| match outcome {
            Ok(ClaimOutcome::Claimed(claimed)) => Some(claimed.ownership),
            _ => None,
        });
        let winner = won.next();
        assert!(winner.is_some() && won.next().is_none());
        assert_eq!(world.store.ownership(&session, &call).await, Ok(winner));
    }
}

async fn an_owner_under_a_stale_epoch_can_write_nothing(open: Open) {
    let world = open(Bounds::default()).await;
    let session = world.session("s").await;
    let (call, epoch) = world.stream(&session, "call").await;
    world
        .append((&session, &call, epoch), 1..=2, 8)
        .await
        .unwrap();
    let newer = world.claim(&session, &call, THERE, Some(epoch)).await;

    let stale = world.append((&session, &call, epoch), 3..=3, 8).await;
    assert_eq!(stale, Ok(AppendOutcome::Stale));
    let end = world.store.append(&session, &call, epoch, vec![], true);
    assert_eq!(end.await, Ok(AppendOutcome::Stale));

    assert_eq!(world.seqs(&session, &call, 0).await, Ok(vec![1, 2]));
    let append = world.append((&session, &call, newer.unwrap()), 3..=3, 8);
    assert!(matches!(append.await, Ok(AppendOutcome::Stored { .. })));
}

async fn a_thing_that_ended_keeps_its_owner_until_its_log_ages_out(open: Open) {
    let world = open(Bounds {
        ended_log_age: SHORT,
        ..Bounds::default()
    })
    .await;
    let session = world.session("s").await;
    let (call, epoch) = world.stream(&session, "call").await;
    let append = world
        .store
        .append(&session, &call, epoch, entries(1..=1, 8), true);
    append.await.unwrap();

    let newer = world.claim(&session, &call, THERE, None).await.unwrap();
    assert!(newer > epoch);
    let more = world.append((&session, &call, newer), 2..=2, 8).await;
    assert_eq!(more, Ok(AppendOutcome::Stale), "its log stays ended");

    world.pass(SHORT).await;
    world.store.sweep().await.unwrap();
    assert_eq!(world.store.ownership(&session, &call).await, Ok(None));
}
