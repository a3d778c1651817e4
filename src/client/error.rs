//! Why a server gave no result, told apart by what a caller would do about it.

use std::io;
use std::time::Duration;

use super::oauth::OAuthError;
use crate::protocol::jsonrpc::ResponseError;

/// A request has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL, or a header for it, cannot be used.
    #[error("{0}")]
    Address(String),
    /// No connection came about: nothing was sent.
    #[error("cannot reach the server: {0}")]
    Unreachable(String),
    /// The program could not be started.
    #[error("cannot start `{program}`: {reason}")]
    Spawn {
        /// What should have run.
        program: String,
        /// What the operating system says.
        reason: io::Error,
    },
    /// The server answered with an error of the protocol.
    #[error("the server answered: {} (code {})", .error.message, .error.code)]
    Answered {
        /// The error.
        error: ResponseError,
        /// The HTTP status it came with.
        status: Option<u16>,
    },
    /// The server, or something before it, answered with a bare HTTP status.
    #[error("the server answered HTTP {status}{}", with_text(.text))]
    Status {
        /// The status.
        status: u16,
        /// The beginning of what it said.
        text: String,
        /// When to come again, if it says so.
        retry_after: Option<Duration>,
    },
    /// The session ended: a new one has to be opened.
    #[error("the server no longer knows the session")]
    SessionLost,
    /// The server lets nobody in without a credential, and there is none that it accepts. Nothing ran.
    #[error("no credential for the server: {0}")]
    Credential(OAuthError),
    /// There was no answer in time. The server was told to stop.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The connection broke after the request was sent. It may have run; it is not sent again.
    #[error("outcome unknown: {reason} before `{method}` was answered, and it may have run")]
    OutcomeUnknown {
        /// What was asked.
        method: String,
        /// How the connection ended.
        reason: String,
    },
    /// The connection has ended: nothing was sent.
    #[error("the connection is closed: {0}")]
    Closed(String),
    /// The server said something that the protocol does not allow.
    #[error("the server breaks the protocol: {0}")]
    Protocol(String),
    /// The server said more at once than is taken.
    #[error("the server said more than {max} bytes at once")]
    TooLarge {
        /// What is taken.
        max: usize,
    },
    /// The server said more at once than is taken, and not to which request. This one may have run.
    #[error("the server said more than {max} bytes at once, to this request or to another")]
    Overlong {
        /// What is taken.
        max: usize,
    },
    /// There is no revision that both sides speak.
    #[error("no common protocol version: {0}")]
    Version(String),
    /// The server asked again and again.
    #[error("the server asked for input more than {0} times")]
    Rounds(usize),
    /// The server asked what was not answered, and so the request could not go on.
    #[error("a question of the server was not answered: {0}")]
    Declined(String),
}

impl ClientError {
    /// Whether the request surely did not run, so that it may be sent again.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Closed(_) => true,
            Self::Status { status, .. } => matches!(status, 429 | 503),
            Self::Address(_)
            | Self::Spawn { .. }
            | Self::Answered { .. }
            | Self::SessionLost
            | Self::Credential(_)
            | Self::TimedOut(_)
            | Self::OutcomeUnknown { .. }
            | Self::Protocol(_)
            | Self::TooLarge { .. }
            | Self::Overlong { .. }
            | Self::Version(_)
            | Self::Rounds(_)
            | Self::Declined(_) => false,
        }
    }

    /// The same for a log, where what the server said does not belong: it may have anything in it that
    /// the server knows, or was told.
    #[must_use]
    pub fn for_log(&self) -> String {
        match self {
            Self::Answered { error, .. } => {
                format!("the server answered with an error (code {})", error.code)
            }
            Self::Status { status, .. } => format!("the server answered HTTP {status}"),
            Self::Address(_)
            | Self::Unreachable(_)
            | Self::Spawn { .. }
            | Self::SessionLost
            | Self::Credential(_)
            | Self::TimedOut(_)
            | Self::OutcomeUnknown { .. }
            | Self::Closed(_)
            | Self::Protocol(_)
            | Self::TooLarge { .. }
            | Self::Overlong { .. }
            | Self::Version(_)
            | Self::Rounds(_)
            | Self::Declined(_) => self.to_string(),
        }
    }

    /// The JSON-RPC code, when the server answered with one.
    #[must_use]
    pub const fn code(&self) -> Option<i64> {
        match self {
            Self::Answered { error, .. } => Some(error.code),
            _no_answer => None,
        }
    }
}

fn with_text(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_does_not_repeat_what_the_server_said() {
        let answered = ClientError::Answered {
            error: ResponseError {
                code: -32_603,
                message: "sesame".to_owned(),
                data: None,
            },
            status: None,
        };
        let page = ClientError::Status {
            status: 403,
            text: "sesame".to_owned(),
            retry_after: None,
        };
        for (error, logged) in [
            (answered, "the server answered with an error (code -32603)"),
            (page, "the server answered HTTP 403"),
        ] {
            assert!(error.to_string().contains("sesame"));
            assert_eq!(error.for_log(), logged);
        }
        let late = ClientError::TimedOut(Duration::from_secs(1));
        assert_eq!(late.for_log(), late.to_string());
    }
}
