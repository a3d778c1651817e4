//! Calls in sessions: ids, answers in band, cancellation, bounds, many at once.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::{EventStream, NOTHING, SESSION_ERA, Switchboard, Told as _, eventually};

const VERSION: &str = "2025-11-25";

fn countdown(id: &Value, from: u32, interval_ms: u32) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
        "name": "countdown", "arguments": {"from": from, "interval_ms": interval_ms},
        "_meta": {"progressToken": "a token"}}})
}

async fn nothing_runs(server: &Switchboard) {
    eventually("no call runs", async || {
        (server.metric("mcp_running_calls").await == 0.0).then_some(())
    })
    .await;
}

/// basic (2025-11-25), requests.
#[tokio::test]
async fn an_answer_carries_the_id_of_its_request_in_the_same_form() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;
    for id in [
        json!(0),
        json!(-7),
        json!(9_007_199_254_740_991_i64),
        json!("7"),
        json!(""),
    ] {
        let answer = session
            .send(&json!({"jsonrpc": "2.0", "id": id, "method": "ping"}))
            .await;

        assert_eq!(
            answer.message(),
            json!({"jsonrpc": "2.0", "id": id, "result": {}})
        );
    }
}

/// basic (2025-11-25), requests: an id is a string or an integer.
#[tokio::test]
async fn a_request_with_an_impossible_id_is_refused() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;
    for id in [json!(null), json!(1.5), json!({}), json!([1]), json!(true)] {
        let answer = session
            .send(&json!({"jsonrpc": "2.0", "id": id, "method": "ping"}))
            .await;

        assert_eq!((answer.status, answer.code()), (400, -32600), "{id}");
        assert!(
            answer.message().get("id").is_none_or(Value::is_null),
            "{id}"
        );
    }
}

/// basic (2025-11-25), messages are JSON-RPC.
#[tokio::test]
async fn an_unreadable_body_is_a_parse_error_without_an_id() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;
    for body in [
        "",
        "{",
        r#"{"jsonrpc":"2.0","id":1,"method":"ping""#,
        "\u{feff}nonsense",
    ] {
        let request = session
            .request(reqwest::Method::POST)
            .header("content-type", "application/json")
            .header("accept", crate::world::client::ACCEPT)
            .body(body);
        let answer = crate::world::Answer::read(request.send().await.unwrap()).await;

        assert_eq!((answer.status, answer.code()), (400, -32700), "{body:?}");
        assert!(
            answer.message().get("id").is_none_or(Value::is_null),
            "{body:?}"
        );
    }
}

/// basic/transports (2025-11-25), sending messages: notifications and responses.
#[tokio::test]
async fn notifications_and_answers_are_accepted_without_a_word() {
    let server = Switchboard::start().await;
    for version in SESSION_ERA {
        let session = server.session(version).await;
        for message in [
            json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}),
            json!({"jsonrpc": "2.0", "method": "notifications/unheard_of", "params": {"a": 1}}),
            json!({"jsonrpc": "2.0", "id": "nobody asked", "result": {}}),
            json!({"jsonrpc": "2.0", "id": 5, "error": {"code": -1, "message": "no"}}),
        ] {
            let answer = session.send(&message).await;

            assert_eq!(
                (answer.status, answer.text.as_str()),
                (202, ""),
                "{message}"
            );
        }
    }
}

/// basic/transports (2025-11-25), sending messages: errors of a method are answers.
#[tokio::test]
async fn the_error_of_a_method_comes_in_band() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;
    for (method, params, code) in [
        ("no/such/method", json!({}), -32601),
        ("server/discover", json!({}), -32601),
        ("logging/setLevel", json!({"level": "info"}), -32601),
        ("tools/call", json!({"name": "no_such_tool"}), -32602),
        ("prompts/get", json!({"name": "no_such_prompt"}), -32602),
        ("tools/list", json!({"cursor": "made up"}), -32602),
    ] {
        let answer = session.call(method, params).await;

        assert_eq!((answer.status, answer.code()), (200, code), "{method}");
    }
}

/// server/resources (each revision), error handling.
#[tokio::test]
async fn a_resource_that_is_not_there_has_its_own_error() {
    let server = Switchboard::start().await;
    for version in SESSION_ERA {
        let session = server.session(version).await;

        let answer = session
            .call("resources/read", json!({"uri": "clock://yesterday"}))
            .await;

        assert_eq!((answer.status, answer.code()), (200, -32002), "{version}");
    }
}

/// server/tools (2025-11-25), error handling: input validation; earlier revisions do not say.
#[tokio::test]
async fn an_argument_that_does_not_fit_is_told_the_way_of_the_revision() {
    let server = Switchboard::start().await;
    for version in SESSION_ERA {
        let session = server.session(version).await;

        let answer = session.tool("echo", json!({"text": 7})).await;

        assert_eq!(answer.status, 200);
        if version == VERSION {
            assert_eq!(answer.result()["isError"], true);
        } else {
            assert_eq!(answer.code(), -32602, "{version}");
        }
    }
}

/// server/utilities/logging (2025-11-25).
#[tokio::test]
async fn a_client_hears_log_lines_of_its_level_and_above() {
    let server = Switchboard::with().builtin("conformance").start().await;
    for (level, lines) in [("debug", 3), ("info", 3), ("warning", 0), ("emergency", 0)] {
        let session = server.session(VERSION).await;
        let level = json!({"level": level});
        assert_eq!(
            session
                .call("logging/setLevel", level.clone())
                .await
                .result(),
            json!({})
        );

        let answer = session.tool("test_tool_with_logging", json!({})).await;

        assert!(answer.tool_text().contains("completed"));
        let told = answer.told().methods();
        let logged = told.iter().filter(|it| *it == "notifications/message");
        assert_eq!(logged.count(), lines, "{level}");
    }
}

/// server/utilities/logging (2025-11-25), error handling.
#[tokio::test]
async fn an_unknown_log_level_changes_nothing() {
    let server = Switchboard::with().builtin("conformance").start().await;
    let session = server.session(VERSION).await;
    let quiet = json!({"level": "error"});
    session.call("logging/setLevel", quiet).await.result();
    for level in [json!("loud"), json!("INFO"), json!(3), Value::Null] {
        let answer = session
            .call("logging/setLevel", json!({"level": level}))
            .await;

        assert_eq!(answer.code(), -32602, "{level}");
    }
    let answer = session.tool("test_tool_with_logging", json!({})).await;
    assert_eq!(
        answer.told().methods(),
        [""; 0],
        "the level before still holds"
    );
}

/// basic/utilities/progress (2025-11-25).
#[tokio::test]
async fn progress_moves_forward_under_the_token_of_its_request() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;

    let answer = session.send(&countdown(&json!(1), 20, 5)).await;

    let events = answer.events();
    let (last, progress) = events.split_last().expect("the stream says something");
    assert_eq!(progress.steps(), (1..=20).collect::<Vec<_>>());
    for told in progress.messages() {
        assert_eq!(told["params"]["progressToken"], "a token");
        assert_eq!(told["params"]["total"].as_f64(), Some(20.0));
    }
    assert!(
        last.json().get("result").is_some(),
        "nothing follows the answer"
    );
}

/// basic/utilities/progress (2025-11-25): only who asked is told.
#[tokio::test]
async fn a_call_without_a_token_tells_no_progress() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;

    let arguments = json!({"from": 20, "interval_ms": 20});
    let answer = session.tool("countdown", arguments).await;

    assert!(answer.tool_text().contains("liftoff"));
    assert_eq!(answer.told().methods(), [""; 0]);
}

/// basic/utilities/cancellation (2025-11-25).
#[tokio::test]
async fn a_cancelled_call_stops_and_is_never_answered() {
    let server = Switchboard::start().await;
    for version in SESSION_ERA {
        let session = server.session(version).await;
        let arguments = json!({"from": 100_000, "interval_ms": 20});
        let (id, mut stream) = session.stream_tool("countdown", arguments).await;
        stream.until_step(2).await;

        let params = json!({"requestId": id, "reason": "changed my mind"});
        session.notify("notifications/cancelled", params).await;

        assert_eq!(stream.rest().await.answers(), NOTHING, "{version}");
        nothing_runs(&server).await;
        // The id is free again.
        let again = json!({"jsonrpc": "2.0", "id": id, "method": "ping"});
        assert_eq!(session.send(&again).await.result(), json!({}));
    }
}

/// basic/utilities/cancellation (2025-11-25): what is unknown or over is left alone.
#[tokio::test]
async fn a_cancellation_of_something_else_has_no_effect() {
    let server = Switchboard::start().await;
    let (session, other) = (server.session(VERSION).await, server.session(VERSION).await);
    let arguments = json!({"from": 15, "interval_ms": 30});
    let (id, mut stream) = session.stream_tool("countdown", arguments).await;
    stream.until_step(1).await;

    for params in [
        json!({"requestId": 0, "reason": "the handshake cannot be cancelled"}),
        json!({"requestId": id + 1}),
        json!({"requestId": id.to_string()}),
        json!({"reason": "names nothing"}),
    ] {
        session.notify("notifications/cancelled", params).await;
    }
    other
        .notify("notifications/cancelled", json!({"requestId": id}))
        .await;

    let rest = stream.rest().await;
    assert_eq!(rest.steps().last(), Some(&15));
    assert_eq!(rest.answers()[0]["id"], id);
    assert_eq!(
        session
            .tool("echo", json!({"text": "hi"}))
            .await
            .tool_text(),
        "hi"
    );
}

/// basic (2025-11-25), requests: an id is used once at a time.
#[tokio::test]
async fn an_id_that_is_still_running_is_refused_and_free_after_its_answer() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;
    let first = session.post(&countdown(&json!(7), 40, 50)).await;

    let second = session.send(&countdown(&json!(7), 1, 0)).await;

    assert_eq!((second.status, second.code()), (400, -32600));
    assert_eq!(second.message()["id"], 7);
    let as_text = session.send(&countdown(&json!("7"), 1, 0)).await;
    assert_eq!(as_text.message()["id"], "7", "the text is another id");
    let told = EventStream::of(first).rest().await;
    assert_eq!(
        told.steps(),
        (1..=40).collect::<Vec<_>>(),
        "the first goes on"
    );
    let third = session.send(&countdown(&json!(7), 1, 0)).await;
    assert!(third.tool_text().contains("liftoff"));
}

/// basic (2025-11-25): calls of a session are bounded.
#[tokio::test]
async fn a_session_with_as_many_calls_as_it_may_have_refuses_one_more() {
    let server = Switchboard::with()
        .config("[sessions]\ncalls_per_session = 2")
        .start()
        .await;
    let (busy, other) = (server.session(VERSION).await, server.session(VERSION).await);
    let arguments = json!({"from": 100_000, "interval_ms": 50});
    let (first, mut one) = busy.stream_tool("countdown", arguments.clone()).await;
    let (_, mut two) = busy.stream_tool("countdown", arguments).await;
    one.until_step(1).await;
    two.until_step(1).await;

    let refused = busy.tool("echo", json!({"text": "one more"})).await;

    assert_eq!((refused.status, refused.code()), (429, -32603));
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(
        other.tool("echo", json!({"text": "hi"})).await.tool_text(),
        "hi"
    );
    busy.notify("notifications/cancelled", json!({"requestId": first}))
        .await;
    one.rest().await;
    assert_eq!(
        busy.tool("echo", json!({"text": "now"})).await.tool_text(),
        "now"
    );
}

/// basic/transports (2025-11-25), session management: answers never cross.
#[tokio::test]
async fn many_sessions_with_the_same_ids_get_their_own_answers() {
    const SESSIONS: usize = 200;
    let server = Switchboard::start().await;
    let sessions = join_all((0..SESSIONS).map(|_| server.session(VERSION))).await;
    let rounds = ["first", "second", "third"];

    let answers = join_all(sessions.iter().enumerate().flat_map(|(number, session)| {
        rounds
            .iter()
            .zip(1_i64..)
            .map(move |(round, id)| async move {
                let text = format!("{round} of {number}");
                let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
                "params": {"name": "echo", "arguments": {"text": text}}});
                (text, id, session.send(&call).await)
            })
    }))
    .await;

    assert_eq!(answers.len(), SESSIONS * rounds.len());
    for (text, id, answer) in answers {
        assert_eq!(answer.message()["id"], id);
        assert_eq!(answer.tool_text(), text);
    }
    let mut ids = sessions.iter().map(|it| &it.id).collect::<Vec<_>>();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), SESSIONS, "no session id twice");
}

/// basic/utilities/progress (2025-11-25): streams never cross either.
#[tokio::test]
async fn many_sessions_with_the_same_tokens_get_their_own_streams() {
    const SESSIONS: u32 = 50;
    let server = Switchboard::start().await;
    let sessions = join_all((0..SESSIONS).map(|_| server.session(VERSION))).await;

    let answers = join_all((1_u32..).zip(&sessions).map(|(from, session)| async move {
        (from, session.send(&countdown(&json!(1), from, 2)).await)
    }))
    .await;

    for (from, answer) in answers {
        let events = answer.events();
        assert_eq!(events.steps(), (1..=from.into()).collect::<Vec<_>>());
        let text = format!("counted down from {from}: liftoff");
        assert_eq!(answer.tool_text(), text);
    }
}

/// basic/versioning (2026-07-28), serving both eras on one endpoint.
#[tokio::test]
async fn both_eras_at_once_do_not_touch_each_other() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;
    let stateless = server.stateless();
    let arguments = json!({"from": 30, "interval_ms": 20});
    let (id, stream) = session.stream_tool("countdown", arguments).await;

    for round in 0..10 {
        let here = session
            .tool("echo", json!({"text": format!("session {round}")}))
            .await;
        let message = stateless.message(
            "tools/call",
            json!({"name": "echo", "arguments": {"text": format!("stateless {round}")}}),
        );
        // The id of the session is no business of a stateless request, nor is its id's repetition.
        let request = stateless
            .request(&message)
            .header("mcp-session-id", &session.id);
        let there = stateless.send(request).await;

        assert_eq!(here.tool_text(), format!("session {round}"));
        assert!(here.result().get("resultType").is_none());
        assert_eq!(there.tool_text(), format!("stateless {round}"));
        assert_eq!(there.result()["resultType"], "complete");
        assert_eq!(there.header("mcp-session-id"), "");
    }
    let message = stateless.message("tools/list", json!({}));
    let request = stateless
        .request(&message)
        .header("mcp-session-id", "no such session");
    assert_eq!(stateless.send(request).await.status, 200);
    let told = stream.rest().await;
    assert_eq!(told.steps(), (1..=30).collect::<Vec<_>>());
    assert_eq!(told.answers()[0]["id"], id);
    assert_eq!(server.metric("mcp_active_sessions").await, 1.0);
}

/// server/tools (2024-11-05, 2025-03-26), tool result: kinds of content a revision does not have.
#[tokio::test]
async fn content_that_a_revision_does_not_know_becomes_text() {
    let server = Switchboard::with().builtin("conformance").start().await;
    for (version, kind) in [
        ("2024-11-05", "text"),
        ("2025-03-26", "audio"),
        ("2025-06-18", "audio"),
        ("2025-11-25", "audio"),
    ] {
        let session = server.session(version).await;

        let answer = session.tool("test_audio_content", json!({})).await;

        assert_eq!(answer.result()["content"][0]["type"], kind, "{version}");
    }
}

/// basic/utilities/cancellation (2025-11-25): a call that has said nothing yet.
#[tokio::test]
async fn a_call_cancelled_before_it_said_anything_is_never_answered() {
    let server = Switchboard::with()
        .config("[calls]\ngrace = \"20s\"")
        .start()
        .await;
    let session = server.session(VERSION).await;
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "countdown", "arguments": {"from": 100_000, "interval_ms": 20}}});
    let cancelling = async {
        eventually("the call runs", async || {
            (server.metric("mcp_running_calls").await == 1.0).then_some(())
        })
        .await;
        let params = json!({"requestId": 1});
        session.notify("notifications/cancelled", params).await;
    };

    let (answer, ()) = tokio::join!(session.send(&message), cancelling);

    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
    nothing_runs(&server).await;
}
