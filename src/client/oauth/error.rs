//! Why there is no credential for a server, told apart by whose it is to do something about it.

use std::time::Duration;

/// See the module docs. None holds a token, a secret, or what a server's challenge said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OAuthError {
    /// Nobody says who issues credentials for the server.
    #[error("nobody says who issues credentials for it: {0}")]
    Undiscovered(String),
    /// What is said about that must not be believed.
    #[error("its authorization is not to be trusted: {0}")]
    Untrusted(String),
    /// Whoever issues credentials cannot be asked now.
    #[error("its authorization server cannot be asked: {0}")]
    Unreachable(String),
    /// The authorization server knows no client of ours, and lets none register.
    #[error("its authorization server lets no client register: one has to be configured")]
    Unregistered,
    /// The authorization server refuses us.
    #[error("its authorization server refuses: {0}")]
    Refused(String),
    /// It refuses whom we act for.
    #[error("its authorization server does not let this caller in: {0}")]
    CallerRefused(String),
    /// There is nobody to act for: whoever calls came without an access token of the right issuer.
    #[error("it is asked in the name of callers, and this one came with no token to be exchanged")]
    NoCaller,
    /// What came back in the browser does not belong to what was asked.
    #[error("the answer to a login is not to be trusted: {0}")]
    Forged(&'static str),
    /// Nobody logged in.
    #[error("nobody logged in: {0}")]
    Declined(String),
    /// The credential is fresh, and the server does not accept it.
    #[error("it does not accept a credential that was just issued for it")]
    NotAccepted,
    /// The server wants more than can be had.
    #[error("it wants scopes that were asked for already, and not granted")]
    ScopesNotGranted,
}

/// Whose it is to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Ours: our own credential is not good.
    Ours,
    /// The server's: it refuses what it should accept.
    Theirs,
    /// The caller's, in whose name it is asked.
    Caller,
    /// Nobody's: it may be better in a moment.
    Passing,
}

impl OAuthError {
    /// Whose it is to do something.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Unreachable(_) => Fault::Passing,
            Self::NotAccepted | Self::ScopesNotGranted => Fault::Theirs,
            Self::CallerRefused(_) | Self::NoCaller => Fault::Caller,
            Self::Undiscovered(_)
            | Self::Untrusted(_)
            | Self::Unregistered
            | Self::Refused(_)
            | Self::Forged(_)
            | Self::Declined(_) => Fault::Ours,
        }
    }

    /// For how long nobody is asked again after this.
    #[must_use]
    pub(super) const fn rest(&self) -> Duration {
        match self {
            Self::Unreachable(_) => Duration::from_secs(1),
            // A person is not to be asked at every turn.
            Self::Forged(_) | Self::Declined(_) => Duration::from_secs(60),
            Self::CallerRefused(_) | Self::NoCaller => Duration::from_secs(5),
            Self::Undiscovered(_)
            | Self::Untrusted(_)
            | Self::Unregistered
            | Self::Refused(_)
            | Self::NotAccepted
            | Self::ScopesNotGranted => Duration::from_secs(30),
        }
    }
}
