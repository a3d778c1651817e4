//! What is refused, told as tables over a real socket: each row is a request, byte for byte, and
//! the whole of what must come back. After every row the process is healthy, serves both eras on
//! fresh connections, and has counted the refusal under its reason and no other.

use serde_json::{Value, json};

use crate::world::Switchboard;
use crate::world::wire::{Parts, Wire, WireAnswer, session_call, stateless_call};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;
/// Every reason there is, so that a refusal is counted once and nowhere else.
const REASONS: [&str; 9] = [
    "host",
    "origin",
    "malformed",
    "media_type",
    "body_size",
    "header_size",
    "unknown_session",
    "version",
    "slow",
];

/// One refused request.
struct Row {
    name: String,
    request: Vec<u8>,
    status: u16,
    /// Of the JSON-RPC error; without one there is no body.
    code: Option<i64>,
    id: Option<Value>,
    header: Option<(&'static str, &'static str)>,
    reason: Option<&'static str>,
}

/// A refusal of ours: a status, a JSON-RPC error without an id, and a reason it is counted under.
fn row(
    name: impl Into<String>,
    request: &Parts,
    (status, code): (u16, i64),
    reason: &'static str,
) -> Row {
    Row {
        name: name.into(),
        request: request.bytes(),
        status,
        code: Some(code),
        id: None,
        header: None,
        reason: Some(reason),
    }
}

/// A refusal of the HTTP parser below us: it has no body, closes the connection, and happens
/// before there is a request that we could count.
fn by_the_parser(name: impl Into<String>, request: &Parts, status: u16) -> Row {
    Row {
        code: None,
        reason: None,
        header: Some(("connection", "close")),
        ..row(name, request, (status, 0), "")
    }
}

impl Row {
    fn echoing(self, id: Value) -> Self {
        Self {
            id: Some(id),
            ..self
        }
    }

    fn with_header(self, name: &'static str, value: &'static str) -> Self {
        Self {
            header: Some((name, value)),
            ..self
        }
    }

    /// What is wrong with the answer.
    fn judge(&self, answer: &WireAnswer) -> Vec<String> {
        let mut wrong = Vec::new();
        let message = answer.message();
        if answer.status != self.status {
            wrong.push(format!("status {}, not {}", answer.status, self.status));
        }
        match self.code {
            None if !answer.body.is_empty() => wrong.push("a body".to_owned()),
            None => {}
            Some(code) if message["error"]["code"] != code => {
                wrong.push(format!("not {code}: {}", answer.text()));
            }
            Some(_) if message["jsonrpc"] != "2.0" || !message["error"]["message"].is_string() => {
                wrong.push(format!("not JSON-RPC: {}", answer.text()));
            }
            Some(_) if answer.header("content-type") != "application/json" => {
                wrong.push(format!("content type {:?}", answer.header("content-type")));
            }
            // A refusal repeats little of what it refuses.
            Some(_) if answer.body.len() > 512 => wrong.push("a long body".to_owned()),
            Some(_) => {}
        }
        if message.get("id") != self.id.as_ref() {
            wrong.push(format!("id {:?}, not {:?}", message.get("id"), self.id));
        }
        if let Some((name, value)) = self.header
            && answer.header(name) != value
        {
            wrong.push(format!("{name}: {:?}, not {value:?}", answer.header(name)));
        }
        wrong
    }
}

async fn refused(server: &Switchboard) -> Vec<f64> {
    let text = crate::world::get(server.url("/metrics")).await.unwrap();
    let text = text.text().await.unwrap();
    let count = |reason: &&str| {
        let line = format!("mcp_refused_total{{reason=\"{reason}\"}} ");
        text.lines()
            .find_map(|text| text.strip_prefix(&line))
            .map_or(0.0, |count| count.parse().unwrap())
    };
    REASONS.iter().map(count).collect()
}

async fn is_served(server: &Switchboard, request: &Parts) -> bool {
    let mut wire = Wire::connect(server).await;
    wire.send(request.bytes()).await;
    let answer = wire.answer().await;
    answer.is_some_and(|answer| answer.status == 200 && answer.message().get("result").is_some())
}

/// Opens a session at `/mcp` and returns its id.
async fn session(server: &Switchboard) -> String {
    let mut wire = Wire::connect(server).await;
    wire.send(Parts::post(INITIALIZE).bytes()).await;
    let answer = wire.answer().await.expect("the handshake is answered");
    answer.header("mcp-session-id").to_owned()
}

/// Holds every row to its answer, and the server to its health after each.
async fn hold(server: &Switchboard, rows: Vec<Row>) {
    let session = session(server).await;
    let mut wrong = Vec::new();
    let mut before = refused(server).await;
    for row in rows {
        println!("== {}", row.name);
        let mut wire = Wire::connect(server).await;
        wire.send(&row.request).await;
        match wire.answer().await {
            None => wrong.push(format!("{}: no answer", row.name)),
            Some(answer) => {
                let complaints = row.judge(&answer);
                wrong.extend(
                    complaints
                        .iter()
                        .map(|what| format!("{}: {what}", row.name)),
                );
            }
        }
        let after = refused(server).await;
        for ((reason, before), after) in REASONS.iter().zip(&before).zip(&after) {
            let expected = f64::from(u8::from(row.reason == Some(*reason)));
            if (after - before - expected).abs() > 0.5 {
                let counted = after - before;
                wrong.push(format!("{}: {reason} counted {counted}", row.name));
            }
        }
        before = after;
        let ping = Parts::post(PING).with("Mcp-Session-Id", &session);
        if !is_served(server, &ping).await {
            wrong.push(format!("{}: the session is not served after it", row.name));
        }
        let echo = stateless_call("echo", &json!({"text": "still here"}));
        if !is_served(server, &echo).await {
            wrong.push(format!("{}: nothing is served after it", row.name));
        }
    }
    assert!(server.is_healthy().await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn nested(depth: usize) -> String {
    // The envelope and `params` are two levels.
    let (open, close) = (r#"{"a":"#.repeat(depth - 2), "}".repeat(depth - 2));
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":{open}1{close}}}}}"#)
}

/// basic/transports (2025-11-25), sending messages; ours: what two decoders could read differently
/// is refused before either does.
#[tokio::test]
async fn a_body_that_is_not_one_plain_json_document_is_a_parse_error() {
    let server = Switchboard::start().await;
    let session = session(&server).await;
    let many = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":[{}1]}}}}"#,
        "1,".repeat(200_000)
    );
    let table: &[(&str, &[u8])] = &[
        ("empty", b""),
        ("white space", b" \r\n"),
        ("cut off", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\""),
        ("two documents", br#"{"jsonrpc":"2.0","id":1,"method":"ping"}{"jsonrpc":"2.0","id":2,"method":"ping"}"#),
        ("a document and more", br#"{"jsonrpc":"2.0","id":1,"method":"ping"} 1"#),
        ("not UTF-8", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}"),
        ("an overlong encoding", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xc0\xaf\"}"),
        ("a byte order mark", b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}"),
        ("UTF-16", b"{\0\"\0}\0"),
        ("nested 65 deep", &nested(65).into_bytes()),
        ("200,001 members and more", many.as_bytes()),
        ("a key twice", br#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}"#),
        ("an id twice", br#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#),
        ("a key twice, once escaped", br#"{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/list"}"#),
        ("a key twice, deep down", br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"a","text":"b"}}}"#),
        ("a key twice in an array", br#"[{"jsonrpc":"2.0","id":1,"method":"ping","id":2}]"#),
        ("a key in another case beside it", br#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/list"}"#),
        ("a key in another case", br#"{"jsonrpc":"2.0","ID":1,"method":"ping"}"#),
        ("a number", b"17"),
        ("a string", br#""ping""#),
        ("a literal", b"null"),
        ("a trailing comma", br#"{"jsonrpc":"2.0","id":1,"method":"ping",}"#),
        ("a comment", br#"{"jsonrpc":"2.0","id":1,"method":"ping"/**/}"#),
        ("not a number", br#"{"jsonrpc":"2.0","id":NaN,"method":"ping"}"#),
        ("a leading zero", br#"{"jsonrpc":"2.0","id":01,"method":"ping"}"#),
        ("half a surrogate pair", br#"{"jsonrpc":"2.0","id":1,"method":"\ud800"}"#),
        ("a control character", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\x01\"}"),
        ("a form", b"jsonrpc=2.0&id=1&method=ping"),
    ];
    let rows = table.iter().map(|(name, body)| {
        let request = Parts::post(body).with("Mcp-Session-Id", &session);
        row(*name, &request, (400, -32_700), "malformed")
    });
    hold(&server, rows.collect()).await;

    // The edges of these rules pass: 64 levels, and names that differ in case only and are nothing to us.
    for body in [
        nested(64),
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","x":1,"X":2,"params":{"Id":3}}"#.to_owned(),
    ] {
        let request = Parts::post(body).with("Mcp-Session-Id", &session);
        assert!(is_served(&server, &request).await);
    }
}

/// basic/index (2025-11-25), messages; ours: an array is never read as an object, and a refusal
/// echoes an id it could read.
#[tokio::test]
async fn json_that_is_not_a_json_rpc_message_is_an_invalid_request() {
    let server = Switchboard::start().await;
    let session = session(&server).await;
    let long_id = format!(
        r#"{{"jsonrpc":"2.0","id":"{}","method":"ping"}}"#,
        "x".repeat(257)
    );
    let many = format!("[{}]", vec![PING; 101].join(","));
    let batch = format!("[{PING}]");
    let handshake = format!("[{INITIALIZE}]");
    let one = Some(json!(1));
    let table: &[(&str, &str, Option<Value>)] = &[
        (
            "params an array",
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#,
            one.clone(),
        ),
        (
            "params null",
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#,
            one.clone(),
        ),
        (
            "params a string",
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":"a"}"#,
            one.clone(),
        ),
        (
            "id null",
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            None,
        ),
        (
            "id a fraction",
            r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
            None,
        ),
        (
            "id written as a fraction",
            r#"{"jsonrpc":"2.0","id":1.0,"method":"ping"}"#,
            None,
        ),
        (
            "id with an exponent",
            r#"{"jsonrpc":"2.0","id":1e3,"method":"ping"}"#,
            None,
        ),
        (
            "id 2^53",
            r#"{"jsonrpc":"2.0","id":9007199254740992,"method":"ping"}"#,
            None,
        ),
        (
            "id 2^64",
            r#"{"jsonrpc":"2.0","id":18446744073709551616,"method":"ping"}"#,
            None,
        ),
        ("id of 257 bytes", &long_id, None),
        (
            "id true",
            r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#,
            None,
        ),
        (
            "id an array",
            r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#,
            None,
        ),
        (
            "id an object",
            r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
            None,
        ),
        (
            "method a number",
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            one.clone(),
        ),
        (
            "method null",
            r#"{"jsonrpc":"2.0","id":1,"method":null}"#,
            one.clone(),
        ),
        (
            "method an array",
            r#"{"jsonrpc":"2.0","id":1,"method":["ping"]}"#,
            one.clone(),
        ),
        ("no jsonrpc", r#"{"id":1,"method":"ping"}"#, one.clone()),
        (
            "jsonrpc 1.0",
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            one.clone(),
        ),
        (
            "jsonrpc a number",
            r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#,
            one.clone(),
        ),
        ("only an id", r#"{"jsonrpc":"2.0","id":1}"#, one.clone()),
        (
            "a request with a result",
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
            one.clone(),
        ),
        (
            "a result and an error",
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}"#,
            one.clone(),
        ),
        (
            "a result without an id",
            r#"{"jsonrpc":"2.0","result":{}}"#,
            None,
        ),
        (
            "an error that is an array",
            r#"{"jsonrpc":"2.0","id":1,"error":[1,"x"]}"#,
            one.clone(),
        ),
        ("an empty object", "{}", None),
        ("an empty batch", "[]", None),
        ("a batch of 101", &many, None),
        ("a batch after 2025-03-26", &batch, None),
        ("a handshake in a batch", &handshake, None),
        ("an array of numbers", "[1]", None),
    ];
    let rows = table.iter().map(|(name, body, id)| {
        let request = Parts::post(body).with("Mcp-Session-Id", &session);
        let row = row(*name, &request, (400, -32_600), "malformed");
        Row {
            id: id.clone(),
            ..row
        }
    });
    hold(&server, rows.collect()).await;
}

/// basic/lifecycle (2025-11-25), initialization; ours: an array is never read as an object.
#[tokio::test]
async fn a_handshake_that_lacks_something_opens_no_session() {
    let server = Switchboard::start().await;
    let opened = "mcp_sessions_opened_total";
    let table = [
        ("nothing", "{}"),
        (
            "no version",
            r#"{"capabilities":{},"clientInfo":{"name":"c","version":"1"}}"#,
        ),
        (
            "no capabilities",
            r#"{"protocolVersion":"2025-11-25","clientInfo":{"name":"c","version":"1"}}"#,
        ),
        (
            "no client",
            r#"{"protocolVersion":"2025-11-25","capabilities":{}}"#,
        ),
        (
            "version a number",
            r#"{"protocolVersion":1,"capabilities":{},"clientInfo":{"name":"c","version":"1"}}"#,
        ),
        (
            "capabilities an array",
            r#"{"protocolVersion":"2025-11-25","capabilities":[],"clientInfo":{"name":"c","version":"1"}}"#,
        ),
        (
            "capabilities null",
            r#"{"protocolVersion":"2025-11-25","capabilities":null,"clientInfo":{"name":"c","version":"1"}}"#,
        ),
        (
            "a capability a number",
            r#"{"protocolVersion":"2025-11-25","capabilities":{"sampling":1},"clientInfo":{"name":"c","version":"1"}}"#,
        ),
        (
            "the client an array",
            r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":["c","1"]}"#,
        ),
        (
            "the client without a version",
            r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c"}}"#,
        ),
    ];
    let mut rows = table
        .iter()
        .map(|(name, params)| {
            let body =
                format!(r#"{{"jsonrpc":"2.0","id":"i","method":"initialize","params":{params}}}"#);
            row(*name, &Parts::post(body), (400, -32_602), "malformed").echoing(json!("i"))
        })
        .collect::<Vec<_>>();
    let bare = Parts::post(r#"{"jsonrpc":"2.0","id":"i","method":"initialize"}"#);
    rows.push(row("no params", &bare, (400, -32_602), "malformed").echoing(json!("i")));
    let known = session(&server).await;
    rows.extend([
        row(
            "in a session that is open",
            &Parts::post(INITIALIZE).with("Mcp-Session-Id", &known),
            (400, -32_600),
            "malformed",
        )
        .echoing(json!(0)),
        row(
            "in a session that is not",
            &Parts::post(INITIALIZE).with("Mcp-Session-Id", "nobody"),
            (404, -32_600),
            "unknown_session",
        )
        .echoing(json!(0)),
        row(
            "under a stateless version header",
            &Parts::post(INITIALIZE).with("MCP-Protocol-Version", "2026-07-28"),
            (400, -32_020),
            "version",
        )
        .echoing(json!(0)),
    ]);
    let before = server.metric(opened).await;

    hold(&server, rows).await;

    // One more: the one that the table itself was held with.
    assert_eq!(server.metric(opened).await, before + 1.0);
}

/// basic/transports (2025-11-25), session management and protocol version header; ours: a session
/// belongs to the endpoint it was opened at, and an id that was tampered with is just unknown.
#[tokio::test]
async fn a_session_header_opens_one_door_only() {
    let server = Switchboard::with()
        .config(
            "[endpoints.main]\npath = \"/mcp\"\nbuiltin = \"demo\"\n\
             [endpoints.other]\npath = \"/other\"\nbuiltin = \"demo\"",
        )
        .start()
        .await;
    let id = session(&server).await;
    let mut forged = id.clone().into_bytes();
    let last = forged.len() - 2;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let ping = |id: &[u8]| Parts::post(PING).with("Mcp-Session-Id", id);
    let unknown = [
        (
            "of another endpoint",
            ping(id.as_bytes()).line("POST /other HTTP/1.1"),
        ),
        ("tampered with", ping(&forged)),
        ("cut short", ping(&id.as_bytes()[..id.len() - 1])),
        ("garbage", ping(b"garbage")),
        ("in another case", ping(id.to_ascii_lowercase().as_bytes())),
        ("empty", ping(b"")),
        ("a path", ping(b"../../etc/passwd")),
        ("of 4000 bytes", ping("x".repeat(4_000).as_bytes())),
    ];
    let mut rows = unknown
        .iter()
        .map(|(name, request)| {
            row(*name, request, (404, -32_600), "unknown_session").echoing(json!(1))
        })
        .collect::<Vec<_>>();
    for (name, request) in [
        ("missing", Parts::post(PING)),
        ("repeated", ping(id.as_bytes()).with("Mcp-Session-Id", &id)),
        ("not ASCII", ping(b"\xc3\xa9")),
        (
            "with a version header that is repeated",
            ping(id.as_bytes())
                .with("MCP-Protocol-Version", "2025-11-25")
                .with("MCP-Protocol-Version", "2025-11-25"),
        ),
    ] {
        rows.push(row(name, &request, (400, -32_600), "malformed").echoing(json!(1)));
    }
    for version in ["1999-01-01", "2025-11-25x", "latest", ""] {
        let request = ping(id.as_bytes()).with("MCP-Protocol-Version", version);
        let name = format!("with version header {version:?}");
        rows.push(row(name, &request, (400, -32_600), "version").echoing(json!(1)));
    }
    for method in ["GET", "DELETE"] {
        let stray = |id: &str| Parts::of(method, "/mcp").with("Mcp-Session-Id", id);
        rows.push(row(
            format!("{method} without one"),
            &Parts::of(method, "/mcp"),
            (400, -32_600),
            "malformed",
        ));
        rows.push(row(
            format!("{method} of an unknown one"),
            &stray("nobody"),
            (404, -32_600),
            "unknown_session",
        ));
        rows.push(row(
            format!("{method} at another endpoint"),
            &stray(&id).line(format!("{method} /other HTTP/1.1")),
            (404, -32_600),
            "unknown_session",
        ));
    }
    hold(&server, rows).await;
    assert!(
        is_served(&server, &ping(id.as_bytes())).await,
        "it is still open"
    );
}

/// 2026-07-28 basic/transports/streamable-http, standard headers and status codes; ours: each
/// header that may steer a request comes once and printable.
#[tokio::test]
async fn a_stateless_request_whose_headers_do_not_say_what_its_body_says_is_refused() {
    let server = Switchboard::start().await;
    let good = || stateless_call("echo", &json!({"text": "a"}));
    let claim = |version: &str| {
        let body = json!({"jsonrpc": "2.0", "id": "s", "method": "ping", "params": {"_meta": {
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {}}}});
        Parts::post(body.to_string())
            .with("MCP-Protocol-Version", version)
            .with("Mcp-Method", "ping")
    };
    let meta = |meta: Value| {
        let body =
            json!({"jsonrpc": "2.0", "id": "s", "method": "tools/list", "params": {"_meta": meta}});
        Parts::post(body.to_string())
            .with("MCP-Protocol-Version", "2026-07-28")
            .with("Mcp-Method", "tools/list")
    };
    let version_key = "io.modelcontextprotocol/protocolVersion";
    let capabilities_key = "io.modelcontextprotocol/clientCapabilities";
    let info_key = "io.modelcontextprotocol/clientInfo";
    let differ = (400, -32_020);
    let rows = vec![
        row(
            "no version",
            &good().without("MCP-Protocol-Version"),
            differ,
            "version",
        ),
        row(
            "another version",
            &good().set("MCP-Protocol-Version", "2025-11-25"),
            differ,
            "version",
        ),
        row(
            "the version twice",
            &good().with("MCP-Protocol-Version", "2026-07-28"),
            differ,
            "malformed",
        ),
        row(
            "the version not ASCII",
            &good().set("MCP-Protocol-Version", b"2026-07-28\xff"),
            differ,
            "malformed",
        ),
        row(
            "no method",
            &good().without("Mcp-Method"),
            differ,
            "malformed",
        ),
        row(
            "another method",
            &good().set("Mcp-Method", "tools/list"),
            differ,
            "malformed",
        ),
        row(
            "the method in another case",
            &good().set("Mcp-Method", "Tools/Call"),
            differ,
            "malformed",
        ),
        row(
            "the method twice",
            &good().with("Mcp-Method", "tools/call"),
            differ,
            "malformed",
        ),
        row("no name", &good().without("Mcp-Name"), differ, "malformed"),
        row(
            "another name",
            &good().set("Mcp-Name", "countdown"),
            differ,
            "malformed",
        ),
        row(
            "the name in another case",
            &good().set("Mcp-Name", "Echo"),
            differ,
            "malformed",
        ),
        row(
            "the name twice",
            &good().with("Mcp-Name", "echo"),
            differ,
            "malformed",
        ),
        row(
            "the name not ASCII",
            &good().set("Mcp-Name", "\u{e9}cho"),
            differ,
            "malformed",
        ),
        row(
            "the name in broken base64",
            &good().set("Mcp-Name", "=?base64?!?="),
            differ,
            "malformed",
        ),
        row(
            "the name in unpadded base64",
            &good().set("Mcp-Name", "=?base64?ZWNobw?="),
            differ,
            "malformed",
        ),
        row(
            "a parameter nobody knows, twice",
            &good().with("Mcp-Param-X", "1").with("Mcp-Param-X", "2"),
            differ,
            "malformed",
        ),
        row(
            "a parameter nobody knows, not ASCII",
            &good().with("Mcp-Param-X", b"\xe9"),
            differ,
            "malformed",
        ),
        row(
            "a version nobody knows",
            &claim("2099-01-01"),
            (400, -32_022),
            "version",
        ),
        row(
            "a version of the past",
            &claim("1999-01-01"),
            (400, -32_022),
            "version",
        ),
        row(
            "a version that needs a handshake",
            &claim("2025-11-25"),
            (400, -32_022),
            "version",
        ),
        row(
            "a method that was removed",
            &claim("2026-07-28"),
            (404, -32_601),
            "malformed",
        ),
        row("no claim", &meta(json!({})), (400, -32_602), "version"),
        row(
            "a claim that is a number",
            &meta(json!({version_key: 1})),
            (400, -32_602),
            "version",
        ),
        row(
            "no capabilities",
            &meta(json!({version_key: "2026-07-28"})),
            (400, -32_602),
            "version",
        ),
        row(
            "capabilities an array",
            &meta(json!({version_key: "2026-07-28", capabilities_key: []})),
            (400, -32_602),
            "version",
        ),
        row(
            "the client an array",
            &meta(json!({version_key: "2026-07-28", capabilities_key: {}, info_key: ["c", "1"]})),
            (400, -32_602),
            "version",
        ),
    ];
    let mut rows: Vec<Row> = rows
        .into_iter()
        .map(|row| row.echoing(json!("s")))
        .collect();
    let stateless = |body: &str| Parts::post(body).with("MCP-Protocol-Version", "2026-07-28");
    rows.extend([
        row(
            "a posted answer",
            &stateless(r#"{"jsonrpc":"2.0","id":"s","result":{}}"#),
            (400, -32_600),
            "version",
        ),
        row(
            "a batch",
            &stateless(&format!("[{PING}]")),
            (400, -32_600),
            "malformed",
        ),
    ]);
    for method in ["GET", "DELETE"] {
        let request = Parts::of(method, "/mcp").with("MCP-Protocol-Version", "2026-07-28");
        rows.push(row(method, &request, (405, -32_600), "malformed").with_header("allow", "POST"));
    }
    hold(&server, rows).await;

    // Not refused: a wrapped name, and what belongs to the other era.
    for request in [
        good().set("Mcp-Name", "=?base64?ZWNobw==?="),
        good()
            .with("Mcp-Session-Id", "stray")
            .with("Last-Event-ID", "stray"),
    ] {
        assert!(is_served(&server, &request).await);
    }
}

/// basic/transports (every revision), security warning: DNS rebinding; RFC 9112 section 3.2.
#[tokio::test]
async fn a_foreign_host_or_origin_reaches_nothing() {
    let server = Switchboard::start().await;
    let good = || stateless_call("echo", &json!({"text": "a"}));
    let target = |target: &str| good().line(format!("POST {target} HTTP/1.1"));
    let mut rows = vec![
        // actix-http itself insists on exactly one.
        by_the_parser("no host", &good().without("Host"), 400),
        by_the_parser("the host twice", &good().with("Host", "127.0.0.1"), 400),
        row(
            "no host in HTTP/1.0",
            &good().without("Host").line("POST /mcp HTTP/1.0"),
            (400, -32_600),
            "host",
        ),
        row(
            "an absolute target elsewhere",
            &target("http://evil.example/mcp"),
            (403, -32_600),
            "host",
        ),
        row(
            "an absolute target with a user",
            &target("http://127.0.0.1@evil.example/mcp"),
            (400, -32_600),
            "host",
        ),
        row(
            "the origin twice",
            &good()
                .with("Origin", "http://127.0.0.1")
                .with("Origin", "http://127.0.0.1"),
            (400, -32_600),
            "origin",
        ),
    ];
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "[::2]",
        "0.0.0.0",
    ] {
        rows.push(row(host, &good().set("Host", host), (403, -32_600), "host"));
    }
    for host in [
        "",
        "127.0.0.1@evil.example",
        "127.0.0.1:99999",
        "127.0.0.1/x",
        "\u{ff}",
    ] {
        rows.push(row(
            format!("host {host:?}"),
            &good().set("Host", host),
            (400, -32_600),
            "host",
        ));
    }
    for origin in [
        "https://evil.example",
        "http://127.0.0.1.evil.example",
        "null",
        "file://127.0.0.1",
        "chrome-extension://abcdef",
    ] {
        rows.push(row(
            origin,
            &good().with("Origin", origin),
            (403, -32_600),
            "origin",
        ));
    }
    for origin in ["", "evil", "http://", "http://127.0.0.1/path"] {
        rows.push(row(
            format!("origin {origin:?}"),
            &good().with("Origin", origin),
            (400, -32_600),
            "origin",
        ));
    }
    // A page learns nothing anywhere, not only where tools are called.
    for (method, path) in [
        ("GET", "/mcp"),
        ("DELETE", "/mcp"),
        ("GET", "/sse"),
        ("GET", "/metrics"),
        ("GET", "/nowhere"),
    ] {
        rows.push(row(
            format!("{method} {path} from a foreign page"),
            &Parts::of(method, path).with("Origin", "https://evil.example"),
            (403, -32_600),
            "origin",
        ));
    }
    hold(&server, rows).await;

    for request in [
        good().set("Host", "localhost:9999"),
        good().set("Host", "LOCALHOST."),
        good().with("Origin", "http://localhost:3000"),
        target("http://127.0.0.1/mcp"),
    ] {
        assert!(is_served(&server, &request).await, "{request:?}");
    }
}

/// RFC 9110 sections 15.5.14 and 15.5.15, RFC 6585 section 5; ours: the sizes.
#[tokio::test]
async fn a_head_or_a_body_beyond_its_limit_is_refused_unread() {
    let server = Switchboard::start().await;
    let good = || stateless_call("echo", &json!({"text": "a"}));
    let fields =
        |count: usize| (0..count).fold(good(), |request, at| request.with(&format!("X-{at}"), "1"));
    let blocks = |count: usize| {
        let value = "a".repeat(4_000);
        (0..count).fold(good(), |request, at| {
            request.with(&format!("X-{at}"), &value)
        })
    };
    let target = |length: usize| {
        let line = format!("POST /mcp?{} HTTP/1.1", "a".repeat(length - 5));
        good().line(line)
    };
    let large = "x".repeat((4 << 20) + 1);
    let chunked = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let too_large = (431, -32_600);
    hold(
        &server,
        vec![
            row("65 fields", &fields(61), too_large, "header_size"),
            // Beyond 96 fields and 128 KiB it is actix-http that refuses.
            by_the_parser("97 fields and more", &fields(97), 431),
            row(
                "a field over 8 KiB",
                &good().with("X-Long", "a".repeat(8_200)),
                too_large,
                "header_size",
            ),
            row(
                "fields over 16 KiB together",
                &blocks(5),
                too_large,
                "header_size",
            ),
            by_the_parser("a head over 128 KiB", &blocks(40), 431),
            row(
                "a target over 8 KiB",
                &target(8_193),
                (414, -32_600),
                "header_size",
            ),
            // The URI parser takes 64 KiB, the buffer 128 KiB.
            by_the_parser("a target over 64 KiB", &target(70_000), 400),
            by_the_parser("a target over 128 KiB", &target(140_000), 431),
            row(
                "a body declared too large",
                &Parts::post("").with("Content-Length", "4194305"),
                (413, -32_600),
                "body_size",
            ),
            row(
                "a body declared as large as a number goes",
                &Parts::post("").with("Content-Length", u64::MAX.to_string()),
                (413, -32_600),
                "body_size",
            ),
            row(
                "a body that becomes too large",
                &Parts::post(chunked).with("Transfer-Encoding", "chunked"),
                (413, -32_600),
                "body_size",
            ),
        ],
    )
    .await;
    assert!(is_served(&server, &fields(57)).await, "64 fields are taken");
    assert!(is_served(&server, &target(8_192)).await, "8 KiB are taken");
}

/// basic/transports (2025-11-25), sending messages; RFC 9110 sections 8.3, 8.4 and 12.5.1.
#[tokio::test]
async fn media_types_are_taken_at_their_word() {
    let server = Switchboard::start().await;
    let good = || stateless_call("echo", &json!({"text": "a"}));
    let mut rows = vec![
        row(
            "no content type",
            &good().without("Content-Type"),
            (415, -32_600),
            "media_type",
        ),
        row(
            "no accept",
            &good().without("Accept"),
            (406, -32_600),
            "media_type",
        ),
        row(
            "GET that takes no events",
            &Parts::of("GET", "/mcp").set("Accept", "application/json"),
            (406, -32_600),
            "media_type",
        ),
    ];
    for kind in [
        "",
        "text/plain",
        "text/json",
        "application/jsonp",
        "application/json-rpc",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json, text/plain",
    ] {
        rows.push(row(
            format!("content type {kind:?}"),
            &good().set("Content-Type", kind),
            (415, -32_600),
            "media_type",
        ));
    }
    for coding in ["gzip", "br", "deflate", "zstd", "identity, gzip", "unknown"] {
        rows.push(row(
            format!("content coding {coding:?}"),
            &good().with("Content-Encoding", coding),
            (415, -32_600),
            "media_type",
        ));
    }
    for accept in [
        "",
        "application/json",
        "text/event-stream",
        "text/html",
        "application/json;q=0, */*",
        "application/json, text/event-stream;q=0.0",
        "*/*;q=0",
    ] {
        rows.push(row(
            format!("accept {accept:?}"),
            &good().set("Accept", accept),
            (406, -32_600),
            "media_type",
        ));
    }
    hold(&server, rows).await;

    for request in [
        good().set("Content-Type", "Application/JSON; charset=utf-8"),
        good().with("Content-Encoding", "identity"),
        good().set("Accept", "*/*"),
        good()
            .set("Accept", "application/json")
            .with("Accept", "text/event-stream;q=0.1"),
    ] {
        assert!(is_served(&server, &request).await, "{request:?}");
    }
}

/// Ours: what is matched is what was sent, so a path has one spelling; RFC 9110 section 15.5.6.
#[tokio::test]
async fn only_the_paths_and_methods_that_are_served_are_served() {
    let server = Switchboard::start().await;
    let good = || stateless_call("echo", &json!({"text": "a"}));
    let mut rows = Vec::new();
    for path in [
        "/nowhere",
        "/",
        "/mcp/",
        "/MCP",
        "/%6dcp",
        "/mcp%00",
        "/mcp%2f",
        "//mcp",
        "/x/../mcp",
        "/./mcp",
        "/mcp;v=1",
        "/mcp\\",
        "/.well-known/oauth-authorization-server",
    ] {
        let request = good().line(format!("POST {path} HTTP/1.1"));
        rows.push(row(path, &request, (404, -32_600), "malformed"));
    }
    rows.push(by_the_parser(
        "a path that is not ASCII",
        &good().line("POST /m\u{e9}p HTTP/1.1"),
        400,
    ));
    for method in [
        "PUT", "PATCH", "TRACE", "OPTIONS", "CONNECT", "BREW", "post",
    ] {
        rows.push(
            row(
                method,
                &Parts::of(method, "/mcp"),
                (405, -32_600),
                "malformed",
            )
            .with_header("allow", "GET, POST, DELETE"),
        );
    }
    for (method, path, allow) in [
        ("GET", "/messages", "POST"),
        ("DELETE", "/messages", "POST"),
        ("PUT", "/sse", "GET"),
    ] {
        rows.push(
            row(
                format!("{method} {path}"),
                &Parts::of(method, path),
                (405, -32_600),
                "malformed",
            )
            .with_header("allow", allow),
        );
    }
    rows.extend([
        row(
            "a tunnel",
            &Parts::of("CONNECT", "127.0.0.1:80"),
            (404, -32_600),
            "malformed",
        ),
        row(
            "all of it",
            &Parts::of("OPTIONS", "*"),
            (404, -32_600),
            "malformed",
        ),
    ]);
    hold(&server, rows).await;

    let mut wire = Wire::connect(&server).await;
    wire.send(Parts::of("HEAD", "/mcp").bytes()).await;
    let head = wire.answer_without_body().await.expect("HEAD is answered");
    assert_eq!(
        (head.status, head.header("allow")),
        (405, "GET, POST, DELETE")
    );
}

/// RFC 9110 section 7.8; ours: an upgrade is never honoured, because nothing that we check would
/// see what is said after it.
#[tokio::test]
async fn a_request_for_an_upgrade_is_answered_as_if_it_were_none() {
    let server = Switchboard::start().await;
    let good = || stateless_call("echo", &json!({"text": "as always"}));
    for request in [
        good()
            .with("Connection", "Upgrade")
            .with("Upgrade", "websocket")
            .with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .with("Sec-WebSocket-Version", "13"),
        good()
            .with("Connection", "Upgrade, HTTP2-Settings")
            .with("Upgrade", "h2c")
            .with("HTTP2-Settings", "AAMAAABkAAQAAP__"),
        good().with("Upgrade", "websocket"),
    ] {
        let mut wire = Wire::connect(&server).await;
        wire.send(request.bytes()).await;
        wire.send(b"\x81\x05hello and whatever else a WebSocket says")
            .await;
        let answer = wire.answer().await.expect("it is answered");
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.message()["result"]["content"][0]["text"],
            "as always"
        );
        assert_eq!(answer.header("upgrade"), "");
        assert_eq!(answer.header("connection"), "close");
        wire.half_close().await;
        // What follows is ignored with the connection, or read as the next request and is none.
        let rest = wire.answers().await;
        assert!(rest.iter().all(|answer| answer.status == 400), "{rest:?}");
    }
    assert!(is_served(&server, &good()).await);
}

/// RFC 9110 section 10.1.1.
#[tokio::test]
async fn a_client_that_waits_for_continue_is_told_to() {
    let server = Switchboard::start().await;
    let session = session(&server).await;
    let request = session_call(&session, "echo", &json!({"text": "a"}));
    let request = request.with("Expect", "100-continue").bytes();
    let body = request
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .unwrap()
        + 4;
    let mut wire = Wire::connect(&server).await;

    wire.send(&request[..body]).await;

    assert_eq!(wire.answer().await.expect("told to go on").status, 100);
    wire.send(&request[body..]).await;
    assert_eq!(wire.answer().await.expect("answered").status, 200);
}
