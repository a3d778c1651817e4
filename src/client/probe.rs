//! Which era a server speaks, found out by asking it, and the handshake of the older one.
//!
//! `server/discover` comes first. What a server answers to it is a verdict on its era, or none:
//! [`verdict`] is the table. A server that is overloaded, or wants a credential, is never taken for
//! an old one. One that refuses the handshake too may be of the oldest transport, HTTP+SSE.
//!
//! Spec: 2026-07-28 basic/versioning, clients of both eras; basic/lifecycle, initialization.

use hyper::header::HeaderValue;
use serde::Deserialize;
use serde_json::json;

use super::builder::Speak;
use super::connection::{Connection, Parts, Wire, exchange, result_of};
use super::error::ClientError;
use super::http::{Outgoing, Speaking};
use super::http_sse::{self, HttpSse};
use super::message::{self, Request};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::jsonrpc::{RequestId, ResponseError};
use crate::protocol::raw::RawJson;
use crate::protocol::version::{Era, ProtocolVersion};

/// What it means when a server does not answer the first question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nothing: it may be unreachable.
    IsNoAnswer,
    /// It is of the session era: some of those say nothing when asked anything before the handshake.
    MeansSession,
    /// The same, and it may have left: it has to be started again.
    NeedsAnotherStart,
}

/// What a server's answer to `server/discover` says.
#[derive(Debug)]
enum Verdict {
    Stateless(RawJson),
    Session,
    /// It refused the version it names as one of its own: once more, then.
    Again(ClientError),
}

/// Connects. The flag beside an error says that the server should be started again, for a
/// handshake.
pub(super) async fn connect(
    parts: Parts,
    speak: Speak,
    silence: Silence,
) -> Result<Connection, (ClientError, bool)> {
    let last = |error| (error, false);
    match speak {
        Speak::Era(Era::Session) => {
            let version = ProtocolVersion::NEWEST_WITH_SESSIONS;
            handshake(parts, version, false).await.map_err(last)
        }
        Speak::Version(version) if version.era() == Era::Session => {
            handshake(parts, version, true).await.map_err(last)
        }
        // The caller knows; the first request will tell if not.
        Speak::Era(Era::Stateless) => Ok(stateless(parts, ProtocolVersion::NEWEST, None)),
        Speak::Version(version) => Ok(stateless(parts, version, None)),
        Speak::Newest => match ask(&parts, silence).await? {
            Verdict::Again(error) => Err((error, false)),
            Verdict::Stateless(server) => {
                Ok(stateless(parts, ProtocolVersion::NEWEST, Some(server)))
            }
            Verdict::Session => {
                let version = ProtocolVersion::NEWEST_WITH_SESSIONS;
                handshake(parts, version, false).await.map_err(last)
            }
        },
    }
}

fn stateless(parts: Parts, version: ProtocolVersion, server: Option<RawJson>) -> Connection {
    let speaking = Speaking {
        version,
        session: None,
        agreed: true,
    };
    Connection::new(parts, speaking, server, 2)
}

/// Asks which revisions the server speaks; once more if it wants that.
async fn ask(parts: &Parts, silence: Silence) -> Result<Verdict, (ClientError, bool)> {
    match ask_once(parts, silence, 0).await? {
        Verdict::Again(_) => ask_once(parts, silence, 1).await,
        verdict => Ok(verdict),
    }
}

async fn ask_once(
    parts: &Parts,
    silence: Silence,
    id: i64,
) -> Result<Verdict, (ClientError, bool)> {
    let speaking = Speaking {
        version: ProtocolVersion::NEWEST,
        session: None,
        agreed: true,
    };
    let request = Request::new("server/discover", &json!({}));
    let id = RequestId::Number(id);
    let outgoing = Outgoing {
        id: &id,
        method: &request.method,
        text: request.text(&id, parts.introduction.meta(speaking.version), &[]),
        headers: request.headers(),
    };
    let limit = match silence {
        Silence::MeansSession | Silence::NeedsAnotherStart => parts.probe,
        Silence::IsNoAnswer => parts.timeout,
    };
    let exchanged = exchange(&parts.wire, &speaking, outgoing, &*parts.hears);
    let answered = tokio::time::timeout(limit, exchanged).await;
    match (answered, silence) {
        (Err(_), Silence::IsNoAnswer) => Err((ClientError::TimedOut(limit), false)),
        (Err(_), Silence::MeansSession) => Ok(Verdict::Session),
        (Err(_), Silence::NeedsAnotherStart) => Err((ClientError::TimedOut(limit), true)),
        (
            Ok(Err(error @ (ClientError::OutcomeUnknown { .. } | ClientError::Closed(_)))),
            Silence::NeedsAnotherStart,
        ) => Err((error, true)),
        (Ok(Err(error)), _) => verdict(Err(error), silence).map_err(|error| (error, false)),
        (Ok(Ok(exchanged)), _) => {
            verdict(result_of(exchanged), silence).map_err(|error| (error, false))
        }
    }
}

/// The table of what an answer to `server/discover` means.
fn verdict(answer: Result<RawJson, ClientError>, silence: Silence) -> Result<Verdict, ClientError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Discovered {
        supported_versions: Vec<String>,
    }
    let by_pipe = silence != Silence::IsNoAnswer;
    match answer {
        Ok(result) => match result.decode::<Discovered>() {
            Ok(found) => match era_of(&found.supported_versions)? {
                Era::Stateless => Ok(Verdict::Stateless(result)),
                Era::Session => Ok(Verdict::Session),
            },
            // Some old servers say `{}` to whatever they do not know.
            Err(_) => Ok(Verdict::Session),
        },
        Err(ClientError::Answered { error, status }) => {
            match (ErrorCode(error.code), supported(&error)) {
                (ErrorCode::UNSUPPORTED_PROTOCOL_VERSION, Some(versions)) => {
                    match era_of(&versions)? {
                        Era::Session => Ok(Verdict::Session),
                        Era::Stateless => {
                            Ok(Verdict::Again(ClientError::Answered { error, status }))
                        }
                    }
                }
                (ErrorCode::HEADER_MISMATCH | ErrorCode::MISSING_CLIENT_CAPABILITY, _) => {
                    Err(ClientError::Answered { error, status })
                }
                _ if by_pipe || is_of_an_old_server(status.unwrap_or(200)) => Ok(Verdict::Session),
                _ => Err(ClientError::Answered { error, status }),
            }
        }
        Err(ClientError::Status { status, .. }) if is_of_an_old_server(status) && status != 200 => {
            Ok(Verdict::Session)
        }
        Err(error) => Err(error),
    }
}

/// The statuses with which servers that know nothing of discovery refuse it.
const fn is_of_an_old_server(status: u16) -> bool {
    matches!(status, 200 | 400 | 404 | 405 | 406 | 415 | 422)
}

/// The newest era both sides speak.
fn era_of(versions: &[String]) -> Result<Era, ClientError> {
    let common = versions
        .iter()
        .filter_map(|version| ProtocolVersion::parse(version));
    common.max().map(ProtocolVersion::era).ok_or_else(|| {
        let theirs = versions.join(", ");
        ClientError::Version(format!("the server speaks {theirs:.200}"))
    })
}

fn supported(error: &ResponseError) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Data {
        supported: Vec<String>,
    }
    let data = error.data.as_ref()?.decode::<Data>().ok()?;
    Some(data.supported)
}

/// Shakes hands for a session.
async fn handshake(
    mut parts: Parts,
    version: ProtocolVersion,
    is_pinned: bool,
) -> Result<Connection, ClientError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Initialized {
        protocol_version: String,
    }
    let mut speaking = Speaking {
        version,
        session: None,
        agreed: false,
    };
    let (server, session) = match initialize(&parts, &speaking).await {
        Err(refused) if http_sse::is_meant_by(&refused) => {
            parts.wire = by_stream(&parts, refused).await?;
            initialize(&parts, &speaking).await?
        }
        first => first?,
    };
    speaking.session = session;
    let answered = server
        .decode::<Initialized>()
        .map_err(|error| ClientError::Protocol(format!("the answer to `initialize`: {error}")))?;
    let theirs = ProtocolVersion::parse(&answered.protocol_version)
        .filter(|theirs| theirs.era() == Era::Session && (!is_pinned || *theirs == version))
        .ok_or_else(|| {
            let theirs = &answered.protocol_version;
            ClientError::Version(format!("the server wants {theirs:.40}, not {version}"))
        })?;
    speaking.version = theirs;
    speaking.agreed = true;
    let connection = Connection::new(parts, speaking, Some(server), 3);
    let initialized = message::notification("notifications/initialized", None);
    connection.send(initialized).await?;
    Ok(connection)
}

/// Asks for a session. Gives the result, and the session if the server named one.
async fn initialize(
    parts: &Parts,
    speaking: &Speaking,
) -> Result<(RawJson, Option<HeaderValue>), ClientError> {
    let request = Request::new(
        "initialize",
        &json!({
            "protocolVersion": speaking.version,
            "capabilities": parts.introduction.session,
            "clientInfo": parts.introduction.info,
        }),
    );
    let id = RequestId::Number(2);
    let outgoing = Outgoing {
        id: &id,
        method: &request.method,
        text: request.text(&id, parts.introduction.meta(speaking.version), &[]),
        headers: Vec::new(),
    };
    let exchanged = exchange(&parts.wire, speaking, outgoing, &*parts.hears);
    let answered = tokio::time::timeout(parts.timeout, exchanged).await;
    let exchanged = answered.map_err(|_| ClientError::TimedOut(parts.timeout))??;
    let session = exchanged.session.clone();
    Ok((result_of(exchanged)?, session))
}

/// The same server by HTTP+SSE, if it is one of those. Otherwise the refusal stands.
async fn by_stream(parts: &Parts, refused: ClientError) -> Result<Wire, ClientError> {
    let Wire::Http(http) = &parts.wire else {
        return Err(refused);
    };
    let opening = HttpSse::open(http, &parts.tasks, parts.hears.clone());
    // Not all of the time: whoever waits for the whole of it is to learn of the refusal.
    match tokio::time::timeout(parts.probe.min(parts.timeout / 2), opening).await {
        Ok(Ok(stream)) => Ok(Wire::HttpSse(stream)),
        // It has a stream, and says there what cannot be followed.
        Ok(Err(error @ (ClientError::Protocol(_) | ClientError::TooLarge { .. }))) => Err(error),
        Ok(Err(error)) => {
            tracing::debug!(
                error = error.for_log(),
                "the server does not speak HTTP+SSE either"
            );
            Err(refused)
        }
        Err(_silent) => Err(refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: i64, data: serde_json::Value, status: Option<u16>) -> ClientError {
        let data = (!data.is_null()).then(|| RawJson::of(&data));
        let error = ResponseError {
            code,
            message: "no".into(),
            data,
        };
        ClientError::Answered { error, status }
    }

    fn bare(status: u16) -> ClientError {
        ClientError::Status {
            status,
            text: String::new(),
            retry_after: None,
        }
    }

    fn told(answer: Result<RawJson, ClientError>, silence: Silence) -> &'static str {
        match verdict(answer, silence) {
            Ok(Verdict::Stateless(_)) => "stateless",
            Ok(Verdict::Session) => "session",
            Ok(Verdict::Again(_)) => "again",
            Err(_) => "no verdict",
        }
    }

    #[test]
    fn an_answer_over_http_says_which_era_or_nothing() {
        use serde_json::Value::Null;
        let both = json!({"supported": ["2026-07-28", "2025-11-25"]});
        let old = json!({"supported": ["2025-11-25"]});
        for (answer, expected) in [
            (Err(answered(-32601, Null, Some(200))), "session"),
            (Err(answered(-32601, Null, Some(404))), "session"),
            (Err(answered(-32000, Null, Some(400))), "session"),
            (Err(answered(-32022, old, Some(400))), "session"),
            (Err(answered(-32022, both, Some(400))), "again"),
            (Err(answered(-32020, Null, Some(400))), "no verdict"),
            (Err(answered(-32021, Null, Some(400))), "no verdict"),
            (Err(answered(-32603, Null, Some(503))), "no verdict"),
            (Err(bare(400)), "session"),
            (Err(bare(404)), "session"),
            (Err(bare(405)), "session"),
            (Err(bare(401)), "no verdict"),
            (Err(bare(403)), "no verdict"),
            (Err(bare(307)), "no verdict"),
            (Err(bare(503)), "no verdict"),
            (Err(ClientError::Unreachable(String::new())), "no verdict"),
            (
                Ok(json!({"supportedVersions": ["2026-07-28"]})),
                "stateless",
            ),
            (
                Ok(json!({"supportedVersions": ["2025-11-25", "x"]})),
                "session",
            ),
            (
                Ok(json!({"supportedVersions": ["2031-01-01"]})),
                "no verdict",
            ),
            (Ok(json!({})), "session"),
        ] {
            let shown = format!("{answer:?}");
            let answer = answer.map(|value| RawJson::of(&value));
            assert_eq!(told(answer, Silence::IsNoAnswer), expected, "{shown}");
        }
    }

    #[test]
    fn over_a_pipe_any_other_error_means_a_session() {
        use serde_json::Value::Null;
        for (answer, expected) in [
            (Err(answered(-32600, Null, None)), "session"),
            (Err(answered(-32602, Null, None)), "session"),
            (Err(answered(-32603, Null, None)), "session"),
            (Err(answered(-32021, Null, None)), "no verdict"),
            (Ok(json!({})), "session"),
        ] {
            let shown = format!("{answer:?}");
            let answer = answer.map(|value: serde_json::Value| RawJson::of(&value));
            assert_eq!(told(answer, Silence::MeansSession), expected, "{shown}");
        }
    }
}
