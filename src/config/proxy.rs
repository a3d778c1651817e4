//! The proxies that say who calls: where they connect from, and what verifies their word.

use std::net::IpAddr;

use actix_web::http::header::HeaderName;
use ipnet::IpNet;

use super::env::Environment;
use super::layers::Ground;
use super::raw::{self, SecretText};
use super::secrets;
use crate::auth::proxy::{Config, Key};

const PEERS: &str = "auth.proxy.peers";
const HEADER: &str = "auth.proxy.header";
const KEY: &str = "auth.proxy.key";
const AUDIENCE: &str = "auth.proxy.audience";

/// The proxies, if there are any.
pub(super) fn resolve(
    raw: &raw::Proxy,
    public_url: Option<&str>,
    environment: &Environment,
    ground: &mut Ground,
) -> Option<Config> {
    if raw.peers.is_empty() {
        if raw.key.is_some() {
            let problem = format!("needs `{PEERS}`, the networks that proxies connect from");
            ground.complain(&[KEY], problem);
        }
        return None;
    }
    let peers = raw.peers.iter().filter_map(|entry| peer(entry, ground));
    let peers = peers.collect();
    let header = header(&raw.header, ground);
    let key = key(raw.key.as_ref(), environment, ground);
    let audience = raw.audience.as_deref().or(public_url);
    if audience.is_none() {
        let problem = format!(
            "need `{AUDIENCE}` or `server.public_url`: what a proxy says must be meant for this server"
        );
        ground.complain(&[PEERS], problem);
    }
    Some(Config {
        peers,
        header: header?,
        key: key?,
        audience: audience?.to_owned(),
        tenant_claim: raw.tenant_claim.clone(),
        client_claim: raw.client_claim.clone(),
        scope_claim: raw.scope_claim.clone(),
    })
}

/// A network, or one address of it.
fn peer(entry: &str, ground: &mut Ground) -> Option<IpNet> {
    let network = entry.parse().ok();
    let network = network.or_else(|| entry.parse().ok().map(<IpNet as From<IpAddr>>::from));
    match network {
        Some(network) if network.prefix_len() == 0 => {
            let problem = format!("{entry:?} is everywhere: name the networks of your proxies");
            ground.refuse(PEERS, problem);
            None
        }
        Some(network) => Some(network),
        None => {
            let problem = format!(
                "{entry:?} is neither a network nor an address, as in \"10.0.0.0/8\" or \"10.1.2.3\""
            );
            ground.refuse(PEERS, problem);
            None
        }
    }
}

fn header(name: &str, ground: &mut Ground) -> Option<String> {
    let parsed = HeaderName::from_bytes(name.as_bytes());
    let parsed = parsed.map_err(|_| {
        ground.refuse(HEADER, format!("{name:?} is no name of a header"));
    });
    parsed.ok().map(|name| name.as_str().to_owned())
}

fn key(
    reference: Option<&SecretText>,
    environment: &Environment,
    ground: &mut Ground,
) -> Option<Key> {
    let Some(SecretText(reference)) = reference else {
        let problem =
            format!("need `{KEY}`: whoever can connect from there could claim to be anybody");
        ground.complain(&[PEERS], problem);
        return None;
    };
    let key = secrets::by_reference(reference, environment)
        .and_then(|text| Key::parse(&text).map_err(|error| error.to_string()));
    key.map_err(|problem| ground.refuse(KEY, problem)).ok()
}
