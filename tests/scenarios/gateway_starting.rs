//! A gateway whose upstream is still on its way.

use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::world::{Switchboard, eventually};

const MAIN: &str = "[endpoints.main]\nupstreams = [\"demo\"]\n";

/// Ours: a name is unknown when its upstream does not have it, not before that has been reached.
#[tokio::test]
async fn a_call_that_comes_before_its_upstream_waits_for_it() {
    let upstream = Switchboard::start().await;
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", door.local_addr().unwrap());
    let config = format!("{MAIN}[upstreams.demo]\nurl = {url:?}\n");
    let gateway = Switchboard::with().config(&config).start().await;

    let client = gateway.stateless();
    let call = client.tool("demo.echo", json!({"text": "early"}));
    let opening = async {
        eventually("the call waits", async || {
            (gateway.metric("mcp_running_calls").await == 1.0).then_some(())
        })
        .await;
        while let Ok((mut caller, _)) = door.accept().await {
            let mut server = TcpStream::connect(upstream.address()).await.unwrap();
            tokio::spawn(async move {
                let _ended = tokio::io::copy_bidirectional(&mut caller, &mut server).await;
            });
        }
    };
    let answer = tokio::select! {
        answer = call => answer,
        () = opening => unreachable!("the door stays open"),
    };

    assert_eq!(answer.tool_text(), "early");
    let unknown = gateway.stateless().tool("demo.other", json!({})).await;
    assert_eq!(unknown.code(), -32602);
}

/// Ours: an upstream that need not be asked for its revision is still asked for what it has.
#[tokio::test]
async fn an_upstream_of_a_configured_revision_shows_what_it_has() {
    let upstream = Switchboard::start().await;
    for version in ["2025-11-25", "2026-07-28"] {
        let url = upstream.url("/mcp");
        let config = format!("{MAIN}[upstreams.demo]\nurl = {url:?}\nversion = {version:?}\n");
        let gateway = Switchboard::with().config(&config).start().await;

        let answer = gateway
            .stateless()
            .tool("demo.echo", json!({"text": version}))
            .await;

        assert_eq!(answer.tool_text(), version);
    }
}
