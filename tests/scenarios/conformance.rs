//! The official conformance suite, in both published versions, with no failure expected: against a
//! server, and against a gateway before that server, which nobody must be able to tell from it.
//!
//! Its exit status alone is not believed: a scenario that was skipped passes there, and warnings do
//! not count. Here every scored scenario has checks that passed, none that failed or warned, and
//! their number is the one that the suite's lists promise. What no gateway can bring from one era
//! into another is listed check by check, with its reason.

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

/// A check that failed or warned.
#[derive(Debug)]
struct Complaint {
    check: String,
    what: String,
}

/// What the suite is run against.
#[derive(Debug)]
enum Tested {
    /// A server.
    Server,
    /// A gateway before that server, spoken to in this revision, or else in the one both find.
    Gateway(Option<&'static str>),
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

    async fn run(self, tested: Tested, selection: &[&str]) -> Report {
        let server = Switchboard::with().builtin("conformance").start().await;
        let gateway = match tested {
            Tested::Server => None,
            Tested::Gateway(version) => Some(gateway(&server, version).await),
        };
        let tested = gateway.as_ref().unwrap_or(&server);
        let results = tempfile::tempdir().expect("a temporary directory can be made");
        let mut suite = node();
        suite
            .arg(installed(self.program()))
            .args(["server", "--url", &tested.url("/mcp")])
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
    fn complaints(&self, results: &Path) -> Vec<Complaint> {
        let bad = |status: &str| status == "FAILURE" || status == "WARNING";
        let complaint = |check: &str, why: &str| Complaint {
            check: check.to_owned(),
            what: format!("{}: {check} {why}", self.name),
        };
        let mut complaints: Vec<_> = self
            .checks(results)
            .iter()
            .filter(|check| check["status"].as_str().is_some_and(bad))
            .map(|check| {
                let id = check["id"].as_str().unwrap_or_default();
                complaint(id, &check["errorMessage"].to_string())
            })
            .collect();
        if complaints.is_empty() && self.failed > 0 {
            complaints.push(complaint("", "it failed without saying why"));
        }
        if self.passed == 0 {
            complaints.push(complaint(&self.name, "nothing in it was checked"));
        }
        complaints
    }
}

impl Report {
    /// Every scored scenario holds, there are `count` of them, and so do `besides`.
    #[track_caller]
    fn holds(&self, count: usize, besides: &[&str]) {
        self.holds_but(count, besides, &[]);
        assert!(self.ended_well, "the suite ended with a failure");
    }

    /// The same, but for these checks, which must not hold.
    #[track_caller]
    fn holds_but(&self, count: usize, besides: &[&str], lacking: &[&str]) {
        let scored = self.scenarios.iter().filter(|scenario| scenario.scored);
        assert_eq!(scored.count(), count, "scored scenarios");
        for name in besides {
            assert!(
                self.scenarios.iter().any(|scenario| scenario.name == *name),
                "{name} was not run"
            );
        }
        let (lacks, complaints): (Vec<_>, Vec<_>) = self
            .scenarios
            .iter()
            .filter(|scenario| scenario.scored || besides.contains(&scenario.name.as_str()))
            .flat_map(|scenario| scenario.complaints(self.results.path()))
            .partition(|complaint| lacking.contains(&&*complaint.check));
        let complaints: Vec<_> = complaints.into_iter().map(|it| it.what).collect();
        assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
        for check in lacking {
            let is_lacking = lacks.iter().any(|complaint| complaint.check == *check);
            assert!(is_lacking, "{check} holds: it need not be listed");
        }
    }
}

/// A gateway with `server` as its only upstream, whose names it passes unchanged.
async fn gateway(server: &Switchboard, version: Option<&str>) -> Switchboard {
    let url = server.url("/mcp");
    let version = version.map_or(String::new(), |version| format!("version = {version:?}\n"));
    let config = format!(
        "[endpoints.main]\nupstreams = [\"suite\"]\n\
        [upstreams.suite]\nurl = {url:?}\nprefix = \"\"\n{version}"
    );
    Switchboard::with().config(&config).start().await
}

/// 2024-11-05 to 2025-11-25, all pages, as the published suite reads them.
#[tokio::test]
async fn the_published_suite_passes_whole() {
    let report = Suite::Stable.run(Tested::Server, &["--suite", "all"]).await;

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

#[tokio::test]
async fn the_published_suite_passes_whole_through_a_gateway() {
    let suite = Suite::Stable;
    let report = suite.run(Tested::Gateway(None), &["--suite", "all"]).await;

    // A connection that an upstream lets go is between those two: the gateway comes back to it by itself,
    // and its own client has nothing to poll.
    report.holds_but(32, &["json-schema-2020-12"], &["server-sse-polling"]);
    assert!(report.ended_well, "the suite ended with a failure");
}

async fn the_coming_suite_passes(tested: Tested) {
    let selection = ["--suite", "all", "--spec-version", "2025-06-18"];
    let report = Suite::Next.run(tested, &selection).await;

    report.holds(27, &[]);
}

async fn what_is_required_with_sessions_is_held(tested: Tested) {
    let selection = ["--requirements", "2025-11-25"];
    let report = Suite::Next.run(tested, &selection).await;

    report.holds(30, &["server-session-lifecycle", "json-schema-2020-12"]);
}

/// What 2026-07-28 adds to what it requires, but for tasks.
const BESIDES: [&str; 3] = [
    "json-schema-2020-12",
    "http-header-validation",
    "http-custom-header-server-validation",
];

/// 2025-06-18, all pages, as the coming suite reads them.
#[tokio::test]
async fn the_coming_suite_passes_for_2025_06_18() {
    the_coming_suite_passes(Tested::Server).await;
}

#[tokio::test]
async fn the_coming_suite_passes_for_2025_06_18_through_a_gateway() {
    the_coming_suite_passes(Tested::Gateway(None)).await;
}

/// 2025-11-25, all pages: what the coming suite requires, and what it checks beyond that.
#[tokio::test]
async fn what_2025_11_25_requires_is_held() {
    what_is_required_with_sessions_is_held(Tested::Server).await;
}

#[tokio::test]
async fn what_2025_11_25_requires_is_held_through_a_gateway() {
    what_is_required_with_sessions_is_held(Tested::Gateway(None)).await;
}

/// Nothing of the session era is lost before an upstream that knows no sessions.
#[tokio::test]
async fn what_2025_11_25_requires_is_held_before_an_upstream_without_sessions() {
    what_is_required_with_sessions_is_held(Tested::Gateway(Some("2026-07-28"))).await;
}

/// 2026-07-28, all pages: what the coming suite requires, and what it checks beyond that.
#[tokio::test]
async fn what_2026_07_28_requires_is_held() {
    let selection = ["--requirements", "2026-07-28"];
    let report = Suite::Next.run(Tested::Server, &selection).await;

    let tasks = [
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
    report.holds(37, &[&BESIDES[..], &tasks].concat());
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

/// The same, but for tasks: a gateway does not pass those of its upstreams yet.
#[tokio::test]
async fn what_2026_07_28_requires_is_held_through_a_gateway() {
    let selection = ["--requirements", "2026-07-28"];
    let report = Suite::Next.run(Tested::Gateway(None), &selection).await;

    report.holds(37, &BESIDES);
}

/// Before an upstream with sessions a little is lost, and no more than that.
#[tokio::test]
async fn what_2026_07_28_requires_is_held_before_an_upstream_with_sessions() {
    let lacking = [
        // With a session a question has no name: the gateway gives it one of its own, and the suite
        // looks for, and answers to, the one that the upstream would have given it.
        "sep-2322-elicitation-incomplete",
        "sep-2322-ignore-unexpected-params",
        // Up to 2025-11-25 no error says that the client lacks a capability: the tool runs, and tells
        // of it in its own words.
        "sep-2575-server-rejects-undeclared-capability",
        "sep-2575-missing-capability-http-400",
    ];
    let selection = ["--requirements", "2026-07-28"];
    let tested = Tested::Gateway(Some("2025-11-25"));
    let report = Suite::Next.run(tested, &selection).await;

    report.holds_but(37, &BESIDES, &lacking);
}
