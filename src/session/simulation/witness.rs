//! What is promised, checked against what happens.

use std::collections::BTreeMap;

use bytes::Bytes;
use bytestring::ByteString;

use super::event::By;
use crate::session::event_log::Append;
use crate::store::{AppendOutcome, Epoch, LogEntry, StoreResult};

/// Keeps the one history that the log may have.
pub(super) struct Witness {
    requests: usize,
    /// How many entries the log keeps.
    kept: usize,
    history: Vec<Bytes>,
    ended: bool,
    taken: bool,
    writers: BTreeMap<u64, By>,
    pub(super) seen: Seen,
}

/// What came up, over many stories: a promise that nothing endangers is not tested.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) takeovers: u64,
    pub(super) overtaken: u64,
    pub(super) resumed: u64,
    pub(super) resumed_elsewhere: u64,
    pub(super) unnumbered: u64,
    pub(super) results: u64,
    pub(super) unknown: u64,
    pub(super) left: u64,
    pub(super) mended: u64,
    pub(super) ended_late: u64,
    pub(super) dropped: u64,
}

impl Witness {
    pub(super) fn new(requests: usize, kept: usize) -> Self {
        Self {
            requests,
            kept,
            history: Vec::new(),
            ended: false,
            taken: false,
            writers: BTreeMap::new(),
            seen: Seen::default(),
        }
    }

    /// The store has answered an append.
    pub(super) fn appended(
        &mut self,
        by: By,
        epoch: Epoch,
        append: &Append,
        outcome: &StoreResult<AppendOutcome>,
    ) {
        if !matches!(outcome, Ok(AppendOutcome::Stored { .. })) {
            return;
        }
        assert!(!self.ended, "something was written after the end");
        let writer = *self.writers.entry(epoch.0).or_insert(by);
        assert_eq!(writer, by, "two write under one epoch");
        let newest = self.writers.keys().next_back();
        assert_eq!(newest, Some(&epoch.0), "an earlier owner wrote");
        for entry in &append.entries {
            self.history.push(entry.payload.clone());
            let number = self.history.len() as u64;
            assert_eq!(entry.seq, number, "the log has a gap");
        }
        if append.ends {
            self.ended = true;
            for request in 0..self.requests {
                let outcomes = self.history.iter().filter(|said| answers(said, request));
                assert_eq!(outcomes.count(), 1, "a request has one outcome");
            }
        }
    }

    /// An event leaves a node.
    pub(super) fn leaves(&mut self, seq: Option<u64>, data: &ByteString) {
        match seq {
            Some(seq) => assert_eq!(
                self.logged(seq),
                Some(data.as_bytes()),
                "event {seq} left that is not in the log"
            ),
            None => self.seen.unnumbered += 1,
        }
    }

    /// What the log has under a number.
    pub(super) fn logged(&self, seq: u64) -> Option<&Bytes> {
        let place = usize::try_from(seq).ok()?.checked_sub(1)?;
        self.history.get(place)
    }

    /// The newest number that the log has dropped; 0 if it has dropped nothing.
    pub(super) fn dropped(&self) -> u64 {
        self.history.len().saturating_sub(self.kept) as u64
    }

    pub(super) const fn taken_over(&mut self) {
        self.taken = true;
    }

    /// The node that runs the call tells its client something.
    pub(super) fn told_by_call(&self, seq: Option<u64>, data: &ByteString) {
        let ends = (0..self.requests).any(|request| answers(data.as_bytes(), request));
        assert!(
            !ends || seq.is_some() || !self.taken,
            "a call that was taken over says how it ended"
        );
    }

    /// The call had every chance to say how it ended.
    pub(super) fn ended_by_its_call(&self) {
        assert!(self.ended, "a call that ended left its log open");
        let unknown = self.history.iter().find(|said| said.starts_with(b"u"));
        assert_eq!(unknown, None, "a call that ended is said to be unknown");
    }

    /// The log in the store is the newest part of the history.
    pub(super) fn compare(&self, entries: Vec<LogEntry>) {
        let stored: Vec<_> = entries.into_iter().map(|entry| entry.payload).collect();
        assert!(self.history.ends_with(&stored), "the log has one history");
        let kept = self.history.len().min(self.kept);
        assert_eq!(stored.len(), kept, "the log keeps its newest entries");
    }
}

/// Whether that is the outcome of a request: its result, or that nobody knows.
pub(super) fn answers(said: &[u8], request: usize) -> bool {
    matches!(said, [b'r' | b'u', number] if usize::from(*number) == usize::from(b'0') + request)
}

impl std::ops::AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.takeovers += other.takeovers;
        self.overtaken += other.overtaken;
        self.resumed += other.resumed;
        self.resumed_elsewhere += other.resumed_elsewhere;
        self.unnumbered += other.unnumbered;
        self.results += other.results;
        self.unknown += other.unknown;
        self.left += other.left;
        self.mended += other.mended;
        self.ended_late += other.ended_late;
        self.dropped += other.dropped;
    }
}
