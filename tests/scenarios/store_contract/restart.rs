//! What a store with files keeps when its process ends, in order or by `kill -9`.

use std::path::Path;

use switchboard::store::{AppendOutcome, Bounds, CasOutcome, Epoch, LogPage, Ownership, Version};
use tempfile::TempDir;

use super::process::{self, Process};
use super::world::{HERE, HOUR, KIB, THERE, World, clock, entries, scope, text, thing};

#[tokio::test]
async fn a_reopened_store_holds_all_it_held() {
    let dir = TempDir::new().unwrap();
    let clock = clock();
    let open = || World::embedded_in(dir.path(), clock.clone(), Bounds::default());

    let world = open();
    let session = world.session("s").await;
    let write = world
        .store
        .compare_and_set(&session, Version(1), text("changed"));
    write.await.unwrap();
    let (running, epoch) = world.stream(&session, "running").await;
    let log = (&session, &running, epoch);
    world.append(log, 1..=3, 8).await.unwrap();
    let epoch = world.claim(&session, &running, THERE, Some(epoch)).await;
    let (ended, ended_epoch) = world.stream(&session, "ended").await;
    let log = (&session, &ended, ended_epoch);
    world.append(log, 1..=2, 8).await.unwrap();
    world.end(&session, &ended, ended_epoch).await;
    let record = world.store.read(&session).await.unwrap();
    drop(world);

    let world = open();
    assert_eq!(world.store.read(&session).await, Ok(record));
    let owner = world.store.ownership(&session, &running).await;
    let expected = Ownership {
        epoch: epoch.unwrap(),
        owner: THERE,
        note: text("note"),
    };
    assert_eq!(owner, Ok(Some(expected)));
    assert_eq!(world.seqs(&session, &running, 0).await, Ok(vec![1, 2, 3]));
    let stale = world.append((&session, &running, Epoch(1)), 4..=4, 8);
    assert_eq!(stale.await, Ok(AppendOutcome::Stale));
    let next = world.append((&session, &running, Epoch(2)), 4..=4, 8);
    assert!(matches!(next.await, Ok(AppendOutcome::Stored { .. })));
    let page = world.store.read_log(&session, &ended, 0, 9, None).await;
    let entries = entries(1..=2, 8);
    assert_eq!(
        page,
        Ok(LogPage::Entries {
            entries,
            ended: true
        })
    );
}

#[tokio::test]
async fn a_reopened_store_does_not_bring_back_what_went() {
    let dir = TempDir::new().unwrap();
    let clock = clock();
    let open = || World::embedded_in(dir.path(), clock.clone(), Bounds::default());

    let world = open();
    for name in ["removed", "renewed", "expired"] {
        let session = world.session(name).await;
        let (call, epoch) = world.stream(&session, "call").await;
        let log = (&session, &call, epoch);
        world.append(log, 1..=3, 8).await.unwrap();
    }
    world.store.remove(&scope("removed")).await.unwrap();
    world.store.remove(&scope("renewed")).await.unwrap();
    drop(world);
    let world = open();
    world.session("renewed").await;
    let later = vec![(scope("renewed"), clock.now().after(2 * HOUR))];
    world.store.touch(later).await.unwrap();
    drop(world);
    clock.advance(HOUR);

    let world = open();
    for name in ["removed", "renewed", "expired"] {
        let seqs = world.seqs(&scope(name), &thing("call"), 0).await;
        assert_eq!(seqs, Err(LogPage::Missing), "{name}");
    }
    assert!(world.store.read(&scope("renewed")).await.unwrap().is_some());
    assert_eq!(world.store.sweep().await, Ok(vec![scope("expired")]));
}

#[tokio::test]
async fn bounds_hold_after_reopening() {
    let dir = TempDir::new().unwrap();
    let bounds = Bounds {
        log_entries: 3,
        ..Bounds::default()
    };
    let clock = clock();
    let open = || World::embedded_in(dir.path(), clock.clone(), bounds);

    let world = open();
    let session = world.session("s").await;
    let (call, epoch) = world.stream(&session, "call").await;
    world
        .append((&session, &call, epoch), 1..=5, 8)
        .await
        .unwrap();
    let (old, old_epoch) = world.stream(&session, "old").await;
    world.end(&session, &old, old_epoch).await;
    drop(world);
    clock.advance(bounds.ended_log_age);

    let world = open();
    assert_eq!(world.seqs(&session, &call, 0).await, Err(LogPage::Dropped));
    assert_eq!(world.seqs(&session, &call, 2).await, Ok(vec![3, 4, 5]));
    assert_eq!(world.store.ownership(&session, &old).await, Ok(None));
}

#[tokio::test]
async fn the_journal_stays_small_and_keeps_what_lives() {
    let dir = TempDir::new().unwrap();
    let clock = clock();
    let bounds = Bounds {
        log_entries: 4,
        log_bytes: 64 << 20,
        scope_bytes: 64 << 20,
        ..Bounds::default()
    };
    let open = || World::embedded_in(dir.path(), clock.clone(), bounds);
    let world = open();
    let session = world.session("s").await;
    let (quiet, quiet_epoch) = world.stream(&session, "quiet").await;
    let log = (&session, &quiet, quiet_epoch);
    world.append(log, 1..=2, 8).await.unwrap();
    let (busy, epoch) = world.stream(&session, "busy").await;
    for seq in 1..=120 {
        let log = (&session, &busy, epoch);
        world.append(log, [seq], KIB * KIB).await.unwrap();
    }
    let written = bytes_in(&dir.path().join("events"));
    assert!(written < 100 * KIB * KIB, "of 120 MiB appended, 4 MiB live");
    drop(world);

    let world = open();
    assert_eq!(world.seqs(&session, &quiet, 0).await, Ok(vec![1, 2]));
    let last = world.seqs(&session, &busy, 116).await;
    assert_eq!(last, Ok(vec![117, 118, 119, 120]));
    world.store.remove(&session).await.unwrap();
    world.store.sweep().await.unwrap();
    let nothing_lives = bytes_in(&dir.path().join("events"));
    assert!(
        nothing_lives < 17 * KIB * KIB,
        "only the newest segment stays"
    );
}

fn bytes_in(dir: &Path) -> usize {
    let files = std::fs::read_dir(dir).unwrap();
    let bytes: u64 = files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    usize::try_from(bytes).unwrap()
}

/// What `kill -9` finds acknowledged is there afterwards.
#[tokio::test]
async fn a_killed_process_loses_nothing_acknowledged() {
    let dir = TempDir::new().unwrap();
    let test = concat!(module_path!(), "::process_that_gets_killed");
    let mut process = Process::of_test(test, "exec");
    process.tell(&dir.path().display().to_string());
    let mut acknowledged = 0;
    let mut epochs = 0;
    for _ in 0..400 {
        match process.hear() {
            (what, epoch) if what == "claimed" => epochs = epoch,
            (what, seq) if what == "appended" => acknowledged = seq,
            strange => panic!("unexpected {strange:?}"),
        }
    }
    drop(process);

    let world = World::embedded_in(dir.path(), clock(), Bounds::default());
    let (session, call) = (scope("s"), thing("call"));
    let record = world.store.read(&session).await.unwrap().unwrap();
    assert!(
        record.version.0 >= epochs,
        "one write went before each claim"
    );
    let owner = world.store.ownership(&session, &call).await;
    assert!(owner.unwrap().unwrap().epoch >= Epoch(epochs));
    let seqs = world.seqs(&session, &call, 0).await.unwrap();
    assert!(acknowledged > 0 && seqs.len() as u64 >= acknowledged);
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
}

/// Not a test: the process that gets killed. Reads its directory from standard input, then writes
/// and prints what was acknowledged, until killed.
#[tokio::test]
#[ignore = "the child process of another test"]
async fn process_that_gets_killed() {
    let dir = process::told();
    let bounds = Bounds {
        log_entries: usize::MAX,
        ..Bounds::default()
    };
    let world = World::embedded_in(Path::new(&dir), clock(), bounds);
    let session = world.session("s").await;
    let call = thing("call");
    let mut version = Version(1);
    let mut seq = 0;
    for round in 0..10_000 {
        if round > 0 {
            let write = world
                .store
                .compare_and_set(&session, version, text("again"));
            let Ok(CasOutcome::Written(written)) = write.await else {
                panic!("nobody else writes");
            };
            version = written;
        }
        let epoch = world.claim(&session, &call, HERE, None).await.unwrap();
        process::say("claimed", epoch.0);
        let appends: Vec<_> = (seq + 1..=seq + 9)
            .map(|seq| {
                let entries = entries([seq], 64);
                world.store.append(&session, &call, epoch, entries, false)
            })
            .collect();
        for append in appends {
            append.await.unwrap();
            seq += 1;
            process::say("appended", seq);
        }
    }
}

#[tokio::test]
async fn a_closed_store_has_answered_what_was_asked_of_it() {
    let dir = TempDir::new().unwrap();
    let world = World::embedded_in(dir.path(), clock(), Bounds::default());
    let session = world.session("s").await;
    let (call, epoch) = world.stream(&session, "call").await;
    let appends: Vec<_> = (1..=100)
        .map(|seq| {
            let entries = entries([seq], 8);
            world.store.append(&session, &call, epoch, entries, false)
        })
        .collect();
    let World { store, .. } = world;
    drop(store);
    for append in appends {
        assert!(matches!(append.await, Ok(AppendOutcome::Stored { .. })));
    }
    let again = World::embedded_in(dir.path(), clock(), Bounds::default());
    assert_eq!(again.seqs(&session, &call, 90).await.unwrap().len(), 10);
    again.store.flush().await.unwrap();
    drop(again);
}
