//! One single thing: its owner, its followers, its event log, and who may write what next.
//!
//! The decision is apart from the deed. [`Head`] is all that decides about a write, small enough to
//! copy: a store that must write elsewhere first judges a row of writes against heads, writes, and
//! then lets [`SingleThing`] follow. The memory store does both under one lock.
//!
//! Invariants: an epoch only grows; a follower is told at most of one append
//! at a time, so it is listed once.

use crate::runtime::clock::Timestamp;
use crate::store::memory::event_log::EventLog;
use crate::store::{Bounds, Epoch, Incarnation, LogEntry, Ownership, StoreError, StoreResult};

/// What a thing costs beside the entries of its log.
const THING_COST: usize = 256;

/// Followers kept per thing. Each run of each node counts as one, so a cluster would have to
/// restart as often within one stream's life; then the longest-serving ones are forgotten.
const FOLLOWERS_MAX: usize = 64;

/// All that decides about the next write to a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Head {
    /// The epoch that stands.
    pub(in crate::store) epoch: Epoch,
    last: u64,
    ended: bool,
    damaged: bool,
}

impl Head {
    /// The head after a claim; `None` if the claimer has lost.
    pub(in crate::store) fn claim(current: Option<Self>, ending: Option<Epoch>) -> Option<Self> {
        match (current, ending) {
            (None, None | Some(Epoch::UNCLAIMED)) => Some(Self {
                epoch: Epoch(1),
                last: 0,
                ended: false,
                damaged: false,
            }),
            (Some(head), ending) if ending.is_none_or(|epoch| epoch == head.epoch) => Some(Self {
                epoch: Epoch(head.epoch.0 + 1),
                ..head
            }),
            (None | Some(_), _) => None,
        }
    }

    /// The head after an append; `None` if the writer's epoch is stale or the log has ended.
    ///
    /// # Errors
    /// `Damaged` if the numbers do not follow: the caller lost count, and storing them would make
    /// a gap that no reader could see.
    pub(in crate::store) fn append(
        self,
        epoch: Epoch,
        entries: &[LogEntry],
        ends: bool,
    ) -> StoreResult<Option<Self>> {
        if epoch != self.epoch || self.ended {
            return Ok(None);
        }
        if self.damaged && !entries.is_empty() {
            return Err(StoreError::Damaged("the log lost entries".into()));
        }
        let mut last = self.last;
        for entry in entries {
            if entry.seq != last + 1 {
                return Err(StoreError::Damaged(format!(
                    "entry {} cannot follow entry {last}",
                    entry.seq
                )));
            }
            last = entry.seq;
        }
        Ok(Some(Self {
            last,
            ended: ends,
            ..self
        }))
    }
}

/// A single thing as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct SingleThing {
    /// Who owns it.
    pub(in crate::store) ownership: Ownership,
    /// What happened to it.
    pub(in crate::store) log: EventLog,
    /// A store that writes elsewhere notes here where the oldest of it lies.
    pub(in crate::store) origin: u64,
    followers: Vec<Incarnation>,
}

impl SingleThing {
    /// A thing with a history.
    pub(in crate::store) const fn new(ownership: Ownership, log: EventLog, origin: u64) -> Self {
        Self {
            ownership,
            log,
            origin,
            followers: Vec::new(),
        }
    }

    /// What decides about the next write.
    pub(in crate::store) fn head(&self) -> Head {
        Head {
            epoch: self.ownership.epoch,
            last: self.log.last(),
            ended: self.log.ended().is_some(),
            damaged: self.log.is_damaged(),
        }
    }

    /// What it occupies.
    pub(super) fn cost(&self) -> usize {
        THING_COST + self.ownership.note.len() + self.log.cost()
    }

    /// Appends what was judged right, and names those who want to be told.
    pub(super) fn append(
        &mut self,
        entries: Vec<LogEntry>,
        ended: Option<Timestamp>,
        bounds: &Bounds,
    ) -> Vec<Incarnation> {
        self.log.push(entries);
        self.log.trim(bounds);
        if let Some(now) = ended {
            self.log.end(now);
        }
        let owner = self.ownership.owner;
        self.followers
            .iter()
            .copied()
            .filter(|&follower| follower != owner)
            .collect()
    }

    /// Tells `follower` of appends from now on.
    pub(super) fn follow(&mut self, follower: Incarnation) {
        if self.followers.contains(&follower) {
            return;
        }
        if self.followers.len() == FOLLOWERS_MAX {
            self.followers.remove(0);
        }
        self.followers.push(follower);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn entries(seqs: &[u64]) -> Vec<LogEntry> {
        let entry = |&seq| LogEntry {
            seq,
            payload: Bytes::new(),
        };
        seqs.iter().map(entry).collect()
    }

    #[test]
    fn claims_raise_the_epoch_unless_the_one_to_end_no_longer_stands() {
        let first = Head::claim(None, None).unwrap();
        assert_eq!(first.epoch, Epoch(1));
        let second = Head::claim(Some(first), Some(Epoch(1))).unwrap();
        assert_eq!(second.epoch, Epoch(2));
        assert_eq!(Head::claim(Some(second), Some(Epoch(1))), None);
        assert_eq!(Head::claim(None, Some(Epoch(1))), None);
        assert_eq!(Head::claim(Some(second), None).unwrap().epoch, Epoch(3));
    }

    #[test]
    fn appends_need_the_epoch_the_next_number_and_an_open_log() {
        let head = Head::claim(None, None).unwrap();
        assert_eq!(head.append(Epoch(2), &entries(&[1]), false), Ok(None));
        for gap in [&[0][..], &[2], &[1, 3], &[1, 1]] {
            assert!(head.append(Epoch(1), &entries(gap), false).is_err());
        }
        let ended = head.append(Epoch(1), &entries(&[1, 2]), true).unwrap();
        let ended = ended.unwrap();
        assert_eq!(ended.append(Epoch(1), &entries(&[3]), false), Ok(None));
        let claimed = Head::claim(Some(ended), None).unwrap();
        assert_eq!(claimed.append(Epoch(2), &[], false), Ok(None));
    }

    #[test]
    fn followers_are_listed_once_and_bounded() {
        let ownership = Ownership {
            epoch: Epoch(1),
            owner: Incarnation(0),
            note: Bytes::new(),
        };
        let mut thing = SingleThing::new(ownership, EventLog::default(), 0);
        for run in (0..=FOLLOWERS_MAX as u64).chain([5, 6]) {
            thing.follow(Incarnation(run));
        }
        let told = thing.append(Vec::new(), None, &Bounds::default());
        assert_eq!(told.len(), FOLLOWERS_MAX);
        assert!(!told.contains(&Incarnation(0)), "the oldest was forgotten");
    }
}
