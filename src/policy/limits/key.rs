//! What a limit counts, as bytes that name it and nothing else.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::runtime::seal;

/// Bytes of a digest by which a key is known to the store: enough that no two are the same.
const DIGEST_BYTES: usize = 16;

/// Names one bucket: the rule, the tenant, and whom or what else the rule counts by.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(Arc<[u8]>);

impl Key {
    /// Each word stands after its length, so that no word can be written to look like two.
    pub(super) fn of(words: &[&str]) -> Self {
        let length = |word: &str| word.len().to_le_bytes();
        let size = words.iter().map(|word| length(word).len() + word.len());
        let mut name = Vec::with_capacity(size.sum());
        for word in words {
            name.extend_from_slice(&length(word));
            name.extend_from_slice(word.as_bytes());
        }
        Self(name.into())
    }

    /// What the store knows it by: short, and no word about anybody.
    #[must_use]
    pub fn digest(&self) -> String {
        let digest = seal::digest(&[b"limit", &self.0]);
        let digits = digest[..DIGEST_BYTES].iter();
        digits.map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It names a user.
        f.write_str("Key([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        /// No tenant or user can be called so that they empty the bucket of another.
        #[test]
        fn words_written_in_any_way_make_one_key(
            one in vec("[0-2:a]{0,4}", 0..4),
            other in vec("[0-2:a]{0,4}", 0..4),
        ) {
            let key = |words: &[String]| {
                Key::of(&words.iter().map(String::as_str).collect::<Vec<_>>())
            };
            let (first, second) = (key(&one), key(&other));
            prop_assert_eq!(one == other, first == second);
            prop_assert_eq!(one == other, first.digest() == second.digest());
        }
    }

    #[test]
    fn no_two_things_share_a_key_however_they_are_named() {
        let all = [
            Key::of(&["a", "b"]),
            Key::of(&["ab"]),
            Key::of(&["a1:b"]),
            Key::of(&["a", "b", ""]),
            Key::of(&["a", "", "b"]),
        ];
        let names: std::collections::BTreeSet<_> = all.iter().collect();
        let digests: std::collections::BTreeSet<_> = all.iter().map(Key::digest).collect();
        assert_eq!((names.len(), digests.len()), (all.len(), all.len()));
        assert_eq!(all[0].digest().len(), 2 * DIGEST_BYTES);
    }
}
