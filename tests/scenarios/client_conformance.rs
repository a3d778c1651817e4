//! Our client against the servers of the official conformance suite, through the shipped command.
//!
//! Authorization is left out: the command takes a token and does not get one.

use std::path::Path;

use serde_json::Value;

use crate::world::server::binary;
use crate::world::tools::{installed, node, python, root, run};

/// Runs a scenario of the suite, which must have checks that passed and none that failed or warned.
async fn passes(scenario: &str, version: &str) {
    let results = tempfile::tempdir().unwrap();
    let driver = root().join("tests/clients/conformance.sh");
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

#[tokio::test]
async fn the_client_conforms_with_sessions() {
    for scenario in [
        "initialize",
        "tools_call",
        "elicitation-sep1034-client-defaults",
        "sse-retry",
    ] {
        passes(scenario, "2025-11-25").await;
    }
}

#[tokio::test]
async fn the_client_conforms_without_sessions() {
    for scenario in [
        "tools_call",
        "request-metadata",
        "http-standard-headers",
        "http-custom-headers",
        "http-invalid-tool-headers",
        "json-schema-ref-no-deref",
        "sep-2322-client-request-state",
    ] {
        passes(scenario, "2026-07-28").await;
    }
}
