//! One event log: numbered payloads of which the oldest go first.
//!
//! [`EventLog`] is a plain value without clock, lock or I/O. Numbers have no gaps, so only the
//! first kept number is stored beside the payloads.
//!
//! It does not decide who may append; [`super::single_thing`] does. It does not know the bounds of
//! scope and node; [`super::things`] and [`super::scopes`] do.
//!
//! Invariants: `first - 1 + kept` is the last number ever given, also when nothing is kept; an
//! ended log never grows again.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::runtime::clock::Timestamp;
use crate::store::{Bounds, LogEntry, LogPage};

/// What keeping one entry costs beside its payload: the handle on it and the allocator's share.
const ENTRY_COST: usize = 64;

/// Numbered payloads, bounded, that may come to an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct EventLog {
    payloads: VecDeque<Bytes>,
    /// The number of the first payload kept, or of the next one to come.
    first: u64,
    payload_bytes: usize,
    ended: Option<Timestamp>,
    /// Entries of unknown number were lost, so no reader can be served without a gap.
    damaged: bool,
}

impl Default for EventLog {
    fn default() -> Self {
        Self {
            payloads: VecDeque::new(),
            first: 1,
            payload_bytes: 0,
            ended: None,
            damaged: false,
        }
    }
}

impl EventLog {
    /// The number of the newest entry ever appended; 0 before the first.
    pub(in crate::store) fn last(&self) -> u64 {
        self.first - 1 + self.payloads.len() as u64
    }

    /// When it ended, if it did.
    pub(in crate::store) const fn ended(&self) -> Option<Timestamp> {
        self.ended
    }

    /// Whether entries of unknown number were lost.
    pub(in crate::store) const fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// What it occupies: payloads and the cost of keeping them.
    pub(super) fn cost(&self) -> usize {
        self.payload_bytes + self.payloads.len() * ENTRY_COST
    }

    /// Appends entries whose numbers were found to follow.
    pub(super) fn push(&mut self, entries: impl IntoIterator<Item = LogEntry>) {
        for LogEntry { seq, payload } in entries {
            debug_assert_eq!(seq, self.last() + 1, "numbers were checked before");
            self.payload_bytes += payload.len();
            self.payloads.push_back(payload);
        }
    }

    /// Closes it for good.
    pub(super) fn end(&mut self, now: Timestamp) {
        self.ended.get_or_insert(now);
    }

    /// Forgets what it held and begins again before number `first`; what came earlier is dropped.
    pub(in crate::store) fn skip_to(&mut self, first: u64) {
        self.payloads.clear();
        self.payload_bytes = 0;
        self.first = first.max(1);
    }

    /// Forgets everything for want of certainty: from now on every reader hears `Dropped`.
    pub(in crate::store) fn mark_damaged(&mut self) {
        self.skip_to(self.last() + 1);
        self.damaged = true;
    }

    /// Drops the oldest entry. `false`: there was none.
    pub(super) fn drop_oldest(&mut self) -> bool {
        let Some(payload) = self.payloads.pop_front() else {
            return false;
        };
        self.payload_bytes -= payload.len();
        self.first += 1;
        true
    }

    /// Drops oldest entries until the log's own bounds hold. The newest stays even if it alone is
    /// larger than `log_bytes`, because a single large result must still be resumable; the bounds
    /// of scope and node know no such mercy.
    pub(super) fn trim(&mut self, bounds: &Bounds) {
        while self.payloads.len() > bounds.log_entries
            || (self.payload_bytes > bounds.log_bytes && self.payloads.len() > 1)
        {
            self.drop_oldest();
        }
    }

    /// At most `limit` entries after number `after`.
    ///
    /// A number that was never given is answered like one that was dropped: its reader saw events
    /// this log knows nothing of (a power cut), and what follows here does not follow there.
    pub(super) fn page(&self, after: u64, limit: usize) -> LogPage {
        if self.damaged || after.saturating_add(1) < self.first || after > self.last() {
            return LogPage::Dropped;
        }
        let entries: Vec<_> = (after + 1..=self.last())
            .zip(self.payloads.iter().skip(index(after + 1 - self.first)))
            .take(limit)
            .map(|(seq, payload)| LogEntry {
                seq,
                payload: payload.clone(),
            })
            .collect();
        let reached = after + entries.len() as u64;
        LogPage::Entries {
            entries,
            ended: self.ended.is_some() && reached == self.last(),
        }
    }

    /// The number of the first entry kept, and all entries kept.
    pub(in crate::store) fn kept(&self) -> (u64, impl ExactSizeIterator<Item = &Bytes>) {
        (self.first, self.payloads.iter())
    }

    /// Puts together a log that was kept elsewhere.
    pub(in crate::store) fn restore(
        first: u64,
        payloads: Vec<Bytes>,
        ended: Option<Timestamp>,
        damaged: bool,
    ) -> Self {
        Self {
            first: first.max(1),
            payload_bytes: payloads.iter().map(Bytes::len).sum(),
            payloads: payloads.into(),
            ended,
            damaged,
        }
    }
}

fn index(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(payloads: &[&'static str]) -> EventLog {
        let mut log = EventLog::default();
        log.push((1..).zip(payloads).map(|(seq, text)| LogEntry {
            seq,
            payload: Bytes::from_static(text.as_bytes()),
        }));
        log
    }

    fn bounds(log_entries: usize, log_bytes: usize) -> Bounds {
        Bounds {
            log_entries,
            log_bytes,
            ..Bounds::default()
        }
    }

    fn seqs(page: LogPage) -> Option<(Vec<u64>, bool)> {
        match page {
            LogPage::Entries { entries, ended } => {
                Some((entries.into_iter().map(|entry| entry.seq).collect(), ended))
            }
            LogPage::Dropped | LogPage::Missing => None,
        }
    }

    #[test]
    fn pages_follow_each_other_and_only_the_last_says_ended() {
        let mut log = log(&["a", "b", "c"]);
        log.end(Timestamp(1));
        assert_eq!(seqs(log.page(0, 2)), Some((vec![1, 2], false)));
        assert_eq!(seqs(log.page(2, 2)), Some((vec![3], true)));
        assert_eq!(seqs(log.page(3, 2)), Some((vec![], true)));
        assert_eq!(seqs(log.page(1, 0)), Some((vec![], false)));
    }

    #[test]
    fn what_was_dropped_or_never_given_is_dropped_never_skipped() {
        let mut log = log(&["a", "b", "c"]);
        log.trim(&bounds(2, 100));
        assert_eq!(seqs(log.page(0, 9)), None);
        assert_eq!(seqs(log.page(1, 9)), Some((vec![2, 3], false)));
        assert_eq!(seqs(log.page(4, 9)), None);
        assert_eq!(seqs(log.page(u64::MAX, 9)), None);
    }

    #[test]
    fn bytes_bound_a_log_but_spare_its_newest_entry() {
        let mut log = log(&["a", "bb", "cccc"]);
        log.trim(&bounds(9, 6));
        assert_eq!(seqs(log.page(1, 9)), Some((vec![2, 3], false)));
        log.trim(&bounds(9, 3));
        assert_eq!(seqs(log.page(2, 9)), Some((vec![3], false)));
        assert_eq!(log.cost(), 4 + ENTRY_COST);
    }

    #[test]
    fn a_damaged_log_serves_nobody() {
        let mut log = log(&["a", "b"]);
        log.mark_damaged();
        for after in 0..4 {
            assert_eq!(log.page(after, 9), LogPage::Dropped);
        }
        assert_eq!(log.last(), 2);
    }
}
