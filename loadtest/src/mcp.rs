//! Requests of both eras as bytes, and the handshake.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::http_client::{Answer, Broken, Connection};

pub(crate) const SESSION_VERSION: &str = "2025-11-25";
pub(crate) const STATELESS_VERSION: &str = "2026-07-28";

/// Why an exchange was not as it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Wrong {
    /// The connection.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The answer.
    #[error("{0}")]
    Answer(String),
}

/// Fails with what came unless it is `right`.
pub(crate) fn expect(right: bool, answer: &Answer<'_>) -> Result<(), Wrong> {
    if right {
        return Ok(());
    }
    Err(Wrong::Answer(answer.describe()))
}

/// The handshake's first half, as bytes.
pub(crate) fn initialize_request(address: SocketAddr) -> Vec<u8> {
    hello(address, "")
}

fn hello(address: SocketAddr, credential: &str) -> Vec<u8> {
    let hello = json!({
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": SESSION_VERSION,
            "capabilities": {},
            "clientInfo": {"name": "loadtest", "version": env!("CARGO_PKG_VERSION")},
        },
    });
    post(address, credential, &hello.to_string())
}

/// Opens a session and returns its id.
pub(crate) async fn initialize(
    address: SocketAddr,
    connection: &mut Connection,
) -> Result<String, Wrong> {
    initialize_as(address, "", connection).await
}

/// The same with the header of a credential.
pub(crate) async fn initialize_as(
    address: SocketAddr,
    credential: &str,
    connection: &mut Connection,
) -> Result<String, Wrong> {
    let answer = connection.exchange(&hello(address, credential)).await?;
    let Some(id) = answer.header("mcp-session-id").map(str::to_owned) else {
        expect(false, &answer)?;
        return Ok(String::new());
    };
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let headers = session_headers(&id) + credential;
    let ready = post(address, &headers, &ready.to_string());
    let answer = connection.exchange(&ready).await?;
    expect(answer.status == 202, &answer)?;
    Ok(id)
}

/// What names a session.
pub(crate) fn session_headers(id: &str) -> String {
    format!("Mcp-Session-Id: {id}\r\nMCP-Protocol-Version: {SESSION_VERSION}\r\n")
}

/// What names a tool call of the stateless era.
pub(crate) fn stateless_headers(tool: &str) -> String {
    format!(
        "MCP-Protocol-Version: {STATELESS_VERSION}\r\n\
         Mcp-Method: tools/call\r\nMcp-Name: {tool}\r\n"
    )
}

/// The members of `_meta` that every request of the stateless era has.
pub(crate) fn stateless_meta() -> String {
    format!(
        r#""io.modelcontextprotocol/protocolVersion":"{STATELESS_VERSION}","io.modelcontextprotocol/clientInfo":{{"name":"loadtest","version":"{}"}},"io.modelcontextprotocol/clientCapabilities":{{}}"#,
        env!("CARGO_PKG_VERSION")
    )
}

/// A POST.
pub(crate) fn post(address: SocketAddr, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A GET for an event stream.
pub(crate) fn get_events(address: SocketAddr, path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n{headers}\r\n")
        .into_bytes()
}

/// A DELETE of a session.
pub(crate) fn delete(address: SocketAddr, headers: &str) -> Vec<u8> {
    format!("DELETE /mcp HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n").into_bytes()
}

/// A call of the tool `stream`, in a session or, without one, of the stateless era.
pub(crate) fn stream_call(
    address: SocketAddr,
    session: Option<&str>,
    count: u32,
    interval_us: u32,
) -> Vec<u8> {
    let (headers, meta) = match session {
        Some(id) => (session_headers(id), String::new()),
        None => (
            stateless_headers("stream"),
            format!(",{}", stateless_meta()),
        ),
    };
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"stream","arguments":{{"count":{count},"interval_us":{interval_us}}},"_meta":{{"progressToken":"p"{meta}}}}}}}"#
    );
    post(address, &headers, &body)
}

/// Whether a body is the result of a call that went well.
pub(crate) fn is_good_result(body: &[u8]) -> bool {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    value["result"].is_object() && value["result"]["isError"] != true
}
