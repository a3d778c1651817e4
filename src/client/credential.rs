//! What requests to a server are shown to be let in by, where that is no header that never changes.
//!
//! Spec: RFC 6750; 2026-07-28 basic/authorization.

use std::fmt;

use futures_util::future::BoxFuture;
use hyper::StatusCode;
use hyper::header::HeaderValue;

use super::oauth::{Challenge, OAuthError};

/// Gets a credential, and another one where the server refuses it.
pub trait Credentials: fmt::Debug + Send + Sync {
    /// What to send as `Authorization` now; nothing where the server is to say first that it wants
    /// something.
    ///
    /// # Cancel safety
    /// What has begun goes on when this is dropped.
    fn current(&self) -> BoxFuture<'_, Result<Option<HeaderValue>, OAuthError>>;

    /// The server let a request in.
    fn accepted(&self, sent: &HeaderValue);

    /// The server did not let a request in: it did not run. When this ends well, there is something else
    /// to be let in by, and the request may be sent again.
    ///
    /// # Errors
    /// When nothing can be done about it that was not done already.
    ///
    /// # Cancel safety
    /// What has begun goes on when this is dropped.
    fn refused(&self, how: TurnedAway) -> BoxFuture<'_, Result<(), OAuthError>>;
}

/// How a server did not let a request in.
#[derive(Clone, Debug)]
pub struct TurnedAway {
    /// 401 or 403.
    pub status: StatusCode,
    /// What it asks for, if it says so.
    pub challenge: Option<Challenge>,
    /// What was sent.
    pub sent: Option<HeaderValue>,
}

impl TurnedAway {
    /// Whether another credential may change it.
    #[must_use]
    pub fn is_about_credentials(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED || self.wants_more_scopes()
    }

    /// Whether what was sent is good, but not for this.
    #[must_use]
    pub fn wants_more_scopes(&self) -> bool {
        let challenge = self.challenge.as_ref();
        challenge.is_some_and(Challenge::wants_more_scopes)
    }
}
