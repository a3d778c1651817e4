//! Clients that people already have, unchanged: the official SDKs of other languages and what stands on them.
//!
//! Each driver lists, calls, follows progress, answers a form and a model's turn, reads, gets a
//! prompt, cancels and leaves, as far as its client can (`client_table.rs`); `tests/clients` holds
//! them. Every step is one line of what happened. The official Rust SDK is in `rmcp_client.rs`.

use std::path::Path;
use std::process;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::client_table::Opening::{Asking, Handshake, Without};
use crate::client_table::Way::{Http, HttpSse, Stdio};
use crate::client_table::{CLIENTS, Client, Driver, Way};
use crate::world::server::binary;
use crate::world::tools::{installed, node, python, root, run};
use crate::world::{Switchboard, eventually, within};

/// Every client that can come this way takes every step it can.
async fn all_work(way: Way) {
    for client in &CLIENTS {
        match client.driver {
            Some(driver) if client.comes(way) => match way {
                Http(_) => over_http(client, driver, way, "/mcp").await,
                HttpSse => over_http(client, driver, way, "/sse").await,
                Stdio(_) => over_stdio(client, driver, way).await,
            },
            Some(_) | None => {}
        }
    }
}

/// The program that drives the client, up to where the server is.
pub fn command(client: &Client, driver: Driver, way: Way) -> Command {
    let (mut command, script) = match driver {
        Driver::Node(script) => (node(), script),
        Driver::Python(environment, script) => (python(environment), script),
    };
    command
        .arg(root().join("tests/clients").join(script))
        .args(["--mode", way.mode()]);
    let without = client.without();
    if !without.is_empty() {
        command.args(["--without", &without.join(",")]);
    }
    command
}

/// Takes the steps, all of which must succeed.
pub async fn takes_its_steps(client: &Client, way: Way, driver: Command) {
    let lines = steps_of(driver).await;

    let who = format!("{} {} by {way:?}", client.name, client.version);
    let failed: Vec<_> = lines.iter().filter(|line| line["ok"] != true).collect();
    assert!(failed.is_empty(), "{who}: {failed:#?}");
    let steps: Vec<_> = lines.iter().map(|line| &line["step"]).collect();
    assert_eq!(steps, client.steps(), "{who}");
    let version = &lines[0]["detail"]["protocol_version"];
    assert_eq!(version, way.revision(), "{who}");
}

/// What a driver says of each step. Nothing is left outside of a temporary directory.
pub async fn steps_of(mut driver: Command) -> Vec<Value> {
    let directory = TempDir::new().expect("a temporary directory can be made");
    driver.current_dir(&directory).env("HOME", directory.path());
    let ran = run(driver).await;
    let lines: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("the driver says JSON"))
        .collect();
    let well = lines.iter().all(|line| line["ok"] == true);
    assert_eq!(ran.status.success(), well, "{}", ran.status);
    lines
}

/// Over HTTP, where nothing may be left once the client is gone.
async fn over_http(client: &Client, driver: Driver, way: Way, path: &str) {
    // A reader that left is noticed by writing to it, so a stream of its own heartbeats quickly.
    let setup = Switchboard::with().config("[streams]\nheartbeat = \"100ms\"");
    let server = setup.start().await;
    let mut driver = command(client, driver, way);
    driver.args(["--url", &server.url(path)]);

    takes_its_steps(client, way, driver).await;

    let mut left = vec!["mcp_running_calls"];
    if client.takes("close") {
        left.push("mcp_active_sessions");
    }
    eventually("no session, call or stream is left", || async {
        for gauge in &left {
            if server.metric(gauge).await != 0.0 {
                return None;
            }
        }
        Some(())
    })
    .await;
}

/// Over stdio, as a child of the client.
async fn over_stdio(client: &Client, driver: Driver, way: Way) {
    let mut driver = command(client, driver, way);
    driver.arg("--stdio").arg(binary()).arg("stdio");
    takes_its_steps(client, way, driver).await;
}

/// Has the Inspector call a tool of the server that is configured as `switchboard`.
async fn inspector_calls_what_is_configured(configuration: &Value, directory: &Path) {
    let file = directory.join("mcp.json");
    std::fs::write(&file, configuration.to_string()).expect("the configuration can be written");
    let mut inspector = node();
    inspector
        .arg(installed("node_modules/.bin/mcp-inspector"))
        .args(["--cli", "--format", "json", "--config"])
        .arg(&file)
        .args(["--server", "switchboard", "--method", "tools/call"])
        .args(["--tool-name", "echo", "--tool-arg", "text=hello"])
        .current_dir(directory)
        .env("HOME", directory);

    let ran = run(inspector).await;

    assert!(ran.status.success(), "{}", ran.status);
    let said: Value = serde_json::from_str(&ran.stdout).expect("it says JSON");
    assert_eq!(said["result"]["content"][0]["text"], "hello");
}

/// 2025-11-25 basic/lifecycle, basic/transports: what most hosts do today.
#[tokio::test]
async fn stock_clients_shake_hands_over_http() {
    all_work(Http(Handshake)).await;
}

/// 2026-07-28 basic/transports/streamable-http: no session, questions in rounds.
#[tokio::test]
async fn stock_clients_work_over_http_without_a_handshake() {
    all_work(Http(Without)).await;
}

/// 2026-07-28 basic/versioning: a client that asks first finds the newest revision.
#[tokio::test]
async fn stock_clients_find_the_newest_revision_by_asking_over_http() {
    all_work(Http(Asking)).await;
}

/// 2024-11-05 basic/transports, HTTP with SSE: any revision with a handshake may come over it.
#[tokio::test]
async fn stock_clients_shake_hands_over_http_sse() {
    all_work(HttpSse).await;
}

/// 2025-11-25 basic/transports, stdio.
#[tokio::test]
async fn stock_clients_shake_hands_over_stdio() {
    all_work(Stdio(Handshake)).await;
}

/// 2026-07-28 basic/transports/stdio.
#[tokio::test]
async fn stock_clients_work_over_stdio_without_a_handshake() {
    all_work(Stdio(Without)).await;
}

/// 2026-07-28 basic/versioning: they ask on the pipe they then use.
#[tokio::test]
async fn stock_clients_find_the_newest_revision_by_asking_over_stdio() {
    all_work(Stdio(Asking)).await;
}

/// What the welcome prints is a file that a host reads, as it stands.
#[tokio::test]
async fn a_stock_client_reads_the_configuration_that_the_welcome_prints() {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let mut server = Command::new(binary())
        .args(["--listen", "127.0.0.1:0", "--store", "memory:"])
        .current_dir(&directory)
        .stdin(process::Stdio::null())
        .stdout(process::Stdio::piped())
        .stderr(process::Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .expect("the server can be started");
    let welcome = server.stdout.take().expect("its output is piped");
    let mut welcome = BufReader::new(welcome).lines();
    let printed = within("the welcome", async {
        loop {
            let line = welcome.next_line().await.expect("it says text");
            let line = line.expect("a configuration is printed");
            if let Ok(printed) = serde_json::from_str(&line) {
                return printed;
            }
        }
    });

    inspector_calls_what_is_configured(&printed.await, directory.path()).await;
}

/// The same for a host that starts its servers: `docs/clients.md` shows this file.
#[tokio::test]
async fn a_stock_client_reads_the_configuration_that_starts_a_child() {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let child = json!({"command": binary(), "args": ["stdio"]});
    let configuration = json!({"mcpServers": {"switchboard": child}});

    inspector_calls_what_is_configured(&configuration, directory.path()).await;
}
