//! Clients that people already have: the official SDKs of other languages, unchanged.
//!
//! Each driver lists, calls, follows progress, answers a form and a model's turn, reads, gets a
//! prompt, cancels and leaves; `tests/clients` holds them. Every step is one line of what happened.

use serde_json::Value;
use tokio::process::Command;

use crate::world::server::binary;
use crate::world::tools::{node, python, root, run};
use crate::world::{Switchboard, eventually};

/// The steps every driver takes, in order.
const STEPS: [&str; 10] = [
    "connect", "list", "call", "progress", "elicit", "sample", "resource", "prompt", "cancel",
    "close",
];

/// Another SDK's client.
#[derive(Clone, Copy, Debug)]
enum Sdk {
    /// The TypeScript SDK 1.x.
    TypeScript1,
    /// The TypeScript SDK 2.x.
    TypeScript2,
    /// The Python SDK 2.x.
    Python,
}

impl Sdk {
    fn driver(self, mode: &str) -> Command {
        let (mut command, script) = match self {
            Self::TypeScript1 => (node(), "typescript_v1.mjs"),
            Self::TypeScript2 => (node(), "typescript_v2.mjs"),
            Self::Python => (python(), "python_v2.py"),
        };
        command
            .arg(root().join("tests/clients").join(script))
            .args(["--mode", mode]);
        command
    }
}

/// Takes every step, all of which must succeed. Returns the negotiated version.
async fn all_steps(driver: Command) -> String {
    let ran = run(driver).await;
    let lines: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("the driver says JSON"))
        .collect();
    let failed: Vec<_> = lines.iter().filter(|line| line["ok"] != true).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let steps: Vec<_> = lines.iter().map(|line| &line["step"]).collect();
    assert_eq!(steps, STEPS);
    assert!(ran.status.success(), "{}", ran.status);
    let version = lines[0]["detail"]["protocol_version"].as_str();
    version.expect("a version is negotiated").to_owned()
}

/// Over HTTP, where nothing may be left once the client is gone.
async fn over_http(sdk: Sdk, mode: &str, path: &str) -> String {
    // A reader that left is noticed by writing to it, so a stream of its own heartbeats quickly.
    let setup = Switchboard::with().config("[streams]\nheartbeat = \"100ms\"");
    let server = setup.start().await;
    let mut driver = sdk.driver(mode);
    driver.args(["--url", &server.url(path)]);

    let version = all_steps(driver).await;

    eventually("no session, call or stream is left", || async {
        for gauge in ["mcp_active_sessions", "mcp_running_calls"] {
            if server.metric(gauge).await != 0.0 {
                return None;
            }
        }
        Some(())
    })
    .await;
    version
}

/// Over stdio, as a child of the client.
async fn over_stdio(sdk: Sdk, mode: &str) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let mut driver = sdk.driver(mode);
    driver
        .arg("--stdio")
        .arg(binary())
        .arg("stdio")
        .current_dir(directory.path());
    all_steps(driver).await
}

/// 2025-11-25 basic/lifecycle, basic/transports: the client most hosts have today.
#[tokio::test]
async fn the_typescript_sdk_1_works_over_http() {
    let version = over_http(Sdk::TypeScript1, "legacy", "/mcp").await;
    assert_eq!(version, "2025-11-25");
}

/// 2024-11-05 basic/transports, HTTP with SSE: any revision with a handshake may come over it.
#[tokio::test]
async fn the_typescript_sdk_1_works_over_http_sse() {
    let version = over_http(Sdk::TypeScript1, "sse", "/sse").await;
    assert_eq!(version, "2025-11-25");
}

/// 2025-11-25 basic/lifecycle: a client of both eras starts with the handshake by default.
#[tokio::test]
async fn the_typescript_sdk_2_works_with_a_handshake() {
    let version = over_http(Sdk::TypeScript2, "legacy", "/mcp").await;
    assert_eq!(version, "2025-11-25");
}

/// 2026-07-28 basic/transports/streamable-http: no session, questions in rounds.
#[tokio::test]
async fn the_typescript_sdk_2_works_without_a_handshake() {
    let version = over_http(Sdk::TypeScript2, "modern", "/mcp").await;
    assert_eq!(version, "2026-07-28");
}

/// 2026-07-28 basic/versioning: a client that asks first finds the newest revision.
#[tokio::test]
async fn the_typescript_sdk_2_finds_the_newest_revision_by_asking() {
    let version = over_http(Sdk::TypeScript2, "auto", "/mcp").await;
    assert_eq!(version, "2026-07-28");
}

/// 2025-11-25 basic/lifecycle, basic/transports.
#[tokio::test]
async fn the_python_sdk_works_with_a_handshake() {
    let version = over_http(Sdk::Python, "legacy", "/mcp").await;
    assert_eq!(version, "2025-11-25");
}

/// 2026-07-28 basic/transports/streamable-http.
#[tokio::test]
async fn the_python_sdk_works_without_a_handshake() {
    let version = over_http(Sdk::Python, "modern", "/mcp").await;
    assert_eq!(version, "2026-07-28");
}

/// 2026-07-28 basic/versioning.
#[tokio::test]
async fn the_python_sdk_finds_the_newest_revision_by_asking() {
    let version = over_http(Sdk::Python, "auto", "/mcp").await;
    assert_eq!(version, "2026-07-28");
}

/// 2024-11-05 basic/transports, HTTP with SSE.
#[tokio::test]
async fn the_python_sdk_works_over_http_sse() {
    let version = over_http(Sdk::Python, "sse", "/sse").await;
    assert_eq!(version, "2025-11-25");
}

/// 2025-11-25 basic/transports, stdio.
#[tokio::test]
async fn the_typescript_sdk_1_works_over_stdio() {
    let version = over_stdio(Sdk::TypeScript1, "legacy").await;
    assert_eq!(version, "2025-11-25");
}

/// 2026-07-28 basic/transports/stdio.
#[tokio::test]
async fn the_typescript_sdk_2_works_over_stdio_without_a_handshake() {
    let version = over_stdio(Sdk::TypeScript2, "modern").await;
    assert_eq!(version, "2026-07-28");
}

/// 2025-11-25 basic/transports, stdio.
#[tokio::test]
async fn the_python_sdk_works_over_stdio_with_a_handshake() {
    let version = over_stdio(Sdk::Python, "legacy").await;
    assert_eq!(version, "2025-11-25");
}

/// 2026-07-28 basic/transports/stdio: it asks on the pipe it then uses.
#[tokio::test]
async fn the_python_sdk_finds_the_newest_revision_over_stdio() {
    let version = over_stdio(Sdk::Python, "auto").await;
    assert_eq!(version, "2026-07-28");
}
