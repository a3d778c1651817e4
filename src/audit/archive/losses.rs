//! Keys that are gone, and what says that they may be.
//!
//! A person's key goes by an erasure, a day's by retention; either is on record before the key goes, and
//! names it as the records do that need it. Any other key that is missing was lost or taken.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::held::Key;
use super::records::Record;
use crate::audit::layout::Trail;
use crate::audit::vault::People;

/// A record, by its trail and number.
type At = (Trail, u64);

/// See the module docs.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Keys that are not there, with the first record that needs each.
    missing: BTreeMap<Key, At>,
    /// Whose erasure is on record.
    erased: BTreeSet<String>,
    /// Days whose payloads grew too old, as is on record.
    aged: BTreeSet<u64>,
}

impl Losses {
    /// A record needs keys that are not there.
    pub(super) fn need(&mut self, keys: Vec<Key>, at: At) {
        for key in keys {
            self.missing.entry(key).or_insert(at);
        }
    }

    /// Takes what a record says of keys that were destroyed. Only one that was verified may.
    pub(super) fn hear(&mut self, record: &Record<'_>) {
        match record.text("kind") {
            Some("erased") => {
                self.erased
                    .extend(record.text("reference").map(str::to_owned));
            }
            Some("retention_run") => {
                let days = record.members.get("payload_days");
                let days = days.and_then(Value::as_array).into_iter().flatten();
                self.aged.extend(days.filter_map(Value::as_u64));
            }
            Some(_) | None => {}
        }
    }

    fn may_be_gone(&self, key: &Key) -> bool {
        match key {
            Key::Person(reference) => self.erased.contains(reference),
            Key::Day(day) => self.aged.contains(day),
        }
    }

    /// Whether every key that is missing may be.
    pub(super) fn is_accounted_for(&self) -> bool {
        self.missing.keys().all(|key| self.may_be_gone(key))
    }

    /// What is wrong, with the first record it is wrong for. `now` are the keys that there are by now:
    /// somebody who came meanwhile has one.
    pub(super) fn problems(&self, now: &People) -> Vec<(Option<At>, String)> {
        let is_lost = |key: &Key| match key {
            Key::Person(reference) => {
                !now.subjects.contains_key(reference.as_str())
                    && !now.unreadable.contains(reference)
            }
            Key::Day(_) => true,
        };
        let lost = self.missing.iter();
        let lost = lost.filter(|(key, _)| !self.may_be_gone(key) && is_lost(key));
        let lost = lost.map(|(key, at)| (Some(*at), told(key)));
        let there = self.erased.iter();
        let there = there.filter(|reference| now.subjects.contains_key(reference.as_str()));
        let there = there.map(|reference| {
            let what = format!("the key of {reference} is there, whose erasure is on record");
            (None, what)
        });
        lost.chain(there).collect()
    }
}

fn told(key: &Key) -> String {
    match key {
        Key::Person(reference) => {
            format!("the key of {reference} is missing, and no erasure of theirs is on record")
        }
        Key::Day(day) => {
            format!("the key of the payloads of day {day} is missing, and no retention run has it")
        }
    }
}
