//! What can be written about how the gateway is let in by an upstream.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretText;

/// How the gateway is let in by an upstream. Each key belongs to some of the kinds.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamAuth {
    /// By what. Default: nothing but `headers`.
    pub kind: Option<AuthKind>,
    /// `static`: a token that never changes. Secrets are written as in `headers`.
    pub bearer: Option<SecretText>,
    /// `static`, instead: the name of a header, and with it `value`.
    pub header: Option<String>,
    /// `static`: what stands in that header.
    pub value: Option<SecretText>,
    /// The authorization server, by its identifier: its metadata are found from there.
    pub issuer: Option<String>,
    /// Its token endpoint, where it has no metadata.
    pub token_url: Option<String>,
    /// Our client there.
    pub client_id: Option<String>,
    /// What the client proves itself by: a secret,
    pub client_secret: Option<SecretText>,
    /// or a private key in PEM (PKCS#8), better,
    pub private_key: Option<SecretText>,
    /// by the id that the authorization server knows it by.
    pub key_id: Option<String>,
    /// Scopes that are asked for, beside those that the upstream asks for.
    pub scopes: Vec<String>,
    /// What the upstream is called in tokens. Default: its URL.
    pub resource: Option<String>,
    /// `token_exchange`: what the issuer calls the upstream, where it does not know it by its URL.
    pub audience: Option<String>,
    /// `authorization_code`: the URL of our client metadata document, for issuers that take it for a
    /// client.
    pub client_document: Option<String>,
    /// `authorization_code`: the address of this machine to which a browser brings the answer. Default:
    /// `127.0.0.1` at any port that is free.
    pub callback: Option<String>,
    /// `cross_app`: the company's identity provider, by its identifier,
    pub provider: Option<String>,
    /// its token endpoint, where it has no metadata,
    pub provider_token_url: Option<String>,
    /// our client there,
    pub provider_client_id: Option<String>,
    /// its secret, if it has one,
    pub provider_client_secret: Option<SecretText>,
    /// and the ID token it issued for the employee in whose name the upstream is asked.
    pub identity: Option<SecretText>,
}

/// By what the gateway is let in by an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthKind {
    /// A secret that never changes.
    Static,
    /// A token for the gateway itself.
    ClientCredentials,
    /// A token for each caller, in exchange for the one they came with.
    TokenExchange,
    /// An account that somebody logs in to.
    AuthorizationCode,
    /// A token for an employee whom the company's identity provider vouches for.
    CrossApp,
}
