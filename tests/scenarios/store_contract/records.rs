//! Records: created once, changed by compare-and-set, gone for good.

use switchboard::store::{AppendOutcome, Bounds, CasOutcome, ClaimOutcome, LogPage, Version};

use super::world::{HERE, HOUR, Open, SHORT, entries, scope, text, thing};
use super::{contract, contract_of_one_node};

contract!(
    a_record_is_read_as_it_was_created,
    a_record_is_created_only_once,
    a_record_expires_and_its_name_is_free_again,
    compare_and_set_wins_on_the_version_it_saw,
    compare_and_set_loses_to_an_earlier_writer_and_learns_what_stands,
    of_many_writers_exactly_one_wins_each_version,
    nothing_that_was_removed_comes_back,
    nothing_that_expired_comes_back,
    a_new_scope_of_an_old_name_inherits_nothing,
    a_touch_moves_many_expiries_on_and_none_back,
    a_touched_scope_lives_on_with_all_that_is_in_it,
);

contract_of_one_node!(a_sweep_names_exactly_the_scopes_that_expired);

async fn a_record_is_read_as_it_was_created(open: Open) {
    let world = open(Bounds::default()).await;
    let expires = world.in_an_hour();
    let session = world.session("s").await;
    let record = world.store.read(&session).await.unwrap().unwrap();
    assert_eq!((record.value, record.version), (text("record"), Version(1)));
    assert!(world.same(record.expires, expires));
    assert_eq!(world.store.read(&scope("other")).await, Ok(None));
}

async fn a_record_is_created_only_once(open: Open) {
    let world = open(Bounds::default()).await;
    let session = world.session("s").await;
    let again = world.store.create(&session, text("2"), world.in_an_hour());
    assert_eq!(again.await, Ok(false));
    let record = world.store.read(&session).await.unwrap().unwrap();
    assert_eq!(record.value, text("record"));
}

async fn a_record_expires_and_its_name_is_free_again(open: Open) {
    let world = open(Bounds::default()).await;
    let session = world.session_for("s", SHORT).await;
    world.pass_almost(SHORT).await;
    assert!(world.store.read(&session).await.unwrap().is_some());
    world.pass(SHORT).await;
    assert_eq!(world.store.read(&session).await, Ok(None));
    assert_eq!(world.store.remove(&session).await, Ok(false));
    world.session("s").await;
    assert!(world.store.read(&session).await.unwrap().is_some());
}

async fn compare_and_set_wins_on_the_version_it_saw(open: Open) {
    let world = open(Bounds::default()).await;
    let expires = world.in_an_hour();
    let session = world.session("s").await;
    world.pass_a_moment().await;
    let store = &world.store;
    let mut version = Version(1);
    for value in ["second", "third"] {
        let write = store.compare_and_set(&session, version, text(value)).await;
        let Ok(CasOutcome::Written(next)) = write else {
            panic!("unexpected {write:?}");
        };
        assert!(next > version, "a version grows");
        version = next;
    }
    let record = store.read(&session).await.unwrap().unwrap();
    assert_eq!((record.value, record.version), (text("third"), version));
    assert!(world.same(record.expires, expires), "the expiry stays");
}

async fn compare_and_set_loses_to_an_earlier_writer_and_learns_what_stands(open: Open) {
    let world = open(Bounds::default()).await;
    let session = world.session("s").await;
    let store = &world.store;
    let winner = store.compare_and_set(&session, Version(1), text("winner"));
    winner.await.unwrap();
    let loser = store.compare_and_set(&session, Version(1), text("loser"));
    let CasOutcome::Lost(standing) = loser.await.unwrap() else {
        panic!("the loser must lose");
    };
    assert_eq!(standing.value, text("winner"));
    assert!(standing.version > Version(1));
    let record = store.read(&session).await.unwrap().unwrap();
    assert_eq!(
        (record.value, record.version),
        (standing.value, standing.version)
    );
}

async fn of_many_writers_exactly_one_wins_each_version(open: Open) {
    const WRITERS: u64 = 8;
    const ROUNDS: u64 = 25;
    let world = open(Bounds::default()).await;
    let session = world.session("s").await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (store, session) = (world.store.clone(), session.clone());
        writers.spawn(async move {
            let (mut won, mut version) = (Vec::new(), Version(1));
            for _ in 0..ROUNDS {
                let value = text(&writer.to_string());
                let write = store.compare_and_set(&session, version, value).await;
                let seen = match write {
                    Ok(CasOutcome::Written(next)) => {
                        won.push(version);
                        next
                    }
                    Ok(CasOutcome::Lost(standing)) => standing.version,
                    other => panic!("unexpected {other:?}"),
                };
                assert!(seen > version);
                version = seen;
                tokio::task::yield_now().await;
            }
            won
        });
    }
    let mut won = writers.join_all().await.concat();
    let wins = won.len();
    won.sort_unstable();
    won.dedup();
    assert_eq!(won.len(), wins, "no version was won twice");
    assert!(wins as u64 >= ROUNDS, "somebody wins each round");
}

async fn nothing_that_was_removed_comes_back(open: Open) {
    let world = open(Bounds::default()).await;
    let session = world.session("s").await;
    let (stream, epoch) = world.stream(&session, "stream").await;
    let sent = world.append((&session, &stream, epoch), 1..=3, 8).await;
    sent.unwrap();

    assert_eq!(world.store.remove(&session).await, Ok(true));

    assert_eq!(world.store.remove(&session).await, Ok(false));
    assert_all_gone(&world).await;
}

async fn nothing_that_expired_comes_back(open: Open) {
    let world = open(Bounds::default()).await;
    let session = world.session_for("s", SHORT).await;
    let (stream, epoch) = world.stream(&session, "stream").await;
    let sent = world.append((&session, &stream, epoch), 1..=3, 8).await;
    sent.unwrap();

    world.pass(SHORT).await;

    assert_all_gone(&world).await;
    world.store.sweep().await.unwrap();
    assert_all_gone(&world).await;
}

/// Every write to the scope "s" and its thing "stream" says gone, and leaves nothing behind.
async fn assert_all_gone(world: &super::world::World) {
    let (session, stream, store) = (scope("s"), thing("stream"), &world.store);
    let epoch = switchboard::store::Epoch(1);
    let touch = vec![(session.clone(), world.in_an_hour())];
    assert_eq!(store.touch(touch).await, Ok(()));
    let write = store.compare_and_set(&session, Version(1), text("late"));
    assert_eq!(write.await, Ok(CasOutcome::Gone));
    let claim = store.claim(&session, &stream, HERE, None, text("late"));
    assert_eq!(claim.await, Ok(ClaimOutcome::Gone));
    let takeover = store.claim(&session, &stream, HERE, Some(epoch), text("late"));
    assert_eq!(takeover.await, Ok(ClaimOutcome::Gone));
    let append = store.append(&session, &stream, epoch, entries(4..=4, 8), false);
    assert_eq!(append.await, Ok(AppendOutcome::Gone));
    let log = store.read_log(&session, &stream, 0, 9, Some(HERE)).await;
    assert_eq!(log, Ok(LogPage::Missing));
    assert_eq!(store.ownership(&session, &stream).await, Ok(None));
    assert_eq!(store.read(&session).await, Ok(None));
}

async fn a_new_scope_of_an_old_name_inherits_nothing(open: Open) {
    let world = open(Bounds::default()).await;
    let session = world.session("s").await;
    let (stream, epoch) = world.stream(&session, "stream").await;
    let sent = world.append((&session, &stream, epoch), 1..=3, 8).await;
    sent.unwrap();
    world.store.remove(&session).await.unwrap();

    world.session("s").await;

    assert_eq!(world.store.ownership(&session, &stream).await, Ok(None));
    let late = world.append((&session, &stream, epoch), 4..=4, 8).await;
    assert_eq!(late, Ok(AppendOutcome::Stale));
    assert!(world.stream(&session, "stream").await.1 >= epoch);
    assert_eq!(world.seqs(&session, &stream, 0).await, Ok(vec![]));
}

async fn a_touch_moves_many_expiries_on_and_none_back(open: Open) {
    let world = open(Bounds::default()).await;
    let now = world.clock.now();
    let names: Vec<String> = (0..100).map(|number| format!("s{number}")).collect();
    for name in &names {
        world.session(name).await;
    }
    let gone = scope("gone");
    let later = names.iter().map(|name| (scope(name), now.after(2 * HOUR)));
    let later = later.chain([(gone.clone(), now.after(HOUR))]).collect();
    assert_eq!(world.store.touch(later).await, Ok(()));
    let earlier = names.iter().map(|name| (scope(name), now)).collect();
    assert_eq!(world.store.touch(earlier).await, Ok(()));
    for name in &names {
        let record = world.store.read(&scope(name)).await.unwrap().unwrap();
        assert!(world.same(record.expires, now.after(2 * HOUR)));
        assert_eq!(record.version, Version(1), "a touch is not a write");
    }
    assert_eq!(world.store.read(&gone).await, Ok(None));
}

async fn a_touched_scope_lives_on_with_all_that_is_in_it(open: Open) {
    let world = open(Bounds::default()).await;
    let session = world.session_for("s", SHORT).await;
    let (stream, epoch) = world.stream(&session, "stream").await;
    let (ended, ended_epoch) = world.stream(&session, "ended").await;
    for (thing, epoch) in [(&stream, epoch), (&ended, ended_epoch)] {
        let sent = world.append((&session, thing, epoch), 1..=3, 8).await;
        sent.unwrap();
    }
    world.end(&session, &ended, ended_epoch).await;
    let touch = vec![(session.clone(), world.in_an_hour())];
    world.store.touch(touch).await.unwrap();

    world.pass(SHORT).await;

    assert_eq!(world.seqs(&session, &stream, 0).await, Ok(vec![1, 2, 3]));
    let next = world.append((&session, &stream, epoch), 4..=4, 8).await;
    assert!(matches!(next, Ok(AppendOutcome::Stored { .. })));
    assert!(
        world
            .store
            .ownership(&session, &ended)
            .await
            .unwrap()
            .is_some()
    );
}

async fn a_sweep_names_exactly_the_scopes_that_expired(open: Open) {
    let world = open(Bounds::default()).await;
    let short = world.session("short").await;
    let touched = world.session("touched").await;
    world.session("removed").await;
    let later = world.clock.now().after(2 * HOUR);
    let touches = vec![(touched.clone(), later)];
    world.store.touch(touches).await.unwrap();
    world.store.remove(&scope("removed")).await.unwrap();

    assert_eq!(world.store.sweep().await, Ok(vec![]));
    world.clock.advance(HOUR);
    assert_eq!(world.store.sweep().await, Ok(vec![short]));
    assert_eq!(world.store.sweep().await, Ok(vec![]));
    world.clock.advance(HOUR);
    assert_eq!(world.store.sweep().await, Ok(vec![touched]));
}
