//! `[auth]` as it is written: the proofs that are accepted.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretText;
use crate::config::defaults;
use crate::config::values::Period;
use crate::identity::Caller;

/// The proofs of who is calling that are accepted. Without any, nobody is asked.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// API keys, made with `switchboard key create`. The table alone is enough.
    pub api_keys: Option<ApiKeys>,
    /// Issuers of access tokens, each under a name of your choice: OpenID providers, or any other
    /// authorization server.
    pub oidc: BTreeMap<String, Oidc>,
    /// Proxies in front of this server that authenticate callers, and say in a signed header who they
    /// are.
    pub proxy: Proxy,
}

/// API keys.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ApiKeys {
    /// How long a key is good that is made without a word about that; at most a year.
    pub life: Period,
}

impl Default for ApiKeys {
    fn default() -> Self {
        Self {
            life: defaults::API_KEY_LIFE,
        }
    }
}

/// Proxies that say who calls.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Proxy {
    /// The networks they connect from: `10.0.0.0/8`, or single addresses. The header means nothing on
    /// any other connection.
    pub peers: Vec<String>,
    /// The header with what they say: a JWS with the claims `sub`, `aud` and `exp`, which lies five
    /// minutes ahead at most.
    pub header: String,
    /// What verifies it, as `env:NAME` or `file:PATH`: the public key of the proxy in PEM (RSA, P-256
    /// or Ed25519), or a secret of 32 bytes or more that both know (HS256).
    pub key: Option<SecretText>,
    /// What its `aud` must be. Default: `server.public_url`.
    pub audience: Option<String>,
    /// The claim that names the tenant.
    pub tenant_claim: String,
    /// The claim that names the program which acts for the caller.
    pub client_claim: String,
    /// The claim that lists scopes.
    pub scope_claim: String,
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            peers: Vec::new(),
            header: defaults::PROXY_HEADER.to_owned(),
            key: None,
            audience: None,
            tenant_claim: defaults::TENANT_CLAIM.to_owned(),
            client_claim: defaults::CLIENT_CLAIM.to_owned(),
            scope_claim: defaults::SCOPE_CLAIM.to_owned(),
        }
    }
}

/// An issuer of access tokens.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Oidc {
    /// What its tokens have as `iss`, letter by letter: an https URL.
    pub issuer: Option<String>,
    /// What its tokens must have as `aud`, for issuers that cannot be asked for an endpoint's URL.
    /// Default: the URL of the endpoint that is called, below `server.public_url`.
    pub audience: Option<String>,
    /// The tenant all its callers belong to.
    pub tenant: String,
    /// Where its keys are. Default: where its metadata says.
    pub jwks_url: Option<String>,
    /// How it may sign: of `RS256`, `PS256`, `ES256`, `EdDSA`. Default: in any of these ways.
    pub algorithms: Vec<String>,
    /// Take tokens that do not say that they are access tokens (`typ`), for issuers that never say so.
    pub untyped_tokens: bool,
    /// The scopes that clients are told to ask for first.
    pub scopes: Vec<String>,
    /// Where it is asked about tokens that are not signed (RFC 7662), with the two keys below.
    pub introspection_url: Option<String>,
    /// Who we are when we ask.
    pub client_id: Option<String>,
    /// How we prove that, as `env:NAME` or `file:PATH`.
    pub client_secret: Option<SecretText>,
    /// How far its clock may be from ours, at most 60s.
    pub leeway: Period,
    /// How long its keys are used while it cannot be reached.
    pub max_stale: Period,
}

impl Default for Oidc {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            tenant: Caller::DEFAULT_TENANT.to_owned(),
            jwks_url: None,
            algorithms: Vec::new(),
            untyped_tokens: false,
            scopes: Vec::new(),
            introspection_url: None,
            client_id: None,
            client_secret: None,
            leeway: defaults::TOKEN_LEEWAY,
            max_stale: defaults::TOKEN_KEYS_MAX_STALE,
        }
    }
}
