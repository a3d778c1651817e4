//! A disk that is full, that fails, that writes half; a process that was killed.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;
use crate::audit::disk::Medium;

/// A disk that fails when it is told to.
#[derive(Debug, Default)]
struct BadDisk(Arc<Faults>);

/// What is wrong with it.
#[derive(Debug, Default)]
struct Faults {
    /// No file grows: half of what is written is there, then it is full.
    is_full: AtomicBool,
    /// Nothing becomes durable.
    is_unsure: AtomicBool,
    /// Nothing at all works.
    is_gone: AtomicBool,
    /// One more thing does not work.
    fails_once: AtomicBool,
    /// In how many steps one does not work; 0: none.
    fails_in: AtomicU64,
    /// After that nothing works.
    stays: AtomicBool,
    /// How often something was made durable.
    syncs: AtomicU64,
}

impl Faults {
    fn set(fault: &AtomicBool, on: bool) {
        fault.store(on, Ordering::SeqCst);
    }

    fn check(&self) -> io::Result<()> {
        let (set, seen) = (Ordering::SeqCst, Ordering::SeqCst);
        let step = self
            .fails_in
            .fetch_update(set, seen, |left| left.checked_sub(1));
        if step == Ok(1) && self.stays.load(Ordering::SeqCst) {
            Self::set(&self.is_gone, true);
        }
        let fails = self.fails_once.swap(false, Ordering::SeqCst) || step == Ok(1);
        if self.is_gone.load(Ordering::SeqCst) || fails {
            return Err(io::Error::other("input/output error"));
        }
        Ok(())
    }
}

impl Disk for BadDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Medium>> {
        self.0.check()?;
        Ok(Box::new(BadFile(LocalDisk.create(path)?, self.0.clone())))
    }

    fn reopen(&self, path: &Path) -> io::Result<Box<dyn Medium>> {
        self.0.check()?;
        Ok(Box::new(BadFile(LocalDisk.reopen(path)?, self.0.clone())))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.0.check()?;
        if self.0.is_full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        LocalDisk.replace(path, bytes)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.check()?;
        LocalDisk.remove(path)
    }
}

struct BadFile(Box<dyn Medium>, Arc<Faults>);

impl Medium for BadFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.1.check()?;
        if self.1.is_full.load(Ordering::SeqCst) {
            self.0.append(&bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.append(bytes)
    }

    fn overwrite(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.1.check()?;
        self.0.overwrite(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.1.check()?;
        self.1.syncs.fetch_add(1, Ordering::SeqCst);
        if self.1.is_unsure.load(Ordering::SeqCst) {
            return Err(io::Error::other("input/output error"));
        }
        self.0.sync()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.1.check()?;
        self.0.cut(length)
    }

    fn is_removed(&self) -> bool {
        self.0.is_removed()
    }
}

fn bad_place() -> (Place, Arc<Faults>) {
    let disk = BadDisk::default();
    let faults = disk.0.clone();
    (Place::on(Arc::new(disk)), faults)
}

#[tokio::test]
async fn a_call_is_on_disk_before_it_may_be_dispatched() {
    let (place, faults) = bad_place();
    let audit = place.open();
    let ann = caller("ann");
    let input = RawJson::empty_object();
    let before = faults.syncs.load(Ordering::SeqCst);
    let begun = audit.begin(&begin(&ann, &input)).await.unwrap();
    assert!(faults.syncs.load(Ordering::SeqCst) > before);
    let text = fs::read_to_string(&place.segments(Trail::Calls)[0]).unwrap();
    assert!(text.contains(&begun.id().to_string()));
    drop(begun);
    audit.close().await;
}

/// Full, unsure, gone: calls are refused while it lasts, and everything is whole afterwards.
#[tokio::test]
async fn calls_are_refused_while_nothing_can_be_written_and_go_on_after() {
    let faults: [fn(&Faults) -> &AtomicBool; 3] =
        [|it| &it.is_full, |it| &it.is_unsure, |it| &it.is_gone];
    for (at, fault) in faults.into_iter().enumerate() {
        let (place, faults) = bad_place();
        let audit = place.open();
        call(&audit, "ann").await.unwrap();
        let ann = caller("ann");
        let input = RawJson::empty_object();
        let begun = audit.begin(&begin(&ann, &input)).await.unwrap();

        Faults::set(fault(&faults), true);
        for _ in 0..3 {
            assert_eq!(call(&audit, "ann").await, Err(Unavailable), "fault {at}");
        }
        assert!(!audit.is_well());
        let ended = begun.end(&End::of(Ending::Error)).await;
        assert_eq!(ended, Err(Unavailable), "its end waits for the disk");

        Faults::set(fault(&faults), false);
        call(&audit, "ann").await.unwrap();
        assert!(audit.is_well());
        audit.close().await;
        assert_eq!(place.problems(), [""; 0], "fault {at}");
        assert_eq!(place.outcomes(), ["ok", "error", "ok"], "fault {at}");
        let alarms = place.query(&Query {
            kinds: vec!["alarm".to_owned()],
            ..Query::default()
        });
        assert_eq!(alarms.len(), 1, "that it failed is recorded");
        assert!(place.metrics.render().contains("mcp_audit_lost_total 0"));
    }
}

/// A bad place where so many calls were recorded, each record in a segment of its own.
async fn bad_place_after(calls: usize) -> (Place, Arc<Faults>, Audit) {
    let (mut place, faults) = bad_place();
    place.config.segment_size = 1;
    let audit = place.open();
    for _ in 0..calls {
        call(&audit, "ann").await.unwrap();
    }
    (place, faults, audit)
}

/// Whichever step fails on the way to its first record: there was no such segment. What was left of it
/// would be in the way of the next, stop a start, or look like a loss.
#[tokio::test]
async fn a_segment_that_never_got_a_record_is_taken_back() {
    let (ann, input) = (caller("ann"), RawJson::empty_object());
    for before in [0, 1] {
        for step in 1.. {
            let (place, faults, audit) = bad_place_after(before).await;
            let segments = place.segments(Trail::Calls).len();
            faults.fails_in.store(step, Ordering::SeqCst);
            if audit.begin(&begin(&ann, &input)).await.is_ok() {
                // Two keys, an anchor, a file, its first line, that it is the latest, and the record.
                assert!(step > 10, "it took no more than {step} steps");
                break;
            }
            // What waits for the disk is written, so that the writer rests.
            let what = What::Alarm {
                problem: "x".to_owned(),
                lost: 0,
            };
            audit.note(&Event::of("other", what)).await.unwrap();
            let killed = kill(&place, audit).await;
            assert_eq!(place.segments(Trail::Calls).len(), segments, "step {step}");
            for left in [&place, &killed] {
                left.open().close().await;
                assert_eq!(left.problems(), [""; 0], "step {step}, {before} before");
                assert_eq!(left.segments(Trail::Calls).len(), segments, "step {step}");
                let audit = left.open();
                call(&audit, "ann").await.unwrap();
                audit.close().await;
                assert_eq!(left.problems(), [""; 0], "step {step}, {before} before");
                assert_eq!(left.outcomes(), vec!["ok"; before + 1], "step {step}");
            }
        }
    }
}

/// A disk that fails in the middle also fails what would clean up: the next attempt does it.
#[tokio::test]
async fn a_segment_can_be_begun_wherever_the_disk_failed_before() {
    let (ann, input) = (caller("ann"), RawJson::empty_object());
    for before in [0, 1] {
        for step in 1.. {
            let (place, faults, audit) = bad_place_after(before).await;
            Faults::set(&faults.stays, true);
            faults.fails_in.store(step, Ordering::SeqCst);
            let begun = audit.begin(&begin(&ann, &input)).await;
            if begun.is_ok() {
                assert!(step > 10, "it took no more than {step} steps");
                break;
            }
            Faults::set(&faults.is_gone, false);
            let went_on = call(&audit, "ann").await;
            audit.close().await;
            assert_eq!(went_on, Ok(()), "step {step}, {before} before");
            assert_eq!(place.problems(), [""; 0], "step {step}, {before} before");
            assert_eq!(place.outcomes(), vec!["ok"; before + 1], "step {step}");
        }
    }
}

#[tokio::test]
async fn calls_may_go_on_and_their_records_wait() {
    let (mut place, faults) = bad_place();
    place.config.on_failure = OnFailure::Open;
    let audit = place.open();
    call(&audit, "ann").await.unwrap();
    Faults::set(&faults.is_gone, true);
    for _ in 0..5 {
        call(&audit, "ann").await.unwrap();
    }
    assert!(!audit.is_well());
    Faults::set(&faults.is_gone, false);
    audit.close().await;
    assert_eq!(place.outcomes(), ["ok"; 6]);
    assert_eq!(place.problems(), [""; 0]);
}

/// The disk is back between the two records of a call.
#[tokio::test]
async fn what_waited_is_written_in_its_order() {
    let (mut place, faults) = bad_place();
    place.config.on_failure = OnFailure::Open;
    let audit = place.open();
    call(&audit, "ann").await.unwrap();
    Faults::set(&faults.is_gone, true);
    call(&audit, "ann").await.unwrap();
    Faults::set(&faults.fails_once, true);
    Faults::set(&faults.is_gone, false);
    audit.close().await;
    let calls = place.calls();
    assert_eq!(calls.len(), 2, "each begins before it ends: {calls:?}");
    assert_eq!(place.problems(), [""; 0]);
}

/// The record comes first: without it nobody could tell the erasure from a theft.
#[tokio::test]
async fn nobody_is_erased_of_whom_that_cannot_be_recorded() {
    for on_failure in [OnFailure::Closed, OnFailure::Open] {
        let (mut place, faults) = bad_place();
        place.config.on_failure = on_failure;
        let audit = place.open();
        call(&audit, "ann").await.unwrap();
        Faults::set(&faults.is_gone, true);
        let refused = audit.erase("acme", "ann").await;
        assert!(refused.is_err(), "{refused:?}");
        Faults::set(&faults.is_gone, false);
        call(&audit, "ann").await.unwrap();
        let export = place.archive().export_subject("acme", "ann", START);
        assert_eq!(export.unwrap().records, 2, "{on_failure:?}");
        assert!(audit.erase("acme", "ann").await.unwrap().is_some());
        audit.close().await;
        assert_eq!(place.problems(), [""; 0], "{on_failure:?}");
    }
}

#[tokio::test]
async fn a_failing_disk_does_not_hold_a_call_longer_than_its_patience() {
    let mut place = Place::new();
    place.config.patience = Duration::ZERO;
    let audit = place.open();
    let ann = caller("ann");
    let input = RawJson::empty_object();
    // Whether the record came in time or not: nobody waits, and there is no call without an end.
    let refused = audit.begin(&begin(&ann, &input)).await.is_err();
    audit.close().await;
    let outcomes = place.outcomes();
    assert!(refused || outcomes.len() == 1);
    assert!(
        outcomes
            .iter()
            .all(|it| it == "cancelled" || it == "unknown"),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn after_a_kill_every_call_has_one_end_and_a_torn_tail_is_told() {
    let place = Place::new();
    let audit = place.open();
    call(&audit, "ann").await.unwrap();
    let ann = caller("ann");
    let input = RawJson::empty_object();
    let running = audit.begin(&begin(&ann, &input)).await.unwrap();
    let left = kill(&place, audit).await;
    drop(running);
    let path = left.segments(Trail::Calls)[0].clone();
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend(br#"{"v":1,"seq":4,"kind":"end""#);
    fs::write(&path, bytes).unwrap();
    assert_eq!(left.verify().torn, 27, "no problem before the next start");
    assert_eq!(left.problems(), [""; 0]);

    let audit = left.open();
    audit.close().await;
    assert_eq!(left.outcomes(), ["ok", "unknown"]);
    assert_eq!(left.calls()[1]["user"], "ann", "and whose it was");
    let cut = left.query(&Query {
        kinds: vec!["tail_cut".to_owned()],
        ..Query::default()
    });
    assert_eq!((cut.len(), &cut[0]["bytes"]), (1, &27.into()));
    assert_eq!(left.problems(), [""; 0]);
    left.open().close().await;
    assert_eq!(left.outcomes(), ["ok", "unknown"], "and no second end");
}

#[tokio::test]
async fn calls_that_run_over_the_end_of_a_segment_are_ended_too() {
    let mut place = Place::new();
    place.config.segment_size = 1_000;
    let audit = place.open();
    let ann = caller("ann");
    let input = RawJson::empty_object();
    let running = audit.begin(&begin(&ann, &input)).await.unwrap();
    for _ in 0..4 {
        call(&audit, "ann").await.unwrap();
    }
    assert!(place.segments(Trail::Calls).len() > 1);
    let left = kill(&place, audit).await;
    drop(running);
    left.open().close().await;
    let mut outcomes = left.outcomes();
    outcomes.sort();
    assert_eq!(outcomes, ["ok", "ok", "ok", "ok", "unknown"]);
    assert_eq!(left.problems(), [""; 0]);
}

#[tokio::test]
async fn what_was_cut_behind_a_dead_nodes_back_is_not_mended_away() {
    let left = killed_after_three_calls().await;
    let path = left.segments(Trail::Calls)[0].clone();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    fs::write(&path, lines[..5].concat()).unwrap();
    let audit = left.open();
    call(&audit, "ann").await.unwrap();
    audit.close().await;
    let problems = left.verify().problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].at, Some((Trail::Calls, 5)));
    let alarms = left.query(&Query {
        kinds: vec!["alarm".to_owned()],
        ..Query::default()
    });
    assert_eq!(alarms.len(), 1);
}
