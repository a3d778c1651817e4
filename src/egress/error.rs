//! Why something that was asked gave no answer, told apart by what a caller would do about it.

use std::error::Error;
use std::iter;

use super::Destination;
use super::resolver::OutOfReach;

/// There is no answer, or none that can be used.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The host's name means an address that may not be connected to. Nothing was sent.
    #[error(transparent)]
    OutOfReach(OutOfReach),
    /// No connection came about. Nothing was sent.
    #[error("cannot reach {host}: {reason}")]
    Unreachable {
        /// Of whom it was asked.
        host: String,
        /// What happened.
        reason: String,
    },
    /// There was no whole answer in time.
    #[error("{host} did not answer in time")]
    TimedOut {
        /// Of whom it was asked.
        host: String,
    },
    /// The connection broke, or what came was no HTTP.
    #[error("{host} gave no whole answer: {reason}")]
    Broken {
        /// Of whom it was asked.
        host: String,
        /// What happened.
        reason: String,
    },
    /// The answer has more bytes than are read.
    #[error("the answer has more than {max} bytes")]
    TooLarge {
        /// How many are read.
        max: usize,
    },
    /// The answer is not the JSON document it should be.
    #[error("the answer is not the document it should be, at line {} column {}", .0.line(), .0.column())]
    Malformed(serde_json::Error),
    /// The document cannot be sent.
    #[error("the document cannot be sent: {0}")]
    Unsendable(serde_json::Error),
    /// What is called a token has characters that none has.
    #[error("the token has characters that no token has")]
    NoToken,
    /// There is no TLS to ask with.
    #[error("TLS cannot be used: {}", reasons(.0))]
    Tls(reqwest::Error),
}

impl EgressError {
    /// Whether the same may be asked again with another outcome, later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Broken { .. } => true,
            Self::OutOfReach(_)
            | Self::TooLarge { .. }
            | Self::Malformed(_)
            | Self::Unsendable(_)
            | Self::NoToken
            | Self::Tls(_) => false,
        }
    }
}

/// What stopped a request on its way.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error("more than {0} bytes")]
    TooLarge(usize),
}

impl Stopped {
    /// The same, with a word of whom was asked.
    pub(super) fn about(self, destination: &Destination) -> EgressError {
        let host = destination.host().to_owned();
        match self {
            Self::TooLarge(max) => EgressError::TooLarge { max },
            Self::Http(error) => {
                // The path and the query stay here: they may be more than a log should have.
                let error = error.without_url();
                let out_of_reach = behind(&error).find_map(|error| error.downcast_ref());
                if let Some(out_of_reach) = out_of_reach {
                    return EgressError::OutOfReach(OutOfReach::clone(out_of_reach));
                }
                let reason = reasons(&error);
                if error.is_timeout() {
                    EgressError::TimedOut { host }
                } else if error.is_connect() {
                    EgressError::Unreachable { host, reason }
                } else {
                    EgressError::Broken { host, reason }
                }
            }
        }
    }
}

/// An error with everything behind it.
fn reasons(error: &(dyn Error + 'static)) -> String {
    let all = behind(error).map(ToString::to_string).collect::<Vec<_>>();
    all.join(": ")
}

fn behind<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |error| (*error).source())
}
