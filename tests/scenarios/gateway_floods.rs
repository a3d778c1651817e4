//! An upstream that says more at once than is taken from a gateway.

use std::path::Path;

use serde_json::json;

use crate::world::process::{memory, memory_most};
use crate::world::wire::{Wire, stateless_call};
use crate::world::{Switchboard, eventually};

const MAIN: &str = "[endpoints.main]\nupstreams = [\"demo\"]\n";

/// Ours: what an upstream says on a request's own stream waits for a client that is slower.
#[tokio::test]
async fn a_flood_of_progress_arrives_whole() {
    const EVENTS: usize = 20_000;
    let upstream = Switchboard::start().await;
    for version in ["2025-11-25", "2026-07-28"] {
        let url = upstream.url("/mcp");
        let config = format!("{MAIN}[upstreams.demo]\nurl = {url:?}\nversion = {version:?}\n");
        let gateway = Switchboard::with().config(&config).start().await;
        let client = gateway.session("2025-11-25").await;

        let arguments = json!({"count": EVENTS, "interval_us": 0});
        let (_, stream) = client.stream_tool("demo.stream", arguments).await;
        let said = stream.rest().await;

        let progress = |event: &&_| is_progress(event);
        assert_eq!(said.iter().filter(progress).count(), EVENTS, "{version}");
    }
}

/// Ours: a pipe waits for nobody, so what a slow client has not taken is kept up to a bound.
#[tokio::test]
async fn a_flood_of_large_notices_costs_little_though_its_client_does_not_read() {
    const COST_MAX: u64 = 128 << 20;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/faulty.py");
    let command = json!(["python3", script, "session"]);
    let config = format!(
        "{MAIN}[upstreams.demo]\ncommand = {command}\n[server.timeouts]\nwrite_stall = \"10s\"\n"
    );
    let gateway = Switchboard::with().config(&config).start().await;
    let client = gateway.stateless();
    eventually("it is listed", async || {
        let tools = client.call("tools/list", json!({})).await.result();
        (tools["tools"] != json!([])).then_some(())
    })
    .await;
    let before = memory(gateway.pid());

    let mut wire = Wire::connect_narrow(&gateway).await;
    wire.send(stateless_call("demo.tells_much", &json!({})).bytes())
        .await;
    let cancelled = r#"mcp_upstream_requests_total{upstream="demo",end="cancelled"}"#;
    eventually("its client is as good as gone", async || {
        (gateway.metric(cancelled).await == 1.0).then_some(())
    })
    .await;

    let most = memory_most(gateway.pid());
    println!("-- memory: {before} bytes, at most {most}");
    assert!(most - before < COST_MAX, "{before} became {most}");
}

fn is_progress(event: &crate::world::Event) -> bool {
    event.data.as_ref().is_some_and(|data| !data.is_empty())
        && event.method() == "notifications/progress"
}
