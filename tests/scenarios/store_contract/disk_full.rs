//! A disk that is full: what does not fit is refused with the reason, what was acknowledged stays,
//! and once there is room all goes on.
//!
//! The disk is a limit on file sizes that the shell sets for a process and `prlimit` lifts again.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use switchboard::store::{AppendOutcome, Bounds, Epoch, StoreError};
use tempfile::TempDir;

use super::process::{self, Process};
use super::world::{HERE, KIB, World, clock, entries, scope, stored, thing};

/// A few MiB: more than a new store needs, less than a segment of the journal.
const SHELL: &str = "trap '' XFSZ; ulimit -S -f 8192; exec";

const BOUNDS: Bounds = Bounds {
    scopes: 10_000,
    log_entries: usize::MAX,
    log_bytes: usize::MAX,
    scope_bytes: usize::MAX,
    total_bytes: usize::MAX,
    ended_log_age: std::time::Duration::from_secs(600),
    inbox_messages: 10,
};

#[tokio::test]
async fn a_full_disk_refuses_until_there_is_room_and_takes_nothing_back() {
    let dir = TempDir::new().unwrap();
    let test = concat!(module_path!(), "::process_whose_disk_is_full");
    let mut process = Process::of_test(test, SHELL);
    process.tell(&dir.path().display().to_string());
    let (word, created) = process.hear();
    assert_eq!(word, "created");
    let (word, appended) = process.hear();
    assert_eq!(word, "appended");

    let lifted = Command::new("prlimit")
        .args(["--fsize=unlimited", "--pid", &process.id().to_string()])
        .status();
    assert!(lifted.unwrap().success());
    process.tell("there is room");
    assert_eq!(process.hear(), ("recovered".into(), 0));
    drop(process);

    let world = World::embedded_in(dir.path(), clock(), BOUNDS);
    for number in 0..=created {
        let record = world.store.read(&scope(&number.to_string())).await;
        assert!(record.unwrap().is_some(), "record {number}");
    }
    let seqs = world.seqs(&scope("s"), &thing("call"), 0).await.unwrap();
    assert_eq!(seqs, (1..=appended + 1).collect::<Vec<_>>());
}

/// Not a test: the process with the full disk.
#[tokio::test]
#[ignore = "the child process of another test"]
async fn process_whose_disk_is_full() {
    let world = World::embedded_in(Path::new(&process::told()), clock(), BOUNDS);
    let session = world.session("s").await;
    let (call, epoch) = world.stream(&session, "call").await;
    let create = async |number: u64| {
        let value = Bytes::from(vec![b'.'; 64 * KIB]);
        let scope = scope(&number.to_string());
        world.store.create(&scope, value, world.in_an_hour()).await
    };
    let append = async |seq: u64| {
        let entries = entries([seq], 64 * KIB);
        world
            .store
            .append(&session, &call, epoch, entries, false)
            .await
    };

    let mut created = 0;
    while create(created).await.is_ok() {
        created += 1;
    }
    let mut appended = 0;
    while append(appended + 1).await.is_ok() {
        appended += 1;
    }
    for refused in [
        create(created).await.map(drop),
        append(appended + 1).await.map(drop),
    ] {
        let Err(StoreError::Unavailable(reason)) = refused else {
            panic!("unexpected {refused:?}");
        };
        assert!(reason.contains("File too large"), "{reason}");
    }
    assert!(created > 0 && appended > 0);
    // What stands can be read all the while.
    assert!(world.store.read(&scope("0")).await.unwrap().is_some());
    assert_eq!(
        world.seqs(&session, &call, appended - 1).await,
        Ok(vec![appended])
    );
    let claim = world
        .store
        .claim(&session, &call, HERE, Some(Epoch(9)), Bytes::new());
    assert!(claim.await.is_ok(), "a refusal needs no room");
    process::say("created", created);
    process::say("appended", appended);

    process::told();
    assert_eq!(create(created).await, Ok(true));
    assert_eq!(append(appended + 1).await, Ok::<AppendOutcome, _>(stored()));
    process::say("recovered", 0);
    process::told();
}
