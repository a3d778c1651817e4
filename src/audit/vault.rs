//! The keys of what is personal: one a person, one a day for payloads.
//!
//! Each is a file of its own, sealed with a key of its tenant. What is known of a person is sealed
//! under theirs, so to destroy it is to erase; a payload under theirs and its day's together, so that
//! payloads age out without anybody's erasure. Records name a person by a reference that was drawn at
//! random and is kept beside the key: when that is gone nobody can tell any more whose they were.
//!
//! A key is durable before anything is sealed under it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::chain::{Keys, hex, tag};
use super::disk::Disk;
use super::entry::Who;
use super::layout;
use super::line::Boxes;
use crate::runtime::seal::{self, ClusterKeys, Seal};

/// Keys in memory: 10,000 × about 1 KiB = 10 MiB. Beyond, all are forgotten and read again as needed.
const CACHED_MAX: usize = 10_000;
/// Days whose keys are in memory; there is one a tenant at a time.
const DAYS_MAX: usize = 10_000;
/// Bytes that make a commitment unguessable.
const SALT_LEN: usize = 16;
const KEY_LEN: usize = 32;
/// Bytes drawn at a time: drawing costs more than what it is for.
const POOL_LEN: usize = 4_096;

type Secret = Zeroizing<[u8; KEY_LEN]>;

/// What is sealed, and under what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Who did something.
    Who,
    /// What went in and came out, on that day.
    Payload { day: u64 },
}

impl Kind {
    const fn context(self) -> &'static [u8] {
        match self {
            Self::Who => b"who",
            Self::Payload { .. } => b"payload",
        }
    }
}

/// A sealed text and what commits to it.
#[derive(Debug)]
struct Sealed {
    text: String,
    commitment: String,
}

/// What is sealed of one record.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    /// Whom it is about, as records call them.
    pub(super) reference: Option<Arc<str>>,
    who: Option<Arc<Sealed>>,
    payload: Option<(u64, Sealed)>,
}

impl Envelope {
    /// An envelope with nothing in it.
    pub(super) fn about(reference: Arc<str>) -> Self {
        Self {
            reference: Some(reference),
            ..Self::default()
        }
    }

    /// What is in it.
    pub(super) fn boxes(&self) -> Boxes<'_> {
        Boxes {
            who: self.who.as_ref().map(|sealed| &*sealed.text),
            payload: self.payload.as_ref().map(|(_, sealed)| &*sealed.text),
        }
    }

    /// Appends what a record says of it in clear, as members.
    pub(super) fn push(&self, out: &mut String) {
        if let Some(reference) = &self.reference {
            push(out, &[",\"subject\":\"", reference, "\""]);
        }
        if let Some(sealed) = &self.who {
            push(out, &[",\"who\":\"", &sealed.commitment, "\""]);
        }
        if let Some((day, sealed)) = &self.payload {
            push(out, &[",\"payload\":\"", &sealed.commitment, "\""]);
            let mut digits = itoa::Buffer::new();
            push(out, &[",\"payload_day\":", digits.format(*day)]);
        }
    }
}

fn push(out: &mut String, pieces: &[&str]) {
    for piece in pieces {
        out.push_str(piece);
    }
}

/// The keys of one person.
pub(super) struct Subject {
    /// What records call them.
    pub(super) reference: Arc<str>,
    secret: Secret,
    who: LessSafeKey,
    payload: Option<(u64, LessSafeKey)>,
    /// What was sealed last of who they are: most of their records say the same.
    last_who: Option<(Who, Arc<Sealed>)>,
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subject({}, [redacted])", self.reference)
    }
}

/// A key's file.
#[derive(Serialize, Deserialize)]
struct Kept {
    v: u64,
    /// A person's reference, or a day.
    of: String,
    sealed: String,
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
        let is_ready = |subject: &Subject| day.is_none_or(|day| subject.has_day(day));
        if !self.subjects.get(&whose).is_some_and(is_ready) {
            self.prepare(&whose, day)?;
        }
        let subject = self.subjects.get_mut(&whose);
        let subject = subject.expect("invariant: it was prepared");
        let pool = &mut self.pool;
        Ok(Envelope {
            reference: Some(subject.reference.clone()),
            who: who.map(|who| subject.seal_who(who, pool)),
            payload: payload.map(|(day, text)| {
                let sealed = subject.seal(Kind::Payload { day }, text, pool);
                (day, sealed)
            }),
        })
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
                subject.payload = Some((day, subject.payload_key(&secret)));
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
        let secret = match self.read(tenant, &path)? {
            Some((_, secret)) => secret,
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

    /// The keys of everybody of a tenant, by their references.
    pub(super) fn all(&self, tenant: &str) -> io::Result<HashMap<Arc<str>, Subject>> {
        let mut subjects = HashMap::new();
        for directory in layout::paths_in(&self.tenant_path(tenant).join("subjects"))? {
            for path in layout::paths_in(&directory)? {
                let read = match self.read(tenant, &path) {
                    // What it would open stays shut, as if it had been destroyed.
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => continue,
                    read => read?,
                };
                if let Some((reference, secret)) = read {
                    let subject = Subject::new(reference.into(), secret);
                    subjects.insert(subject.reference.clone(), subject);
                }
            }
        }
        Ok(subjects)
    }

    /// Opens what was sealed about a person; nothing where a key is gone, or it is not theirs.
    pub(super) fn open(
        &self,
        tenant: &str,
        subject: &Subject,
        kind: Kind,
        sealed: &str,
    ) -> io::Result<Option<Opened>> {
        let day = match kind {
            Kind::Who => None,
            Kind::Payload { day } => {
                let Some((_, secret)) = self.read(tenant, &self.day_path(tenant, day))? else {
                    return Ok(None);
                };
                Some(subject.payload_key(&secret))
            }
        };
        let key = day.as_ref().unwrap_or(&subject.who);
        Ok(Some(open(key, kind, sealed)))
    }

    /// Destroys the key of a person, and says what records call them; nothing if there was none.
    ///
    /// # Errors
    /// When a file cannot be overwritten or removed; it may be tried again.
    pub(super) fn destroy(&mut self, tenant: &str, user: &str) -> io::Result<Option<Arc<str>>> {
        self.subjects.remove(&(tenant.into(), user.into()));
        let mut gone = None;
        for path in self.subject_paths(tenant, user) {
            if let Some((reference, _)) = self.read(tenant, &path)? {
                self.destroy_file(&path)?;
                gone = Some(reference.into());
            }
        }
        Ok(gone)
    }

    /// Destroys the keys of payloads of days before that one, and says which.
    pub(super) fn forget_days(&mut self, tenant: &str, before: u64) -> io::Result<Vec<u64>> {
        let mut gone = Vec::new();
        for path in layout::paths_in(&self.tenant_path(tenant).join("days"))? {
            let day = path
                .file_stem()
                .and_then(|name| name.to_str()?.parse::<u64>().ok());
            if let Some(day) = day.filter(|day| *day < before) {
                self.destroy_file(&path)?;
                gone.push(day);
            }
        }
        self.days
            .retain(|(of, day), _| **of != *tenant || *day >= before);
        gone.sort_unstable();
        Ok(gone)
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
            sealed: self.tenant_seal(tenant).seal(of.as_bytes(), &*secret),
        };
        let text = serde_json::to_string(&kept).expect("invariant: our values serialize");
        self.disk.replace(path, text.as_bytes())?;
        Ok(secret)
    }

    fn read(&self, tenant: &str, path: &Path) -> io::Result<Option<(String, Secret)>> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let damaged = || {
            let problem = format!("{} is no key of this cluster", path.display());
            io::Error::new(io::ErrorKind::InvalidData, problem)
        };
        let kept: Kept = serde_json::from_str(&text).map_err(|_| damaged())?;
        if kept.v != 1 {
            return Err(damaged());
        }
        let mut bytes = self
            .tenant_seal(tenant)
            .open(kept.of.as_bytes(), &kept.sealed)
            .map_err(|_| damaged())?;
        let secret: Result<[u8; KEY_LEN], _> = bytes.as_slice().try_into();
        bytes.zeroize();
        Ok(Some((
            kept.of,
            Zeroizing::new(secret.map_err(|_| damaged())?),
        )))
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

impl Subject {
    fn new(reference: Arc<str>, secret: Secret) -> Self {
        let who = derived(&secret, b"who");
        Self {
            reference,
            secret,
            who,
            payload: None,
            last_who: None,
        }
    }

    fn payload_key(&self, day: &Secret) -> LessSafeKey {
        derived(&self.secret, &**day)
    }

    fn has_day(&self, day: u64) -> bool {
        self.payload.as_ref().is_some_and(|(of, _)| *of == day)
    }

    fn seal_who(&mut self, who: &Who, pool: &mut Pool) -> Arc<Sealed> {
        match &self.last_who {
            Some((last, sealed)) if last == who => sealed.clone(),
            Some(_) | None => {
                let sealed = Arc::new(self.seal(Kind::Who, &who.text(), pool));
                self.last_who = Some((who.clone(), sealed.clone()));
                sealed
            }
        }
    }

    fn seal(&self, kind: Kind, text: &str, pool: &mut Pool) -> Sealed {
        let key = match (kind, &self.payload) {
            (Kind::Payload { day }, Some((of, key))) if day == *of => key,
            (Kind::Payload { .. }, _) => unreachable!("invariant: the day's key was prepared"),
            (Kind::Who, _) => &self.who,
        };
        let salt: [u8; SALT_LEN] = pool.draw();
        let nonce: [u8; NONCE_LEN] = pool.draw();
        let commitment = commitment(&salt, text.as_bytes());
        let mut sealed = Vec::with_capacity(NONCE_LEN + SALT_LEN + text.len() + SALT_LEN);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&salt);
        sealed.extend_from_slice(text.as_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(kind.context()), &mut sealed[NONCE_LEN..])
            .expect("invariant: contents are far below the AEAD's length limit");
        sealed.extend_from_slice(tag.as_ref());
        Sealed {
            text: URL_SAFE_NO_PAD.encode(sealed),
            commitment,
        }
    }
}

/// What was sealed, and what commits to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// This text.
    Text { text: String, commitment: String },
    /// It is not what was sealed under this key.
    Changed,
}

fn open(key: &LessSafeKey, kind: Kind, sealed: &str) -> Opened {
    let opened = (|| {
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, contents) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let contents = key
            .open_in_place(nonce, Aad::from(kind.context()), contents)
            .ok()?;
        let (salt, text) = contents.split_at_checked(SALT_LEN)?;
        let commitment = commitment(salt, text);
        let text = std::str::from_utf8(text).ok()?.to_owned();
        Some(Opened::Text { text, commitment })
    })();
    opened.unwrap_or(Opened::Changed)
}

fn commitment(salt: &[u8], text: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(salt);
    context.update(text);
    URL_SAFE_NO_PAD.encode(context.finish().as_ref())
}

fn derived(secret: &Secret, purpose: &[u8]) -> LessSafeKey {
    let mac = hmac::Key::new(hmac::HMAC_SHA256, &**secret);
    let key = Zeroizing::new(tag(&mac, &[purpose]));
    let key =
        UnboundKey::new(&AES_256_GCM_SIV, &*key).expect("invariant: an AES-256 key has 32 bytes");
    LessSafeKey::new(key)
}

/// Random bytes, drawn many at a time.
#[derive(Default)]
struct Pool {
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pool")
    }
}

impl Pool {
    fn draw<const N: usize>(&mut self) -> [u8; N] {
        if self.bytes.len() < N {
            self.bytes = seal::random::<POOL_LEN>().to_vec();
        }
        let at = self.bytes.len() - N;
        let mut drawn = [0; N];
        drawn.copy_from_slice(&self.bytes[at..]);
        self.bytes.truncate(at);
        drawn
    }
}
