//! OAuth as a client: from a server's refusal to a token that it accepts.
//!
//! [`OAuth`] is the [`Credentials`](super::Credentials) of one server. When the server refuses a
//! request, it finds out who issues tokens for it, becomes a client there, gets a token and keeps it
//! until it is over. [`Config`] says by which grant.
//!
//! ```text
//! 401 ─▶ challenge ─▶ discovery ──▶ metadata ─▶ registration ─▶ login ─▶ token
//!                     of the server,            who we are      browser   good for this
//!                     of its issuer             there                     server only
//! ```
//!
//! It does not check tokens of others: that is `auth`. It keeps nothing on disk.
//!
//! Invariants:
//! - What is kept for one issuer is shown to no other: ids, secrets, refresh tokens.
//! - A secret that is configured goes to the issuer that is configured with it.
//! - No code is exchanged before its answer is known to belong to this login and to come from this
//!   issuer; none at all without PKCE.
//! - Everything that is fetched goes through [`crate::egress`].
//! - No error and no log line holds a token, a secret, or what a challenge said.
//!
//! Spec: basic/authorization (2025-03-26 and later); OAuth 2.1; RFC 6750, 7523, 7591, 7636, 8252, 8414,
//! 8693, 8707, 9207, 9728; the extensions oauth-client-credentials and enterprise-managed-authorization.

mod browser;
mod challenge;
mod config;
mod cross_app;
mod discovery;
mod error;
mod exchange;
mod grant;
mod holder;
mod key;
mod login;
mod logins;
mod metadata;
mod registration;
mod scopes;
mod subject;
mod token;

pub use browser::{Browser, Expected, Loopback};
pub use challenge::Challenge;
pub use config::{
    AuthorizationCode, ClientCredentials, Config, CrossApp, Issuer, Proof, Registered,
    TokenExchange,
};
pub use error::{Fault, OAuthError};
pub use holder::{Means, OAuth};
pub use key::{NoKey, SigningKey};
pub use scopes::Scopes;
pub use subject::Subject;
