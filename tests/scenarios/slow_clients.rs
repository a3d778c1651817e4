//! Clients that keep us waiting: silent, trickling, not reading, gone by half. Each is let go of
//! after its time, whatever it held is free again, and nobody else notices.

use serde_json::json;

use crate::world::wire::{Parts, Wire, session_call, stateless_call};
use crate::world::{Switchboard, eventually};

/// As many as shall not be noticed.
const CROWD: usize = 300;
/// More than any buffer between the server and a client that does not read.
const MANY: u32 = 1_000_000;

async fn server() -> Switchboard {
    Switchboard::with()
        .config(
            "[server.timeouts]\nheader_read = \"1s\"\nbody_idle = \"500ms\"\nbody_total = \"1500ms\"\n\
             write_stall = \"1s\"\nkeep_alive = \"1s\"\n\
             [streams]\nheartbeat = \"200ms\"\nstateless_heartbeat = \"200ms\"",
        )
        .start()
        .await
}

/// Waits until nobody but the one who asks is connected.
async fn everybody_is_gone(server: &Switchboard) {
    eventually("every connection is closed", || async {
        (server.metric("mcp_connections").await <= 1.0).then_some(())
    })
    .await;
}

async fn crowd(server: &Switchboard, bytes: &[u8]) -> Vec<Wire> {
    let mut crowd = Vec::with_capacity(CROWD);
    for _ in 0..CROWD {
        let mut wire = Wire::connect(server).await;
        wire.send(bytes).await;
        crowd.push(wire);
    }
    crowd
}

async fn a_good_client_is_served(server: &Switchboard) {
    let session = server.session("2025-11-25").await;
    let answer = session.tool("echo", json!({"text": "a"})).await;
    assert_eq!(answer.tool_text(), "a");
    let answer = server.stateless().tool("echo", json!({"text": "b"})).await;
    assert_eq!(answer.tool_text(), "b");
}

/// Ours: 300 slow clients of a kind cost a good client nothing and are gone after their time.
async fn a_crowd_is_let_go(bytes: &[u8]) {
    let server = server().await;
    let mut crowd = crowd(&server, bytes).await;

    a_good_client_is_served(&server).await;

    for wire in &mut crowd {
        wire.closed().await;
    }
    everybody_is_gone(&server).await;
    a_good_client_is_served(&server).await;
}

/// Ours: a connection that says nothing is closed after the time for a head.
#[tokio::test]
async fn silent_connections_are_let_go() {
    a_crowd_is_let_go(b"").await;
}

/// Ours: so is one that does not finish its head.
#[tokio::test]
async fn half_a_head_is_let_go() {
    a_crowd_is_let_go(b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n").await;
}

/// Ours: so is one that announces a body and does not send it.
#[tokio::test]
async fn half_a_body_is_let_go() {
    let request = Parts::post("{\"jsonrpc\"").with("Content-Length", "100");
    a_crowd_is_let_go(&request.bytes()).await;
}

/// Ours: and one that was served and stays without asking for more.
#[tokio::test]
async fn idle_connections_are_let_go() {
    a_crowd_is_let_go(&stateless_call("echo", &json!({"text": "a"})).bytes()).await;
}

/// Ours: time for a head and for a body is counted whole, so that a byte now and then buys none.
#[tokio::test]
async fn a_trickle_buys_no_time() {
    let server = server().await;
    let head = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n".to_vec();
    let body = Parts::post("{\"jsonrpc\"").with("Content-Length", "1000000");
    let unread = body.clone().line("POST /nowhere HTTP/1.1");
    for (name, start, drop, status) in [
        // The HTTP layer below us answers and counts nothing.
        ("a head", head, b"X-A: b\r\n".as_slice(), "408"),
        ("a body", body.bytes(), b" ", "408"),
        ("a body nobody reads", unread.bytes(), b" ", "404"),
    ] {
        let mut wire = Wire::connect(&server).await;
        wire.send(start).await;

        let said = wire.trickle(drop).await;

        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(
            said.starts_with(&format!("HTTP/1.1 {status} ")),
            "{name}: {said}"
        );
    }
    assert_eq!(
        server.metric(r#"mcp_refused_total{reason="slow"}"#).await,
        1.0
    );
    everybody_is_gone(&server).await;
}

/// 2026-07-28 basic/transports/streamable-http, cancellation; ours: a client that takes nothing
/// for the stall time is as good as gone.
#[tokio::test]
async fn stateless_calls_whose_clients_do_not_read_are_cancelled() {
    let server = server().await;
    let call = stateless_call("stream", &json!({"count": MANY})).bytes();
    let mut crowd = Vec::new();
    for _ in 0..50 {
        let mut wire = Wire::connect_narrow(&server).await;
        wire.send(&call).await;
        crowd.push(wire);
    }

    a_good_client_is_served(&server).await;

    let cancelled =
        r#"mcp_requests_total{method="tools/call",era="stateless",outcome="cancelled"}"#;
    eventually("all of them are cancelled", || async {
        (server.metric(cancelled).await == 50.0).then_some(())
    })
    .await;
    everybody_is_gone(&server).await;
    assert_eq!(server.metric(r#"mcp_open_streams{kind="call"}"#).await, 0.0);
    assert_eq!(server.metric("mcp_running_calls").await, 0.0);
}

/// basic/transports (2025-11-25), sending messages: a disconnection is no cancellation; ours: nor
/// is not reading. The call goes on into its log.
#[tokio::test]
async fn a_session_call_whose_client_does_not_read_goes_on_without_it() {
    let server = server().await;
    let session = server.session("2025-11-25").await;
    let call = session_call(&session.id, "stream", &json!({"count": 50_000}));
    let mut wire = Wire::connect_narrow(&server).await;
    wire.send(call.bytes()).await;
    wire.read_until("notifications/progress").await;

    let done = r#"mcp_requests_total{method="tools/call",era="session",outcome="ok"}"#;
    eventually("the call ends well", || async {
        (server.metric(done).await == 1.0).then_some(())
    })
    .await;

    everybody_is_gone(&server).await;
    assert_eq!(server.metric(r#"mcp_open_streams{kind="call"}"#).await, 0.0);
    assert_eq!(server.metric("mcp_running_calls").await, 0.0);
    assert_eq!(server.metric("mcp_active_sessions").await, 1.0);
}

/// RFC 9112 section 9.6: a client that has said all it has to say may still listen.
#[tokio::test]
async fn a_client_that_only_listens_from_now_on_hears_the_end_of_its_stream() {
    let server = server().await;
    let session = server.session("2025-11-25").await;
    let countdown = json!({"from": 3, "interval_ms": 300});
    for call in [
        stateless_call("countdown", &countdown),
        session_call(&session.id, "countdown", &countdown),
    ] {
        let mut wire = Wire::connect(&server).await;
        wire.send(call.bytes()).await;
        wire.half_close().await;

        let answer = wire.answer().await.expect("it is answered");

        assert_eq!(answer.header("content-type"), "text/event-stream");
        assert!(answer.text().contains("liftoff"), "{}", answer.text());
        wire.closed().await;
    }
    everybody_is_gone(&server).await;
}

/// basic/transports (2025-11-25), listening for messages; ours: a client that half closes its
/// standing stream keeps it, and one that vanishes does not.
#[tokio::test]
async fn a_standing_stream_lives_as_long_as_somebody_reads_it() {
    let server = server().await;
    let session = server.session("2025-11-25").await;
    let get = Parts::of("GET", "/mcp").with("Mcp-Session-Id", &session.id);
    let standing = r#"mcp_open_streams{kind="standing"}"#;
    let mut wire = Wire::connect(&server).await;
    wire.send(get.bytes()).await;
    wire.half_close().await;
    // Two heartbeats: it goes on.
    wire.read_until(":").await;
    wire.read_until("\n\n").await;
    assert_eq!(server.metric(standing).await, 1.0);

    drop(wire);

    eventually("its end is noticed", || async {
        (server.metric(standing).await == 0.0).then_some(())
    })
    .await;
    everybody_is_gone(&server).await;
}
