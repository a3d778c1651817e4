//! The store: which, where, and what is needed to get there.

use std::fs;
use std::path::PathBuf;

use super::env::{self, Environment};
use super::layers::Ground;
use super::raw::{self, Raw, SecretText};
use super::settings::StoreKind;
use super::values::Period;
use super::{defaults, secrets};
use crate::store::redis;

const URL: &str = "store.url";
const USER: &str = "store.user";
const PASSWORD: &str = "store.password";
const CA: &str = "store.ca";
const REPLICAS: &str = "store.replicas";
const TIMEOUT: &str = "store.timeout";

/// A file of certificates; a bundle of all public authorities is a quarter of it.
const CA_BYTES_MAX: u64 = 1 << 20;

/// Which store.
pub(super) fn kind(raw: &Raw, environment: &Environment, ground: &mut Ground) -> StoreKind {
    let accepted = "write \"embedded:DIRECTORY\", \"memory:\" or a Redis URL, as in \
                    \"redis://HOST:6379\"";
    // No more than the scheme is repeated: what follows may hold a password.
    let problem = match raw.store.url.split_once(':') {
        Some(("memory", "")) => return only_here(StoreKind::Memory, ground),
        Some(("embedded", directory)) if !directory.is_empty() => {
            let directory = PathBuf::from(directory);
            return only_here(StoreKind::Embedded { directory }, ground);
        }
        Some((scheme, _)) if scheme.starts_with("redis") => {
            match redis::Target::parse(&raw.store.url) {
                Ok(target) => return redis(raw, target, environment, ground),
                Err(problem) => problem.to_string(),
            }
        }
        Some(("embedded", _)) => format!("names no directory; {accepted}"),
        Some(("memory", _)) => format!("\"memory:\" takes nothing after the colon; {accepted}"),
        Some((scheme, _)) => format!("there is no store {scheme:?}; {accepted}"),
        None => format!("is not a store; {accepted}"),
    };
    ground.refuse(URL, problem);
    StoreKind::Memory
}

/// A store that nobody has to reach takes none of what is needed for that.
fn only_here(kind: StoreKind, ground: &mut Ground) -> StoreKind {
    for key in [USER, PASSWORD, CA, REPLICAS, TIMEOUT] {
        if ground.is_set(key) {
            ground.complain(
                &[key],
                "is for a Redis store, and `store.url` is of another",
            );
        }
    }
    kind
}

fn redis(
    raw: &Raw,
    mut target: redis::Target,
    environment: &Environment,
    ground: &mut Ground,
) -> StoreKind {
    let raw::Store {
        url: _,
        user,
        password,
        ca,
        replicas,
        timeout,
    } = &raw.store;
    if raw.cluster.keys.is_empty() && !ground.is_set("cluster.keys") {
        let problem = format!(
            "is needed with a Redis store, so that every node knows what another one signed: set \
             it, or the environment variable {}, on all nodes alike",
            env::CLUSTER_KEY
        );
        ground.complain(&["cluster.keys"], problem);
    }
    if let Some(user) = user {
        target.user = Some(user.clone());
    }
    if let Some(SecretText(reference)) = password {
        match secrets::by_reference(reference, environment) {
            Ok(password) => target.password = Some(redis::Password(password)),
            Err(problem) => ground.refuse(PASSWORD, problem),
        }
    }
    if target.user.is_some() && target.password.is_none() {
        ground.complain(&[PASSWORD, USER], "is needed with a user");
    }
    if *timeout < defaults::STORE_TIMEOUT_MIN {
        let problem = format!("must be at least {}", defaults::STORE_TIMEOUT_MIN);
        ground.complain(&[TIMEOUT], problem);
    }
    let ca = ca.as_deref().and_then(|reference| {
        if !target.tls {
            ground.complain(
                &[CA],
                "is for encrypted connections: begin the URL with `rediss`",
            );
            return None;
        }
        certificates(reference)
            .map_err(|problem| ground.refuse(CA, problem))
            .ok()
    });
    StoreKind::Redis(Box::new(redis::Config {
        target,
        ca,
        replicas: *replicas,
        timeout: Period::get(*timeout),
    }))
}

fn certificates(reference: &str) -> Result<Vec<u8>, String> {
    let path = reference
        .strip_prefix("file:")
        .ok_or("write where the certificates are: `file:PATH`")?;
    let unreadable = |error| format!("the file {path} cannot be read: {error}");
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length > CA_BYTES_MAX {
        return Err(format!("the file {path} is too long for certificates"));
    }
    let pem = fs::read(path).map_err(unreadable)?;
    let marker = b"-----BEGIN CERTIFICATE-----";
    if pem.windows(marker.len()).any(|window| window == marker) {
        Ok(pem)
    } else {
        Err(format!("the file {path} holds no certificate in PEM"))
    }
}
