//! Whatever somebody does to the files is found, and the first record that is not what it was named.

use super::*;

/// A trail of ten records in one ended segment, and nothing wrong with it.
async fn ended() -> Place {
    let place = Place::new();
    let audit = place.open();
    for _ in 0..5 {
        call(&audit, "ann").await.unwrap();
    }
    audit.close().await;
    assert_eq!(place.problems(), [""; 0]);
    place
}

/// The same left open by a process that was killed.
async fn open() -> Place {
    let place = Place::new();
    let audit = place.open();
    for _ in 0..5 {
        call(&audit, "ann").await.unwrap();
    }
    let place = kill(&place, audit).await;
    assert_eq!(place.problems(), [""; 0]);
    place
}

/// Does something to the lines of the first segment: the header is the first.
fn with_lines(place: &Place, change: impl FnOnce(&mut Vec<String>)) {
    let path = &place.segments(Trail::Calls)[0];
    let text = fs::read_to_string(path).unwrap();
    let mut lines: Vec<_> = text.split_inclusive('\n').map(str::to_owned).collect();
    assert_eq!(lines.len(), 11);
    change(&mut lines);
    fs::write(path, lines.concat()).unwrap();
}

#[track_caller]
fn bad_at(place: &Place, seq: u64) {
    let problems = place.verify().problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].at, Some((Trail::Calls, seq)), "{problems:?}");
    assert_eq!(problems[0].tenant, "acme");
}

#[tokio::test]
async fn a_flipped_byte_is_found_wherever_it_is() {
    let place = ended().await;
    let path = place.segments(Trail::Calls)[0].clone();
    let whole = fs::read(&path).unwrap();
    let lines: Vec<_> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    let starts: Vec<_> = lines
        .iter()
        .scan(0, |at, line| {
            *at += line.len();
            Some(*at)
        })
        .collect();
    for at in (0..whole.len()).step_by(37) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&path, &changed).unwrap();
        let problems = place.verify().problems;
        let line = starts.iter().position(|end| at < *end).unwrap() as u64;
        let first = problems.first().unwrap_or_else(|| panic!("byte {at}"));
        let found = first.at.map(|(_, seq)| seq);
        assert_eq!(found, Some(line.max(1)), "byte {at}: {first}");
    }
}

#[tokio::test]
async fn removed_inserted_and_reordered_records_are_named() {
    for make in [true, false] {
        let fresh = async || if make { ended().await } else { open().await };
        let place = fresh().await;
        with_lines(&place, |lines| drop(lines.remove(4)));
        bad_at(&place, 4);
        let place = fresh().await;
        with_lines(&place, |lines| lines.insert(4, lines[2].clone()));
        bad_at(&place, 4);
        let place = fresh().await;
        with_lines(&place, |lines| lines.swap(6, 7));
        bad_at(&place, 6);
    }
}

#[tokio::test]
async fn a_cut_tail_is_found_in_ended_and_in_open_segments() {
    for place in [ended().await, open().await] {
        with_lines(&place, |lines| lines.truncate(8));
        bad_at(&place, 8);
        with_half_a_line(&place);
        bad_at(&place, 7);
    }
}

fn with_half_a_line(place: &Place) {
    let path = &place.segments(Trail::Calls)[0];
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() - 10]).unwrap();
}

#[tokio::test]
async fn a_segment_put_in_anothers_place_is_found() {
    let mut place = Place::new();
    place.config.segment_size = 1_000;
    let audit = place.open();
    for _ in 0..4 {
        call(&audit, "ann").await.unwrap();
    }
    audit.close().await;
    let segments = place.segments(Trail::Calls);
    assert!(segments.len() >= 3);
    let (one, other) = (
        fs::read(&segments[0]).unwrap(),
        fs::read(&segments[1]).unwrap(),
    );
    fs::write(&segments[0], other).unwrap();
    fs::write(&segments[1], one).unwrap();
    let problems = place.verify().problems;
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert_eq!(problems[0].at, Some((Trail::Calls, 1)));
}

#[tokio::test]
async fn a_segment_written_anew_is_found_even_by_those_who_have_the_keys() {
    let place = ended().await;
    let other = ended().await;
    fs::copy(
        &other.segments(Trail::Calls)[0],
        &place.segments(Trail::Calls)[0],
    )
    .unwrap();
    let problems = place.verify().problems;
    // Its chain is right, and its boxes cannot be opened: what was signed is something else.
    assert!(problems[0].what.contains("signed"), "{problems:?}");
    assert!(problems[1].what.contains("no erasure"), "{problems:?}");
}

#[tokio::test]
async fn missing_segments_and_checkpoints_are_found() {
    let place = ended().await;
    fs::remove_file(&place.segments(Trail::Calls)[0]).unwrap();
    bad_at(&place, 1);

    let place = ended().await;
    let checkpoint = checkpoint(&place);
    fs::remove_file(&checkpoint).unwrap();
    bad_at(&place, 1);

    let place = ended().await;
    let path = self::checkpoint(&place);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"last\":10", "\"last\":9")).unwrap();
    assert!(place.problems()[0].contains("not one we signed"));
}

fn checkpoint(place: &Place) -> PathBuf {
    let id = TrailId {
        tenant: "acme".into(),
        trail: Trail::Calls,
    };
    let directory = layout::trail_directory(&place.config.places.checkpoints, &id);
    layout::file(&directory, 1, Part::Checkpoint)
}

#[tokio::test]
async fn a_box_of_another_record_is_found() {
    let place = ended().await;
    let sealed = |line: &str| {
        let from = line.find(",\"sealed\":").unwrap();
        let to = line.find(",\"crc\":").unwrap();
        line[from..to].to_owned()
    };
    with_lines(&place, |lines| {
        let (theirs, ours) = (sealed(&lines[3]), sealed(&lines[1]));
        let changed = lines[1].replace(&ours, &theirs);
        let body = changed.split(",\"crc\":").next().unwrap().to_owned();
        let rest = changed[body.len() + ",\"crc\":\"00000000".len()..].to_owned();
        lines[1] = format!(
            "{body},\"crc\":\"{:08x}{rest}",
            crc32fast::hash(body.as_bytes())
        );
    });
    bad_at(&place, 1);
    assert!(place.problems()[0].contains("commits to"));
}

#[tokio::test]
async fn a_box_that_nobody_sealed_is_found() {
    let place = ended().await;
    with_lines(&place, |lines| {
        let line = lines[2].trim_end();
        let (body, rest) = line.split_once(",\"crc\":\"").unwrap();
        let body = format!("{},\"note\":\"x\"}}", &body[..body.len() - 1]);
        let crc = crc32fast::hash(body.as_bytes());
        lines[2] = format!("{body},\"crc\":\"{crc:08x}{}\n", &rest[8..]);
    });
    bad_at(&place, 2);
}

#[tokio::test]
async fn without_the_clusters_keys_nothing_is_believed() {
    let place = ended().await;
    let archive = Archive::of(&place.config.places, &ClusterKeys::generate());
    let verified = archive.verify(0, u64::MAX).unwrap_or_else(|error| {
        panic!("{error}");
    });
    assert!(!verified.problems.is_empty());
    assert!(Keys::of(&KEYS).segment("other", &[]).is_none());
}

/// A cleaning script that knows nothing of what it cleans: the node notices by itself, and what follows
/// is found again.
#[tokio::test]
async fn files_that_are_deleted_under_a_running_node_are_told_of_and_no_more_go_with_them() {
    for (deleted, trails) in [("calls", &["calls"][..]), ("", &["calls", "security"])] {
        let place = Place::new();
        let audit = place.open();
        call(&audit, "ann").await.unwrap();
        let reason = "unused".to_owned();
        let what = What::SessionClosed { reason };
        audit.note(&Event::of("acme", what)).await.unwrap();
        let of_tenant = place.config.places.records.join("t-acme");
        fs::remove_dir_all(of_tenant.join(deleted)).unwrap();
        place.clock.advance(Duration::from_secs(2));

        call(&audit, "bob").await.unwrap();

        assert_eq!(place.outcomes(), ["ok"], "bob's is there");
        let alarms = place.query(&Query {
            kinds: vec!["alarm".to_owned()],
            ..Query::default()
        });
        let mut told: Vec<_> = (alarms.iter())
            .map(|alarm| (alarm["problem"].as_str().unwrap(), alarm["lost"].as_u64()))
            .collect();
        told.sort_unstable();
        let expected = [
            (
                "segment calls/1 was removed behind this node's back",
                Some(2),
            ),
            (
                "segment security/1 was removed behind this node's back",
                Some(1),
            ),
        ];
        assert_eq!(told, expected[..trails.len()]);
        audit.close().await;
        let problems = place.problems();
        assert_eq!(problems.len(), trails.len(), "{problems:?}");
        for (problem, trail) in problems.iter().zip(trails) {
            let named = format!("acme/{trail}: record 1: ");
            assert!(problem.starts_with(&named), "{problem}");
        }
        place.open().close().await;
        assert_eq!(place.problems(), problems, "and the next start is no other");
    }
}

/// What was sealed is lost, and no more than that: what follows is sealed with keys that last.
#[tokio::test]
async fn keys_that_are_deleted_under_a_running_node_are_told_of_and_new_ones_last() {
    let (anns, bobs) = (
        "calls: record 1: the key of ",
        "calls: record 3: the key of ",
    );
    let cases = [
        ("subjects", 2, &[anns, bobs][..]),
        ("days", 1, &["calls: record 1: its payload is not what"]),
        ("", 3, &[anns, bobs, "calls.json is missing"]),
    ];
    for (deleted, keys, named) in cases {
        let place = Place::new();
        let audit = place.open();
        call(&audit, "ann").await.unwrap();
        call(&audit, "bob").await.unwrap();
        fs::remove_dir_all(place.config.places.vault.join("t-acme").join(deleted)).unwrap();
        place.clock.advance(Duration::from_secs(2));

        call(&audit, "ann").await.unwrap();
        place.clock.advance(Duration::from_secs(2));
        call(&audit, "bob").await.unwrap();

        let told = format!("keys were removed behind this node's back: {keys}");
        assert_eq!(alarms(&place), [told], "once");
        audit.close().await;
        let calls = place.calls();
        let is_read = |call: &&Map<String, Value>| call.contains_key("input");
        let read: Vec<_> = calls.iter().filter(is_read).map(|it| &it["user"]).collect();
        assert_eq!(read, ["ann", "bob"], "{deleted}: what came after it");
        let mut problems = place.problems();
        problems.sort_unstable();
        assert_eq!(problems.len(), named.len(), "{problems:?}");
        for (problem, named) in problems.iter().zip(named) {
            assert!(problem.contains(named), "{problem}");
        }
    }
}

#[tokio::test]
async fn keys_that_are_destroyed_rightly_raise_no_alarm() {
    let place = Place::new();
    let audit = place.open();
    call(&audit, "ann").await.unwrap();
    call(&audit, "bob").await.unwrap();
    audit.erase("acme", "ann").await.unwrap().unwrap();
    place.clock.advance(DAY * 32);
    audit.retain().await;
    assert!(place.keys_of("days").is_empty());
    place.clock.advance(Duration::from_secs(2));

    call(&audit, "bob").await.unwrap();

    assert_eq!(alarms(&place), [""; 0]);
    audit.close().await;
    assert_eq!(place.problems(), [""; 0]);
}

fn alarms(place: &Place) -> Vec<String> {
    let alarms = place.query(&Query {
        kinds: vec!["alarm".to_owned()],
        ..Query::default()
    });
    let problem = |alarm: &Map<String, Value>| alarm["problem"].as_str().unwrap().to_owned();
    alarms.iter().map(problem).collect()
}
