//! The proofs that are accepted, and at which endpoint.

use super::env::Environment;
use super::layers::Ground;
use super::raw::{self, Raw};
use super::settings::{ApiKeySettings, AuthSettings, OidcSettings, Way};
use super::{oidc, proxy};
use crate::keyring;

/// What everybody is let in by, where an endpoint says so.
const NONE: &str = "none";
const API_KEYS: &str = "api_keys";
const PROXY: &str = "proxy";
const CERTIFICATES: &str = "certificates";

/// The accepted proofs.
pub(super) fn resolve(raw: &Raw, environment: &Environment, ground: &mut Ground) -> AuthSettings {
    let public_url = raw.server.public_url.as_deref();
    let public_url = public_url.map(|url| url.trim_end_matches('/'));
    AuthSettings {
        api_keys: (raw.auth.api_keys.as_ref()).map(|keys| api_keys(keys, ground)),
        oidc: (raw.auth.oidc.iter())
            .map(|(name, issuer)| self::issuer(name, issuer, raw, environment, ground))
            .collect(),
        proxy: proxy::resolve(&raw.auth.proxy, public_url, environment, ground),
        // Who is asked for a certificate is let in by it.
        certificates: raw.server.tls.client_certificates != raw::ClientCertificates::Off,
    }
}

fn api_keys(raw: &raw::ApiKeys, ground: &mut Ground) -> ApiKeySettings {
    let life = raw.life.get();
    if life > keyring::LIFE_MAX {
        ground.complain(&["auth.api_keys.life"], "must be at most 366d");
    }
    ApiKeySettings { life }
}

fn issuer(
    name: &str,
    issuer: &raw::Oidc,
    raw: &Raw,
    environment: &Environment,
    ground: &mut Ground,
) -> OidcSettings {
    let table = format!("auth.oidc.{name}");
    if [NONE, API_KEYS, PROXY, CERTIFICATES].contains(&name) {
        ground.complain(
            &[&table],
            format!("{name:?} has a meaning of its own; choose another name"),
        );
    }
    if raw.server.public_url.is_none() && raw.server.listen.ends_with(":0") {
        let problem = "needs `server.public_url`: tokens are for an endpoint by its URL";
        ground.complain(&[&table, "server.public_url"], problem);
    }
    oidc::resolve(name, issuer, environment, ground)
}

/// The proofs accepted at one endpoint: those it names, or all there are.
pub(super) fn ways(
    endpoint: &str,
    raw: Option<&raw::Endpoint>,
    auth: &AuthSettings,
    ground: &mut Ground,
) -> Vec<Way> {
    let all = auth.ways();
    let Some(names) = raw.and_then(|raw| raw.auth.as_ref()) else {
        return all.into_iter().map(|(_, way)| way).collect();
    };
    let key = format!("endpoints.{endpoint}.auth");
    if names.is_empty() {
        ground.complain(
            &[&key],
            "names nothing; `[\"none\"]` lets everybody in without a proof",
        );
    }
    let mut ways = Vec::new();
    for name in names {
        if name == NONE {
            if names.len() > 1 {
                ground.complain(
                    &[&key],
                    "`none` stands alone: whatever is presented is not looked at",
                );
            }
            continue;
        }
        match all.iter().find(|(known, _)| known == name) {
            Some((_, way)) if !ways.contains(way) => ways.push(way.clone()),
            Some(_) => ground.complain(&[&key], format!("names {name:?} twice")),
            None => {
                let known = all.iter().map(|(known, _)| format!("{known:?}"));
                let known: Vec<_> = known.chain([format!("{NONE:?}")]).collect();
                let problem = format!(
                    "there is no {name:?} under [auth]; known here: {}",
                    known.join(", ")
                );
                ground.complain(&[&key], problem);
            }
        }
    }
    ways
}

impl AuthSettings {
    /// All proofs there are, by the names that endpoints use.
    fn ways(&self) -> Vec<(String, Way)> {
        let ways = [
            (self.api_keys.is_some(), API_KEYS, Way::ApiKeys),
            (self.proxy.is_some(), PROXY, Way::Proxy),
            (self.certificates, CERTIFICATES, Way::Certificates),
        ];
        let ways = ways.into_iter().filter(|(is_there, ..)| *is_there);
        let ways = ways.map(|(_, name, way)| (name.to_owned(), way));
        let issuers = self.oidc.iter().map(|issuer| &issuer.name);
        ways.chain(issuers.map(|name| (name.clone(), Way::Oidc(name.clone()))))
            .collect()
    }

    /// All proofs there are, as people know them.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.ways().into_iter().map(|(name, _)| name).collect()
    }

    /// Whether nobody is asked for anything.
    pub(super) fn is_empty(&self) -> bool {
        self.ways().is_empty()
    }
}
