//! A distribution of times in bounded memory.
//!
//! Sixteen buckets for each power of two microseconds, so a percentile is off by at most 6 %.
//! Beyond the last bucket (some 17 minutes) everything counts as that.

use std::time::Duration;

/// Buckets per power of two.
const STEPS: u64 = 16;
/// Powers of two above the first, which is exact.
const POWERS: u64 = 26;

/// See the module docs.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    buckets: Vec<u64>,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self {
            buckets: vec![0; index(u64::MAX) + 1],
        }
    }

    pub(crate) fn add(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[index(micros)] += 1;
    }

    /// The time that `percent` of all did not exceed, in microseconds.
    pub(crate) fn percentile(&self, percent: u64) -> u64 {
        let total: u64 = self.buckets.iter().sum();
        let rank = (total * percent).div_ceil(100).max(1);
        let mut so_far = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            so_far += count;
            if so_far >= rank {
                return upper_bound(index);
            }
        }
        0
    }
}

fn index(micros: u64) -> usize {
    let index = if micros < STEPS {
        micros
    } else {
        let power = u64::from(micros.ilog2() - STEPS.ilog2());
        if power >= POWERS {
            STEPS * (POWERS + 1) - 1
        } else {
            STEPS * (power + 1) + ((micros >> power) - STEPS)
        }
    };
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The largest time that falls into a bucket.
fn upper_bound(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    let power = index / STEPS - 1;
    ((STEPS + index % STEPS + 1) << power) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_falls_into_a_bucket_that_holds_it() {
        for micros in (0..100_000).chain([1 << 20, 1 << 29]) {
            let bound = upper_bound(index(micros));
            assert!(micros <= bound && bound - micros <= micros / 16, "{micros}");
        }
        assert_eq!(
            index(1 << 40),
            index(u64::MAX),
            "the last bucket takes the rest"
        );
    }

    #[test]
    fn percentiles_are_counted_from_the_fastest() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.percentile(50), 0);
        for micros in 1..=10 {
            latencies.add(Duration::from_micros(micros));
        }
        assert_eq!(latencies.percentile(50), 5);
        assert_eq!(latencies.percentile(99), 10);
    }
}
