//! Which generation each partition was found in: how a store that lost its data is told from one
//! that never had any.
//!
//! A partition's generation is a random value, made by whoever comes first and never changed. If it
//! is missing or another one later, the partition was emptied since.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::keys::{PARTITIONS, Partition};
use crate::runtime::seal;

/// What this process saw first of each partition.
#[derive(Debug)]
pub(super) struct Generations {
    seen: Mutex<Vec<Option<Arc<str>>>>,
    lost: AtomicBool,
}

impl Generations {
    /// Nothing seen yet.
    pub(super) fn new() -> Self {
        Self {
            seen: Mutex::new(vec![None; usize::from(PARTITIONS)]),
            lost: AtomicBool::new(false),
        }
    }

    /// The generation to make if a partition has none.
    pub(super) fn random() -> String {
        format!("{:016x}", u64::from_be_bytes(seal::random()))
    }

    /// The generation a partition should be in, if it was seen.
    pub(super) fn expected(&self, partition: Partition) -> Option<Arc<str>> {
        self.seen()[partition.index()].clone()
    }

    /// Partitions not seen yet.
    pub(super) fn unknown(&self) -> Vec<Partition> {
        let seen = self.seen();
        let unknown = Partition::all().filter(|partition| seen[partition.index()].is_none());
        unknown.collect()
    }

    /// A partition was found in this generation, or in none.
    pub(super) fn found(&self, partition: Partition, generation: Option<&str>) {
        let seen = &mut self.seen()[partition.index()];
        if seen.as_deref().is_some_and(|seen| Some(seen) != generation) {
            self.lost.store(true, Ordering::Release);
        }
        // What was never seen and is not there is not lost.
        *seen = generation.map(Arc::from);
    }

    /// A script found a partition in another generation, and does not say which.
    pub(super) fn changed(&self, partition: Partition, from: &str) {
        // Somebody else may have found out first, and seen the new one.
        if self.expected(partition).as_deref() == Some(from) {
            self.found(partition, None);
        }
    }

    /// Whether data was lost since [`Self::take_lost`] was last asked.
    pub(super) fn has_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Whether data was lost since this was last asked.
    pub(super) fn take_lost(&self) -> bool {
        self.lost.swap(false, Ordering::AcqRel)
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Option<Arc<str>>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_seen_can_be_lost_and_it_is_told_once() {
        let generations = Generations::new();
        let [first, second] = [0, 1].map(|at| Partition::all().nth(at).unwrap());
        generations.found(first, None);
        generations.found(first, Some("a"));
        generations.found(first, Some("a"));
        assert!(!generations.take_lost());
        assert_eq!(generations.unknown().len(), 63);

        generations.found(second, Some("b"));
        generations.found(second, None);
        generations.found(second, Some("c"));
        generations.found(first, Some("d"));
        assert!(generations.take_lost());
        assert!(!generations.take_lost());
        assert_eq!(generations.expected(first).as_deref(), Some("d"));
    }

    #[test]
    fn a_late_word_about_an_earlier_generation_changes_nothing() {
        let generations = Generations::new();
        let partition = Partition::all().next().unwrap();
        generations.found(partition, Some("b"));
        generations.changed(partition, "a");
        assert_eq!(generations.expected(partition).as_deref(), Some("b"));
        generations.changed(partition, "b");
        assert_eq!(generations.expected(partition), None);
        assert!(generations.take_lost());
    }
}
