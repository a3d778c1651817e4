//! Three nodes that share limits, offered five times as much as may pass.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::ready;

use super::config::{Config, Most, OnFailure, RuleConfig, What, Who};
use super::gcra::{FullAt, Taken};
use super::rate::{Rate, Share};
use super::{Demand, Key, Limits, SharedTokens, Take, Tokens};
use crate::identity::Caller;
use crate::store::StoreFuture;
use crate::store::buckets::{Ask, Buckets, Given};
use crate::telemetry::metrics::Metrics;

const SECOND: u64 = 1_000_000;
const START: u64 = 1_000 * SECOND;
const SECONDS: u64 = 60;
const NODES: usize = 3;
const USERS: usize = 10;
const TOOLS: usize = 3;

/// The store, with a clock of its own.
#[derive(Debug, Default)]
struct Store {
    now: AtomicU64,
    buckets: Mutex<HashMap<String, FullAt>>,
    commands: AtomicUsize,
}

impl Buckets for Store {
    fn take(&self, asks: Vec<Ask>) -> StoreFuture<Vec<Given>> {
        self.commands.fetch_add(1, Ordering::AcqRel);
        let now = self.now.load(Ordering::Acquire);
        let mut buckets = self.buckets.lock().unwrap();
        let given = asks.into_iter().map(|ask| {
            let rate = Share {
                interval_nanos: ask.interval_nanos,
                burst: ask.burst,
            };
            let bucket = buckets.entry(ask.key).or_default();
            bucket.give_back(rate, ask.back);
            let taken = bucket.take(rate, ask.want, now);
            let left = bucket.left(rate, now);
            match taken {
                Taken::Tokens(tokens) => Given {
                    tokens,
                    retry_after_us: if tokens < ask.want {
                        ask.interval_nanos / 1_000
                    } else {
                        0
                    },
                    left,
                },
                Taken::Empty { retry_after } => Given {
                    tokens: 0,
                    retry_after_us: retry_after,
                    left,
                },
            }
        });
        ready(Ok(given.collect())).boxed()
    }
}

/// How it went.
#[derive(Default)]
struct Tally {
    offered: usize,
    /// When calls passed, by what counts them.
    passed: HashMap<Key, (Rate, Vec<u64>)>,
    commands: usize,
}

/// Each user calls each tool so often per second, in turn at each node. `skew` is how far the clocks
/// of the nodes are apart.
fn run(rules: &[(&str, Who, What, &str)], calls_per_second: u64, skew: u64) -> Tally {
    let rules = rules.iter().map(|(name, who, what, rate)| RuleConfig {
        name: (*name).to_owned(),
        who: *who,
        what: what.clone(),
        most: Most::Rate(rate.parse().unwrap(), OnFailure::Refuse),
    });
    let limits = Limits::new(&Config {
        rules: rules.collect(),
        ..Config::default()
    });
    let limits = limits.unwrap();
    let store = Arc::new(Store::default());
    let nodes: Vec<_> = (0..NODES)
        .map(|_| SharedTokens::new(store.clone(), NonZeroU32::MIN, Metrics::new()))
        .collect();
    let demands: Vec<Vec<Demand>> = (0..USERS * TOOLS)
        .map(|pair| {
            let caller = Caller {
                user: format!("user-{}", pair / TOOLS).into(),
                ..Caller::local()
            };
            let tool = format!("jira.tool-{}", pair % TOOLS);
            limits
                .demands(&caller, &std::iter::empty().collect(), "jira", &tool, true)
                .rates
        })
        .collect();

    let mut tally = Tally::default();
    for round in 0..SECONDS * calls_per_second {
        for (pair, demands) in demands.iter().enumerate() {
            let within = SECOND / calls_per_second * pair as u64 / (USERS * TOOLS) as u64;
            let now = START + round * SECOND / calls_per_second + within;
            store.now.store(now, Ordering::Release);
            let at = (usize::try_from(round).unwrap() + pair) % NODES;
            tally.offered += 1;
            let take = nodes[at]
                .take(demands, now + at as u64 * skew)
                .now_or_never();
            if take.expect("nothing waits here") == Take::Taken {
                for demand in demands {
                    let passed = tally.passed.entry(demand.key.clone());
                    passed.or_insert((demand.rate, Vec::new())).1.push(now);
                }
            }
        }
    }
    tally.commands = store.commands.load(Ordering::Acquire);
    tally
}

impl Tally {
    /// No bucket let more pass than 105 % of what may, over the whole and over any of its periods.
    #[track_caller]
    fn check_bounds(&self) {
        for (rate, times) in self.passed.values() {
            let burst = u64::from(rate.burst());
            let allowed =
                |time: u64| 105 * (burst + time * 1_000 / rate.interval_nanos() + 1) / 100;
            assert!(
                times.len() as u64 <= allowed(SECONDS * SECOND),
                "{} passed",
                times.len()
            );
            let period = rate.period_nanos() / 1_000;
            let mut from = 0;
            for (until, time) in times.iter().enumerate() {
                while times[from] + period < *time {
                    from += 1;
                }
                let passed = (until - from) as u64 + 1;
                assert!(passed <= allowed(period), "{passed} of {rate} in a period");
            }
        }
    }

    /// The least that a bucket let pass, in percent of what it might have.
    fn least_used(&self) -> u64 {
        let parts = self.passed.values().map(|(rate, times)| {
            let flowed = SECONDS * SECOND * 1_000 / rate.interval_nanos();
            100 * times.len() as u64 / (u64::from(rate.burst()) + flowed)
        });
        parts.min().expect("something passed")
    }

    fn commands_per_hundred_calls(&self) -> usize {
        100 * self.commands / self.offered
    }
}

#[test]
fn users_who_call_five_times_too_often_get_what_they_may_for_few_commands() {
    // 30 calls a second for each user, who may have 6.
    let rules = [("per_user", Who::User, What::All, "360/min")];
    let tally = run(&rules, 10, 0);
    assert_eq!((tally.offered, tally.passed.len()), (18_000, USERS));
    tally.check_bounds();
    assert!(tally.least_used() >= 95, "{}", tally.least_used());
    assert!(
        tally.commands_per_hundred_calls() < 35,
        "{}",
        tally.commands_per_hundred_calls()
    );
}

#[test]
fn every_one_of_several_limits_holds() {
    let rules = [
        ("per_user", Who::User, What::All, "360/min"),
        (
            "per_tool",
            Who::Tenant,
            What::Tool("jira.*".to_owned()),
            "600/min",
        ),
        ("per_tenant", Who::Tenant, What::All, "900/min"),
        (
            "per_user_tool",
            Who::User,
            What::Tool("*.*".to_owned()),
            "10/s",
        ),
    ];
    let tally = run(&rules, 10, 0);
    assert_eq!(tally.passed.len(), USERS + TOOLS + 1 + USERS * TOOLS);
    tally.check_bounds();
    assert!(
        tally.commands_per_hundred_calls() < 35,
        "{}",
        tally.commands_per_hundred_calls()
    );
}

#[test]
fn calls_within_the_limit_cost_far_fewer_commands_than_there_are_calls() {
    let rules = [("per_tenant", Who::Tenant, What::All, "6000/min")];
    let tally = run(&rules, 3, 0);
    let (_, times) = tally.passed.values().next().unwrap();
    assert_eq!(times.len(), tally.offered, "all of them pass");
    assert!(
        tally.commands_per_hundred_calls() < 6,
        "{}",
        tally.commands_per_hundred_calls()
    );
}

#[test]
fn high_rates_hold_within_a_second_and_for_clocks_that_are_apart() {
    let rules = [(
        "per_tool",
        Who::Tenant,
        What::Tool("jira.*".to_owned()),
        "20/s",
    )];
    for skew in [0, 7 * SECOND] {
        let tally = run(&rules, 10, skew);
        tally.check_bounds();
        assert!(tally.least_used() >= 90, "{}", tally.least_used());
    }
}
