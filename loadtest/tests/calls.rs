//! The `calls` scenario from end to end, as short as it can be. No time is asserted: that is for
//! whoever measures on a quiet machine.

use std::path::Path;
use std::process::Command;

#[test]
fn calls_measures_all_three_and_no_call_fails() {
    let loadtest = Path::new(env!("CARGO_BIN_EXE_loadtest"));
    let switchboard = loadtest.with_file_name("switchboard");
    assert!(
        switchboard.is_file(),
        "{} is missing: build the whole workspace first (`cargo build --workspace`, with --release \
         if this test runs so), as `tests/run` does",
        switchboard.display()
    );
    let directory = tempfile::TempDir::new().unwrap();
    let json = directory.path().join("report.json");
    let output = Command::new(loadtest)
        .args(["calls", "--rounds", "1", "--seconds", "0.3", "--json"])
        .arg(&json)
        .output()
        .unwrap();
    let table = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{table}{complaints}");
    for row in ["floor", "session era", "stateless era"] {
        let row = table.lines().find(|line| line.starts_with(row));
        let failed = row.and_then(|row| row.split_whitespace().last());
        assert_eq!(failed, Some("0"), "{table}");
    }
    let report = std::fs::read_to_string(json).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["runs"].as_array().map(Vec::len), Some(3));
}
