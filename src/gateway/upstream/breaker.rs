//! When an upstream is left alone: it failed too often of late, and one probe at a time finds out
//! whether it is well again.
//!
//! ```text
//! closed ── too many failed ──▶ open ── its time is over ──▶ half-open: one probe
//!   ▲                            ▲                               │ │
//!   │                            └───────────────────── failed ──┘ │
//!   └────────────────────────────────────────────────── succeeded ─┘
//! ```
//!
//! A failure is what says that the upstream is not well: it cannot be reached, does not answer in
//! time, breaks off, breaks the protocol, answers 5xx, in whatever words, or is slow. Another error that it
//! answers is none, nor is a tool that failed, nor a call that our client cancelled.
//!
//! Invariants:
//! - What was let through before the breaker last changed its mind has no say any more.
//! - A permit that is dropped without a word counts as neither; if it was the probe, the next
//!   request is.
//!
//! Concurrency: one short lock per request and per end of one; nothing waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::gateway::config::BreakerConfig;

/// Into how many parts the window is cut: with each that passes, a tenth of the past is forgotten.
const BUCKETS: usize = 10;
/// When to come again while a probe is out: it may be back by then.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// Decides who may ask one upstream. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Breaker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Whose it is, for the log.
    upstream: String,
    config: BreakerConfig,
    state: Mutex<State>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The upstream answered, whatever it said.
    Answered,
    /// It is not well; see the module docs.
    Failed,
}

/// What an upstream is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It is asked.
    Closed,
    /// It is left alone.
    Open,
    /// One request finds out.
    HalfOpen,
}

/// It is left alone for now; the text completes a sentence that begins with the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed too often and is left alone")]
pub(crate) struct Refused {
    /// When to try again.
    pub retry_after: Duration,
}

/// Leave to ask the upstream once.
#[derive(Debug)]
#[must_use]
pub(crate) struct Permit {
    breaker: Breaker,
    era: u64,
    since: Instant,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Counts the changes of phase. A permit of another era has no say.
    era: u64,
}

#[derive(Debug)]
enum Phase {
    Closed(Window),
    Open { until: Instant },
    HalfOpen,
}

impl Breaker {
    /// A breaker that lets everybody through for now.
    pub(crate) fn new(upstream: &str, config: BreakerConfig) -> Self {
        Self(Arc::new(Shared {
            upstream: upstream.to_owned(),
            config,
            state: Mutex::new(State {
                phase: Phase::Closed(Window::default()),
                era: 0,
            }),
        }))
    }

    /// Leave to ask, to be ended by [`Permit::ended`].
    ///
    /// # Errors
    /// [`Refused`] while the upstream is left alone, and while a probe is out.
    pub(crate) fn admit(&self, now: Instant) -> Result<Permit, Refused> {
        let mut state = self.lock();
        match state.phase {
            Phase::Closed(_) => {}
            Phase::Open { until } if now >= until => state.enter(Phase::HalfOpen),
            Phase::Open { until } => {
                return Err(Refused {
                    retry_after: until - now,
                });
            }
            Phase::HalfOpen => {
                return Err(Refused {
                    retry_after: PROBE_WAIT,
                });
            }
        }
        Ok(Permit {
            breaker: self.clone(),
            era: state.era,
            since: now,
        })
    }

    /// What the upstream is taken for.
    pub(crate) fn health(&self) -> Health {
        match self.lock().phase {
            Phase::Closed(_) => Health::Closed,
            Phase::Open { .. } => Health::Open,
            Phase::HalfOpen => Health::HalfOpen,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held, and every state of it is a valid one.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Says how the request ended. To be said when it really has, not when its client left.
    pub(crate) fn ended(self, now: Instant, ended: Ended) {
        let config = &self.breaker.0.config;
        let took = now.saturating_duration_since(self.since);
        let is_slow = config.slow_call.is_some_and(|most| took > most);
        let is_failure = is_slow || ended == Ended::Failed;
        let mut state = self.breaker.lock();
        if state.era != self.era {
            return;
        }
        match &mut state.phase {
            Phase::Closed(window) => {
                window.count(now, config.window, is_failure);
                // An answer never opens it, whatever the share is by then.
                if !is_failure || !window.is_too_bad(config) {
                    return;
                }
                let upstream = &*self.breaker.0.upstream;
                tracing::warn!(upstream, "an upstream failed too often and is left alone");
            }
            Phase::HalfOpen if !is_failure => {
                let upstream = &*self.breaker.0.upstream;
                tracing::info!(upstream, "an upstream is asked again: it is well");
                return state.enter(Phase::Closed(Window::default()));
            }
            Phase::HalfOpen => {}
            Phase::Open { .. } => unreachable!("invariant: nobody is let through while it is open"),
        }
        state.enter(Phase::Open {
            until: now + config.open_for,
        });
    }
}

impl Drop for Permit {
    /// Makes room for another probe, if this was the probe and said nothing.
    fn drop(&mut self) {
        let mut state = self.breaker.lock();
        if state.era == self.era && matches!(state.phase, Phase::HalfOpen) {
            // It was open until then; that time is over.
            state.enter(Phase::Open { until: self.since });
        }
    }
}

impl State {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.era += 1;
    }
}

/// How the requests of the recent past ended, in parts that are forgotten one by one.
#[derive(Debug, Default)]
struct Window {
    /// When the first request of it ended; parts are counted from here.
    start: Option<Instant>,
    buckets: [Bucket; BUCKETS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// Which part of all time since the start this is.
    part: usize,
    ended: u32,
    failed: u32,
}

impl Window {
    fn count(&mut self, now: Instant, length: Duration, is_failure: bool) {
        let start = *self.start.get_or_insert(now);
        let part_ns = length.as_nanos() / BUCKETS as u128;
        let part = now.saturating_duration_since(start).as_nanos() / part_ns.max(1);
        let part = usize::try_from(part).unwrap_or(usize::MAX);
        for bucket in &mut self.buckets {
            if part - part.min(bucket.part) >= BUCKETS {
                *bucket = Bucket::default();
            }
        }
        let bucket = &mut self.buckets[part % BUCKETS];
        // A clock reading that is older than another counts into the newer part.
        bucket.part = bucket.part.max(part);
        bucket.ended = bucket.ended.saturating_add(1);
        bucket.failed = bucket.failed.saturating_add(u32::from(is_failure));
    }

    fn is_too_bad(&self, config: &BreakerConfig) -> bool {
        let sum = |of: fn(&Bucket) -> u32| self.buckets.iter().map(of).map(u64::from).sum::<u64>();
        let (ended, failed) = (sum(|bucket| bucket.ended), sum(|bucket| bucket.failed));
        #[expect(clippy::cast_precision_loss, reason = "a share, not a count")]
        let share = failed as f64 / ended.max(1) as f64;
        ended >= u64::from(config.calls_min) && share >= config.failure_rate
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONFIG: BreakerConfig = BreakerConfig {
        failure_rate: 0.5,
        slow_call: Some(Duration::from_secs(5)),
        window: Duration::from_secs(10),
        calls_min: 4,
        open_for: Duration::from_secs(30),
    };

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    /// Lets requests through that end at once, one for each letter: `+` answered, `-` failed.
    fn run(breaker: &Breaker, now: Instant, ends: &str) {
        for end in ends.chars() {
            let ended = match end {
                '+' => Ended::Answered,
                _ => Ended::Failed,
            };
            breaker.admit(now).unwrap().ended(now, ended);
        }
    }

    #[test]
    fn it_opens_when_too_many_of_enough_requests_failed() {
        let now = Instant::now();
        for (ends, health) in [
            ("---", Health::Closed),
            ("----", Health::Open),
            ("++--", Health::Open),
            ("+++--", Health::Closed),
            ("+++---", Health::Open),
            ("--++", Health::Closed),
            ("--++-", Health::Open),
            ("++++", Health::Closed),
        ] {
            let breaker = Breaker::new("it", CONFIG);
            run(&breaker, now, ends);
            assert_eq!(breaker.health(), health, "{ends}");
        }
    }

    #[test]
    fn a_slow_answer_counts_as_a_failure() {
        let now = Instant::now();
        let breaker = Breaker::new("it", CONFIG);
        for _ in 0..4 {
            let permit = breaker.admit(now).unwrap();
            permit.ended(after(now, 6), Ended::Answered);
        }
        assert_eq!(breaker.health(), Health::Open);
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let now = Instant::now();
        let breaker = Breaker::new("it", CONFIG);
        run(&breaker, now, "---");
        run(&breaker, after(now, 11), "-++");
        assert_eq!(breaker.health(), Health::Closed);
        run(&breaker, after(now, 12), "-");
        assert_eq!(breaker.health(), Health::Open);
    }

    #[test]
    fn an_open_one_says_when_to_come_again_and_then_lets_one_probe_through() {
        let now = Instant::now();
        let breaker = Breaker::new("it", CONFIG);
        run(&breaker, now, "----");
        let refused = breaker.admit(after(now, 10)).unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_secs(20));
        let probe = breaker.admit(after(now, 30)).unwrap();
        assert_eq!(breaker.health(), Health::HalfOpen);
        assert!(breaker.admit(after(now, 30)).is_err());
        probe.ended(after(now, 31), Ended::Answered);
        assert_eq!(breaker.health(), Health::Closed);
        run(&breaker, after(now, 31), "---");
        assert_eq!(breaker.health(), Health::Closed, "the past is forgiven");
    }

    #[test]
    fn a_probe_that_fails_opens_it_again_for_as_long() {
        let now = Instant::now();
        let breaker = Breaker::new("it", CONFIG);
        run(&breaker, now, "----");
        run(&breaker, after(now, 30), "-");
        let refused = breaker.admit(after(now, 31)).unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_secs(29));
    }

    #[test]
    fn a_probe_that_says_nothing_leaves_its_place_to_the_next() {
        let now = Instant::now();
        let breaker = Breaker::new("it", CONFIG);
        run(&breaker, now, "----");
        drop(breaker.admit(after(now, 30)).unwrap());
        assert_eq!(breaker.health(), Health::Open);
        run(&breaker, after(now, 30), "+");
        assert_eq!(breaker.health(), Health::Closed);
    }

    #[test]
    fn stragglers_from_before_it_opened_have_no_say() {
        let now = Instant::now();
        let breaker = Breaker::new("it", CONFIG);
        let stragglers = [(); 3].map(|()| breaker.admit(now).unwrap());
        run(&breaker, now, "----");
        let [one, two, three] = stragglers;
        one.ended(after(now, 1), Ended::Answered);
        assert_eq!(breaker.health(), Health::Open);
        let probe = breaker.admit(after(now, 30)).unwrap();
        two.ended(after(now, 31), Ended::Answered);
        drop(three);
        assert_eq!(breaker.health(), Health::HalfOpen, "the probe is still out");
        probe.ended(after(now, 31), Ended::Failed);
        assert_eq!(breaker.health(), Health::Open);
    }

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Ask,
        Answer(usize),
        Fail(usize),
        Forget(usize),
        Pass(u64),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => Just(Act::Ask),
            2 => (0..8_usize).prop_map(Act::Answer),
            3 => (0..8_usize).prop_map(Act::Fail),
            1 => (0..8_usize).prop_map(Act::Forget),
            1 => (0..40_000_u64).prop_map(Act::Pass),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_it_opens_for_a_reason_probes_alone_and_closes_again(
            acts in proptest::collection::vec(act(), 1..200),
            calls_min in 1..8_u32,
        ) {
            let config = BreakerConfig { calls_min, slow_call: None, ..CONFIG };
            let breaker = Breaker::new("it", config);
            let mut now = Instant::now();
            let mut running: Vec<Permit> = Vec::new();
            // Ends since it last closed, of requests that were let through since then.
            let mut ended_since_closed = 0_u32;
            let mut probes_out = 0_usize;
            for act in acts {
                let before = breaker.health();
                let era = breaker.lock().era;
                match act {
                    Act::Ask => {
                        let admitted = breaker.admit(now);
                        let is_probe = breaker.health() == Health::HalfOpen && admitted.is_ok();
                        probes_out += usize::from(is_probe);
                        prop_assert!(probes_out <= 1, "two probes at once");
                        prop_assert!(before != Health::HalfOpen || admitted.is_err());
                        if let Err(refused) = &admitted {
                            prop_assert!(before != Health::Closed);
                            prop_assert!(refused.retry_after <= config.open_for.max(PROBE_WAIT));
                        }
                        running.extend(admitted);
                    }
                    Act::Answer(at) | Act::Fail(at) | Act::Forget(at) if at < running.len() => {
                        let permit = running.swap_remove(at);
                        let is_heard = permit.era == era;
                        if is_heard && before == Health::HalfOpen {
                            probes_out -= 1;
                        }
                        let (is_said, ended) = match act {
                            Act::Answer(_) => (true, Ended::Answered),
                            Act::Fail(_) => (true, Ended::Failed),
                            _ => (false, Ended::Answered),
                        };
                        if is_said {
                            permit.ended(now, ended);
                        } else {
                            drop(permit);
                        }
                        ended_since_closed += u32::from(is_said && is_heard);
                        let health = breaker.health();
                        if before == Health::Closed && health == Health::Open {
                            prop_assert!(ended_since_closed >= calls_min, "opened too early");
                            prop_assert_eq!(ended, Ended::Failed, "opened without a failure");
                        }
                        if !is_heard {
                            prop_assert_eq!(health, before, "a straggler had a say");
                        }
                        if before != Health::Closed && health == Health::Closed {
                            prop_assert!(is_said && ended == Ended::Answered);
                            ended_since_closed = 0;
                        }
                    }
                    Act::Answer(_) | Act::Fail(_) | Act::Forget(_) => {}
                    Act::Pass(millis) => now += Duration::from_millis(millis),
                }
            }
            drop(running);
            now += config.open_for;
            breaker.admit(now).unwrap().ended(now, Ended::Answered);
            prop_assert_eq!(breaker.health(), Health::Closed, "it does not close again");
        }
    }
}
