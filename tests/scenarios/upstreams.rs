//! Servers behind the gateway that come and go.

use serde_json::json;

use crate::world::scripted::{Heard, Script, Scripted, of_stateless_era, said};
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

/// 2026-07-28 basic/index, `_meta`; W3C Trace Context: a trace goes on, in whichever way it came.
#[tokio::test]
async fn a_trace_comes_to_the_upstream_in_headers_and_in_the_message() {
    const THEIRS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const OTHER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = |heard: &Heard| match heard.method() {
        "tools/list" => Script::tools(&heard.message["id"], ["echo"]),
        "tools/call" => Script::Json(200, said(&heard.message["id"], "hello")),
        _other => Script::result(&heard.message["id"], &json!({})),
    };
    let of_session_era = Scripted::session(answer).await;
    let of_stateless_era = Scripted::start(of_stateless_era(answer)).await;
    let config = format!(
        "[upstreams.session]\nurl = {:?}\nversion = \"2025-11-25\"\n\
        [upstreams.stateless]\nurl = {:?}\nversion = \"2026-07-28\"\n",
        of_session_era.url, of_stateless_era.url
    );
    let gateway = Switchboard::with().config(&config).start().await;
    for (name, upstream) in [
        ("session.echo", &of_session_era),
        ("stateless.echo", &of_stateless_era),
    ] {
        let client = gateway.stateless();
        let call = |meta| {
            let params = json!({"name": name, "arguments": {}, "_meta": meta});
            client.request(&client.message("tools/call", params))
        };
        let of_both = json!({"traceparent": OTHER, "baggage": "k=v"});
        for (request, parent, baggage) in [
            (call(json!({})), None, None),
            (
                call(json!({})).header("traceparent", THEIRS),
                Some(THEIRS),
                None,
            ),
            (
                call(of_both).header("traceparent", THEIRS),
                Some(OTHER),
                Some("k=v"),
            ),
        ] {
            let answer = client.send(request).await;
            assert_eq!(answer.tool_text(), "hello");
            let calls = upstream.heard(|heard| heard.method() == "tools/call");
            let heard = calls.last().unwrap();
            let meta = &heard.message["params"]["_meta"];
            for (key, value) in [("traceparent", parent), ("baggage", baggage)] {
                assert_eq!(heard.header(key), value, "{name}: {heard:?}");
                assert_eq!(meta[key].as_str(), value, "{name}: {heard:?}");
            }
        }
        let session = gateway.session("2025-11-25").await;
        let message = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call",
            "params": {"name": name, "arguments": {}}});
        let request = session.request(reqwest::Method::POST);
        let request = request
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("tracestate", "a=1")
            .header("tracestate", "b=2");
        let answer = client.send(request.body(message.to_string())).await;
        assert_eq!(answer.tool_text(), "hello");
        let calls = upstream.heard(|heard| heard.method() == "tools/call");
        assert_eq!(calls.last().unwrap().header("tracestate"), Some("a=1,b=2"));
    }
}
