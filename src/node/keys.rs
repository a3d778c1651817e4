//! Which cluster keys the other nodes have.
//!
//! A node with another key is a node like any other, but that each takes the ids of the other for
//! forged. So whoever comes says which keys it has, is told which the others have, and each says
//! loudly when its own signatures are not understood. Keys are named by their fingerprints.
//!
//! Nothing is refused for it: the keys do not tell who is wrong. During a rotation that was begun at
//! the wrong end it is the one node that is right, and to replace a key that leaked at once is a choice.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::runtime::seal::{FINGERPRINT_LEN, Fingerprint};
use crate::store::Incarnation;

/// Nodes of which it is kept that they do not know our key. Beyond that the one that was heard of
/// first is forgotten, which hardly lives any more.
const STRANGERS_MAX: usize = 1_000;

/// See the module docs.
#[derive(Debug)]
pub(super) struct Keys {
    /// The first is that of the key that signs.
    ours: Vec<Fingerprint>,
    /// The same, as it is told to others.
    letter: Bytes,
    /// Who said that it does not have the key that signs here, whether it lives or not.
    strangers: Mutex<Vec<Incarnation>>,
}

impl Keys {
    pub(super) fn new(ours: &[Fingerprint]) -> Self {
        Self {
            ours: ours.to_vec(),
            letter: ours.iter().flat_map(|key| key.0).collect(),
            strangers: Mutex::default(),
        }
    }

    /// What the others are told of them.
    pub(super) fn letter(&self) -> &[u8] {
        &self.letter
    }

    /// Another node tells which it has. One that tells nothing is of another release.
    pub(super) fn hear(&self, from: Incarnation, letter: &[u8]) {
        let (theirs, _) = letter.as_chunks::<FINGERPRINT_LEN>();
        let Some((ours, signs_there)) = self.ours.first().zip(theirs.first()) else {
            return;
        };
        let mut strangers = self.lock();
        if theirs.contains(&ours.0) || strangers.contains(&from) {
            return;
        }
        if strangers.len() >= STRANGERS_MAX {
            strangers.remove(0);
        }
        strangers.push(from);
        drop(strangers);
        tracing::error!(
            %ours,
            theirs = %Fingerprint(*signs_there),
            setting = "[cluster] keys",
            "another node does not know the key that signs here: sessions made here do not exist there"
        );
    }

    /// How many of these do not know the key that signs here.
    pub(super) fn strangers(&self, living: &[Incarnation]) -> usize {
        let strangers = self.lock();
        living
            .iter()
            .filter(|node| strangers.contains(node))
            .count()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Incarnation>> {
        self.strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Fingerprint = Fingerprint([1; FINGERPRINT_LEN]);
    const NEW: Fingerprint = Fingerprint([2; FINGERPRINT_LEN]);
    const WRONG: Fingerprint = Fingerprint([3; FINGERPRINT_LEN]);

    /// Whether a node with `ours` finds that one with `theirs` does not know its key.
    fn finds_a_stranger(ours: &[Fingerprint], theirs: &[Fingerprint]) -> bool {
        let keys = Keys::new(ours);
        let other = Incarnation(2);
        // Twice, as it is told whenever something may have been missed.
        keys.hear(other, Keys::new(theirs).letter());
        keys.hear(other, Keys::new(theirs).letter());
        assert_eq!(keys.strangers(&[]), 0, "who is dead is nobody's trouble");
        keys.strangers(&[Incarnation(1), other]) == 1
    }

    #[test]
    fn no_step_of_a_rotation_makes_strangers() {
        let steps: [&[Fingerprint]; 4] = [&[OLD], &[OLD, NEW], &[NEW, OLD], &[NEW]];
        for neighbours in steps.windows(2) {
            let [before, after] = neighbours else {
                panic!("there are two");
            };
            assert!(!finds_a_stranger(before, after), "{before:?} {after:?}");
            assert!(!finds_a_stranger(after, before), "{after:?} {before:?}");
        }
    }

    #[test]
    fn whose_key_is_not_known_finds_out_and_only_that_one() {
        assert!(finds_a_stranger(&[NEW, OLD], &[OLD]), "a step left out");
        assert!(!finds_a_stranger(&[OLD], &[NEW, OLD]));
        assert!(finds_a_stranger(&[WRONG], &[OLD]) && finds_a_stranger(&[OLD], &[WRONG]));
    }

    #[test]
    fn a_release_that_does_not_tell_its_keys_is_none() {
        assert!(!finds_a_stranger(&[OLD], &[]) && !finds_a_stranger(&[], &[OLD]));
    }

    #[test]
    fn strangers_have_a_bound() {
        let keys = Keys::new(&[OLD]);
        let many = (0..=STRANGERS_MAX as u64)
            .map(Incarnation)
            .collect::<Vec<_>>();
        for node in &many {
            keys.hear(*node, Keys::new(&[WRONG]).letter());
        }
        assert_eq!(keys.strangers(&many), STRANGERS_MAX);
    }
}
