//! When the keys of an issuer are asked for again: the rules, without asking anybody.
//!
//! Keys are used as they are while they are young; then they are asked for beside the request that
//! noticed; then before it, so that a withdrawn key is good for 50 s at most. An issuer that
//! fails is left alone for a while, and meanwhile its keys go on to be used up to a limit, without
//! anybody waiting. A key that is not known is asked for, but not again and again: whoever sends
//! tokens could otherwise make us flood the issuer.
//!
//! Pure: the time is handed in. `keys` does what is decided here.

use std::sync::Arc;
use std::time::Duration;

use super::key_set::KeySet;
use crate::runtime::clock::Timestamp;

/// From this age on keys are asked for beside the request.
const BESIDE: Duration = Duration::from_secs(45);
/// From this age on they are asked for before it: how long a withdrawn key is good at most, which with
/// the time until an open stream asks is a minute.
const BEFORE: Duration = Duration::from_secs(50);
/// Between two times that an issuer is asked for a key it may not have, or after it failed.
const PAUSE: Duration = Duration::from_secs(30);
/// The same while we have no keys of it at all, and every request is refused.
const PAUSE_WITHOUT: Duration = Duration::from_secs(5);

/// What is known of an issuer's keys.
#[derive(Debug, Default)]
pub(super) struct Known {
    held: Option<Held>,
    /// When it was last asked.
    asked: Option<Timestamp>,
    /// When it was last asked for a key that was not known.
    sought: Option<Timestamp>,
    /// Whether the last answer was none.
    has_failed: bool,
    /// How often it was asked.
    asked_count: u64,
    /// Whether it has yet to answer.
    is_asking: bool,
}

/// Keys, and what they are called among those that came before.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// The keys.
    pub(super) set: Arc<KeySet>,
    /// Grows when they change.
    pub(super) generation: u64,
    /// When they were asked for.
    asked: Timestamp,
}

/// What to do before keys are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Use them.
    Use,
    /// Ask for them, and use those that are there.
    AskBeside,
    /// Ask for them and wait for the answer.
    Ask,
    /// Somebody has asked: wait for the answer.
    Wait,
    /// There are none, and it is too early to ask again.
    GiveUp(Duration),
}

/// What to do about a key that is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seek {
    /// Ask for it and wait for the answer.
    Ask,
    /// Somebody has asked: wait for the answer.
    Wait,
    /// There is no such key.
    Absent,
    /// Nobody knows, since the issuer does not answer.
    GiveUp(Duration),
}

impl Known {
    /// The keys, if they are not too old.
    pub(super) fn usable(&self, now: Timestamp, max_stale: Duration) -> Option<&Held> {
        let held = self.held.as_ref();
        held.filter(|held| now.since(held.asked) <= max_stale)
    }

    /// How often the issuer was asked: to tell later whether it was asked since.
    pub(super) const fn asked_count(&self) -> u64 {
        self.asked_count
    }

    /// Whether an answer is awaited.
    pub(super) const fn is_asking(&self) -> bool {
        self.is_asking
    }

    /// What to do before the keys are used.
    pub(super) fn next(&self, now: Timestamp, max_stale: Duration) -> Next {
        let Some(held) = self.usable(now, max_stale) else {
            return match (self.is_asking, self.rest_of(PAUSE_WITHOUT, now)) {
                (true, _) => Next::Wait,
                (false, Some(rest)) => Next::GiveUp(rest),
                (false, None) => Next::Ask,
            };
        };
        let age = now.since(held.asked);
        let rests = self.has_failed && self.rest_of(PAUSE, now).is_some();
        if age < BESIDE {
            return Next::Use;
        }
        match (self.is_asking, age < BEFORE || self.has_failed) {
            (true, true) => Next::Use,
            (true, false) => Next::Wait,
            (false, _) if rests => Next::Use,
            (false, true) => Next::AskBeside,
            (false, false) => Next::Ask,
        }
    }

    /// What to do about a key that is not there, by somebody who came when the issuer had been asked
    /// `before` times.
    pub(super) fn seek(&self, now: Timestamp, before: u64) -> Seek {
        let pause = self.sought.map(|sought| now.since(sought));
        let pause = pause.and_then(|since| PAUSE.checked_sub(since));
        let rest = self.rest_of(PAUSE, now).filter(|_| self.has_failed);
        if self.is_asking {
            Seek::Wait
        } else if let Some(rest) = rest {
            Seek::GiveUp(rest)
        } else if self.asked_count > before || pause.is_some_and(|rest| !rest.is_zero()) {
            Seek::Absent
        } else {
            Seek::Ask
        }
    }

    /// The issuer is being asked.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.asked = Some(now);
        self.asked_count += 1;
        self.is_asking = true;
    }

    /// The issuer is being asked for a key that is not there.
    pub(super) fn begin_seeking(&mut self, now: Timestamp) {
        self.sought = Some(now);
        self.begin(now);
    }

    /// It answered, or not.
    pub(super) fn end(&mut self, answer: Option<KeySet>) {
        self.is_asking = false;
        self.has_failed = answer.is_none();
        let (Some(set), Some(asked)) = (answer, self.asked) else {
            return;
        };
        let (set, generation) = match self.held.take() {
            Some(held) if held.set.is_same(&set) => (held.set, held.generation),
            Some(held) => (Arc::new(set), held.generation + 1),
            None => (Arc::new(set), 0),
        };
        self.held = Some(Held {
            set,
            generation,
            asked,
        });
    }

    /// When to come back for keys that are not there.
    pub(super) fn rest(&self, now: Timestamp) -> Duration {
        self.rest_of(PAUSE_WITHOUT, now).unwrap_or(PAUSE_WITHOUT)
    }

    /// What is left of a pause since the issuer was last asked.
    fn rest_of(&self, pause: Duration, now: Timestamp) -> Option<Duration> {
        let rest = pause.checked_sub(now.since(self.asked?))?;
        (!rest.is_zero()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1_000)
    }

    fn keys() -> Option<KeySet> {
        let key = r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#;
        KeySet::read(format!(r#"{{"keys":[{key}]}}"#).as_bytes()).ok()
    }

    /// Keys that were asked for at the beginning.
    fn held() -> Known {
        let mut known = Known::default();
        known.begin(at(0));
        known.end(keys());
        known
    }

    /// The same, and since then the issuer was asked in vain.
    fn failed(seconds: u64) -> Known {
        let mut known = held();
        known.begin(at(seconds));
        known.end(None);
        known
    }

    #[test]
    fn keys_are_renewed_before_they_are_old() {
        let (seconds, wait) = (Duration::from_secs, Next::GiveUp);
        let asking = |mut known: Known, seconds| {
            known.begin(at(seconds));
            known
        };
        let nothing = || {
            let mut known = Known::default();
            known.begin(at(0));
            known.end(None);
            known
        };
        for (known, now, expected) in [
            (Known::default(), 0, Next::Ask),
            (asking(Known::default(), 0), 9, Next::Wait),
            (nothing(), 0, wait(seconds(5))),
            (nothing(), 4, wait(seconds(1))),
            (nothing(), 5, Next::Ask),
            (held(), 0, Next::Use),
            (held(), 44, Next::Use),
            (held(), 45, Next::AskBeside),
            (held(), 49, Next::AskBeside),
            (held(), 50, Next::Ask),
            (held(), 3_600, Next::Ask),
            (held(), 3_601, Next::Ask),
            (asking(held(), 45), 49, Next::Use),
            (asking(held(), 45), 50, Next::Wait),
            (failed(45), 74, Next::Use),
            (failed(45), 75, Next::AskBeside),
            (failed(45), 3_600, Next::AskBeside),
            (asking(failed(45), 75), 80, Next::Use),
            (failed(3_600), 3_600, Next::Use),
            (failed(3_600), 3_601, wait(seconds(4))),
            (failed(3_600), 3_605, Next::Ask),
            (asking(failed(3_600), 3_605), 3_606, Next::Wait),
        ] {
            assert_eq!(known.next(at(now), HOUR), expected, "{now} {known:?}");
        }
    }

    #[test]
    fn a_key_is_sought_now_and_then() {
        let sought = |known: fn() -> Known, at_second, answer: Option<KeySet>| {
            let mut known = known();
            known.begin_seeking(at(at_second));
            known.end(answer);
            known
        };
        let seconds = Duration::from_secs;
        let mut asking = held();
        asking.begin(at(50));
        for (known, before, now, expected) in [
            (held(), 1, 10, Seek::Ask),
            (held(), 0, 10, Seek::Absent),
            (asking, 1, 50, Seek::Wait),
            (sought(held, 10, keys()), 1, 10, Seek::Absent),
            (sought(held, 10, keys()), 2, 39, Seek::Absent),
            (sought(held, 10, keys()), 2, 40, Seek::Ask),
            (sought(held, 10, None), 1, 10, Seek::GiveUp(seconds(30))),
            (sought(held, 10, None), 2, 39, Seek::GiveUp(seconds(1))),
            (sought(held, 10, None), 2, 40, Seek::Ask),
            (failed(50), 2, 60, Seek::GiveUp(seconds(20))),
            (failed(50), 2, 80, Seek::Ask),
        ] {
            assert_eq!(known.seek(at(now), before), expected, "{now} {known:?}");
        }
    }

    #[test]
    fn a_generation_is_one_set_of_keys() {
        let mut known = held();
        let generation = |known: &Known| known.usable(at(0), HOUR).map(|held| held.generation);
        assert_eq!(generation(&known), Some(0));
        known.end(keys());
        assert_eq!(generation(&known), Some(0));
        let others = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAB"}]}"#;
        known.end(KeySet::read(others).ok());
        assert_eq!(generation(&known), Some(1));
        known.end(None);
        assert_eq!(generation(&known), Some(1));
    }
}
