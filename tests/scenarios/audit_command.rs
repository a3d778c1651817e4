//! `switchboard audit` by the binary: what was recorded is read, given out and forgotten, and whatever
//! somebody does to the files is found.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use switchboard::audit::{Audit, Begin, Config, Decision, End, Ending, Party, Places};
use switchboard::identity::{Caller, Principal};
use switchboard::protocol::raw::RawJson;
use switchboard::runtime::clock::{Clock, Timestamp};
use switchboard::runtime::seal::ClusterKeys;
use switchboard::telemetry::metrics::Metrics;
use tempfile::TempDir;

use crate::world::command::{Ended, run};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Who called most, as records call her.
const ANN: &str = "owner ann";

/// A directory in which a node has recorded, with its configuration.
struct Recorded {
    directory: TempDir,
}

impl Recorded {
    /// Five calls of `crm.search`, four by ann and one by bob, over two days.
    async fn new() -> Self {
        let recorded = Self {
            directory: TempDir::new().unwrap(),
        };
        recorded.keys_are(&[KEY]);
        let clock = Clock::manual(Timestamp(1_785_196_800_000));
        let audit = recorded.open(&[KEY], clock.clone());
        for user in ["ann", "ann", "bob", "ann", "ann"] {
            call(&audit, user).await;
            clock.advance(Duration::from_secs(3_600 * 6));
        }
        audit.close().await;
        recorded
    }

    /// From now on these are the cluster's keys, the newest first.
    fn keys_are(&self, keys: &[&str]) {
        let config = format!("cluster.keys = {keys:?}\n[audit]\nsink = \"file:./audit\"\n");
        fs::write(self.path("switchboard.toml"), config).unwrap();
    }

    /// A node that records there.
    fn open(&self, keys: &[&str], clock: Clock) -> Audit {
        let config = Config::in_directory(Places {
            records: self.path("audit"),
            checkpoints: self.path("switchboard-data/audit/checkpoints"),
            vault: self.path("switchboard-data/audit/vault"),
        });
        let keys = ClusterKeys::from_hex(keys).unwrap();
        Audit::open(&config, &keys, &clock, &Metrics::new(), "n1").unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The segments of calls.
    fn segments(&self) -> Vec<PathBuf> {
        let directory = self.path("audit/t-acme/calls");
        let entries = fs::read_dir(directory).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    async fn audit(&self, arguments: &[&str]) -> Ended {
        let all = [&["audit"], arguments].concat();
        run(self.directory.path(), &all).await
    }
}

async fn call(audit: &Audit, user: &str) {
    let caller = Caller {
        tenant: "acme".into(),
        user: format!("owner {user}").into(),
        ..Caller::of(Principal::of_owner("acme", user))
    };
    let input = RawJson::from_valid(r#"{"text":"to mail@example.org"}"#);
    let begin = Begin {
        party: Party {
            caller: &caller,
            session: None,
            origin: &Arc::default(),
        },
        trace: None,
        method: "tools/call",
        target: Some("crm.search"),
        is_target_given: true,
        upstream: None,
        decision: Decision::default(),
        input: Some(&input),
        bytes: 10,
    };
    let begun = audit.begin(&begin).await.unwrap();
    begun.end(&End::of(Ending::Ok)).await.unwrap();
}

/// Does something to the lines of a segment.
fn with_lines(path: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let text = fs::read_to_string(path).unwrap();
    let mut lines: Vec<_> = text.split_inclusive('\n').map(str::to_owned).collect();
    change(&mut lines);
    fs::write(path, lines.concat()).unwrap();
}

/// What is done to the files, and the record that is named then.
type Tampering = (&'static str, u64, fn(&Recorded));

#[tokio::test]
async fn whatever_is_done_to_the_files_the_first_bad_record_is_named() {
    let whole = Recorded::new().await;
    let verified = whole.audit(&["verify"]).await;
    assert_eq!(verified.code, 0, "{}", verified.err);
    assert!(
        verified.out.contains("ok: 10 records in 2 segments"),
        "{}",
        verified.out
    );
    let classes: [Tampering; 8] = [
        ("a flipped byte", 3, |it| {
            with_lines(&it.segments()[0], |lines| {
                lines[3] = lines[3]
                    .replace("\"outcome\":\"ok\"", "\"outcome\":\"no\"")
                    .replace("\"method\":\"tools/call\"", "\"method\":\"tools/cull\"");
            });
        }),
        ("a removed record", 2, |it| {
            with_lines(&it.segments()[0], |lines| drop(lines.remove(2)));
        }),
        ("an inserted record", 4, |it| {
            with_lines(&it.segments()[0], |lines| lines.insert(4, lines[1].clone()));
        }),
        ("reordered records", 5, |it| {
            with_lines(&it.segments()[0], |lines| lines.swap(5, 6));
        }),
        ("a cut tail", 6, |it| {
            with_lines(&it.segments()[0], |lines| lines.truncate(6));
        }),
        ("a swapped file", 1, |it| {
            let segments = it.segments();
            fs::copy(&segments[1], &segments[0]).unwrap();
        }),
        ("a day's key that was taken", 1, |it| {
            let day = it.path("switchboard-data/audit/vault/t-acme/days/20662.json");
            fs::remove_file(day).unwrap();
        }),
        ("a last segment that went with its checkpoint", 9, |it| {
            let last = it.segments().pop().unwrap();
            let name = Path::new(last.file_name().unwrap()).with_extension("json");
            let checkpoints = it.path("switchboard-data/audit/checkpoints/t-acme/calls");
            fs::remove_file(checkpoints.join(name)).unwrap();
            fs::remove_file(last).unwrap();
        }),
    ];
    for (what, seq, tamper) in classes {
        let recorded = Recorded::new().await;
        tamper(&recorded);
        let verified = recorded.audit(&["verify"]).await;
        assert_eq!(verified.code, 1, "{what}");
        let named = format!("acme/calls: record {seq}: ");
        assert!(verified.err.starts_with(&named), "{what}: {}", verified.err);
    }
    let (one, other) = (Recorded::new().await, Recorded::new().await);
    fs::copy(&other.segments()[0], &one.segments()[0]).unwrap();
    let verified = one.audit(&["verify"]).await;
    assert_eq!(verified.code, 1, "a regenerated file");
}

/// Ours: what cannot be read is named, and hides nothing else.
#[tokio::test]
async fn keys_that_were_taken_or_damaged_are_named_and_so_is_whatever_is_no_file() {
    let recorded = Recorded::new().await;
    let subjects = recorded.path("switchboard-data/audit/vault/t-acme/subjects");
    fs::rename(&subjects, recorded.path("taken")).unwrap();
    let verified = recorded.audit(&["verify"]).await;
    assert_eq!(verified.code, 1, "{verified:?}");
    let named = verified.err.matches("is missing, and no erasure").count();
    assert_eq!(named, 2, "ann and bob: {}", verified.err);
    fs::rename(recorded.path("taken"), &subjects).unwrap();

    let day = recorded.path("switchboard-data/audit/vault/t-acme/days/20662.json");
    fs::write(&day, "{}").unwrap();
    let segment = recorded.segments().pop().unwrap();
    fs::remove_file(&segment).unwrap();
    fs::create_dir(&segment).unwrap();
    let verified = recorded.audit(&["verify"]).await;
    assert_eq!(verified.code, 1, "{verified:?}");
    for path in [
        "days/20662.json",
        segment.file_name().unwrap().to_str().unwrap(),
    ] {
        assert!(verified.err.contains(path), "{path}: {}", verified.err);
    }
}

#[tokio::test]
async fn calls_are_found_by_what_is_asked() {
    let recorded = Recorded::new().await;
    for (question, count) in [
        (&["query"][..], 5),
        (&["query", "--user", "owner bob"], 1),
        (&["query", "--tool", "crm.search", "--outcome", "ok"], 5),
        (&["query", "--outcome", "denied"], 0),
        (&["query", "--user", "owner nobody"], 0),
        (&["query", "--from", "2026-07-29"], 1),
        (&["query", "--to", "2026-07-28T06:00:00Z"], 1),
        (&["query", "--tenant", "acme", "--kind", "call"], 5),
        (&["query", "--limit", "2"], 2),
        (&["query", "--limit", "4"], 4),
    ] {
        let found = recorded.audit(question).await;
        assert_eq!(found.code, 0, "{}", found.err);
        assert_eq!(
            found.out.lines().count(),
            count,
            "{question:?}: {}",
            found.out
        );
        let is_told = found.err.contains("no record is like that");
        assert_eq!(is_told, count == 0, "{question:?}: {}", found.err);
        let is_cut = question.contains(&"--limit");
        let more = "there are more, later ones: raise --limit, or go on with --from";
        assert_eq!(
            found.err.contains(more),
            is_cut,
            "{question:?}: {}",
            found.err
        );
    }
    let found = recorded.audit(&["query", "--user", "owner bob"]).await;
    let call: Value = serde_json::from_str(&found.out).unwrap();
    assert_eq!(call["input"]["text"], "to [email]");
    assert_eq!(
        (&call["user"], &call["outcome"]),
        (&"owner bob".into(), &"ok".into())
    );
}

#[tokio::test]
async fn who_asks_is_given_everything_and_who_is_erased_is_gone() {
    let recorded = Recorded::new().await;
    let ann = ["--tenant", "acme", "--subject", ANN];
    let export = async || {
        let exported = recorded.audit(&[&["export"], &ann[..]].concat()).await;
        assert_eq!(exported.code, 0, "{}", exported.err);
        let document: Value = serde_json::from_str(&exported.out).unwrap();
        document["records"].as_array().unwrap().len()
    };
    assert_eq!(export().await, 4);
    let erased = recorded.audit(&[&["erase"], &ann[..]].concat()).await;
    assert!(
        erased.code == 0 && erased.out.starts_with("erased: "),
        "{erased:?}"
    );
    assert_eq!(export().await, 0);
    let again = recorded.audit(&[&["erase"], &ann[..]].concat()).await;
    assert_eq!(
        (again.code, &*again.out),
        (0, "there is nothing about them\n")
    );
    let verified = recorded.audit(&["verify"]).await;
    assert_eq!(verified.code, 0, "{}", verified.err);
    assert!(verified.out.contains("erased"), "{}", verified.out);
    let bundle = recorded.audit(&["export", "--controls"]).await;
    let bundle: Value = serde_json::from_str(&bundle.out).unwrap();
    let kinds: Vec<_> = bundle["controls"][4]["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["exported", "erased", "exported"]);
}

/// Ours: old keys stay in the list for as long as what was recorded with them.
#[tokio::test]
async fn records_of_a_rotated_key_are_good_while_it_stays_in_the_list() {
    let recorded = Recorded::new().await;
    let newer = KEY.replace('0', "f");
    recorded.keys_are(&[&newer, KEY]);
    let later = Clock::manual(Timestamp(1_785_196_800_000 + 2 * 86_400_000));
    let audit = recorded.open(&[&newer, KEY], later);
    call(&audit, "ann").await;
    audit.close().await;

    let verified = recorded.audit(&["verify"]).await;
    assert_eq!(verified.code, 0, "{}", verified.err);
    let verified = verified.out;
    assert!(verified.contains("ok: 12 records"), "{verified}");
    let found = recorded.audit(&["query", "--user", ANN]).await;
    assert_eq!(found.out.lines().count(), 5, "{}", found.out);
    let inputs = found.out.matches("to [email]").count();
    assert_eq!(inputs, 5, "all can be read: {}", found.out);

    recorded.keys_are(&[&newer]);
    let verified = recorded.audit(&["verify"]).await;
    assert_eq!(verified.code, 1, "{verified:?}");
    let first = "acme/calls: record 1: ";
    assert!(verified.err.starts_with(first), "{}", verified.err);
}

/// Ours: a slip is no answer. Who believed that somebody was erased, or that nothing was there, would
/// never ask again.
#[tokio::test]
async fn a_question_with_a_slip_in_it_is_told_what_would_be_right() {
    const NOBODY: &str = "`owner ci`";
    let recorded = Recorded::new().await;
    for (question, code, told) in [
        (&["erase", "--subject", "ann"][..], 2, NOBODY),
        (&["export", "--subject", "ann"], 2, NOBODY),
        (&["query", "--user", "ann"], 2, NOBODY),
        (&["query", "--kind", "calls"], 2, "call, auth"),
        (&["query", "--outcome", "OK"], 2, "ok, tool_error"),
        (&["query", "--call", "12"], 2, "0123456789abcdef-1f"),
        (
            &["export", "--subject", ANN, "--to", "2026-07-28"],
            2,
            "--controls",
        ),
    ] {
        told_of_a_slip(&recorded, question, code, told).await;
    }
    for question in [&["verify"][..], &["query"], &["export", "--controls"]] {
        let times = ["--from", "2026-07-29", "--to", "2026-07-28"];
        let question = [question, &times].concat();
        told_of_a_slip(&recorded, &question, 2, "before --to").await;
    }
    for question in [
        &["query"][..],
        &["export", "--controls"],
        &["export", "--subject", ANN],
        &["erase", "--subject", ANN],
    ] {
        let question = [question, &["--tenant", "acne"]].concat();
        told_of_a_slip(&recorded, &question, 1, "there are of: \"acme\"").await;
    }
    let verified = recorded.audit(&["verify"]).await;
    assert!(verified.out.contains("ok: 10 records"), "{verified:?}");
}

async fn told_of_a_slip(recorded: &Recorded, question: &[&str], code: i32, told: &str) {
    let answer = recorded.audit(question).await;
    assert_eq!(answer.code, code, "{question:?}: {answer:?}");
    assert!(answer.err.contains(told), "{question:?}: {}", answer.err);
    assert_eq!(answer.out, "", "{question:?}");
}

#[tokio::test]
async fn exit_codes_tell_bad_usage_from_failure() {
    let recorded = Recorded::new().await;
    let empty = TempDir::new().unwrap();
    for (typed, code) in [
        (&["audit", "verify", "--from", "yesterday"][..], 2),
        (&["audit", "export"], 2),
        (&["audit", "erase"], 2),
        (
            &["audit", "export", "--subject", "owner a", "--controls"],
            2,
        ),
    ] {
        assert_eq!(
            run(recorded.directory.path(), typed).await.code,
            code,
            "{typed:?}"
        );
    }
    let key = format!("cluster.keys = [\"{KEY}\"]");
    fs::write(recorded.path("keys.toml"), key).unwrap();
    let by_directory = ["--dir", "./audit", "--config", "keys.toml"];
    let verified = recorded
        .audit(&[&["verify"], &by_directory[..]].concat())
        .await;
    assert_eq!(verified.code, 0, "{}", verified.err);
    let erase = ["erase", "--subject", ANN, "--tenant", "acme"];
    let held = recorded.audit(&[&erase[..], &by_directory].concat()).await;
    assert_eq!(held.code, 2, "{}", held.err);
    let nothing = run(empty.path(), &["audit", "verify"]).await;
    assert_eq!(nothing.code, 2, "{}", nothing.err);
    fs::write(
        recorded.path("other.toml"),
        "[audit]\nsink = \"file:./none\"\n",
    )
    .unwrap();
    let keyless = recorded.audit(&["verify", "--config", "other.toml"]).await;
    assert_eq!(keyless.code, 2, "{}", keyless.err);
}
