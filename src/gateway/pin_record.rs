//! Tools that became others, put on record.
//!
//! Each upstream has a [`PinRecord`]: whichever endpoint shows a changed tool, and however often its list
//! is read, the change is recorded once, by each node that sees it. What is done about it is not decided
//! here, see `part.rs`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::config::{Pin, UpstreamConfig};
use super::part::Changed;
use super::pins::DefinitionHash;
use super::warning;
use crate::audit::{Audit, Event, What};
use crate::identity::Caller;
use crate::runtime::log_budget::LogBudget;

/// See the module docs.
#[derive(Debug)]
pub(super) struct PinRecord {
    audit: Option<Audit>,
    upstream: String,
    pin: Pin,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// What each tool was when it was recorded last. Only names that have a pin are judged, so there
    /// are no more than pins.
    recorded: BTreeMap<String, DefinitionHash>,
    /// An upstream may change its tools with every reading, and must not fill the disk with it.
    budget: LogBudget,
}

impl PinRecord {
    /// Records what becomes of the tools of `upstream`; nothing, without an audit.
    pub(super) fn new(audit: Option<Audit>, upstream: &UpstreamConfig) -> Self {
        Self {
            audit,
            upstream: upstream.name.clone(),
            pin: upstream.pin,
            seen: Mutex::new(Seen {
                recorded: BTreeMap::new(),
                budget: warning::budget(),
            }),
        }
    }

    /// These are others than they were.
    pub(super) fn note(&self, changed: &[Changed]) {
        let Some(audit) = &self.audit else { return };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for Changed { name, was, is } in changed {
            if seen.recorded.get(name) == Some(is) || seen.budget.admit(Instant::now()).is_none() {
                continue;
            }
            seen.recorded.insert(name.clone(), is.clone());
            let what = What::PinChanged {
                upstream: self.upstream.clone(),
                item: warning::shortened(name),
                previous: was.to_string(),
                current: is.to_string(),
                policy: self.pin.as_str().to_owned(),
            };
            // Nobody waits for it: lists are shown whether or not it can be written now.
            drop(audit.note(&Event::of(Caller::DEFAULT_TENANT, what)));
        }
    }
}
