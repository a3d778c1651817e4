//! Batches: several messages in one body, in the revisions that have them.

use serde_json::{Value, json};

use crate::world::{Answer, SESSION_ERA, Switchboard, Told as _};

const WITH_BATCHES: [&str; 2] = ["2024-11-05", "2025-03-26"];
const WITHOUT_BATCHES: [&str; 2] = ["2025-06-18", "2025-11-25"];

/// The answers to a batch, one object or many, by id as text.
fn answers(answer: &Answer) -> Vec<(String, Value)> {
    let messages = if answer.is_stream() {
        answer.events().messages()
    } else {
        let array = serde_json::from_str(&answer.text).expect("an array of answers");
        let Value::Array(messages) = array else {
            panic!("not an array: {}", answer.text)
        };
        messages
    };
    let mut answers = messages
        .into_iter()
        .map(|it| (it["id"].to_string(), it))
        .collect::<Vec<_>>();
    answers.sort_by(|one, other| one.0.cmp(&other.0));
    answers
}

/// basic (2025-03-26), batching; basic/transports, sending messages.
#[tokio::test]
async fn every_request_of_a_batch_is_answered() {
    let server = Switchboard::start().await;
    for version in WITH_BATCHES {
        let session = server.session(version).await;

        let answer = session
            .send(&json!([
                {"jsonrpc": "2.0", "id": 1, "method": "ping"},
                {"jsonrpc": "2.0", "method": "notifications/unheard_of"},
                {"jsonrpc": "2.0", "id": 2, "method": "tools/call",
                    "params": {"name": "echo", "arguments": {"text": "hi"}}},
                {"jsonrpc": "2.0", "id": "3", "method": "no/such/method"},
                {"jsonrpc": "2.0", "id": "nobody asked", "result": {}},
            ]))
            .await;

        assert_eq!(answer.status, 200, "{version}");
        let answers = answers(&answer);
        assert_eq!(answers.len(), 3, "{version}: one for each request");
        assert_eq!(answers[0].0, "\"3\"");
        assert_eq!(answers[0].1["error"]["code"], -32601);
        assert_eq!(answers[1].1["result"], json!({}));
        assert_eq!(answers[2].1["result"]["content"][0]["text"], "hi");
    }
}

/// basic/transports (2025-03-26), sending messages: a batch with something to say is a stream.
#[tokio::test]
async fn a_batch_that_reports_progress_is_answered_on_one_stream() {
    let server = Switchboard::start().await;
    let session = server.session("2025-03-26").await;

    let answer = session
        .send(&json!([
            {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "countdown",
                "arguments": {"from": 3, "interval_ms": 5}, "_meta": {"progressToken": "t"}}},
            {"jsonrpc": "2.0", "id": 2, "method": "ping"},
        ]))
        .await;

    assert!(answer.is_stream());
    let events = answer.events();
    assert_eq!(events.steps(), [1, 2, 3]);
    assert!(
        events.messages().iter().all(Value::is_object),
        "one message each"
    );
    let mut ids = events.answers();
    ids.sort_by_key(|it| it["id"].to_string());
    assert_eq!(ids.len(), 2);
    assert_eq!((&ids[0]["id"], &ids[1]["id"]), (&json!(1), &json!(2)));
}

/// basic/transports (2025-03-26), sending messages: nothing to answer.
#[tokio::test]
async fn a_batch_of_notifications_and_answers_is_accepted() {
    let server = Switchboard::start().await;
    for version in WITH_BATCHES {
        let session = server.session(version).await;
        for batch in [
            json!([{"jsonrpc": "2.0", "method": "notifications/initialized"},
                {"jsonrpc": "2.0", "method": "notifications/unheard_of"}]),
            json!([{"jsonrpc": "2.0", "id": 9, "result": {}}]),
        ] {
            let answer = session.send(&batch).await;

            assert_eq!(
                (answer.status, answer.text.as_str()),
                (202, ""),
                "{version}"
            );
        }
    }
}

/// basic (2025-03-26), batching; JSON-RPC 2.0, batch.
#[tokio::test]
async fn an_empty_batch_is_no_message_in_any_revision() {
    let server = Switchboard::start().await;
    for version in SESSION_ERA {
        let session = server.session(version).await;

        let answer = session.send(&json!([])).await;

        assert_eq!((answer.status, answer.code()), (400, -32600), "{version}");
    }
}

/// basic/lifecycle (2025-03-26), initialization.
#[tokio::test]
async fn a_handshake_inside_a_batch_is_refused() {
    let server = Switchboard::start().await;
    let session = server.session("2025-03-26").await;

    let answer = session
        .send(&json!([
            {"jsonrpc": "2.0", "id": 1, "method": "ping"},
            {"jsonrpc": "2.0", "id": 2, "method": "initialize", "params": {
                "protocolVersion": "2025-03-26", "capabilities": {},
                "clientInfo": {"name": "scenario", "version": "1"}}},
        ]))
        .await;

    assert_eq!((answer.status, answer.code()), (400, -32600));
    assert_eq!(
        server.metric("mcp_active_sessions").await,
        1.0,
        "no session more"
    );
}

/// basic/transports (2025-06-18, 2025-11-25), sending messages: one message in one body.
#[tokio::test]
async fn a_batch_is_refused_where_the_revision_has_none() {
    let server = Switchboard::start().await;
    for version in WITHOUT_BATCHES {
        let session = server.session(version).await;
        let uri = json!({"uri": "clock://now"});
        let subscribe = json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe",
            "params": uri});

        let answer = session.send(&json!([subscribe])).await;

        assert_eq!((answer.status, answer.code()), (400, -32600), "{version}");
        let line = r#"mcp_requests_total{method="resources/subscribe",era="session",outcome="ok"}"#;
        assert_eq!(server.metric(line).await, 0.0, "nothing of it is done");
    }
}

/// JSON-RPC 2.0, batch: what is no message does not harm its neighbours.
#[tokio::test]
async fn a_broken_element_of_a_batch_is_refused_alone() {
    let server = Switchboard::start().await;
    let session = server.session("2025-03-26").await;

    let answer = session
        .send(&json!([
            7,
            {"jsonrpc": "2.0", "id": null, "method": "ping"},
            {"jsonrpc": "2.0", "id": 1, "method": "ping"},
            {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        ]))
        .await;

    assert_eq!(answer.status, 200);
    let told = answers(&answer);
    assert_eq!(told.len(), 4);
    let refused = told.iter().filter(|it| it.1["error"]["code"] == -32600);
    assert_eq!(
        refused.count(),
        3,
        "two are no requests, one repeats a running id"
    );
    assert_eq!(
        told.iter().filter(|it| it.1["result"] == json!({})).count(),
        1
    );
}

/// basic (2025-03-26), batching: a batch is bounded.
#[tokio::test]
async fn a_batch_of_more_than_a_hundred_messages_is_refused() {
    let server = Switchboard::start().await;
    let session = server.session("2025-03-26").await;
    let pings = |count: i64| {
        let ping = |id| json!({"jsonrpc": "2.0", "id": id, "method": "ping"});
        Value::Array((0..count).map(ping).collect())
    };

    let most = session.send(&pings(100)).await;
    let more = session.send(&pings(101)).await;

    assert_eq!(answers(&most).len(), 100);
    assert_eq!((more.status, more.code()), (400, -32600));
}
