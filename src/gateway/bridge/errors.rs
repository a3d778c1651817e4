//! What it means for a call that its upstream gave no result.
//!
//! [`answered`] is for errors of the protocol that an upstream answered with: most pass as they are;
//! a code that means something else in the client's revision becomes the one that means the same.
//! [`Failure`] is for everything else. Its sentences name the upstream and hold nothing of where it
//! is: they are for clients. Whoever logs has the [`ClientError`].
//!
//! Spec: 2026-07-28 basic/index, error codes; server/resources, error handling (all revisions).

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::array::quoted;
use super::questions::Unaskable;
use super::{Broken, Crossing};
use crate::client::ClientError;
use crate::client::oauth::{Fault, OAuthError};
use crate::gateway::upstream::breaker::Ended;
use crate::protocol::capabilities::ClientCapability;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::jsonrpc::ResponseError;
use crate::protocol::members::Members;
use crate::protocol::method::Method;
use crate::protocol::raw::RawJson;
use crate::protocol::tool::ToolResult;
use crate::protocol::version::{Era, ProtocolVersion};
use crate::service::{Reply, ServiceError};
use crate::telemetry::labels::UpstreamEnd;

/// The call of a client that an upstream answered with an error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The upstream's name.
    pub upstream: &'a str,
    /// What was asked.
    pub method: &'a Method,
    /// The URI the client asked for, where it asked for one.
    pub uri: Option<&'a str>,
}

/// What an upstream's error is to the client.
#[derive(Debug)]
pub(crate) enum Answered {
    /// The end of the call: an error, or a tool that failed.
    Outcome(Result<Reply, ServiceError>),
    /// Before the call is made again, its user must be sent to these URLs: each the params of an
    /// `elicitation/create`. Only for clients of the stateless era, who have no such error.
    UrlsFirst(Vec<RawJson>),
}

/// What the client is told of an error that the upstream answered with.
pub(crate) fn answered(
    error: ResponseError,
    asked: &Asked<'_>,
    crossing: &Crossing<'_>,
) -> Answered {
    use ErrorCode as Code;
    let code = Code(error.code);
    let told = match (crossing.upstream.era(), crossing.client.era()) {
        (Era::Session, Era::Stateless) => match code {
            Code::URL_ELICITATION_REQUIRED => {
                if let Some(urls) = urls(&error) {
                    return Answered::UrlsFirst(urls);
                }
                hidden(&error, asked)
            }
            Code::RESOURCE_NOT_FOUND => not_found(error, Code::INVALID_PARAMS, asked),
            code if code.is_reserved() => hidden(&error, asked),
            _ => shown(error, crossing),
        },
        (Era::Stateless, Era::Session) => match code {
            Code::INVALID_PARAMS if is_not_found(&error, asked) => {
                not_found(error, Code::RESOURCE_NOT_FOUND, asked)
            }
            Code::MISSING_CLIENT_CAPABILITY => return Answered::Outcome(lacking(&error, asked)),
            Code::HEADER_MISMATCH | Code::UNSUPPORTED_PROTOCOL_VERSION => hidden(&error, asked),
            _ => shown(error, crossing),
        },
        (Era::Stateless, Era::Stateless) => match code {
            // Between us and the upstream; the client's headers were checked on their own.
            Code::HEADER_MISMATCH | Code::UNSUPPORTED_PROTOCOL_VERSION => hidden(&error, asked),
            _ => shown(error, crossing),
        },
        (Era::Session, Era::Session) => match code {
            // Its client would have no idea what to do.
            Code::URL_ELICITATION_REQUIRED if crossing.client < ProtocolVersion::V2025_11_25 => {
                return Answered::Outcome(lacking(&needs_urls(error), asked));
            }
            _ => shown(error, crossing),
        },
    };
    Answered::Outcome(Err(ServiceError::Upstream(told)))
}

/// The error as it is, but for an own URI in its data.
fn shown(mut error: ResponseError, crossing: &Crossing<'_>) -> ResponseError {
    let shown = error.data.as_ref().and_then(|data| {
        let mut data = Members::of(data.as_str())?;
        let shown = crossing.shown(&data.string("uri")?)?;
        data.set("uri", quoted(&shown));
        data.changed()
    });
    error.data = shown.map(RawJson::from_valid).or(error.data);
    error
}

/// The same error for a client that cannot be sent to URLs.
fn needs_urls(error: ResponseError) -> ResponseError {
    let needed = json!({"requiredCapabilities": ClientCapability::ElicitationUrl.declaration()});
    ResponseError {
        data: Some(RawJson::of(&needed)),
        ..error
    }
}

/// An error whose code would be read as one of ours.
fn hidden(error: &ResponseError, asked: &Asked<'_>) -> ResponseError {
    let theirs = json!({"code": error.code, "message": error.message});
    ResponseError {
        code: ErrorCode::INTERNAL_ERROR.0,
        message: format!("upstream `{}` answered: {}", asked.upstream, error.message),
        data: Some(RawJson::of(&json!({"upstream": theirs}))),
    }
}

fn is_not_found(error: &ResponseError, asked: &Asked<'_>) -> bool {
    let names_a_uri = || {
        let data = error.data.as_ref()?;
        Members::of(data.as_str())?.string("uri").map(|_| ())
    };
    *asked.method == Method::ResourcesRead
        && (names_a_uri().is_some() || error.message.to_ascii_lowercase().contains("not found"))
}

/// That there is no such resource, with the URI that the client asked for.
fn not_found(mut error: ResponseError, code: ErrorCode, asked: &Asked<'_>) -> ResponseError {
    error.code = code.0;
    if let Some(uri) = asked.uri {
        let data = error.data.as_ref().map_or("{}", RawJson::as_str);
        if let Some(mut data) = Members::of(data) {
            data.set("uri", quoted(uri));
            error.data = Some(RawJson::from_valid(data.to_string()));
        }
    }
    error
}

/// The entries of a URL elicitation error, if they are any.
fn urls(error: &ResponseError) -> Option<Vec<RawJson>> {
    #[derive(Deserialize)]
    struct Data {
        elicitations: Vec<RawJson>,
    }
    let data: Data = error.data.as_ref()?.decode().ok()?;
    let are_some = !data.elicitations.is_empty();
    (are_some && data.elicitations.iter().all(RawJson::is_object)).then_some(data.elicitations)
}

/// What a client of the session era, who knows no such error, is told of a capability it lacks.
fn lacking(error: &ResponseError, asked: &Asked<'_>) -> Result<Reply, ServiceError> {
    let data = error.data.as_ref().map(RawJson::to_value);
    let needed = data
        .as_ref()
        .and_then(|data| data.get("requiredCapabilities"));
    let needed = needed.and_then(Value::as_object).map(capability_names);
    let needed = needed.filter(|names| !names.is_empty());
    let message = format!(
        "upstream `{}` needs a client with {}",
        asked.upstream,
        needed.map_or_else(
            || "capabilities that this one did not declare".into(),
            |names| format!("the capabilities {}", names.join(", "))
        )
    );
    if *asked.method == Method::ToolsCall {
        return Ok(failed_tool(&message));
    }
    Err(ServiceError::Upstream(ResponseError {
        code: ErrorCode::INTERNAL_ERROR.0,
        message,
        data: error.data.clone(),
    }))
}

/// A tool's failure, said to the model in words.
fn failed_tool(message: &str) -> Reply {
    // A block of text is the same in every revision.
    Reply::tool(&ToolResult::error(message), ProtocolVersion::NEWEST)
}

/// `elicitation.url` for `{"elicitation":{"url":{}}}`.
fn capability_names(declared: &Map<String, Value>) -> Vec<String> {
    let mut names = Vec::new();
    for (name, parts) in declared {
        match parts.as_object() {
            Some(parts) if !parts.is_empty() => {
                names.extend(parts.keys().map(|part| format!("{name}.{part}")));
            }
            _ => names.push(name.clone()),
        }
    }
    names
}

/// An exchange with an upstream that came to nothing, by what a caller would do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It answered with an error of the protocol; see [`answered`].
    Answered {
        /// The error.
        error: ResponseError,
        /// Whether it came with a status that says that the upstream is not well.
        is_unwell: bool,
    },
    /// Nothing ran: it may be sent again, when there is something to send it to.
    NotSent {
        /// Completes a sentence that begins with the upstream.
        why: Cow<'static, str>,
        /// When the upstream wants to be asked again, if it said so.
        retry_after: Option<Duration>,
        /// Whether the upstream seems not to be well.
        is_unwell: bool,
    },
    /// It no longer knows our session; nothing ran. With a new session it may be sent again.
    SessionLost,
    /// It seems to be of another era than it was; nothing ran. Asked anew which it is, it may be sent
    /// again. Otherwise this is what it answered.
    OtherEra(Box<Failure>),
    /// It turned the request away; nothing ran, and the same again would end the same.
    Refused(String),
    /// We have nothing that it would let us in by, and that is nobody's fault but ours; nothing ran.
    NoCredential,
    /// There was no answer in time. It may have run.
    TimedOut(Duration),
    /// The connection broke, or its server did. It may have run.
    BrokeOff(String),
    /// It said what the protocol does not allow. It may have run.
    Broke(String),
    /// It ran, and its result is larger than what is taken.
    TooLarge(usize),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::from(&error)
    }
}

impl From<&ClientError> for Failure {
    fn from(error: &ClientError) -> Self {
        let not_sent = |why: &'static str| Self::not_ready(why);
        let too_much = |status: u16, retry_after| Self::NotSent {
            why: "wants no more requests now".into(),
            retry_after,
            is_unwell: status == 503,
        };
        match error {
            ClientError::Answered {
                status: Some(status @ (429 | 503)),
                ..
            } => too_much(*status, None),
            ClientError::Answered { error, status } => Self::Answered {
                error: error.clone(),
                is_unwell: status.is_some_and(|status| status >= 500),
            },
            ClientError::Address(_) => not_sent("is configured with an address of no use"),
            ClientError::Unreachable(_) => not_sent("cannot be reached"),
            ClientError::Spawn { .. } => not_sent("cannot be started"),
            ClientError::Closed(_) => not_sent("has closed the connection"),
            ClientError::Version(_) => not_sent("speaks no revision of the protocol that we do"),
            ClientError::Status {
                status: status @ (429 | 503),
                retry_after,
                ..
            } => too_much(*status, *retry_after),
            ClientError::Status { status, .. } if *status >= 500 => {
                Self::BrokeOff(format!("answered HTTP {status}"))
            }
            ClientError::Status { status, .. } => Self::Refused(format!("answered HTTP {status}")),
            ClientError::SessionLost => Self::SessionLost,
            ClientError::Credential(error) => Self::of_credential(error),
            ClientError::TimedOut(time) => Self::TimedOut(*time),
            ClientError::OutcomeUnknown { .. } => {
                Self::BrokeOff("broke off before it answered".into())
            }
            ClientError::Protocol(what) => Self::Broke(what.clone()),
            ClientError::Rounds(most) => {
                Self::Broke(format!("it asked for input more than {most} times"))
            }
            ClientError::TooLarge { max } => Self::TooLarge(*max),
            ClientError::Overlong { max } => Self::BrokeOff(format!(
                "said more than the {max} bytes that are taken, to this request or to another"
            )),
            ClientError::Declined(_) => Self::Refused("asked what was not answered".into()),
        }
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        Self::Broke(broken.to_string())
    }
}

impl From<Unaskable> for Failure {
    fn from(unaskable: Unaskable) -> Self {
        Self::Refused(format!("asked what cannot be asked here: {unaskable}"))
    }
}

impl Failure {
    /// What it means for a call that no line could be opened for it: whatever happened, the call was
    /// not sent.
    pub(crate) fn of_opening(error: &ClientError) -> Self {
        if let ClientError::Credential(error) = error {
            return Self::of_credential(error);
        }
        match Self::from(error) {
            Self::TimedOut(_) => Self::late(),
            Self::BrokeOff(_) => Self::not_ready("broke off when it was connected to"),
            Self::Broke(_) | Self::TooLarge(_) => {
                Self::not_ready("broke the protocol when it was connected to")
            }
            Self::SessionLost | Self::Answered { .. } | Self::OtherEra(_) => {
                Self::not_ready("refused to be connected to")
            }
            Self::Refused(what) => Self::not_ready(format!("{what} when it was connected to")),
            not_sent @ (Self::NotSent { .. } | Self::NoCredential) => not_sent,
        }
    }

    /// What it means that it let us in by nothing that we have.
    fn of_credential(error: &OAuthError) -> Self {
        match (error.fault(), error) {
            (Fault::Ours, _) => Self::NoCredential,
            (Fault::Theirs, _) => Self::Refused("does not accept our credential for it".into()),
            (Fault::Caller, OAuthError::NoCaller) => Self::Refused(
                "is asked in the name of callers, and this call came with no access token that can be \
                 exchanged for one of its own"
                    .into(),
            ),
            (Fault::Caller, _) => {
                Self::Refused("is asked in the name of callers, and this one is not let in".into())
            }
            (Fault::Passing, _) => Self::not_sent("cannot be asked: who issues its credentials is away"),
        }
    }

    /// What a request of `era` came to. A refusal may say that the upstream is not of that era any more.
    ///
    /// Spec: 2026-07-28 basic/versioning, clients of both eras.
    pub(crate) fn of_request(error: &ClientError, era: Era) -> Self {
        let failure = Self::from(error);
        if is_of_another_era(error, era) {
            return Self::OtherEra(Box::new(failure));
        }
        failure
    }

    /// Nothing was sent, because the upstream was not ready in time.
    pub(crate) fn late() -> Self {
        Self::not_ready("did not get ready in time")
    }

    fn not_ready(why: impl Into<Cow<'static, str>>) -> Self {
        Self::NotSent {
            why: why.into(),
            retry_after: None,
            is_unwell: true,
        }
    }

    /// Whether it surely did not run, so that it may be sent again.
    pub(crate) const fn may_be_sent_again(&self) -> bool {
        matches!(
            self,
            Self::NotSent { .. } | Self::SessionLost | Self::OtherEra(_)
        )
    }

    /// Nothing was sent, for a reason of ours that completes a sentence that begins with the upstream.
    pub(crate) const fn not_sent(why: &'static str) -> Self {
        Self::NotSent {
            why: Cow::Borrowed(why),
            retry_after: None,
            is_unwell: false,
        }
    }

    /// Whether it may have run or not.
    pub(crate) const fn is_unknown(&self) -> bool {
        matches!(self, Self::TimedOut(_) | Self::BrokeOff(_) | Self::Broke(_))
    }

    /// What it counts as.
    pub(crate) const fn label(&self) -> UpstreamEnd {
        match self {
            Self::Answered { .. } => UpstreamEnd::Answered,
            Self::NotSent { .. } | Self::SessionLost | Self::OtherEra(_) | Self::NoCredential => {
                UpstreamEnd::NotSent
            }
            Self::Refused(_) => UpstreamEnd::Refused,
            Self::TimedOut(_) | Self::BrokeOff(_) => UpstreamEnd::Unknown,
            Self::Broke(_) => UpstreamEnd::Broke,
            Self::TooLarge(_) => UpstreamEnd::TooLarge,
        }
    }

    /// What the breaker is told.
    pub(crate) const fn ended(&self) -> Ended {
        match self {
            Self::NotSent {
                is_unwell: true, ..
            }
            | Self::Answered {
                is_unwell: true, ..
            }
            | Self::TimedOut(_)
            | Self::BrokeOff(_)
            | Self::Broke(_) => Ended::Failed,
            Self::NotSent { .. }
            | Self::Answered { .. }
            | Self::SessionLost
            | Self::OtherEra(_)
            | Self::NoCredential
            | Self::Refused(_)
            | Self::TooLarge(_) => Ended::Answered,
        }
    }

    /// What the client is told, when that is the end of it. `retry_after` is when the upstream may
    /// be well again, where it does not say itself.
    pub(crate) fn told(
        self,
        asked: &Asked<'_>,
        crossing: &Crossing<'_>,
        retry_after: Duration,
    ) -> Answered {
        let upstream = asked.upstream;
        let unknown = |what: String| ServiceError::OutcomeUnknown(Cow::Owned(what));
        let passed = |what: &str| {
            ServiceError::Upstream(ResponseError {
                code: ErrorCode::INTERNAL_ERROR.0,
                message: format!("upstream `{upstream}` {what}"),
                data: None,
            })
        };
        let error = match self {
            Self::Answered { error, .. } => return answered(error, asked, crossing),
            Self::NotSent {
                why,
                retry_after: theirs,
                ..
            } => unavailable(upstream, why, theirs.unwrap_or(retry_after)),
            Self::SessionLost => unavailable(upstream, "lost our session", retry_after),
            Self::OtherEra(answered) => return answered.told(asked, crossing, retry_after),
            Self::NoCredential => passed("cannot be asked: our own credential for it is not good"),
            Self::Refused(what) if *asked.method == Method::ToolsCall => {
                let tool = failed_tool(&format!("upstream `{upstream}` {what}"));
                return Answered::Outcome(Ok(tool));
            }
            Self::Refused(what) => passed(&what),
            Self::TimedOut(time) => unknown(format!(
                "upstream `{upstream}` did not answer within {time:.1?}"
            )),
            Self::BrokeOff(what) => unknown(format!("upstream `{upstream}` {what}")),
            Self::Broke(what) => {
                unknown(format!("upstream `{upstream}` broke the protocol: {what}"))
            }
            Self::TooLarge(max) => passed(&format!(
                "answered with more than the {max} bytes that are taken"
            )),
        };
        Answered::Outcome(Err(error))
    }
}

/// Whether this is how a server of the other era than `era` refuses a request.
fn is_of_another_era(error: &ClientError, era: Era) -> bool {
    use ErrorCode as Code;
    let (status, code) = match error {
        ClientError::Status { status, .. } => (Some(*status), None),
        ClientError::Answered { error, status } => (*status, Some(Code(error.code))),
        _ => return false,
    };
    match era {
        // What servers with sessions say to who has none; no error that the stateless era knows.
        Era::Stateless => {
            let is_refused = matches!(status, Some(400 | 404 | 405 | 406 | 415 | 422));
            is_refused
                && !matches!(
                    code,
                    Some(
                        Code::HEADER_MISMATCH
                            | Code::MISSING_CLIENT_CAPABILITY
                            | Code::UNSUPPORTED_PROTOCOL_VERSION
                            | Code::METHOD_NOT_FOUND
                            | Code::INVALID_PARAMS
                            | Code::INTERNAL_ERROR
                    )
                )
        }
        Era::Session => matches!(
            code,
            Some(Code::HEADER_MISMATCH | Code::UNSUPPORTED_PROTOCOL_VERSION)
        ),
    }
}

/// That an upstream cannot be asked now: it is left alone, all its places are taken, or it cannot be
/// reached. `why` completes a sentence that begins with its name.
pub(crate) fn unavailable(
    upstream: &str,
    why: impl Into<Cow<'static, str>>,
    retry_after: Duration,
) -> ServiceError {
    ServiceError::Unavailable {
        upstream: upstream.to_owned(),
        why: why.into(),
        retry_after,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::gateway::naming::Naming;
    use ProtocolVersion::{V2025_03_26, V2025_06_18, V2025_11_25, V2026_07_28};

    static FILES: LazyLock<Naming> = LazyLock::new(|| Naming::new("files", "."));

    const RETRY: Duration = Duration::from_secs(9);

    fn asked(method: &Method) -> Asked<'_> {
        Asked {
            upstream: "files",
            method,
            uri: Some("files+a:b"),
        }
    }

    fn crossing(upstream: ProtocolVersion, client: ProtocolVersion) -> Crossing<'static> {
        Crossing {
            upstream,
            client,
            naming: &FILES,
        }
    }

    fn error(code: i64, message: &str, data: Option<Value>) -> ResponseError {
        ResponseError {
            code,
            message: message.into(),
            data: data.map(|data| RawJson::of(&data)),
        }
    }

    fn outcome(answered: Answered) -> Result<Reply, ServiceError> {
        match answered {
            Answered::Outcome(outcome) => outcome,
            Answered::UrlsFirst(urls) => panic!("unexpected {urls:?}"),
        }
    }

    fn passed(answered: Answered) -> ResponseError {
        match outcome(answered) {
            Err(ServiceError::Upstream(error)) => error,
            other => panic!("unexpected {other:?}"),
        }
    }

    /// 2026-07-28 basic/authorization as a gateway keeps it: whose fault it is decides who is told what.
    #[test]
    fn what_is_wrong_with_a_credential_is_told_to_whom_it_concerns() {
        use OAuthError as E;
        for (error, is_tool_error, expected) in [
            (
                E::NotAccepted,
                true,
                "upstream `files` does not accept our credential for it",
            ),
            (
                E::ScopesNotGranted,
                true,
                "upstream `files` does not accept our credential for it",
            ),
            (
                E::CallerRefused("secret".into()),
                true,
                "upstream `files` is asked in the name of callers, and this one is not let in",
            ),
            (
                E::Refused("secret".into()),
                false,
                "upstream `files` cannot be asked: our own credential for it is not good",
            ),
            (
                E::Declined("secret".into()),
                false,
                "upstream `files` cannot be asked: our own credential for it is not good",
            ),
        ] {
            for opening in [false, true] {
                let error = ClientError::Credential(error.clone());
                let failure = if opening {
                    Failure::of_opening(&error)
                } else {
                    Failure::of_request(&error, Era::Stateless)
                };
                assert_eq!(failure.ended(), Ended::Answered, "the upstream is well");
                let told = failure.told(
                    &asked(&Method::ToolsCall),
                    &crossing(V2026_07_28, V2025_11_25),
                    RETRY,
                );
                let Answered::Outcome(outcome) = told else {
                    panic!("{told:?}");
                };
                match outcome {
                    Ok(reply) => {
                        assert!(
                            is_tool_error && reply.members.as_str().contains(expected),
                            "{reply:?}"
                        );
                    }
                    Err(ServiceError::Upstream(error)) => {
                        assert_eq!((error.code, &*error.message), (-32603, expected));
                        assert!(!is_tool_error);
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
        let away = ClientError::Credential(E::Unreachable("secret".into()));
        assert!(Failure::of_request(&away, Era::Session).may_be_sent_again());
    }

    #[test]
    fn codes_become_those_that_mean_the_same_to_the_client() {
        let uri = || Some(json!({"uri": "a:b", "more": 1}));
        let shown = || Some(json!({"uri": "files+a:b", "more": 1}));
        let theirs = |code: i64| Some(json!({"upstream": {"code": code, "message": "m"}}));
        let read = || Method::ResourcesRead;
        let call = || Method::ToolsCall;
        for (upstream, client, method, code, data, told, told_data) in [
            (
                V2025_11_25,
                V2026_07_28,
                read(),
                -32002,
                uri(),
                -32602,
                shown(),
            ),
            (
                V2025_11_25,
                V2026_07_28,
                read(),
                -32002,
                None,
                -32602,
                Some(json!({"uri": "files+a:b"})),
            ),
            (
                V2025_11_25,
                V2025_03_26,
                read(),
                -32002,
                uri(),
                -32002,
                shown(),
            ),
            (
                V2025_11_25,
                V2026_07_28,
                call(),
                -32020,
                None,
                -32603,
                theirs(-32020),
            ),
            (
                V2025_11_25,
                V2026_07_28,
                call(),
                -32099,
                None,
                -32603,
                theirs(-32099),
            ),
            (V2025_11_25, V2025_11_25, call(), -32020, None, -32020, None),
            (V2025_11_25, V2026_07_28, call(), -32019, None, -32019, None),
            (
                V2025_11_25,
                V2026_07_28,
                call(),
                -32602,
                uri(),
                -32602,
                shown(),
            ),
            (
                V2025_11_25,
                V2026_07_28,
                call(),
                7,
                Some(json!([1])),
                7,
                Some(json!([1])),
            ),
            (
                V2026_07_28,
                V2025_11_25,
                read(),
                -32602,
                uri(),
                -32002,
                shown(),
            ),
            (
                V2026_07_28,
                V2025_11_25,
                call(),
                -32602,
                uri(),
                -32602,
                shown(),
            ),
            (
                V2026_07_28,
                V2026_07_28,
                read(),
                -32602,
                uri(),
                -32602,
                shown(),
            ),
            (
                V2026_07_28,
                V2026_07_28,
                call(),
                -32020,
                None,
                -32603,
                theirs(-32020),
            ),
            (
                V2026_07_28,
                V2025_11_25,
                call(),
                -32022,
                None,
                -32603,
                theirs(-32022),
            ),
            (V2026_07_28, V2026_07_28, call(), -32021, None, -32021, None),
            (V2026_07_28, V2025_11_25, call(), -32601, None, -32601, None),
        ] {
            let crossing = crossing(upstream, client);
            let passed = passed(answered(error(code, "m", data), &asked(&method), &crossing));
            let data = passed.data.map(|data| data.to_value());
            assert_eq!(
                (passed.code, data),
                (told, told_data),
                "{crossing:?} {code}"
            );
        }
    }

    #[test]
    fn a_resource_that_is_not_found_is_known_by_its_message_too() {
        let crossing = crossing(V2026_07_28, V2025_11_25);
        for (message, code) in [("Resource Not Found", -32002), ("cursor is bad", -32602)] {
            let method = Method::ResourcesRead;
            let error = error(-32602, message, None);
            let passed = passed(answered(error, &asked(&method), &crossing));
            assert_eq!(passed.code, code, "{message}");
        }
    }

    #[test]
    fn a_capability_the_client_lacks_is_a_failed_tool_in_the_session_era() {
        let data = json!({"requiredCapabilities": {"elicitation": {"url": {}}, "roots": {}}});
        let lacks = || error(-32021, "m", Some(data.clone()));
        let sentence =
            "upstream `files` needs a client with the capabilities elicitation.url, roots";
        let crossing = crossing(V2026_07_28, V2025_03_26);
        let called = outcome(answered(lacks(), &asked(&Method::ToolsCall), &crossing)).unwrap();
        assert!(called.is_tool_error);
        assert_eq!(called.members.to_value()["content"][0]["text"], sentence);
        let read = passed(answered(lacks(), &asked(&Method::ResourcesRead), &crossing));
        assert_eq!((read.code, &*read.message), (-32603, sentence));
        assert_eq!(read.data.unwrap().to_value(), data);
    }

    #[test]
    fn urls_to_visit_first_are_told_apart_for_clients_that_have_no_such_error() {
        let url = json!({"mode": "url", "elicitationId": "e", "url": "https://x", "message": "m"});
        let wanted = || error(-32042, "m", Some(json!({"elicitations": [url.clone()]})));
        let method = Method::ToolsCall;
        let stateless = crossing(V2025_11_25, V2026_07_28);
        match answered(wanted(), &asked(&method), &stateless) {
            Answered::UrlsFirst(urls) => assert_eq!(urls[0].to_value(), url),
            Answered::Outcome(other) => panic!("unexpected {other:?}"),
        }
        let session = crossing(V2025_11_25, V2025_11_25);
        assert_eq!(
            passed(answered(wanted(), &asked(&method), &session)).code,
            -32042
        );
        let older = crossing(V2025_11_25, V2025_06_18);
        let refused = outcome(answered(wanted(), &asked(&method), &older)).unwrap();
        assert!(refused.is_tool_error);
        assert_eq!(
            refused.members.to_value()["content"][0]["text"],
            "upstream `files` needs a client with the capabilities elicitation.url"
        );
        for data in [
            None,
            Some(json!({"elicitations": []})),
            Some(json!({"elicitations": [1]})),
        ] {
            let error = error(-32042, "m", data);
            assert_eq!(
                passed(answered(error, &asked(&method), &stateless)).code,
                -32603
            );
        }
    }

    #[test]
    fn each_way_to_come_to_nothing_is_one_sentence_that_names_the_upstream() {
        let status = |status, retry_after| ClientError::Status {
            status,
            text: "secret".into(),
            retry_after,
        };
        let broke_off = ClientError::OutcomeUnknown {
            method: "tools/call".into(),
            reason: "secret".into(),
        };
        let second = Duration::from_secs(1);
        for (error, kind, may_be_sent_again, ended, sentence) in [
            (
                ClientError::Unreachable("secret".into()),
                "upstream_unavailable",
                true,
                Ended::Failed,
                "upstream `files` cannot be reached; try again in 9 s",
            ),
            (
                ClientError::Closed("secret".into()),
                "upstream_unavailable",
                true,
                Ended::Failed,
                "upstream `files` has closed the connection; try again in 9 s",
            ),
            (
                status(503, Some(second)),
                "upstream_unavailable",
                true,
                Ended::Failed,
                "upstream `files` wants no more requests now; try again in 1 s",
            ),
            (
                status(429, None),
                "upstream_unavailable",
                true,
                Ended::Answered,
                "upstream `files` wants no more requests now; try again in 9 s",
            ),
            (
                ClientError::SessionLost,
                "upstream_unavailable",
                true,
                Ended::Answered,
                "upstream `files` lost our session; try again in 9 s",
            ),
            (
                status(403, None),
                "upstream",
                false,
                Ended::Answered,
                "upstream `files` answered HTTP 403",
            ),
            (
                status(502, None),
                "outcome_unknown",
                false,
                Ended::Failed,
                "the outcome of this call is unknown: upstream `files` answered HTTP 502",
            ),
            (
                ClientError::TimedOut(second),
                "outcome_unknown",
                false,
                Ended::Failed,
                "the outcome of this call is unknown: upstream `files` did not answer within 1.0s",
            ),
            (
                broke_off,
                "outcome_unknown",
                false,
                Ended::Failed,
                "the outcome of this call is unknown: upstream `files` broke off before it answered",
            ),
            (
                ClientError::Protocol("a result is no object".into()),
                "outcome_unknown",
                false,
                Ended::Failed,
                "the outcome of this call is unknown: upstream `files` broke the protocol: a result is no object",
            ),
            (
                ClientError::TooLarge { max: 5 },
                "upstream",
                false,
                Ended::Answered,
                "upstream `files` answered with more than the 5 bytes that are taken",
            ),
        ] {
            let failure = Failure::from(error);
            assert_eq!(failure.may_be_sent_again(), may_be_sent_again, "{sentence}");
            assert_eq!(failure.ended(), ended, "{sentence}");
            let crossing = crossing(V2025_11_25, V2025_11_25);
            let told = failure.told(&asked(&Method::ResourcesRead), &crossing, RETRY);
            let told = outcome(told).unwrap_err();
            assert_eq!((told.kind(), &*told.to_string()), (kind, sentence));
        }
    }

    #[test]
    fn words_that_come_with_a_5xx_are_told_and_count_as_a_failure() {
        let stateless = crossing(V2026_07_28, V2026_07_28);
        for (status, ended) in [
            (None, Ended::Answered),
            (Some(200), Ended::Answered),
            (Some(400), Ended::Answered),
            (Some(500), Ended::Failed),
            (Some(502), Ended::Failed),
        ] {
            let failure = Failure::from(ClientError::Answered {
                error: error(-32603, "out of memory", None),
                status,
            });
            assert_eq!(failure.ended(), ended, "{status:?}");
            assert!(!failure.may_be_sent_again() && !failure.is_unknown());
            let told = failure.told(&asked(&Method::ToolsCall), &stateless, RETRY);
            assert_eq!(passed(told).message, "out of memory");
        }
    }

    #[test]
    fn a_call_that_was_turned_away_is_a_failed_tool() {
        let refused = Failure::from(Unaskable::Unknown("tasks/list".into()));
        let crossing = crossing(V2026_07_28, V2025_11_25);
        let told = outcome(refused.told(&asked(&Method::ToolsCall), &crossing, RETRY)).unwrap();
        let text = &told.members.to_value()["content"][0]["text"];
        assert_eq!(
            *text,
            "upstream `files` asked what cannot be asked here: a client cannot be asked `tasks/list`"
        );
    }

    #[test]
    fn nothing_ran_when_no_line_could_be_opened() {
        for (error, why) in [
            (
                ClientError::TimedOut(RETRY),
                "did not get ready in time; try again in 9 s",
            ),
            (
                ClientError::Protocol("secret".into()),
                "broke the protocol when it was connected to; try again in 9 s",
            ),
            (
                ClientError::Status {
                    status: 401,
                    text: "secret".into(),
                    retry_after: None,
                },
                "answered HTTP 401 when it was connected to; try again in 9 s",
            ),
        ] {
            let failure = Failure::of_opening(&error);
            assert!(failure.may_be_sent_again() && failure.ended() == Ended::Failed);
            let crossing = crossing(V2025_11_25, V2025_11_25);
            let told = outcome(failure.told(&asked(&Method::ToolsCall), &crossing, RETRY));
            let told = told.unwrap_err();
            assert_eq!(told.kind(), "upstream_unavailable");
            assert_eq!(told.to_string(), format!("upstream `files` {why}"));
        }
    }

    #[test]
    fn a_refusal_may_say_that_the_era_is_another() {
        let bare = |status| ClientError::Status {
            status,
            text: String::new(),
            retry_after: None,
        };
        let answered = |code, status| ClientError::Answered {
            error: error(code, "m", None),
            status,
        };
        for (error, of_stateless, of_session) in [
            (bare(400), true, false),
            (bare(404), true, false),
            (bare(401), false, false),
            (bare(429), false, false),
            (bare(500), false, false),
            (answered(-32000, Some(400)), true, false),
            (answered(-32600, Some(400)), true, false),
            (answered(-32601, Some(404)), false, false),
            (answered(-32602, Some(400)), false, false),
            (answered(-32020, Some(400)), false, true),
            (answered(-32022, Some(400)), false, true),
            (answered(-32000, Some(200)), false, false),
            (answered(-32022, None), false, true),
        ] {
            for (era, doubted) in [(Era::Stateless, of_stateless), (Era::Session, of_session)] {
                let failure = Failure::of_request(&error, era);
                let is_doubted = matches!(failure, Failure::OtherEra(_));
                assert_eq!(is_doubted, doubted, "{error:?} {era:?}");
            }
        }
    }
}
