//! Issuers of access tokens: from what was written to what is trusted.

use std::collections::BTreeSet;

use url::Url;

use super::env::Environment;
use super::layers::Ground;
use super::raw::{self, SecretText};
use super::secrets;
use super::settings::OidcSettings;
use crate::auth::token::{Algorithm, Introspection, IssuerConfig, Keys, Kind, LEEWAY_MAX};

/// The issuer under that name; incomplete if something was complained about.
pub(super) fn resolve(
    name: &str,
    raw: &raw::Oidc,
    environment: &Environment,
    ground: &mut Ground,
) -> OidcSettings {
    let table = format!("auth.oidc.{name}");
    let key = |key: &str| format!("{table}.{key}");
    let issuer = raw.issuer.as_deref().unwrap_or_else(|| {
        let problem = "needs `issuer`: what its tokens have as `iss`";
        ground.complain(&[&table, &key("issuer")], problem);
        ""
    });
    if raw.issuer.is_some() && asked_url(issuer).is_none() {
        let problem = format!(
            "{issuer:?} is not an https URL (http on loopback), as in \"https://sso.example.com\""
        );
        ground.refuse(&key("issuer"), problem);
    }
    let keys = raw.jwks_url.as_deref().map(|url| {
        let written = asked_url(url).map(Keys::At);
        written.unwrap_or_else(|| {
            ground.refuse(&key("jwks_url"), format!("{url:?} is not an https URL"));
            Keys::Discovered
        })
    });
    let algorithms = raw.algorithms.iter().filter_map(|name| {
        let algorithm = Algorithm::of_name(name);
        if algorithm.is_none() {
            let known = Algorithm::ALL.map(|it| format!("{it:?}").to_uppercase());
            let problem = format!("{name:?} is not taken; taken are {}", known.join(", "));
            ground.refuse(&key("algorithms"), problem);
        }
        algorithm
    });
    let algorithms: Vec<_> = algorithms.collect();
    if raw.leeway.get() > LEEWAY_MAX {
        ground.complain(&[&key("leeway")], "must be at most 60s");
    }
    if raw.tenant.is_empty() {
        ground.refuse(
            &key("tenant"),
            "is empty: all its callers belong to a tenant",
        );
    }
    let introspection = introspection(&table, raw, environment, ground);
    let mut config = IssuerConfig::new(issuer, &raw.tenant);
    config.audience = raw.audience.as_deref().map(Into::into);
    config.keys = keys.unwrap_or(Keys::Discovered);
    if !algorithms.is_empty() {
        config.algorithms = algorithms;
    }
    config.kind = if raw.untyped_tokens {
        Kind::Lenient
    } else {
        Kind::Declared
    };
    config.introspection = introspection;
    config.leeway = raw.leeway.get();
    config.max_stale = raw.max_stale.get();
    OidcSettings {
        name: name.to_owned(),
        config,
        scopes: raw.scopes.iter().cloned().collect::<BTreeSet<_>>(),
    }
}

/// How it is asked about tokens: all three keys together, or none.
fn introspection(
    table: &str,
    raw: &raw::Oidc,
    environment: &Environment,
    ground: &mut Ground,
) -> Option<Introspection> {
    let key = |key: &str| format!("{table}.{key}");
    let (url, id, secret) = (&raw.introspection_url, &raw.client_id, &raw.client_secret);
    if url.is_none() && id.is_none() && secret.is_none() {
        return None;
    }
    let (Some(url), Some(id), Some(SecretText(secret))) = (url, id, secret) else {
        let problem = "`introspection_url`, `client_id` and `client_secret` belong together";
        let keys = ["introspection_url", "client_id", "client_secret"].map(key);
        ground.complain(&[&keys[0], &keys[1], &keys[2]], problem);
        return None;
    };
    let endpoint = asked_url(url);
    if endpoint.is_none() {
        let problem = format!("{url:?} is not an https URL");
        ground.refuse(&key("introspection_url"), problem);
    }
    let secret = secrets::by_reference(secret, environment)
        .map_err(|problem| ground.refuse(&key("client_secret"), problem));
    Some(Introspection {
        endpoint: endpoint?,
        client_id: id.clone(),
        secret: secret.ok()?.into(),
    })
}

/// A URL that can be asked without everybody between reading along.
fn asked_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_loopback = match url.host()? {
        url::Host::Domain(name) => name == "localhost",
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    };
    (url.scheme() == "https" || (url.scheme() == "http" && is_loopback)).then_some(url)
}
