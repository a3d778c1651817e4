//! Tokens that were checked a moment ago, so that a signature is not computed for every request.
//!
//! They are found by the digest of the token and its audience; the token itself is not kept. What is
//! kept costs memory in proportion to what tokens say, so their bytes are bounded, not their number:
//! there are two halves, and when the younger is full, the older is forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::refusal::Step;
use super::verified::Verified;
use crate::runtime::clock::Timestamp;

/// How long an outcome is kept: with the time for which open streams bear that an issuer does not answer,
/// a minute.
pub(super) const AGE_MAX: Duration = Duration::from_secs(30);
/// Bytes in one half: some four thousand tokens of the usual size, which as claims take six times
/// as much.
const HALF_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What an outcome takes besides, also one that says only no.
const OUTCOME_BYTES: usize = 256;

/// What a token is found by.
pub(super) type Digest = [u8; 32];

/// How the check of a token ended.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// How.
    pub(super) verified: Result<Arc<Verified>, Step>,
    /// Until when that is so.
    pub(super) until: Timestamp,
    /// The keys it was checked with, where it was: of which issuer of the list, and which.
    pub(super) keys: Option<(usize, u64)>,
}

/// The outcomes of the last half a minute.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Halves>);

#[derive(Debug, Default)]
struct Halves {
    young: HashMap<Digest, Outcome>,
    young_bytes: usize,
    old: HashMap<Digest, Outcome>,
}

impl Kept {
    /// How the token of this digest did, if that is still so.
    pub(super) fn find(&self, digest: &Digest, now: Timestamp) -> Option<Outcome> {
        let halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = halves.young.get(digest).or_else(|| halves.old.get(digest));
        found.filter(|outcome| now < outcome.until).cloned()
    }

    /// Keeps how a token did that says so many bytes.
    pub(super) fn keep(&self, digest: Digest, bytes: usize, outcome: Outcome) {
        let bytes = bytes + OUTCOME_BYTES;
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if halves.young_bytes + bytes > HALF_BYTES_MAX {
            halves.old = std::mem::take(&mut halves.young);
            halves.young_bytes = 0;
        }
        halves.young_bytes += bytes;
        halves.young.insert(digest, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(until: u64) -> Outcome {
        Outcome {
            verified: Err(Step::Inactive),
            until: Timestamp(until),
            keys: None,
        }
    }

    fn digest(of: usize) -> Digest {
        crate::runtime::seal::digest(&[&of.to_be_bytes()])
    }

    #[test]
    fn an_outcome_is_kept_until_its_time_and_no_longer() {
        let kept = Kept::default();
        kept.keep(digest(0), 10, bad(1_000));
        assert!(kept.find(&digest(0), Timestamp(999)).is_some());
        assert!(kept.find(&digest(0), Timestamp(1_000)).is_none());
        assert!(kept.find(&digest(1), Timestamp(0)).is_none());
    }

    #[test]
    fn the_oldest_are_forgotten_when_there_are_many() {
        let kept = Kept::default();
        let size = HALF_BYTES_MAX / 4 - OUTCOME_BYTES;
        for token in 0..13 {
            kept.keep(digest(token), size, bad(1_000));
        }
        let is_kept = |token: &usize| kept.find(&digest(*token), Timestamp(0)).is_some();
        assert!((0..13).filter(is_kept).eq(8..13));
    }
}
