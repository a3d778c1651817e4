//! How the gateway is let in by an upstream: each kind with the keys it needs, and none of the others.

use std::net::SocketAddr;

use super::env::Environment;
use super::layers::Ground;
use super::raw::{AuthKind, SecretText, UpstreamAuth};
use super::secrets;
use super::upstreams::is_loopback;
use crate::client::oauth::{
    AuthorizationCode, ClientCredentials, Config, CrossApp, Issuer, Proof, Registered, Scopes,
    SigningKey, TokenExchange,
};
use crate::egress::Destination;
use crate::gateway::config::Secret;
use crate::runtime::secret;

/// Where a browser comes back to, unless said otherwise.
const CALLBACK: &str = "127.0.0.1:0";

/// Why a secret does not stand without the issuer it is for.
const SECRETS_GO: &str = ": secrets go to no authorization server but the one they are for";

/// The keys that are of some kinds only, with these.
const KEYS: &[(&str, &[AuthKind])] = {
    use AuthKind::{AuthorizationCode, ClientCredentials, CrossApp, Static, TokenExchange};
    const TOKENS: &[AuthKind] = &[
        ClientCredentials,
        TokenExchange,
        AuthorizationCode,
        CrossApp,
    ];
    const ENDPOINT: &[AuthKind] = &[ClientCredentials, TokenExchange, CrossApp];
    &[
        ("bearer", &[Static]),
        ("header", &[Static]),
        ("value", &[Static]),
        ("issuer", TOKENS),
        ("token_url", ENDPOINT),
        ("client_id", TOKENS),
        ("client_secret", TOKENS),
        ("private_key", TOKENS),
        ("key_id", TOKENS),
        ("scopes", TOKENS),
        ("resource", ENDPOINT),
        ("audience", &[TokenExchange]),
        ("client_document", &[AuthorizationCode]),
        ("callback", &[AuthorizationCode]),
        ("provider", &[CrossApp]),
        ("provider_token_url", &[CrossApp]),
        ("provider_client_id", &[CrossApp]),
        ("provider_client_secret", &[CrossApp]),
        ("identity", &[CrossApp]),
    ]
};

/// What lets the gateway in by an upstream.
#[derive(Debug, PartialEq)]
pub(super) enum Auth {
    /// Nothing but its headers.
    Nothing,
    /// One more header.
    Header(String, Secret),
    /// A token that is issued.
    Tokens(Box<Config>),
}

/// The table at `path`.
pub(super) fn resolve(
    raw: &UpstreamAuth,
    path: &str,
    environment: &Environment,
    ground: &mut Ground,
) -> Auth {
    let mut table = Table {
        raw,
        path,
        environment,
        ground,
    };
    table.foreign_keys();
    let config = match raw.kind {
        None => return Auth::Nothing,
        Some(AuthKind::Static) => return table.header(),
        Some(AuthKind::ClientCredentials) => Config::ClientCredentials(ClientCredentials {
            issuer: table.issuer(),
            client: table.client(true),
            scopes: table.scopes(),
            resource: table.url("resource", raw.resource.as_ref()),
        }),
        Some(AuthKind::TokenExchange) => Config::TokenExchange(TokenExchange {
            issuer: table.issuer(),
            client: table.client(true),
            scopes: table.scopes(),
            resource: table.url("resource", raw.resource.as_ref()),
            audience: raw.audience.clone(),
        }),
        Some(AuthKind::AuthorizationCode) => Config::AuthorizationCode(table.login()),
        Some(AuthKind::CrossApp) => Config::CrossApp(table.cross_app()),
    };
    Auth::Tokens(Box::new(config))
}

/// The table while it is read.
struct Table<'a> {
    raw: &'a UpstreamAuth,
    path: &'a str,
    environment: &'a Environment,
    ground: &'a mut Ground,
}

impl Table<'_> {
    fn complain(&mut self, key: &str, problem: &str) {
        let key = format!("{}.{key}", self.path);
        let kind = format!("{}.kind", self.path);
        self.ground.complain(&[&key, &kind, self.path], problem);
    }

    /// Complains that these keys are missing, with what else there is to say.
    fn needs(&mut self, keys: &str, more: &str) {
        self.complain("kind", &format!("needs {keys} beside it{more}"));
    }

    /// Complains about keys that mean nothing with this kind.
    fn foreign_keys(&mut self) {
        for (key, kinds) in KEYS {
            let path = format!("{}.{key}", self.path);
            if !self.ground.is_set(&path) {
                continue;
            }
            match self.raw.kind {
                None => self.complain(key, "needs a `kind` beside it"),
                Some(kind) if !kinds.contains(&kind) => {
                    self.complain(key, "means nothing with this `kind`");
                }
                Some(_) => {}
            }
        }
    }

    fn header(&mut self) -> Auth {
        let raw = self.raw;
        let (name, value, start) = match (&raw.bearer, &raw.header, &raw.value) {
            (Some(token), None, None) => ("Authorization", ("bearer", token), "Bearer "),
            (None, Some(name), Some(value)) => (name.as_str(), ("value", value), ""),
            _neither_nor => {
                let problem = "needs either `bearer`, or `header` and `value`";
                self.complain("kind", problem);
                return Auth::Nothing;
            }
        };
        let (key, value) = value;
        let Some(value) = self.secret(key, value) else {
            return Auth::Nothing;
        };
        let value = format!("{start}{}", value.expose());
        Auth::Header(name.to_owned(), Secret(value))
    }

    fn issuer(&mut self) -> Issuer {
        let (issuer, token_url) = (&self.raw.issuer, &self.raw.token_url);
        self.issuer_at("issuer", issuer.as_ref(), "token_url", token_url.as_ref())
    }

    fn issuer_at(
        &mut self,
        key: &str,
        issuer: Option<&String>,
        token_key: &str,
        token_url: Option<&String>,
    ) -> Issuer {
        if issuer.is_none() {
            self.needs(&format!("`{key}`"), SECRETS_GO);
        }
        Issuer {
            issuer: self.url(key, issuer).unwrap_or_default(),
            token_url: self.url(token_key, token_url),
        }
    }

    /// Our client, and what it proves itself by.
    fn client(&mut self, needs_proof: bool) -> Registered {
        let raw = self.raw;
        let id = self.needed("client_id", raw.client_id.as_ref());
        let proof = match (&raw.client_secret, &raw.private_key) {
            (Some(_), Some(_)) => {
                self.complain(
                    "private_key",
                    "stands beside a `client_secret`: leave one of them out",
                );
                Proof::Nothing
            }
            (Some(secret), None) => {
                let secret = self.secret("client_secret", secret);
                secret.map_or(Proof::Nothing, Proof::Secret)
            }
            (None, Some(key)) => self.key(key),
            (None, None) => {
                if needs_proof {
                    self.needs("`client_secret` or `private_key`", "");
                }
                Proof::Nothing
            }
        };
        Registered { id, proof }
    }

    fn key(&mut self, key: &SecretText) -> Proof {
        let Some(pem) = self.secret("private_key", key) else {
            return Proof::Nothing;
        };
        match SigningKey::from_pem(pem, self.raw.key_id.clone()) {
            Ok(key) => Proof::Key(key),
            Err(error) => {
                self.complain("private_key", &error.to_string());
                Proof::Nothing
            }
        }
    }

    fn login(&mut self) -> AuthorizationCode {
        let raw = self.raw;
        let has_proof = raw.client_secret.is_some() || raw.private_key.is_some();
        if has_proof && raw.issuer.is_none() {
            self.needs("`issuer`", SECRETS_GO);
        }
        let is_registered = raw.client_id.is_some() || has_proof;
        let callback = raw.callback.as_deref().unwrap_or(CALLBACK).parse();
        let callback = callback
            .ok()
            .filter(|it: &SocketAddr| it.ip().is_loopback());
        let callback = callback.unwrap_or_else(|| {
            let problem = "must be a loopback address with a port, as in \"127.0.0.1:7777\"";
            self.complain("callback", problem);
            SocketAddr::from(([127, 0, 0, 1], 0))
        });
        AuthorizationCode {
            issuer: self.url("issuer", raw.issuer.as_ref()),
            client: is_registered.then(|| self.client(false)),
            metadata_document: self.document(),
            scopes: self.scopes(),
            callback,
        }
    }

    fn document(&mut self) -> Option<String> {
        let document = self.url("client_document", self.raw.client_document.as_ref())?;
        if !document.starts_with("https://") {
            self.complain("client_document", "must be an https URL");
        }
        Some(document)
    }

    fn cross_app(&mut self) -> CrossApp {
        let raw = self.raw;
        let (provider, token_url) = (raw.provider.as_ref(), raw.provider_token_url.as_ref());
        let provider = self.issuer_at("provider", provider, "provider_token_url", token_url);
        let secret = raw.provider_client_secret.as_ref();
        let secret = secret.and_then(|secret| self.secret("provider_client_secret", secret));
        let provider_client = Registered {
            id: self.needed("provider_client_id", raw.provider_client_id.as_ref()),
            proof: secret.map_or(Proof::Nothing, Proof::Secret),
        };
        let identity = raw.identity.as_ref();
        if identity.is_none() {
            self.needs("`identity`", "");
        }
        let identity = identity.and_then(|identity| self.secret("identity", identity));
        CrossApp {
            provider,
            provider_client,
            identity: identity.unwrap_or_else(|| secret::Secret::new(String::new())),
            issuer: self.issuer(),
            client: self.client(true),
            scopes: self.scopes(),
            resource: self.url("resource", raw.resource.as_ref()),
        }
    }

    fn scopes(&mut self) -> Scopes {
        let all = &self.raw.scopes;
        for scope in all {
            if Scopes::parse(scope).to_string() != *scope {
                self.complain("scopes", "has an entry that is not one scope");
            }
        }
        all.iter().collect()
    }

    fn needed(&mut self, key: &str, value: Option<&String>) -> String {
        let value = value.filter(|value| !value.is_empty());
        if value.is_none() {
            self.needs(&format!("`{key}`"), "");
        }
        value.cloned().unwrap_or_default()
    }

    fn url(&mut self, key: &str, url: Option<&String>) -> Option<String> {
        let url = url?;
        if Destination::configured(url).is_err() {
            let problem = "must be an http or https URL, as in \"https://login.example.com\"";
            self.complain(key, problem);
        }
        let parsed = reqwest::Url::parse(url).ok();
        if parsed.is_some_and(|url| url.scheme() == "http" && !is_loopback(&url)) {
            let path = self.path;
            self.ground.cautions.push(format!(
                "{path}.{key}: what is secret is sent without encryption to another machine"
            ));
        }
        Some(url.clone())
    }

    /// A secret. What stands in the configuration itself is cautioned about.
    fn secret(&mut self, key: &str, SecretText(entry): &SecretText) -> Option<secret::Secret> {
        if secrets::is_inline(entry) {
            let caution = format!(
                "{}.{key}: the secret stands in the configuration itself: write `env:NAME` or \
                 `file:PATH`, or `text:` before it if it is none",
                self.path
            );
            self.ground.cautions.push(caution);
        }
        match secrets::reveal(entry, self.environment) {
            Ok(value) if !value.is_empty() => Some(value.into()),
            Ok(_) => {
                self.complain(key, "is empty");
                None
            }
            Err(problem) => {
                self.complain(key, &problem);
                None
            }
        }
    }
}
