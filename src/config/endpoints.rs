//! The served paths: canonical, apart from one another, and none of ours; and what each serves.

use std::collections::BTreeMap;

use super::complaint::{Complaint, Place};
use super::env::in_capitals;
use super::layers::Ground;
use super::raw::{self, Raw};
use super::settings::{AuthSettings, BuiltinSet, EndpointSettings, HttpSseSettings, Serves};
use super::{Overrides, OwnEndpoint, auth, defaults, keys};
use crate::gateway::config::{EndpointConfig, UpstreamConfig};

/// Paths the process serves for operators. Reserved even where they have a listener of their own.
const RESERVED: [&str; 3] = ["/health", "/ready", "/metrics"];

/// The endpoints, and how those with upstreams show them; the default one if there is none
/// otherwise.
pub(super) fn resolve(
    raw: &Raw,
    upstreams: &[UpstreamConfig],
    auth: &AuthSettings,
    overrides: &Overrides,
    ground: &mut Ground,
) -> (Vec<EndpointSettings>, Vec<EndpointConfig>) {
    if raw.endpoints.is_empty() && overrides.own.is_empty() {
        return default(raw, upstreams, auth, overrides, ground);
    }
    if overrides.builtin.is_some() {
        let problem = if overrides.own.is_empty() {
            "endpoints are configured; set the `builtin` of one of them instead"
        } else {
            "this program has tools of its own"
        };
        refuse_builtin("endpoints", problem, ground);
    }
    let endpoints = written(raw, &overrides.own);
    let mut owners = BTreeMap::new();
    let mut variables = BTreeMap::new();
    for (name, endpoint) in &endpoints {
        let table = format!("endpoints.{name}");
        let path_key = format!("{table}.path");
        let keys = [path_key.as_str(), table.as_str()];
        check_name(name, &table, &mut variables, ground);
        check_path(&keys, endpoint.path(), ground);
        if let Some(other) = owners.insert(endpoint.path(), name) {
            let problem = format!(
                "{:?} is the path of `endpoints.{other}` too",
                endpoint.path()
            );
            ground.complain(&keys, problem);
        }
        check_served(&table, endpoint, ground);
    }
    let shown = endpoints.iter().filter_map(|(name, endpoint)| {
        let raw = endpoint.raw.filter(|_| endpoint.own.is_none())?;
        let names = raw.upstreams.as_ref()?;
        check_upstreams(name, names, upstreams, ground);
        Some(shown(name, raw, names.clone()))
    });
    let shown: Vec<_> = shown.collect();
    check_use(upstreams, &shown, overrides, ground);
    let settings = endpoints.iter().map(|(name, endpoint)| EndpointSettings {
        name: (*name).to_owned(),
        path: endpoint.path().to_owned(),
        serves: endpoint.serves(),
        ways: auth::ways(name, endpoint.raw, auth, ground),
    });
    (settings.collect(), shown)
}

/// The one endpoint that is there without a word: all upstreams, or built-in tools if there are none.
fn default(
    raw: &Raw,
    upstreams: &[UpstreamConfig],
    auth: &AuthSettings,
    overrides: &Overrides,
    ground: &mut Ground,
) -> (Vec<EndpointSettings>, Vec<EndpointConfig>) {
    let name = defaults::ENDPOINT_NAME;
    let ways = auth::ways(name, None, auth, ground);
    let settings = |serves| EndpointSettings {
        name: name.to_owned(),
        path: defaults::ENDPOINT_PATH.to_owned(),
        serves,
        ways,
    };
    if raw.upstreams.is_empty() {
        let builtin = overrides.builtin.unwrap_or(raw::Builtin::Demo);
        return (vec![settings(set_of(builtin))], Vec::new());
    }
    if overrides.builtin.is_some() {
        let problem =
            "upstreams are configured; write one with `builtin`, or name endpoints for both";
        refuse_builtin("upstreams", problem, ground);
    }
    let names: Vec<_> = (upstreams.iter())
        .map(|upstream| upstream.name.clone())
        .collect();
    check_upstreams(name, &names, upstreams, ground);
    let shown = shown(name, &raw::Endpoint::default(), names);
    (vec![settings(Serves::Upstreams)], vec![shown])
}

fn refuse_builtin(key: &str, problem: &str, ground: &mut Ground) {
    ground.complaints.push(Complaint {
        place: Place::Flag("--builtin"),
        key: key.to_owned(),
        problem: problem.to_owned(),
    });
}

/// An endpoint of the program, of the configuration, or of both.
#[derive(Default)]
struct Written<'a> {
    own: Option<&'a OwnEndpoint>,
    raw: Option<&'a raw::Endpoint>,
}

impl<'a> Written<'a> {
    /// The configuration may move what the program serves.
    fn path(&self) -> &'a str {
        match (self.raw, self.own) {
            (Some(raw), _) => &raw.path,
            (None, Some(own)) => &own.path,
            (None, None) => defaults::ENDPOINT_PATH,
        }
    }

    fn serves(&self) -> Serves {
        match (self.own, self.raw) {
            (Some(_), _) => Serves::Own,
            (None, Some(raw)) if raw.upstreams.is_some() => Serves::Upstreams,
            (None, raw) => raw
                .and_then(|raw| raw.builtin)
                .map_or(Serves::Nothing, set_of),
        }
    }
}

/// The endpoints of the program and of the configuration, by name.
fn written<'a>(raw: &'a Raw, own: &'a [OwnEndpoint]) -> BTreeMap<&'a str, Written<'a>> {
    let mut endpoints = BTreeMap::<_, Written<'_>>::new();
    for own in own {
        endpoints.entry(own.name.as_str()).or_default().own = Some(own);
    }
    for (name, raw) in &raw.endpoints {
        endpoints.entry(name).or_default().raw = Some(raw);
    }
    endpoints
}

/// An endpoint serves one thing, and says nothing about another.
fn check_served(table: &str, endpoint: &Written<'_>, ground: &mut Ground) {
    let Some(raw) = endpoint.raw else { return };
    let key = |key: &str| format!("{table}.{key}");
    let (builtin, upstreams) = (key("builtin"), key("upstreams"));
    let none = (raw.upstreams.as_ref()).is_none_or(Vec::is_empty);
    match (endpoint.own, raw.builtin) {
        (Some(_), _) => {
            for (key, name) in [(&builtin, "builtin"), (&upstreams, "upstreams")] {
                if ground.is_set(key) {
                    let problem =
                        format!("this program serves its own tools here; leave `{name}` out");
                    ground.complain(&[key], problem);
                }
            }
        }
        (None, None) if none => {
            let problem = "serves nothing: name its `upstreams`, or set its `builtin` to \"demo\", \
                           \"conformance\" or \"none\"";
            ground.complain(&[table, &builtin, &upstreams], problem);
        }
        (None, Some(_)) if raw.upstreams.is_some() => {
            let problem = "serves either; write an upstream with `builtin`, and leave this out";
            ground.complain(&[&builtin], problem);
        }
        (None, _) => {}
    }
    if raw.upstreams.is_none() {
        for name in ["separator", "title", "version", "deprecated"] {
            if ground.is_set(&key(name)) {
                ground.complain(&[&key(name)], "is for an endpoint with `upstreams`");
            }
        }
    }
}

/// The upstreams of an endpoint are there, each once, and their prefixes tell them apart.
fn check_upstreams(
    endpoint: &str,
    names: &[String],
    upstreams: &[UpstreamConfig],
    ground: &mut Ground,
) {
    let key = format!("endpoints.{endpoint}.upstreams");
    let mut prefixes = BTreeMap::new();
    for (at, name) in names.iter().enumerate() {
        let Some(upstream) = upstreams.iter().find(|upstream| upstream.name == *name) else {
            let known = upstreams.iter().map(|upstream| upstream.name.as_str());
            let problem = match keys::nearest(name, known) {
                Some(near) => format!("there is no upstream {name:?}; did you mean {near:?}?"),
                None => format!("there is no upstream {name:?}"),
            };
            ground.complain(&[&key], problem);
            continue;
        };
        if names[..at].contains(name) {
            ground.complain(&[&key], format!("names {name:?} twice"));
            continue;
        }
        let prefix = format!("upstreams.{name}.prefix");
        let keys = [prefix.as_str(), &prefix[..prefix.len() - ".prefix".len()]];
        if upstream.prefix.is_empty() && names.len() > 1 {
            let problem =
                format!("can be empty only for the sole upstream of `endpoints.{endpoint}`");
            ground.complain(&keys, problem);
        } else if let Some(other) = prefixes.insert(&upstream.prefix, name) {
            let problem = format!(
                "the prefix {:?} is also that of `upstreams.{other}`, and `endpoints.{endpoint}` has \
                 both",
                upstream.prefix
            );
            ground.complain(&keys, problem);
        }
    }
}

/// An upstream that no endpoint has is a mistake, or waits for a later configuration.
fn check_use(
    upstreams: &[UpstreamConfig],
    shown: &[EndpointConfig],
    overrides: &Overrides,
    ground: &mut Ground,
) {
    if shown.is_empty() && !upstreams.is_empty() && !overrides.own.is_empty() {
        let problem = "this program serves tools of its own: name an endpoint for the upstreams, as \
                       in `[endpoints.NAME]` with `path` and `upstreams`";
        ground.complain(&["upstreams"], problem);
        return;
    }
    for UpstreamConfig { name, .. } in upstreams {
        if !shown
            .iter()
            .any(|endpoint| endpoint.upstreams.contains(name))
        {
            let caution = format!("upstreams.{name}: no endpoint has it among its `upstreams`");
            ground.cautions.push(caution);
        }
    }
}

fn shown(name: &str, raw: &raw::Endpoint, upstreams: Vec<String>) -> EndpointConfig {
    EndpointConfig {
        name: name.to_owned(),
        title: raw.title.clone(),
        version: raw.version.clone(),
        separator: raw.separator.text().to_owned(),
        upstreams,
        deprecated: raw.deprecated.clone(),
    }
}

/// Where HTTP+SSE is served, if it is.
pub(super) fn http_sse(
    raw: &Raw,
    endpoints: &[EndpointSettings],
    ground: &mut Ground,
) -> Option<HttpSseSettings> {
    let server = &raw.server;
    let main = endpoints
        .iter()
        .position(|endpoint| endpoint.name == defaults::ENDPOINT_NAME);
    let endpoint = main.or((endpoints.len() == 1).then_some(0));
    if server.http_sse == Some(true) && endpoint.is_none() {
        let problem = "needs an endpoint named `main`, since there are several";
        ground.complain(&["server.http_sse"], problem);
    }
    let endpoint = endpoint.filter(|_| server.http_sse != Some(false))?;
    let paths = [
        ("server.sse_path", &server.sse_path),
        ("server.messages_path", &server.messages_path),
    ];
    for (key, path) in paths {
        check_path(&[key], path, ground);
        if let Some(other) = endpoints.iter().find(|endpoint| endpoint.path == **path) {
            let theirs = format!("endpoints.{}.path", other.name);
            let problem = format!(
                "{path:?} would be both `{key}` and the path of `endpoints.{}`; change one, or set \
                 `server.http_sse` = false",
                other.name
            );
            ground.complain(&[&theirs, key], problem);
        }
    }
    if server.sse_path == server.messages_path {
        let problem = "must not be the same as `server.sse_path`";
        ground.complain(&["server.messages_path", "server.sse_path"], problem);
    }
    Some(HttpSseSettings {
        path: server.sse_path.clone(),
        messages_path: server.messages_path.clone(),
        endpoint,
    })
}

fn set_of(builtin: raw::Builtin) -> Serves {
    match builtin {
        raw::Builtin::Demo => Serves::Builtin(BuiltinSet::Demo),
        raw::Builtin::Conformance => Serves::Builtin(BuiltinSet::Conformance),
        raw::Builtin::None => Serves::Nothing,
    }
}

/// A name must be one in a metric, in a log and in an environment variable alike.
pub(super) fn is_name(name: &str) -> bool {
    const NAME_BYTES_MAX: usize = 64;
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let part = |byte: u8| lower(byte) || byte == b'-' || byte == b'_';
    name.len() <= NAME_BYTES_MAX && name.bytes().next().is_some_and(lower) && name.bytes().all(part)
}

/// Checks the name of a table, and that no other of its kind has the same variables.
pub(super) fn check_name<'a>(
    name: &'a str,
    table: &str,
    variables: &mut BTreeMap<String, &'a str>,
    ground: &mut Ground,
) {
    let kind = table.split('.').next().unwrap_or_default();
    if !is_name(name) {
        let problem = format!(
            "an {}'s name is made of lower-case letters, digits, `-` and `_`",
            kind.trim_end_matches('s')
        );
        ground.complain(&[table], problem);
    } else if let Some(other) = variables.insert(in_capitals(name), name) {
        let problem = format!("differs from `{kind}.{other}` only in `-` and `_`");
        ground.complain(&[table], problem);
    }
}

/// A path has one spelling only, so that what policy and routes compare is what was sent.
fn check_path(keys: &[&str], path: &str, ground: &mut Ground) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let problem = if !path.starts_with('/') {
        "must begin with \"/\""
    } else if RESERVED.contains(&path) {
        "is reserved for operators"
    } else if path == "/.well-known" || path.starts_with("/.well-known/") {
        "is reserved for discovery"
    } else if path != "/" && path.ends_with('/') {
        "must not end with \"/\""
    } else if path
        .split('/')
        .skip(1)
        .any(|part| part == "." || part == "..")
        || path.contains("//")
    {
        "must not have empty, \".\" or \"..\" parts"
    } else if !path.split('/').flat_map(str::bytes).all(plain) {
        "may have only letters, digits, `-`, `.`, `_` and `~` between its slashes"
    } else {
        return;
    };
    ground.complain(keys, format!("{path:?} {problem}"));
}
