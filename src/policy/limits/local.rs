//! Buckets of this node alone.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};

use super::gcra::{FullAt, Taken};
use super::key::Key;
use super::rate::Share;
use super::{Because, Demand, Refused, Take, Tokens, usage};

/// Buckets that are counted at a time: about 200 bytes each, so 20 MB. Those at rest are not kept, so
/// it takes as many users within the time that a bucket needs to fill.
pub const KEYS_MAX: usize = 100_000;
/// Between two looks for buckets at rest when there is no room: a look costs milliseconds.
const SWEEP_INTERVAL_US: u64 = 1_000_000;

/// Buckets of this node, each under its key.
#[derive(Debug)]
pub struct LocalTokens {
    buckets: DashMap<Key, Bucket>,
    /// How many there are; asking the map would lock all of it.
    count: AtomicUsize,
    keys_max: usize,
    /// What part of each rate is this node's, as one of so many.
    nodes: u32,
    swept: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    full_at: FullAt,
}

/// How taking one token ended.
enum One {
    Taken,
    Empty { retry_after: u64 },
    NoRoom,
}

impl LocalTokens {
    /// Counts for one node alone.
    #[must_use]
    pub fn new() -> Self {
        Self::of_share(1)
    }

    /// Counts for one of so many nodes: each lets its share of every rate pass.
    #[must_use]
    pub fn of_share(nodes: u32) -> Self {
        Self::bounded(nodes, KEYS_MAX)
    }

    fn bounded(nodes: u32, keys_max: usize) -> Self {
        Self {
            buckets: DashMap::new(),
            count: AtomicUsize::new(0),
            keys_max,
            nodes,
            swept: AtomicU64::new(0),
        }
    }

    /// Takes a token for each, or for none of them.
    pub fn take_now<'a>(
        &self,
        demands: impl IntoIterator<Item = &'a Demand, IntoIter: Clone>,
        now: u64,
    ) -> Take {
        let demands = demands.into_iter();
        for (at, demand) in demands.clone().enumerate() {
            let because = match self.take_one(demand, now) {
                One::Taken => continue,
                One::Empty { retry_after } => Because::Spent {
                    rate: demand.rate,
                    retry_after,
                },
                One::NoRoom => Because::Full,
            };
            demands.take(at).for_each(|taken| self.give_back(taken));
            return Take::Refused(Refused {
                rule: demand.rule.clone(),
                because,
            });
        }
        Take::Taken
    }

    fn share(&self, demand: &Demand) -> Share {
        demand.rate.share(self.nodes)
    }

    fn take_one(&self, demand: &Demand, now: u64) -> One {
        if let Some(mut bucket) = self.buckets.get_mut(&demand.key) {
            return self.take_from(&mut bucket, demand, now);
        }
        if !self.has_room(now) {
            return One::NoRoom;
        }
        let mut bucket = match self.buckets.entry(demand.key.clone()) {
            Entry::Occupied(entry) => entry.into_ref(),
            Entry::Vacant(entry) => {
                self.count.fetch_add(1, Ordering::AcqRel);
                let full_at = FullAt::default();
                entry.insert(Bucket { full_at })
            }
        };
        self.take_from(&mut bucket, demand, now)
    }

    fn take_from(&self, bucket: &mut Bucket, demand: &Demand, now: u64) -> One {
        match bucket.full_at.take(self.share(demand), 1, now) {
            Taken::Tokens(_) => One::Taken,
            Taken::Empty { retry_after } => One::Empty { retry_after },
        }
    }

    fn give_back(&self, demand: &Demand) {
        if let Some(mut bucket) = self.buckets.get_mut(&demand.key) {
            bucket.full_at.give_back(self.share(demand), 1);
        }
    }

    /// Whether one more can be counted. Some that come at the same time may all get in.
    fn has_room(&self, now: u64) -> bool {
        let has_room = || self.count.load(Ordering::Acquire) < self.keys_max;
        if has_room() {
            return true;
        }
        let swept = self.swept.load(Ordering::Acquire);
        let due = now >= swept.saturating_add(SWEEP_INTERVAL_US);
        let order = Ordering::AcqRel;
        if due
            && self
                .swept
                .compare_exchange(swept, now, order, Ordering::Acquire)
                .is_ok()
        {
            self.forget_rested(now);
        }
        has_room()
    }

    fn forget_rested(&self, now: u64) {
        self.buckets.retain(|_, bucket| {
            let rests = bucket.full_at.is_at_rest(now);
            if rests {
                self.count.fetch_sub(1, Ordering::AcqRel);
            }
            !rests
        });
    }
}

impl Default for LocalTokens {
    fn default() -> Self {
        Self::new()
    }
}

impl Tokens for LocalTokens {
    fn take<'a>(&'a self, demands: &'a [Demand], now: u64) -> BoxFuture<'a, Take> {
        ready(self.take_now(demands, now)).boxed()
    }

    fn left<'a>(
        &'a self,
        buckets: &'a [usage::Bucket],
        now: u64,
    ) -> BoxFuture<'a, Option<Vec<u32>>> {
        let left = buckets.iter().map(|asked| {
            let bucket = self.buckets.get(&asked.key);
            let full_at = bucket.map(|bucket| bucket.full_at).unwrap_or_default();
            full_at.left(asked.rate, now)
        });
        ready(Some(left.collect())).boxed()
    }

    fn sweep(&self, now: u64) {
        self.forget_rested(now);
    }

    fn keys(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::OnFailure;
    use super::*;

    const SECOND: u64 = 1_000_000;
    const NOW: u64 = 1_000 * SECOND;

    fn demand(name: &str, rate: &str) -> Demand {
        Demand {
            key: Key::of(&[name]),
            rate: rate.parse().unwrap(),
            on_failure: OnFailure::Local,
            rule: name.into(),
        }
    }

    fn refused_by(take: Take) -> Option<(String, Because)> {
        match take {
            Take::Taken => None,
            Take::Refused(Refused { rule, because }) => Some((rule.to_string(), because)),
        }
    }

    #[test]
    fn a_call_that_one_limit_refuses_costs_nothing_under_the_others() {
        let tokens = LocalTokens::new();
        let (wide, narrow) = (demand("wide", "3/s"), demand("narrow", "1/s"));
        let both = [wide.clone(), narrow.clone()];
        assert_eq!(tokens.take_now(&both, NOW), Take::Taken);
        for _ in 0..10 {
            let refused = refused_by(tokens.take_now(&both, NOW)).unwrap();
            let because = Because::Spent {
                rate: narrow.rate,
                retry_after: SECOND,
            };
            assert_eq!(refused, ("narrow".into(), because));
        }
        for _ in 0..2 {
            assert_eq!(tokens.take_now([&wide], NOW), Take::Taken);
        }
        let (rule, _) = refused_by(tokens.take_now(&both, NOW)).unwrap();
        assert_eq!(rule, "wide");
    }

    #[test]
    fn when_there_is_no_room_those_at_rest_go_first_and_then_nobody_new_comes() {
        let tokens = LocalTokens::bounded(1, 2);
        let of = |name: &str| [demand(name, "10/s")];
        assert_eq!(tokens.take_now(&of("a"), NOW), Take::Taken);
        assert_eq!(tokens.take_now(&of("b"), NOW), Take::Taken);
        let (rule, because) = refused_by(tokens.take_now(&of("c"), NOW)).unwrap();
        assert_eq!((rule.as_str(), because), ("c", Because::Full));
        // Who is counted already goes on.
        assert_eq!(tokens.take_now(&of("a"), NOW), Take::Taken);
        // The others rest after a tenth of a second for each token.
        assert_eq!(tokens.take_now(&of("c"), NOW + SECOND), Take::Taken);
        assert_eq!(tokens.buckets.len(), 1);
        assert_eq!(tokens.count.load(Ordering::Acquire), 1);
        tokens.sweep(NOW + 2 * SECOND);
        assert_eq!(tokens.count.load(Ordering::Acquire), 0);
    }

    #[test]
    fn one_of_three_nodes_lets_a_third_pass() {
        let tokens = LocalTokens::of_share(3);
        let demands = [demand("a", "9/s")];
        let passed = |now| {
            let takes = (0..9).map(|_| tokens.take_now(&demands, now));
            takes.filter(|take| *take == Take::Taken).count()
        };
        assert_eq!((passed(NOW), passed(NOW + SECOND)), (3, 3));
    }

    #[test]
    fn of_many_threads_as_many_pass_as_the_limit_says() {
        let tokens = LocalTokens::new();
        let demands = [demand("user", "1000/h"), demand("tool", "500/h")];
        let passed: usize = std::thread::scope(|scope| {
            let take = || {
                (0..500)
                    .filter(|_| tokens.take_now(&demands, NOW) == Take::Taken)
                    .count()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(passed, 500);
        let rest = (0..1_000).filter(|_| tokens.take_now(&demands[..1], NOW) == Take::Taken);
        assert_eq!(rest.count(), 500);
    }
}
