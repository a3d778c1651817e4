//! Where files are: tenants, their trails, the segments of each.
//!
//! ```text
//! records/t-acme/calls/00000000000000000001.jsonl       a segment, named after its first record
//! checkpoints/t-acme/calls/00000000000000000001.json    its checkpoint, once it has ended
//! checkpoints/t-acme/calls/00000000000000000001.anchor  until then, how far it goes at least
//! checkpoints/t-acme/calls/00000000000000000001.gone    that it was deleted, and why
//! vault/t-acme/calls.json                               which segment is the latest
//! vault/t-acme/subjects/5f/5f….json                     the key of a person
//! vault/t-acme/days/20662.json                          the key of a day's payloads
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::chain::hex;
use super::disk;
use crate::runtime::seal;

/// Bytes of a tenant's name that still fit into a file's name; longer ones are hashed.
const NAME_BYTES_MAX: usize = 120;

/// Which records of a tenant: they are kept for different times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trail {
    /// How calls began and ended.
    Calls,
    /// Everything else.
    Security,
}

impl Trail {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Calls, Self::Security];

    /// What it is called, also as a directory.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Security => "security",
        }
    }
}

/// A trail of a tenant: one chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TrailId {
    pub(super) tenant: Arc<str>,
    pub(super) trail: Trail,
}

/// What a file of a trail is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Segment,
    Checkpoint,
    Anchor,
    Gone,
}

impl Part {
    const fn extension(self) -> &'static str {
        match self {
            Self::Segment => "jsonl",
            Self::Checkpoint => "json",
            Self::Anchor => "anchor",
            Self::Gone => "gone",
        }
    }
}

/// The directory of a tenant in each of the places.
pub(super) fn tenant_directory(tenant: &str) -> String {
    let name: String = form_urlencoded::byte_serialize(tenant.as_bytes()).collect();
    if name.len() > NAME_BYTES_MAX {
        return format!("h-{}", hex(&seal::digest(&[tenant.as_bytes()])[..16]));
    }
    format!("t-{name}")
}

/// The directory of a trail in `place`.
pub(super) fn trail_directory(place: &Path, id: &TrailId) -> PathBuf {
    place
        .join(tenant_directory(&id.tenant))
        .join(id.trail.as_str())
}

/// A file of the segment that begins with the record `first`.
pub(super) fn file(directory: &Path, first: u64, part: Part) -> PathBuf {
    directory.join(format!("{first:020}.{}", part.extension()))
}

/// The file in `vault` that names the latest segment of a trail of the tenant in `directory`.
pub(super) fn latest(vault: &Path, directory: &str, trail: Trail) -> PathBuf {
    vault
        .join(directory)
        .join(format!("{}.json", trail.as_str()))
}

/// The segments that `directory` has such files of; none if there is no directory.
pub(super) fn listed(directory: &Path, part: Part) -> io::Result<BTreeSet<u64>> {
    let paths = paths_in(directory)?.into_iter();
    let wanted = paths.filter(|path| {
        path.extension()
            .is_some_and(|found| found == part.extension())
    });
    Ok(wanted
        .filter_map(|path| path.file_stem()?.to_str()?.parse().ok())
        .collect())
}

/// The directories of tenants in `place`.
pub(super) fn tenant_directories(place: &Path) -> io::Result<BTreeSet<String>> {
    let names = paths_in(place)?.into_iter();
    Ok(names
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .filter(|name| name.starts_with("t-") || name.starts_with("h-"))
        .collect())
}

/// What lies in `directory`; nothing if there is none.
pub(super) fn paths_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(disk::named(directory, &error)),
        Ok(entries) => {
            let paths = entries.map(|entry| Ok(entry?.path()));
            let paths: io::Result<_> = paths.collect();
            paths.map_err(|error| disk::named(directory, &error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tenant_gets_out_of_its_directory() {
        let names = ["acme", "..", ".", "a/b", "", "Ünï", "a b", &"x".repeat(500)];
        let directories: BTreeSet<_> = names.iter().map(|name| tenant_directory(name)).collect();
        assert_eq!(directories.len(), names.len());
        for directory in directories {
            assert!(
                !directory.contains('/') && directory.len() < 200,
                "{directory}"
            );
            assert!(!directory.starts_with('.'), "{directory}");
        }
    }
}
