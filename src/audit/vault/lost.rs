//! Keys whose files somebody removed while this node has them in memory.
//!
//! Whatever is sealed under such a key nobody can open once this process has ended.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::Vault;

/// Files that a look looks for: 1,000 × a few µs, which a group that waits hardly notices. Where more
/// keys are in memory they take turns, so that all of them had theirs after some seconds.
const LOOKED_MAX: usize = 1_000;

/// A key in memory, of a tenant.
enum Key {
    Person(Arc<str>),
    Day(u64),
}

impl Vault {
    /// Forgets the keys whose files are gone, so that the next record makes new ones that last. Gives
    /// how many each tenant lost. What is destroyed rightly was forgotten before.
    pub(in crate::audit) fn forget_lost(&mut self) -> BTreeMap<Arc<str>, u64> {
        let from = self.looked;
        let many = self.subjects.len() + self.days.len();
        self.looked = if many > from + LOOKED_MAX {
            from + LOOKED_MAX
        } else {
            0
        };
        let in_turn = self.in_memory().skip(from).take(LOOKED_MAX);
        let in_turn = in_turn.filter(|(tenant, key)| self.is_lost(tenant, key));
        let hit: HashSet<_> = in_turn.map(|(tenant, _)| tenant).collect();
        if hit.is_empty() {
            return BTreeMap::new();
        }
        // Keys rarely go alone: all of such a tenant are looked for, which a loss alone can cause.
        let lost = self.in_memory().filter(|(tenant, key)| {
            let is_hit = hit.contains(tenant);
            is_hit && self.is_lost(tenant, key)
        });
        let lost: Vec<_> = lost.collect();
        let mut counts = BTreeMap::new();
        for (tenant, key) in lost {
            match key {
                Key::Person(user) => drop(self.subjects.remove(&(tenant.clone(), user))),
                Key::Day(day) => self.forget_day(&tenant, day),
            }
            *counts.entry(tenant).or_default() += 1;
        }
        counts
    }

    fn in_memory(&self) -> impl Iterator<Item = (Arc<str>, Key)> {
        let people = self.subjects.keys();
        let people = people.map(|(tenant, user)| (tenant.clone(), Key::Person(user.clone())));
        let days = self.days.keys();
        let days = days.map(|(tenant, day)| (tenant.clone(), Key::Day(*day)));
        days.chain(people)
    }

    fn is_lost(&self, tenant: &str, key: &Key) -> bool {
        match key {
            Key::Person(user) => {
                let mut paths = self.subject_paths(tenant, user).into_iter();
                paths.all(|path| is_gone(&path))
            }
            Key::Day(day) => is_gone(&self.day_path(tenant, *day)),
        }
    }
}

/// A file that cannot be looked at is not known to be gone.
fn is_gone(path: &Path) -> bool {
    let found = fs::symlink_metadata(path);
    found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}
