//! Servers behind the gateway that come and go.

use serde_json::json;

use crate::world::{Switchboard, eventually};

/// Ours: the gateway. What an upstream offers is read again when it is back, whatever its era and
/// however that is known.
#[tokio::test]
async fn an_upstream_that_was_away_offers_what_it_did() {
    for version in [
        "version = \"2025-11-25\"",
        "version = \"2026-07-28\"",
        "# It is asked.",
    ] {
        let mut upstream = Switchboard::with().same_port().start().await;
        let config = format!(
            "[endpoints.main]\npath = \"/mcp\"\nupstreams = [\"demo\"]\n[upstreams.demo]\nurl = {:?}\n{version}\ntimeouts.ping = \"100ms\"\n",
            upstream.url("/mcp")
        );
        let gateway = Switchboard::with().config(&config).keeps_log();
        let gateway = gateway.start().await;
        let client = gateway.stateless();
        let echo = || client.tool("demo.echo", json!({"text": "hello"}));
        assert_eq!(echo().await.tool_text(), "hello");
        upstream.crash().await;
        eventually("the gateway notices", async || {
            gateway.log().contains("an upstream is down").then_some(())
        })
        .await;

        upstream.start_again().await;

        eventually("it is there again", async || {
            (gateway.log().matches("an upstream is up").count() == 2).then_some(())
        })
        .await;
        assert_eq!(echo().await.tool_text(), "hello");
    }
}

/// Ours: the gateway. Nobody waits for ever for an upstream that takes connections and says nothing.
#[tokio::test]
async fn an_upstream_that_says_nothing_counts_as_down() {
    for version in ["2025-11-25", "2026-07-28"] {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let config = format!(
            "[endpoints.main]\npath = \"/mcp\"\nupstreams = [\"silent\"]\n[upstreams.silent]\nurl = \"http://{}/mcp\"\nversion = \"{version}\"\n\
             timeouts.connect = \"100ms\"\n",
            silent.local_addr().unwrap()
        );

        let gateway = Switchboard::with().config(&config).keeps_log();
        let gateway = gateway.start().await;

        eventually("the gateway gives it up", async || {
            gateway.log().contains("an upstream is down").then_some(())
        })
        .await;
    }
}
