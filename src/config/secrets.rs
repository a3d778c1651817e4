//! Secrets by reference: `env:NAME`, `file:PATH`, or the secret itself, with `text:` before it where it
//! looks like a reference and is none.
//!
//! No message here repeats a secret or what might be one.

use std::fs::{self, File};
use std::io::Read as _;

use super::env::Environment;
use super::layers::Ground;
use super::raw::SecretText;
use crate::runtime::seal::{ClusterKeys, KeyError};

const KEY: &str = "cluster.keys";

/// A large token fits; what is longer was not meant.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// The cluster keys, if any are configured.
pub(super) fn cluster_keys(
    entries: &[SecretText],
    environment: &Environment,
    ground: &mut Ground,
) -> Option<ClusterKeys> {
    let mut keys = Vec::new();
    for (at, SecretText(entry)) in entries.iter().enumerate() {
        let key = reveal(entry, environment).and_then(|text| {
            ClusterKeys::from_hex(&[&text])
                .map(|_| text)
                .map_err(|error| match error {
                    KeyError::NotHex => format!("{error}, or `env:NAME`, or `file:PATH`"),
                    KeyError::Weak | KeyError::None => error.to_string(),
                })
        });
        match key {
            Ok(key) => keys.push(key),
            Err(problem) => ground.complain(&[KEY], format!("entry {}: {problem}", at + 1)),
        }
    }
    ClusterKeys::from_hex(&keys).ok()
}

/// The secret that `env:NAME` or `file:PATH` refers to. The secret itself is refused: where this is
/// asked for, everybody on the machine can read along.
///
/// # Errors
/// A sentence that says what is wrong, without what may be a secret.
pub fn by_reference(reference: &str, environment: &Environment) -> Result<String, String> {
    if reference.starts_with("env:") || reference.starts_with("file:") {
        reveal(reference, environment)
    } else {
        Err("write where the secret is: `env:NAME` or `file:PATH`".to_owned())
    }
}

/// What `entry` stands for.
///
/// # Errors
/// A sentence that says what is wrong, without what may be a secret.
pub(super) fn reveal(entry: &str, environment: &Environment) -> Result<String, String> {
    if let Some(name) = entry.strip_prefix("env:") {
        return match environment.get(name) {
            Ok(Some(text)) => Ok(text.to_owned()),
            Ok(None) => Err(format!("the environment variable {name} is not set")),
            Err(error) => Err(format!("the environment variable {name}: {error}")),
        };
    }
    match entry.strip_prefix("file:") {
        Some(path) => file(path),
        None => Ok(entry.strip_prefix("text:").unwrap_or(entry).to_owned()),
    }
}

/// The secret that a file holds, which is not everybody's to read.
///
/// # Errors
/// A sentence that says what is wrong, without what may be a secret.
pub(super) fn file(path: &str) -> Result<String, String> {
    read(path).map_err(|problem| format!("the file {path} {problem}"))
}

/// Whether a value stands where it is written, with no word about that being meant.
pub(super) fn is_inline(entry: &str) -> bool {
    !["env:", "file:", "text:"]
        .iter()
        .any(|start| entry.starts_with(start))
}

fn read(path: &str) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    if open_to_everyone(&fs::metadata(path).map_err(unreadable)?) {
        return Err(
            "can be read or changed by every user: take that away with `chmod o=`".to_owned(),
        );
    }
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err("is too long for a secret".to_owned());
    }
    Ok(text.trim().to_owned())
}

#[cfg(unix)]
fn open_to_everyone(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o006 != 0
}

#[cfg(not(unix))]
fn open_to_everyone(_metadata: &fs::Metadata) -> bool {
    false
}
