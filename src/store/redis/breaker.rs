//! Whether to try at all: after some failures in a row nothing is sent for a while, then one probe.
//!
//! ```text
//! closed ── FAILURES_MAX in a row ──▶ open ── its backoff is over ──▶ probing
//!   ▲                                  ▲                                │ │
//!   │                                  └────────── failed, twice as long ┘ │
//!   └───────────────────────────────────────────────────────── succeeded ┘
//! ```
//!
//! [`Breaker`] is a plain value: time and chance are passed in.

use std::time::{Duration, Instant};

/// Failures in a row that open it: one may be a lone accident, three are not.
const FAILURES_MAX: u32 = 3;
/// The first backoff: a server that restarts is back about then.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// The longest backoff: how long a server that is back may go unnoticed.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// What the store's lanes found out together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breaker {
    /// All is well, but for so many failures in a row.
    Closed {
        /// How many.
        failures: u32,
    },
    /// Nothing is sent until then.
    Open {
        /// When one may probe.
        until: Instant,
        /// How long that was from the failure, before chance had its share.
        backoff: Duration,
    },
    /// One is probing; the others wait for what it finds.
    Probing {
        /// The backoff if it fails is twice this.
        backoff: Duration,
    },
}

/// What somebody who wants to send should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Send, and report how it went.
    Send,
    /// Answer at once that the store is away.
    Refuse,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Whether something may be sent now. Who is told to send must report how it went.
    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        match *self {
            Self::Closed { .. } => Admission::Send,
            Self::Open { until, backoff } if now >= until => {
                *self = Self::Probing { backoff };
                Admission::Send
            }
            Self::Open { .. } | Self::Probing { .. } => Admission::Refuse,
        }
    }

    /// The server answered.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// It did not, or not as one that works. `chance` is between 0 and 1.
    pub(super) fn failed(&mut self, now: Instant, chance: f64) {
        let backoff = match *self {
            Self::Closed { failures } if failures + 1 < FAILURES_MAX => {
                *self = Self::Closed {
                    failures: failures + 1,
                };
                return;
            }
            Self::Closed { .. } => BACKOFF_MIN,
            Self::Probing { backoff } => (backoff * 2).min(BACKOFF_MAX),
            // A straggler, sent before it opened.
            Self::Open { .. } => return,
        };
        // Between half and all of it, so that nodes do not come back in step.
        let until = now + backoff.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        *self = Self::Open { until, backoff };
    }

    /// Whether it lets everybody send.
    pub(super) const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES_MAX {
            assert!(breaker.is_closed());
            breaker.failed(now, 1.0);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_success_forgives_them() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            breaker.failed(now, 0.5);
            breaker.failed(now, 0.5);
            assert_eq!(breaker.admit(now), Admission::Send);
            breaker.succeeded();
        }
        assert_eq!(opened(now).admit(now), Admission::Refuse);
    }

    #[test]
    fn after_its_backoff_one_probes_and_the_others_wait() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.admit(now + BACKOFF_MIN / 2), Admission::Refuse);
        let later = now + BACKOFF_MIN;
        assert_eq!(breaker.admit(later), Admission::Send);
        assert_eq!(breaker.admit(later), Admission::Refuse);
        breaker.succeeded();
        assert_eq!(breaker.admit(later), Admission::Send);
    }

    #[test]
    fn each_failed_probe_doubles_the_backoff_up_to_its_bound() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        let mut backoffs = Vec::new();
        for _ in 0..8 {
            let Breaker::Open { until, .. } = breaker else {
                panic!("unexpected {breaker:?}");
            };
            backoffs.push((until - now).as_millis());
            now = until;
            assert_eq!(breaker.admit(now), Admission::Send);
            breaker.failed(now, 1.0);
        }
        assert_eq!(backoffs, [100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000]);
    }

    #[test]
    fn chance_takes_at_most_half_of_the_backoff() {
        let now = Instant::now();
        for chance in [0.0, 0.3, 1.0, 7.0, -1.0] {
            let mut breaker = Breaker::Probing {
                backoff: BACKOFF_MIN,
            };
            breaker.failed(now, chance);
            let Breaker::Open { until, .. } = breaker else {
                panic!("unexpected {breaker:?}");
            };
            assert!(until >= now + BACKOFF_MIN && until <= now + BACKOFF_MIN * 2);
        }
    }

    #[test]
    fn a_straggler_does_not_move_it() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let before = breaker;
        breaker.failed(now, 1.0);
        assert_eq!(breaker, before);
    }
}
