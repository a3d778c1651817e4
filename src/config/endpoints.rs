//! The served paths: canonical, apart from one another, and none of ours.

use std::collections::BTreeMap;

use super::complaint::{Complaint, Place};
use super::env::in_capitals;
use super::layers::Ground;
use super::raw::{self, Raw};
use super::settings::{BuiltinSet, EndpointSettings, HttpSseSettings};
use super::{Overrides, OwnEndpoint, defaults};

/// Paths the process serves for operators. Reserved even where they have a listener of their own.
const RESERVED: [&str; 3] = ["/health", "/ready", "/metrics"];

/// The endpoints; the default one if there is none otherwise.
pub(super) fn resolve(
    raw: &Raw,
    overrides: &Overrides,
    ground: &mut Ground,
) -> Vec<EndpointSettings> {
    if raw.endpoints.is_empty() && overrides.own.is_empty() {
        let builtin = overrides.builtin.unwrap_or(raw::Builtin::Demo);
        let path = defaults::ENDPOINT_PATH.to_owned();
        let name = defaults::ENDPOINT_NAME.to_owned();
        return vec![EndpointSettings {
            name,
            path,
            builtin: set_of(builtin),
            own: false,
        }];
    }
    if overrides.builtin.is_some() {
        let problem = if overrides.own.is_empty() {
            "endpoints are configured; set the `builtin` of one of them instead"
        } else {
            "this program has tools of its own"
        };
        ground.complaints.push(Complaint {
            place: Place::Flag("--builtin"),
            key: "endpoints".to_owned(),
            problem: problem.to_owned(),
        });
    }
    let endpoints = written(raw, &overrides.own);
    let mut owners = BTreeMap::new();
    let mut variables = BTreeMap::new();
    for (name, (path, serves)) in &endpoints {
        let table = format!("endpoints.{name}");
        let path_key = format!("{table}.path");
        let builtin_key = format!("{table}.builtin");
        let keys = [path_key.as_str(), table.as_str()];
        check_name(name, &table, &mut variables, ground);
        check_path(&keys, path, ground);
        if let Some(other) = owners.insert(*path, name) {
            let problem = format!("{path:?} is the path of `endpoints.{other}` too");
            ground.complain(&keys, problem);
        }
        match serves {
            Serves::Own(Some(_)) => {
                let problem = "this program serves its own tools here; leave `builtin` out";
                ground.complain(&[&builtin_key], problem);
            }
            Serves::Builtin(None) => {
                let problem =
                    "serves nothing: set its `builtin` to \"demo\", \"conformance\" or \"none\"";
                ground.complain(&[&table, &builtin_key], problem);
            }
            Serves::Own(None) | Serves::Builtin(Some(_)) => {}
        }
    }
    let endpoints = endpoints
        .into_iter()
        .map(|(name, (path, serves))| EndpointSettings {
            name: name.to_owned(),
            path: path.to_owned(),
            own: matches!(serves, Serves::Own(_)),
            builtin: match serves {
                Serves::Own(_) => None,
                Serves::Builtin(builtin) => builtin.and_then(set_of),
            },
        });
    endpoints.collect()
}

/// What an endpoint serves, and what was written about it.
enum Serves {
    Own(Option<raw::Builtin>),
    Builtin(Option<raw::Builtin>),
}

/// The endpoints of the program and of the configuration, by name.
fn written<'a>(raw: &'a Raw, own: &'a [OwnEndpoint]) -> BTreeMap<&'a str, (&'a str, Serves)> {
    let own = own
        .iter()
        .map(|own| (own.name.as_str(), (own.path.as_str(), Serves::Own(None))));
    let mut endpoints = own.collect::<BTreeMap<_, _>>();
    for (name, endpoint) in &raw.endpoints {
        let serves = if endpoints.contains_key(name.as_str()) {
            Serves::Own(endpoint.builtin)
        } else {
            Serves::Builtin(endpoint.builtin)
        };
        endpoints.insert(name, (&endpoint.path, serves));
    }
    endpoints
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

fn set_of(builtin: raw::Builtin) -> Option<BuiltinSet> {
    match builtin {
        raw::Builtin::Demo => Some(BuiltinSet::Demo),
        raw::Builtin::Conformance => Some(BuiltinSet::Conformance),
        raw::Builtin::None => None,
    }
}

/// A name must be one in a metric, in a log and in an environment variable alike.
fn check_name<'a>(
    name: &'a str,
    table: &str,
    variables: &mut BTreeMap<String, &'a str>,
    ground: &mut Ground,
) {
    const NAME_BYTES_MAX: usize = 64;
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let good = name.len() <= NAME_BYTES_MAX
        && name.bytes().next().is_some_and(lower)
        && name
            .bytes()
            .all(|byte| lower(byte) || byte == b'-' || byte == b'_');
    if !good {
        let problem = "an endpoint's name is made of lower-case letters, digits, `-` and `_`";
        ground.complain(&[table], problem);
    } else if let Some(other) = variables.insert(in_capitals(name), name) {
        let problem = format!("differs from `endpoints.{other}` only in `-` and `_`");
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
