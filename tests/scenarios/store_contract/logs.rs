//! Event logs: in order, without gaps, bounded; a reader is told what it can no longer have.

use switchboard::store::{AppendOutcome, Bounds, LogPage, StoreError};

use super::world::{HERE, KIB, Open, SHORT, THERE, entries, scope, stored, thing};
use super::{contract, contract_of_one_node};

contract!(
    a_log_is_read_in_order_and_page_by_page,
    a_log_nobody_began_is_missing,
    an_ended_log_says_so_on_its_last_page_and_takes_no_more,
    a_number_that_does_not_follow_is_refused_and_changes_nothing,
    a_reader_ahead_of_the_log_is_told_so,
    beyond_its_count_a_log_drops_its_oldest,
    beyond_its_bytes_a_log_drops_its_oldest,
    a_scope_beyond_its_bytes_drops_ended_logs_before_running_ones,
    an_ended_log_is_kept_for_its_age,
    appends_in_flight_keep_the_order_in_which_they_were_called,
    an_append_names_those_who_follow_but_not_the_owner,
    a_removed_scope_gives_its_bytes_back,
);

contract_of_one_node!(
    a_store_beyond_its_bytes_drops_the_oldest_ended_logs_of_all_scopes,
    a_store_full_of_running_logs_makes_the_growing_one_pay,
);

async fn a_log_is_read_in_order_and_page_by_page(open: Open) {
    let world = open(Bounds::default()).await;
    let session = world.session("s").await;
    let (call, epoch) = world.stream(&session, "call").await;
    assert_eq!(world.seqs(&session, &call, 0).await, Ok(vec![]));
    for seqs in [1..=3, 4..=4, 5..=9] {
        let append = world.append((&session, &call, epoch), seqs, 8).await;
        assert_eq!(append, Ok(stored()));
    }
    let mut read = Vec::new();
    loop {
        let after = read.len() as u64;
        let page = world.store.read_log(&session, &call, after, 4, None).await;
        let Ok(LogPage::Entries { entries, ended }) = page else {
            panic!("unexpected {page:?}");
        };
        assert!(!ended && entries.len() <= 4);
        if entries.is_empty() {
            break;
        }
        read.extend(entries);
    }
    assert_eq!(read, entries(1..=9, 8));
}

async fn a_log_nobody_began_is_missing(open: Open) {
    let world = open(Bounds::default()).await;
    let session = world.session("s").await;
    for scope in [session, scope("no such scope")] {
        let page = world
            .store
            .read_log(&scope, &thing("call"), 0, 9, Some(HERE));
        assert_eq!(page.await, Ok(LogPage::Missing));
    }
}

async fn an_ended_log_says_so_on_its_last_page_and_takes_no_more(open: Open) {
    let world = open(Bounds::default()).await;
    let session = world.session("s").await;
    let (call, epoch) = world.stream(&session, "call").await;
    let last = world
        .store
        .append(&session, &call, epoch, entries(1..=4, 8), true);
    assert_eq!(last.await, Ok(stored()));
    for (after, limit, ends) in [(0, 3, false), (0, 4, true), (3, 9, true), (4, 9, true)] {
        let page = world.store.read_log(&session, &call, after, limit, None);
        let Ok(LogPage::Entries { ended, .. }) = page.await else {
            panic!("the log is whole");
        };
        assert_eq!(ended, ends, "after {after}, at most {limit}");
    }
    let more = world.append((&session, &call, epoch), 5..=5, 8).await;
    assert_eq!(more, Ok(AppendOutcome::Stale));
}

async fn a_number_that_does_not_follow_is_refused_and_changes_nothing(open: Open) {
    let world = open(Bounds::default()).await;
    let session = world.session("s").await;
    let (call, epoch) = world.stream(&session, "call").await;
    world
        .append((&session, &call, epoch), 1..=2, 8)
        .await
        .unwrap();
    for wrong in [vec![4], vec![2], vec![0], vec![3, 5], vec![u64::MAX]] {
        let append = world.append((&session, &call, epoch), wrong, 8).await;
        assert!(matches!(append, Err(StoreError::Damaged(_))));
    }
    assert_eq!(world.seqs(&session, &call, 0).await, Ok(vec![1, 2]));
    let append = world.append((&session, &call, epoch), 3..=3, 8).await;
    assert_eq!(append, Ok(stored()));
}

async fn a_reader_ahead_of_the_log_is_told_so(open: Open) {
    let world = open(Bounds::default()).await;
    let session = world.session("s").await;
    let (call, epoch) = world.stream(&session, "call").await;
    world
        .append((&session, &call, epoch), 1..=2, 8)
        .await
        .unwrap();
    for ahead in [3, u64::MAX] {
        let seqs = world.seqs(&session, &call, ahead).await;
        assert_eq!(seqs, Err(LogPage::Dropped));
    }
}

async fn beyond_its_count_a_log_drops_its_oldest(open: Open) {
    let world = open(Bounds {
        log_entries: 3,
        ..Bounds::default()
    })
    .await;
    let session = world.session("s").await;
    let (call, epoch) = world.stream(&session, "call").await;
    world
        .append((&session, &call, epoch), 1..=5, 8)
        .await
        .unwrap();
    for after in [0, 1] {
        let seqs = world.seqs(&session, &call, after).await;
        assert_eq!(seqs, Err(LogPage::Dropped));
    }
    assert_eq!(world.seqs(&session, &call, 2).await, Ok(vec![3, 4, 5]));
}

async fn beyond_its_bytes_a_log_drops_its_oldest(open: Open) {
    let world = open(Bounds {
        log_bytes: 10 * KIB,
        ..Bounds::default()
    })
    .await;
    let session = world.session("s").await;
    let (call, epoch) = world.stream(&session, "call").await;
    let log = (&session, &call, epoch);
    world.append(log, 1..=4, 4 * KIB).await.unwrap();
    assert_eq!(world.seqs(&session, &call, 1).await, Err(LogPage::Dropped));
    assert_eq!(world.seqs(&session, &call, 2).await, Ok(vec![3, 4]));

    world.append(log, 5..=5, 20 * KIB).await.unwrap();
    assert_eq!(world.seqs(&session, &call, 3).await, Err(LogPage::Dropped));
    let large = world.seqs(&session, &call, 4).await;
    assert_eq!(large, Ok(vec![5]), "a single large result can be resumed");
}

async fn a_scope_beyond_its_bytes_drops_ended_logs_before_running_ones(open: Open) {
    let world = open(Bounds {
        scope_bytes: 100 * KIB,
        ..Bounds::default()
    })
    .await;
    let session = world.session("s").await;
    let (old, old_epoch) = world.stream(&session, "old").await;
    let (new, new_epoch) = world.stream(&session, "new").await;
    let (call, epoch) = world.stream(&session, "call").await;
    let (small, small_epoch) = world.stream(&session, "small").await;
    let fill = |log, seqs| world.append(log, seqs, 10 * KIB);
    fill((&session, &new, new_epoch), 1..=2).await.unwrap();
    fill((&session, &old, old_epoch), 1..=2).await.unwrap();
    fill((&session, &small, small_epoch), 1..=1).await.unwrap();
    world.end(&session, &old, old_epoch).await;
    world.pass_a_moment().await;
    world.end(&session, &new, new_epoch).await;

    fill((&session, &call, epoch), 1..=5).await.unwrap();
    assert!(world.seqs(&session, &old, 0).await.is_err());
    assert_eq!(world.seqs(&session, &new, 0).await, Ok(vec![1, 2]));

    fill((&session, &call, epoch), 6..=7).await.unwrap();
    assert!(world.seqs(&session, &new, 0).await.is_err());

    fill((&session, &call, epoch), 8..=9).await.unwrap();
    assert_eq!(world.seqs(&session, &call, 0).await, Err(LogPage::Dropped));
    assert_eq!(world.seqs(&session, &call, 8).await, Ok(vec![9]));
    assert_eq!(world.seqs(&session, &small, 0).await, Ok(vec![1]));
}

async fn a_store_beyond_its_bytes_drops_the_oldest_ended_logs_of_all_scopes(open: Open) {
    let world = open(Bounds {
        total_bytes: 100 * KIB,
        ..Bounds::default()
    })
    .await;
    let mut ended = Vec::new();
    for name in ["a", "b", "c"] {
        let session = world.session(name).await;
        let (call, epoch) = world.stream(&session, "call").await;
        let log = (&session, &call, epoch);
        world.append(log, 1..=2, 15 * KIB).await.unwrap();
        world.end(&session, &call, epoch).await;
        ended.push((session, call));
    }
    let session = world.session("d").await;
    let (call, epoch) = world.stream(&session, "call").await;
    let log = (&session, &call, epoch);
    world.append(log, 1..=2, 15 * KIB).await.unwrap();

    let mut kept = Vec::new();
    for (session, call) in &ended {
        kept.push(world.seqs(session, call, 0).await.is_ok());
    }
    assert_eq!(kept, [false, true, true]);
    assert_eq!(world.seqs(&session, &call, 0).await, Ok(vec![1, 2]));
}

async fn a_store_full_of_running_logs_makes_the_growing_one_pay(open: Open) {
    let world = open(Bounds {
        total_bytes: 100 * KIB,
        ..Bounds::default()
    })
    .await;
    let quiet = world.session("quiet").await;
    let (quiet_call, quiet_epoch) = world.stream(&quiet, "call").await;
    let log = (&quiet, &quiet_call, quiet_epoch);
    world.append(log, 1..=5, 10 * KIB).await.unwrap();
    let greedy = world.session("greedy").await;
    let (call, epoch) = world.stream(&greedy, "call").await;
    for seq in 1..=20 {
        let append = world.append((&greedy, &call, epoch), [seq], 10 * KIB).await;
        assert_eq!(append, Ok(stored()));
    }
    let seqs = world.seqs(&quiet, &quiet_call, 0).await;
    assert_eq!(seqs, Ok(vec![1, 2, 3, 4, 5]));
    assert_eq!(world.seqs(&greedy, &call, 0).await, Err(LogPage::Dropped));
    assert_eq!(world.seqs(&greedy, &call, 18).await, Ok(vec![19, 20]));
}

async fn an_ended_log_is_kept_for_its_age(open: Open) {
    let world = open(Bounds {
        ended_log_age: SHORT,
        ..Bounds::default()
    })
    .await;
    let session = world.session("s").await;
    let (call, epoch) = world.stream(&session, "call").await;
    let (other, other_epoch) = world.stream(&session, "other").await;
    for (thing, epoch) in [(&call, epoch), (&other, other_epoch)] {
        let append = world.append((&session, thing, epoch), 1..=1, 8).await;
        append.unwrap();
    }
    world.end(&session, &call, epoch).await;
    world.pass_almost(SHORT).await;
    world.store.sweep().await.unwrap();
    assert_eq!(world.seqs(&session, &call, 0).await, Ok(vec![1]));
    world.pass(SHORT).await;
    world.store.sweep().await.unwrap();
    assert_eq!(world.seqs(&session, &call, 0).await, Err(LogPage::Missing));
    let running = world.seqs(&session, &other, 0).await;
    assert_eq!(running, Ok(vec![1]), "a running log does not age");
}

async fn appends_in_flight_keep_the_order_in_which_they_were_called(open: Open) {
    let world = open(Bounds::default()).await;
    let session = world.session("s").await;
    let (call, epoch) = world.stream(&session, "call").await;
    let called: Vec<_> = (1..=64)
        .map(|seq| {
            let entries = entries([seq], 8);
            world
                .store
                .append(&session, &call, epoch, entries, seq == 64)
        })
        .collect();
    // Polled in the opposite order of the calls.
    for append in called.into_iter().rev() {
        assert_eq!(append.await, Ok(stored()));
    }
    let seqs = world.seqs(&session, &call, 0).await.unwrap();
    assert_eq!(seqs, (1..=64).collect::<Vec<_>>());
}

async fn an_append_names_those_who_follow_but_not_the_owner(open: Open) {
    let world = open(Bounds::default()).await;
    let session = world.session("s").await;
    let (call, epoch) = world.stream(&session, "call").await;
    for follower in [HERE, THERE, THERE] {
        let page = world.store.read_log(&session, &call, 0, 9, Some(follower));
        page.await.unwrap();
    }
    let told = |follower| {
        Ok(AppendOutcome::Stored {
            followers: vec![follower],
        })
    };
    let append = world.append((&session, &call, epoch), 1..=1, 8).await;
    assert_eq!(append, told(THERE));
    let epoch = world.claim(&session, &call, THERE, Some(epoch)).await;
    let append = world.append((&session, &call, epoch.unwrap()), 2..=2, 8);
    assert_eq!(append.await, told(HERE));
}

async fn a_removed_scope_gives_its_bytes_back(open: Open) {
    let world = open(Bounds {
        total_bytes: 100 * KIB,
        ..Bounds::default()
    })
    .await;
    for round in 0..10 {
        let session = world.session(&round.to_string()).await;
        let (call, epoch) = world.stream(&session, "call").await;
        let log = (&session, &call, epoch);
        world.append(log, 1..=8, 10 * KIB).await.unwrap();
        assert_eq!(world.seqs(&session, &call, 0).await.unwrap().len(), 8);
        world.store.remove(&session).await.unwrap();
    }
}
