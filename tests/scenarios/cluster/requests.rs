//! What light clients say, as bytes, and what an answer says to them.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::history::Outcome;

const VERSION: &str = "2025-11-25";

/// What is called.
#[derive(Clone, Copy, Debug)]
pub enum Tool {
    /// Gives the session's mark back at once.
    Echo,
    /// Is noted in the ledger, works for a while and says so often on the way.
    Append {
        /// Milliseconds.
        hold_ms: u64,
        /// Progress notifications.
        events: u32,
    },
}

/// The first half of the handshake.
pub fn initialize() -> Vec<u8> {
    let params = json!({"protocolVersion": VERSION, "capabilities": {},
        "clientInfo": {"name": "crowd", "version": "1"}});
    post("", &request(0, "initialize", params))
}

/// The second half.
pub fn initialized(session: &str) -> Vec<u8> {
    let message = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    post(&session_headers(session), &message)
}

/// Asks to be told when the resource of the ledger's server changes.
pub fn subscribe(session: &str) -> Vec<u8> {
    let message = request(1, "resources/subscribe", json!({"uri": "tick://now"}));
    post(&session_headers(session), &message)
}

/// A tool call of a session, under this name and with its mark.
pub fn call(session: &str, id: u64, call: &str, mark: &str, tool: Tool) -> Vec<u8> {
    let params = match tool {
        Tool::Echo => json!({"name": "echo", "arguments": {"text": mark}}),
        Tool::Append { hold_ms, events } => json!({"name": "ledger_append", "arguments":
            {"call": call, "mark": mark, "hold_ms": hold_ms, "events": events},
            "_meta": {"progressToken": id}}),
    };
    post(
        &session_headers(session),
        &request(id, "tools/call", params),
    )
}

/// A stateless call.
pub fn stateless_echo(text: &str) -> Vec<u8> {
    let params = json!({"name": "echo", "arguments": {"text": text}, "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "crowd", "version": "1"}}});
    let headers =
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n";
    post(headers, &request(1, "tools/call", params))
}

/// GET: the standing stream, or what follows an event.
pub fn listen(session: &str, last_event_id: Option<&str>) -> Vec<u8> {
    let mut headers = session_headers(session);
    if let Some(id) = last_event_id {
        write!(headers, "Last-Event-ID: {id}\r\n").expect("memory can be written");
    }
    format!("GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n{headers}\r\n")
        .into_bytes()
}

fn session_headers(session: &str) -> String {
    format!("Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: {VERSION}\r\n")
}

fn request(id: u64, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn post(headers: &str, message: &Value) -> Vec<u8> {
    let body = message.to_string();
    let length = body.len();
    format!(
        "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{headers}\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// What a message says, if it ends a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// Which process ran it, if that is told.
    pub node: Option<u32>,
    /// The mark of a session that was in it.
    pub mark: Option<String>,
}

/// Reads a message; `None` when it ends no call.
pub fn ended(message: &Value) -> Option<Ended> {
    let plain = |outcome| Ended {
        outcome,
        node: None,
        mark: None,
    };
    if let Some(error) = message.get("error") {
        let unknown = error["code"] == -32_603 && error["data"]["outcome"] == "unknown";
        return Some(plain(if unknown {
            Outcome::Unknown
        } else {
            Outcome::Fail
        }));
    }
    let result = message.get("result")?;
    if result["isError"] == true {
        return Some(plain(Outcome::Fail));
    }
    let text = result["content"][0]["text"].as_str().unwrap_or_default();
    let told: Value = serde_json::from_str(text).unwrap_or_default();
    let owner = told["owner"].as_u64().and_then(|it| u32::try_from(it).ok());
    let mark = told["mark"].as_str().unwrap_or(text);
    Some(Ended {
        node: owner,
        mark: Some(mark.to_owned()),
        ..plain(Outcome::Ok)
    })
}

/// The mark in a notification.
pub fn mark(message: &Value) -> Option<&str> {
    message["params"]["message"].as_str()
}
