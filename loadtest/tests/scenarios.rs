//! Every scenario from end to end, as short as it can be, so that none rots. No number is asserted:
//! that is for whoever measures on a quiet machine.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// Runs `loadtest` in its quick form and asserts that nothing failed.
fn loadtest(arguments: &[&str], out: &Path) -> Output {
    let loadtest = Path::new(env!("CARGO_BIN_EXE_loadtest"));
    let switchboard = loadtest.with_file_name("switchboard");
    assert!(
        switchboard.is_file(),
        "{} is missing: build the whole workspace first (`cargo build --workspace`, with --release \
         if this test runs so), as `tests/run` does",
        switchboard.display()
    );
    let output = Command::new(loadtest)
        .args(arguments)
        .args(["--quick", "--out"])
        .arg(out)
        .output()
        .unwrap();
    let table = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{table}{complaints}");
    output
}

/// The JSON of a scenario; its page must be there, too.
fn findings(scenario: &str) -> Value {
    let out = TempDir::new().unwrap();
    loadtest(&[scenario], out.path());
    let page = std::fs::read_to_string(out.path().join("index.html")).unwrap();
    assert!(page.contains("<svg") && !page.contains("NaN"), "{page}");
    let json = std::fs::read_to_string(out.path().join(format!("{scenario}.json"))).unwrap();
    let found: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(found["scenario"], scenario);
    assert_eq!(found["failures"], 0, "{json}");
    assert!(found["machine"]["cores"].is_u64());
    found
}

fn subjects(rows: &Value) -> Vec<&str> {
    let rows = rows.as_array().into_iter().flatten();
    rows.filter_map(|row| row["subject"].as_str()).collect()
}

#[test]
fn calls_measures_all_three_and_no_call_fails() {
    let out = TempDir::new().unwrap();
    let output = loadtest(&["calls"], out.path());
    let table = String::from_utf8_lossy(&output.stdout);
    for row in ["floor", "session era", "stateless era"] {
        let row = table.lines().find(|line| line.starts_with(row));
        let failed = row.and_then(|row| row.split_whitespace().last());
        assert_eq!(failed, Some("0"), "{table}");
    }
    let report = std::fs::read_to_string(out.path().join("calls.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["runs"].as_array().map(Vec::len), Some(3));
}

#[test]
fn sessions_are_born_held_and_called() {
    let found = findings("sessions");
    let medians = &found["medians"];
    assert_eq!(
        subjects(&medians["births"]),
        ["floor", "memory", "embedded", "Redis"]
    );
    assert_eq!(subjects(&medians["memory"]), ["floor", "session era"]);
    assert_eq!(subjects(&medians["calls"]), ["floor", "session era"]);
    let held = &found["runs"]["memory"][1];
    assert_eq!(held["sessions"], found["settings"]["sessions"]);
}

#[test]
fn events_are_streamed_in_a_flood_and_at_a_pace() {
    let found = findings("stream");
    for kind in ["flood", "paced"] {
        let subjects = subjects(&found["medians"][kind]);
        assert_eq!(subjects[1..], ["floor", "session era", "stateless era"]);
    }
}

#[test]
fn calls_sessions_and_events_go_through_the_gateway() {
    let found = findings("gateway");
    let medians = &found["medians"];
    let ways = [
        "floor",
        "direct: session",
        "direct: stateless",
        "session → session",
        "stateless → stateless",
        "session → stateless",
        "stateless → session",
    ];
    assert_eq!(subjects(&medians["calls"]), ways);
    assert_eq!(subjects(&medians["flood"]), ways);
    assert_eq!(
        subjects(&medians["memory"]),
        [
            "direct: session",
            "session → session",
            "session → stateless"
        ]
    );
}

#[test]
fn calls_are_asked_for_more_and_more() {
    let found = findings("trust");
    assert_eq!(
        subjects(&found["medians"]),
        [
            "floor", "nothing", "token", "+ policy", "+ limits", "+ audit"
        ]
    );
}

#[test]
fn abandoned_sessions_are_forgotten() {
    let found = findings("churn");
    assert_eq!(found["medians"]["sessions_left"], 0.0);
    assert!(found["medians"]["peak_mib"].is_f64());
    assert!(
        found["runs"]
            .as_array()
            .is_some_and(|runs| !runs.is_empty())
    );
}

#[test]
fn everything_holds_at_once() {
    let found = findings("mixed");
    assert_eq!(subjects(&found["medians"]["deeds"]).len(), 4);
}
