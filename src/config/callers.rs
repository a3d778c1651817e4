//! Whom the server answers: the names it goes by and the origins it trusts.

use std::net::SocketAddr;

use super::layers::Ground;
use super::raw;
use super::settings::EndpointSettings;
use crate::policy::origin::{HostPolicy, LOOPBACK_NAMES, OriginPolicy, host_of_url};

/// The part of the server's settings that says whom it answers.
#[derive(Debug)]
pub(super) struct Callers {
    pub(super) public_url: Option<String>,
    pub(super) hosts: HostPolicy,
    pub(super) origins: OriginPolicy,
    pub(super) cors: Option<OriginPolicy>,
}

impl Callers {
    pub(super) fn resolve(
        raw: &raw::Server,
        listen: SocketAddr,
        endpoints: &[EndpointSettings],
        ground: &mut Ground,
    ) -> Self {
        if !listen.ip().is_loopback() {
            reachable(raw, listen, endpoints, ground);
        }
        let public_host = raw.public_url.as_deref().and_then(|url| {
            let host = host_of_url(url);
            if host.is_none() {
                let problem = "must be an http or https URL without a query, as in \
                               \"https://mcp.example.com\"";
                ground.refuse("server.public_url", problem);
            }
            host
        });
        let hosts = hosts(raw, listen, public_host, ground);
        let cors = (!raw.cors_origins.is_empty())
            .then(|| origins("server.cors_origins", &raw.cors_origins, ground));
        let mut allowed = match &raw.allowed_origins {
            Some(entries) => origins("server.allowed_origins", entries, ground),
            None => OriginPolicy::of_hosts(&hosts),
        };
        if let Some(cors) = &cors {
            allowed = allowed.or(cors);
        }
        Self {
            public_url: raw
                .public_url
                .as_ref()
                .map(|url| url.trim_end_matches('/').to_owned()),
            hosts,
            origins: allowed,
            cors,
        }
    }
}

/// Checks a listening address that others can reach.
fn reachable(
    raw: &raw::Server,
    listen: SocketAddr,
    endpoints: &[EndpointSettings],
    ground: &mut Ground,
) {
    let open = endpoints.iter().filter(|endpoint| endpoint.ways.is_empty());
    let open: Vec<_> = open.map(|endpoint| endpoint.path.as_str()).collect();
    if !open.is_empty() && !raw.allow_unauthenticated {
        let problem = format!(
            "{listen} can be reached from other machines, and nobody is authenticated: listen on a \
             loopback address, accept proofs under `[auth]`, or set \
             `server.allow_unauthenticated` = true"
        );
        ground.complain(&["server.listen", "server.allow_unauthenticated"], problem);
        return;
    }
    if !open.is_empty() {
        ground.cautions.push(format!(
            "{listen} can be reached from other machines, and whoever reaches it may use everything \
             at {}",
            open.join(" and ")
        ));
    }
    let only_loopback_names =
        listen.ip().is_unspecified() && raw.public_url.is_none() && raw.allowed_hosts.is_none();
    if only_loopback_names {
        ground.cautions.push(
            "only requests to a loopback name are answered: set `server.public_url` or \
             `server.allowed_hosts` to the names clients use"
                .to_owned(),
        );
    }
}

fn hosts(
    raw: &raw::Server,
    listen: SocketAddr,
    public_host: Option<&str>,
    ground: &mut Ground,
) -> HostPolicy {
    let Some(entries) = &raw.allowed_hosts else {
        let own = match listen {
            SocketAddr::V4(address) => address.ip().to_string(),
            SocketAddr::V6(address) => format!("[{}]", address.ip()),
        };
        let own = (!listen.ip().is_unspecified()).then_some(own.as_str());
        let names: Vec<_> = LOOPBACK_NAMES
            .into_iter()
            .chain(own)
            .chain(public_host)
            .collect();
        return HostPolicy::new(&names).expect("invariant: addresses and parsed hosts are hosts");
    };
    let policy = HostPolicy::new(entries).unwrap_or_else(|(entry, error)| {
        ground.refuse("server.allowed_hosts", format!("{entry:?} {error}"));
        HostPolicy::default()
    });
    if let Some(host) = public_host
        && !policy.allows_some_port(host)
    {
        let problem = format!("does not have {host:?}, the host of `server.public_url`");
        ground.complain(&["server.allowed_hosts", "server.public_url"], problem);
    }
    policy
}

fn origins(key: &str, entries: &[String], ground: &mut Ground) -> OriginPolicy {
    OriginPolicy::new(entries).unwrap_or_else(|(entry, error)| {
        ground.refuse(key, format!("{entry:?} {error}"));
        OriginPolicy::default()
    })
}
