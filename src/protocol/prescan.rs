//! The look at a body before anything decodes it: is it one JSON document within our limits?
//!
//! [`prescan`] walks the bytes once, without recursion: a complete RFC 8259 validator that also
//! counts depth and members and refuses an object that names a key twice. The keys of the objects
//! that are still open are kept as slices of the input and compared when their object closes. A
//! small body touches no heap.
//!
//! It does not build values and knows nothing of JSON-RPC; `jsonrpc.rs` decodes the same bytes.
//!
//! Invariants:
//! - What is accepted here, `serde_json` accepts as one raw value. The reverse holds except for the
//!   limits, repeated keys, lone surrogates and top-level scalars (property-tested).
//! - Keys are compared unescaped: `"a"` and `"\u0061"` are the same key.
//! - The time is linear in the size of the body, whatever it holds: large objects are checked by
//!   hashing with a random key, so that colliding names cannot be prepared.

use std::collections::HashSet;

/// Objects up to this size are checked for repeated keys pair by pair: at 16 keys that is at most
/// 120 comparisons, mostly of two lengths, and cheaper than hashing.
const PAIRWISE_KEYS_MAX: usize = 16;
/// Open containers kept without the heap, and keys of open objects; a request has about 5 and 12.
const FRAMES_INLINE: usize = 16;
const KEYS_INLINE: usize = 32;
/// Longest part of a key that an error repeats, in characters.
const EXCERPT_CHARS_MAX: usize = 32;

/// How large a document may be, besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Containers inside each other, the outermost included.
    pub depth: usize,
    /// Object members and array elements in the whole document.
    pub members: usize,
}

impl Default for Limits {
    /// 64 deep, because decoders after us recurse; 200 000 members, which as decoded values cost
    /// about 20 MB.
    fn default() -> Self {
        Self {
            depth: 64,
            members: 200_000,
        }
    }
}

/// What the document is at its top level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `{…}`.
    Object,
    /// `[…]`.
    Array,
}

/// Why a body is refused; each text completes "the body …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrescanError {
    /// The bytes are not text.
    #[error("is not valid UTF-8 at byte {at}")]
    NotUtf8 {
        /// The first byte that is not.
        at: usize,
    },
    /// The text is not exactly one JSON document.
    #[error("is not valid JSON at byte {at}: {what}")]
    Syntax {
        /// Where the text stops being JSON.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// Containers are nested too deeply.
    #[error("is nested more than {max} levels deep")]
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// There are too many members.
    #[error("has more than {max} object members and array elements")]
    TooManyMembers {
        /// The limit.
        max: usize,
    },
    /// An object has two members of one name. Decoders disagree on which of them counts.
    #[error("has an object with the key `{key}` twice")]
    DuplicateKey {
        /// The beginning of the key, escaped.
        key: String,
    },
    /// Valid JSON, but a lone string, number or literal.
    #[error("is neither a JSON object nor an array")]
    NotAnObject,
}

/// Checks that `bytes` are one JSON object or array within `limits`.
///
/// # Errors
/// [`PrescanError`] for the first violation found. A repeated key is found when its object ends.
pub fn prescan(bytes: &[u8], limits: &Limits) -> Result<Shape, PrescanError> {
    if let Err(error) = std::str::from_utf8(bytes) {
        let at = error.valid_up_to();
        return Err(PrescanError::NotUtf8 { at });
    }
    let mut scanner = Scanner {
        bytes,
        at: 0,
        members_left: limits.members,
        limits,
        keys: Stack::new(&[]),
    };
    scanner.document()
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    members_left: usize,
    limits: &'a Limits,
    /// The keys of all open objects as written, those of the innermost last.
    keys: Stack<&'a [u8], KEYS_INLINE>,
}

/// An open container.
#[derive(Clone, Copy)]
struct Frame {
    shape: Shape,
    /// Where its keys begin in [`Scanner::keys`].
    keys_from: usize,
    /// Whether a key is written with escapes, so that comparing bytes is not enough.
    has_escapes: bool,
}

type Scan<T> = Result<T, PrescanError>;

impl Scanner<'_> {
    fn document(&mut self) -> Scan<Shape> {
        self.whitespace();
        let shape = match self.peek() {
            Some(b'{') => Shape::Object,
            Some(b'[') => Shape::Array,
            _ => {
                self.scalar()?;
                self.end()?;
                return Err(PrescanError::NotAnObject);
            }
        };
        self.containers(shape)?;
        self.end()?;
        Ok(shape)
    }

    /// Walks the container at the cursor with everything in it.
    fn containers(&mut self, shape: Shape) -> Scan<()> {
        let mut outer: Stack<Frame, FRAMES_INLINE> = Stack::new(self.frame(shape));
        let mut frame = self.open(shape, 0)?;
        let mut is_first = true;
        loop {
            self.whitespace();
            let is_closed = self.peek() == Some(closing(frame.shape));
            if is_closed {
                self.at += 1;
                self.close(&frame)?;
                match outer.pop() {
                    Some(parent) => frame = parent,
                    None => return Ok(()),
                }
                is_first = false;
                continue;
            }
            if !is_first {
                self.separator(frame.shape)?;
            }
            self.member(&mut frame)?;
            is_first = match self.peek() {
                Some(b'{') => {
                    outer.push(frame);
                    frame = self.open(Shape::Object, outer.len())?;
                    true
                }
                Some(b'[') => {
                    outer.push(frame);
                    frame = self.open(Shape::Array, outer.len())?;
                    true
                }
                _ => {
                    self.scalar()?;
                    false
                }
            };
        }
    }

    fn frame(&self, shape: Shape) -> Frame {
        Frame {
            shape,
            keys_from: self.keys.len(),
            has_escapes: false,
        }
    }

    /// Enters the container at the cursor, inside `outer` others.
    fn open(&mut self, shape: Shape, outer: usize) -> Scan<Frame> {
        if outer >= self.limits.depth {
            let max = self.limits.depth;
            return Err(PrescanError::TooDeep { max });
        }
        self.at += 1;
        Ok(self.frame(shape))
    }

    fn separator(&mut self, shape: Shape) -> Scan<()> {
        if self.peek() != Some(b',') {
            return Err(self.syntax(match shape {
                Shape::Object => "expected `,` or `}`",
                Shape::Array => "expected `,` or `]`",
            }));
        }
        self.at += 1;
        self.whitespace();
        Ok(())
    }

    /// Counts the member at the cursor and reads up to its value.
    fn member(&mut self, frame: &mut Frame) -> Scan<()> {
        self.members_left =
            self.members_left
                .checked_sub(1)
                .ok_or(PrescanError::TooManyMembers {
                    max: self.limits.members,
                })?;
        match frame.shape {
            Shape::Array => Ok(()),
            Shape::Object => self.key(frame),
        }
    }

    fn key(&mut self, frame: &mut Frame) -> Scan<()> {
        if self.peek() != Some(b'"') {
            return Err(self.syntax("expected a key in double quotes"));
        }
        let from = self.at;
        frame.has_escapes |= self.string()?;
        self.keys.push(&self.bytes[from + 1..self.at - 1]);
        self.whitespace();
        if self.peek() != Some(b':') {
            return Err(self.syntax("expected `:`"));
        }
        self.at += 1;
        self.whitespace();
        Ok(())
    }

    /// Forgets the keys of `frame` after making sure that each is there once.
    fn close(&mut self, frame: &Frame) -> Scan<()> {
        let keys = &self.keys.as_slice()[frame.keys_from..];
        let twice = if frame.has_escapes {
            repeated(&Unescaped::of(keys).keys())
        } else {
            repeated(keys)
        };
        if let Some(key) = twice {
            return Err(PrescanError::DuplicateKey { key });
        }
        self.keys.truncate(frame.keys_from);
        Ok(())
    }

    fn scalar(&mut self) -> Scan<()> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            Some(_) | None => Err(self.syntax("expected a value")),
        }
    }

    fn literal(&mut self, literal: &[u8]) -> Scan<()> {
        if !self.bytes[self.at..].starts_with(literal) {
            return Err(self.syntax("expected a value"));
        }
        self.at += literal.len();
        Ok(())
    }

    /// RFC 8259 section 6, at a minus or a digit.
    fn number(&mut self) -> Scan<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Scan<()> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == from {
            return Err(self.syntax("expected a digit"));
        }
        Ok(())
    }

    /// Passes the string at the cursor; whether it has escapes.
    fn string(&mut self) -> Scan<bool> {
        self.at += 1;
        let mut has_escapes = false;
        loop {
            self.plain_text();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(has_escapes);
                }
                Some(b'\\') => {
                    has_escapes = true;
                    self.escape()?;
                }
                Some(0..0x20) => {
                    return Err(self.syntax("control characters in strings must be escaped"));
                }
                Some(_) => self.at += 1,
                None => return Err(self.syntax("expected `\"`")),
            }
        }
    }

    /// Moves over text that ends no string, eight bytes at a time: to a byte that needs a look, or
    /// to the last few bytes of the body.
    fn plain_text(&mut self) {
        let mut rest = &self.bytes[self.at..];
        while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
            let stops = stops(u64::from_le_bytes(*chunk));
            if stops != 0 {
                self.at += (stops.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
            rest = after;
        }
    }

    fn escape(&mut self) -> Scan<()> {
        let text = &self.bytes[self.at..];
        self.at += match text.get(1).copied().and_then(short_escape) {
            Some(_) => 2,
            None => escape(text).map_err(|what| self.syntax(what))?.1,
        };
        Ok(())
    }

    fn end(&mut self) -> Scan<()> {
        self.whitespace();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.syntax("expected nothing more")),
        }
    }

    fn whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[cold]
    fn syntax(&self, what: &'static str) -> PrescanError {
        PrescanError::Syntax { at: self.at, what }
    }
}

const fn closing(shape: Shape) -> u8 {
    match shape {
        Shape::Object => b'}',
        Shape::Array => b']',
    }
}

/// Marks, in the high bit of each byte, the quotes, backslashes and control characters of `word`.
/// Bytes above the lowest marked one may be marked wrongly, by a borrow.
const fn stops(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xFF;
    const HIGHS: u64 = ONES << 7;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let zeros = (quote.wrapping_sub(ONES) & !quote) | (backslash.wrapping_sub(ONES) & !backslash);
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    (zeros | controls) & HIGHS
}

/// What a backslash before `byte` stands for, if that is all of the escape.
const fn short_escape(byte: u8) -> Option<char> {
    match byte {
        b'"' => Some('"'),
        b'\\' => Some('\\'),
        b'/' => Some('/'),
        b'b' => Some('\u{8}'),
        b'f' => Some('\u{c}'),
        b'n' => Some('\n'),
        b'r' => Some('\r'),
        b't' => Some('\t'),
        _ => None,
    }
}

/// What the escape at the start of `text` stands for, and its length.
fn escape(text: &[u8]) -> Result<(char, usize), &'static str> {
    const LONE_SURROGATE: &str = "a surrogate without its other half";
    if let Some(char) = text.get(1).copied().and_then(short_escape) {
        return Ok((char, 2));
    }
    let unit = code_unit(text).ok_or("not an escape that JSON has")?;
    if let Some(char) = char::from_u32(unit) {
        return Ok((char, 6));
    }
    // Not a character, so half of a surrogate pair; only a high half may come first.
    let low = code_unit(&text[6..]).filter(|low| (0xDC00..0xE000).contains(low));
    let (0xD800..0xDC00, Some(low)) = (unit, low) else {
        return Err(LONE_SURROGATE);
    };
    let scalar = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
    Ok((char::from_u32(scalar).ok_or(LONE_SURROGATE)?, 12))
}

/// The code unit of the `\uXXXX` at the start of `text`, if that is what is there.
fn code_unit(text: &[u8]) -> Option<u32> {
    let digits = text.get(..6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| {
        Some(unit * 16 + char::from(*digit).to_digit(16)?)
    })
}

/// Keys as they read once their escapes are resolved, in one buffer.
struct Unescaped {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Unescaped {
    /// Resolves keys that were found to be valid.
    fn of(keys: &[&[u8]]) -> Self {
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

    fn keys(&self) -> Vec<&[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| &self.text[start..*end])
            .collect()
    }
}

/// The excerpt of a key that is there twice.
fn repeated(keys: &[&[u8]]) -> Option<String> {
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

fn excerpt(key: &[u8]) -> String {
    let text = String::from_utf8_lossy(key);
    let mut chars = text.chars().flat_map(char::escape_debug);
    let mut short: String = chars.by_ref().take(EXCERPT_CHARS_MAX - 1).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

/// A stack whose first `N` items need no heap.
struct Stack<T, const N: usize> {
    inline: [T; N],
    /// All items, once there have been more than `N`.
    spilled: Vec<T>,
    len: usize,
}

impl<T: Copy, const N: usize> Stack<T, N> {
    /// An empty stack; `filler` only occupies the unused places.
    fn new(filler: T) -> Self {
        Self {
            inline: [filler; N],
            spilled: Vec::new(),
            len: 0,
        }
    }

    const fn len(&self) -> usize {
        self.len
    }

    fn as_slice(&self) -> &[T] {
        if self.spilled.is_empty() {
            &self.inline[..self.len]
        } else {
            &self.spilled
        }
    }

    fn push(&mut self, item: T) {
        if self.spilled.is_empty() && self.len < N {
            self.inline[self.len] = item;
        } else {
            if self.spilled.is_empty() {
                self.spilled.extend_from_slice(&self.inline[..self.len]);
            }
            self.spilled.push(item);
        }
        self.len += 1;
    }

    fn pop(&mut self) -> Option<T> {
        let last = self.as_slice().last().copied()?;
        self.truncate(self.len - 1);
        Some(last)
    }

    fn truncate(&mut self, len: usize) {
        self.spilled.truncate(len);
        self.len = self.len.min(len);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
    use serde_json::value::RawValue;

    use super::*;

    fn scan(text: impl AsRef<[u8]>) -> Result<Shape, PrescanError> {
        prescan(text.as_ref(), &Limits::default())
    }

    #[track_caller]
    fn refused_as_syntax(text: impl AsRef<[u8]>, at: usize) {
        match scan(&text) {
            Err(PrescanError::Syntax { at: found, .. }) if found == at => {}
            other => panic!("{:?}: {other:?}", String::from_utf8_lossy(text.as_ref())),
        }
    }

    #[test]
    fn documents_have_a_shape() {
        for text in [
            "[]",
            r#"[{"a":1},{"a":2},[true,false,null,"",{}],[[]]]"#,
            r#"["\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00é😀"]"#,
            "[0,-0,10,-1.5,0.25,1e5,1E+5,1.0e-5,1e999999,123456789012345678901]",
        ] {
            assert_eq!(scan(text), Ok(Shape::Array), "{text}");
            let whole = format!("\t{{ \"a\" : {text} ,\r\n\"b\":{{\"a\":null}}}} ");
            assert_eq!(scan(&whole), Ok(Shape::Object), "{whole}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused_where_it_stops_being_json() {
        for (text, at) in [
            ("", 0),
            ("  ", 2),
            ("{", 1),
            ("[", 1),
            ("}", 0),
            ("[1", 2),
            ("[1,", 3),
            ("[1,]", 3),
            ("[,1]", 1),
            ("[1 2]", 3),
            ("[}", 1),
            ("{]", 1),
            ("[1}", 2),
            (r#"{"a"}"#, 4),
            (r#"{"a":}"#, 5),
            (r#"{"a":1,}"#, 7),
            (r#"{"a":1]"#, 6),
            ("{a:1}", 1),
            ("{'a':1}", 1),
            ("{1:1}", 1),
            ("{} {}", 3),
            ("{}x", 2),
            ("[nul]", 1),
            ("[True]", 1),
            ("[truex]", 5),
            ("[NaN]", 1),
            ("[01]", 2),
            ("[-]", 2),
            ("[+1]", 1),
            ("[.5]", 1),
            ("[1.]", 3),
            ("[1.e5]", 3),
            ("[1e]", 3),
            ("[1e+]", 4),
            ("[0x10]", 2),
            ("[1]//", 3),
            (r#"["a]"#, 4),
            (r#"["\x"]"#, 2),
            (r#"["\u12g4"]"#, 2),
            (r#"["\u12"#, 2),
            (r#"["\"#, 2),
            ("[\"12345678\n\"]", 10),
            ("[\"\u{1f}\"]", 2),
            ("{\"\0\":1}", 2),
            ("[1]\u{c}", 3),
            ("[1]\u{a0}", 3),
        ] {
            refused_as_syntax(text, at);
        }
    }

    #[test]
    fn a_byte_order_mark_is_refused() {
        refused_as_syntax("\u{feff}{}", 0);
    }

    #[test]
    fn lone_surrogates_are_refused() {
        for text in [
            r#"["\ud800"]"#,
            r#"["\udc00"]"#,
            r#"["\ud800x"]"#,
            r#"["\ud800\n"]"#,
            r#"["\ud800\ud800"]"#,
            r#"["\udc00\ud800"]"#,
            r#"["\udc00\udc00"]"#,
            r#"{"\udfff":1}"#,
        ] {
            refused_as_syntax(text, 2);
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        for (text, at) in [
            (&b"[\"\xff\"]"[..], 2),
            (b"[\"\xc0\xaf\"]", 2),
            (b"[\"ab\xe4\xb8\"]", 4),
            (b"[\"\xed\xa0\x80\"]", 2),
            (b"{}\x80", 2),
        ] {
            assert_eq!(scan(text), Err(PrescanError::NotUtf8 { at }), "{text:?}");
        }
    }

    #[test]
    fn scalars_at_the_top_are_json_but_refused() {
        for text in ["1", " null ", "\"a\"", "true", "-0.5e1"] {
            assert_eq!(scan(text), Err(PrescanError::NotAnObject), "{text}");
        }
        refused_as_syntax("nul", 0);
        refused_as_syntax("1 2", 2);
    }

    #[test]
    fn depth_counts_objects_and_arrays() {
        let limits = Limits {
            depth: 3,
            ..Limits::default()
        };
        for (text, is_taken) in [
            ("[[[]],[[]]]", true),
            (r#"{"a":[{}]}"#, true),
            ("[[[[]]]]", false),
            (r#"{"a":[{"b":{}}]}"#, false),
        ] {
            let expected = Err(PrescanError::TooDeep { max: 3 });
            let found = prescan(text.as_bytes(), &limits);
            assert_eq!(found.is_ok(), is_taken, "{text}");
            assert!(is_taken || found == expected, "{text}");
        }
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(scan(nested(64)), Ok(Shape::Array));
        assert_eq!(scan(nested(65)), Err(PrescanError::TooDeep { max: 64 }));
    }

    #[test]
    fn members_count_across_the_document() {
        let limits = Limits {
            members: 4,
            ..Limits::default()
        };
        for (text, is_taken) in [
            (r#"{"a":[1,2],"b":3}"#, true),
            ("[[],[],[[]]]", true),
            (r#"{"a":[1,2],"b":[3]}"#, false),
            ("[1,2,3,4,5]", false),
        ] {
            let expected = Err(PrescanError::TooManyMembers { max: 4 });
            let found = prescan(text.as_bytes(), &limits);
            assert_eq!(found.is_ok(), is_taken, "{text}");
            assert!(is_taken || found == expected, "{text}");
        }
    }

    #[test]
    fn no_object_names_a_key_twice() {
        for (text, key) in [
            (r#"{"a":1,"a":2}"#, "a"),
            (r#"{"":1,"":2}"#, ""),
            (r#"{"a":1,"\u0061":2}"#, "a"),
            (r#"{"\n":1,"\u000A":2}"#, "\\n"),
            (r#"{"/":1,"\/":2}"#, "/"),
            (r#"{"😀":1,"\ud83d\ude00":2}"#, "😀"),
            (r#"[{"x":{"b":1,"c":{},"b":2}}]"#, "b"),
            (r#"{"a":{"b":1},"b":{"c":1},"a":2}"#, "a"),
        ] {
            let key = key.to_owned();
            assert_eq!(
                scan(text),
                Err(PrescanError::DuplicateKey { key }),
                "{text}"
            );
        }
        for text in [
            r#"{"a":1,"A":2,"a ":3,"\\u0061":4}"#,
            r#"{"a":{"a":1},"b":{"a":1}}"#,
            r#"{"\u00e9":1,"e\u0301":2}"#,
        ] {
            assert_eq!(scan(text), Ok(Shape::Object), "{text}");
        }
    }

    #[test]
    fn repeated_keys_are_found_in_objects_of_any_size() {
        for size in [1, 2, 15, 16, 17, 31, 32, 33, 100, 5_000] {
            for escape in ["", "\\t"] {
                let mut keys: Vec<_> = (0..size).map(|n| format!("\"{escape}{n}\":[]")).collect();
                assert_eq!(
                    scan(format!("{{{}}}", keys.join(","))),
                    Ok(Shape::Object),
                    "{size}"
                );
                keys.push(format!("\"{escape}{}\":1", size / 2));
                let found = scan(format!("{{\"outer\":{{{}}}}}", keys.join(",")));
                assert!(
                    matches!(found, Err(PrescanError::DuplicateKey { .. })),
                    "{size}"
                );
            }
        }
    }

    #[test]
    fn texts_complete_a_sentence_and_repeat_little() {
        let text = |body: &str| scan(body).unwrap_err().to_string();
        assert_eq!(
            text("[1,]"),
            "is not valid JSON at byte 3: expected a value"
        );
        let key = "\u{202e}".repeat(1_000);
        let twice = text(&format!(r#"{{"{key}":1,"{key}":2}}"#));
        assert_eq!(
            twice,
            r"has an object with the key `\u{202e}\u{202e}\u{202e}\u{202e…` twice"
        );
    }

    /// Not timed: with anything quadratic this test would run for hours.
    #[test]
    fn hostile_bodies_take_linear_time() {
        let limits = Limits {
            depth: usize::MAX,
            members: usize::MAX,
        };
        let many =
            |item: &dyn Fn(usize) -> String| (0..200_000).map(item).collect::<Vec<_>>().join(",");
        let prefix = "p".repeat(40);
        for body in [
            format!("{{{}}}", many(&|n| format!("\"{n}\":0"))),
            format!("{{{}}}", many(&|n| format!("\"{prefix}{n:06}\":0"))),
            format!("{{{}}}", many(&|n| format!("\"\\u0061{n}\":0"))),
            format!("[{}]", many(&|_| "{\"\\n\":{}}".to_owned())),
            format!("[\"{}\"]", "\\ud83d\\ude00\\\"".repeat(500_000)),
            "{\"a\":[".repeat(500_000) + &"]}".repeat(500_000),
        ] {
            assert!(prescan(body.as_bytes(), &limits).is_ok());
            assert!(prescan(&body.as_bytes()[..body.len() - 1], &limits).is_err());
        }
    }

    /// The members of an object in order, repeated ones too.
    struct Members<'a>(Vec<(String, &'a RawValue)>);

    impl<'de> Deserialize<'de> for Members<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Collect;
            impl<'de> Visitor<'de> for Collect {
                type Value = Members<'de>;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }

                fn visit_map<A: MapAccess<'de>>(
                    self,
                    mut map: A,
                ) -> Result<Members<'de>, A::Error> {
                    let mut members = Vec::new();
                    while let Some(member) = map.next_entry()? {
                        members.push(member);
                    }
                    Ok(Members(members))
                }
            }
            deserializer.deserialize_map(Collect)
        }
    }

    /// Whether text that `serde_json` takes breaks a rule which only we have.
    fn breaks_our_rules(raw: &RawValue) -> bool {
        match raw.get().as_bytes()[0] {
            b'{' => serde_json::from_str(raw.get()).map_or(true, |Members(members)| {
                let keys: HashSet<_> = members.iter().map(|(key, _)| key).collect();
                keys.len() < members.len() || members.iter().any(|(_, raw)| breaks_our_rules(raw))
            }),
            b'[' => serde_json::from_str::<Vec<&RawValue>>(raw.get())
                .is_ok_and(|elements| elements.into_iter().any(breaks_our_rules)),
            b'"' => serde_json::from_str::<String>(raw.get()).is_err(),
            _ => false,
        }
    }

    #[track_caller]
    fn agrees_with_serde_json(body: &[u8]) {
        let shown = String::from_utf8_lossy(body);
        match (scan(body), serde_json::from_slice::<&RawValue>(body)) {
            (Ok(shape), Ok(raw)) => {
                assert!(!breaks_our_rules(raw), "taken: {shown}");
                let is_object = raw.get().starts_with('{');
                assert_eq!(shape == Shape::Object, is_object, "{shown}");
            }
            (Err(PrescanError::NotAnObject), Ok(raw)) => {
                assert!(!raw.get().starts_with(['{', '[']), "{shown}");
            }
            (Err(PrescanError::TooDeep { .. }), _) => {}
            (Err(_), Ok(raw)) => assert!(breaks_our_rules(raw), "refused: {shown}"),
            (Ok(_) | Err(PrescanError::NotAnObject), Err(error)) => panic!("{error}: {shown}"),
            (Err(_), Err(_)) => {}
        }
    }

    /// 16 of each, between spaces.
    const SCALARS: &str = r#"0 -1 12.50 1e9 -0.1E-7 true false null "" "plain" "\u0041\n\\"
        "\ud83d\ude00" "\ud800" "世界" [] {}"#;
    const KEYS: &str = r#""a" "\u0061" "b" "jsonrpc" "method" "params" "rather_a_long_key" "\n"
        "\u000a" "é" "\u00e9" "\ud83d\ude00" "😀" "" "\\u0061" "id""#;
    const SPACES: [&str; 8] = ["", "", "", "", "", " ", "\n\t", " \r "];

    /// Writes the JSON value that `choices` stands for.
    fn write_value(choices: &mut impl Iterator<Item = u8>, depth: usize, text: &mut String) {
        let choice = usize::from(choices.next().unwrap_or(0));
        text.push_str(SPACES[choice >> 5]);
        let kind = if depth == 0 { choice % 2 } else { choice % 4 };
        if depth > 5 || kind > 1 {
            text.extend(SCALARS.split_whitespace().nth(choice / 4 % 16));
        } else {
            text.push(['{', '['][kind]);
            for member in 0..choices.next().unwrap_or(0) % 5 {
                text.push_str(if member > 0 { "," } else { "" });
                if kind == 0 {
                    let key = usize::from(choices.next().unwrap_or(0));
                    text.push_str(SPACES[key >> 5]);
                    text.extend(KEYS.split_whitespace().nth(key % 16));
                    text.push(':');
                }
                write_value(choices, depth + 1, text);
            }
            text.push(['}', ']'][kind]);
        }
        text.push_str(SPACES[(choice >> 2) % 8]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60_000))]

        #[test]
        fn agrees_with_serde_json_on_documents_and_damaged_ones(
            choices in prop::collection::vec(any::<u8>(), 1..48),
            damage in prop::collection::vec((any::<u16>(), 0..4u8, any::<u8>()), 0..4),
        ) {
            let mut text = String::new();
            write_value(&mut choices.into_iter(), 0, &mut text);
            let mut body = text.into_bytes();
            for (at, kind, byte) in damage {
                let at = usize::from(at) % body.len().max(1);
                let byte = if kind == 0 { byte } else { b"{}[]\",:\\ud80e.-+\0 "[usize::from(byte) % 18] };
                match kind {
                    0 | 1 if at < body.len() => body[at] = byte,
                    2 if at < body.len() => drop(body.remove(at)),
                    _ => body.insert(at, byte),
                }
            }
            agrees_with_serde_json(&body);
        }

        #[test]
        fn agrees_with_serde_json_on_token_soup(tokens in prop::collection::vec(0..24usize, 0..12)) {
            let known = "{ } [ ] \" : , \"a\": \"\\u0061\": {\"b\": [1, \\ 0 - .5 e1 true nul \"x\" é \u{1} \u{feff} \u{7f} []";
            let body: String = tokens.iter().filter_map(|at| known.split(' ').nth(*at)).collect();
            agrees_with_serde_json(body.as_bytes());
        }
    }
}
