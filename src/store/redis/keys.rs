//! The names of everything in Redis.
//!
//! ```text
//! sb:1:{p17}:g                      the partition's generation
//! sb:1:{p17}:s:SCOPE                a scope: its record, and a field for each single thing
//! sb:1:{p17}:e:SCOPE                its things that ended, by when
//! sb:1:{p17}:l:LENGTH:SCOPE:THING   a thing's log; the scripts spell this one and the one above
//! sb:1:{nodes}:leases               the living, by when their leases lapse
//! sb:1:{nodes}:probe                what is written to see whether it can be, for a second
//! sb:1:{n42}:i                      the inbox of a run of a node
//! sb:1:{b07}:KEY                    a bucket of tokens: when it is full, in microseconds
//! ```
//!
//! What is between braces decides about the cluster's slot: everything of a scope shares one, and
//! there are few enough partitions that batches stay large.

use crate::store::{Incarnation, Scope};

/// What every key begins with; the number is that of this layout.
const PREFIX: &str = "sb:1:";

/// Into how many parts scopes are divided. Never changed within a layout.
pub(super) const PARTITIONS: u8 = 64;

/// The leases of all nodes.
pub(super) const LEASES: &str = "sb:1:{nodes}:leases";

/// What is written to see whether it can be, and for how long.
pub(super) const PROBE: &str = "sb:1:{nodes}:probe";
pub(super) const PROBE_LIFE_MS: u64 = 1_000;

/// A part of all scopes: what shares a slot, a lane and a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Partition(u8);

impl Partition {
    /// Where a scope belongs, the same on every node.
    pub(super) fn of(scope: &Scope) -> Self {
        let hash = crc32fast::hash(scope.0.as_bytes());
        Self(u8::try_from(hash % u32::from(PARTITIONS)).unwrap_or_default())
    }

    /// All of them.
    pub(super) fn all() -> impl Iterator<Item = Self> + Clone {
        (0..PARTITIONS).map(Self)
    }

    /// Its place among all.
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The key of its generation.
    pub(super) fn generation(self) -> String {
        format!("{PREFIX}{{p{:02}}}:g", self.0)
    }

    /// The key of a scope that belongs here.
    pub(super) fn scope(self, scope: &Scope) -> String {
        format!("{PREFIX}{{p{:02}}}:s:{}", self.0, scope.0)
    }
}

/// Into how many parts buckets are divided: those of one call are asked for in few commands.
pub(super) const SHELVES: u8 = 16;

/// A part of all buckets: what shares a slot and a lane. Buckets have no generation: one that was
/// lost is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Shelf(u8);

impl Shelf {
    /// Where a bucket belongs, the same on every node.
    pub(super) fn of(bucket: &str) -> Self {
        let hash = crc32fast::hash(bucket.as_bytes());
        Self(u8::try_from(hash % u32::from(SHELVES)).unwrap_or_default())
    }

    /// Its place among all.
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The key of a bucket that belongs here.
    pub(super) fn bucket(self, bucket: &str) -> String {
        format!("{PREFIX}{{b{:02}}}:{bucket}", self.0)
    }
}

/// The key of a node's inbox.
pub(super) fn inbox(of: Incarnation) -> String {
    format!("{PREFIX}{{n{}}}:i", of.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_has_one_partition_and_scopes_spread_over_all() {
        let scopes = (0..2_000).map(|number| Scope(number.to_string().into()));
        let mut seen = [0; PARTITIONS as usize];
        for scope in scopes {
            seen[Partition::of(&scope).index()] += 1;
        }
        assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    }

    #[test]
    fn the_layout_does_not_move() {
        let scope = Scope("abc".into());
        let partition = Partition::of(&scope);
        assert_eq!(partition.scope(&scope), "sb:1:{p02}:s:abc");
        assert_eq!(partition.generation(), "sb:1:{p02}:g");
        assert_eq!(inbox(Incarnation(42)), "sb:1:{n42}:i");
        assert_eq!(Shelf::of("abc").bucket("abc"), "sb:1:{b02}:abc");
    }
}
