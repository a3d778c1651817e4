//! When the keys of an issuer are asked for again: the rules, without asking anybody.
//!
//! Keys are used as they are while they are young; then they are asked for beside the request that
//! noticed; then before it, so that a withdrawn key is good for a minute at most. An issuer that
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
/// From this age on they are asked for before it: how long a withdrawn key is good at most.
const BEFORE: Duration = Duration::from_secs(60);
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
