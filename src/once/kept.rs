//! How much is kept for keys: as many records and bytes as one node may leave in the store.
//!
//! What a process before this one kept is not counted; the store's own bound holds for all.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::runtime::clock::Timestamp;

/// Records of a day. The store has room for ten times as many of all kinds.
const KEPT_MAX: usize = 10_000;
/// Bytes of their results.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// See the module docs.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Expiry and bytes, oldest first: all are kept equally long.
    records: VecDeque<(Timestamp, usize)>,
    bytes: usize,
}

impl Kept {
    /// Whether one more may be kept.
    pub(super) fn has_room(&self, now: Timestamp) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((expires, bytes)) = state.records.front().copied()
            && expires <= now
        {
            state.records.pop_front();
            state.bytes -= bytes;
        }
        state.records.len() < KEPT_MAX && state.bytes < KEPT_BYTES_MAX
    }

    /// Counts one, until it goes away.
    pub(super) fn add(&self, expires: Timestamp, bytes: usize) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.records.push_back((expires, bytes));
        state.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_again_when_time_is_over() {
        for (count, bytes) in [(KEPT_MAX, 0), (1, KEPT_BYTES_MAX)] {
            let kept = Kept::default();
            for _ in 0..count {
                assert!(kept.has_room(Timestamp(0)));
                kept.add(Timestamp(10), bytes);
            }
            assert!(!kept.has_room(Timestamp(9)));
            assert!(kept.has_room(Timestamp(10)));
        }
    }
}
