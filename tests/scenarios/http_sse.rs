//! HTTP+SSE: a stream that says first where to post, and carries everything else.

use serde_json::{Value, json};

use crate::world::{HttpSse, SESSION_ERA, Switchboard, Told as _, eventually};

const VERSION: &str = "2024-11-05";

fn ping() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})
}

/// basic/transports (2024-11-05), HTTP with SSE.
#[tokio::test]
async fn a_stream_says_where_to_post_and_answers_there() {
    let server = Switchboard::start().await;
    let mut client = HttpSse::connect(&server).await;

    let params = json!({"protocolVersion": VERSION, "capabilities": {},
        "clientInfo": {"name": "scenario", "version": "1"}});
    let id = client.request("initialize", params).await;

    let event = client.stream.next().await.expect("the answer comes");
    assert_eq!((event.name.as_str(), &event.id), ("message", &None));
    assert_eq!(event.json()["id"], id);
    assert_eq!(event.json()["result"]["protocolVersion"], VERSION);
    let answer = client.tool("echo", json!({"text": "hello ☃"})).await;
    assert_eq!(answer["result"]["content"][0]["text"], "hello ☃");
    assert_eq!(server.metric("mcp_active_sessions").await, 1.0);
}

/// basic/lifecycle (each revision), version negotiation: it is independent of the transport.
#[tokio::test]
async fn every_revision_of_the_era_can_be_negotiated_over_http_sse() {
    let server = Switchboard::start().await;
    for version in SESSION_ERA {
        let (mut client, result) = HttpSse::open(&server, version, json!({})).await;

        assert_eq!(result["protocolVersion"], version);
        let answer = client.tool("echo", json!({"text": version})).await;
        assert_eq!(answer["result"]["content"][0]["text"], version);
    }
    let (_, result) = HttpSse::open(&server, "2026-07-28", json!({})).await;
    assert_eq!(result["protocolVersion"], "2025-11-25");
}

/// basic/transports (2024-11-05), HTTP with SSE: no resumption, so no ids and no priming.
#[tokio::test]
async fn a_stream_of_http_sse_has_messages_and_nothing_else() {
    let server = Switchboard::start().await;
    let (mut client, _) = HttpSse::open(&server, "2025-11-25", json!({})).await;

    let params = json!({"name": "countdown", "arguments": {"from": 5, "interval_ms": 5},
        "_meta": {"progressToken": 1}});
    let id = client.request("tools/call", params).await;
    let events = client.stream.until(|it| it.json()["id"] == id).await;

    assert_eq!(events.steps(), [1, 2, 3, 4, 5]);
    assert_eq!(events.len(), 6);
    assert!(
        events
            .iter()
            .all(|it| it.id.is_none() && it.retry.is_none())
    );
    assert!(events.iter().all(|it| it.name == "message"));
}

/// client/elicitation (2025-06-18); basic/transports (2024-11-05), HTTP with SSE.
#[tokio::test]
async fn a_question_is_asked_and_answered_over_http_sse() {
    let server = Switchboard::start().await;
    let capabilities = json!({"elicitation": {}});
    let (mut client, _) = HttpSse::open(&server, "2025-06-18", capabilities).await;
    let id = client
        .request("tools/call", json!({"name": "ask_name"}))
        .await;
    let question = client.stream.message().await;
    assert_eq!(question["method"], "elicitation/create");

    let result = json!({"action": "accept", "content": {"name": "Ada"}});
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": result});
    client.accepted(&answer).await;

    let answer = client.stream.message().await;
    assert_eq!(answer["id"], id);
    assert_eq!(answer["result"]["content"][0]["text"], "Hello, Ada!");
}

/// basic/utilities/cancellation (2024-11-05).
#[tokio::test]
async fn a_call_over_http_sse_can_be_cancelled() {
    let server = Switchboard::start().await;
    let (mut client, _) = HttpSse::open(&server, VERSION, json!({})).await;
    let params = json!({"name": "countdown", "arguments": {"from": 100_000, "interval_ms": 20}});
    let id = client.request("tools/call", params).await;

    let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": {"requestId": id}});
    client.accepted(&cancelled).await;

    eventually("the call stops", async || {
        (server.metric("mcp_running_calls").await == 0.0).then_some(())
    })
    .await;
    assert_eq!(
        client.call("ping", json!({})).await["result"],
        json!({}),
        "no answer came before"
    );
}

/// basic/transports (2024-11-05), HTTP with SSE: a session lives as long as its stream.
#[tokio::test]
async fn a_session_of_http_sse_ends_with_its_stream() {
    // A connection that is gone is noticed by writing to it.
    let server = Switchboard::with()
        .config("[streams]\nheartbeat = \"50ms\"")
        .start()
        .await;
    let (client, _) = HttpSse::open(&server, VERSION, json!({})).await;
    let params = json!({"name": "countdown", "arguments": {"from": 100_000, "interval_ms": 20}});
    client.request("tools/call", params).await;
    let HttpSse { url, stream, .. } = client;

    drop(stream);

    eventually("the session is gone, and its call with it", async || {
        let sessions = server.metric("mcp_active_sessions").await;
        let calls = server.metric("mcp_running_calls").await;
        (sessions == 0.0 && calls == 0.0).then_some(())
    })
    .await;
    let mut other = HttpSse::connect(&server).await;
    let own = std::mem::replace(&mut other.url, url);
    assert_eq!(other.post(ping().to_string()).await.status, 404);
    other.url = own;
    other.accepted(&ping()).await;
}

/// basic/transports (2024-11-05), HTTP with SSE.
#[tokio::test]
async fn a_post_that_is_not_a_message_of_a_session_is_refused() {
    let server = Switchboard::start().await;
    let (mut client, _) = HttpSse::open(&server, VERSION, json!({})).await;

    assert_eq!(client.post("{".to_owned()).await.status, 400);
    assert_eq!(
        client
            .post(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#.to_owned())
            .await
            .status,
        400
    );
    let own = client.url.clone();
    for path in [
        "/messages",
        "/messages?sessionId=",
        "/messages?sessionId=made-up",
    ] {
        client.url = server.url(path);
        assert_eq!(client.post(ping().to_string()).await.status, 404, "{path}");
    }

    client.url = own;
    assert_eq!(
        client.call("ping", json!({})).await["result"],
        json!({}),
        "it goes on"
    );
}

/// basic/transports (2025-11-25): the sessions of one transport are not those of another.
#[tokio::test]
async fn a_session_of_http_sse_is_not_found_over_streamable_http() {
    let server = Switchboard::start().await;
    let (client, _) = HttpSse::open(&server, VERSION, json!({})).await;
    let (_, id) = client
        .url
        .split_once("sessionId=")
        .expect("an id in the URL");
    let mut session = server.session("2025-11-25").await;
    let streamable = std::mem::replace(&mut session.id, id.to_owned());

    assert_eq!(session.send(&ping()).await.status, 404);
    assert_eq!(session.get(None).await.status(), 404);
    assert_eq!(session.delete().await.status, 404);

    let mut other = HttpSse::connect(&server).await;
    other.url = server.url(&format!("/messages?sessionId={streamable}"));
    assert_eq!(other.post(ping().to_string()).await.status, 404);
}

/// basic/transports (2024-11-05), HTTP with SSE, security warning.
#[tokio::test]
async fn a_foreign_page_can_neither_open_nor_post_over_http_sse() {
    let server = Switchboard::start().await;
    let (client, _) = HttpSse::open(&server, VERSION, json!({})).await;
    let http = crate::world::http_client();

    let open = http
        .get(server.url("/sse"))
        .header("accept", "text/event-stream")
        .header("origin", "https://evil.example");
    let post = http
        .post(&client.url)
        .header("content-type", "application/json")
        .header("origin", "https://evil.example")
        .body(ping().to_string());

    assert_eq!(open.send().await.unwrap().status(), 403);
    assert_eq!(post.send().await.unwrap().status(), 403);
}

/// basic/lifecycle (2024-11-05), initialization.
#[tokio::test]
async fn a_session_of_http_sse_begins_with_a_handshake_and_has_one() {
    let server = Switchboard::start().await;
    let mut client = HttpSse::connect(&server).await;

    let early = client.call("tools/list", json!({})).await;
    assert_eq!(early["error"]["code"], -32600);
    assert_eq!(client.call("ping", json!({})).await["result"], json!({}));
    let params = json!({"protocolVersion": VERSION, "capabilities": {},
        "clientInfo": {"name": "scenario", "version": "1"}});
    let first = client.call("initialize", params.clone()).await;
    assert!(first.get("result").is_some());
    let second = client.call("initialize", params).await;

    assert_eq!(second["error"]["code"], -32600);
    assert_eq!(server.metric("mcp_active_sessions").await, 1.0);
}

/// basic (2025-03-26), batching; basic/transports (2024-11-05), HTTP with SSE.
#[tokio::test]
async fn a_batch_over_http_sse_is_answered_where_the_revision_has_them() {
    let server = Switchboard::start().await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": "a", "method": "ping"},
        {"jsonrpc": "2.0", "id": "b", "method": "ping"},
    ])
    .to_string();
    for version in ["2024-11-05", "2025-03-26"] {
        let (mut client, _) = HttpSse::open(&server, version, json!({})).await;
        assert_eq!(client.post(batch.clone()).await.status, 202, "{version}");

        let mut ids = Vec::new();
        while ids.len() < 2 {
            // All answers together or one after the other: the specification leaves it open.
            match client.stream.message().await {
                Value::Array(answers) => ids.extend(answers.into_iter().map(|it| it["id"].clone())),
                answer => ids.push(answer["id"].clone()),
            }
        }
        ids.sort_by_key(ToString::to_string);
        assert_eq!(ids, [json!("a"), json!("b")], "{version}");
    }
    for version in ["2025-06-18", "2025-11-25"] {
        let (client, _) = HttpSse::open(&server, version, json!({})).await;

        assert_eq!(client.post(batch.clone()).await.status, 400, "{version}");
    }
}
