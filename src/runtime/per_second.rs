//! So many in a second: what is kept of what others can cause at any rate.

use std::sync::atomic::{AtomicU64, Ordering};

use super::clock::Timestamp;

/// See the module docs.
#[derive(Debug)]
pub struct PerSecond {
    max: u64,
    second: AtomicU64,
    spent: AtomicU64,
}

impl PerSecond {
    /// At most `max` in a second.
    #[must_use]
    pub const fn new(max: u64) -> Self {
        Self {
            max,
            second: AtomicU64::new(0),
            spent: AtomicU64::new(0),
        }
    }

    /// Whether there is room for one more now, which is then taken.
    pub fn has_one(&self, now: Timestamp) -> bool {
        let second = now.0 / 1_000;
        // Two at once may both begin a second: then a few more pass.
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.spent.store(0, Ordering::Relaxed);
        }
        self.spent.fetch_add(1, Ordering::Relaxed) < self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_room_for_so_many_and_the_next_for_as_many_again() {
        let strangers = PerSecond::new(3);
        for second in [7_000, 7_999, 8_000] {
            let admitted = (0..5).filter(|_| strangers.has_one(Timestamp(second)));
            assert_eq!(admitted.count(), if second == 7_999 { 0 } else { 3 });
        }
    }
}
