//! The kinds of proof that one endpoint takes.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::auth::protected_resource::ProtectedResource;
use crate::auth::proxy;
use crate::auth::token::Issuers;
use crate::keyring::Keyring;

/// The kinds of proof that an endpoint takes; none of them: it asks for nothing.
#[derive(Debug, Default)]
pub struct Ways {
    /// API keys.
    pub keys: Option<Keyring>,
    /// Access tokens.
    pub tokens: Option<Tokens>,
    /// The word of a proxy.
    pub proxy: Option<proxy::Config>,
    /// The certificate of the connection.
    pub certificates: bool,
}

/// How access tokens are judged at an endpoint.
#[derive(Debug)]
pub struct Tokens {
    /// Whose are trusted.
    pub issuers: Arc<Issuers>,
    /// What they must be for: the endpoint's canonical URL.
    pub audience: String,
    /// Where the metadata is, for challenges.
    pub metadata: Arc<str>,
    /// What is asked for before it is known what a caller wants.
    pub scopes: BTreeSet<Arc<str>>,
    /// The metadata.
    pub document: Value,
}

impl Tokens {
    /// Tokens for that resource.
    #[must_use]
    pub fn of(issuers: Arc<Issuers>, resource: &ProtectedResource) -> Self {
        Self {
            issuers,
            audience: resource.identifier().to_owned(),
            metadata: resource.metadata_url().as_str().into(),
            scopes: resource
                .scopes
                .iter()
                .map(|it| it.as_str().into())
                .collect(),
            document: resource.document(),
        }
    }
}

impl Ways {
    /// Whether nothing is asked for.
    pub(super) const fn is_empty(&self) -> bool {
        self.keys.is_none() && self.tokens.is_none() && self.proxy.is_none() && !self.certificates
    }
}
