//! What a store with files does when some of its bytes are wrong: cut, report, never skip.

use std::fs;
use std::path::{Path, PathBuf};

use switchboard::runtime::clock::Clock;
use switchboard::store::embedded::{EmbeddedStore, OpenError};
use switchboard::store::{AppendOutcome, Bounds, Epoch, LogPage, Scope, Thing};
use tempfile::TempDir;

use super::world::{KIB, World, clock, scope, thing};

/// A session "s" whose call has three entries.
async fn with_a_call(dir: &Path, clock: &Clock) -> (Scope, Thing) {
    let world = World::embedded_in(dir, clock.clone(), Bounds::default());
    let session = world.session("s").await;
    let (call, epoch) = world.stream(&session, "call").await;
    for seq in 1..=3 {
        let append = world.append((&session, &call, epoch), [seq], 40).await;
        append.unwrap();
    }
    (session, call)
}

fn segment(dir: &Path, number: u64) -> PathBuf {
    dir.join("events").join(format!("{number:06}.seg"))
}

#[tokio::test]
async fn a_torn_end_of_the_journal_is_cut_and_written_over() {
    for torn in [1, 30, 60] {
        let dir = TempDir::new().unwrap();
        let clock = clock();
        let (session, call) = with_a_call(dir.path(), &clock).await;
        let path = segment(dir.path(), 1);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - torn]).unwrap();

        for round in 0..2 {
            let world = World::embedded_in(dir.path(), clock.clone(), Bounds::default());
            let seqs = world.seqs(&session, &call, 0).await.unwrap();
            assert_eq!(seqs, (1..=2 + round).collect::<Vec<_>>());
            let reader_ahead = world.seqs(&session, &call, 3 + round).await;
            assert_eq!(reader_ahead, Err(LogPage::Dropped));
            let log = (&session, &call, Epoch(1));
            world.append(log, [3 + round], 40).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_in_the_newest_segment_cuts_it_there() {
    let dir = TempDir::new().unwrap();
    let clock = clock();
    let (session, call) = with_a_call(dir.path(), &clock).await;
    let path = segment(dir.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    let second_entry = bytes.len() - 150;
    bytes[second_entry] ^= 1;
    fs::write(&path, bytes).unwrap();

    let world = World::embedded_in(dir.path(), clock, Bounds::default());
    assert_eq!(world.seqs(&session, &call, 0).await, Ok(vec![1]));
}

#[tokio::test]
async fn a_newest_segment_that_was_only_begun_is_begun_again() {
    for length in [0, 3, 8] {
        let dir = TempDir::new().unwrap();
        let clock = clock();
        let (session, call) = with_a_call(dir.path(), &clock).await;
        fs::write(segment(dir.path(), 2), &b"sbevent1"[..length]).unwrap();

        let world = World::embedded_in(dir.path(), clock, Bounds::default());
        assert_eq!(world.seqs(&session, &call, 0).await, Ok(vec![1, 2, 3]));
        let log = (&session, &call, Epoch(1));
        world.append(log, [4], 8).await.unwrap();
    }
}

/// A call "whole" that ended, one "touched" that goes on, one "early" that does not, over two
/// segments. Bytes of the first are then damaged behind the first entries of all.
async fn damaged_in_an_older_segment(dir: &Path, clock: &Clock) -> World {
    let bounds = Bounds {
        log_bytes: 64 << 20,
        scope_bytes: 64 << 20,
        ..Bounds::default()
    };
    let world = World::embedded_in(dir, clock.clone(), bounds);
    let session = world.session("s").await;
    let mut calls = Vec::new();
    for name in ["whole", "touched", "early"] {
        let (call, epoch) = world.stream(&session, name).await;
        world
            .append((&session, &call, epoch), 1..=2, 8)
            .await
            .unwrap();
        calls.push((call, epoch));
    }
    let (whole, epoch) = &calls[0];
    world.end(&session, whole, *epoch).await;
    let before = fs::metadata(segment(dir, 1)).unwrap().len();
    let (touched, epoch) = &calls[1];
    for seq in 3..=22 {
        let log = (&session, touched, *epoch);
        world.append(log, [seq], KIB * KIB).await.unwrap();
    }
    drop(world);
    assert!(segment(dir, 2).exists());
    let mut bytes = fs::read(segment(dir, 1)).unwrap();
    bytes[usize::try_from(before).unwrap() + 100] ^= 1;
    fs::write(segment(dir, 1), bytes).unwrap();
    World::embedded_in(dir, clock.clone(), bounds)
}

#[tokio::test]
async fn bad_bytes_in_an_older_segment_drop_the_logs_they_may_have_touched() {
    let dir = TempDir::new().unwrap();
    let world = damaged_in_an_older_segment(dir.path(), &clock()).await;
    let session = scope("s");

    let whole = world.seqs(&session, &thing("whole"), 0).await;
    assert_eq!(whole, Ok(vec![1, 2]), "it had ended before");
    let touched = thing("touched");
    for after in 0..3 {
        let seqs = world.seqs(&session, &touched, after).await;
        assert_eq!(seqs, Err(LogPage::Dropped), "entry 3 is lost");
    }
    let rest = world.seqs(&session, &touched, 3).await.unwrap();
    assert_eq!(rest, (4..=22).collect::<Vec<_>>());
    for after in 0..4 {
        let early = world.seqs(&session, &thing("early"), after).await;
        assert_eq!(early, Err(LogPage::Dropped), "it may have gone on");
    }
}

#[tokio::test]
async fn a_damaged_log_can_be_taken_over_and_ended_but_not_continued() {
    let dir = TempDir::new().unwrap();
    let world = damaged_in_an_older_segment(dir.path(), &clock()).await;
    let (session, early) = (scope("s"), thing("early"));

    let epoch = world
        .claim(&session, &early, super::world::THERE, None)
        .await;
    let epoch = epoch.unwrap();
    let more = world.append((&session, &early, epoch), [3], 8).await;
    assert!(more.is_err());
    world.end(&session, &early, epoch).await;
    let after_end = world.append((&session, &early, epoch), [3], 8).await;
    assert_eq!(after_end, Ok(AppendOutcome::Stale));
}

#[tokio::test]
async fn a_missing_segment_is_damage_as_well() {
    let dir = TempDir::new().unwrap();
    let clock = clock();
    drop(damaged_in_an_older_segment(dir.path(), &clock).await);
    fs::rename(segment(dir.path(), 2), segment(dir.path(), 3)).unwrap();
    let world = World::embedded_in(dir.path(), clock, Bounds::default());
    let early = world.seqs(&scope("s"), &thing("early"), 2).await;
    assert_eq!(early, Err(LogPage::Dropped));
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_refused_and_left_as_it_is() {
    for name in ["sessions.redb", "events/000001.seg", "format"] {
        let dir = TempDir::new().unwrap();
        let clock = clock();
        with_a_call(dir.path(), &clock).await;
        let path = dir.path().join(name);
        let strange = b"Dear diary, today I was a file of somebody else.".repeat(200);
        fs::write(&path, &strange).unwrap();

        let refused = EmbeddedStore::open(dir.path(), clock, Bounds::default());
        let error = refused.expect_err("the file is not ours");
        assert!(matches!(&error, OpenError::NotOurs { path: named, .. } if *named == path));
        let sentence = error.to_string();
        assert!(sentence.contains("move it away"), "{sentence}");
        assert!(!sentence.contains('\n'), "{sentence}");
        assert_eq!(fs::read(&path).unwrap(), strange);
    }
}

#[tokio::test]
async fn a_records_file_that_was_cut_short_is_refused() {
    for kept in [100, 5_000, 600_000] {
        let dir = TempDir::new().unwrap();
        let clock = clock();
        with_a_call(dir.path(), &clock).await;
        let path = dir.path().join("sessions.redb");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..kept]).unwrap();
        let refused = EmbeddedStore::open(dir.path(), clock, Bounds::default());
        let is_not_ours = matches!(refused, Err(OpenError::NotOurs { .. }));
        assert!(is_not_ours, "cut to {kept} bytes: {refused:?}");
    }
}
