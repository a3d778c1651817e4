//! Is everything there that was recorded, and as it was recorded?
//!
//! Each trail of each tenant is followed (`follow`), and of every key that is missing it is asked whether
//! it may be (`losses`). What cannot be read is a problem like any other, which names the file: whatever
//! else there is is looked at all the same.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use super::Archive;
use super::follow::Follow;
use super::held::Held;
use super::losses::Losses;
use crate::audit::layout::{self, Trail};

/// What verifying came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Segments that were read.
    pub segments: u64,
    /// Records in them.
    pub records: u64,
    /// Boxes whose key is gone, by right where there is no problem.
    pub erased: u64,
    /// Bytes at the ends of open segments that are no whole record yet, or never will be.
    pub torn: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl Verified {
    /// Counts what another came to as well.
    fn add(&mut self, other: Self) {
        self.segments += other.segments;
        self.records += other.records;
        self.erased += other.erased;
        self.torn += other.torn;
        self.problems.extend(other.problems);
    }
}

/// Something that is not as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whose records; the directory's name where not even that is known.
    pub tenant: String,
    /// The first record that is not what it was, and of which trail; nothing if it is no record that is
    /// wrong.
    pub at: Option<(Trail, u64)>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant, at, what } = self;
        match at {
            Some((trail, seq)) => {
                write!(f, "{tenant}/{}: record {seq}: {what}", trail.as_str())
            }
            None => write!(f, "{tenant}: {what}"),
        }
    }
}

/// The first record that is wrong, if it is one, and what is.
pub(super) type Bad = (Option<(Trail, u64)>, String);

/// What there is of one tenant.
struct Tenant<'a> {
    archive: &'a Archive,
    directory: String,
    name: String,
    trails: Vec<Trail>,
    held: Held<'a>,
    losses: Losses,
    verified: Verified,
}

impl Archive {
    /// Follows every chain. With a time, segments that ended before it are taken on the word of their
    /// checkpoints, and those that begin after the other are left out.
    ///
    /// # Errors
    /// When the places themselves cannot be read.
    pub fn verify(&self, from_ms: u64, to_ms: u64) -> io::Result<Verified> {
        let mut tenants: BTreeMap<String, (Option<String>, Vec<Trail>)> = BTreeMap::new();
        for ((directory, trail), id) in self.trails()? {
            let (name, trails) = tenants.entry(directory).or_default();
            *name = name.take().or(id.map(|id| id.tenant.to_string()));
            trails.push(trail);
        }
        let mut verified = Verified::default();
        for (directory, (name, trails)) in tenants {
            let name = name.unwrap_or_else(|| directory.clone());
            let tenant = Tenant {
                archive: self,
                held: Held::of(&self.vault, &name),
                directory,
                name,
                trails,
                losses: Losses::default(),
                verified: Verified::default(),
            };
            verified.add(tenant.all(from_ms, to_ms));
        }
        Ok(verified)
    }
}

impl Tenant<'_> {
    fn all(mut self, from_ms: u64, to_ms: u64) -> Verified {
        let trails = std::mem::take(&mut self.trails);
        // Calls come first: what says that a key was destroyed is read after whoever needs it.
        for trail in trails {
            let followed = self.follow(trail, from_ms, to_ms);
            self.verified.add(followed);
        }
        let is_all = from_ms == 0 && to_ms == u64::MAX;
        if !is_all && !self.losses.is_accounted_for() {
            // A key may have been destroyed at any time.
            self.follow(Trail::Security, 0, u64::MAX);
        }
        let at_home = layout::tenant_directory(&self.name);
        if at_home != self.directory && self.name != self.directory {
            let what = format!("its records belong into {at_home}, not {}", self.directory);
            self.bad((None, what));
        }
        let now = self.archive.vault.all(&self.name);
        for bad in self.losses.problems(&now) {
            self.bad(bad);
        }
        let damaged: Vec<_> = self.held.damaged().map(str::to_owned).collect();
        for what in damaged {
            self.bad((None, what));
        }
        self.verified
    }

    fn follow(&mut self, trail: Trail, from_ms: u64, to_ms: u64) -> Verified {
        let mut follow = Follow::new(
            self.archive,
            &self.directory,
            &self.name,
            trail,
            &mut self.held,
            &mut self.losses,
        );
        if let Err(error) = follow.all(from_ms, to_ms) {
            follow.bad((None, error.to_string()));
        }
        follow.done()
    }

    fn bad(&mut self, (at, what): Bad) {
        let tenant = self.name.clone();
        self.verified.problems.push(Problem { tenant, at, what });
    }
}
