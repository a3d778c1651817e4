//! What is kept of a task: a pure state machine, and its bytes for the store.
//!
//! ```text
//!            ask                 finish, cancel
//! working ◀───────▶ input_required ───────────▶ ended (for good)
//!            answer
//! ```
//!
//! Whether an ended task is called completed or failed depends on the generation that asks
//! ([`super::wire`]), so only the outcome is kept.
//!
//! Stored as one byte of format version, then JSON. A version we do not know is refused, not
//! guessed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::protocol::jsonrpc::ResponseError;
use crate::protocol::raw::RawJson;
use crate::runtime::clock::Timestamp;
use crate::service::Reply;

const FORMAT: u8 = 1;
/// Longest status message kept; it is for people to read at a glance.
const MESSAGE_CHARS_MAX: usize = 500;

/// Most questions of one task over its life: all their keys are kept.
const QUESTIONS_MAX: usize = 1_000;

/// A task as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// Which run of which node works on it.
    pub(super) runner: u64,
    created_ms: u64,
    updated_ms: u64,
    pub(super) ttl_ms: u64,
    message: Option<String>,
    /// Questions without an answer yet, by key.
    questions: BTreeMap<String, RawJson>,
    /// Every key ever used: none is used again.
    keys: BTreeSet<String>,
    end: Option<End>,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    /// The tool gave a result, be it one that says it failed.
    Result(Finished),
    /// The call has no result.
    Error(ResponseError),
    /// Its client cancelled it.
    Cancelled,
}

/// A tool's result, in the form of the revision that asked for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Finished {
    pub(super) members: RawJson,
    pub(super) meta: Option<RawJson>,
    pub(super) is_tool_error: bool,
}

impl From<Reply> for Finished {
    fn from(reply: Reply) -> Self {
        Self {
            members: reply.members,
            meta: reply.meta,
            is_tool_error: reply.is_tool_error,
        }
    }
}

/// Why stored bytes are not a task.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    /// Written by another release.
    #[error("task record has format {0}, this release reads 1")]
    UnknownFormat(u8),
    /// Cut short or altered.
    #[error("task record is damaged: {0}")]
    Damaged(String),
}

impl Record {
    pub(super) const fn begin(runner: u64, now: Timestamp, ttl_ms: u64) -> Self {
        Self {
            runner,
            created_ms: now.0,
            updated_ms: now.0,
            ttl_ms,
            message: None,
            questions: BTreeMap::new(),
            keys: BTreeSet::new(),
            end: None,
        }
    }

    pub(super) const fn created(&self) -> Timestamp {
        Timestamp(self.created_ms)
    }

    pub(super) const fn updated(&self) -> Timestamp {
        Timestamp(self.updated_ms)
    }

    /// When it goes away by itself, in whatever state it is.
    pub(super) const fn expires(&self) -> Timestamp {
        Timestamp(self.created_ms.saturating_add(self.ttl_ms))
    }

    pub(super) fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    pub(super) const fn questions(&self) -> &BTreeMap<String, RawJson> {
        &self.questions
    }

    pub(super) const fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Bytes of its result.
    pub(super) fn result_bytes(&self) -> usize {
        match &self.end {
            Some(End::Result(result)) => result.members.as_str().len(),
            Some(End::Error(_) | End::Cancelled) | None => 0,
        }
    }

    /// Notes how far the work is. Not a change of status, so not a new time either.
    pub(super) fn note(&mut self, message: &str) {
        if self.end.is_none() {
            self.message = Some(message.chars().take(MESSAGE_CHARS_MAX).collect());
        }
    }

    /// Puts a question; the key it got, or `None` when the task has ended or asked too often.
    pub(super) fn ask(&mut self, now: Timestamp, key: &str, question: RawJson) -> Option<String> {
        if self.end.is_some() || self.keys.len() >= QUESTIONS_MAX {
            return None;
        }
        let key = (1..=QUESTIONS_MAX)
            .map(|time| match time {
                1 => key.to_owned(),
                again => format!("{key}-{again}"),
            })
            .find(|key| !self.keys.contains(key))?;
        self.keys.insert(key.clone());
        self.questions.insert(key.clone(), question);
        self.updated_ms = now.0;
        Some(key)
    }

    /// Takes a question away: it was answered, or nobody waits for its answer any more. `false`
    /// when it was not open.
    pub(super) fn settle(&mut self, now: Timestamp, key: &str) -> bool {
        let was_open = self.end.is_none() && self.questions.remove(key).is_some();
        if was_open {
            self.updated_ms = now.0;
        }
        was_open
    }

    /// Ends it. `false` when it has ended before: the first end is the end.
    pub(super) fn finish(&mut self, now: Timestamp, end: End) -> bool {
        if self.end.is_some() {
            return false;
        }
        self.questions.clear();
        self.message = None;
        self.end = Some(end);
        self.updated_ms = now.0;
        true
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = vec![FORMAT];
        serde_json::to_writer(&mut bytes, self).expect("invariant: our values serialize");
        bytes.into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        match bytes.split_first() {
            Some((&FORMAT, json)) => serde_json::from_slice(json)
                .map_err(|error| RecordError::Damaged(error.to_string())),
            Some((&format, _)) => Err(RecordError::UnknownFormat(format)),
            None => Err(RecordError::Damaged("it is empty".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000);
    const LATER: Timestamp = Timestamp(2_000);

    fn question() -> RawJson {
        RawJson::from_valid(r#"{"method":"elicitation/create","params":{}}"#)
    }

    fn end() -> End {
        End::Result(Finished {
            members: RawJson::from_valid(r#"{"content":[]}"#),
            meta: None,
            is_tool_error: false,
        })
    }

    #[test]
    fn the_first_end_is_the_end() {
        let mut task = Record::begin(1, NOW, 60_000);
        assert!(task.finish(LATER, End::Cancelled));
        assert!(!task.finish(Timestamp(3_000), end()));
        assert_eq!(task.end(), Some(&End::Cancelled));
        assert_eq!(task.updated(), LATER);
        task.note("more work");
        assert_eq!(task.message(), None);
        assert_eq!(task.ask(LATER, "name", question()), None);
    }

    #[test]
    fn no_key_is_used_twice() {
        let mut task = Record::begin(1, NOW, 60_000);
        let first = task.ask(NOW, "name", question()).unwrap();
        assert!(task.settle(NOW, &first));
        assert!(!task.settle(NOW, &first), "answered once");
        let second = task.ask(NOW, "name", question()).unwrap();
        assert_eq!((&*first, &*second), ("name", "name-2"));
        assert_eq!(task.questions().len(), 1);
    }

    #[test]
    fn what_is_open_at_the_end_is_open_no_more() {
        let mut task = Record::begin(1, NOW, 60_000);
        let key = task.ask(NOW, "name", question()).unwrap();
        task.finish(LATER, end());
        assert!(task.questions().is_empty());
        assert!(!task.settle(LATER, &key));
    }

    #[test]
    fn a_task_comes_back_from_its_bytes_or_not_at_all() {
        let mut task = Record::begin(7, NOW, 60_000);
        task.note("halfway");
        task.ask(LATER, "name", question());
        for ended in [None, Some(end()), Some(End::Cancelled)] {
            let mut task = task.clone();
            if let Some(end) = ended {
                task.finish(LATER, end);
            }
            let bytes = task.encode();
            assert_eq!(Record::decode(&bytes).unwrap(), task);
            for cut in 0..bytes.len() {
                assert!(Record::decode(&bytes[..cut]).is_err(), "cut at {cut}");
            }
            let mut future = bytes.to_vec();
            future[0] = 2;
            let error = Record::decode(&future).unwrap_err();
            assert!(matches!(error, RecordError::UnknownFormat(2)));
        }
    }
}
