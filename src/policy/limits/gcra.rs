//! The bucket as one number: the generic cell rate algorithm.
//!
//! A bucket is the time at which it is full again, if nothing more is taken ([`FullAt`]). Taking
//! moves it on, giving back moves it back; it never lies further ahead than a whole bucket takes to
//! fill. Nothing runs between two takes, and a bucket at rest needs not be kept.
//!
//! Time is handed in, in microseconds; inside it is counted in nanoseconds, so that the rounding of
//! high rates does not show.

use super::rate::Share;

/// When a bucket is full again, in nanoseconds. The default is one that nothing was taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FullAt(u64);

/// How taking from a bucket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// So many were there.
    Tokens(u32),
    /// There was none; the first comes after so many microseconds.
    Empty {
        /// How long.
        retry_after: u64,
    },
}

impl FullAt {
    /// Takes as many as there are, at most `most` of them.
    pub fn take(&mut self, rate: Share, most: u32, now: u64) -> Taken {
        let now = now.saturating_mul(1_000);
        let interval = rate.interval_nanos.max(1);
        let latest = now.saturating_add(interval.saturating_mul(rate.burst.into()));
        // A clock that stepped back, or a bucket that was larger: never further ahead than empty.
        let full_at = self.0.clamp(now, latest);
        let there = (latest - full_at) / interval;
        let taken = u32::try_from(there).unwrap_or(u32::MAX).min(most);
        if taken == 0 {
            self.0 = full_at;
            let wait = full_at.saturating_add(interval).saturating_sub(latest);
            let retry_after = wait.div_ceil(1_000);
            return Taken::Empty { retry_after };
        }
        self.0 = full_at + interval * u64::from(taken);
        Taken::Tokens(taken)
    }

    /// How many there are.
    #[must_use]
    pub fn left(self, rate: Share, now: u64) -> u32 {
        let mut bucket = self;
        match bucket.take(rate, u32::MAX, now) {
            Taken::Tokens(count) => count,
            Taken::Empty { .. } => 0,
        }
    }

    /// Gives back what was taken and not used.
    pub fn give_back(&mut self, rate: Share, count: u32) {
        let back = rate.interval_nanos.max(1).saturating_mul(count.into());
        self.0 = self.0.saturating_sub(back);
    }

    /// Whether it is full: forgetting it changes nothing.
    #[must_use]
    pub const fn is_at_rest(self, now: u64) -> bool {
        self.0 <= now.saturating_mul(1_000)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One per second, five at once.
    const RATE: Share = Share {
        interval_nanos: 1_000_000_000,
        burst: 5,
    };
    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_bucket_empties_at_once_and_fills_one_by_one() {
        let mut bucket = FullAt::default();
        let now = 1_000 * SECOND;
        assert_eq!(bucket.take(RATE, 3, now), Taken::Tokens(3));
        assert_eq!(bucket.take(RATE, 3, now), Taken::Tokens(2));
        let retry_after = SECOND;
        assert_eq!(bucket.take(RATE, 1, now), Taken::Empty { retry_after });
        let retry_after = SECOND / 4;
        let later = now + 3 * retry_after;
        assert_eq!(bucket.take(RATE, 1, later), Taken::Empty { retry_after });
        assert_eq!(bucket.take(RATE, 9, now + 2 * SECOND), Taken::Tokens(2));
        assert!(!bucket.is_at_rest(now + 6 * SECOND));
        assert!(bucket.is_at_rest(now + 7 * SECOND));
        assert_eq!(bucket.take(RATE, 9, now + 60 * SECOND), Taken::Tokens(5));
    }

    #[test]
    fn what_is_given_back_is_there_again_and_never_more_than_fits() {
        let mut bucket = FullAt::default();
        let now = 1_000 * SECOND;
        bucket.take(RATE, 5, now);
        bucket.give_back(RATE, 2);
        assert_eq!(bucket.take(RATE, 9, now), Taken::Tokens(2));
        bucket.give_back(RATE, 100);
        assert_eq!(bucket.take(RATE, 9, now), Taken::Tokens(5));
    }

    #[test]
    fn a_clock_that_steps_back_leaves_nobody_waiting_longer_than_a_bucket() {
        let mut bucket = FullAt::default();
        bucket.take(RATE, 5, 1_000 * SECOND);
        let retry_after = SECOND;
        assert_eq!(bucket.take(RATE, 1, SECOND), Taken::Empty { retry_after });
        assert_eq!(bucket.take(RATE, 1, 2 * SECOND), Taken::Tokens(1));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn no_stretch_of_time_admits_more_than_a_bucket_and_what_flows_in(
            interval in 1_u64..5_000_000,
            burst in 1_u32..50,
            steps in prop::collection::vec((0_u64..20_000, 1_u32..60), 1..10),
        ) {
            let rate = Share { interval_nanos: interval, burst };
            let mut bucket = FullAt::default();
            let mut now = 1_000_000_u64;
            let mut taken = Vec::new();
            for (pause, most) in steps {
                now += pause;
                match bucket.take(rate, most, now) {
                    Taken::Tokens(count) => {
                        prop_assert!(count <= most.min(burst) && count > 0);
                        taken.push((now, u64::from(count)));
                    }
                    Taken::Empty { retry_after } => {
                        // Not a moment before, and then for sure.
                        if retry_after > 1 {
                            let early = bucket.take(rate, 1, now + retry_after - 1);
                            let is_early = matches!(early, Taken::Empty { .. });
                            prop_assert!(is_early);
                        }
                        let mut then = bucket;
                        prop_assert_eq!(then.take(rate, 1, now + retry_after), Taken::Tokens(1));
                    }
                }
            }
            for (at, (from, _)) in taken.iter().enumerate() {
                let mut sum = 0;
                for (until, count) in &taken[at..] {
                    sum += count;
                    let flowed = (until - from) * 1_000 / interval;
                    prop_assert!(sum <= u64::from(burst) + flowed + 1);
                }
            }
        }

        #[test]
        fn no_numbers_make_it_fail(
            interval: u64,
            burst: u32,
            steps in prop::collection::vec((any::<u64>(), any::<u32>(), any::<u32>()), 1..5),
        ) {
            let rate = Share { interval_nanos: interval, burst };
            let mut bucket = FullAt::default();
            for (now, most, back) in steps {
                bucket.take(rate, most, now);
                bucket.give_back(rate, back);
            }
        }
    }
}
