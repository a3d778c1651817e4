//! What was recorded about calls and other events: those that fit a question.
//!
//! The two records of a call are given as one, with what was sealed as far as there are keys.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Archive;
use super::held::Held;
use super::records::{Record, Segment};
use crate::audit::boxes::Subject;
use crate::audit::checkpoint::{Checkpoint, Found};
use crate::audit::layout::{self, Part, Trail, TrailId};
use crate::runtime::calendar;
use crate::runtime::clock::Timestamp;

/// Which records. What is not said fits all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Not before this time, in milliseconds since 1970.
    pub from_ms: Option<u64>,
    /// Before this time.
    pub to_ms: Option<u64>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// About this user.
    pub user: Option<String>,
    /// Of this tool, or whatever else was the target.
    pub target: Option<String>,
    /// This call.
    pub call: Option<String>,
    /// Ended like this.
    pub outcome: Option<String>,
    /// Of one of these kinds; `call` is that of calls.
    pub kinds: Vec<String>,
}

/// What goes through all records of a trail.
struct Walk<'a, F> {
    archive: &'a Archive,
    id: TrailId,
    query: &'a Query,
    /// What records call the user it is about.
    reference: Option<Arc<str>>,
    /// When the records begin and end that fit, as they are written.
    times: (Option<String>, Option<String>),
    held: Held<'a>,
    /// Beginnings whose end has not come yet; as many as calls ran at once.
    begun: HashMap<String, Map<String, Value>>,
    each: F,
}

impl Archive {
    /// Gives every record that fits, a call as one, until it is told to stop.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn query(
        &self,
        query: &Query,
        mut each: impl FnMut(Map<String, Value>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        for id in self.trails()?.into_values().flatten() {
            if query
                .tenant
                .as_deref()
                .is_some_and(|tenant| *tenant != *id.tenant)
            {
                continue;
            }
            let reference = match &query.user {
                None => None,
                // Nobody can tell the records of somebody who was erased.
                Some(user) => match self.vault.find(&id.tenant, user)? {
                    None => continue,
                    Some(Subject { reference, .. }) => Some(reference),
                },
            };
            let written = |ms: Option<u64>| ms.map(time);
            let mut walk = Walk {
                archive: self,
                held: Held::of(&self.vault, &id.tenant),
                times: (written(query.from_ms), written(query.to_ms)),
                query,
                reference,
                id,
                begun: HashMap::new(),
                each: &mut each,
            };
            if walk.trail()?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// A time as records have it; such texts are in the order of the times.
fn time(ms: u64) -> String {
    let whole = calendar::rfc3339(Timestamp(ms));
    format!("{}.{:03}Z", whole.trim_end_matches('Z'), ms % 1_000)
}

impl<F: FnMut(Map<String, Value>) -> ControlFlow<()>> Walk<'_, F> {
    fn trail(&mut self) -> io::Result<ControlFlow<()>> {
        let records = layout::trail_directory(&self.archive.places.records, &self.id);
        let checkpoints = layout::trail_directory(&self.archive.places.checkpoints, &self.id);
        for first in layout::listed(&records, Part::Segment)? {
            let path = layout::file(&checkpoints, first, Part::Checkpoint);
            if let Some(from_ms) = self.query.from_ms
                && let Found::Ours(signed) = Checkpoint::read(&path, &self.archive.keys)?
                && signed.says.ended_ms < from_ms
                && signed.says.running.is_empty()
            {
                continue;
            }
            let path = layout::file(&records, first, Part::Segment);
            // Retention may have come first.
            let Some(segment) = Segment::read(&path)? else {
                continue;
            };
            // What is damaged is `verify`'s to tell.
            for record in segment.records().filter_map(Result::ok) {
                if self.record(&record).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        // Calls that still run.
        for (_, begun) in std::mem::take(&mut self.begun) {
            if self.give(begun).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn record(&mut self, record: &Record<'_>) -> ControlFlow<()> {
        if !self.may_fit(record) {
            return ControlFlow::Continue(());
        }
        let contents = self.held.contents(&record.members, &record.line);
        let mut members = record.members.clone();
        for name in ["v", "who", "payload", "payload_day"] {
            members.remove(name);
        }
        members.extend(contents.members);
        if contents.shut > 0 {
            members.insert("erased".to_owned(), contents.shut.into());
        }
        members.insert("tenant".to_owned(), (*self.id.tenant).into());
        let call = record.text("call").map(str::to_owned);
        let (Trail::Calls, Some(call)) = (self.id.trail, call) else {
            return self.give(members);
        };
        if record.text("kind") == Some("begin") {
            members.insert("kind".to_owned(), "call".into());
            self.begun.insert(call, members);
            return ControlFlow::Continue(());
        }
        let mut whole = self.begun.remove(&call).unwrap_or_default();
        join(&mut whole, members);
        self.give(whole)
    }

    /// Whether a record could be part of what fits, before anything is opened.
    fn may_fit(&self, record: &Record<'_>) -> bool {
        let fits = |wanted: Option<&str>, name: &str| match (wanted, record.text(name)) {
            (Some(wanted), found) => found == Some(wanted),
            (None, _) => true,
        };
        fits(self.reference.as_deref(), "subject") && fits(self.query.call.as_deref(), "call")
    }

    fn give(&mut self, whole: Map<String, Value>) -> ControlFlow<()> {
        let text = |name: &str| whole.get(name).and_then(Value::as_str);
        let fits = |wanted: &Option<String>, name: &str| {
            wanted
                .as_deref()
                .is_none_or(|wanted| text(name) == Some(wanted))
        };
        let at = text("at").unwrap_or_default();
        let (from, to) = &self.times;
        let is_in_time =
            from.as_deref().is_none_or(|from| at >= from) && to.as_deref().is_none_or(|to| at < to);
        let is_of_kind = self.query.kinds.is_empty()
            || text("kind").is_some_and(|kind| self.query.kinds.iter().any(|it| it == kind));
        let is_wanted = is_in_time
            && is_of_kind
            && fits(&self.query.target, "target")
            && fits(&self.query.outcome, "outcome");
        if is_wanted {
            (self.each)(whole)
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// Adds to a call's beginning what its end says; the two have some names in common.
fn join(whole: &mut Map<String, Value>, end: Map<String, Value>) {
    for (name, value) in end {
        let name = match name.as_str() {
            "seq" => "end_seq".to_owned(),
            "at" => "ended_at".to_owned(),
            "bytes" => "bytes_out".to_owned(),
            "kind" | "up_us" => continue,
            "redacted" => "redacted_out".to_owned(),
            _ => name,
        };
        whole.insert(name, value);
    }
    // The beginning is gone with an older segment.
    whole.entry("kind").or_insert_with(|| "call".into());
    if !whole.contains_key("at")
        && let Some(ended) = whole.get("ended_at").cloned()
    {
        whole.insert("at".to_owned(), ended);
    }
}
