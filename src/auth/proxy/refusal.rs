//! Why the word of a proxy is not believed.

use std::fmt;

/// Why the word of a proxy is not believed. It never repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyRefusal {
    /// There are two of the header: one may be the client's.
    #[error("the header is there more than once")]
    Repeated,
    /// It is no JWS of two JSON documents.
    #[error("the assertion cannot be read")]
    Malformed,
    /// It is signed in a way that does not fit the key.
    #[error("the assertion names another algorithm than the key is for")]
    Algorithm,
    /// It must not be used without understanding more than we do.
    #[error("the assertion has critical header members")]
    Critical,
    /// The signature is not by the key.
    #[error("the signature of the assertion is wrong")]
    Signature,
    /// It is meant for somebody else.
    #[error("the assertion is meant for another audience")]
    Audience,
    /// It has no time it ends at, or another time is no number.
    #[error("the assertion has no usable times")]
    Times,
    /// It is over, or has not begun.
    #[error("the assertion is not valid now")]
    NotNow,
    /// It would be valid for too long.
    #[error("the assertion is valid for more than five minutes")]
    TooLong,
    /// It does not say who calls, or not in a usable way.
    #[error("the assertion has no usable name in `{0}`")]
    Name(ClaimRole),
}

/// What a claim is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimRole {
    /// It names the caller.
    Subject,
    /// It names their tenant.
    Tenant,
    /// It names the program that acts for them.
    Client,
    /// It lists scopes.
    Scope,
}

impl fmt::Display for ClaimRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subject => "subject",
            Self::Tenant => "tenant",
            Self::Client => "client",
            Self::Scope => "scope",
        })
    }
}
