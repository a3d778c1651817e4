//! A lease: tokens of a shared bucket that a node took at once, to be spent here for a short time.
//!
//! ```text
//! step ── some are held ──────────── spent, without a word to the store
//!      ── the bucket was empty ───── refused until it may hold some again
//!      ── otherwise ──────────────── ask for as many as were needed lately
//! ```
//!
//! Each token was taken from the shared bucket before it is spent, so over all nodes no more are
//! spent than it gave. What a lease moves is when: a token may be spent [`life`] after it was
//! taken, or, if it was given back, as late again. A fiftieth of the period each keeps what passes
//! within any period below 105 % of limit and burst.
//!
//! A state machine without a runtime; [`super::shared`] asks the store.

use super::rate::Rate;

/// The longest life of a lease, in microseconds: what a node that has no calls keeps from others.
const LIFE_MAX_US: u64 = 1_000_000;
/// What part of a rate's period a lease lives.
const LIVES_PER_PERIOD: u64 = 50;
/// What part of a burst one node takes ahead of need.
const LEASES_PER_BURST: u32 = 10;
/// The longest time for which an empty bucket is not asked again, in microseconds, unless it says a
/// longer one: five commands a second for each key that is always over its limit.
const PAUSE_MAX_US: u64 = 200_000;

/// The tokens of one bucket that this node holds. Times are in microseconds.
#[derive(Clone, Debug)]
pub struct Lease {
    held: u32,
    /// Of how many that were granted these are left.
    granted: u32,
    /// How many to ask for next.
    size: u32,
    lapses: u64,
    empty_until: u64,
}

/// What to do for one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was held, and is spent.
    Spent,
    /// There was none when the store was last asked.
    Empty {
        /// When to come again.
        retry_after: u64,
    },
    /// The store must be asked.
    Ask {
        /// For so many, if it has them.
        want: u32,
        /// So many were not used and go back.
        back: u32,
    },
}

impl Default for Lease {
    fn default() -> Self {
        Self {
            held: 0,
            granted: 0,
            size: 1,
            lapses: 0,
            empty_until: 0,
        }
    }
}

impl Lease {
    /// When to come again, if it is known that there is none.
    #[must_use]
    pub fn empty_for(&self, now: u64) -> Option<u64> {
        let holds = self.held > 0 && now < self.lapses;
        let wait = self.empty_until.saturating_sub(now);
        (!holds && wait > 0).then_some(wait)
    }

    /// How many are held.
    #[must_use]
    pub const fn held(&self, now: u64) -> u32 {
        if now < self.lapses { self.held } else { 0 }
    }

    /// Spends a token, or says what to do for one. `waiting` more are needed at once.
    pub fn step(&mut self, rate: Rate, waiting: u32, now: u64) -> Step {
        if self.held > 0 && now < self.lapses {
            self.held -= 1;
            return Step::Spent;
        }
        if let Some(retry_after) = self.empty_for(now) {
            return Step::Empty { retry_after };
        }
        let back = if now < self.lapses.saturating_add(life(rate)) {
            self.held
        } else {
            // By now the bucket has it again anyway.
            0
        };
        self.size = self.next_size(rate);
        self.held = 0;
        self.granted = 0;
        let want = self.size.max(waiting.saturating_add(1)).min(rate.burst());
        Step::Ask { want, back }
    }

    /// Takes over what the store gave at `now`: `tokens` of `want`, and when it has one more.
    pub fn granted(&mut self, rate: Rate, want: u32, tokens: u32, retry_after: u64, now: u64) {
        self.held = tokens;
        self.granted = tokens;
        self.lapses = now.saturating_add(life(rate));
        self.empty_until = if tokens < want {
            now.saturating_add(retry_after.max(pause(rate)))
        } else {
            0
        };
    }

    /// Takes a token back that was spent for nothing.
    pub fn unspend(&mut self) {
        self.held = self.held.saturating_add(1).min(self.granted);
    }

    /// Whether forgetting it changes nothing.
    #[must_use]
    pub fn is_at_rest(&self, rate: Rate, now: u64) -> bool {
        now >= self.lapses.saturating_add(life(rate)) && now >= self.empty_until
    }

    /// Twice as many where all were used in time, else as many as were used.
    fn next_size(&self, rate: Rate) -> u32 {
        let most = (rate.burst() / LEASES_PER_BURST).max(1);
        let used = self.granted - self.held;
        let size = match self.held {
            0 if self.granted > 0 => used.saturating_mul(2),
            _ => used,
        };
        size.clamp(1, most)
    }
}

/// How long tokens may be held.
fn life(rate: Rate) -> u64 {
    (rate.period_nanos() / 1_000 / LIVES_PER_PERIOD).min(LIFE_MAX_US)
}

fn pause(rate: Rate) -> u64 {
    life(rate).min(PAUSE_MAX_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const NOW: u64 = 1_000 * SECOND;

    fn rate() -> Rate {
        "600/min".parse().unwrap()
    }

    #[test]
    fn one_command_of_the_store_serves_more_and_more_calls() {
        let (rate, mut lease) = (rate(), Lease::default());
        let mut wanted = Vec::new();
        for call in 0..200 {
            if let Step::Ask { want, back } = lease.step(rate, 0, NOW + call) {
                assert_eq!(back, 0, "all were used");
                wanted.push(want);
                lease.granted(rate, want, want, 0, NOW + call);
                assert_eq!(lease.step(rate, 0, NOW + call), Step::Spent);
            }
        }
        // No more than a tenth of what may pass at once.
        assert_eq!(wanted, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn what_is_not_used_in_time_goes_back_and_less_is_asked_for() {
        let (rate, mut lease) = (rate(), Lease::default());
        lease.granted(rate, 40, 40, 0, NOW);
        for _ in 0..3 {
            assert_eq!(lease.step(rate, 0, NOW + SECOND - 1), Step::Spent);
        }
        let ask = Step::Ask { want: 3, back: 37 };
        assert_eq!(lease.step(rate, 0, NOW + SECOND), ask);

        let mut late = Lease::default();
        late.granted(rate, 40, 40, 0, NOW);
        let ask = Step::Ask { want: 1, back: 0 };
        assert_eq!(
            late.step(rate, 0, NOW + 2 * SECOND),
            ask,
            "too late to give back"
        );
    }

    #[test]
    fn an_empty_bucket_is_not_asked_again_before_it_may_hold_some() {
        let (rate, mut lease) = (rate(), Lease::default());
        for (retry_after, until) in [(5 * SECOND, 5 * SECOND), (1, PAUSE_MAX_US)] {
            lease.granted(rate, 4, 0, retry_after, NOW);
            let retry_after = 1;
            let empty = Step::Empty { retry_after };
            assert_eq!(lease.step(rate, 0, NOW + until - 1), empty);
            let ask = Step::Ask { want: 1, back: 0 };
            assert_eq!(lease.step(rate, 0, NOW + until), ask);
        }
    }

    #[test]
    fn what_came_short_is_spent_before_the_next_are_refused() {
        let (rate, mut lease) = (rate(), Lease::default());
        lease.granted(rate, 4, 1, 100, NOW);
        assert_eq!(lease.empty_for(NOW), None);
        assert_eq!(lease.step(rate, 0, NOW), Step::Spent);
        assert_eq!(lease.empty_for(NOW), Some(PAUSE_MAX_US));
        lease.unspend();
        assert_eq!(lease.step(rate, 0, NOW), Step::Spent);
        lease.granted(rate, 4, 0, 100, NOW);
        lease.unspend();
        assert!(
            matches!(lease.step(rate, 0, NOW), Step::Empty { .. }),
            "none was granted"
        );
    }

    #[test]
    fn those_who_wait_are_asked_for_at_once() {
        let (rate, mut lease) = (rate(), Lease::default());
        let ask = Step::Ask { want: 71, back: 0 };
        assert_eq!(lease.step(rate, 70, NOW), ask);
        let ask = Step::Ask { want: 600, back: 0 };
        assert_eq!(Lease::default().step(rate, 10_000, NOW), ask);
    }

    #[test]
    fn a_lease_rests_when_it_has_nothing_to_tell() {
        let (rate, mut lease) = (rate(), Lease::default());
        assert!(lease.is_at_rest(rate, NOW));
        lease.granted(rate, 1, 1, 0, NOW);
        assert!(
            !lease.is_at_rest(rate, NOW + SECOND),
            "it may still give back"
        );
        assert!(lease.is_at_rest(rate, NOW + 2 * SECOND));
        lease.granted(rate, 2, 0, 9 * SECOND, NOW);
        assert!(!lease.is_at_rest(rate, NOW + 8 * SECOND));
    }
}
