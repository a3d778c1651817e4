//! Our client against the servers of the official conformance suite, through the shipped command; and
//! a gateway before those servers, which is their client then, with the command before it.
//!
//! Authorization is left out: the command takes a token and does not get one.

use std::path::Path;

use serde_json::Value;

use crate::world::server::binary;
use crate::world::tools::{installed, node, python, root, run};

/// What drives our client: the command, or the command through a gateway.
const DRIVERS: [&str; 2] = ["conformance.sh", "conformance_gateway.sh"];
/// What a revision requires and what the suite checks beyond that, on its own wire.
const WITH_SESSIONS: [&str; 5] = [
    "initialize",
    "tools_call",
    "elicitation-sep1034-client-defaults",
    "sse-retry",
    "json-schema-2020-12-preservation",
];
const WITHOUT_SESSIONS: [&str; 8] = [
    "tools_call",
    "request-metadata",
    "http-standard-headers",
    "http-custom-headers",
    "http-invalid-tool-headers",
    "json-schema-ref-no-deref",
    "sep-2322-client-request-state",
    "json-schema-2020-12-preservation",
];

/// Runs a scenario of the suite, which must have checks that passed and none that failed or warned.
async fn passes(scenario: &str, version: &str, driver: &str) {
    let results = tempfile::tempdir().unwrap();
    let driver = root().join("tests/clients").join(driver);
    let mut suite = node();
    suite
        .arg(installed("node_modules/conformance-0.2/dist/index.js"))
        .args(["client", "--scenario", scenario, "--spec-version", version])
        .args(["--timeout", "60000", "--command"])
        .arg(driver)
        .arg("-o")
        .arg(results.path())
        .env("SWITCHBOARD_BINARY", binary())
        .env("PYTHON", python("python-v2").as_std().get_program());
    run(suite).await;
    let checks = checks(results.path());
    let of = |status: &str| {
        checks
            .iter()
            .filter(|check| check["status"] == status)
            .count()
    };
    assert!(!checks.is_empty(), "{scenario}");
    assert_eq!(of("FAILURE") + of("WARNING"), 0, "{scenario}: {checks:#?}");
    assert_ne!(of("SUCCESS"), 0, "{scenario}: {checks:#?}");
}

fn checks(results: &Path) -> Vec<Value> {
    let mut folders = std::fs::read_dir(results).unwrap();
    let folder = folders
        .next()
        .expect("the suite writes its checks")
        .unwrap();
    let text = std::fs::read_to_string(folder.path().join("checks.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What the suite requires of clients in this revision, authorization aside.
async fn required(version: &str) -> Vec<String> {
    let mut suite = node();
    suite
        .arg(installed("node_modules/conformance-0.2/dist/index.js"))
        .args(["list", "--requirements", version]);
    let listed = run(suite).await.stdout;
    let (_, of_clients) = listed.split_once("\nClient scenarios").unwrap();
    let (of_clients, _) = of_clients.split_once("\n\n").unwrap();
    let names = of_clients
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- "));
    names
        .filter(|name| !name.starts_with("auth/"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn nothing_that_is_required_of_clients_is_left_out() {
    for (version, run) in [
        ("2025-11-25", &WITH_SESSIONS[..]),
        ("2026-07-28", &WITHOUT_SESSIONS),
    ] {
        let required = required(version).await;
        assert!(!required.is_empty(), "{version}");
        for name in required {
            assert!(run.contains(&&*name), "{version} requires {name}");
        }
    }
}

#[tokio::test]
async fn the_client_and_the_gateway_conform_with_sessions() {
    for driver in DRIVERS {
        for scenario in WITH_SESSIONS {
            passes(scenario, "2025-11-25", driver).await;
        }
    }
}

#[tokio::test]
async fn the_client_and_the_gateway_conform_without_sessions() {
    for driver in DRIVERS {
        for scenario in WITHOUT_SESSIONS {
            passes(scenario, "2026-07-28", driver).await;
        }
    }
}
