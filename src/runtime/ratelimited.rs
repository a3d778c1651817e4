//! Warnings that may come at the rate of requests, written at a rate that can be read.
//!
//! [`warn_ratelimited!`] writes the first of a place in the code and then one in [`INTERVAL_MS`], which
//! says how many were suppressed before it. What is suppressed last is told by [`tell_overdue`], so
//! that each is accounted for also when no further one comes.
//!
//! It does not tell errors apart: what every one of them said is lost, and how many there were is in
//! the metrics besides.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Instant;

/// How long a place says nothing more: an outage of an hour is a few hundred lines.
const INTERVAL_MS: u64 = 10_000;

/// Places that wrote something, in the order in which they first did. As many as there are in the code.
static PLACES: Mutex<Vec<&'static Place>> = Mutex::new(Vec::new());

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Writes a warning of this text with these fields, unless this place did so lately.
macro_rules! warn_ratelimited {
    ($text:literal, $($fields:tt)+) => {{
        static PLACE: $crate::runtime::ratelimited::Place =
            $crate::runtime::ratelimited::Place::new($text);
        if let Some(suppressed) = PLACE.admit() {
            let suppressed = (suppressed > 0).then_some(suppressed);
            tracing::warn!({ $($fields)+, suppressed }, $text);
        }
    }};
}
pub(crate) use warn_ratelimited;

/// A place in the code.
#[derive(Debug)]
pub(crate) struct Place {
    text: &'static str,
    /// Until when it says nothing, in milliseconds of this process, from 1; 0 before its first line.
    quiet_until: AtomicU64,
    suppressed: AtomicU64,
}

impl Place {
    pub(crate) const fn new(text: &'static str) -> Self {
        Self {
            text,
            quiet_until: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        }
    }

    /// Whether to write a line now, and how many were suppressed since the last.
    pub(crate) fn admit(&'static self) -> Option<u64> {
        let (admitted, first) = self.admit_at(now());
        if first {
            lock().push(self);
        }
        admitted
    }

    /// The same at a point in time, and whether this is the first line ever.
    fn admit_at(&self, now: u64) -> (Option<u64>, bool) {
        let quiet_until = self.quiet_until.load(Ordering::Acquire);
        let next = now + INTERVAL_MS;
        // Of several at once one takes the turn.
        let order = Ordering::AcqRel;
        let taken = now >= quiet_until
            && (self.quiet_until)
                .compare_exchange(quiet_until, next, order, Ordering::Acquire)
                .is_ok();
        if taken {
            let suppressed = self.suppressed.swap(0, order);
            return (Some(suppressed), quiet_until == 0);
        }
        self.suppressed.fetch_add(1, order);
        (None, false)
    }

    /// How many were suppressed of which no later line has told.
    fn overdue(&self, now: u64) -> Option<u64> {
        let quiet = now < self.quiet_until.load(Ordering::Acquire);
        let suppressed = if quiet {
            0
        } else {
            self.suppressed.swap(0, Ordering::AcqRel)
        };
        (suppressed > 0).then_some(suppressed)
    }
}

/// Tells what was suppressed where nothing more came since. To be called every now and then.
pub(crate) fn tell_overdue() {
    tell(now());
}

/// Tells all that was suppressed; called when stopping.
pub(crate) fn tell_rest() {
    tell(u64::MAX);
}

fn tell(now: u64) {
    for place in lock().iter() {
        if let Some(suppressed) = place.overdue(now) {
            tracing::warn!(suppressed, of = place.text, "warnings were suppressed");
        }
    }
}

fn now() -> u64 {
    1 + u64::try_from(BEGAN.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
}

fn lock() -> std::sync::MutexGuard<'static, Vec<&'static Place>> {
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_an_interval_is_written_and_says_how_many_were_not() {
        let place = Place::new("a store is away");
        assert_eq!(place.admit_at(1), (Some(0), true));
        for now in 1..100 {
            assert_eq!(place.admit_at(now), (None, false));
        }
        assert_eq!(place.admit_at(1 + INTERVAL_MS), (Some(99), false));
        assert_eq!(place.admit_at(1 + 2 * INTERVAL_MS), (Some(0), false));
    }

    #[test]
    fn what_was_suppressed_last_is_told_once_when_nothing_more_comes() {
        let place = Place::new("a store is away");
        place.admit_at(1);
        place.admit_at(2);
        place.admit_at(3);
        assert_eq!(place.overdue(INTERVAL_MS), None, "a line may still tell it");
        assert_eq!(place.overdue(1 + INTERVAL_MS), Some(2));
        assert_eq!(place.overdue(1 + INTERVAL_MS), None);
    }

    #[test]
    fn of_many_threads_one_writes_and_none_is_forgotten() {
        static PLACE: Place = Place::new("a store is away");
        let threads = (0..8).map(|_| {
            std::thread::spawn(|| (0..1_000).filter(|_| PLACE.admit_at(7).0.is_some()).count())
        });
        let threads = threads.collect::<Vec<_>>();
        let written: usize = threads.into_iter().map(|it| it.join().unwrap()).sum();
        assert_eq!((written, PLACE.overdue(u64::MAX)), (1, Some(7_999)));
    }
}
