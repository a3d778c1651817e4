//! All single things of one scope, within the scope's share of bytes.
//!
//! [`Things`] keeps count of what they cost together. When that exceeds the scope's bound, its
//! oldest ended logs go first, then the oldest entries of its biggest log.
//!
//! It does not know other scopes; the node's bound is kept by [`super::scopes`].
//!
//! Invariant: `cost` is the sum of the costs of all things in the list.

use crate::runtime::clock::Timestamp;
use crate::store::memory::event_log::EventLog;
use crate::store::memory::single_thing::SingleThing;
use crate::store::{Bounds, Claimed, Ownership, Thing};

/// The single things of one scope, in the order of their names.
///
/// Most sessions have one, their standing stream, so a list: a tree would take a node of eleven
/// places for it. The scope's bound of bytes also bounds how many there are.
#[derive(Debug, Default)]
pub(super) struct Things {
    list: Vec<(Thing, Box<SingleThing>)>,
    cost: usize,
}

impl Things {
    /// What all of them occupy.
    pub(super) const fn cost(&self) -> usize {
        self.cost
    }

    /// The thing of that name.
    pub(super) fn get(&self, thing: &Thing) -> Option<&SingleThing> {
        let at = self.find(thing).ok()?;
        self.list.get(at).map(|(_, thing)| thing.as_ref())
    }

    /// All of them, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Thing, &SingleThing)> {
        self.list.iter().map(|(name, thing)| (name, thing.as_ref()))
    }

    /// Changes the thing of that name, keeping count.
    pub(super) fn update<T>(
        &mut self,
        thing: &Thing,
        change: impl FnOnce(&mut SingleThing) -> T,
    ) -> Option<T> {
        let at = self.find(thing).ok()?;
        let (_, thing) = self.list.get_mut(at)?;
        let before = thing.cost();
        let result = change(thing);
        self.cost = self.cost - before + thing.cost();
        Some(result)
    }

    /// Hands a thing to its new owner; a thing not known begins here. Answers how it stands.
    pub(super) fn claim(&mut self, thing: &Thing, claimed: Ownership, origin: u64) -> Claimed {
        if let Some(standing) = self.update(thing, |known| {
            let previous = Some(known.ownership.owner);
            known.ownership = claimed.clone();
            Claimed {
                ownership: known.ownership.clone(),
                last_seq: known.log.last(),
                ended: known.log.ended().is_some(),
                previous,
            }
        }) {
            return standing;
        }
        self.put(
            thing.clone(),
            SingleThing::new(claimed.clone(), EventLog::default(), origin),
        );
        Claimed {
            ownership: claimed,
            last_seq: 0,
            ended: false,
            previous: None,
        }
    }

    /// Puts a thing in its place, whatever stood there.
    pub(super) fn put(&mut self, name: Thing, thing: SingleThing) {
        self.cost += thing.cost();
        let thing = Box::new(thing);
        match self.find(&name) {
            Ok(at) => {
                let replaced = std::mem::replace(&mut self.list[at].1, thing);
                self.cost -= replaced.cost();
            }
            Err(at) => {
                if self.list.is_empty() {
                    // Room for one, not for the four a list begins with.
                    self.list.reserve_exact(1);
                }
                self.list.insert(at, (name, thing));
            }
        }
    }

    /// Removes a thing if its log ended at that time, so that a successor of its name is spared.
    pub(super) fn remove_ended(&mut self, thing: &Thing, ended: Timestamp) {
        let matches = |known: &SingleThing| known.log.ended() == Some(ended);
        if self.get(thing).is_some_and(matches)
            && let Ok(at) = self.find(thing)
        {
            let (_, removed) = self.list.remove(at);
            self.cost -= removed.cost();
        }
    }

    /// Where the thing of that name is, or would be.
    fn find(&self, thing: &Thing) -> Result<usize, usize> {
        self.list.binary_search_by(|(name, _)| name.cmp(thing))
    }

    /// Drops until the scope's bound holds or nothing is left to drop.
    pub(super) fn trim(&mut self, bounds: &Bounds) {
        while self.cost > bounds.scope_bytes {
            let oldest_ended = self
                .iter()
                .filter_map(|(name, thing)| Some((thing.log.ended()?, name.clone())))
                .min();
            if let Some((ended, name)) = oldest_ended {
                self.remove_ended(&name, ended);
                continue;
            }
            let biggest = self
                .iter()
                .max_by_key(|(_, thing)| thing.log.cost())
                .map(|(name, _)| name.clone());
            let dropped =
                biggest.and_then(|name| self.update(&name, |thing| thing.log.drop_oldest()));
            if dropped != Some(true) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Epoch, Incarnation, LogEntry, LogPage};
    use bytes::Bytes;

    const KIB: usize = 1024;

    fn thing(name: &str) -> Thing {
        Thing(name.into())
    }

    /// Things named a, b, c… with as many entries of 1 KiB each; some ended.
    fn things(entries: &[(u64, Option<u64>)]) -> Things {
        let mut things = Things::default();
        for (name, &(count, ended)) in ["a", "b", "c"].iter().zip(entries) {
            let claimed = Ownership {
                epoch: Epoch(1),
                owner: Incarnation(1),
                note: Bytes::new(),
            };
            things.claim(&thing(name), claimed, 0);
            let entry = |seq| LogEntry {
                seq,
                payload: vec![0; KIB].into(),
            };
            things.update(&thing(name), |thing| {
                let entries = (1..=count).map(entry).collect();
                thing.append(entries, ended.map(Timestamp), &Bounds::default())
            });
        }
        things
    }

    fn within(scope_bytes: usize) -> Bounds {
        Bounds {
            scope_bytes,
            ..Bounds::default()
        }
    }

    #[test]
    fn the_oldest_ended_logs_go_first() {
        let mut things = things(&[(2, Some(20)), (2, Some(10)), (4, None)]);
        things.trim(&within(8 * KIB));
        assert!(things.get(&thing("b")).is_none());
        assert!(things.get(&thing("a")).is_some());
        things.trim(&within(6 * KIB));
        assert!(things.get(&thing("a")).is_none());
        let sum: usize = things.iter().map(|(_, thing)| thing.cost()).sum();
        assert_eq!(things.cost(), sum);
    }

    #[test]
    fn then_the_biggest_log_loses_its_oldest_entries() {
        let mut things = things(&[(2, None), (6, None)]);
        things.trim(&within(7 * KIB));
        let page = |name| things.get(&thing(name)).unwrap().log.page(0, 9);
        assert_eq!(page("b"), LogPage::Dropped);
        assert!(matches!(page("a"), LogPage::Entries { entries, .. } if entries.len() == 2));
        assert!(things.cost() <= 7 * KIB);
    }

    #[test]
    fn a_bound_too_small_for_anything_ends_the_dropping() {
        let mut things = things(&[(2, None)]);
        things.trim(&within(0));
        assert_eq!(things.get(&thing("a")).unwrap().log.last(), 2);
    }
}
