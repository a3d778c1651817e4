//! The keys of what is personal: one a person, one a day for payloads.
//!
//! Each is a file of its own, sealed with a key of its tenant. What is known of a person is sealed
//! under theirs, so to destroy it is to erase; a payload under theirs and its day's together, so that
//! payloads age out without anybody's erasure. Records name a person by a reference that was drawn at
//! random and is kept beside the key: when that is gone nobody can tell any more whose they were.
//!
//! A key is durable before anything is sealed under it, and goes only after the record of that is
//! durable: a key that is missing without one was lost, or somebody took it.

mod lost;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::boxes::{Envelope, KEY_LEN, Pool, Secret, Subject};
use super::chain::{Keys, hex};
use super::disk::{self, Disk};
use super::entry::Who;
use super::layout;
use crate::runtime::seal::{self, ClusterKeys, Seal};

/// Keys in memory: 10,000 × about 1 KiB = 10 MiB. Beyond, all are forgotten and read again as needed.
const CACHED_MAX: usize = 10_000;
/// Days whose keys are in memory; there is one a tenant at a time.
const DAYS_MAX: usize = 10_000;

/// A key's file.
#[derive(Serialize, Deserialize)]
struct Kept {
    v: u64,
    /// A person's reference, or a day.
    of: String,
    sealed: String,
}

/// The keys of a tenant's people.
#[derive(Debug, Default)]
pub(super) struct People {
    pub(super) subjects: HashMap<Arc<str>, Subject>,
    /// What is wrong with files of keys; each names its file.
    pub(super) damaged: Vec<String>,
    /// Whose keys these are, as far as they say.
    pub(super) unreadable: HashSet<String>,
}

/// See the module docs.
#[derive(Debug)]
pub(super) struct Vault {
    root: PathBuf,
    cluster: ClusterKeys,
    keys: Arc<Keys>,
    disk: Arc<dyn Disk>,
    subjects: HashMap<(Arc<str>, Arc<str>), Subject>,
    days: HashMap<(Arc<str>, u64), Secret>,
    pool: Pool,
    /// Keys in memory that were looked for already in this turn.
    looked: usize,
}

impl Vault {
    pub(super) fn new(
        root: &Path,
        cluster: &ClusterKeys,
        keys: Arc<Keys>,
        disk: Arc<dyn Disk>,
    ) -> Self {
        Self {
            root: root.to_owned(),
            cluster: cluster.clone(),
            keys,
            disk,
            subjects: HashMap::new(),
            days: HashMap::new(),
            pool: Pool::default(),
            looked: 0,
        }
    }

    /// Seals what is known of a person, and a payload of theirs of that day. Their key is made if there
    /// is none.
    ///
    /// # Errors
    /// When a key cannot be read or kept.
    pub(super) fn seal(
        &mut self,
        tenant: &Arc<str>,
        user: &Arc<str>,
        who: Option<&Who>,
        payload: Option<(u64, &str)>,
    ) -> io::Result<Envelope> {
        let whose = (tenant.clone(), user.clone());
        let day = payload.map(|(day, _)| day);
        let is_ready = |subject: &Subject| day.is_none_or(|day| subject.is_ready_for(day));
        if !self.subjects.get(&whose).is_some_and(is_ready) {
            self.prepare(&whose, day)?;
        }
        let subject = self.subjects.get_mut(&whose);
        let subject = subject.expect("invariant: it was prepared");
        Ok(subject.seal(who, payload, &mut self.pool))
    }

    /// Sees to it that a person's key is there, and that of their payloads of a day.
    fn prepare(&mut self, whose: &(Arc<str>, Arc<str>), day: Option<u64>) -> io::Result<()> {
        if !self.subjects.contains_key(whose) {
            if self.subjects.len() >= CACHED_MAX {
                self.subjects.clear();
            }
            let subject = self.read_or_make(&whose.0, &whose.1)?;
            self.subjects.insert(whose.clone(), subject);
        }
        if let Some(day) = day {
            let secret = self.day(&whose.0, day)?;
            if let Some(subject) = self.subjects.get_mut(whose) {
                subject.make_ready(day, &secret);
            }
        }
        Ok(())
    }

    /// The key of a day's payloads, made if there is none.
    fn day(&mut self, tenant: &Arc<str>, day: u64) -> io::Result<Secret> {
        if let Some(secret) = self.days.get(&(tenant.clone(), day)) {
            return Ok(secret.clone());
        }
        if self.days.len() >= DAYS_MAX {
            self.days.clear();
        }
        let path = self.day_path(tenant, day);
        let of = day.to_string();
        let secret = match self.find_day(tenant, day)? {
            Some(secret) => secret,
            None => self.make(tenant, &path, &of)?,
        };
        self.days.insert((tenant.clone(), day), secret.clone());
        Ok(secret)
    }

    /// The keys of a person, if there are any.
    pub(super) fn find(&self, tenant: &str, user: &str) -> io::Result<Option<Subject>> {
        for path in self.subject_paths(tenant, user) {
            if let Some((reference, secret)) = self.read(tenant, &path)? {
                return Ok(Some(Subject::new(reference.into(), secret)));
            }
        }
        Ok(None)
    }

    /// The keys of everybody of a tenant, and what is wrong with any of their files.
    pub(super) fn all(&self, tenant: &str) -> People {
        let mut people = People::default();
        for path in self.people_paths(tenant) {
            let path = match path {
                Ok(path) => path,
                Err(error) => {
                    people.damaged.push(error.to_string());
                    continue;
                }
            };
            match self.read(tenant, &path) {
                Ok(None) => {}
                Ok(Some((reference, secret))) => {
                    let subject = Subject::new(reference.into(), secret);
                    people.subjects.insert(subject.reference.clone(), subject);
                }
                Err(error) => {
                    people.damaged.push(error.to_string());
                    people.unreadable.extend(named_in(&path));
                }
            }
        }
        people
    }

    /// The files of the keys of everybody of a tenant, and the directories that cannot be read.
    fn people_paths(&self, tenant: &str) -> Vec<io::Result<PathBuf>> {
        let mut paths = Vec::new();
        let directories = layout::paths_in(&self.tenant_path(tenant).join("subjects"));
        let directories = directories.unwrap_or_else(|error| {
            paths.push(Err(error));
            Vec::new()
        });
        for directory in directories {
            match layout::paths_in(&directory) {
                Ok(found) => paths.extend(found.into_iter().filter(|path| is_kept(path)).map(Ok)),
                Err(error) => paths.push(Err(error)),
            }
        }
        paths
    }

    /// The key of a day's payloads, if there is one.
    pub(super) fn find_day(&self, tenant: &str, day: u64) -> io::Result<Option<Secret>> {
        let path = self.day_path(tenant, day);
        match self.read(tenant, &path)? {
            None => Ok(None),
            Some((of, secret)) if of == day.to_string() => Ok(Some(secret)),
            Some(_) => Err(not_ours(&path)),
        }
    }

    /// What records call a person: more than one name if there are keys of several cluster keys.
    pub(super) fn references(&self, tenant: &str, user: &str) -> io::Result<Vec<Arc<str>>> {
        let mut references = Vec::new();
        for path in self.subject_paths(tenant, user) {
            let found = self.read(tenant, &path)?;
            references.extend(found.map(|(reference, _)| reference.into()));
        }
        Ok(references)
    }

    /// Destroys the key of a person.
    ///
    /// # Errors
    /// When a file cannot be overwritten or removed; it may be tried again.
    pub(super) fn destroy(&mut self, tenant: &str, user: &str) -> io::Result<()> {
        self.subjects.remove(&(tenant.into(), user.into()));
        let paths = self.subject_paths(tenant, user).into_iter();
        paths
            .filter(|path| path.exists())
            .try_for_each(|path| self.destroy_file(&path))
    }

    /// Destroys keys whose destruction is on record and was cut short.
    pub(super) fn destroy_left(&mut self, tenant: &str, references: &[String]) -> io::Result<()> {
        for path in self.people_paths(tenant).into_iter().filter_map(Result::ok) {
            let is_left = match self.read(tenant, &path) {
                // Overwritten, and not removed.
                Ok(None) => true,
                Ok(Some((reference, _))) => references.contains(&reference),
                // Said by `verify`.
                Err(_) => false,
            };
            if is_left {
                self.destroy_file(&path)?;
            }
        }
        Ok(())
    }

    /// The days before that one of whose payloads there are keys.
    pub(super) fn days_before(&self, tenant: &str, before: u64) -> io::Result<Vec<u64>> {
        let paths = layout::paths_in(&self.tenant_path(tenant).join("days"))?.into_iter();
        let days = paths.filter(|path| is_kept(path));
        let days = days.filter_map(|path| path.file_stem()?.to_str()?.parse().ok());
        let mut days: Vec<u64> = days.filter(|day| *day < before).collect();
        days.sort_unstable();
        Ok(days)
    }

    /// Destroys the keys of payloads of these days.
    pub(super) fn forget_days(&mut self, tenant: &str, days: &[u64]) -> io::Result<()> {
        for day in days {
            self.forget_day(&tenant.into(), *day);
        }
        days.iter()
            .try_for_each(|day| self.destroy_file(&self.day_path(tenant, *day)))
    }

    /// Forgets a day's key, and what was derived from it.
    fn forget_day(&mut self, tenant: &Arc<str>, day: u64) {
        self.days.remove(&(tenant.clone(), day));
        let people = self.subjects.iter_mut();
        let people = people.filter(|((of, _), _)| of == tenant);
        people.for_each(|(_, subject)| subject.forget_day(day));
    }

    /// Overwrites first: a file system may keep what is only removed.
    fn destroy_file(&self, path: &Path) -> io::Result<()> {
        let length = usize::try_from(fs::metadata(path)?.len()).unwrap_or(0);
        let mut file = self.disk.reopen(path)?;
        file.cut(0)?;
        file.append(&vec![b' '; length])?;
        file.sync()?;
        self.disk.remove(path)
    }

    fn read_or_make(&self, tenant: &str, user: &str) -> io::Result<Subject> {
        if let Some(subject) = self.find(tenant, user)? {
            return Ok(subject);
        }
        let paths = self.subject_paths(tenant, user);
        let path = paths.first().expect("invariant: there is a cluster key");
        let reference = hex(&seal::random::<8>());
        let secret = self.make(tenant, path, &reference)?;
        Ok(Subject::new(reference.into(), secret))
    }

    fn make(&self, tenant: &str, path: &Path, of: &str) -> io::Result<Secret> {
        let secret: Secret = Zeroizing::new(seal::random());
        let kept = Kept {
            v: 1,
            of: of.to_owned(),
            sealed: self.tenant_seal(tenant).seal(&place(path, of), &*secret),
        };
        let text = serde_json::to_string(&kept).expect("invariant: our values serialize");
        self.disk.replace(path, text.as_bytes())?;
        Ok(secret)
    }

    /// The key in a file, with what it is of. One that holds nothing was about to be removed.
    fn read(&self, tenant: &str, path: &Path) -> io::Result<Option<(String, Secret)>> {
        let Some(bytes) = disk::read(path)? else {
            return Ok(None);
        };
        if bytes.trim_ascii().is_empty() {
            return Ok(None);
        }
        let opened = (|| {
            let kept: Kept = serde_json::from_slice(&bytes).ok()?;
            let seal = self.tenant_seal(tenant);
            let mut opened = seal.open(&place(path, &kept.of), &kept.sealed).ok()?;
            let secret: Option<[u8; KEY_LEN]> = opened.as_slice().try_into().ok();
            opened.zeroize();
            (kept.v == 1).then_some((kept.of, Zeroizing::new(secret?)))
        })();
        opened.map(Some).ok_or_else(|| not_ours(path))
    }

    fn tenant_seal(&self, tenant: &str) -> Seal {
        self.cluster.seal(&format!("audit vault of {tenant}"))
    }

    fn tenant_path(&self, tenant: &str) -> PathBuf {
        self.root.join(layout::tenant_directory(tenant))
    }

    fn day_path(&self, tenant: &str, day: u64) -> PathBuf {
        self.tenant_path(tenant)
            .join("days")
            .join(format!("{day}.json"))
    }

    fn subject_paths(&self, tenant: &str, user: &str) -> Vec<PathBuf> {
        let directory = self.tenant_path(tenant).join("subjects");
        let names = self.keys.subject_names(tenant, user).into_iter();
        names
            .map(|name| directory.join(&name[..2]).join(format!("{name}.json")))
            .collect()
    }
}

/// What a key is sealed for: whose it is, and under which name it lies, so that no two can be swapped.
fn place(path: &Path, of: &str) -> Vec<u8> {
    let name = path.file_stem().unwrap_or_default();
    [of.as_bytes(), b" ", name.as_encoded_bytes()].concat()
}

/// What a process left half written was never the key of anything.
fn is_kept(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "json")
}

fn not_ours(path: &Path) -> io::Error {
    let problem = format!("{} is no key of this cluster", path.display());
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

/// Whose key a file says it is that cannot be opened.
fn named_in(path: &Path) -> Option<String> {
    let bytes = disk::read(path).ok()??;
    let kept: Kept = serde_json::from_slice(&bytes).ok()?;
    Some(kept.of)
}
