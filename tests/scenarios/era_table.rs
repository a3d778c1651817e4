//! Which era a message belongs to, row by row, over raw HTTP.
//!
//! Each table ends with a good request of both eras on the same server: a refusal leaves nothing
//! behind. The rows are those of docs/protocol.md.
//!
//! Spec: 2026-07-28 basic/versioning, basic/transports/streamable-http; 2025-11-25 basic/lifecycle.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::client::post;
use crate::world::{Answer, Session, Switchboard, within};

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const CLIENT: &str = "io.modelcontextprotocol/clientInfo";
/// Every revision we serve, newest first.
const SERVED: [&str; 5] = [
    "2026-07-28",
    "2025-11-25",
    "2025-06-18",
    "2025-03-26",
    "2024-11-05",
];

/// A message as it is posted: which row it is of, under which version header, what it says.
struct Posted {
    row: &'static str,
    header: Option<&'static str>,
    body: Value,
}

const fn posted(row: &'static str, header: Option<&'static str>, body: Value) -> Posted {
    Posted { row, header, body }
}

/// A request that lists tools with this `_meta`.
fn listing(meta: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": "a request", "method": "tools/list", "params": {"_meta": meta}})
}

/// A `_meta` that claims a version and has what goes with it.
fn claim(version: &str) -> Value {
    json!({VERSION: version, CAPABILITIES: {}})
}

/// The same without a claim at all.
fn claimless(method: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": "a request", "method": method})
}

fn handshake(version: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": "a request", "method": "initialize", "params": {
        "protocolVersion": version, "capabilities": {},
        "clientInfo": {"name": "scenario", "version": "1"}}})
}

impl Posted {
    /// Posts it, on a session or on none.
    async fn to(&self, server: &Switchboard, session: Option<&Session>) -> Answer {
        let Self { row, header, body } = self;
        println!("-> {row} under {header:?}: {body}");
        let mut request = post(&crate::world::http_client(), &server.url("/mcp"));
        if let Some(header) = header {
            request = request.header("mcp-protocol-version", *header);
        }
        if let Some(method) = body["method"].as_str() {
            request = request.header("mcp-method", method);
        }
        if let Some(session) = session {
            request = request.header("mcp-session-id", &session.id);
        }
        let sent = within("the answer begins", request.body(body.to_string()).send());
        Answer::read(sent.await.expect("the server answers")).await
    }

    /// Posts it and expects a refusal of the request in it, which echoes its id.
    async fn is_refused(&self, server: &Switchboard, status: u16, code: i64) -> Value {
        let answer = self.to(server, None).await;
        let found = (answer.status, answer.code());
        assert_eq!(found, (status, code), "{}: {}", self.row, answer.text);
        let message = answer.message();
        assert_eq!(message["id"], self.body["id"], "{}", self.row);
        assert_eq!(answer.header("mcp-session-id"), "", "{}", self.row);
        message["error"].clone()
    }
}

/// A request of each era is answered as if nothing had been refused before.
async fn both_eras_are_served(server: &Switchboard) {
    let session = server.session("2025-11-25").await;
    let answer = session.tool("echo", json!({"text": "with"})).await;
    assert_eq!(answer.tool_text(), "with");
    let stateless = server.stateless();
    let answer = stateless.tool("echo", json!({"text": "without"})).await;
    assert_eq!(answer.tool_text(), "without");
}

/// 2026-07-28 basic/versioning (E1); basic/index, request metadata.
#[tokio::test]
async fn a_claim_that_equals_its_header_is_served_without_a_session() {
    let server = Switchboard::start().await;
    let with_client = json!({VERSION: "2026-07-28", CAPABILITIES: {},
        CLIENT: {"name": "scenario", "version": "1"}});

    for meta in [claim("2026-07-28"), with_client] {
        let request = posted("E1", Some("2026-07-28"), listing(meta));
        let answer = request.to(&server, None).await;

        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.result()["resultType"], "complete");
        assert_eq!(answer.header("mcp-session-id"), "");
    }
    assert_eq!(server.metric("mcp_sessions_opened_total").await, 0.0);
    both_eras_are_served(&server).await;
}

/// 2026-07-28 basic/transports/streamable-http, protocol version header (E2, E3).
#[tokio::test]
async fn a_header_that_differs_from_the_claim_or_is_missing_is_a_mismatch() {
    let server = Switchboard::start().await;

    for request in [
        posted("E2", Some("2025-11-25"), listing(claim("2026-07-28"))),
        posted("E2", Some("2026-07-29"), listing(claim("2026-07-28"))),
        posted("E2", Some("nonsense"), listing(claim("2026-07-28"))),
        posted("E2", Some("2026-07-28"), listing(claim("2025-11-25"))),
        posted("E2", Some("2026-07-28"), listing(claim("2027-01-01"))),
        posted("E3", None, listing(claim("2026-07-28"))),
        posted("E2", Some("2026-07-28"), {
            let mut body = handshake("2026-07-28");
            body["params"]["_meta"] = claim("2027-01-01");
            body
        }),
    ] {
        request.is_refused(&server, 400, -32020).await;
    }
    both_eras_are_served(&server).await;
}

/// 2026-07-28 basic/versioning, unsupported versions (E4).
#[tokio::test]
async fn a_version_nobody_serves_is_refused_with_those_that_are() {
    let server = Switchboard::start().await;

    for version in ["2027-01-01", "2026-07-29", "1999-12-31", "latest"] {
        let request = posted("E4", Some(version), listing(claim(version)));
        let error = request.is_refused(&server, 400, -32022).await;

        let data = json!({"supported": SERVED, "requested": version});
        assert_eq!(error["data"], data);
    }
    both_eras_are_served(&server).await;
}

/// 2026-07-28 basic/index, request metadata (E5): never served as a request without a claim.
#[tokio::test]
async fn a_malformed_claim_is_refused_and_named() {
    let server = Switchboard::start().await;
    let malformed = |key: &'static str, value: Value| {
        let mut meta = claim("2026-07-28");
        meta[key] = value;
        (key, meta)
    };

    for (key, meta) in [
        malformed(VERSION, json!(20_260_728)),
        malformed(VERSION, json!(null)),
        malformed(VERSION, json!({})),
        (CAPABILITIES, json!({VERSION: "2026-07-28"})),
        malformed(CAPABILITIES, json!(null)),
        malformed(CAPABILITIES, json!([])),
        malformed(CAPABILITIES, json!("all")),
        malformed(CLIENT, json!("me")),
        malformed(CLIENT, json!({"name": 1, "version": "1"})),
    ] {
        let headers: &[_] = if key == VERSION {
            &[Some("2026-07-28"), Some("2025-11-25"), None]
        } else {
            &[Some("2026-07-28")]
        };
        for header in headers {
            let request = posted("E5", *header, listing(meta.clone()));
            let error = request.is_refused(&server, 400, -32602).await;
            let text = error["message"].to_string();
            assert!(text.contains(key), "{text} names {key}");
        }
    }
    both_eras_are_served(&server).await;
}

/// 2026-07-28 basic/versioning (E6): a header that needs a claim does not do without.
#[tokio::test]
async fn a_request_under_a_stateless_header_needs_its_claim() {
    let server = Switchboard::start().await;

    for header in ["2026-07-28", "2027-01-01"] {
        for body in [
            claimless("tools/list"),
            claimless("ping"),
            listing(json!({})),
            listing(json!({CAPABILITIES: {}})),
            listing(json!({"progressToken": 1})),
        ] {
            let request = posted("E6", Some(header), body);
            let error = request.is_refused(&server, 400, -32602).await;
            let text = error["message"].to_string();
            assert!(text.contains(VERSION), "{text}");
        }
    }
    both_eras_are_served(&server).await;
}

/// 2025-11-25 basic/transports, session management (E7): without a claim it is of a session.
#[tokio::test]
async fn a_request_without_a_claim_belongs_to_its_session() {
    let server = Switchboard::start().await;
    let session = server.session("2025-11-25").await;

    for header in [None, Some("2025-11-25")] {
        let request = posted("E7", header, claimless("tools/list"));

        let answer = request.to(&server, Some(&session)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.result().get("resultType"), None);
        assert_eq!(answer.message()["id"], "a request");

        request.is_refused(&server, 400, -32600).await;
    }
    both_eras_are_served(&server).await;
}

/// 2025-11-25 basic/lifecycle, version negotiation (E8): a handshake gets a revision that has one.
#[tokio::test]
async fn a_handshake_gets_a_revision_that_has_one_whatever_it_names() {
    let server = Switchboard::start().await;

    for (named, header, negotiated) in [
        ("2024-11-05", None, "2024-11-05"),
        ("2025-03-26", None, "2025-03-26"),
        ("2025-06-18", Some("2025-06-18"), "2025-06-18"),
        ("2025-11-25", Some("2025-03-26"), "2025-11-25"),
        ("2026-07-28", None, "2025-11-25"),
        ("2026-07-28", Some("2025-11-25"), "2025-11-25"),
        ("2030-01-01", None, "2025-11-25"),
        ("one", None, "2025-11-25"),
    ] {
        let request = posted("E8", header, handshake(named));
        let answer = request.to(&server, None).await;

        assert_eq!(answer.status, 200, "{named}: {}", answer.text);
        assert_eq!(answer.result()["protocolVersion"], negotiated, "{named}");
        assert_eq!(answer.message()["id"], "a request");
        assert_ne!(answer.header("mcp-session-id"), "");
    }
    both_eras_are_served(&server).await;
}

/// 2026-07-28 basic/versioning (E9, E10): a handshake and a stateless version exclude each other.
#[tokio::test]
async fn a_handshake_in_the_stateless_era_opens_nothing() {
    let server = Switchboard::start().await;
    let mut claimed = handshake("2026-07-28");
    claimed["params"]["_meta"] = claim("2026-07-28");

    for named in ["2026-07-28", "2025-11-25"] {
        let request = posted("E9", Some("2026-07-28"), handshake(named));
        request.is_refused(&server, 400, -32020).await;
    }
    let request = posted("E10", Some("2026-07-28"), claimed);
    request.is_refused(&server, 404, -32601).await;

    assert_eq!(server.metric("mcp_sessions_opened_total").await, 0.0);
    both_eras_are_served(&server).await;
}

/// 2026-07-28 basic/versioning (E11): a revision with a handshake cannot be claimed.
#[tokio::test]
async fn a_claim_of_a_revision_with_a_handshake_is_refused() {
    let server = Switchboard::start().await;

    for version in &SERVED[1..] {
        let request = posted("E11", Some(version), listing(claim(version)));
        let error = request.is_refused(&server, 400, -32022).await;

        let data = json!({"supported": ["2026-07-28"], "requested": version});
        assert_eq!(error["data"], data);
        let text = error["message"].to_string();
        assert!(text.contains("initialize"), "{text}");
    }
    both_eras_are_served(&server).await;
}

/// 2026-07-28 basic/transports/streamable-http, sending messages (E12); 2025-11-25 (E13).
#[tokio::test]
async fn notifications_are_accepted_without_an_answer() {
    let server = Switchboard::start().await;
    let session = server.session("2025-11-25").await;
    let notification = |method: &str| json!({"jsonrpc": "2.0", "method": method});

    for method in ["notifications/cancelled", "notifications/unheard-of"] {
        let stateless = posted("E12", Some("2026-07-28"), notification(method));
        let answer = stateless.to(&server, None).await;
        assert_eq!((answer.status, answer.text.as_str()), (202, ""), "{method}");

        for header in [None, Some("2025-11-25")] {
            let message = posted("E13", header, notification(method));
            let answer = message.to(&server, Some(&session)).await;
            assert_eq!((answer.status, answer.text.as_str()), (202, ""), "{method}");

            let answer = message.to(&server, None).await;
            assert_eq!((answer.status, answer.code()), (400, -32600), "{method}");
            assert_eq!(answer.message().get("id"), None, "a notification has none");
        }
    }
    both_eras_are_served(&server).await;
}

/// 2026-07-28 basic/transports/streamable-http (E14): nobody asked, so nobody may answer.
#[tokio::test]
async fn an_answer_belongs_to_a_session_and_not_to_the_stateless_era() {
    let server = Switchboard::start().await;
    let session = server.session("2025-11-25").await;

    for body in [
        json!({"jsonrpc": "2.0", "id": 1, "result": {}}),
        json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -1, "message": "no"}}),
    ] {
        let late = posted("E14", Some("2025-11-25"), body.clone());
        let answer = late.to(&server, Some(&session)).await;
        assert_eq!((answer.status, answer.text.as_str()), (202, ""));

        let stateless = posted("E14", Some("2026-07-28"), body);
        for session in [None, Some(&session)] {
            let answer = stateless.to(&server, session).await;
            assert_eq!((answer.status, answer.code()), (400, -32600));
        }
    }
    both_eras_are_served(&server).await;
}

/// 2025-03-26 basic/index, batching; 2025-06-18 changelog (E15 to E17).
#[tokio::test]
async fn only_old_sessions_take_batches() {
    let server = Switchboard::start().await;
    let batch = || json!([{"jsonrpc": "2.0", "id": 1, "method": "ping"}]);
    let claimed =
        || json!([{"jsonrpc": "2.0", "id": 1, "method": "ping"}, listing(claim("2026-07-28"))]);

    for version in &SERVED[1..] {
        let session = server.session(version).await;
        let answer = posted("E16", None, batch())
            .to(&server, Some(&session))
            .await;
        if ["2025-03-26", "2024-11-05"].contains(version) {
            assert_eq!(answer.status, 200, "{version}: {}", answer.text);
            let answers: Vec<_> = if answer.is_stream() {
                answer
                    .events()
                    .iter()
                    .map(crate::world::Event::json)
                    .collect()
            } else {
                let answers = answer.message();
                answers.as_array().expect("a batch answers a batch").clone()
            };
            assert_eq!(answers, [json!({"jsonrpc": "2.0", "id": 1, "result": {}})]);
        } else {
            assert_eq!(
                (answer.status, answer.code()),
                (400, -32600),
                "E17 {version}"
            );
        }
        let answer = posted("E15", None, claimed())
            .to(&server, Some(&session))
            .await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, -32600),
            "E15 {version}"
        );
    }
    for (row, body) in [("E17", batch()), ("E15", claimed())] {
        let answer = posted(row, Some("2026-07-28"), body)
            .to(&server, None)
            .await;
        assert_eq!((answer.status, answer.code()), (400, -32600), "{row}");
    }
    both_eras_are_served(&server).await;
}

/// 2026-07-28 basic/transports/streamable-http (E18); 2025-11-25 basic/transports (E19); RFC 9110
/// section 15.5.6 (E20).
#[tokio::test]
async fn each_era_has_its_http_methods() {
    let server = Switchboard::start().await;
    let session = server.session("2025-11-25").await;
    let send = async |method: Method, header: Option<&str>, session: Option<&Session>| {
        let mut request = crate::world::http_client()
            .request(method, server.url("/mcp"))
            .header("accept", "text/event-stream");
        if let Some(header) = header {
            request = request.header("mcp-protocol-version", header);
        }
        if let Some(session) = session {
            request = request.header("mcp-session-id", &session.id);
        }
        within("the answer begins", request.send())
            .await
            .expect("the server answers")
    };

    for method in [Method::GET, Method::DELETE] {
        for header in ["2026-07-28", "2027-01-01"] {
            for session in [None, Some(&session)] {
                let answer = Answer::read(send(method.clone(), Some(header), session).await).await;
                assert_eq!(answer.status, 405, "E18 {method} {header}");
                assert_eq!(answer.header("allow"), "POST");
            }
        }
        let answer = Answer::read(send(method.clone(), None, None).await).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, -32600),
            "E19 {method}"
        );
    }
    for method in [Method::PUT, Method::PATCH, Method::OPTIONS] {
        for header in [None, Some("2026-07-28")] {
            let answer = Answer::read(send(method.clone(), header, None).await).await;
            assert_eq!(answer.status, 405, "E20 {method}");
            assert_eq!(answer.header("allow"), "GET, POST, DELETE");
        }
    }
    let stream = send(Method::GET, None, Some(&session)).await;
    assert_eq!(stream.status(), 200, "E19");
    let ended = send(Method::DELETE, Some("2025-11-25"), Some(&session)).await;
    assert!(ended.status().is_success(), "E19 {}", ended.status());
    both_eras_are_served(&server).await;
}

/// JSON-RPC 2.0 section 5.1 (E21); 2026-07-28 basic/index, messages.
#[tokio::test]
async fn what_is_no_message_is_refused_in_either_era() {
    let server = Switchboard::start().await;
    let request = |id: Value| {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/list",
            "params": {"_meta": claim("2026-07-28")}})
        .to_string()
    };

    for (body, code, id) in [
        ("{".to_owned(), -32700, None),
        (String::new(), -32700, None),
        ("\u{feff}{}".to_owned(), -32700, None),
        ("{}".to_owned(), -32600, None),
        ("[]".to_owned(), -32600, None),
        (
            r#"{"id": 7, "method": "ping"}"#.to_owned(),
            -32600,
            Some(json!(7)),
        ),
        (
            r#"{"jsonrpc": "1.0", "id": 7, "method": "ping"}"#.to_owned(),
            -32600,
            Some(json!(7)),
        ),
        (
            r#"{"jsonrpc": "2.0", "id": "x"}"#.to_owned(),
            -32600,
            Some(json!("x")),
        ),
        (request(json!(null)), -32600, None),
        (request(json!(1.5)), -32600, None),
        (request(json!([1])), -32600, None),
        (request(json!(true)), -32600, None),
    ] {
        for header in [None, Some("2025-11-25"), Some("2026-07-28")] {
            println!("-> E21 under {header:?}: {body}");
            let mut request = post(&crate::world::http_client(), &server.url("/mcp"));
            if let Some(header) = header {
                request = request.header("mcp-protocol-version", header);
            }
            let answer = within("the answer begins", request.body(body.clone()).send()).await;
            let answer = Answer::read(answer.expect("the server answers")).await;
            assert_eq!((answer.status, answer.code()), (400, code), "{body}");
            assert_eq!(answer.message().get("id"), id.as_ref(), "{body}");
        }
    }
    both_eras_are_served(&server).await;
}
