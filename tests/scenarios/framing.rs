//! Where one request ends and the next begins: everything that two parsers could see differently
//! is refused with the connection, and what was smuggled in is never executed.

use serde_json::json;

use crate::world::Switchboard;
use crate::world::wire::{Parts, Wire, session_call, stateless_call};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// What a row must come to.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// One answer with this status, then the end.
    Refused(u16),
    /// Taken for what it is: one answer, 200.
    Served,
}
use Outcome::{Refused, Served};

async fn open_session(server: &Switchboard) -> String {
    server.session("2025-11-25").await.id
}

/// A request that would end the session, were it ever executed.
fn smuggled(session: &str) -> String {
    format!("DELETE /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nMcp-Session-Id: {session}\r\n\r\n")
}

/// A request that a session answers.
pub fn ping(session: &str) -> Parts {
    Parts::post(PING).with("Mcp-Session-Id", session)
}

/// Requests of which two parsers could see different ends, what follows them, and what they must come to.
fn table(session: &str) -> Vec<(&'static str, String, Outcome)> {
    let length = PING.len();
    let chunks = format!("{length:x}\r\n{PING}\r\n0\r\n\r\n");
    let after = smuggled(session);
    // A POST with these header lines and this after the blank line.
    let post = |lines: &str, rest: &str| {
        format!(
            "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
             Accept: */*\r\nMcp-Session-Id: {session}\r\n{lines}\r\n{rest}"
        )
    };
    let with_length = |value: &str| post(&format!("Content-Length: {value}\r\n"), PING);
    let coded = |value: &str| {
        post(
            &format!("Transfer-Encoding:{value}\r\n"),
            &(chunks.clone() + &after),
        )
    };
    let chunked = |rest: String| post("Transfer-Encoding: chunked\r\n", &(rest + &after));
    let sized = |line: &str| {
        post(
            &format!("Content-Length: {length}\r\n{line}"),
            &(PING.to_owned() + &after),
        )
    };
    vec![
        (
            "length and chunks",
            post(
                &format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
                &(chunks.clone() + &after),
            ),
            Refused(400),
        ),
        (
            "chunks and length",
            post(
                "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
                &(chunks.clone() + &after),
            ),
            Refused(400),
        ),
        (
            "two equal lengths",
            sized(&format!("Content-Length: {length}\r\n")),
            Refused(400),
        ),
        ("two lengths", sized("Content-Length: 0\r\n"), Refused(400)),
        (
            "a list of lengths",
            with_length(&format!("{length}, {length}")),
            Refused(400),
        ),
        (
            "a signed length",
            with_length(&format!("+{length}")),
            Refused(400),
        ),
        ("a negative length", with_length("-1"), Refused(400)),
        ("a hexadecimal length", with_length("0x28"), Refused(400)),
        (
            "a length with a space in it",
            with_length("4 0"),
            Refused(400),
        ),
        ("an empty length", with_length(""), Refused(400)),
        (
            "a length beyond 64 bits",
            with_length("18446744073709551656"),
            Refused(400),
        ),
        (
            "a length with spaces around it",
            with_length(&format!("  {length} ")),
            Served,
        ),
        ("two codings", coded(" chunked, chunked"), Refused(400)),
        ("identity", coded(" identity"), Refused(400)),
        (
            "identity, then chunked",
            coded(" identity, chunked"),
            Refused(400),
        ),
        ("gzip, then chunked", coded(" gzip, chunked"), Refused(400)),
        (
            "chunked, then identity",
            coded(" chunked, identity"),
            Refused(400),
        ),
        ("an unknown coding", coded(" xchunked"), Refused(400)),
        (
            "a coding with a parameter",
            coded(" chunked;q=1"),
            Refused(400),
        ),
        (
            "a coding with a vertical tab",
            coded(" \u{b}chunked"),
            Refused(400),
        ),
        ("a quoted coding", coded(" \"chunked\""), Refused(400)),
        ("an empty coding", coded(""), Refused(400)),
        (
            "chunked twice",
            coded(" chunked\r\nTransfer-Encoding: chunked"),
            Refused(400),
        ),
        (
            "chunked and identity",
            coded(" chunked\r\nTransfer-Encoding: identity"),
            Refused(400),
        ),
        ("a folded coding", coded("\r\n chunked"), Refused(400)),
        (
            "a space before the colon",
            sized("Transfer-Encoding : chunked\r\n"),
            Refused(400),
        ),
        (
            "chunks in HTTP/1.0",
            coded(" chunked").replacen("HTTP/1.1", "HTTP/1.0", 1),
            Refused(400),
        ),
        (
            "a chunk size beyond 64 bits",
            chunked(format!("1000000000000000{length:x}\r\n{PING}\r\n0\r\n\r\n")),
            Refused(400),
        ),
        (
            "a negative chunk size",
            chunked(format!("-1\r\n{PING}\r\n0\r\n\r\n")),
            Refused(400),
        ),
        (
            "a prefixed chunk size",
            chunked(format!("0x{length:x}\r\n{PING}\r\n0\r\n\r\n")),
            Refused(400),
        ),
        (
            "no chunk size",
            chunked(format!("\r\n{PING}\r\n0\r\n\r\n")),
            Refused(400),
        ),
        (
            "chunks with bare line feeds",
            chunked(format!("{length:x}\n{PING}\n0\n\n")),
            Refused(400),
        ),
        (
            "a line feed in a chunk extension",
            chunked(format!("{length:x};a=b\nx\r\n{PING}\r\n0\r\n\r\n")),
            Refused(400),
        ),
        (
            "a chunk without its end",
            chunked(format!("{length:x}\r\n{PING}0\r\n\r\n")),
            Refused(400),
        ),
        (
            "a chunk larger than what comes",
            post(
                "Transfer-Encoding: chunked\r\n",
                &format!("ffff\r\n{PING}{after}"),
            ),
            Refused(400),
        ),
        (
            "a body larger than what comes",
            post("Content-Length: 5000\r\n", &(PING.to_owned() + &after)),
            Refused(400),
        ),
        ("a folded header", sized("X-A: a\r\n b\r\n"), Refused(400)),
        (
            "a folded first header",
            sized("").replacen("\r\nHost", "\r\n X: a\r\nHost", 1),
            Refused(400),
        ),
        (
            "a header name with a space",
            sized("X A: a\r\n"),
            Refused(400),
        ),
        ("a header without a colon", sized("XA\r\n"), Refused(400)),
        ("a header without a name", sized(": a\r\n"), Refused(400)),
        ("a null byte in a value", sized("X: a\0b\r\n"), Refused(400)),
        ("a null byte in a name", sized("X\0: a\r\n"), Refused(400)),
        (
            "a bare carriage return",
            sized("X: a\rContent-Length: 0\r\n"),
            Refused(400),
        ),
        (
            "a null byte in the target",
            sized("").replacen("/mcp", "/mcp\0", 1),
            Refused(400),
        ),
        (
            "a space in the target",
            sized("").replacen("/mcp", "/mcp x", 1),
            Refused(400),
        ),
        (
            "tabs in the request line",
            sized("").replacen("POST /mcp HTTP", "POST\t/mcp\tHTTP", 1),
            Refused(400),
        ),
        ("HTTP/0.9", format!("GET /mcp\r\n{after}"), Refused(400)),
        (
            "HTTP/0.9 by name",
            sized("").replacen("HTTP/1.1", "HTTP/0.9", 1),
            Refused(400),
        ),
        (
            "HTTP/1.2",
            sized("").replacen("HTTP/1.1", "HTTP/1.2", 1),
            Refused(400),
        ),
        (
            "HTTP/2.0",
            sized("").replacen("HTTP/1.1", "HTTP/2.0", 1),
            Refused(400),
        ),
        (
            "the version in small letters",
            sized("").replacen("HTTP/1.1", "http/1.1", 1),
            Refused(400),
        ),
        (
            "the preface of HTTP/2",
            format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{after}"),
            Refused(400),
        ),
        (
            "a TLS handshake",
            format!("\u{16}\u{3}\u{1}\0\u{1}{after}"),
            Refused(400),
        ),
    ]
}

/// The same without an opinion, for stories with somebody in between.
pub fn doubtful(session: &str) -> impl Iterator<Item = (&'static str, String)> {
    table(session)
        .into_iter()
        .map(|(name, bytes, _)| (name, bytes))
}

/// RFC 9112 sections 2.2, 5, 6, 7 and 11.2 (request smuggling). Where actix-http itself refuses,
/// its answer is 400 without a body; either way there is one answer and the connection ends.
#[tokio::test]
async fn a_request_whose_end_is_in_doubt_gets_one_answer_and_nothing_after_it_runs() {
    let server = Switchboard::start().await;
    let session = open_session(&server).await;
    let mut wrong = Vec::new();
    for (name, bytes, expected) in table(&session) {
        println!("== {name}");
        let mut wire = Wire::connect(&server).await;
        wire.send(bytes).await;
        wire.half_close().await;
        let statuses: Vec<u16> = wire
            .answers()
            .await
            .iter()
            .map(|answer| answer.status)
            .collect();
        let good = match expected {
            Refused(status) => statuses == [status],
            Served => statuses == [200],
        };
        if !good {
            wrong.push(format!("{name}: {statuses:?}, not {expected:?}"));
        }
        let mut wire = Wire::connect(&server).await;
        wire.send(ping(&session).bytes()).await;
        if wire
            .answer()
            .await
            .is_none_or(|answer| answer.status != 200)
        {
            wrong.push(format!(
                "{name}: what was smuggled in has ended the session"
            ));
            break;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(
        server
            .metric(r#"mcp_sessions_closed_total{reason="deleted"}"#)
            .await,
        0.0
    );
}

/// RFC 9112 sections 2.2 and 7.1: what has one reading only is taken, and what follows is a
/// request of its own.
#[tokio::test]
async fn chunks_are_read_as_the_rules_say_and_end_where_they_end() {
    let server = Switchboard::start().await;
    let session = open_session(&server).await;
    let length = PING.len();
    let post = |coding: &str, chunks: String| {
        let request = ping(&session).with("Transfer-Encoding", coding).bytes();
        let head = String::from_utf8(request).unwrap();
        let head = head.strip_suffix(PING).expect("the body comes last");
        format!("{head}{chunks}")
    };
    let plain = format!("{length:x}\r\n{PING}\r\n0\r\n\r\n");
    let (first, second) = PING.split_at(7);
    for request in [
        post("chunked", plain.clone()),
        post("CHUNKED", plain.clone()),
        post(" chunked ", plain),
        post("chunked", format!("000{length:X}\r\n{PING}\r\n000\r\n\r\n")),
        post(
            "chunked",
            format!("{length:x};name=value\r\n{PING}\r\n0\r\n\r\n"),
        ),
        post(
            "chunked",
            format!("{length:x}\r\n{PING}\r\n0\r\nContent-Length: 5\r\n\r\n"),
        ),
        post(
            "chunked",
            format!(
                "7\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
                second.len()
            ),
        ),
        format!(
            "\r\n\r\n{}",
            String::from_utf8(ping(&session).bytes()).unwrap()
        ),
    ] {
        let mut wire = Wire::connect(&server).await;
        wire.send(&request).await;
        wire.send(stateless_call("echo", &json!({"text": "next"})).bytes())
            .await;
        wire.half_close().await;
        let answers = wire.answers().await;
        assert_eq!(answers.len(), 2, "{request}");
        assert_eq!(
            answers[0].message(),
            json!({"jsonrpc": "2.0", "id": 1, "result": {}})
        );
        assert_eq!(answers[1].message()["result"]["content"][0]["text"], "next");
    }
}

/// RFC 9112 section 9.6; ours: a connection with an unread body is closed, not reused, since what
/// follows may be meant as that body. actix-http still takes requests that came in the same piece:
/// they are refused, never executed, and the connection ends.
#[tokio::test]
async fn nothing_that_follows_an_unread_body_or_a_last_request_is_executed() {
    let server = Switchboard::start().await;
    let session = open_session(&server).await;
    let unread = |request: Parts| request.bytes();
    for (name, first, status) in [
        (
            "a content type we do not take",
            unread(ping(&session).set("Content-Type", "text/plain")),
            415,
        ),
        (
            "a path that is not served",
            unread(ping(&session).line("POST /nowhere HTTP/1.1")),
            404,
        ),
        (
            "a foreign host",
            unread(ping(&session).set("Host", "evil.example")),
            403,
        ),
        (
            "a method without a body",
            unread(
                ping(&session)
                    .line("PUT /mcp HTTP/1.1")
                    .with("Content-Length", "40"),
            ),
            405,
        ),
        (
            "a body nobody needs",
            unread(
                ping(&session)
                    .line("GET /health HTTP/1.1")
                    .with("Content-Length", "40"),
            ),
            200,
        ),
        (
            "a last request",
            unread(ping(&session).with("Connection", "close")),
            200,
        ),
        (
            "HTTP/1.0",
            unread(ping(&session).line("POST /mcp HTTP/1.0")),
            200,
        ),
        (
            "chunks nobody reads",
            {
                let mut bytes = Parts::post("")
                    .line("POST /nowhere HTTP/1.1")
                    .with("Transfer-Encoding", "chunked")
                    .bytes();
                bytes.extend_from_slice(b"1\r\nx\r\n0\r\n\r\n");
                bytes
            },
            404,
        ),
    ] {
        println!("== {name}");
        let mut wire = Wire::connect(&server).await;
        let both = [first, smuggled(&session).into_bytes()].concat();
        wire.send(both).await;
        wire.half_close().await;

        let answers = wire.answers().await;

        assert_eq!(answers[0].status, status, "{name}");
        assert!(answers.len() <= 2, "{name}: {answers:?}");
        if let Some(second) = answers.get(1) {
            assert_eq!(second.status, 400, "{name}: {}", second.text());
            assert_eq!(second.header("connection"), "close", "{name}");
        }
        let mut wire = Wire::connect(&server).await;
        wire.send(ping(&session).bytes()).await;
        let answer = wire.answer().await.expect("the session is there");
        assert_eq!(answer.status, 200, "{name} let a smuggled DELETE through");
    }
}

/// RFC 9112 section 9.3.2.
#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let server = Switchboard::start().await;
    let session = open_session(&server).await;
    let calls = (0..20).map(|at| {
        let text = json!({"text": format!("number {at}")});
        if at % 2 == 0 {
            stateless_call("echo", &text).bytes()
        } else {
            session_call(&session, "echo", &text).bytes()
        }
    });
    let mut wire = Wire::connect(&server).await;

    wire.send(calls.collect::<Vec<_>>().concat()).await;

    for at in 0..20 {
        let answer = wire.answer().await.expect("each is answered");
        let text = &answer.message()["result"]["content"][0]["text"];
        assert_eq!(*text, json!(format!("number {at}")));
    }
}

/// Ours: segments mean nothing.
#[tokio::test]
async fn a_request_that_comes_byte_by_byte_is_served() {
    let server = Switchboard::start().await;
    let session = open_session(&server).await;
    let mut wire = Wire::connect(&server).await;
    for request in [
        stateless_call("echo", &json!({"text": "h\u{e9}llo \u{2603}"})),
        session_call(&session, "echo", &json!({"text": "h\u{e9}llo \u{2603}"})),
    ] {
        wire.send_byte_by_byte(&request.bytes()).await;
        let answer = wire.answer().await.expect("it is answered");
        let text = &answer.message()["result"]["content"][0]["text"];
        assert_eq!(*text, "h\u{e9}llo \u{2603}");
    }
}
