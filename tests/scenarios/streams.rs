//! When an answer is one object and when it is a stream, and what a stream is made of.

use serde_json::json;

use crate::world::{Event, EventStream, NOTHING, SESSION_ERA, Switchboard, Told as _};

const VERSION: &str = "2025-11-25";
/// The revisions that try to read the empty data of a priming event as JSON.
const WITHOUT_PRIMING: [&str; 3] = ["2024-11-05", "2025-03-26", "2025-06-18"];

/// basic/transports (2025-11-25), sending messages.
#[tokio::test]
async fn a_fast_answer_is_one_object() {
    let server = Switchboard::with()
        .config("[calls]\ngrace = \"20s\"")
        .start()
        .await;
    for version in SESSION_ERA {
        let session = server.session(version).await;

        // It has nothing to say on its way, however long it takes.
        let arguments = json!({"from": 3, "interval_ms": 20});
        let answer = session.tool("countdown", arguments).await;

        assert_eq!(
            answer.header("content-type"),
            "application/json",
            "{version}"
        );
        assert!(answer.tool_text().contains("liftoff"));
    }
}

/// basic/transports (2025-11-25), sending messages: polling begins with a priming event.
#[tokio::test]
async fn a_call_that_outlives_the_grace_becomes_a_stream_that_can_be_resumed() {
    let server = Switchboard::with()
        .config("[calls]\ngrace = \"20ms\"")
        .start()
        .await;
    let session = server.session(VERSION).await;

    let arguments = json!({"from": 2, "interval_ms": 500});
    let answer = session.tool("countdown", arguments).await;

    assert!(answer.is_stream());
    assert_eq!(answer.header("x-accel-buffering"), "no");
    assert_eq!(answer.header("mcp-session-id"), session.id);
    let events = answer.events();
    assert_eq!(events.len(), 2, "a priming event and the answer");
    assert!(events[0].is_priming());
    assert!(events[0].retry.is_some(), "it says how soon to come back");
    assert!(answer.tool_text().contains("liftoff"));
    assert!(events[1].id.is_some());
    assert_eq!(events[1].name, "message");
}

/// basic/transports (2025-06-18): an event without data is not part of these revisions.
#[tokio::test]
async fn earlier_revisions_get_no_priming_event() {
    let server = Switchboard::with()
        .config("[calls]\ngrace = \"20ms\"")
        .start()
        .await;
    for version in WITHOUT_PRIMING {
        let session = server.session(version).await;

        let arguments = json!({"from": 2, "interval_ms": 300});
        let answer = session.tool("countdown", arguments).await;

        assert!(answer.is_stream(), "{version}");
        let events = answer.events();
        assert_eq!(events.len(), 1, "{version}: the answer alone");
        assert!(events[0].is_message());
        assert!(events[0].id.is_some(), "{version}: it can be resumed");
        assert_eq!(events[0].retry, None);
    }
}

/// basic/transports (2025-11-25), sending messages: something precedes the answer.
#[tokio::test]
async fn a_call_that_says_something_first_is_a_stream_at_once() {
    let server = Switchboard::with()
        .config("[calls]\ngrace = \"20s\"")
        .start()
        .await;
    for version in SESSION_ERA {
        let session = server.session(version).await;

        let arguments = json!({"from": 3, "interval_ms": 0});
        let (id, stream) = session.stream_tool("countdown", arguments).await;
        let told = stream.rest().await;

        assert_eq!(told[0].is_priming(), version == VERSION, "{version}");
        assert_eq!(told.steps(), [1, 2, 3], "{version}");
        let last = told.last().expect("it says something").json();
        assert_eq!(last["id"], id, "the answer comes last and ends the stream");
        assert_eq!(told.answers().len(), 1);
    }
}

/// basic/transports (2025-11-25): a quiet stream shows that it lives, by comments.
#[tokio::test]
async fn a_quiet_stream_has_heartbeats() {
    let server = Switchboard::with()
        .config("[calls]\ngrace = \"20ms\"\n[streams]\nheartbeat = \"50ms\"")
        .start()
        .await;
    let session = server.session(VERSION).await;
    let mut standing = session.listen(None).await;
    standing.priming().await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "countdown", "arguments": {"from": 1, "interval_ms": 2_000}}});
    let mut call = EventStream::of(session.post(&call).await);
    call.priming().await;

    for stream in [&mut standing, &mut call] {
        stream.heartbeat().await;
        stream.heartbeat().await;
    }

    assert_eq!(call.rest().await.answers().len(), 1);
}

/// basic/transports (2025-11-25), listening for messages; none on revisions without polling.
#[tokio::test]
async fn a_standing_stream_opens_with_a_priming_event_where_there_are_any() {
    let server = Switchboard::with()
        .config("[streams]\nheartbeat = \"50ms\"")
        .start()
        .await;
    for version in SESSION_ERA {
        let session = server.session(version).await;
        let mut standing = session.listen(None).await;

        if version == VERSION {
            standing.priming().await;
        }
        standing.heartbeat().await;

        session.delete().await;
        assert_eq!(standing.rest().await, [], "{version}");
    }
}

/// basic/transports (2025-11-25), listening for messages; multiple connections.
#[tokio::test]
async fn a_second_standing_stream_takes_the_place_of_the_first() {
    let server = Switchboard::with().builtin("conformance").start().await;
    let session = server.session(VERSION).await;
    let mut first = session.listen(None).await;
    first.priming().await;

    let mut second = session.listen(None).await;
    second.priming().await;

    assert_eq!(first.rest().await, [], "the first ends");
    session.tool("test_trigger_tool_change", json!({})).await;
    let told = second.message().await;
    assert_eq!(told["method"], "notifications/tools/list_changed");
}

/// basic/transports (2025-11-25), listening for messages: no answers there.
#[tokio::test]
async fn a_standing_stream_carries_nothing_of_a_call() {
    let server = Switchboard::start().await;
    let session = server
        .session_with(VERSION, json!({"elicitation": {}}))
        .await;
    let mut standing = session.listen(None).await;
    standing.priming().await;

    let arguments = json!({"from": 3, "interval_ms": 10});
    let (_, counted) = session.stream_tool("countdown", arguments).await;
    counted.rest().await;
    let (_, mut asking) = session.stream_tool("ask_name", json!({})).await;
    let question = asking.message().await;
    session
        .answer(&question, json!({"action": "decline"}))
        .await;
    assert_eq!(asking.rest().await.answers().len(), 1);
    session.tool("echo", json!({"text": "hi"})).await;

    session.delete().await;
    assert_eq!(standing.rest().await.messages(), NOTHING);
}

/// basic/transports (2025-11-25), resumability: ids are unique in a session and follow each other.
#[tokio::test]
async fn no_two_events_of_a_session_have_the_same_id() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;
    let uri = json!({"uri": "clock://now"});
    session.call("resources/subscribe", uri).await.result();
    let mut standing = session.listen(None).await;
    let mut told = standing.until(Event::is_message).await;

    for _ in 0..5 {
        let arguments = json!({"from": 5, "interval_ms": 0});
        let (_, stream) = session.stream_tool("countdown", arguments).await;
        told.extend(stream.rest().await);
    }

    let mut ids = told.ids();
    assert_eq!(ids.len(), told.len(), "every event has one");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), told.len(), "and none has another's");
}

/// basic/transports (2025-11-25): open streams are bounded.
#[tokio::test]
async fn a_server_with_as_many_streams_as_it_may_have_refuses_one_more() {
    let server = Switchboard::with()
        .config("[streams]\nmax = 1")
        .start()
        .await;
    let (first, second) = (server.session(VERSION).await, server.session(VERSION).await);
    let mut standing = first.listen(None).await;
    standing.priming().await;

    let refused = second.get(None).await;

    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let answer = second.tool("echo", json!({"text": "hi"})).await;
    assert_eq!(answer.tool_text(), "hi", "calls need no such place");
    first.delete().await;
    standing.rest().await;
    crate::world::eventually("the place is free again", async || {
        (second.get(None).await.status() == 200).then_some(())
    })
    .await;
}
