//! The keys of a tenant, as far as they are held: what opens the boxes of its records.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::audit::boxes::{Opened, Secret};
use crate::audit::line::Line;
use crate::audit::vault::{People, Vault};

/// A key that records need.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// Of somebody, as records call them.
    Person(String),
    /// Of a day's payloads.
    Day(u64),
}

/// What is in a record's boxes.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Members that were sealed.
    pub(super) members: Map<String, Value>,
    /// Boxes that cannot be opened.
    pub(super) shut: u64,
    /// The keys of these that are not there.
    pub(super) missing: Vec<Key>,
    /// The first box that is not what the record commits to.
    pub(super) changed: Option<&'static str>,
}

/// See the module docs.
pub(super) struct Held<'a> {
    vault: &'a Vault,
    tenant: String,
    pub(super) people: People,
    /// The keys of days, each read when it is first needed.
    days: HashMap<u64, Day>,
}

enum Day {
    There(Secret),
    Missing,
    /// What is wrong with its file.
    Damaged(String),
}

impl<'a> Held<'a> {
    pub(super) fn of(vault: &'a Vault, tenant: &str) -> Self {
        Self {
            vault,
            tenant: tenant.to_owned(),
            people: vault.all(tenant),
            days: HashMap::new(),
        }
    }

    /// What is wrong with the files of keys that were read; each names its file.
    pub(super) fn damaged(&self) -> impl Iterator<Item = &str> {
        let days = self.days.values().filter_map(|day| match day {
            Day::Damaged(problem) => Some(problem),
            Day::There(_) | Day::Missing => None,
        });
        self.people.damaged.iter().chain(days).map(String::as_str)
    }

    /// What is sealed in a record, as far as there are keys.
    pub(super) fn contents(&mut self, record: &Map<String, Value>, line: &Line<'_>) -> Contents {
        let mut contents = Contents::default();
        let text = |name: &str| record.get(name).and_then(Value::as_str);
        let day = record.get("payload_day").and_then(Value::as_u64);
        let whose = text("subject").unwrap_or_default();
        for (name, day) in [("who", None), ("payload", Some(day.unwrap_or(0)))] {
            let (commitment, sealed) = (text(name), line.sealed(name));
            let (Some(commitment), Some(sealed)) = (commitment, sealed) else {
                if commitment.is_some() || sealed.is_some() {
                    contents.changed.get_or_insert(name);
                }
                continue;
            };
            match self.open(whose, day, sealed, &mut contents.missing) {
                None => contents.shut += 1,
                Some(Opened::Text {
                    text,
                    commitment: found,
                }) if found == commitment => {
                    let inside = serde_json::from_str::<Map<String, Value>>(&text);
                    contents.members.extend(inside.unwrap_or_default());
                }
                Some(Opened::Text { .. } | Opened::Changed) => {
                    contents.changed.get_or_insert(name);
                }
            }
        }
        contents
    }

    fn open(
        &mut self,
        whose: &str,
        day: Option<u64>,
        sealed: &str,
        missing: &mut Vec<Key>,
    ) -> Option<Opened> {
        let Some(subject) = self.people.subjects.get(whose) else {
            if !self.people.unreadable.contains(whose) {
                missing.push(Key::Person(whose.to_owned()));
            }
            return None;
        };
        let Some(day) = day else {
            return Some(subject.open_who(sealed));
        };
        let (vault, tenant) = (self.vault, &self.tenant);
        let kept = self.days.entry(day).or_insert_with(|| {
            let found = vault.find_day(tenant, day);
            found.map_or_else(
                |error| Day::Damaged(error.to_string()),
                |secret| secret.map_or(Day::Missing, Day::There),
            )
        });
        match kept {
            Day::There(secret) => Some(subject.open_payload(secret, sealed)),
            Day::Missing => {
                missing.push(Key::Day(day));
                None
            }
            Day::Damaged(_) => None,
        }
    }
}
