//! Whether an object names a key twice.

use std::collections::HashSet;

use super::escape::escape;

/// Objects up to this size are checked for repeated keys pair by pair: at 16 keys that is at most
/// 120 comparisons, mostly of two lengths, and cheaper than hashing.
const PAIRWISE_KEYS_MAX: usize = 16;
/// Longest part of a key that an error repeats, in characters.
const EXCERPT_CHARS_MAX: usize = 32;

/// Keys as they read once their escapes are resolved, in one buffer.
pub(super) struct Unescaped {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Unescaped {
    /// Resolves keys that were found to be valid.
    pub(super) fn of(keys: &[&[u8]]) -> Self {
        let mut text = Vec::with_capacity(keys.iter().map(|key| key.len()).sum());
        let mut ends = Vec::with_capacity(keys.len());
        for key in keys {
            let mut rest = *key;
            while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
                let (char, length) = escape(&rest[at..]).expect("invariant: the key was checked");
                text.extend_from_slice(&rest[..at]);
                text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[at + length..];
            }
            text.extend_from_slice(rest);
            ends.push(text.len());
        }
        Self { text, ends }
    }

    pub(super) fn keys(&self) -> Vec<&[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| &self.text[start..*end])
            .collect()
    }
}

/// The excerpt of a key that is there twice.
pub(super) fn repeated(keys: &[&[u8]]) -> Option<String> {
    let twice = if keys.len() <= PAIRWISE_KEYS_MAX {
        let mut each = keys.iter().enumerate();
        each.find(|(at, key)| keys[at + 1..].contains(key))
            .map(|(_, key)| key)
    } else {
        let mut seen = HashSet::with_capacity(keys.len());
        keys.iter().find(|key| !seen.insert(**key))
    };
    twice.map(|key| excerpt(key))
}

pub(super) fn excerpt(key: &[u8]) -> String {
    let text = String::from_utf8_lossy(key);
    let mut chars = text.chars().flat_map(char::escape_debug);
    let mut short: String = chars.by_ref().take(EXCERPT_CHARS_MAX - 1).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}
