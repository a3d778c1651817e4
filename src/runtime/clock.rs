//! One clock for the process: wall time that never steps back while the process lives.
//!
//! [`Clock::now`] is the wall clock read once at start, moved on by the monotonic clock. So a
//! correction of the system clock cannot expire every session at once, and a time written to a
//! store still means something to the next process that reads it. Nodes that share a store follow
//! its clock ([`Clock::follow`]), so that they agree whatever their own say. [`Clock::manual`]
//! stands still until a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in time, in milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This time moved on by `by`; saturates.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The source of time that every part is handed.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System {
        started: Instant,
        wall_us: Arc<AtomicU64>,
    },
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The real clock, anchored now.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    pub fn system() -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self(Source::System {
            started: Instant::now(),
            wall_us: Arc::new(AtomicU64::new(micros(wall))),
        })
    }

    /// A clock that stands at `start` until [`Clock::advance`] moves it.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(start.0))))
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { .. } => Timestamp(self.wall_micros() / 1_000),
            Source::Manual(now) => Timestamp(now.load(Ordering::Acquire)),
        }
    }

    /// The present in microseconds since the Unix epoch, for measuring.
    #[must_use]
    pub fn wall_micros(&self) -> u64 {
        match &self.0 {
            Source::System { started, wall_us } => {
                let anchor = wall_us.load(Ordering::Acquire);
                anchor.saturating_add(micros(started.elapsed()))
            }
            Source::Manual(now) => now.load(Ordering::Acquire).saturating_mul(1_000),
        }
    }

    /// Sets the clock by another that says `now`: before anything is served, since it may step. A
    /// manual clock follows nobody.
    pub fn follow(&self, now: Timestamp) {
        match &self.0 {
            Source::System { started, wall_us } => {
                let now_us = now.0.saturating_mul(1_000);
                let anchor = now_us.saturating_sub(micros(started.elapsed()));
                wall_us.store(anchor, Ordering::Release);
            }
            Source::Manual(_) => {}
        }
    }

    /// Moves a manual clock on.
    ///
    /// # Panics
    /// On the system clock: nobody moves that.
    pub fn advance(&self, by: Duration) {
        match &self.0 {
            Source::System { .. } => panic!("only a manual clock can be advanced"),
            Source::Manual(now) => {
                now.fetch_add(millis(by), Ordering::AcqRel);
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(Timestamp(1_000));
        assert_eq!(clock.now(), Timestamp(1_000));
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.now().since(Timestamp(1_000)), Duration::from_secs(2));
    }

    #[test]
    fn the_system_clock_never_steps_back() {
        let clock = Clock::system();
        let first = clock.now();
        assert!(clock.now() >= first);
        assert!(first.0 > 1_600_000_000_000, "anchored at the wall clock");
    }
}
