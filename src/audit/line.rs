//! How a record is written: one JSON object on a line that ends in its checksum and chain value.
//!
//! ```text
//! {"v":1,"seq":7,…          what the chain covers: the canonical record, with its commitments
//! ,"sealed":{…}             what is encrypted, outside of the chain
//! ,"crc":"…","chain":"…"}   a CRC-32 of all before it, and the chain value
//! ```

use std::ops::Range;

use super::chain::{Hash, SegmentKey, push_hex};

/// The format of lines; another is refused, not guessed.
pub(super) const FORMAT: u64 = 1;

const SEALED: &str = ",\"sealed\":{";
const CRC: &str = ",\"crc\":\"";
const CHAIN: &str = "\",\"chain\":\"";
const CRC_DIGITS: usize = 8;
const CHAIN_LETTERS: usize = 43;
const END: &str = "\"}";
const TAIL: usize = CRC.len() + CRC_DIGITS + CHAIN.len() + CHAIN_LETTERS + END.len();

/// What is encrypted of a record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Boxes<'a> {
    pub(super) who: Option<&'a str>,
    pub(super) payload: Option<&'a str>,
}

/// Why a line is not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    #[error("it is no record")]
    Form,
    #[error("its checksum is wrong")]
    Checksum,
}

/// A line, taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// What the chain covers; an object but for its closing brace.
    pub(super) canonical: &'a str,
    sealed: Option<&'a str>,
    pub(super) chain: Hash,
}

/// Completes the record that begins at `start` of `out`, and gives its chain value.
pub(super) fn finish(
    out: &mut String,
    start: usize,
    boxes: Boxes<'_>,
    key: &SegmentKey,
    before: &Hash,
) -> Hash {
    let hash = key.link(before, &out.as_bytes()[start..]);
    if boxes.who.is_some() || boxes.payload.is_some() {
        out.push_str(SEALED);
        let mut comma = "";
        for (name, text) in [("who", boxes.who), ("payload", boxes.payload)] {
            if let Some(text) = text {
                for piece in [comma, "\"", name, "\":\"", text, "\""] {
                    out.push_str(piece);
                }
                comma = ",";
            }
        }
        out.push('}');
    }
    let crc = crc32fast::hash(&out.as_bytes()[start..]);
    out.push_str(CRC);
    push_hex(out, &crc.to_be_bytes());
    out.push_str(CHAIN);
    hash.push(out);
    out.push_str(END);
    out.push('\n');
    hash
}

impl<'a> Line<'a> {
    /// Takes a line apart, without its line break.
    pub(super) fn parse(line: &'a str) -> Result<Self, Damage> {
        let body_length = line.len().checked_sub(TAIL).ok_or(Damage::Form)?;
        let (body, tail) = line.split_at_checked(body_length).ok_or(Damage::Form)?;
        let tail = tail.strip_prefix(CRC).ok_or(Damage::Form)?;
        let (crc, tail) = tail.split_at_checked(CRC_DIGITS).ok_or(Damage::Form)?;
        let tail = tail.strip_prefix(CHAIN).ok_or(Damage::Form)?;
        let chain = tail.strip_suffix(END).ok_or(Damage::Form)?;
        let mut expected = String::with_capacity(CRC_DIGITS);
        push_hex(
            &mut expected,
            &crc32fast::hash(body.as_bytes()).to_be_bytes(),
        );
        if crc != expected {
            return Err(Damage::Checksum);
        }
        let chain = Hash::parse(chain).ok_or(Damage::Form)?;
        let (canonical, sealed) = match body.split_once(SEALED) {
            None => (body, None),
            Some((canonical, sealed)) => {
                let sealed = sealed.strip_suffix('}').filter(|it| is_as_written(it));
                (canonical, Some(sealed.ok_or(Damage::Form)?))
            }
        };
        Ok(Self {
            canonical,
            sealed,
            chain,
        })
    }

    /// What is encrypted under that name.
    pub(super) fn sealed(&self, name: &str) -> Option<&'a str> {
        let sealed = self.sealed?;
        let members = sealed
            .split(',')
            .filter_map(|member| member.split_once(':'));
        let unquoted = |text: &'a str| text.strip_prefix('"')?.strip_suffix('"');
        members
            .filter(|(key, _)| unquoted(key) == Some(name))
            .find_map(|(_, value)| unquoted(value))
    }

    /// The canonical record as a value.
    pub(super) fn decode<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        let mut text = String::with_capacity(self.canonical.len() + 1);
        text.push_str(self.canonical);
        text.push('}');
        serde_json::from_str(&text).ok()
    }
}

/// Whether there is nothing but `"who":"…"`, `"payload":"…"`, in this order: the chain does not cover it.
fn is_as_written(sealed: &str) -> bool {
    let is_box = |text: &str, name: &str| {
        let text = text.strip_prefix('"').and_then(|it| it.strip_prefix(name));
        let text = text.and_then(|it| it.strip_prefix("\":\"")?.strip_suffix('"'));
        let is_letter = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'_';
        text.is_some_and(|text| text.bytes().all(is_letter))
    };
    match sealed.split_once(',') {
        None => is_box(sealed, "who") || is_box(sealed, "payload"),
        Some((who, payload)) => is_box(who, "who") && is_box(payload, "payload"),
    }
}

/// The whole lines of a file, and what is behind the last line break.
pub(super) fn lines(bytes: &[u8]) -> (impl Iterator<Item = (Range<usize>, &[u8])>, &[u8]) {
    let whole = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let mut at = 0;
    let lines = bytes[..whole]
        .split_inclusive(|byte| *byte == b'\n')
        .map(move |line| {
            let start = at;
            at += line.len();
            (start..at, &line[..line.len() - 1])
        });
    (lines, &bytes[whole..])
}

#[cfg(test)]
mod tests {
    use super::super::chain::{Keys, START};
    use super::*;
    use crate::runtime::seal::ClusterKeys;

    fn written(boxes: Boxes<'_>) -> String {
        let keys = Keys::of(&ClusterKeys::generate());
        let key = keys.segment(keys.name(), &[]).unwrap();
        let mut out = String::from(r#"{"v":1,"seq":1,"a":",\"sealed\":{""#);
        finish(&mut out, 0, boxes, &key, &START);
        out.trim_end().to_owned()
    }

    #[test]
    fn a_line_is_taken_apart_as_it_was_put_together() {
        let boxes = Boxes {
            who: Some("abc"),
            payload: Some("def"),
        };
        let text = written(boxes);
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        let line = Line::parse(&text).unwrap();
        assert_eq!(line.canonical, r#"{"v":1,"seq":1,"a":",\"sealed\":{""#);
        assert_eq!(
            (line.sealed("who"), line.sealed("payload")),
            (Some("abc"), Some("def"))
        );
        let text = written(Boxes::default());
        assert_eq!(Line::parse(&text).unwrap().sealed("who"), None);
    }

    #[test]
    fn no_flipped_bit_goes_unseen_in_what_the_checksum_covers() {
        let text = written(Boxes::default());
        for at in 0..text.len() - CHAIN_LETTERS - END.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(Line::parse(&changed).is_err(), "at {at}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(100_000))]

        /// Whatever a line is made into: it is told from what was written, and nothing panics.
        #[test]
        fn no_changed_line_passes(
            from in 0..260_usize,
            length in 0..20_usize,
            put in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..8),
        ) {
            static WRITTEN: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
                let boxes = Boxes { who: Some("abc"), payload: None };
                written(boxes)
            });
            let mut bytes = WRITTEN.clone().into_bytes();
            let from = from.min(bytes.len());
            let to = (from + length).min(bytes.len());
            bytes.splice(from..to, put);
            if let Ok(text) = std::str::from_utf8(&bytes)
                && let Ok(line) = Line::parse(text)
            {
                let whole = Line::parse(&WRITTEN).unwrap();
                let is_same = line.canonical == whole.canonical && line.sealed == whole.sealed;
                // Only the chain value itself is outside of the checksum.
                proptest::prop_assert!(is_same, "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_line_is_refused_whatever_it_is() {
        for sealed in [
            "",
            r#""who":"a","who":"b""#,
            r#""who":"a","payload":"b","x":"c""#,
            r#""who":"a","x":"b""#,
            r#""x":"a""#,
            r#""who":{}"#,
        ] {
            assert!(!is_as_written(sealed), "{sealed}");
        }
        for text in ["", "{}", "ä", &"ä".repeat(60), &"x".repeat(500)] {
            assert!(Line::parse(text).is_err(), "{text}");
        }
        let (whole, rest) = lines(b"a\nbc\nd");
        let whole: Vec<_> = whole.map(|(range, line)| (range, line.to_vec())).collect();
        assert_eq!(whole, [(0..2, b"a".to_vec()), (2..5, b"bc".to_vec())]);
        assert_eq!(rest, b"d");
    }
}
