//! Coming back to a stream that broke off: nothing twice, nothing missing, nothing foreign.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::world::{Event, EventStream, NOTHING, Switchboard, Told as _, eventually};

const VERSION: &str = "2025-11-25";

fn countdown(from: u32, interval_ms: u32) -> Value {
    json!({"from": from, "interval_ms": interval_ms})
}

/// basic/transports (2025-11-25), resumability and redelivery.
#[tokio::test]
async fn a_dropped_stream_resumes_after_the_last_event_while_the_call_runs() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;
    let (id, mut stream) = session.stream_tool("countdown", countdown(30, 50)).await;
    let seen = stream.until_step(5).await;
    drop(stream);

    let last_seen = seen.last().expect("something was seen").id();
    let rest = session.listen(Some(last_seen)).await.rest().await;

    assert_eq!(rest.steps(), (6..=30).collect::<Vec<_>>());
    let (last, before) = rest.split_last().expect("the stream says something");
    assert_eq!(last.json()["id"], id);
    assert!(last.json().get("result").is_some(), "{last:?}");
    assert_eq!(before.answers(), NOTHING);
}

/// basic/transports (2025-06-18), resumability: there without a priming event too.
#[tokio::test]
async fn every_revision_of_the_transport_resumes_after_an_event() {
    let server = Switchboard::start().await;
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let session = server.session(version).await;
        let (id, mut stream) = session.stream_tool("countdown", countdown(12, 30)).await;
        let seen = stream.until_step(4).await;
        drop(stream);

        let last_seen = seen.last().expect("something was seen").id();
        let rest = session.listen(Some(last_seen)).await.rest().await;

        assert_eq!(rest.steps(), (5..=12).collect::<Vec<_>>(), "{version}");
        assert_eq!(rest.answers().len(), 1, "{version}");
        assert_eq!(rest.answers()[0]["id"], id, "{version}");
        assert!(!rest.iter().any(Event::is_priming));
    }
}

/// basic/transports (2025-11-25), resumability: an event id is a cursor in one stream.
#[tokio::test]
async fn a_replay_tells_of_its_own_stream_only() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;
    let (first_id, first) = session.stream_tool("countdown", countdown(4, 10)).await;
    let (second_id, second) = session.stream_tool("countdown", countdown(6, 10)).await;
    let (first, second) = (first.rest().await, second.rest().await);

    let again = session.listen(Some(first[0].id())).await.rest().await;

    assert_eq!(again, first[1..]);
    assert_eq!(again.answers()[0]["id"], first_id);
    assert_eq!(second.answers()[0]["id"], second_id);
    let ids = first.ids().into_iter().chain(second.ids());
    let unique = ids.collect::<BTreeSet<_>>();
    assert_eq!(unique.len(), first.len() + second.len(), "no id twice");
}

/// basic/transports (2025-11-25), resumability: never the events of another session.
#[tokio::test]
async fn an_event_id_of_another_session_is_unknown() {
    let server = Switchboard::start().await;
    let (owner, other) = (server.session(VERSION).await, server.session(VERSION).await);
    let (_, stream) = owner.stream_tool("countdown", countdown(3, 10)).await;
    let told = stream.rest().await;

    let stolen = other.get(Some(told[0].id())).await;

    assert_eq!(stolen.status(), 200);
    assert_eq!(EventStream::of(stolen).rest().await, []);
}

/// basic/transports (2025-11-25), resumability; silent on ids that are not known.
#[tokio::test]
async fn an_unknown_event_id_gives_an_empty_stream_that_ends() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;
    for unknown in ["made up", "s_99", "AAAAAAAAAAAA_3", "_", "0"] {
        let response = session.get(Some(unknown)).await;

        assert_eq!(response.status(), 200, "{unknown}");
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert!(kind.starts_with("text/event-stream"), "{unknown}");
        assert_eq!(EventStream::of(response).rest().await, [], "{unknown}");
    }
}

/// basic/transports (2025-11-25), resumability: a number that its stream never gave.
#[tokio::test]
async fn an_event_that_a_stream_never_told_is_unknown() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;
    let (_, stream) = session.stream_tool("countdown", countdown(3, 10)).await;
    let told = stream.rest().await;
    let (name, _) = told[0].id().rsplit_once('_').expect("a stream and a place");

    let never_told = session.listen(Some(&format!("{name}_99"))).await;

    assert_eq!(never_told.rest().await, []);
}

/// basic/transports (2025-11-25), resumability and redelivery.
#[tokio::test]
async fn a_stream_that_was_read_to_its_end_has_nothing_left() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;
    let (_, stream) = session.stream_tool("countdown", countdown(3, 10)).await;
    let told = stream.rest().await;

    let response = session.get(Some(told[told.len() - 1].id())).await;

    assert_eq!(
        response.status(),
        204,
        "a client that is told so stops coming"
    );
}

/// basic/transports (2025-11-25), sending messages: a closed connection is no cancellation.
#[tokio::test]
async fn a_client_that_leaves_finds_the_result_when_it_returns() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;
    let (id, mut stream) = session.stream_tool("countdown", countdown(10, 30)).await;
    let priming = stream.priming().await;
    stream.until_step(1).await;

    drop(stream);
    let finished = r#"mcp_requests_total{method="tools/call",era="session",outcome="ok"}"#;
    eventually("the call ends all the same", async || {
        (server.metric(finished).await == 1.0).then_some(())
    })
    .await;

    let told = session.listen(Some(priming.id())).await.rest().await;
    assert_eq!(told.steps(), (1..=10).collect::<Vec<_>>());
    assert_eq!(told.answers().len(), 1);
    assert_eq!(told.answers()[0]["id"], id);
    let line = r#"mcp_requests_total{method="tools/call",era="session",outcome="cancelled"}"#;
    assert_eq!(server.metric(line).await, 0.0);
}

/// basic/transports (2025-11-25), multiple connections: one message goes to one stream.
#[tokio::test]
async fn a_second_reader_of_a_running_call_takes_over_from_the_first() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;
    let (id, mut first) = session.stream_tool("countdown", countdown(30, 50)).await;
    let mut seen = first.until_step(5).await;

    let second = session.listen(Some(seen[0].id())).await;

    seen.extend(first.rest().await);
    let told = second.rest().await;
    assert_eq!(seen.answers(), NOTHING, "the answer goes to one reader");
    assert_eq!(told.steps(), (1..=30).collect::<Vec<_>>());
    assert_eq!(told.answers().len(), 1);
    assert_eq!(told.answers()[0]["id"], id);
}

/// basic/transports (2025-11-25), sending messages: a connection let go before the answer.
#[tokio::test]
async fn a_call_that_lets_its_connection_go_is_finished_on_a_later_one() {
    let server = Switchboard::with().builtin("conformance").start().await;
    let session = server.session(VERSION).await;

    let (id, first) = session.stream_tool("test_reconnection", json!({})).await;
    let told = first.rest().await;

    assert!(told[0].is_priming());
    assert_eq!(told.messages(), NOTHING, "nothing but when to come back");
    assert!(told.last().expect("it says when").retry.is_some());
    let rest = session.listen(Some(told[0].id())).await.rest().await;
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].json()["id"], id);
}

/// basic/transports (2025-06-18): these revisions have no polling.
#[tokio::test]
async fn a_client_that_cannot_poll_keeps_its_connection_to_the_answer() {
    let server = Switchboard::with().builtin("conformance").start().await;
    for version in ["2025-03-26", "2025-06-18"] {
        let session = server.session(version).await;

        let answer = session.tool("test_reconnection", json!({})).await;

        assert!(answer.tool_text().contains("completed"), "{version}");
    }
}

/// basic/transports (2025-11-25), resumability: the events of the standing stream are kept too.
#[tokio::test]
async fn a_standing_stream_resumes_after_its_last_event() {
    let server = Switchboard::with().builtin("conformance").start().await;
    let session = server.session(VERSION).await;
    let mut standing = session.listen(None).await;
    let priming = standing.priming().await;
    session.tool("test_trigger_tool_change", json!({})).await;
    let told = standing.until(Event::is_message).await;
    drop(standing);

    let mut resumed = session.listen(Some(priming.id())).await;

    let first = resumed.next().await.expect("it is told again");
    assert_eq!(first, told[0]);
    assert_eq!(first.method(), "notifications/tools/list_changed");
}

/// basic/transports (2025-11-25), sending messages: a closed connection is no cancellation.
#[tokio::test]
async fn a_client_that_leaves_before_there_is_a_stream_cancels_nothing() {
    let server = Switchboard::with()
        .config("[calls]\ngrace = \"20s\"")
        .start()
        .await;
    let session = server.session(VERSION).await;
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "countdown", "arguments": {"from": 10, "interval_ms": 100}}});
    let calling = session.post(&message);
    let running = eventually("the call runs", async || {
        (server.metric("mcp_running_calls").await == 1.0).then_some(())
    });

    tokio::select! {
        _ = calling => panic!("there is no answer yet"),
        () = running => {}
    }

    let line = |outcome: &str| {
        format!(r#"mcp_requests_total{{method="tools/call",era="session",outcome="{outcome}"}}"#)
    };
    eventually("the call ends all the same", async || {
        (server.metric(&line("ok")).await == 1.0).then_some(())
    })
    .await;
    assert_eq!(server.metric(&line("cancelled")).await, 0.0);
}

/// basic/transports (2025-11-25), resumability: what is no longer kept is not skipped in silence.
#[tokio::test]
async fn a_stream_of_which_too_much_was_missed_is_not_resumed_with_a_gap() {
    let server = Switchboard::with()
        .config("[streams]\nlog_entries = 5\nunacknowledged = 5")
        .start()
        .await;
    let session = server.session(VERSION).await;
    let (_, stream) = session.stream_tool("countdown", countdown(20, 5)).await;
    let told = stream.rest().await;
    assert_eq!(
        told.steps(),
        (1..=20).collect::<Vec<_>>(),
        "who listens hears all"
    );

    let from_the_start = session.listen(Some(told[0].id())).await.rest().await;
    let near_the_end = session.listen(Some(told[18].id())).await.rest().await;

    assert_eq!(from_the_start, []);
    assert_eq!(near_the_end, told[19..]);
}

/// basic/transports (2025-11-25), resumability: logs are kept for a time.
#[tokio::test]
async fn an_ended_stream_is_forgotten_after_its_time() {
    let server = Switchboard::with()
        .config("[streams]\nended_log_age = \"300ms\"\n[sessions]\npassivate_after = \"400ms\"")
        .start()
        .await;
    let session = server.session(VERSION).await;
    let (_, stream) = session.stream_tool("countdown", countdown(3, 5)).await;
    let told = stream.rest().await;

    eventually("nothing is told of it any more", async || {
        let again = session.listen(Some(told[0].id())).await.rest().await;
        again.is_empty().then_some(())
    })
    .await;

    let echo = session.tool("echo", json!({"text": "hi"})).await;
    assert_eq!(echo.tool_text(), "hi", "the session is as it was");
}

/// basic/utilities/cancellation (2025-11-25): it needs no connection of the call.
#[tokio::test]
async fn a_call_whose_connection_broke_can_be_cancelled() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;
    let (id, mut stream) = session
        .stream_tool("countdown", countdown(100_000, 20))
        .await;
    let priming = stream.priming().await;
    stream.until_step(2).await;
    drop(stream);

    let params = json!({"requestId": id});
    session.notify("notifications/cancelled", params).await;

    let told = session.listen(Some(priming.id())).await.rest().await;
    assert_eq!(told.answers(), NOTHING, "the stream ends without an answer");
    let steps = told.steps();
    assert_eq!(steps, (1..=steps.len() as u64).collect::<Vec<_>>());
    let last = told.last().expect("it made some steps").id();
    assert_eq!(session.get(Some(last)).await.status(), 204);
}
