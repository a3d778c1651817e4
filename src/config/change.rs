//! What differs between two configurations: what the gateway is told and which policy holds from now
//! on, and what takes effect at the next start only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::raw::Raw;
use super::settings::{EndpointSettings, PolicySettings, Serves, Settings, Way};
use crate::gateway::config::{Config, EndpointConfig, UpstreamConfig};
use crate::runtime::seal::ClusterKeys;

/// Tables that are compared as what they come to, in place of key by key.
const COMPARED_OTHERWISE: [&str; 7] = [
    "bindings",
    "endpoints",
    "gateway",
    "limits",
    "roles",
    "scopes",
    "upstreams",
];

/// What a new configuration changes in a running process.
#[derive(Debug)]
pub struct Change {
    /// What the gateway is told from now on, if that is something else.
    pub gateway: Option<Config>,
    /// Who may call what from now on, and how often, if that is something else.
    pub policy: Option<PolicySettings>,
    /// The upstreams that come.
    pub added: Vec<String>,
    /// The upstreams that are something else now.
    pub changed: Vec<String>,
    /// The upstreams that go.
    pub removed: Vec<String>,
    /// Keys and tables whose new values take effect at the next start.
    pub at_next_start: Vec<String>,
}

impl Change {
    /// What `new` changes in a process that was started with `started`, whose gateway has been told
    /// `told`, and where `policy` holds.
    #[must_use]
    pub fn between(
        started: &Settings,
        told: &Config,
        policy: &PolicySettings,
        new: &Settings,
    ) -> Self {
        let gateway = gateway(started, told, &new.gateway);
        let before = by_name(&told.upstreams);
        let after = by_name(&gateway.upstreams);
        let names = |keep: &dyn Fn(&str) -> bool, of: &BTreeMap<&str, &UpstreamConfig>| {
            let names = of.keys().filter(|name| keep(name));
            names.map(|name| (*name).to_owned()).collect::<Vec<_>>()
        };
        Self {
            added: names(&|name| !before.contains_key(name), &after),
            changed: names(
                &|name| before.get(name).is_some_and(|old| *old != after[name]),
                &after,
            ),
            removed: names(&|name| !after.contains_key(name), &before),
            at_next_start: at_next_start(started, new),
            gateway: (gateway != *told).then_some(gateway),
            policy: (new.policy != *policy).then(|| new.policy.clone()),
        }
    }
}

fn by_name(upstreams: &[UpstreamConfig]) -> BTreeMap<&str, &UpstreamConfig> {
    let upstreams = upstreams.iter();
    upstreams
        .map(|upstream| (upstream.name.as_str(), upstream))
        .collect()
}

/// What `new` comes to where only those endpoints are served that there were at the start. One that
/// `new` does not have keeps its place until the next start, and those of its upstreams that stay.
fn gateway(started: &Settings, told: &Config, new: &Config) -> Config {
    let served = started.gateway.endpoints.iter();
    let endpoints = served.map(|endpoint| {
        let is_it = |other: &&EndpointConfig| other.name == endpoint.name;
        if let Some(new) = new.endpoints.iter().find(is_it) {
            return new.clone();
        }
        let mut old = told
            .endpoints
            .iter()
            .find(is_it)
            .unwrap_or(endpoint)
            .clone();
        old.upstreams
            .retain(|name| new.upstreams.iter().any(|upstream| upstream.name == *name));
        old
    });
    Config {
        endpoints: endpoints.collect(),
        ..new.clone()
    }
}

fn at_next_start(started: &Settings, new: &Settings) -> Vec<String> {
    let mut keys = started.written.differences(&new.written);
    // What a reference stands for is not seen in what is written.
    let wrote =
        |keys: &BTreeSet<String>, table: &str| keys.iter().any(|key| key.starts_with(table));
    if started.store.kind != new.store.kind && !wrote(&keys, "store.") {
        keys.insert("store".to_owned());
    }
    // A certificate takes effect at once, unless there was none.
    let tls = |settings: &Settings| settings.server.tls.clone().map(|tls| tls.config.clients);
    if let (Some(before), Some(after)) = (tls(started), tls(new)) {
        keys.remove("server.tls.certificate");
        keys.remove("server.tls.key");
        if before != after && !wrote(&keys, "server.tls.") {
            keys.insert("server.tls.client_ca".to_owned());
        }
    }
    if started.policy.limits.nodes() != new.policy.limits.nodes() {
        keys.insert("limits.nodes".to_owned());
    }
    if started.auth.proxy != new.auth.proxy && !wrote(&keys, "auth.proxy.") {
        keys.insert("auth.proxy.key".to_owned());
    }
    let signing = |settings: &Settings| {
        settings
            .cluster
            .keys
            .as_ref()
            .map(ClusterKeys::fingerprints)
    };
    if signing(started) != signing(new) {
        keys.insert("cluster.keys".to_owned());
    }
    let places = |settings: &Settings| -> BTreeMap<String, (String, Serves, Vec<Way>)> {
        let endpoints = settings.endpoints.iter();
        endpoints
            .map(|endpoint| {
                let EndpointSettings {
                    name,
                    path,
                    serves,
                    ways,
                } = endpoint;
                (name.clone(), (path.clone(), *serves, ways.clone()))
            })
            .collect()
    };
    let (before, after) = (places(started), places(new));
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for name in names {
        if before.get(name) != after.get(name) {
            keys.insert(format!("endpoints.{name}"));
        }
    }
    keys.into_iter().collect()
}

/// All keys of a configuration and their values. Never shown: some may be secrets.
#[derive(Clone)]
pub(super) struct Written(BTreeMap<String, Value>);

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Written({} keys)", self.0.len())
    }
}

impl Written {
    pub(super) fn of(raw: &Raw) -> Self {
        let mut keys = BTreeMap::new();
        let value = serde_json::to_value(raw).expect("invariant: a configuration is plain values");
        flatten(String::new(), value, &mut keys);
        Self(keys)
    }

    fn differences(&self, other: &Self) -> BTreeSet<String> {
        let names = self.0.keys().chain(other.0.keys());
        names
            .filter(|name| self.0.get(*name) != other.0.get(*name))
            .filter(|name| {
                !COMPARED_OTHERWISE.contains(&name.split('.').next().unwrap_or_default())
            })
            .cloned()
            .collect()
    }
}

fn flatten(path: String, value: Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let path = if path.is_empty() {
                    name
                } else {
                    format!("{path}.{name}")
                };
                flatten(path, value, into);
            }
        }
        value => {
            into.insert(path, value);
        }
    }
}
