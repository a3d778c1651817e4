//! Crashes: SIGKILL in the middle, a restart on the same directory, and clients that come back.

use serde_json::json;

use crate::world::{Event, EventStream, NOTHING, Session, Store, Switchboard, Told as _};

const VERSION: &str = "2025-11-25";

async fn durable() -> Switchboard {
    Switchboard::with().store(Store::Embedded).start().await
}

/// A long call that was running when its server was killed, and what its client saw of it.
struct CutCall {
    session: Session,
    id: i64,
    /// The priming event, and all events that arrived.
    seen: Vec<Event>,
}

impl CutCall {
    /// Starts a call that would take ten seconds and kills the server in the middle.
    async fn of(server: &mut Switchboard) -> Self {
        let session = server.session(VERSION).await;
        let (id, mut stream) = begin(&session).await;
        let mut seen = stream.until_step(8).await;
        server.crash().await;
        // What was on the way when the process died may still arrive.
        seen.extend(stream.rest().await);
        assert_eq!(seen.answers(), NOTHING, "the call was cut");
        Self { session, id, seen }
    }

    /// The same client, at the server that was started again.
    fn again(&self, server: &Switchboard) -> Session {
        self.session.elsewhere(&server.url("/mcp"))
    }

    /// Holds that `resumed`, which began after the event at `place`, gives every event once and in
    /// order, then one honest error, and then ends.
    fn assert_honest(&self, place: usize, resumed: &[Event]) {
        let (last, replayed) = resumed.split_last().expect("something is replayed");
        let missed = &self.seen[place + 1..];
        assert!(replayed.len() >= missed.len(), "nothing seen is forgotten");
        assert_eq!(
            &replayed[..missed.len()],
            missed,
            "told again as told first"
        );
        let first = place as u64 + 1;
        let steps = (first..first + replayed.len() as u64).collect::<Vec<_>>();
        assert_eq!(replayed.steps(), steps, "each step once, in order, no gap");
        assert_eq!(replayed.answers(), NOTHING);

        let error = last.json();
        assert_eq!(error["id"], self.id);
        assert_eq!(error["error"]["code"], -32603);
        assert_eq!(error["error"]["data"]["outcome"], "unknown");
        assert!(last.id.is_some(), "the end can be resumed from too");
    }
}

async fn begin(session: &Session) -> (i64, EventStream) {
    let arguments = json!({"from": 100, "interval_ms": 100});
    session.stream_tool("countdown", arguments).await
}

/// Holds that the server runs nothing and has run no tool since it was started.
async fn assert_nothing_ran(server: &Switchboard) {
    assert_eq!(server.metric("mcp_running_calls").await, 0.0);
    for outcome in ["ok", "cancelled", "error"] {
        let line = format!(
            r#"mcp_requests_total{{method="tools/call",era="session",outcome="{outcome}"}}"#
        );
        assert_eq!(server.metric(&line).await, 0.0, "{line}");
    }
}

/// basic/transports (2025-11-25), resumability and redelivery.
#[tokio::test]
async fn a_call_cut_by_a_crash_is_resumed_to_one_honest_error() {
    let mut server = durable().await;
    let cut = CutCall::of(&mut server).await;
    let priming = cut.seen[0].id().to_owned();

    server.start_again().await;
    let resumed = cut.again(&server).listen(Some(&priming)).await.rest().await;

    cut.assert_honest(0, &resumed);
    assert_nothing_ran(&server).await;
}

/// basic/transports (2025-11-25), resumability and redelivery: only what follows the last event.
#[tokio::test]
async fn a_call_cut_by_a_crash_is_resumed_from_its_middle() {
    let mut server = durable().await;
    let cut = CutCall::of(&mut server).await;
    let middle = 4;
    let last_seen = cut.seen[middle].id().to_owned();

    server.start_again().await;
    let resumed = cut.again(&server).listen(Some(&last_seen)).await;
    let resumed = resumed.rest().await;

    cut.assert_honest(middle, &resumed);
    assert_nothing_ran(&server).await;
}

/// basic/transports (2025-11-25), resumability and redelivery: the end was logged like any event.
#[tokio::test]
async fn the_honest_end_of_a_cut_call_is_the_same_each_time_it_is_read() {
    let mut server = durable().await;
    let cut = CutCall::of(&mut server).await;
    let priming = cut.seen[0].id().to_owned();
    server.start_again().await;
    let session = cut.again(&server);
    let first = session.listen(Some(&priming)).await.rest().await;

    let second = session.listen(Some(&priming)).await.rest().await;

    assert_eq!(second, first);
    let end = first.last().expect("it ended").id();
    assert_eq!(
        session.get(Some(end)).await.status(),
        204,
        "nothing is left"
    );
    assert_nothing_ran(&server).await;
}

/// basic/transports (2025-11-25), session management: a session outlives its process.
#[tokio::test]
async fn a_session_answers_after_a_crash_in_the_middle_of_its_call() {
    let mut server = durable().await;
    let cut = CutCall::of(&mut server).await;

    server.start_again().await;
    let session = cut.again(&server);
    let answer = session.tool("echo", json!({"text": "still here"})).await;

    assert_eq!(answer.tool_text(), "still here");
    // The id of the cut call is free: nothing runs under it any more.
    let again = json!({"jsonrpc": "2.0", "id": cut.id, "method": "ping"});
    assert_eq!(session.send(&again).await.result(), json!({}));
}

/// basic/transports (2025-11-25), resumability and redelivery.
#[tokio::test]
async fn two_clients_that_come_back_after_a_crash_hear_of_their_own_calls() {
    let mut server = durable().await;
    let (ada, alan) = (server.session(VERSION).await, server.session(VERSION).await);
    let (ada_id, mut ada_call) = begin(&ada).await;
    let (alan_id, mut alan_call) = begin(&alan).await;
    let ada_seen = ada_call.until_step(3).await;
    let alan_seen = alan_call.until_step(3).await;

    server.crash().await;
    server.start_again().await;

    for (session, id, seen, foreign) in [
        (&ada, ada_id, &ada_seen, &alan_seen),
        (&alan, alan_id, &alan_seen, &ada_seen),
    ] {
        let session = session.elsewhere(&server.url("/mcp"));
        let theirs = session.listen(Some(foreign[0].id())).await.rest().await;
        assert_eq!(theirs, [], "the other's stream is unknown here");
        let own = session.listen(Some(seen[0].id())).await.rest().await;
        assert_eq!(own.answers().len(), 1);
        assert_eq!(own.answers()[0]["id"], id);
    }
}

/// basic/transports (2025-11-25), resumability and redelivery.
#[tokio::test]
async fn a_client_that_comes_back_after_two_crashes_hears_one_end() {
    let mut server = durable().await;
    let cut = CutCall::of(&mut server).await;
    let priming = cut.seen[0].id().to_owned();
    server.start_again().await;
    server.crash().await;
    server.start_again().await;
    let first = cut.again(&server).listen(Some(&priming)).await;
    let first = first.rest().await;
    server.crash().await;

    server.start_again().await;
    let after_another = cut.again(&server).listen(Some(&priming)).await;
    let after_another = after_another.rest().await;

    cut.assert_honest(0, &first);
    assert_eq!(after_another, first);
    assert_nothing_ran(&server).await;
}

/// basic/transports (2025-11-25), resumability and redelivery: a finished call stays finished.
#[tokio::test]
async fn a_call_that_ended_before_the_crash_gives_its_result_after_it() {
    let mut server = durable().await;
    let session = server.session(VERSION).await;
    let arguments = json!({"from": 5, "interval_ms": 10});
    let (id, stream) = session.stream_tool("countdown", arguments).await;
    let told = stream.rest().await;

    server.crash().await;
    server.start_again().await;
    let session = session.elsewhere(&server.url("/mcp"));
    let resumed = session.listen(Some(told[0].id())).await.rest().await;

    assert_eq!(resumed, told[1..]);
    assert_eq!(resumed.answers()[0]["id"], id);
    assert!(resumed.answers()[0].get("error").is_none());
    assert_nothing_ran(&server).await;
}

/// basic/transports (2025-11-25), session management.
#[tokio::test]
async fn a_session_that_did_nothing_answers_after_a_crash() {
    let mut server = durable().await;
    let session = server.session(VERSION).await;

    server.crash().await;
    server.start_again().await;
    let session = session.elsewhere(&server.url("/mcp"));
    let answer = session.tool("echo", json!({"text": "hello"})).await;

    assert_eq!(answer.tool_text(), "hello");
    assert_eq!(server.metric("mcp_sessions_restored_total").await, 1.0);
}

/// basic/transports (2025-11-25), session management: an ended session stays ended.
#[tokio::test]
async fn a_session_deleted_before_a_crash_stays_deleted() {
    let mut server = durable().await;
    let session = server.session(VERSION).await;
    assert_eq!(session.delete().await.status, 204);

    server.crash().await;
    server.start_again().await;
    let session = session.elsewhere(&server.url("/mcp"));

    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    assert_eq!(session.send(&ping).await.status, 404);
    assert_eq!(session.get(None).await.status(), 404);
}

/// basic/transports (2025-11-25), listening for messages; server/resources, subscriptions.
#[tokio::test]
async fn a_standing_stream_cut_by_a_crash_goes_on_where_it_was() {
    let mut server = durable().await;
    let session = server.session(VERSION).await;
    let uri = json!({"uri": "clock://now"});
    session.call("resources/subscribe", uri).await.result();
    let mut standing = session.listen(None).await;
    let mut seen = vec![standing.priming().await];
    seen.extend(standing.until(Event::is_message).await);

    server.crash().await;
    seen.extend(standing.rest().await);
    server.start_again().await;
    let session = session.elsewhere(&server.url("/mcp"));
    let mut resumed = session.listen(Some(seen[1].id())).await;

    for missed in &seen[2..] {
        assert_eq!(resumed.next().await.as_ref(), Some(missed));
    }
    let live = resumed.next().await.expect("the subscription still stands");
    assert_eq!(live.method(), "notifications/resources/updated");
    assert!(!seen.ids().contains(&live.id().to_owned()), "a new event");
}

/// basic/utilities/cancellation (2025-11-25): what was cancelled has no answer, ever.
#[tokio::test]
async fn a_call_cancelled_before_a_crash_gets_no_answer_after_it() {
    let mut server = durable().await;
    let session = server.session(VERSION).await;
    let (id, mut stream) = begin(&session).await;
    let priming = stream.priming().await;
    stream.until_step(2).await;
    let params = json!({"requestId": id, "reason": "enough"});
    session.notify("notifications/cancelled", params).await;
    assert_eq!(stream.rest().await.answers(), NOTHING);

    server.crash().await;
    server.start_again().await;
    let session = session.elsewhere(&server.url("/mcp"));
    let resumed = session.listen(Some(priming.id())).await.rest().await;

    assert_eq!(resumed.answers(), NOTHING);
    assert_eq!(resumed.methods()[0], "notifications/progress");
}

/// client/elicitation (2025-11-25): an answer to a question that nobody waits for any more.
#[tokio::test]
async fn a_question_asked_before_a_crash_is_answered_in_vain() {
    let mut server = durable().await;
    let capabilities = json!({"elicitation": {}});
    let session = server.session_with(VERSION, capabilities).await;
    let (id, mut stream) = session.stream_tool("ask_name", json!({})).await;
    let priming = stream.priming().await;
    let question = stream.message().await;
    assert_eq!(question["method"], "elicitation/create");

    server.crash().await;
    server.start_again().await;
    let session = session.elsewhere(&server.url("/mcp"));
    let content = json!({"action": "accept", "content": {"name": "Ada"}});
    session.answer(&question, content).await;

    let resumed = session.listen(Some(priming.id())).await.rest().await;
    assert_eq!(
        resumed.messages()[0],
        question,
        "the question is part of the log"
    );
    assert_eq!(resumed.answers().len(), 1);
    assert_eq!(resumed.answers()[0]["id"], id);
    assert_eq!(resumed.answers()[0]["error"]["data"]["outcome"], "unknown");
}

/// Ours: what does no harm twice is made again, once, on the stream it had; progress does not go
/// back (basic/utilities/progress).
#[tokio::test]
async fn a_call_of_an_idempotent_tool_is_made_again_after_a_crash() {
    let mut server = durable().await;
    let session = server.session(VERSION).await;
    let arguments = json!({"count": 40, "interval_us": 50_000});
    let (id, mut stream) = session.stream_tool("stream", arguments).await;
    let mut seen = stream.until_step(3).await;
    server.crash().await;
    seen.extend(stream.rest().await);
    assert_eq!(seen.answers(), NOTHING, "the call was cut");
    server.start_again().await;

    let last = seen.last().expect("it has begun").id();
    let again = session.elsewhere(&server.url("/mcp"));
    let resumed = again.listen(Some(last)).await.rest().await;

    let answers = resumed.answers();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0]["id"], id);
    assert_eq!(answers[0]["result"]["content"][0]["text"], "done");
    let steps = [seen.steps(), resumed.steps()].concat();
    let expected = (1..=steps.len() as u64).collect::<Vec<_>>();
    assert_eq!(steps, expected, "each step once, in order");
    let ran = r#"mcp_requests_total{method="tools/call",era="session",outcome="ok"}"#;
    assert_eq!(server.metric(ran).await, 1.0);
}

/// basic (2025-03-26), batching; basic/transports, resumability and redelivery.
#[tokio::test]
async fn every_request_of_a_batch_cut_by_a_crash_gets_one_honest_error() {
    let mut server = durable().await;
    let session = server.session("2025-03-26").await;
    let call = |id: &str| {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
            "name": "countdown", "arguments": {"from": 100, "interval_ms": 100},
            "_meta": {"progressToken": id}}})
    };
    let response = session.post(&json!([call("one"), call("two")])).await;
    let mut stream = EventStream::of(response);
    let seen = stream.until_step(3).await;

    server.crash().await;
    server.start_again().await;
    let session = session.elsewhere(&server.url("/mcp"));
    let told = session.listen(Some(seen[0].id())).await.rest().await;

    let answers = told.answers();
    assert_eq!(answers.len(), 2);
    for (answer, id) in answers.iter().zip(["one", "two"]) {
        assert_eq!(answer["id"], id);
        assert_eq!(answer["error"]["data"]["outcome"], "unknown");
    }
    let again = session.listen(Some(seen[0].id())).await.rest().await;
    assert_eq!(again, told);
}

/// basic/transports (2025-11-25), resumability: one request, one answer, whoever asks.
#[tokio::test]
async fn readers_that_come_back_together_write_one_honest_end() {
    let mut server = durable().await;
    let cut = CutCall::of(&mut server).await;
    let priming = cut.seen[0].id().to_owned();
    server.start_again().await;
    let session = cut.again(&server);

    let together = (0..8).map(|_| async { session.listen(Some(&priming)).await.rest().await });
    let together = futures_util::future::join_all(together).await;

    let settled = session.listen(Some(&priming)).await.rest().await;
    cut.assert_honest(0, &settled);
    for told in together {
        assert_eq!(
            told,
            settled[..told.len()],
            "all read the same, some stop before the end"
        );
        assert!(told.len() + 1 >= settled.len());
    }
}

/// basic/transports (2025-11-25), resumability: a priming event is enough to come back.
#[tokio::test]
async fn a_call_that_said_nothing_before_the_crash_gets_its_honest_error() {
    let mut server = Switchboard::with()
        .store(Store::Embedded)
        .config("[calls]\ngrace = \"20ms\"")
        .start()
        .await;
    let session = server.session(VERSION).await;
    let message = json!({"jsonrpc": "2.0", "id": "silent", "method": "tools/call", "params": {
        "name": "countdown", "arguments": {"from": 100, "interval_ms": 100}}});
    let mut stream = EventStream::of(session.post(&message).await);
    let priming = stream.priming().await;

    server.crash().await;
    server.start_again().await;
    let session = session.elsewhere(&server.url("/mcp"));
    let told = session.listen(Some(priming.id())).await.rest().await;

    assert_eq!(told.len(), 1);
    assert_eq!(told[0].json()["id"], "silent");
    assert_eq!(told[0].json()["error"]["data"]["outcome"], "unknown");
    assert_nothing_ran(&server).await;
}
