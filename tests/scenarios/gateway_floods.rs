//! An upstream that says more at once than is taken from a gateway.

use serde_json::json;

use crate::world::Switchboard;

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

fn is_progress(event: &crate::world::Event) -> bool {
    event.data.as_ref().is_some_and(|data| !data.is_empty())
        && event.method() == "notifications/progress"
}
