//! The official conformance suite, in both published versions, with no failure expected.
//!
//! Its exit status alone is not believed: a scenario that was skipped passes there, and warnings do
//! not count. Here every scored scenario has checks that passed, none that failed or warned, and
//! their number is the one that the suite's lists promise.

use std::path::Path;

use serde_json::Value;

use crate::world::Switchboard;
use crate::world::tools::{installed, node, run};

/// One version of the suite.
#[derive(Clone, Copy, Debug)]
enum Suite {
    /// 0.1: revisions up to 2025-11-25, each on its own wire.
    Stable,
    /// 0.2: the frozen lists of what a revision requires.
    Next,
}

/// A line of the suite's summary.
#[derive(Debug)]
struct Scenario {
    name: String,
    passed: usize,
    failed: usize,
    scored: bool,
}

/// A whole run of a suite.
#[derive(Debug)]
struct Report {
    scenarios: Vec<Scenario>,
    results: tempfile::TempDir,
    ended_well: bool,
}

impl Suite {
    const fn program(self) -> &'static str {
        match self {
            Self::Stable => "node_modules/conformance-0.1/dist/index.js",
            Self::Next => "node_modules/conformance-0.2/dist/index.js",
        }
    }

    async fn run(self, selection: &[&str]) -> Report {
        let server = Switchboard::with().builtin("conformance").start().await;
        let results = tempfile::tempdir().expect("a temporary directory can be made");
        let mut suite = node();
        suite
            .arg(installed(self.program()))
            .args(["server", "--url", &server.url("/mcp")])
            .args(selection)
            .arg("-o")
            .arg(results.path());
        let ran = run(suite).await;
        let (_, summary) = ran
            .stdout
            .split_once("=== SUMMARY ===")
            .expect("the suite sums up");
        let (summary, unscored) = summary.split_once("Not scored").unwrap_or((summary, ""));
        let unscored: Vec<_> = unscored
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1))
            .collect();
        let scenarios = summary.lines().filter_map(Scenario::read);
        let scenarios: Vec<_> = scenarios
            .map(|scenario| Scenario {
                scored: !unscored.contains(&scenario.name.as_str()),
                ..scenario
            })
            .collect();
        Report {
            scenarios,
            results,
            ended_well: ran.status.success(),
        }
    }
}

impl Scenario {
    /// Reads `✓ name: 3 passed, 0 failed`.
    fn read(line: &str) -> Option<Self> {
        let line = line.strip_prefix("✓ ").or(line.strip_prefix("✗ "))?;
        let (name, counts) = line.split_once(": ")?;
        let (passed, failed) = counts.split_once(" passed, ")?;
        Some(Self {
            name: name.to_owned(),
            passed: passed.parse().ok()?,
            failed: failed.strip_suffix(" failed")?.parse().ok()?,
            scored: true,
        })
    }

    /// What the suite wrote down about it; nothing if it threw.
    fn checks(&self, results: &Path) -> Vec<Value> {
        let prefix = format!("server-{}-2", self.name);
        let entries = std::fs::read_dir(results).expect("the results can be listed");
        let mine = entries
            .map(|entry| entry.expect("an entry can be read").path())
            .find(|path| {
                let name = path.file_name().and_then(|name| name.to_str());
                name.is_some_and(|name| name.starts_with(&prefix))
            });
        let Some(mine) = mine else { return Vec::new() };
        let text = std::fs::read(mine.join("checks.json")).expect("its checks are written");
        serde_json::from_slice(&text).expect("its checks are a list")
    }

    /// What speaks against it.
    fn complaints(&self, results: &Path) -> Vec<String> {
        let bad = |status: &str| status == "FAILURE" || status == "WARNING";
        let mut complaints: Vec<_> = self
            .checks(results)
            .iter()
            .filter(|check| check["status"].as_str().is_some_and(bad))
            .map(|check| format!("{}: {} {}", self.name, check["id"], check["errorMessage"]))
            .collect();
        if complaints.is_empty() && self.failed > 0 {
            complaints.push(format!("{}: it failed without saying why", self.name));
        }
        if self.passed == 0 {
            complaints.push(format!("{}: nothing in it was checked", self.name));
        }
        complaints
    }
}

impl Report {
    /// Every scored scenario holds, there are `count` of them, and so do `besides`.
    #[track_caller]
    fn holds(&self, count: usize, besides: &[&str]) {
        let scored = self.scenarios.iter().filter(|scenario| scenario.scored);
        assert_eq!(scored.count(), count, "scored scenarios");
        for name in besides {
            assert!(
                self.scenarios.iter().any(|scenario| scenario.name == *name),
                "{name} was not run"
            );
        }
        let complaints: Vec<_> = self
            .scenarios
            .iter()
            .filter(|scenario| scenario.scored || besides.contains(&scenario.name.as_str()))
            .flat_map(|scenario| scenario.complaints(self.results.path()))
            .collect();
        assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
        assert!(self.ended_well, "the suite ended with a failure");
    }
}

/// 2024-11-05 to 2025-11-25, all pages, as the published suite reads them.
#[tokio::test]
async fn the_published_suite_passes_whole() {
    let report = Suite::Stable.run(&["--suite", "all"]).await;

    report.holds(32, &["server-sse-polling", "json-schema-2020-12"]);
    let polling = report
        .scenarios
        .iter()
        .find(|scenario| scenario.name == "server-sse-polling")
        .expect("it was run");
    let checks = polling.checks(report.results.path());
    let statuses = checks.iter().map(|check| &check["status"]);
    let statuses: Vec<_> = statuses.filter(|status| *status != "INFO").collect();
    assert_eq!(statuses, ["SUCCESS"; 3], "{checks:?}");
}

/// 2025-06-18, all pages, as the coming suite reads them.
#[tokio::test]
async fn the_coming_suite_passes_for_2025_06_18() {
    let selection = ["--suite", "all", "--spec-version", "2025-06-18"];
    let report = Suite::Next.run(&selection).await;

    report.holds(27, &[]);
}

/// 2025-11-25, all pages: what the coming suite requires, and what it checks beyond that.
#[tokio::test]
async fn what_2025_11_25_requires_is_held() {
    let report = Suite::Next.run(&["--requirements", "2025-11-25"]).await;

    report.holds(30, &["server-session-lifecycle", "json-schema-2020-12"]);
}

/// 2026-07-28, all pages: what the coming suite requires, and what it checks beyond that.
#[tokio::test]
async fn what_2026_07_28_requires_is_held() {
    let report = Suite::Next.run(&["--requirements", "2026-07-28"]).await;

    let besides = [
        "json-schema-2020-12",
        "http-header-validation",
        "http-custom-header-server-validation",
        "tasks-lifecycle",
        "tasks-capability-negotiation",
        "tasks-wire-fields",
        "tasks-request-state-removal",
        "tasks-mrtr-input",
        "tasks-request-headers",
        "tasks-dispatch-and-envelope",
        "tasks-required-task-error",
        "tasks-mrtr-composition",
    ];
    report.holds(37, &besides);
    // This one the suite announces and does not check yet.
    let notifications = report
        .scenarios
        .iter()
        .find(|scenario| scenario.name == "tasks-status-notifications")
        .expect("it was run");
    let checks = notifications.checks(report.results.path());
    assert!(
        checks.iter().all(|check| check["status"] == "SKIPPED"),
        "{checks:?}"
    );
}
