//! Clients that hang up at every point of an answer, and cancel when a call is about to end.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::client::ACCEPT;
use crate::world::{Cluster, Stateless, eventually, within};

const VERSION: &str = "2025-11-25";
/// Clients at the same time.
const AT_ONCE: usize = 32;
/// Bytes between two points: a few hundred points in all.
const STEP: usize = 5;
/// Cancels that race with an end.
const RACES: u64 = 300;

fn post(headers: &str, message: &serde_json::Value) -> Vec<u8> {
    let body = message.to_string();
    format!(
        "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         Accept: {ACCEPT}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Reads so many bytes of an answer, or all there are, and hangs up.
async fn hang_up_after(address: SocketAddr, request: &[u8], bytes: usize) -> usize {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(request).await.expect("it takes requests");
    let mut read = 0;
    let mut piece = [0; 4096];
    while read < bytes {
        let most = piece.len().min(bytes - read);
        match within("bytes", stream.read(&mut piece[..most])).await {
            Ok(0) | Err(_) => break,
            Ok(more) => read += more,
        }
    }
    read
}

async fn nothing_runs(cluster: &Cluster) {
    eventually("nothing runs any more", || async {
        (cluster.metric("mcp_running_calls").await == 0.0).then_some(())
    })
    .await;
}

/// 2026-07-28 basic/transports/streamable-http: a stream that breaks is a cancel.
#[tokio::test]
async fn a_stateless_client_may_hang_up_at_any_byte() {
    let cluster = Cluster::of(2).await;
    let client = Stateless::new(&cluster.url("/mcp"));
    let arguments = json!({"from": 1_000, "interval_ms": 2});
    let message = client.message(
        "tools/call",
        json!({"name": "countdown", "arguments": arguments, "_meta": {"progressToken": 1}}),
    );
    let headers = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\n\
                   Mcp-Name: countdown\r\n";
    let request = post(headers, &message);
    let points: Vec<usize> = (0..2_000).step_by(STEP).collect();
    let count = u32::try_from(points.len()).expect("they are few");

    stream::iter(points)
        .for_each_concurrent(AT_ONCE, |bytes| {
            let node = cluster[bytes / STEP % 2].address();
            let request = &request;
            async move {
                let read = hang_up_after(node, request, bytes).await;
                assert_eq!(read, bytes, "the call goes on");
            }
        })
        .await;

    nothing_runs(&cluster).await;
    let ended = |outcome: &str| {
        format!(r#"mcp_requests_total{{method="tools/call",era="stateless",outcome="{outcome}"}}"#)
    };
    let cancelled = cluster.metric(&ended("cancelled")).await;
    println!("{cancelled} of {count} calls were cancelled");
    assert_eq!(cluster.metric(&ended("ok")).await, 0.0);
    // Who hung up before it was read at all never called.
    assert!(cancelled >= f64::from(count) - f64::from(u32::try_from(AT_ONCE).unwrap()));
}

/// basic/transports (2025-11-25), resumability: a stream that breaks is no cancel.
#[tokio::test]
async fn a_client_with_a_session_may_hang_up_at_any_byte() {
    let cluster = Cluster::of(2).await;
    let session = cluster[0].server.session(VERSION).await;
    let headers = format!(
        "Mcp-Session-Id: {}\r\nMCP-Protocol-Version: {VERSION}\r\n",
        session.id
    );
    let request = |id: usize| {
        post(
            &headers,
            &json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
            "name": "countdown", "arguments": {"from": 8, "interval_ms": 5},
            "_meta": {"progressToken": id}}}),
        )
    };
    // Kept alive, it never ends by itself.
    let points = (0..1_500).step_by(STEP);

    stream::iter(points)
        .for_each_concurrent(AT_ONCE, |bytes| {
            let (node, request) = (cluster[bytes / STEP % 2].address(), request(10_000 + bytes));
            async move {
                hang_up_after(node, &request, bytes).await;
            }
        })
        .await;

    nothing_runs(&cluster).await;
    let cancelled = r#"mcp_requests_total{method="tools/call",era="session",outcome="cancelled"}"#;
    assert_eq!(cluster.metric(cancelled).await, 0.0);
    let answer = session.tool("echo", json!({"text": "on"})).await;
    assert_eq!(answer.tool_text(), "on");
}

/// basic/utilities/cancellation (2025-11-25): a cancel may come too late, at either node.
#[tokio::test]
async fn a_cancel_that_races_with_an_end_leaves_nothing() {
    let cluster = Cluster::of(2).await;
    let session = cluster[0].server.session(VERSION).await;
    let there = session.elsewhere(&cluster[1].url("/mcp"));

    stream::iter(0..RACES)
        .for_each_concurrent(AT_ONCE, |race| {
            let (session, there) = (&session, &there);
            async move {
                let id = session.next_id();
                let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
                    "name": "countdown", "arguments": {"from": 2, "interval_ms": 5},
                    "_meta": {"progressToken": id}}});
                let cancelling = async {
                    tokio::time::sleep(Duration::from_micros(race * 100)).await;
                    let cancel = json!({"requestId": id});
                    let from = if race % 2 == 0 { session } else { there };
                    from.notify("notifications/cancelled", cancel).await;
                };
                let (answer, ()) = tokio::join!(session.send(&call), cancelling);
                assert!(matches!(answer.status, 200 | 202), "{answer:?}");
            }
        })
        .await;

    nothing_runs(&cluster).await;
    let answer = session.tool("echo", json!({"text": "on"})).await;
    assert_eq!(answer.tool_text(), "on");
}
