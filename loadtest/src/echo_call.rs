//! One connection's echo call: its request as bytes, and the only right answer to it.
//!
//! Both are made once, and only the digits of the request id change from call to call. The first
//! answer is read as JSON and judged; every later one must be that one again, byte for byte, but
//! for the id. So every answer is checked, and checking costs a comparison.

use std::net::SocketAddr;

use serde_json::Value;

use crate::floor;
use crate::http_client::{Answer, Broken, Connection};
use crate::mcp::{self, Wrong, expect, post, session_headers};

/// What is echoed: 64 bytes.
pub(crate) const TEXT: &str = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl";
/// The first request id; as many digits as every later one of a run has.
const FIRST_ID: &str = "1000000000";

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
        Self::begin_as("", subject, address, connection).await
    }

    /// The same with the header of a credential.
    pub(crate) async fn begin_as(
        credential: &str,
        subject: Subject,
        address: SocketAddr,
        connection: &mut Connection,
    ) -> Result<Self, Wrong> {
        let session = match subject {
            Subject::Session => Some(mcp::initialize_as(address, credential, connection).await?),
            Subject::Floor | Subject::Stateless => None,
        };
        let headers = headers(subject, session.as_deref()) + credential;
        Self::prepared(subject, session.is_some(), headers, address, connection).await
    }

    /// Makes one call in a session that is open, or as `subject` calls without one.
    pub(crate) async fn begin_in(
        subject: Subject,
        session: Option<&str>,
        address: SocketAddr,
        connection: &mut Connection,
    ) -> Result<Self, Wrong> {
        let headers = headers(subject, session);
        Self::prepared(subject, session.is_some(), headers, address, connection).await
    }

    async fn prepared(
        subject: Subject,
        in_session: bool,
        headers: String,
        address: SocketAddr,
        connection: &mut Connection,
    ) -> Result<Self, Wrong> {
        let goodbye = in_session.then(|| mcp::delete(address, &headers));
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

fn headers(subject: Subject, session: Option<&str>) -> String {
    match (subject, session) {
        (Subject::Session, Some(id)) => session_headers(id),
        (Subject::Stateless, _) => mcp::stateless_headers("echo"),
        // The floor gets the very request of the session era; its id means nothing there.
        (Subject::Floor | Subject::Session, _) => session_headers(&"0".repeat(43)),
    }
}

fn judge(answer: &Answer<'_>) -> Result<(), Wrong> {
    let value: Value = serde_json::from_slice(answer.body).unwrap_or_default();
    let right = value["id"].as_u64() == FIRST_ID.parse().ok()
        && value["result"]["content"][0]["text"] == TEXT
        && value["result"]["isError"] != true;
    expect(right, answer)
}

fn body(subject: Subject) -> String {
    let meta = match subject {
        Subject::Floor | Subject::Session => String::new(),
        Subject::Stateless => format!(r#","_meta":{{{}}}"#, mcp::stateless_meta()),
    };
    format!(
        r#"{{"jsonrpc":"2.0","id":{FIRST_ID},"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"{TEXT}"}}{meta}}}}}"#
    )
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
