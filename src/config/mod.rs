//! The configuration: from a file, the environment and the command line to what the parts need.
//!
//! [`raw`] is what can be written, one field per key, and the only list of keys. `layers` lays
//! the sources over one another (the command line over the environment over the files) and checks
//! each value by itself; `resolve` checks values against one another and gives [`Settings`].
//! [`load`] is all of it. Whatever is wrong is reported in one go, as [`Complaints`]: each with
//! the file and line, the variable or the option it came from, the key's path, and what would be
//! right.
//!
//! It does not start anything, and no part knows it: `app` hands each part its own values.
//!
//! Invariants:
//! - An unknown key is an error, never ignored.
//! - A secret is never shown, not even in a complaint about it.
//! - No configuration at all is a working one.

mod audit;
mod auth;
mod callers;
mod change;
pub mod complaint;
pub mod defaults;
mod endpoints;
pub mod env;
pub mod keys;
mod layers;
mod mcp_json;
mod oidc;
mod policy;
mod proxy;
pub mod raw;
mod resolve;
mod secrets;
pub mod settings;
mod store;
#[cfg(test)]
mod tests;
mod tls;
mod upstream_auth;
mod upstreams;
pub mod values;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use change::Change;
pub use complaint::{Complaint, Complaints, Place};
pub use env::Environment;
pub use raw::Builtin;
pub use secrets::by_reference;
pub use settings::Settings;

use layers::Layers;

/// The configuration file that is read if it exists and no other is named.
pub const DEFAULT_FILE: &str = "./switchboard.toml";

/// What the command line and the program say about the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--listen`
    pub listen: Option<String>,
    /// `--store`
    pub store: Option<String>,
    /// `--admin`
    pub admin: Option<String>,
    /// `--builtin`
    pub builtin: Option<Builtin>,
    /// `--mcp-json`
    pub mcp_json: Option<PathBuf>,
    /// What the program serves itself, whatever the configuration says of other endpoints.
    pub own: Vec<OwnEndpoint>,
}

/// An endpoint that the program serves itself; the configuration may move it to another path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnEndpoint {
    /// Its name.
    pub name: String,
    /// Where it is, unless the configuration says otherwise.
    pub path: String,
}

/// The configuration file, as far as there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name, as it was given.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// Reads the named file, or the default one if it exists.
    ///
    /// # Errors
    /// When the file cannot be read; a missing default file is none.
    pub fn read(named: Option<&Path>) -> Result<Option<Self>, Complaints> {
        let path = named.unwrap_or(Path::new(DEFAULT_FILE));
        let shown = path.strip_prefix("./").unwrap_or(path);
        let name = shown.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => Ok(Some(Self { name, text })),
            Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => Ok(None),
            Err(error) => Err(Complaints {
                file: Some(name),
                list: vec![Complaint {
                    place: Place::Default,
                    key: String::new(),
                    problem: format!("cannot be read: {error}"),
                }],
            }),
        }
    }
}

/// Resolves the configuration.
///
/// # Errors
/// With everything that is wrong.
pub fn load(
    source: Option<&Source>,
    environment: &Environment,
    overrides: &Overrides,
) -> Result<Settings, Complaints> {
    let mut layers = Layers::default();
    if let Some(source) = source {
        layers.file(&source.text);
    }
    if let Some(path) = &overrides.mcp_json {
        mcp_json::lay(path, environment, &mut layers);
    }
    layers.environment(environment);
    for (name, path, text) in [
        ("--listen", ["server", "listen"], &overrides.listen),
        ("--store", ["store", "url"], &overrides.store),
        ("--admin", ["admin", "listen"], &overrides.admin),
    ] {
        if let Some(text) = text {
            layers.flag(name, &path, text);
        }
    }
    let (raw, mut ground) = layers.finish();
    let settings = resolve::resolve(&raw, overrides, environment, &mut ground);
    if ground.complaints.is_empty() {
        return Ok(settings);
    }
    let mut list = ground.complaints;
    list.sort();
    list.dedup();
    Err(Complaints {
        file: source.map(|source| source.name.clone()),
        list,
    })
}
