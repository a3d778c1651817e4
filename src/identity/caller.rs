//! The caller of a request: the principal, and what its credential proves of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Principal;

/// Who makes a request, as its credential proves it.
///
/// State is kept by [`Caller::principal`] alone. The rest is true of one request: a later one of
/// the same principal may come with other roles and scopes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Caller {
    /// Whose state the request may touch.
    pub principal: Principal,
    /// Which customer it belongs to. Nothing is shared between tenants.
    pub tenant: Arc<str>,
    /// The person or service, the same through whichever client: limits per user count it.
    pub user: Arc<str>,
    /// The program that acts for them, where the credential names it.
    pub client: Option<Arc<str>>,
    /// What was presented.
    pub proof: Proof,
    /// What the credential itself makes them: the roles of an API key.
    pub roles: BTreeSet<Arc<str>>,
    /// Roles that were bound to them when the request came. Rules that have changed since bind anew.
    #[serde(default)]
    pub bound: BTreeSet<Arc<str>>,
    /// What they, or who issued the credential, let this one be used for.
    pub scopes: BTreeSet<Arc<str>>,
    /// What the credential says beyond that: claims of a token.
    pub claims: Map<String, Value>,
}

/// What a caller presented to prove who they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// Nothing: the endpoint asks for nothing.
    Nothing,
    /// An API key.
    ApiKey {
        /// Which one; no secret.
        id: Arc<str>,
        /// Whose it is.
        owner: Arc<str>,
    },
    /// An access token.
    Token {
        /// Who issued it.
        issuer: Arc<str>,
    },
    /// A configured proxy says who they are.
    Proxy,
    /// A certificate of the TLS connection.
    Certificate,
}

impl Proof {
    /// A word for it, for logs, audit records and metric labels.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::ApiKey { .. } => "api_key",
            Self::Token { .. } => "token",
            Self::Proxy => "proxy",
            Self::Certificate => "certificate",
        }
    }

    /// Which API key it is, if it is one.
    #[must_use]
    pub const fn key(&self) -> Option<&Arc<str>> {
        match self {
            Self::ApiKey { id, .. } => Some(id),
            Self::Nothing | Self::Token { .. } | Self::Proxy | Self::Certificate => None,
        }
    }
}

impl Caller {
    /// The tenant of a process that knows no others.
    pub const DEFAULT_TENANT: &'static str = "default";

    /// Whoever calls where nothing is asked: [`Principal::local`], with no role and no scope.
    #[must_use]
    pub fn local() -> Self {
        Self::of(Principal::local())
    }

    /// A caller of whom nothing but the principal is known.
    #[must_use]
    pub fn of(principal: Principal) -> Self {
        Self {
            user: principal.key().into(),
            principal,
            tenant: Self::DEFAULT_TENANT.into(),
            client: None,
            proof: Proof::Nothing,
            roles: BTreeSet::new(),
            bound: BTreeSet::new(),
            scopes: BTreeSet::new(),
            claims: Map::new(),
        }
    }

    /// A caller of whom nothing but the key of the principal is known.
    #[must_use]
    pub fn known_as(key: &str) -> Self {
        Self::of(Principal::from_key(key))
    }

    /// Whether they have this role, by their credential or because it was bound to them.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.contains(role) || self.bound.contains(role)
    }
}
