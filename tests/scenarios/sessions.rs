//! The life of a session: handshake, its headers, its end, its bounds.

use serde_json::{Value, json};

use crate::world::client::post;
use crate::world::{
    Answer, EventStream, NOTHING, SESSION_ERA, Session, Store, Switchboard, Told as _, eventually,
    within,
};

const VERSION: &str = "2025-11-25";

fn ping() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})
}

async fn try_to_open(server: &Switchboard) -> Answer {
    let http = crate::world::http_client();
    Session::initialize(&http, &server.url("/mcp"), VERSION, json!({})).await
}

/// Posts a message with the headers every POST has, and those given.
async fn post_with(server: &Switchboard, headers: &[(&str, &str)], message: &Value) -> Answer {
    let http = crate::world::http_client();
    let mut request = post(&http, &server.url("/mcp")).body(message.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = within("the answer begins", request.send()).await;
    Answer::read(response.expect("the server answers")).await
}

/// Holds that there is no such session for any method.
async fn assert_unknown(session: &Session) {
    let answer = session.send(&ping()).await;
    assert_eq!((answer.status, answer.code()), (404, -32600));
    assert_eq!(answer.message()["id"], 1, "the request is named");
    assert_eq!(session.get(None).await.status(), 404);
    assert_eq!(session.get(Some("s_0")).await.status(), 404);
    assert_eq!(session.delete().await.status, 404);
    let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(session.send(&note).await.status, 404);
}

/// basic/lifecycle (2025-11-25), initialization; basic/transports, session management.
#[tokio::test]
async fn a_handshake_opens_a_session_that_answers() {
    let server = Switchboard::start().await;

    let session = server.session(VERSION).await;

    assert!(session.id.bytes().all(|byte| (0x21..=0x7e).contains(&byte)));
    let answer = session.tool("echo", json!({"text": "hello ☃"})).await;
    assert_eq!(answer.tool_text(), "hello ☃");
    assert_eq!(server.metric("mcp_active_sessions").await, 1.0);
}

/// basic/lifecycle (each revision), version negotiation.
#[tokio::test]
async fn every_revision_is_negotiated_and_answers_calls() {
    let server = Switchboard::start().await;
    for version in SESSION_ERA {
        let session = server.session(version).await;

        assert_eq!(session.version, version);
        let answer = session.tool("echo", json!({"text": version})).await;
        assert_eq!(answer.tool_text(), version);
        let tools = session.call("tools/list", json!({})).await.result();
        assert_eq!(tools["tools"][0]["name"], "echo");
        for stateless in ["resultType", "ttlMs", "cacheScope"] {
            assert!(tools.get(stateless).is_none(), "{version}: {stateless}");
        }
    }
}

/// basic/lifecycle (2025-11-25), version negotiation.
#[tokio::test]
async fn a_version_without_sessions_is_answered_with_the_newest_that_has_them() {
    let server = Switchboard::start().await;
    for asked in ["2026-07-28", "2031-01-01", "1.0", ""] {
        let session = server.session(asked).await;

        assert_eq!(session.version, VERSION, "asked for {asked:?}");
    }
}

/// basic/lifecycle (2025-11-25), initialization: a ping needs no `initialized`, nor does a call.
#[tokio::test]
async fn a_session_answers_before_its_client_said_that_it_is_ready() {
    let server = Switchboard::start().await;
    let opened = try_to_open(&server).await;
    let id = opened.header("mcp-session-id").to_owned();

    let answer = post_with(&server, &[("mcp-session-id", &id)], &ping()).await;

    assert_eq!(answer.result(), json!({}));
    let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"});
    let answer = post_with(&server, &[("mcp-session-id", &id)], &list).await;
    assert!(answer.result()["tools"].is_array());
}

/// basic/lifecycle (2025-11-25), initialization.
#[tokio::test]
async fn a_session_is_initialized_once() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;

    let again = json!({"jsonrpc": "2.0", "id": "again", "method": "initialize", "params": {
        "protocolVersion": "2025-03-26", "capabilities": {},
        "clientInfo": {"name": "other", "version": "2"}}});
    let answer = session.send(&again).await;

    assert_eq!((answer.status, answer.code()), (400, -32600));
    assert_eq!(answer.message()["id"], "again");
    assert_eq!(answer.header("mcp-session-id"), "", "no second session");
    assert_eq!(session.send(&ping()).await.result(), json!({}));
    assert_eq!(server.metric("mcp_active_sessions").await, 1.0);
}

/// basic/transports (2025-11-25), session management.
#[tokio::test]
async fn a_message_without_its_session_is_refused() {
    let server = Switchboard::start().await;
    let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    for message in [ping(), note] {
        let answer = post_with(&server, &[], &message).await;
        assert_eq!((answer.status, answer.code()), (400, -32600));
    }
    let http = crate::world::http_client();
    for method in [reqwest::Method::GET, reqwest::Method::DELETE] {
        let request = http.request(method.clone(), server.url("/mcp"));
        let response = request.header("accept", "text/event-stream").send().await;
        assert_eq!(response.unwrap().status(), 400, "{method}");
    }
}

/// basic/transports (2025-11-25), session management.
#[tokio::test]
async fn a_session_that_never_was_is_not_found() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;
    let mut forged = session.elsewhere(&server.url("/mcp"));
    let last = if session.id.ends_with('A') { "B" } else { "A" };
    forged.id.replace_range(session.id.len() - 1.., last);
    assert_unknown(&forged).await;
    forged.id = "no-such-session".to_owned();

    assert_unknown(&forged).await;

    assert_eq!(session.send(&ping()).await.result(), json!({}));
}

/// basic/transports (2025-11-25), session management: a session belongs to where it was opened.
#[tokio::test]
async fn a_session_of_another_endpoint_is_not_found() {
    let endpoints = "[endpoints.one]\npath = \"/one\"\nbuiltin = \"demo\"\n\
        [endpoints.two]\npath = \"/two\"\nbuiltin = \"demo\"";
    let server = Switchboard::with().config(endpoints).start().await;
    let session = Session::open(&server.url("/one"), VERSION, json!({})).await;

    assert_unknown(&session.elsewhere(&server.url("/two"))).await;

    assert_eq!(session.send(&ping()).await.result(), json!({}));
}

/// basic/transports (2025-11-25), session management, ending a session.
#[tokio::test]
async fn a_deleted_session_is_gone_for_every_method() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;

    let answer = session.delete().await;

    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    assert_unknown(&session).await;
    assert_eq!(server.metric("mcp_active_sessions").await, 0.0);
    assert_eq!(
        try_to_open(&server).await.status,
        200,
        "a new one may be opened"
    );
}

/// basic/transports (2025-11-25), session management, ending a session.
#[tokio::test]
async fn deleting_a_session_ends_its_streams_and_its_calls() {
    let mut server = Switchboard::with().keeps_log().start().await;
    let session = server.session(VERSION).await;
    let mut standing = session.listen(None).await;
    standing.priming().await;
    let arguments = json!({"from": 100_000, "interval_ms": 50});
    let (_, mut call) = session.stream_tool("countdown", arguments).await;
    call.until_step(2).await;

    session.delete().await;

    assert_eq!(standing.rest().await, []);
    assert_eq!(
        call.rest().await.answers(),
        NOTHING,
        "nobody is told of a result"
    );
    eventually("the call stops", async || {
        (server.metric("mcp_running_calls").await == 0.0).then_some(())
    })
    .await;
    server.stop().await;
    let log = server.log();
    assert!(!log.contains("another node"), "there is none: {log}");
}

/// basic/transports (2025-11-25), protocol version header.
#[tokio::test]
async fn an_unsupported_version_header_is_refused() {
    let server = Switchboard::start().await;
    let mut session = server.session(VERSION).await;
    for version in ["1999-01-01", "draft", "2025-11-2"] {
        version.clone_into(&mut session.version);

        let answer = session.send(&ping()).await;

        assert_eq!((answer.status, answer.code()), (400, -32600), "{version}");
        assert_eq!(session.get(None).await.status(), 400, "{version}");
    }
}

/// basic/transports (2025-11-25), protocol version header; session management comes first.
#[tokio::test]
async fn an_unknown_session_is_told_before_a_bad_version() {
    let server = Switchboard::start().await;
    let mut session = server.session(VERSION).await;
    session.delete().await;
    "1999-01-01".clone_into(&mut session.version);

    let answer = session.send(&ping()).await;

    assert_eq!(answer.status, 404, "the client is to open a new session");
}

/// basic/transports (2025-11-25), protocol version header: what was negotiated counts.
#[tokio::test]
async fn a_missing_or_other_supported_version_header_changes_nothing() {
    let server = Switchboard::start().await;
    let session = server.session("2025-06-18").await;
    let bad_call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "echo", "arguments": {"text": 7}}});
    let id = ("mcp-session-id", session.id.as_str());

    let without = post_with(&server, &[id], &bad_call).await;
    let other = ("mcp-protocol-version", VERSION);
    let with_other = post_with(&server, &[id, other], &bad_call).await;

    // 2025-06-18 has a protocol error where 2025-11-25 has a tool error.
    assert_eq!(without.code(), -32602);
    assert_eq!(with_other.code(), -32602);
}

/// basic/transports (2025-11-25), session management: the server may end a session.
#[tokio::test]
async fn a_session_that_nobody_uses_expires() {
    let times = "[sessions]\nidle_ttl = \"300ms\"\npassivate_after = \"100ms\"\n\
        [streams]\nheartbeat = \"100ms\"";
    let server = Switchboard::with().config(times).start().await;
    let (idle, used) = (server.session(VERSION).await, server.session(VERSION).await);
    let mut standing = used.listen(None).await;
    standing.priming().await;

    // Asking the idle session would be use, so its time is told by the other's heartbeats.
    for _ in 0..20 {
        standing.heartbeat().await;
    }

    assert_unknown(&idle).await;
    assert_eq!(
        used.send(&ping()).await.result(),
        json!({}),
        "a stream is use"
    );
    assert_eq!(
        try_to_open(&server).await.status,
        200,
        "its client may open another"
    );
}

/// basic/transports (2025-11-25), session management: the server may end a session.
#[tokio::test]
async fn a_session_ends_at_its_greatest_age_even_in_use() {
    let times = "[sessions]\nabsolute_ttl = \"1s\"\nidle_ttl = \"1s\"\npassivate_after = \"200ms\"";
    let server = Switchboard::with().config(times).start().await;
    let session = server.session(VERSION).await;
    let standing = session.listen(None).await;

    eventually("the session ends although it is used", async || {
        (session.send(&ping()).await.status == 404).then_some(())
    })
    .await;

    standing.rest().await;
    assert_unknown(&session).await;
}

/// basic/transports (2025-11-25), session management: no bound on where a session is kept.
#[tokio::test]
async fn an_unused_session_leaves_memory_and_still_answers() {
    for store in [Store::Memory, Store::Embedded] {
        let server = Switchboard::with()
            .builtin("conformance")
            .store(store)
            .config("[sessions]\npassivate_after = \"100ms\"")
            .start()
            .await;
        let session = server.session(VERSION).await;
        let level = json!({"level": "error"});
        session.call("logging/setLevel", level).await.result();

        eventually("the session leaves memory", async || {
            (server.metric("mcp_active_sessions").await == 0.0).then_some(())
        })
        .await;
        let answer = session.tool("test_tool_with_logging", json!({})).await;

        assert!(answer.tool_text().contains("completed"));
        assert_eq!(answer.told().methods(), [""; 0], "its log level is kept");
        assert!(server.metric("mcp_sessions_restored_total").await >= 1.0);
    }
}

/// basic/transports (2025-11-25), session management; server/resources, subscriptions.
#[tokio::test]
async fn an_unused_session_keeps_its_subscriptions() {
    let server = Switchboard::with()
        .config("[sessions]\npassivate_after = \"100ms\"")
        .start()
        .await;
    let session = server.session(VERSION).await;
    let uri = json!({"uri": "clock://now"});
    session.call("resources/subscribe", uri).await.result();
    eventually("the session leaves memory", async || {
        (server.metric("mcp_active_sessions").await == 0.0).then_some(())
    })
    .await;

    let mut standing = session.listen(None).await;

    let told = standing.message().await;
    assert_eq!(told["method"], "notifications/resources/updated");
    assert_eq!(told["params"]["uri"], "clock://now");
}

/// basic/transports (2025-11-25), session management: sessions are bounded.
#[tokio::test]
async fn a_full_server_opens_no_session_until_one_ends() {
    let server = Switchboard::with()
        .config("[sessions]\nmax = 2")
        .start()
        .await;
    let first = server.session(VERSION).await;
    let second = server.session(VERSION).await;

    let refused = try_to_open(&server).await;

    assert_eq!((refused.status, refused.code()), (503, -32603));
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(refused.header("mcp-session-id"), "");
    assert_eq!(second.send(&ping()).await.result(), json!({}));
    first.delete().await;
    assert_eq!(try_to_open(&server).await.status, 200);
}

/// basic/transports (2025-11-25), session management: a session outlives its process.
#[tokio::test]
async fn a_session_answers_after_an_orderly_restart() {
    let mut server = Switchboard::with().store(Store::Embedded).start().await;
    let session = server.session(VERSION).await;

    assert!(server.stop().await.success());
    server.start_again().await;
    let session = session.elsewhere(&server.url("/mcp"));

    let answer = session.tool("echo", json!({"text": "still here"})).await;
    assert_eq!(answer.tool_text(), "still here");
}

/// basic/transports (2025-11-25), session management: what is kept in memory ends with it.
#[tokio::test]
async fn a_session_kept_in_memory_is_not_found_after_a_restart() {
    let mut server = Switchboard::start().await;
    let session = server.session(VERSION).await;

    server.stop().await;
    server.start_again().await;

    assert_unknown(&session.elsewhere(&server.url("/mcp"))).await;
}

/// basic/transports (2025-11-25), listening for messages.
#[tokio::test]
async fn a_get_opens_an_event_stream() {
    let server = Switchboard::start().await;
    let session = server.session(VERSION).await;

    let response = session.get(None).await;

    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    assert!(
        headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/event-stream")
    );
    assert!(
        headers["cache-control"]
            .to_str()
            .unwrap()
            .contains("no-cache")
    );
    assert_eq!(headers["x-accel-buffering"], "no");
    assert_eq!(headers["mcp-session-id"], session.id.as_str());
    EventStream::of(response).priming().await;
}

/// basic/transports (2025-11-25), session management: sessions are bounded.
#[tokio::test]
async fn a_full_server_brings_no_session_back_until_there_is_room() {
    let server = Switchboard::with()
        .config("[sessions]\nmax = 1\npassivate_after = \"100ms\"")
        .start()
        .await;
    let away = server.session(VERSION).await;
    eventually("the session leaves memory", async || {
        (server.metric("mcp_active_sessions").await == 0.0).then_some(())
    })
    .await;
    let here = server.session(VERSION).await;
    let mut standing = here.listen(None).await;
    standing.priming().await;

    let refused = away.send(&ping()).await;

    assert_eq!((refused.status, refused.code()), (503, -32603));
    assert!(!refused.header("retry-after").is_empty());
    here.delete().await;
    standing.rest().await;
    eventually("there is room", async || {
        (away.send(&ping()).await.status == 200).then_some(())
    })
    .await;
}

/// basic/transports (2025-11-25), session management.
#[tokio::test]
async fn a_session_that_many_ask_for_at_once_is_brought_back_once() {
    let server = Switchboard::with()
        .config("[sessions]\npassivate_after = \"500ms\"")
        .start()
        .await;
    let session = server.session(VERSION).await;
    eventually("the session leaves memory", async || {
        (server.metric("mcp_active_sessions").await == 0.0).then_some(())
    })
    .await;

    let calls = (0..50).map(|number| {
        let session = &session;
        async move {
            let text = number.to_string();
            let answer = session.tool("echo", json!({"text": text})).await;
            (text, answer.tool_text())
        }
    });
    let answers = futures_util::future::join_all(calls).await;

    assert!(answers.iter().all(|(asked, answered)| asked == answered));
    assert_eq!(server.metric("mcp_active_sessions").await, 1.0);
    assert_eq!(server.metric("mcp_sessions_restored_total").await, 1.0);
}

/// basic/transports (2025-11-25), session management: nobody takes all places.
#[tokio::test]
async fn a_caller_with_as_many_sessions_as_it_may_have_opens_no_more() {
    let server = Switchboard::with()
        .config("[sessions]\nmax_per_principal = 1")
        .start()
        .await;
    let session = server.session(VERSION).await;

    let refused = try_to_open(&server).await;

    assert_eq!((refused.status, refused.code()), (503, -32603));
    assert!(!refused.header("retry-after").is_empty());
    let refusals = r#"mcp_refused_total{reason="principal_sessions"}"#;
    assert_eq!(server.metric(refusals).await, 1.0);
    session.delete().await;
    assert_eq!(try_to_open(&server).await.status, 200);
}
