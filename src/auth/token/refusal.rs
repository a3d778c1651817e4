//! Why a token is refused: the step of the check that it did not pass.
//!
//! A step is a fixed word, for logs, audit records and metric labels. Nothing of the token is in it.

use std::time::Duration;

/// A refused token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{step}")]
pub struct Refusal {
    /// What it did not pass.
    pub step: Step,
    /// Whether the same token is worth presenting again.
    pub retry: Retry,
}

impl Refusal {
    /// The token is bad, whoever asks again: 401 `invalid_token`.
    #[must_use]
    pub const fn of(step: Step) -> Self {
        Self {
            step,
            retry: Retry::Never,
        }
    }

    /// Nothing is known of the token, because its issuer does not answer: 503.
    #[must_use]
    pub const fn unreachable(after: Duration) -> Self {
        Self {
            step: Step::Unreachable,
            retry: Retry::After(after),
        }
    }
}

/// Whether a refused token is worth presenting again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It is not: another one is needed.
    Never,
    /// It may be good; we cannot tell before so much time has passed.
    After(Duration),
}

/// The steps of the check, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Step {
    /// Its length.
    #[error("the token is empty or longer than 8 KiB")]
    Size,
    /// Its outermost form.
    #[error("the token has not three parts, and no issuer is asked about other tokens")]
    Parts,
    /// How its parts are written.
    #[error("the token's parts are not base64url without padding")]
    Encoding,
    /// What its parts say.
    #[error("the token's header or claims are no JSON object that names each member once")]
    Json,
    /// `alg`.
    #[error("the token's algorithm is not one that is allowed for its issuer and its key")]
    Algorithm,
    /// `crit`.
    #[error("the token demands an extension that is not known here")]
    Critical,
    /// `iss`.
    #[error("the token's issuer is not one that is trusted here")]
    Issuer,
    /// `kid`.
    #[error("the token's issuer has no such key")]
    Key,
    /// Its last part.
    #[error("the token's signature is not its issuer's")]
    Signature,
    /// `typ`, and claims that only other tokens have.
    #[error("this is some other token, not an access token")]
    Type,
    /// What the issuer says when asked.
    #[error("the token's issuer says that it is not in force")]
    Inactive,
    /// `aud`.
    #[error("the token is for another audience")]
    Audience,
    /// `exp`, where it is missing or no number, and other times that are no numbers.
    #[error("the token's times are missing or are not numbers")]
    Times,
    /// `exp`.
    #[error("the token has expired")]
    Expired,
    /// `nbf`, `iat`.
    #[error("the token is from the future")]
    Early,
    /// `sub`, `client_id`.
    #[error("the token names neither a subject nor a client, or not as text")]
    Subject,
    /// `scope`.
    #[error("the token's scopes are not written as scopes")]
    Scopes,
    /// `cnf`.
    #[error("the token is bound to a key of its client, and proofs of that are not taken here")]
    Bound,
    /// No step of the token's: its issuer could not be asked.
    #[error("the token's issuer cannot be reached")]
    Unreachable,
}

impl Step {
    /// A word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Parts => "parts",
            Self::Encoding => "encoding",
            Self::Json => "json",
            Self::Algorithm => "algorithm",
            Self::Critical => "critical",
            Self::Issuer => "issuer",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Type => "type",
            Self::Inactive => "inactive",
            Self::Audience => "audience",
            Self::Times => "times",
            Self::Expired => "expired",
            Self::Early => "early",
            Self::Subject => "subject",
            Self::Scopes => "scopes",
            Self::Bound => "bound",
            Self::Unreachable => "unreachable",
        }
    }
}
