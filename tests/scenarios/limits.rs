//! Every bound has an end that can be reached, an answer that says so, and a way back.

use serde_json::json;

use crate::world::wire::{Parts, Wire};
use crate::world::{EventStream, Session, Switchboard, eventually};

/// Ours: open streams are bounded, because each holds a socket and a queue.
#[tokio::test]
async fn one_stream_too_many_is_told_to_come_back() {
    let server = Switchboard::with()
        // A client that only stops reading may still listen: its end is noticed by writing to it.
        .config("[streams]\nmax = 2\nheartbeat = \"100ms\"")
        .start()
        .await;
    let mut sessions = Vec::new();
    let mut streams = Vec::new();
    for _ in 0..2 {
        let session = server.session("2025-11-25").await;
        streams.push(session.listen(None).await);
        sessions.push(session);
    }
    let late = server.session("2025-11-25").await;

    let refused = crate::world::Answer::read(late.get(None).await).await;

    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.code(), -32_603);
    assert_eq!(
        server
            .metric(r#"mcp_refused_total{reason="streams"}"#)
            .await,
        1.0
    );
    // Calls are not streams that stand, so they are served as before.
    assert_eq!(
        late.tool("echo", json!({"text": "a"})).await.tool_text(),
        "a"
    );

    drop(streams.pop());

    let stream: EventStream = eventually("there is room again", || async {
        let response = late.get(None).await;
        (response.status() == 200).then(|| EventStream::of(response))
    })
    .await;
    drop(stream);
}

/// Ours: sessions are bounded, because each holds an actor and its logs; `/ready` says so.
#[tokio::test]
async fn one_session_too_many_is_told_to_come_back() {
    let server = Switchboard::with()
        .config("[sessions]\nmax = 1")
        .start()
        .await;
    let only = server.session("2025-11-25").await;
    let http = crate::world::http_client();
    let url = server.url("/mcp");
    let open = || Session::initialize(&http, &url, "2025-11-25", json!({}));

    let refused = open().await;

    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.header("mcp-session-id"), "");
    assert_eq!(
        (refused.code(), &refused.message()["id"]),
        (-32_603, &json!(0))
    );
    assert_eq!(
        server
            .metric(r#"mcp_refused_total{reason="sessions"}"#)
            .await,
        1.0
    );
    let ready = crate::world::get(server.url("/ready")).await.unwrap();
    assert_eq!(ready.status(), 503);
    // Who is here is served, and so is who needs no session.
    assert_eq!(
        only.tool("echo", json!({"text": "a"})).await.tool_text(),
        "a"
    );
    let answer = server.stateless().tool("echo", json!({"text": "b"})).await;
    assert_eq!(answer.tool_text(), "b");

    assert_eq!(only.delete().await.status, 204);

    eventually("there is room again", || async {
        (open().await.status == 200).then_some(())
    })
    .await;
}

/// Ours: a result that is larger than an event may be is one clear error, in either era.
#[tokio::test]
async fn a_result_that_is_too_large_is_an_error_and_not_a_broken_stream() {
    let server = Switchboard::with()
        .config("[server.limits]\nevent = \"4KiB\"")
        .start()
        .await;
    let session = server.session("2025-11-25").await;
    let (large, fitting) = (
        json!({"text": "x".repeat(5_000)}),
        json!({"text": "x".repeat(3_000)}),
    );

    for answer in [
        session.tool("echo", large.clone()).await,
        server.stateless().tool("echo", large.clone()).await,
    ] {
        assert_eq!((answer.status, answer.code()), (200, -32_603));
        let text = answer.message()["error"]["message"].to_string();
        assert!(text.contains("4096"), "{text}");
        assert!(answer.text.len() < 4_096);
    }

    assert_eq!(
        session
            .tool("echo", fitting.clone())
            .await
            .tool_text()
            .len(),
        3_000
    );
    let answer = server.stateless().tool("echo", fitting).await;
    assert_eq!(answer.tool_text().len(), 3_000);
}

/// Ours: a body may be exactly as large as the limit, declared or in chunks, and not a byte more.
#[tokio::test]
async fn a_body_may_be_exactly_as_large_as_the_limit() {
    let server = Switchboard::with()
        .config("[server.limits]\nbody = \"64KiB\"")
        .start()
        .await;
    let session = server.session("2025-11-25").await;
    let sized = |length: usize| {
        let (start, end) = (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":""#,
            r#""}}"#,
        );
        format!(
            "{start}{}{end}",
            "x".repeat(length - start.len() - end.len())
        )
    };
    for (length, status) in [(65_536, 200), (65_537, 413)] {
        let body = sized(length);
        let (first, second) = body.split_at(30_000);
        let chunks = format!(
            "{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
            first.len(),
            second.len()
        );
        for request in [
            Parts::post(&body),
            Parts::post(chunks).with("Transfer-Encoding", "chunked"),
        ] {
            let mut wire = Wire::connect(&server).await;
            wire.send(request.with("Mcp-Session-Id", &session.id).bytes())
                .await;
            let answer = wire.answer().await.expect("it is answered");
            assert_eq!(answer.status, status, "{length} bytes");
        }
    }
    assert_eq!(
        server
            .metric(r#"mcp_refused_total{reason="body_size"}"#)
            .await,
        2.0
    );
}

/// Ours: a call that takes too long ends with an error that says why; nothing else ends with it.
#[tokio::test]
async fn a_call_that_takes_too_long_ends_with_its_reason() {
    let server = Switchboard::with()
        .config("[calls]\ndeadline = \"300ms\"\ngrace = \"50ms\"")
        .start()
        .await;
    let session = server.session("2025-11-25").await;
    let endless = json!({"from": 1_000, "interval_ms": 60_000});

    for answer in [
        session.tool("countdown", endless.clone()).await,
        server.stateless().tool("countdown", endless.clone()).await,
    ] {
        assert_eq!(answer.code(), -32_603);
        assert_eq!(
            answer.message()["error"]["data"]["reason"],
            "deadline_exceeded"
        );
    }

    for era in ["session", "stateless"] {
        let line =
            format!(r#"mcp_requests_total{{method="tools/call",era="{era}",outcome="deadline"}}"#);
        assert_eq!(server.metric(&line).await, 1.0, "{era}");
    }
    assert_eq!(
        session.tool("echo", json!({"text": "a"})).await.tool_text(),
        "a"
    );
    eventually("nothing runs on", || async {
        (server.metric("mcp_running_calls").await == 0.0).then_some(())
    })
    .await;
}

/// Ours: what a handshake settles is kept for the life of the session, so it is small.
#[tokio::test]
async fn a_client_cannot_make_us_keep_more_than_a_little_about_it() {
    let server = Switchboard::start().await;
    let url = server.url("/mcp");
    let http = crate::world::http_client();
    let bulky = json!({"experimental": {"x": {"y": "z".repeat(20_000)}}});

    let refused = Session::initialize(&http, &url, "2025-11-25", bulky).await;

    assert_eq!((refused.status, refused.code()), (400, -32_602));
    assert_eq!(server.metric("mcp_active_sessions").await, 0.0);
    let fits = json!({"experimental": {"x": {"y": "z".repeat(10_000)}}});
    let opened = Session::initialize(&http, &url, "2025-11-25", fits).await;
    assert_eq!(opened.status, 200);
}

/// Ours: sessions are bounded also where they only wait in the store.
#[tokio::test]
async fn sessions_that_left_the_process_count_too() {
    let server = Switchboard::with()
        .config("[sessions]\nmax_per_principal = 2\npassivate_after = \"100ms\"")
        .start()
        .await;
    for _ in 0..2 {
        server.session("2025-11-25").await;
    }
    eventually("they leave the process", || async {
        (server.metric("mcp_active_sessions").await == 0.0).then_some(())
    })
    .await;
    let http = crate::world::http_client();

    let refused = Session::initialize(&http, &server.url("/mcp"), "2025-11-25", json!({})).await;

    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), "1");
}
