//! `[auth]` as it is written: the proofs that are accepted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretText;
use crate::config::defaults;
use crate::config::values::Period;

/// The proofs of who is calling that are accepted. Without any, nobody is asked.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// API keys, made with `switchboard key create`. The table alone is enough.
    pub api_keys: Option<ApiKeys>,
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
