//! Where outcomes become answers on the wire: the one table of statuses and JSON-RPC codes.
//!
//! [`Refused`] is everything that is turned away before a call begins; [`ServiceError`] is why a
//! call has no result. Both become a [`WireError`]. What a client may read stands in their display
//! texts; nothing internal is added here.
//!
//! Spec: basic/transports (2025-11-25), sending messages; 2026-07-28
//! basic/transports/streamable-http, status codes; 2026-07-28 basic/index, error codes.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::HeaderValue;
use actix_web::http::{StatusCode, header};
use bytestring::ByteString;
use serde_json::json;

use crate::access::Denied;
use crate::auth::challenge::Challenge;
use crate::policy::body_limit::TooLarge;
use crate::policy::origin::Denial;
use crate::protocol::encode::{self, ResultText};
use crate::protocol::era::EraError;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::jsonrpc::{NotJsonRpc, ParseError, RequestId, ResponseError};
use crate::protocol::meta::SERVER_INFO_KEY;
use crate::protocol::method::Method;
use crate::protocol::raw::RawJson;
use crate::protocol::tool::ToolResult;
use crate::protocol::version::{Era, ProtocolVersion};
use crate::service::{Reply, ReplyKind, ServiceError};
use crate::session::in_flight::NotEntered;
use crate::session::{FindError, OpenError};
use crate::telemetry::events::{Event as _, Refused as RefusedEvent};
use crate::telemetry::labels::Refusal;
use crate::telemetry::metrics::Metrics;

/// An error as it stands on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    /// The HTTP status, where there is HTTP and nothing was sent yet.
    pub status: StatusCode,
    /// The JSON-RPC code.
    pub code: ErrorCode,
    /// What it says.
    pub message: String,
    /// `data`, an object.
    pub data: Option<RawJson>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// The value of `Allow`.
    pub allow: Option<&'static str>,
    /// What credential would do.
    pub challenge: Option<Challenge>,
}

impl WireError {
    fn new(status: u16, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code,
            message: message.into(),
            data: None,
            retry_after: None,
            allow: None,
            challenge: None,
        }
    }

    fn with_data(mut self, data: &serde_json::Value) -> Self {
        self.data = Some(RawJson::of(data));
        self
    }

    fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    fn challenge(mut self, challenge: &Challenge) -> Self {
        self.challenge = Some(challenge.clone());
        self
    }

    /// The JSON-RPC message.
    #[must_use]
    pub fn text(&self, id: Option<&RequestId>) -> String {
        encode::error(id, self.code, &self.message, self.data.as_ref())
    }
}

/// Why something was turned away before a call began.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// `Host` is missing, repeated or not ours.
    #[error("the Host header {0}")]
    Host(Denial),
    /// `Origin` is not allowed.
    #[error("the Origin header {0}")]
    Origin(Denial),
    /// Too many or too long header fields.
    #[error("the header block is too large")]
    HeaderBlock,
    /// The request target is too long.
    #[error("the URI is too long")]
    Uri,
    /// A header that may come once came twice, or holds what it may not.
    #[error("header `{0}` must come once and hold printable ASCII")]
    Header(&'static str),
    /// The caller may not come in.
    #[error(transparent)]
    Access(#[from] Denied),
    /// Nothing is served at this path.
    #[error("nothing is served at this path")]
    Path,
    /// Another HTTP method is needed.
    #[error("this HTTP method is not allowed here")]
    HttpMethod(&'static str),
    /// The body is over the limit.
    #[error(transparent)]
    BodySize(#[from] TooLarge),
    /// A line on stdio is over the limit.
    #[error("the line is longer than {0} bytes")]
    Line(usize),
    /// It came after the last request of its connection.
    #[error("the connection was to be closed after the request before")]
    Ended,
    /// The body came too slowly.
    #[error("the body did not arrive in time")]
    BodySlow,
    /// The body broke off.
    #[error("the body is incomplete")]
    BodyBroken,
    /// A content coding.
    #[error("request bodies with a content coding are not taken")]
    ContentEncoding,
    /// Not JSON by its own account.
    #[error("the content type must be application/json")]
    ContentType,
    /// The client does not take what we may answer with.
    #[error("the client must accept {0}")]
    Accept(&'static str),
    /// Not JSON, or not JSON-RPC.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// It belongs to no era as it stands.
    #[error(transparent)]
    Era(#[from] EraError),
    /// A batch where none may be.
    #[error("batches are not accepted here")]
    Batch,
    /// `initialize` in a batch or in a live session.
    #[error("{0}")]
    Initialize(&'static str),
    /// A stateless request whose headers do not say what its body says.
    #[error("{0}")]
    HeaderMismatch(String),
    /// A method that does not exist in this revision.
    #[error("method {0:?} not found")]
    Method(String),
    /// `initialize` or `_meta` cannot be read.
    #[error("invalid params: {0}")]
    Params(String),
    /// The session id is missing.
    #[error(
        "the Mcp-Session-Id header is required: open a session with `initialize`, or name a \
         revision without sessions in `_meta`"
    )]
    SessionMissing,
    /// No such session, or not this caller's.
    #[error(transparent)]
    Session(#[from] FindError),
    /// The version header names no revision we serve.
    #[error("protocol version {0:?} is not supported")]
    VersionHeader(String),
    /// The call may not enter its session.
    #[error("{}", not_entered(*.0))]
    Entering(NotEntered),
    /// No session could be opened.
    #[error(transparent)]
    Opening(#[from] OpenError),
    /// As many streams are open as may be.
    #[error("as many streams are open as may be")]
    Streams,
}

const fn not_entered(why: NotEntered) -> &'static str {
    match why {
        NotEntered::Closing => "the session is closing",
        NotEntered::Duplicate => "a request with this id is still running",
        NotEntered::Full => "as many calls run in this session as may",
    }
}

impl From<NotJsonRpc> for Refused {
    fn from(error: NotJsonRpc) -> Self {
        Self::Parse(error.into())
    }
}

/// What `Retry-After` says where nothing better is known: long enough not to be a spin, short
/// enough for a rolling restart.
const SOON: Duration = Duration::from_secs(1);

impl Refused {
    /// The answer.
    #[must_use]
    pub fn wire(&self) -> WireError {
        use ErrorCode as Code;
        let text = self.to_string();
        match self {
            Self::Host(denial) | Self::Origin(denial) => {
                let status = match denial {
                    Denial::Missing | Denial::Repeated | Denial::Malformed => 400,
                    Denial::NotListed => 403,
                };
                WireError::new(status, Code::INVALID_REQUEST, text)
            }
            Self::Access(Denied::Malformed(_)) => WireError::new(400, Code::INVALID_REQUEST, text),
            Self::Access(Denied::Challenged(challenge)) => {
                WireError::new(401, Code::INVALID_REQUEST, text).challenge(challenge)
            }
            Self::Access(Denied::Unavailable(after)) => {
                WireError::new(503, Code::INTERNAL_ERROR, text).retry_after(*after)
            }
            Self::HeaderBlock => WireError::new(431, Code::INVALID_REQUEST, text),
            Self::Uri => WireError::new(414, Code::INVALID_REQUEST, text),
            Self::Path => WireError::new(404, Code::INVALID_REQUEST, text),
            Self::HttpMethod(allow) => WireError {
                allow: Some(allow),
                ..WireError::new(405, Code::INVALID_REQUEST, text)
            },
            Self::BodySize(_) => WireError::new(413, Code::INVALID_REQUEST, text),
            Self::BodySlow => WireError::new(408, Code::INVALID_REQUEST, text),
            Self::ContentEncoding | Self::ContentType => {
                WireError::new(415, Code::INVALID_REQUEST, text)
            }
            Self::Accept(_) => WireError::new(406, Code::INVALID_REQUEST, text),
            Self::Line(_) => WireError::new(400, Code::PARSE_ERROR, text),
            Self::Parse(ParseError::Json(_)) => {
                WireError::new(400, Code::PARSE_ERROR, format!("the body {text}"))
            }
            Self::Header(_)
            | Self::Ended
            | Self::BodyBroken
            | Self::Parse(ParseError::NotJsonRpc(_))
            | Self::Batch
            | Self::Initialize(_)
            | Self::SessionMissing
            | Self::VersionHeader(_)
            | Self::Entering(NotEntered::Duplicate) => {
                WireError::new(400, Code::INVALID_REQUEST, text)
            }
            Self::Era(error) => era_error(error, text),
            Self::HeaderMismatch(_) => WireError::new(400, Code::HEADER_MISMATCH, text),
            Self::Method(_) => WireError::new(404, Code::METHOD_NOT_FOUND, text),
            Self::Params(_) => WireError::new(400, Code::INVALID_PARAMS, text),
            Self::Session(FindError::NotFound) => WireError::new(404, Code::INVALID_REQUEST, text),
            Self::Entering(NotEntered::Full) => {
                WireError::new(429, Code::INTERNAL_ERROR, text).retry_after(SOON)
            }
            Self::Session(FindError::Unavailable | FindError::Full)
            | Self::Entering(NotEntered::Closing)
            | Self::Opening(_)
            | Self::Streams => WireError::new(503, Code::INTERNAL_ERROR, text).retry_after(SOON),
        }
    }

    /// The id of the refused request, when the refusal itself knows it.
    #[must_use]
    pub const fn id(&self) -> Option<&RequestId> {
        match self {
            Self::Parse(ParseError::NotJsonRpc(error)) => error.id.as_ref(),
            _ => None,
        }
    }

    /// Under which reason it is counted.
    #[must_use]
    pub const fn reason(&self) -> Refusal {
        match self {
            Self::Host(_) => Refusal::Host,
            Self::Origin(_) => Refusal::Origin,
            Self::Access(_) => Refusal::Credential,
            Self::HeaderBlock | Self::Uri => Refusal::HeaderSize,
            Self::BodySize(_) | Self::Line(_) => Refusal::BodySize,
            Self::BodySlow => Refusal::Slow,
            Self::ContentEncoding | Self::ContentType | Self::Accept(_) => Refusal::MediaType,
            Self::Header(_)
            | Self::Ended
            | Self::Path
            | Self::HttpMethod(_)
            | Self::BodyBroken
            | Self::Parse(_)
            | Self::Batch
            | Self::Initialize(_)
            | Self::HeaderMismatch(_)
            | Self::Method(_)
            | Self::Params(_)
            | Self::SessionMissing
            | Self::Entering(NotEntered::Duplicate) => Refusal::Malformed,
            Self::Era(_) | Self::VersionHeader(_) => Refusal::Version,
            Self::Session(FindError::NotFound) => Refusal::UnknownSession,
            Self::Session(FindError::Unavailable) | Self::Opening(OpenError::Unavailable) => {
                Refusal::Store
            }
            Self::Session(FindError::Full) | Self::Opening(OpenError::Full) => Refusal::Sessions,
            Self::Opening(OpenError::FullForPrincipal) => Refusal::PrincipalSessions,
            Self::Opening(OpenError::Stopping) => Refusal::Stopping,
            Self::Entering(NotEntered::Full | NotEntered::Closing) => Refusal::Calls,
            Self::Streams => Refusal::Streams,
        }
    }
}

fn era_error(error: &EraError, text: String) -> WireError {
    use ErrorCode as Code;
    match error {
        EraError::HeaderDiffers { .. } | EraError::HeaderMissing => {
            WireError::new(400, Code::HEADER_MISMATCH, text)
        }
        EraError::Unsupported { requested } => {
            WireError::new(400, Code::UNSUPPORTED_PROTOCOL_VERSION, text)
                .with_data(&json!({"supported": ProtocolVersion::ALL, "requested": requested}))
        }
        EraError::NeedsHandshake { requested } => {
            // The named revision is served, but not like this: only what can be claimed is offered.
            let stateless = ProtocolVersion::ALL
                .into_iter()
                .filter(|version| version.era() == Era::Stateless)
                .collect::<Vec<_>>();
            WireError::new(400, Code::UNSUPPORTED_PROTOCOL_VERSION, text)
                .with_data(&json!({"supported": stateless, "requested": requested}))
        }
        EraError::Meta(_) => WireError::new(400, Code::INVALID_PARAMS, text),
        EraError::NotHere(_) => WireError::new(400, Code::INVALID_REQUEST, text),
    }
}

/// The answer to a call that has no result, in the revision it was made in.
///
/// In the session era an error that came out of a call is always an answer with status 200; in the
/// stateless era a few have a status of their own, if nothing was sent before.
#[must_use]
pub fn service_error(error: &ServiceError, version: ProtocolVersion) -> WireError {
    use ErrorCode as Code;
    let text = error.to_string();
    let stateless = version.era() == Era::Stateless;
    let status = |code: u16| if stateless { code } else { 200 };
    match error {
        ServiceError::MethodNotFound(_) => {
            WireError::new(status(404), Code::METHOD_NOT_FOUND, text)
        }
        ServiceError::NotATask(_) | ServiceError::NoTasks(_) => {
            WireError::new(200, Code::METHOD_NOT_FOUND, text)
        }
        ServiceError::UnknownTool(_)
        | ServiceError::UnknownPrompt(_)
        | ServiceError::UnknownTask
        | ServiceError::InvalidParams(_) => WireError::new(200, Code::INVALID_PARAMS, text),
        ServiceError::ResourceNotFound { uri } => {
            let code = if stateless {
                Code::INVALID_PARAMS
            } else {
                Code::RESOURCE_NOT_FOUND
            };
            WireError::new(200, code, text).with_data(&json!({"uri": uri}))
        }
        ServiceError::InvalidRequestState => WireError::new(200, Code::INVALID_PARAMS, text)
            .with_data(&json!({"reason": "invalid_request_state"})),
        ServiceError::MissingCapability(capability) => {
            let data = json!({"requiredCapabilities": capability.declaration()});
            if stateless {
                WireError::new(400, Code::MISSING_CLIENT_CAPABILITY, text).with_data(&data)
            } else {
                WireError::new(200, Code::INVALID_PARAMS, text).with_data(&data)
            }
        }
        ServiceError::Overloaded { retry_after, .. } => {
            let data = json!({"retryAfterMs": retry_after.as_millis()});
            WireError::new(503, Code::INTERNAL_ERROR, text)
                .with_data(&data)
                .retry_after(*retry_after)
        }
        ServiceError::Limited { retry_after, .. } => {
            let data = json!({"retryAfterMs": retry_after.as_millis()});
            WireError::new(429, Code::INTERNAL_ERROR, text)
                .with_data(&data)
                .retry_after(*retry_after)
        }
        ServiceError::Denied(_) => WireError::new(status(403), Code::INVALID_REQUEST, text),
        ServiceError::NeedsScopes(challenge) => {
            let data = json!({"requiredScopes": challenge.scopes});
            WireError::new(403, Code::INVALID_REQUEST, text)
                .with_data(&data)
                .challenge(challenge)
        }
        ServiceError::OutcomeUnknown(_) => WireError::new(200, Code::INTERNAL_ERROR, text)
            .with_data(&json!({"outcome": "unknown"})),
        ServiceError::Unavailable {
            upstream,
            retry_after,
            ..
        } => {
            let data = json!({"upstream": upstream, "retryAfterMs": retry_after.as_millis()});
            WireError::new(200, Code::INTERNAL_ERROR, text).with_data(&data)
        }
        ServiceError::Upstream(error) => {
            let code = ErrorCode(error.code);
            let status = match code {
                Code::METHOD_NOT_FOUND => status(404),
                Code::MISSING_CLIENT_CAPABILITY => status(400),
                _ => 200,
            };
            WireError {
                data: error.data.clone(),
                ..WireError::new(status, code, text)
            }
        }
        ServiceError::DeadlineExceeded => WireError::new(200, Code::INTERNAL_ERROR, text)
            .with_data(&json!({"reason": "deadline_exceeded"})),
        ServiceError::Application {
            code,
            message,
            data,
        } => WireError {
            data: data.clone(),
            ..WireError::new(200, ErrorCode(*code), message.clone())
        },
        ServiceError::ResultTooLarge { .. } | ServiceError::Cancelled | ServiceError::Internal => {
            WireError::new(200, Code::INTERNAL_ERROR, text)
        }
    }
}

/// The error of a call as an object, for where it stands inside a result.
#[must_use]
pub fn error_object(error: &ServiceError, version: ProtocolVersion) -> ResponseError {
    let WireError {
        code,
        message,
        data,
        ..
    } = service_error(error, version);
    ResponseError {
        code: code.0,
        message,
        data,
    }
}

/// What the envelope of a result has besides the result and who we are, about.
const ENVELOPE_BYTES: usize = 128;

/// How results are written for one call.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The revision it was made in.
    pub version: ProtocolVersion,
    /// The method, which decides whether caching hints are written.
    pub method: Method,
    /// Who we are, as JSON.
    pub server_info: RawJson,
    /// Most bytes a message may have.
    pub event_max: usize,
}

impl Envelope {
    /// The message that answers `id`, and the status it has if it is the whole HTTP answer.
    #[must_use]
    pub fn answer(
        &self,
        id: &RequestId,
        outcome: &Result<Reply, ServiceError>,
    ) -> (WireStatus, String) {
        let error = match outcome {
            Ok(reply) => {
                let text = self.result(id, reply);
                if text.len() <= self.event_max {
                    return (WireStatus::OK, text);
                }
                &ServiceError::ResultTooLarge {
                    bytes: text.len(),
                    max: self.event_max,
                }
            }
            // Only here: whoever keeps outcomes, or runs a call again, must see that it did not run.
            Err(error @ ServiceError::Unavailable { .. }) if self.method == Method::ToolsCall => {
                let result = ToolResult::error(error.to_string());
                let reply = Reply::tool(&result, self.version);
                return (WireStatus::OK, self.result(id, &reply));
            }
            Err(error) => error,
        };
        let wire = service_error(error, self.version);
        let text = wire.text(Some(id));
        (
            WireStatus {
                status: wire.status,
                retry_after: wire.retry_after,
                challenge: wire.challenge.map(Box::new),
            },
            text,
        )
    }

    fn result(&self, id: &RequestId, reply: &Reply) -> String {
        let members = reply.members.members().unwrap_or("");
        let meta = reply.meta.as_ref().and_then(RawJson::members).unwrap_or("");
        let info = self.server_info.as_str();
        let length = members.len() + meta.len() + info.len() + ENVELOPE_BYTES;
        let mut result = ResultText::begin(id, length);
        match self.version.era() {
            Era::Session => {
                result.members(&[members]);
                if !meta.is_empty() {
                    result.members(&[r#""_meta":{"#, meta, "}"]);
                }
            }
            Era::Stateless => {
                result.members(&[match reply.kind {
                    ReplyKind::Complete => r#""resultType":"complete""#,
                    ReplyKind::InputRequired => r#""resultType":"input_required""#,
                    ReplyKind::Task => r#""resultType":"task""#,
                }]);
                result.members(&[members]);
                if self.method.is_cacheable() && reply.kind == ReplyKind::Complete {
                    result.members(&[r#""ttlMs":"#, &reply.cache.ttl_ms.to_string()]);
                    result.members(&[if reply.cache.public {
                        r#""cacheScope":"public""#
                    } else {
                        r#""cacheScope":"private""#
                    }]);
                }
                let comma = if meta.is_empty() { "" } else { "," };
                let key = SERVER_INFO_KEY;
                result.members(&[r#""_meta":{""#, key, r#"":"#, info, comma, meta, "}"]);
            }
        }
        result.end()
    }
}

impl Refused {
    /// Counts the refusal and gives the whole HTTP answer. `id` is the refused request's, where it
    /// is known.
    #[must_use]
    pub fn respond(&self, metrics: &Metrics, id: Option<&RequestId>) -> HttpResponse {
        RefusedEvent {
            reason: self.reason(),
            detail: self,
        }
        .emit(metrics);
        let wire = self.wire();
        let mut response = HttpResponse::build(wire.status);
        response.content_type("application/json");
        if let Some(after) = wire.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds(after)));
        }
        if let Some(allow) = wire.allow {
            response.insert_header((header::ALLOW, allow));
        }
        if let Some(challenge) = &wire.challenge {
            response.insert_header((header::WWW_AUTHENTICATE, challenge.value()));
        }
        response.body(wire.text(id.or(self.id())))
    }
}

/// Whole seconds, at least one: `Retry-After` knows no fractions, and whoever comes a fraction too early
/// is refused again.
fn seconds(after: Duration) -> u64 {
    let begun = u64::from(after.subsec_nanos() > 0);
    (after.as_secs() + begun).max(1)
}

/// Made once: from a text it would be checked for each answer.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The HTTP side of an answer that is one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireStatus {
    /// The status.
    pub status: StatusCode,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// What credential would do.
    pub challenge: Option<Box<Challenge>>,
}

impl WireStatus {
    /// 200.
    pub const OK: Self = Self {
        status: StatusCode::OK,
        retry_after: None,
        challenge: None,
    };

    /// The HTTP answer that is this one message.
    #[must_use]
    pub fn respond(self, text: String) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response.insert_header((header::CONTENT_TYPE, JSON));
        if let Some(after) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds(after)));
        }
        if let Some(challenge) = &self.challenge {
            response.insert_header((header::WWW_AUTHENTICATE, challenge.value()));
        }
        response.body(text)
    }
}

/// What is said last on the stream of a call: its answer, or nothing when it was cancelled.
#[must_use]
pub fn last_message(answer: Option<(WireStatus, String)>) -> Vec<ByteString> {
    answer
        .into_iter()
        .map(|(_, text)| ByteString::from(text))
        .collect()
}

/// The message for a request that was running where nobody can ask any more.
#[must_use]
pub fn outcome_unknown(id: &RequestId) -> ByteString {
    let error = ServiceError::OutcomeUnknown("the node that ran it is gone".into());
    service_error(&error, ProtocolVersion::NEWEST_WITH_SESSIONS)
        .text(Some(id))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProtocolVersion::{V2025_11_25, V2026_07_28};

    fn from_upstream(code: i64) -> ServiceError {
        ServiceError::Upstream(ResponseError {
            code,
            message: "so it is".into(),
            data: Some(RawJson::from_valid(r#"{"more":[1,  2]}"#)),
        })
    }

    fn envelope(method: Method, version: ProtocolVersion) -> Envelope {
        Envelope {
            version,
            method,
            server_info: RawJson::empty_object(),
            event_max: 1_000,
        }
    }

    #[test]
    fn whoever_waits_as_long_as_is_said_is_not_too_early() {
        for (milliseconds, said) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60)] {
            assert_eq!(seconds(Duration::from_millis(milliseconds)), said);
        }
    }

    #[test]
    fn an_upstreams_error_is_passed_on_with_the_status_its_code_has() {
        for (code, version, status) in [
            (-32602, V2025_11_25, 200),
            (-32602, V2026_07_28, 200),
            (-32601, V2025_11_25, 200),
            (-32601, V2026_07_28, 404),
            (-32021, V2026_07_28, 400),
            (-32603, V2026_07_28, 200),
            (7, V2026_07_28, 200),
        ] {
            let wire = service_error(&from_upstream(code), version);
            assert_eq!(wire.status.as_u16(), status, "{code} in {version}");
            assert_eq!(
                wire.text(Some(&RequestId::Number(1))),
                format!(
                    r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":{code},"message":"so it is","data":{{"more":[1,  2]}}}}}}"#
                )
            );
        }
    }

    #[test]
    fn of_an_unknown_outcome_at_an_upstream_its_name_is_said() {
        let error = ServiceError::OutcomeUnknown("upstream `files` broke off".into());
        let wire = service_error(&error, V2026_07_28);
        assert_eq!(
            wire.message,
            "the outcome of this call is unknown: upstream `files` broke off"
        );
        assert_eq!(wire.code, ErrorCode::INTERNAL_ERROR);
        assert_eq!(wire.data.unwrap().as_str(), r#"{"outcome":"unknown"}"#);
    }

    #[test]
    fn an_upstream_that_cannot_be_asked_is_a_failed_tool_to_a_call_and_an_error_to_all_else() {
        let error = ServiceError::Unavailable {
            upstream: "files".into(),
            why: "cannot be reached".into(),
            retry_after: Duration::from_millis(4_200),
        };
        let sentence = "upstream `files` cannot be reached; try again in 5 s";
        for version in ProtocolVersion::ALL {
            let answer = |method: Method| {
                let outcome = Err(error.clone());
                let (status, text) =
                    envelope(method, version).answer(&RequestId::Number(1), &outcome);
                assert_eq!(status, WireStatus::OK);
                serde_json::from_str::<serde_json::Value>(&text).unwrap()
            };
            let called = answer(Method::ToolsCall);
            assert_eq!(called["result"]["isError"], true, "{version}");
            assert_eq!(called["result"]["content"][0]["text"], sentence);
            let read = answer(Method::ResourcesRead);
            let data = json!({"upstream": "files", "retryAfterMs": 4_200});
            assert_eq!(
                read["error"],
                json!({"code": -32603, "message": sentence, "data": data}),
                "{version}"
            );
        }
    }
}
