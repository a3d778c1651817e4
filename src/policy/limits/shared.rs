//! Buckets that nodes share, through the store.
//!
//! Each key has a [`Lease`]: most calls spend a token that is held here. When it has none, one of the
//! calls that need it asks the store for several, and the others wait for its answer. All keys of a
//! call are asked for in one trip.
//!
//! While the store does not answer, each limit does as it says ([`OnFailure`]), and the store is
//! asked again after a while.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::config::OnFailure;
use super::key::Key;
use super::lease::{Lease, Step};
use super::local::{KEYS_MAX, LocalTokens};
use super::rate::Rate;
use super::usage::Bucket;
use super::{Because, Demand, Refused, Take, Tokens};
use crate::runtime::ratelimited::warn_ratelimited;
use crate::store::buckets::{Ask, Buckets, Given};
use crate::telemetry::labels::AskEnd;
use crate::telemetry::metrics::Metrics;

/// How long a store that failed is not asked, in microseconds.
const AWAY_US: u64 = 1_000_000;
/// How often a call asks or waits: each time all that wait are asked for, so two are usual.
const ROUNDS_MAX: usize = 16;

/// Tokens that all nodes of a store share.
#[derive(Debug)]
pub struct SharedTokens {
    store: Arc<dyn Buckets>,
    entries: DashMap<Key, Arc<Entry>>,
    /// How many there are; asking the map would lock all of it.
    count: AtomicUsize,
    /// This node's share, for while the store is away.
    alone: LocalTokens,
    /// Until when the store is not asked; 0 while it answers.
    away_until: AtomicU64,
    metrics: Metrics,
}

/// What this node knows of one bucket.
#[derive(Debug)]
struct Entry {
    rate: Rate,
    digest: String,
    state: Mutex<State>,
    /// Tells those who wait that the store has answered.
    answered: Notify,
}

#[derive(Debug, Default)]
struct State {
    lease: Lease,
    /// A call is asking the store.
    asking: bool,
    /// Calls that wait for its answer.
    waiting: u32,
}

/// How one round of a call ended.
enum Round<'a> {
    /// It has all its tokens.
    Taken,
    Refused(Refused),
    /// The store is to be asked for these.
    Ask(Vec<Asking<'a>>),
    /// Somebody asks already.
    Wait(tokio::sync::futures::Notified<'a>),
}

/// A question to the store. However it ends, nobody waits for it any more.
struct Asking<'a> {
    entry: &'a Entry,
    want: u32,
    back: u32,
}

impl SharedTokens {
    /// Shares what `store` holds. One of `nodes` alone lets its share pass while that is away.
    #[must_use]
    pub fn new(store: Arc<dyn Buckets>, nodes: NonZeroU32, metrics: Metrics) -> Self {
        Self {
            store,
            entries: DashMap::new(),
            count: AtomicUsize::new(0),
            alone: LocalTokens::of_share(nodes.get()),
            away_until: AtomicU64::new(0),
            metrics,
        }
    }

    async fn take_shared(&self, demands: &[Demand], now: u64) -> Take {
        let mut entries = Vec::with_capacity(demands.len());
        for demand in demands {
            match self.entry(demand) {
                Some(entry) => entries.push(entry),
                None => return refused(demand, Because::Full),
            }
        }
        let mut taken = vec![false; demands.len()];
        for _ in 0..ROUNDS_MAX {
            if now < self.away_until.load(Ordering::Acquire) {
                give_back(&entries, &taken);
                return self.take_alone(demands, now);
            }
            match round(demands, &entries, &mut taken, now) {
                Round::Taken => return Take::Taken,
                Round::Refused(refused) => {
                    give_back(&entries, &taken);
                    return Take::Refused(refused);
                }
                Round::Wait(answered) => answered.await,
                Round::Ask(asking) => self.ask(asking, now).await,
            }
        }
        give_back(&entries, &taken);
        let first = taken.iter().position(|taken| !taken).unwrap_or_default();
        let because = Because::Spent {
            rate: demands[first].rate,
            retry_after: AWAY_US,
        };
        refused(&demands[first], because)
    }

    async fn ask(&self, asking: Vec<Asking<'_>>, now: u64) {
        let asks = asking.iter().map(|asking| Ask {
            key: asking.entry.digest.clone(),
            interval_nanos: asking.entry.rate.interval_nanos(),
            burst: asking.entry.rate.burst(),
            want: asking.want,
            back: asking.back,
        });
        let asked = Instant::now();
        match self.store.take(asks.collect()).await {
            Ok(given) => {
                self.metrics.limit_store_ask(AskEnd::Answered);
                for (asking, given) in asking.iter().zip(given) {
                    asking.answer(given, now);
                }
            }
            Err(error) => {
                self.metrics.limit_store_ask(AskEnd::Failed);
                // From the failure on: a store that hangs takes its whole timeout to fail, and those
                // who came meanwhile are not to wait for another.
                let took = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
                let until = now.saturating_add(took).saturating_add(AWAY_US);
                self.away_until.store(until, Ordering::Release);
                warn_ratelimited!("limits cannot be counted with the other nodes", %error);
            }
        }
    }

    /// What each limit says is to happen while the store is away.
    fn take_alone(&self, demands: &[Demand], now: u64) -> Take {
        let on_failure = |wanted| demands.iter().filter(move |it| it.on_failure == wanted);
        if let Some(demand) = on_failure(OnFailure::Refuse).next() {
            return refused(demand, Because::StoreAway);
        }
        self.alone.take_now(on_failure(OnFailure::Local), now)
    }

    fn entry(&self, demand: &Demand) -> Option<Arc<Entry>> {
        if let Some(entry) = self.entries.get(&demand.key)
            && entry.rate == demand.rate
        {
            return Some(entry.clone());
        }
        // Room is made by sweeping alone: a look through all of them for each who is new would cost
        // milliseconds.
        if self.count.load(Ordering::Acquire) >= KEYS_MAX {
            return None;
        }
        let fresh = Arc::new(Entry {
            rate: demand.rate,
            digest: demand.key.digest(),
            state: Mutex::default(),
            answered: Notify::new(),
        });
        // Another rate takes the place of what a former configuration said.
        if self
            .entries
            .insert(demand.key.clone(), fresh.clone())
            .is_none()
        {
            self.count.fetch_add(1, Ordering::AcqRel);
        }
        Some(fresh)
    }

    fn forget_rested(&self, now: u64) {
        self.entries.retain(|_, entry| {
            let used = Arc::strong_count(entry) > 1;
            let keeps = used || !entry.state().lease.is_at_rest(entry.rate, now);
            if !keeps {
                self.count.fetch_sub(1, Ordering::AcqRel);
            }
            keeps
        });
    }
}

impl Tokens for SharedTokens {
    fn take<'a>(&'a self, demands: &'a [Demand], now: u64) -> BoxFuture<'a, Take> {
        self.take_shared(demands, now).boxed()
    }

    fn left<'a>(&'a self, buckets: &'a [Bucket], now: u64) -> BoxFuture<'a, Option<Vec<u32>>> {
        let asks = buckets.iter().map(|bucket| Ask {
            key: bucket.key.digest(),
            interval_nanos: bucket.rate.interval_nanos,
            burst: bucket.rate.burst,
            want: 0,
            back: 0,
        });
        let held = move |bucket: &Bucket| {
            let entry = self.entries.get(&bucket.key);
            entry.map_or(0, |entry| entry.state().lease.held(now))
        };
        let asked = self.store.take(asks.collect());
        async move {
            let given = asked.await.ok()?;
            let all = buckets.iter().zip(given);
            Some(
                all.map(|(bucket, given)| given.left.saturating_add(held(bucket)))
                    .collect(),
            )
        }
        .boxed()
    }

    fn sweep(&self, now: u64) {
        self.forget_rested(now);
        self.alone.sweep(now);
    }

    fn keys(&self) -> usize {
        self.count.load(Ordering::Acquire) + self.alone.keys()
    }
}

/// Spends what is held, and says what is missing.
fn round<'a>(
    demands: &[Demand],
    entries: &'a [Arc<Entry>],
    taken: &mut [bool],
    now: u64,
) -> Round<'a> {
    let spent = |demand: &Demand, retry_after| {
        let rate = demand.rate;
        Round::Refused(Refused {
            rule: demand.rule.clone(),
            because: Because::Spent { rate, retry_after },
        })
    };
    // A limit that is known to refuse keeps the store from being asked for the others.
    for ((demand, entry), _) in demands
        .iter()
        .zip(entries)
        .zip(&*taken)
        .filter(|(_, taken)| !**taken)
    {
        if let Some(retry_after) = entry.state().lease.empty_for(now) {
            return spent(demand, retry_after);
        }
    }
    let mut asking = Vec::new();
    let mut wait = None;
    for ((demand, entry), taken) in demands.iter().zip(entries).zip(taken) {
        if *taken {
            continue;
        }
        let mut state = entry.state();
        if state.asking {
            state.waiting = state.waiting.saturating_add(1);
            // Made under the lock, so that no answer is missed.
            wait = Some(entry.answered.notified());
            continue;
        }
        let waiting = state.waiting;
        match state.lease.step(entry.rate, waiting, now) {
            Step::Spent => *taken = true,
            Step::Empty { retry_after } => return spent(demand, retry_after),
            Step::Ask { want, back } => {
                state.asking = true;
                state.waiting = 0;
                asking.push(Asking { entry, want, back });
            }
        }
    }
    match (asking.is_empty(), wait) {
        (false, _) => Round::Ask(asking),
        (true, Some(wait)) => Round::Wait(wait),
        (true, None) => Round::Taken,
    }
}

fn give_back(entries: &[Arc<Entry>], taken: &[bool]) {
    for (entry, _) in entries.iter().zip(taken).filter(|(_, taken)| **taken) {
        entry.state().lease.unspend();
    }
}

fn refused(demand: &Demand, because: Because) -> Take {
    Take::Refused(Refused {
        rule: demand.rule.clone(),
        because,
    })
}

impl Entry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asking<'_> {
    fn answer(&self, given: Given, now: u64) {
        let mut state = self.entry.state();
        let (tokens, retry_after) = (given.tokens.min(self.want), given.retry_after_us);
        // Those are served; of the others each says again that it waits.
        state.waiting = state.waiting.saturating_sub(tokens);
        state
            .lease
            .granted(self.entry.rate, self.want, tokens, retry_after, now);
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.entry.state().asking = false;
        self.entry.answered.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use futures_util::future::{join_all, ready};

    use super::*;
    use crate::store::{StoreError, StoreFuture};

    const SECOND: u64 = 1_000_000;
    const NOW: u64 = 1_000 * SECOND;

    /// Gives whatever it is asked for after a turn of the runtime, and counts how often.
    #[derive(Debug, Default)]
    struct Generous {
        commands: AtomicUsize,
        is_away: AtomicBool,
    }

    impl Buckets for Generous {
        fn take(&self, asks: Vec<Ask>) -> StoreFuture<Vec<Given>> {
            self.commands.fetch_add(1, Ordering::AcqRel);
            if self.is_away.load(Ordering::Acquire) {
                return ready(Err(StoreError::Unavailable("it is a test".into()))).boxed();
            }
            async move {
                tokio::task::yield_now().await;
                let given = asks.iter().map(|ask| Given {
                    tokens: ask.want,
                    retry_after_us: 0,
                    left: ask.burst,
                });
                Ok(given.collect())
            }
            .boxed()
        }
    }

    fn demand(name: &str, rate: &str, on_failure: OnFailure) -> Demand {
        Demand {
            key: Key::of(&[name]),
            rate: rate.parse().unwrap(),
            on_failure,
            rule: name.into(),
        }
    }

    fn shared() -> (Arc<Generous>, SharedTokens) {
        let store = Arc::new(Generous::default());
        let nodes = NonZeroU32::new(3).unwrap();
        let tokens = SharedTokens::new(store.clone(), nodes, Metrics::new());
        (store, tokens)
    }

    #[tokio::test]
    async fn calls_that_come_together_ask_the_store_once_for_all_their_limits() {
        let (store, tokens) = shared();
        let demands = [
            demand("user", "600/min", OnFailure::Local),
            demand("tool", "300/min", OnFailure::Local),
        ];
        let takes = join_all((0..100).map(|_| tokens.take(&demands, NOW))).await;
        assert!(takes.iter().all(|take| *take == Take::Taken));
        // The first asks for itself, the next for all who waited meanwhile.
        assert_eq!(store.commands.load(Ordering::Acquire), 2);
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_while_it_asks_leaves_nobody_waiting() {
        let (store, tokens) = shared();
        let demands = [demand("user", "600/min", OnFailure::Local)];
        let mut asks = tokens.take(&demands, NOW);
        let mut waits = tokens.take(&demands, NOW);
        assert!(futures_util::poll!(&mut asks).is_pending());
        assert!(futures_util::poll!(&mut waits).is_pending());
        drop(asks);
        assert_eq!(waits.await, Take::Taken);
        assert_eq!(store.commands.load(Ordering::Acquire), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_store_is_away_each_limit_does_as_it_says() {
        let (store, tokens) = shared();
        store.is_away.store(true, Ordering::Release);
        let local = demand("local", "9/s", OnFailure::Local);
        let allow = demand("allow", "1/day", OnFailure::Allow);
        let refuse = demand("refuse", "900/s", OnFailure::Refuse);

        let mut passed = 0;
        for _ in 0..9 {
            let take = tokens.take(&[local.clone(), allow.clone()], NOW).await;
            passed += usize::from(take == Take::Taken);
        }
        assert_eq!(passed, 3, "one of three nodes lets a third pass");
        let take = tokens.take(&[allow.clone(), refuse], NOW).await;
        let because = Because::StoreAway;
        let rule = "refuse".into();
        assert_eq!(take, Take::Refused(Refused { rule, because }));
        assert_eq!(
            store.commands.load(Ordering::Acquire),
            1,
            "it is left alone"
        );

        store.is_away.store(false, Ordering::Release);
        let take = tokens.take(&[local], NOW + AWAY_US).await;
        assert_eq!(take, Take::Taken);
        assert_eq!(
            store.commands.load(Ordering::Acquire),
            2,
            "it is asked again"
        );
    }

    /// Fails as a server that hangs does: when its patience is over.
    #[derive(Debug, Default)]
    struct Silent {
        commands: AtomicUsize,
    }

    impl Buckets for Silent {
        fn take(&self, _asks: Vec<Ask>) -> StoreFuture<Vec<Given>> {
            self.commands.fetch_add(1, Ordering::AcqRel);
            async {
                tokio::time::sleep(Duration::from_secs(2)).await;
                Err(StoreError::Unavailable("it is a test".into()))
            }
            .boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_twice_for_a_store_that_hangs() {
        let store = Arc::new(Silent::default());
        let metrics = Metrics::new();
        let tokens = SharedTokens::new(store.clone(), NonZeroU32::MIN, metrics.clone());
        let demands = [demand("user", "600/min", OnFailure::Local)];
        // The second comes later than the store is left alone after a failure at once.
        let takes = tokio::join!(
            tokens.take(&demands, NOW),
            tokens.take(&demands, NOW + 2 * AWAY_US - 1),
        );
        assert_eq!(takes, (Take::Taken, Take::Taken));
        assert_eq!(store.commands.load(Ordering::Acquire), 1);
        let counted = "mcp_limit_store_asks_total{end=\"failed\"} 1";
        assert!(metrics.render().contains(counted));
    }

    #[tokio::test]
    async fn what_rests_is_forgotten() {
        let (_store, tokens) = shared();
        let demands = [demand("user", "600/min", OnFailure::Local)];
        assert_eq!(tokens.take(&demands, NOW).await, Take::Taken);
        tokens.sweep(NOW + SECOND);
        assert_eq!((tokens.entries.len(), tokens.keys()), (1, 1));
        tokens.sweep(NOW + 2 * SECOND);
        assert_eq!((tokens.entries.len(), tokens.keys()), (0, 0));
    }
}
