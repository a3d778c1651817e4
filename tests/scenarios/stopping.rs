//! Stopping in order: running calls finish, clients are told where to go on. What a proxy sees of
//! it is in `draining`.

use serde_json::json;

use crate::world::{HttpSse, NOTHING, Store, Switchboard, Told as _, eventually};

const VERSION: &str = "2025-11-25";

/// basic/transports (2025-11-25), sending messages: `retry` before a connection is closed.
#[tokio::test]
async fn a_server_told_to_stop_finishes_what_runs() {
    let mut server = Switchboard::with().store(Store::Embedded).start().await;
    let session = server
        .session_with(VERSION, json!({"elicitation": {}}))
        .await;
    let mut standing = session.listen(None).await;
    standing.priming().await;
    let (id, mut call) = session.stream_tool("ask_name", json!({})).await;
    let question = call.message().await;

    server.tell_to_stop().await;

    let told = standing.rest().await;
    assert_eq!(told.messages(), NOTHING);
    assert!(
        told.last()
            .expect("it says when to come back")
            .retry
            .is_some()
    );
    let result = json!({"action": "accept", "content": {"name": "Ada"}});
    session.answer(&question, result).await;
    let rest = call.rest().await;
    assert_eq!(
        rest.answers()[0]["id"],
        id,
        "the call is answered all the same"
    );
    assert_eq!(
        rest.answers()[0]["result"]["content"][0]["text"],
        "Hello, Ada!"
    );
    assert_eq!(server.ended().await.code(), Some(0));

    server.start_again().await;
    let session = session.elsewhere(&server.url("/mcp"));
    let answer = session.tool("echo", json!({"text": "still here"})).await;
    assert_eq!(answer.tool_text(), "still here");
}

/// basic/transports (2025-11-25), resumability: a call that was cut has an honest end.
#[tokio::test]
async fn a_call_that_outlasts_the_drain_is_cut_and_ends_honestly_after_the_restart() {
    let mut server = Switchboard::with()
        .store(Store::Embedded)
        .config("[server.timeouts]\ndrain = \"200ms\"")
        .start()
        .await;
    let session = server.session(VERSION).await;
    let arguments = json!({"from": 100_000, "interval_ms": 20});
    let (id, mut call) = session.stream_tool("countdown", arguments).await;
    let priming = call.priming().await;
    call.until_step(1).await;

    let status = server.stop().await;

    assert_eq!(status.code(), Some(0));
    let seen = call.rest().await;
    assert_eq!(seen.answers(), NOTHING);
    server.start_again().await;
    let session = session.elsewhere(&server.url("/mcp"));
    let told = session.listen(Some(priming.id())).await.rest().await;
    let steps = told.steps();
    assert_eq!(steps, (1..=steps.len() as u64).collect::<Vec<_>>());
    assert_eq!(told.answers().len(), 1);
    assert_eq!(told.answers()[0]["id"], id);
    assert_eq!(told.answers()[0]["error"]["code"], -32603);
    assert_eq!(told.answers()[0]["error"]["data"]["outcome"], "unknown");
}

/// basic/transports (2025-11-25), resumability: a restart loses no standing event.
#[tokio::test]
async fn a_standing_stream_goes_on_after_a_restart() {
    let mut server = Switchboard::with().store(Store::Embedded).start().await;
    let session = server.session(VERSION).await;
    let uri = json!({"uri": "clock://now"});
    session.call("resources/subscribe", uri).await.result();
    let mut standing = session.listen(None).await;
    let priming = standing.priming().await;
    let mut told = vec![standing.next().await.expect("the clock is told")];

    server.tell_to_stop().await;
    told.extend(standing.rest().await);
    assert!(
        told.pop()
            .expect("it says when to come back")
            .retry
            .is_some()
    );
    server.ended().await;
    server.start_again().await;

    let session = session.elsewhere(&server.url("/mcp"));
    let mut resumed = session.listen(Some(priming.id())).await;
    for event in &told {
        assert_eq!(resumed.next().await.as_ref(), Some(event), "told again");
    }
    let live = resumed.next().await.expect("the subscription still stands");
    assert_eq!(live.method(), "notifications/resources/updated");
}

/// basic/transports (2024-11-05): a call over HTTP+SSE is finished before its stream ends.
#[tokio::test]
async fn a_client_of_http_sse_gets_the_answer_of_a_running_call_before_the_end() {
    let mut server = Switchboard::start().await;
    let capabilities = json!({"elicitation": {}});
    let (mut client, _) = HttpSse::open(&server, "2025-06-18", capabilities).await;
    let id = client
        .request("tools/call", json!({"name": "ask_name"}))
        .await;
    let question = client.stream.message().await;

    server.tell_to_stop().await;
    let result = json!({"action": "decline"});
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": result});
    client.accepted(&answer).await;

    let rest = client.stream.rest().await;
    assert_eq!(rest.answers().len(), 1);
    assert_eq!(rest.answers()[0]["id"], id);
    assert_eq!(server.ended().await.code(), Some(0));
}

/// basic/transports (2025-11-25), sending messages: a call that is no stream yet is finished too.
#[tokio::test]
async fn a_call_within_its_grace_is_finished_before_the_end() {
    let mut server = Switchboard::with()
        .config("[calls]\ngrace = \"2s\"")
        .start()
        .await;
    let session = server.session(VERSION).await;
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "countdown", "arguments": {"from": 8, "interval_ms": 1_000}}});
    let calling = session.send(&message);
    let stopping = async {
        eventually("the call runs", async || {
            (server.metric("mcp_running_calls").await == 1.0).then_some(())
        })
        .await;
        server.tell_to_stop().await;
    };

    let (answer, ()) = tokio::join!(calling, stopping);

    assert!(answer.tool_text().contains("liftoff"));
    assert_eq!(server.ended().await.code(), Some(0));
}

/// An operator who is in a hurry: the second signal does not wait for what runs.
#[tokio::test]
async fn a_server_told_twice_to_stop_does_not_wait() {
    let mut server = Switchboard::start().await;
    let session = server
        .session_with(VERSION, json!({"elicitation": {}}))
        .await;
    let (_, mut call) = session.stream_tool("ask_name", json!({})).await;
    call.message().await;
    server.tell_to_stop().await;
    server.refuses_connections().await;

    server.tell_to_stop().await;

    assert_eq!(server.ended().await.code(), Some(0));
    assert_eq!(call.rest().await.answers(), NOTHING);
}
