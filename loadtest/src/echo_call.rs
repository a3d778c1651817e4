//! One connection's echo call: its request as bytes, and the only right answer to it.
//!
//! Both are made once, and only the digits of the request id change from call to call. The first
//! answer is read as JSON and judged; every later one must be that one again, byte for byte, but
//! for the id. So every answer is checked, and checking costs a comparison.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::floor;
use crate::http_client::{Answer, Broken, Connection};

/// What is echoed: 64 bytes.
pub(crate) const TEXT: &str = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl";
/// The first request id; as many digits as every later one of a run has.
const FIRST_ID: &str = "1000000000";
const SESSION_VERSION: &str = "2025-11-25";
const STATELESS_VERSION: &str = "2026-07-28";

/// Whom a call is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Subject {
    /// The bare server.
    Floor,
    /// Switchboard, in a session of the connection's own.
    Session,
    /// Switchboard, without a session.
    Stateless,
}

impl Subject {
    pub(crate) const ALL: [Self; 3] = [Self::Floor, Self::Session, Self::Stateless];

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Session => "session era",
            Self::Stateless => "stateless era",
        }
    }
}

/// Why the first exchange was not as it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Wrong {
    /// The connection.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The answer.
    #[error("{0}")]
    Answer(String),
}

/// See the module docs.
#[derive(Debug)]
pub(crate) struct EchoCall {
    request: Digits,
    answer: Digits,
    /// What ends the connection's session.
    goodbye: Option<Vec<u8>>,
}

/// Bytes with the digits of an id somewhere in them, or without.
#[derive(Debug)]
struct Digits {
    bytes: Vec<u8>,
    at: Option<usize>,
}

impl Digits {
    fn of(bytes: Vec<u8>) -> Self {
        let at = bytes
            .windows(FIRST_ID.len())
            .position(|window| window == FIRST_ID.as_bytes());
        Self { bytes, at }
    }

    /// Adds one to the id.
    fn count_up(&mut self) {
        let Some(at) = self.at else { return };
        for digit in self.bytes[at..at + FIRST_ID.len()].iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
    }
}

impl EchoCall {
    /// Shakes hands where there are hands to shake, makes one call and judges its answer.
    pub(crate) async fn begin(
        subject: Subject,
        address: SocketAddr,
        connection: &mut Connection,
    ) -> Result<Self, Wrong> {
        let (headers, goodbye) = match subject {
            // The floor gets the very request of the session era; its id means nothing there.
            Subject::Floor => (session_headers(&"0".repeat(43)), None),
            Subject::Session => {
                let id = initialize(address, connection).await?;
                let headers = session_headers(&id);
                let goodbye = format!("DELETE /mcp HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
                (headers, Some(goodbye.into_bytes()))
            }
            Subject::Stateless => (
                format!(
                    "MCP-Protocol-Version: {STATELESS_VERSION}\r\n\
                     Mcp-Method: tools/call\r\nMcp-Name: echo\r\n"
                ),
                None,
            ),
        };
        let request = post(address, &headers, &body(subject));
        let answer = connection.exchange(&request).await?;
        match subject {
            Subject::Floor => expect(answer.body == floor::answer(answer.body.len()), &answer)?,
            Subject::Session | Subject::Stateless => judge(&answer)?,
        }
        expect(answer.status == 200, &answer)?;
        Ok(Self {
            answer: Digits::of(answer.body.to_vec()),
            request: Digits::of(request),
            goodbye,
        })
    }

    /// Size of the answer's body.
    pub(crate) fn answer_bytes(&self) -> usize {
        self.answer.bytes.len()
    }

    /// The next request, under an id of its own.
    pub(crate) fn next_request(&mut self) -> &[u8] {
        self.request.count_up();
        self.answer.count_up();
        &self.request.bytes
    }

    /// Whether this is the right answer to the last request.
    pub(crate) fn is_right(&self, answer: &Answer<'_>) -> bool {
        answer.status == 200 && answer.body == self.answer.bytes
    }

    /// Ends the session, if there is one.
    pub(crate) async fn end(&self, connection: &mut Connection) -> Result<(), Broken> {
        if let Some(goodbye) = &self.goodbye {
            connection.exchange(goodbye).await?;
        }
        Ok(())
    }
}

fn expect(right: bool, answer: &Answer<'_>) -> Result<(), Wrong> {
    if right {
        return Ok(());
    }
    let body = String::from_utf8_lossy(answer.body);
    Err(Wrong::Answer(format!(
        "status {}, body {body:.200}",
        answer.status
    )))
}

fn judge(answer: &Answer<'_>) -> Result<(), Wrong> {
    let value: Value = serde_json::from_slice(answer.body).unwrap_or_default();
    let right = value["id"].as_u64() == FIRST_ID.parse().ok()
        && value["result"]["content"][0]["text"] == TEXT
        && value["result"]["isError"] != true;
    expect(right, answer)
}

/// Opens a session and returns its id.
async fn initialize(address: SocketAddr, connection: &mut Connection) -> Result<String, Wrong> {
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
    let hello = post(address, "", &hello.to_string());
    let answer = connection.exchange(&hello).await?;
    let Some(id) = answer.header("mcp-session-id").map(str::to_owned) else {
        expect(false, &answer)?;
        return Ok(String::new());
    };
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let ready = post(address, &session_headers(&id), &ready.to_string());
    let answer = connection.exchange(&ready).await?;
    expect(answer.status == 202, &answer)?;
    Ok(id)
}

fn session_headers(id: &str) -> String {
    format!("Mcp-Session-Id: {id}\r\nMCP-Protocol-Version: {SESSION_VERSION}\r\n")
}

fn body(subject: Subject) -> String {
    let meta = match subject {
        Subject::Floor | Subject::Session => String::new(),
        Subject::Stateless => format!(
            r#","_meta":{{"io.modelcontextprotocol/protocolVersion":"{STATELESS_VERSION}","io.modelcontextprotocol/clientInfo":{{"name":"loadtest","version":"{}"}},"io.modelcontextprotocol/clientCapabilities":{{}}}}"#,
            env!("CARGO_PKG_VERSION")
        ),
    };
    format!(
        r#"{{"jsonrpc":"2.0","id":{FIRST_ID},"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"{TEXT}"}}{meta}}}}}"#
    )
}

fn post(address: SocketAddr, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_up_with_carry() {
        let mut digits = Digits::of(b"x1000000000y".to_vec());
        for _ in 0..110 {
            digits.count_up();
        }
        assert_eq!(digits.bytes, b"x1000000110y");
    }

    #[test]
    fn what_is_echoed_has_64_bytes() {
        assert_eq!(TEXT.len(), 64);
    }
}
