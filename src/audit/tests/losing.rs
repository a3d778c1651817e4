//! Keys and files that are gone, and whether they may be.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;

/// Five calls of two people in three segments, all ended.
async fn ended() -> Place {
    let mut place = Place::new();
    place.config.segment_size = 1_500;
    let audit = place.open();
    for user in ["ann", "bob", "ann", "bob", "ann"] {
        call(&audit, user).await.unwrap();
    }
    audit.close().await;
    assert_eq!(place.problems(), [""; 0]);
    assert!(place.segments(Trail::Calls).len() >= 3);
    place
}

/// The one thing that is wrong.
#[track_caller]
fn problem(place: &Place) -> String {
    let problems = place.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].clone()
}

#[tokio::test]
async fn a_persons_key_may_be_missing_only_if_their_erasure_is_on_record() {
    let place = ended().await;
    let keys = place.keys_of("subjects");
    assert_eq!(keys.len(), 2);
    for (key, seq) in keys.iter().zip([1, 3]) {
        let whole = fs::read(key).unwrap();
        for is_blank in [false, true] {
            if is_blank {
                fs::write(key, " ".repeat(whole.len())).unwrap();
            } else {
                fs::remove_file(key).unwrap();
            }
            let problem = problem(&place);
            assert!(problem.contains("no erasure"), "{problem}");
            let first = problem.starts_with("acme/calls: record 1: ")
                || problem.starts_with("acme/calls: record 3: ");
            assert!(first, "{seq}: {problem}");
        }
        fs::write(key, whole).unwrap();
    }
    let audit = place.open();
    audit.erase("acme", "ann").await.unwrap().unwrap();
    audit.close().await;
    assert_eq!(place.problems(), [""; 0]);
    // Not even where the record of it is out of the times that are asked for.
    let first_hour = place.archive().verify(0, START.0 + 3_600_000).unwrap();
    assert_eq!(first_hour.problems, []);
    // Whoever was erased needs no key; the other one still does.
    fs::remove_file(&place.keys_of("subjects")[0]).unwrap();
    assert!(problem(&place).starts_with("acme/calls: record 3: the key of "));
}

#[tokio::test]
async fn a_days_key_may_be_missing_only_if_retention_is_on_record() {
    let place = ended().await;
    let key = place.keys_of("days")[0].clone();
    let whole = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let found = problem(&place);
    assert!(
        found.starts_with("acme/calls: record 1: the key of the payloads of day "),
        "{found}"
    );
    fs::write(&key, whole).unwrap();
    place.clock.advance(DAY * 32);
    let audit = place.open();
    audit.retain().await;
    audit.close().await;
    assert!(place.keys_of("days").is_empty());
    assert_eq!(place.problems(), [""; 0]);
}

/// A backup of the vault, or half a destruction.
#[tokio::test]
async fn a_key_that_is_back_after_its_erasure_is_found_and_can_be_erased_again() {
    let place = ended().await;
    let vault = place.config.places.vault.clone();
    let backup = TempDir::new().unwrap();
    copy(&vault, backup.path());
    let audit = place.open();
    audit.erase("acme", "ann").await.unwrap().unwrap();
    audit.close().await;
    copy(backup.path(), &vault);
    let found = problem(&place);
    assert!(
        found.contains("is there, whose erasure is on record"),
        "{found}"
    );
    let audit = place.open();
    audit.erase("acme", "ann").await.unwrap().unwrap();
    audit.close().await;
    assert_eq!(place.problems(), [""; 0]);
}

#[tokio::test]
async fn an_erasure_that_was_cut_short_is_finished_at_the_next_start() {
    let place = ended().await;
    let backup = TempDir::new().unwrap();
    copy(&place.config.places.vault, backup.path());
    let audit = place.open();
    audit.erase("acme", "ann").await.unwrap().unwrap();
    let left = kill(&place, audit).await;
    // Killed between the record and the destruction.
    copy(
        &backup.path().join("t-acme/subjects"),
        &left.config.places.vault.join("t-acme/subjects"),
    );
    assert_eq!(left.keys_of("subjects").len(), 2);
    left.open().close().await;
    assert_eq!(left.keys_of("subjects").len(), 1);
    assert_eq!(left.problems(), [""; 0]);
    assert_eq!(
        left.archive()
            .export_subject("acme", "ann", START)
            .unwrap()
            .records,
        0
    );
    assert_eq!(
        left.archive()
            .export_subject("acme", "bob", START)
            .unwrap()
            .records,
        2
    );
}

#[tokio::test]
async fn a_damaged_key_is_named_and_everything_else_is_looked_at() {
    for whom in ["subjects", "days"] {
        let place = ended().await;
        let key = place.keys_of(whom)[0].clone();
        let kept = fs::read_to_string(&key).unwrap();
        fs::write(&key, kept.replace("\"sealed\":\"", "\"sealed\":\"AAAA")).unwrap();
        let found = problem(&place);
        assert!(found.contains(key.to_str().unwrap()), "{found}");
        assert_eq!(place.verify().records, 10);
        fs::write(&key, "{").unwrap();
        let found = place.problems();
        assert!(
            found.iter().any(|it| it.contains(key.to_str().unwrap())),
            "{found:?}"
        );
        assert_eq!(place.verify().records, 10);
    }
}

#[tokio::test]
async fn what_lies_in_a_files_place_is_named_and_everything_else_is_looked_at() {
    let kinds: [fn(&Path); 3] = [
        |path| fs::create_dir(path).unwrap(),
        |path| symlink("/nowhere", path).unwrap(),
        |path| symlink("/dev/zero", path).unwrap(),
    ];
    for put in kinds {
        let place = ended().await;
        let segment = place.segments(Trail::Calls)[1].clone();
        fs::remove_file(&segment).unwrap();
        put(&segment);
        let found = problem(&place);
        assert!(found.contains(segment.to_str().unwrap()), "{found}");

        let place = ended().await;
        let directory = place.config.places.checkpoints.join("t-acme/calls");
        let checkpoint = layout::file(&directory, 1, Part::Checkpoint);
        fs::remove_file(&checkpoint).unwrap();
        put(&checkpoint);
        let found = place.problems();
        assert!(found[0].contains(checkpoint.to_str().unwrap()), "{found:?}");

        let place = ended().await;
        let key = place.keys_of("days")[0].clone();
        fs::remove_file(&key).unwrap();
        put(&key);
        let found = problem(&place);
        assert!(found.contains(key.to_str().unwrap()), "{found}");
    }
    let place = ended().await;
    let calls = place.config.places.records.join("t-acme/calls");
    fs::remove_dir_all(&calls).unwrap();
    fs::write(&calls, "").unwrap();
    let found = problem(&place);
    assert!(found.contains(calls.to_str().unwrap()), "{found}");
}

#[tokio::test]
async fn the_last_segment_cannot_go_with_its_checkpoint() {
    let place = ended().await;
    let last = place.segments(Trail::Calls).pop().unwrap();
    let name = last.file_stem().unwrap().to_str().unwrap().to_owned();
    let first: u64 = name.parse().unwrap();
    let directory = place.config.places.checkpoints.join("t-acme/calls");
    fs::remove_file(&last).unwrap();
    fs::remove_file(layout::file(&directory, first, Part::Checkpoint)).unwrap();
    let named = format!("acme/calls: record {first}: ");
    assert!(problem(&place).starts_with(&named));

    // A node that starts over this says so, and goes on without mending it away.
    let audit = place.open();
    call(&audit, "ann").await.unwrap();
    audit.close().await;
    assert!(problem(&place).starts_with(&named));
    assert_eq!(alarms(&place), 1);
    place.open().close().await;
    assert_eq!(alarms(&place), 1, "it is said once");
}

fn alarms(place: &Place) -> usize {
    let kinds = vec!["alarm".to_owned()];
    let query = Query {
        kinds,
        ..Query::default()
    };
    place.query(&query).len()
}

#[tokio::test]
async fn an_anchor_that_is_gone_is_not_mended_away() {
    let left = killed_after_three_calls().await;
    let segment = &left.segments(Trail::Calls)[0];
    let text = fs::read_to_string(segment).unwrap();
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    fs::write(segment, lines[..5].concat()).unwrap();
    let directory = left.config.places.checkpoints.join("t-acme/calls");
    fs::remove_file(layout::file(&directory, 1, Part::Anchor)).unwrap();
    assert!(problem(&left).contains("neither a checkpoint nor an anchor"));
    left.open().close().await;
    assert!(problem(&left).contains("its end may be missing"));
    assert_eq!(alarms(&left), 1);
}

#[tokio::test]
async fn a_tenants_records_cannot_go_nor_become_anothers() {
    let place = ended().await;
    let Places {
        records,
        checkpoints,
        vault,
    } = place.config.places.clone();
    for root in [&records, &checkpoints] {
        fs::rename(root.join("t-acme"), root.join("t-other")).unwrap();
    }
    let found = place.problems();
    let is_named = |text: &str| found.iter().any(|it| it.contains(text));
    assert!(is_named("belong into t-acme, not t-other"), "{found:?}");
    assert!(is_named("acme/calls: record "), "{found:?}");
    // Even with its keys.
    fs::rename(vault.join("t-acme"), vault.join("t-other")).unwrap();
    let found = place.problems();
    let is_named = |text: &str| found.iter().any(|it| it.contains(text));
    assert!(is_named("belong into t-acme, not t-other"), "{found:?}");
    fs::rename(vault.join("t-other"), vault.join("t-acme")).unwrap();

    for root in [&records, &checkpoints] {
        fs::remove_dir_all(root.join("t-other")).unwrap();
    }
    let found = problem(&place);
    assert!(found.starts_with("acme/calls: record "), "{found}");
    // What says which segment is the latest is needed, too.
    let place = ended().await;
    let latest = layout::latest(&place.config.places.vault, "t-acme", Trail::Calls);
    fs::remove_file(&latest).unwrap();
    let found = problem(&place);
    assert!(found.contains(latest.to_str().unwrap()), "{found}");
}

/// A person's key lies under a name that is made of theirs: another's does not stand in for it.
#[tokio::test]
async fn two_peoples_keys_that_were_swapped_are_keys_of_nobody() {
    let place = ended().await;
    let keys = place.keys_of("subjects");
    let [one, other] = [0, 1].map(|at| fs::read(&keys[at]).unwrap());
    fs::write(&keys[0], &other).unwrap();
    fs::write(&keys[1], &one).unwrap();
    let problems = place.problems();
    let named = problems.iter().filter(|it| it.contains("is no key of"));
    assert_eq!(named.count(), 2, "{problems:?}");
    let audit = place.open();
    assert!(audit.erase("acme", "ann").await.is_err());
    audit.close().await;
    fs::write(&keys[0], one).unwrap();
    fs::write(&keys[1], other).unwrap();
    assert_eq!(place.problems(), [""; 0]);
}

/// A process may be killed at any moment: also when a segment was begun, and nothing written to it.
#[tokio::test]
async fn a_segment_that_was_left_before_its_first_record_is_begun_anew() {
    let place = Place::new();
    let id = TrailId {
        tenant: "acme".into(),
        trail: Trail::Calls,
    };
    for torn in ["", "{\"v\":1,\"seq\""] {
        for round in 1..=2 {
            let ground = place.ground();
            let recovered = recover::recover(&ground, START.0).unwrap();
            let chain = recovered.chains.get(&id);
            let after = chain.map_or(
                segment::Standing {
                    last: 0,
                    head: chain::START,
                },
                |chain| chain.standing,
            );
            let (_, begun) = segment::Segment::begin(&ground, &id, after, START.0);
            begun.unwrap();
            let left = place.segments(Trail::Calls).last().unwrap().clone();
            let mut text = fs::read_to_string(&left).unwrap();
            text.push_str(torn);
            fs::write(&left, text).unwrap();
            assert_eq!(place.problems(), [""; 0], "{torn:?}, round {round}: left");

            let audit = place.open();
            assert_eq!(place.problems(), [""; 0], "{torn:?}, round {round}: begun");
            call(&audit, "ann").await.unwrap();
            audit.close().await;
            assert_eq!(place.problems(), [""; 0], "{torn:?}, round {round}: ended");
        }
    }
    assert_eq!(place.outcomes(), ["ok"; 4]);
}
