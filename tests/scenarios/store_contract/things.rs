//! Single things: one owner at a time, and what it wrote under an old epoch is refused.

use switchboard::store::{AppendOutcome, Bounds, ClaimOutcome, Claimed, Epoch, Ownership};

use super::contract;
use super::world::{HERE, Open, THERE, entries, text, thing};

contract!(
    a_thing_nobody_claimed_has_no_owner,
    a_claim_raises_the_epoch_and_keeps_the_first_note,
    a_takeover_wins_only_while_the_epoch_it_ends_still_stands,
    of_many_takeovers_exactly_one_wins,
    an_owner_under_a_stale_epoch_can_write_nothing,
    a_thing_that_ended_keeps_its_owner_until_its_log_ages_out,
);

async fn a_thing_nobody_claimed_has_no_owner(open: Open) {
    let world = open(Bounds::default());
    let session = world.session("s").await;
    let call = thing("call");
    assert_eq!(world.store.ownership(&session, &call).await, Ok(None));
    let append = world.append((&session, &call, Epoch(1)), 1..=1, 8).await;
    assert_eq!(append, Ok(AppendOutcome::Stale));
}

async fn a_claim_raises_the_epoch_and_keeps_the_first_note(open: Open) {
    let world = open(Bounds::default());
    let session = world.session("s").await;
    let (call, store) = (thing("call"), &world.store);
    let mut expected = Claimed {
        ownership: Ownership {
            epoch: Epoch(1),
            owner: HERE,
            note: text("first"),
        },
        last_seq: 0,
        previous: None,
    };
    let claim = store.claim(&session, &call, HERE, None, text("first"));
    assert_eq!(claim.await, Ok(ClaimOutcome::Claimed(expected.clone())));
    let append = world.append((&session, &call, Epoch(1)), 1..=3, 8).await;
    assert!(matches!(append, Ok(AppendOutcome::Stored { .. })));
    expected.ownership.epoch = Epoch(2);
    expected.ownership.owner = THERE;
    expected.last_seq = 3;
    expected.previous = Some(HERE);
    let claim = store.claim(&session, &call, THERE, None, text("second"));
    assert_eq!(claim.await, Ok(ClaimOutcome::Claimed(expected.clone())));
    let owner = store.ownership(&session, &call).await;
    assert_eq!(owner, Ok(Some(expected.ownership)));
}

async fn a_takeover_wins_only_while_the_epoch_it_ends_still_stands(open: Open) {
    let world = open(Bounds::default());
    let session = world.session("s").await;
    let (call, store) = (thing("call"), &world.store);
    let unborn = store.claim(&session, &call, THERE, Some(Epoch(1)), text("note"));
    assert_eq!(unborn.await, Ok(ClaimOutcome::Lost));

    let first = world.claim(&session, &call, HERE, None).await;
    let second = world.claim(&session, &call, THERE, first).await;
    assert_eq!(second, Some(Epoch(2)));

    let late = store.claim(&session, &call, HERE, first, text("note"));
    assert_eq!(late.await, Ok(ClaimOutcome::Lost));
    let owner = store.ownership(&session, &call).await.unwrap().unwrap();
    assert_eq!((owner.owner, owner.epoch), (THERE, Epoch(2)));
}

async fn of_many_takeovers_exactly_one_wins(open: Open) {
    let world = open(Bounds::default());
    let session = world.session("s").await;
    let (call, epoch) = world.stream(&session, "call").await;
    let mut rivals = tokio::task::JoinSet::new();
    for rival in 10..30 {
        let owner = switchboard::store::Incarnation(rival);
        let claim = world
            .store
            .claim(&session, &call, owner, Some(epoch), text("rival"));
        rivals.spawn(claim);
    }
    let outcomes = rivals.join_all().await;
    let won = |outcome: &&Result<_, _>| matches!(outcome, Ok(ClaimOutcome::Claimed(_)));
    assert_eq!(outcomes.iter().filter(won).count(), 1);
    let owner = world.store.ownership(&session, &call).await;
    assert_eq!(owner.unwrap().unwrap().epoch, Epoch(2));
}

async fn an_owner_under_a_stale_epoch_can_write_nothing(open: Open) {
    let world = open(Bounds::default());
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
    let world = open(Bounds::default());
    let session = world.session("s").await;
    let (call, epoch) = world.stream(&session, "call").await;
    let append = world
        .store
        .append(&session, &call, epoch, entries(1..=1, 8), true);
    append.await.unwrap();

    let newer = world.claim(&session, &call, THERE, None).await.unwrap();
    assert_eq!(newer, Epoch(2));
    let more = world.append((&session, &call, newer), 2..=2, 8).await;
    assert_eq!(more, Ok(AppendOutcome::Stale), "its log stays ended");

    world.clock.advance(Bounds::default().ended_log_age);
    world.store.sweep().await.unwrap();
    assert_eq!(world.store.ownership(&session, &call).await, Ok(None));
}
