//! Idempotency keys: a call is made once, however often it is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use switchboard::server::{NoArguments, Server, Tool};

use crate::world::own::Own;
use crate::world::{Store, Switchboard};

const VERSION: &str = "2025-11-25";

fn call(tool: &str, arguments: Value, key: &str) -> Value {
    json!({
        "name": tool, "arguments": arguments, "_meta": {"switchboard/idempotencyKey": key},
    })
}

/// Ours: in both eras, and whoever sends it; another key is another call.
#[tokio::test]
async fn a_call_with_a_key_is_made_once() {
    let runs = Arc::new(AtomicU32::new(0));
    let counting = runs.clone();
    let tool = Tool::new("count", move |_, NoArguments {}| {
        let run = counting.fetch_add(1, Ordering::SeqCst) + 1;
        async move { Ok(format!("run {run}")) }
    });
    let own = Own::start(Server::builder("counts", "1").tool(tool)).await;
    let (session, stateless) = (own.session(VERSION).await, own.stateless());

    for _ in 0..3 {
        let params = call("count", json!({}), "first");
        let answer = session.call("tools/call", params.clone()).await;
        assert_eq!(answer.tool_text(), "run 1");
        let answer = stateless.call("tools/call", params).await;
        assert_eq!(answer.tool_text(), "run 1");
    }
    let other = stateless.call("tools/call", call("count", json!({}), "second"));
    assert_eq!(other.await.tool_text(), "run 2");
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

/// Ours: a key says what was called with what.
#[tokio::test]
async fn a_key_that_was_used_for_something_else_is_refused() {
    let server = Switchboard::start().await;
    let client = server.stateless();
    let first = call("echo", json!({"text": "a"}), "key");
    client.call("tools/call", first).await.result();

    let other = client.call("tools/call", call("echo", json!({"text": "b"}), "key"));
    assert_eq!(other.await.code(), -32_602);
    let malformed = client.call("tools/call", call("echo", json!({"text": "a"}), ""));
    assert_eq!(malformed.await.code(), -32_602);
}

/// Ours: a key outlives the process; work it cut is not made again.
#[tokio::test]
async fn a_key_is_remembered_after_a_crash() {
    let mut server = Switchboard::with().store(Store::Embedded).start().await;
    let done = call("echo", json!({"text": "done"}), "done");
    let cut = call("countdown", json!({"from": 100, "interval_ms": 100}), "cut");
    server
        .stateless()
        .call("tools/call", done.clone())
        .await
        .result();
    let mut running = cut.clone();
    running["_meta"]["progressToken"] = json!(1);
    let (_, mut stream) = server.stateless().stream("tools/call", running).await;
    stream.until_step(2).await;
    server.crash().await;
    server.start_again().await;

    let client = server.stateless();
    let again = client.call("tools/call", done).await;
    assert_eq!(again.tool_text(), "done");
    let unknown = client.call("tools/call", cut).await;
    assert_eq!(unknown.message()["error"]["data"]["outcome"], "unknown");
}
