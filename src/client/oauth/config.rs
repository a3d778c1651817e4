//! What is told about how credentials for a server are had. Plain values.

use std::net::SocketAddr;

use super::key::SigningKey;
use super::scopes::Scopes;
use crate::runtime::secret::Secret;

/// How a client comes to be let in.
#[derive(Clone, Debug, PartialEq)]
pub enum Config {
    /// As itself.
    ClientCredentials(ClientCredentials),
    /// In the name of whoever it acts for, whose token it has exchanged.
    TokenExchange(TokenExchange),
    /// With an account that somebody logs in to, in a browser.
    AuthorizationCode(AuthorizationCode),
    /// In the name of an employee, whose identity the company's provider asserts (ID-JAG).
    CrossApp(CrossApp),
}

/// A client as an authorization server knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Registered {
    /// Its id there.
    pub id: String,
    /// How it proves to be that.
    pub proof: Proof,
}

/// How a client proves who it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Proof {
    /// Not at all: everybody may know all it knows.
    Nothing,
    /// By a secret.
    Secret(Secret),
    /// By what only it can sign.
    Key(SigningKey),
}

/// An authorization server that is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Its identifier, to the letter.
    pub issuer: String,
    /// Its token endpoint; otherwise its metadata say.
    pub token_url: Option<String>,
}

/// See [`Config::ClientCredentials`].
#[derive(Clone, Debug, PartialEq)]
pub struct ClientCredentials {
    /// Who issues.
    pub issuer: Issuer,
    /// To which client.
    pub client: Registered,
    /// What the token shall be good for at least.
    pub scopes: Scopes,
    /// For which server; otherwise the one that is asked.
    pub resource: Option<String>,
}

/// See [`Config::TokenExchange`].
#[derive(Clone, Debug, PartialEq)]
pub struct TokenExchange {
    /// Who issued the callers' tokens, and exchanges them.
    pub issuer: Issuer,
    /// For which client.
    pub client: Registered,
    /// What the token shall be good for at least.
    pub scopes: Scopes,
    /// For which server; otherwise the one that is asked.
    pub resource: Option<String>,
    /// What the issuer calls that server, where it does not know it by its URL.
    pub audience: Option<String>,
}

/// See [`Config::AuthorizationCode`].
#[derive(Clone, Debug, PartialEq)]
pub struct AuthorizationCode {
    /// The one authorization server that is used, and whose metadata may lie anywhere; otherwise the one
    /// that the server names.
    pub issuer: Option<String>,
    /// The client that is registered there already.
    pub client: Option<Registered>,
    /// Where our client metadata document is, for authorization servers that take its URL for a client.
    pub metadata_document: Option<String>,
    /// What the token shall be good for at least.
    pub scopes: Scopes,
    /// Where the browser brings the answer: an address of this machine; port 0 is any that is free.
    pub callback: SocketAddr,
}

/// See [`Config::CrossApp`].
#[derive(Clone, Debug, PartialEq)]
pub struct CrossApp {
    /// The company's identity provider.
    pub provider: Issuer,
    /// Our client there.
    pub provider_client: Registered,
    /// What the provider issued for the employee: an ID token.
    pub identity: Secret,
    /// The server's authorization server.
    pub issuer: Issuer,
    /// Our client there.
    pub client: Registered,
    /// What the token shall be good for at least.
    pub scopes: Scopes,
    /// For which server; otherwise the one that is asked.
    pub resource: Option<String>,
}
