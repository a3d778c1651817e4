//! Calls that run at a time, on this node.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::key::Key;
use super::{Because, Refused, RunningDemand};

/// Counts calls that run. There are as many keys as running calls fall under limits, and those are
/// bounded where they run. Cloning shares the count.
#[derive(Clone, Debug, Default)]
pub struct Permits(Arc<DashMap<Key, u32>>);

/// How entering ended.
#[derive(Debug)]
pub enum Entered {
    /// The call may run for as long as it holds this.
    Permit(Permit),
    /// As many run as may.
    Refused(Refused),
}

/// The places of one running call. Dropped, they are free.
#[derive(Debug)]
#[must_use = "a call runs for as long as it holds its permit"]
pub struct Permit {
    permits: Permits,
    keys: Vec<Key>,
}

impl Permits {
    /// How many calls run that are counted there.
    #[must_use]
    pub fn running(&self, key: &Key) -> u32 {
        self.0.get(key).map_or(0, |running| *running)
    }

    /// Takes a place in each, or in none of them.
    #[must_use]
    pub fn enter(&self, demands: &[RunningDemand]) -> Entered {
        let mut permit = Permit {
            permits: self.clone(),
            keys: Vec::with_capacity(demands.len()),
        };
        for demand in demands {
            let mut running = self.0.entry(demand.key.clone()).or_insert(0);
            if *running >= demand.most.get() {
                drop(running);
                // What was taken so far goes with the permit.
                return Entered::Refused(Refused {
                    rule: demand.rule.clone(),
                    because: Because::Running { most: demand.most },
                });
            }
            *running += 1;
            drop(running);
            permit.keys.push(demand.key.clone());
        }
        Entered::Permit(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        for key in self.keys.drain(..) {
            if let Entry::Occupied(mut running) = self.permits.0.entry(key) {
                *running.get_mut() -= 1;
                if *running.get() == 0 {
                    running.remove();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn demand(name: &str, most: u32) -> RunningDemand {
        RunningDemand {
            key: Key::of(&[name]),
            most: NonZeroU32::new(most).unwrap(),
            rule: name.into(),
        }
    }

    #[track_caller]
    fn entered(permits: &Permits, demands: &[RunningDemand]) -> Permit {
        match permits.enter(demands) {
            Entered::Permit(permit) => permit,
            Entered::Refused(refused) => panic!("{refused}"),
        }
    }

    fn refused(permits: &Permits, demands: &[RunningDemand]) -> String {
        match permits.enter(demands) {
            Entered::Permit(_) => String::new(),
            Entered::Refused(refused) => refused.to_string(),
        }
    }

    #[test]
    fn a_place_is_free_again_when_its_call_has_ended() {
        let permits = Permits::default();
        let two = [demand("two", 2)];
        let first = entered(&permits, &two);
        let second = entered(&permits, &two);
        let said = "over the limit `two`: 2 calls are running";
        assert_eq!(refused(&permits, &two), said);
        drop(first);
        let third = entered(&permits, &two);
        drop((second, third));
        assert!(permits.0.is_empty(), "nothing runs, nothing is kept");
    }

    #[test]
    fn a_call_that_one_limit_refuses_takes_no_place_in_the_others() {
        let permits = Permits::default();
        let (wide, narrow) = (demand("wide", 2), demand("narrow", 1));
        let running = entered(&permits, std::slice::from_ref(&narrow));
        let both = [wide.clone(), narrow];
        for _ in 0..5 {
            assert!(refused(&permits, &both).contains("`narrow`"));
        }
        let wide = [wide];
        let _two = [entered(&permits, &wide), entered(&permits, &wide)];
        drop(running);
        assert!(refused(&permits, &both).contains("`wide`"));
    }
}
