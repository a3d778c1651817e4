//! The look at a body before anything decodes it: is it one JSON document within our limits?
//!
//! [`prescan`] walks the bytes once, without recursion: a complete RFC 8259 validator that also
//! counts depth and members and refuses an object that names a key twice. The keys of the objects
//! that are still open are kept as slices of the input and compared when their object closes. A
//! small body touches no heap.
//!
//! On the way it notes where the members are that its caller will ask for ([`Outline`]), so that
//! nobody walks the document again to find them. It does not build values and knows nothing of
//! JSON-RPC; `parts.rs` says what is asked for, `jsonrpc.rs` reads it.
//!
//! Invariants:
//! - What is accepted here, `serde_json` accepts as one raw value. The reverse holds except for the
//!   limits, repeated keys, keys that are spelled like wanted ones, lone surrogates and top-level scalars (property-tested).
//! - Keys are compared unescaped: `"a"` and `"\u0061"` are the same key.
//! - A key that is wanted is the only one of its object that is spelled like it in any case.
//! - The time is linear in the size of the body, whatever it holds: large objects are checked by
//!   hashing with a random key, so that colliding names cannot be prepared.

mod escape;
mod keys;
mod outline;
mod stack;
#[cfg(test)]
mod tests;

pub(super) use escape::is_plain;
pub use outline::{Outline, Wanted};

use bytes::Bytes;
use bytestring::ByteString;
use escape::{escape, short_escape, stops};
use keys::{Unescaped, excerpt, repeated};
use stack::Stack;

/// Open containers kept without the heap, and keys of open objects; a request has about 5 and 12.
const FRAMES_INLINE: usize = 16;
const KEYS_INLINE: usize = 32;

/// How large a document may be, besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Containers inside each other, the outermost included.
    pub depth: usize,
    /// Object members and array elements in the whole document.
    pub members: usize,
}

impl Limits {
    /// For documents that were within limits already.
    pub const NONE: Self = Self {
        depth: usize::MAX,
        members: usize::MAX,
    };
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
    /// Places in the text would not be numbers we keep.
    #[error("is longer than 4 GiB")]
    TooLong,
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
    /// An object has a member that some decoders take for another, which we look at.
    #[error("has the key `{key}`, which some would read as `{meant}`")]
    SpelledAlike {
        /// The beginning of the key, escaped.
        key: String,
        /// The one it is not.
        meant: &'static str,
    },
    /// Valid JSON, but a lone string, number or literal.
    #[error("is neither a JSON object nor an array")]
    NotAnObject,
}

/// The bytes as text; cloning and slicing it shares them.
///
/// # Errors
/// [`PrescanError::NotUtf8`].
pub fn text(bytes: Bytes) -> Result<ByteString, PrescanError> {
    ByteString::try_from(bytes).map_err(|error| PrescanError::NotUtf8 {
        at: error.valid_up_to(),
    })
}

/// Checks that `text` is one JSON object or array within `limits`, and notes where an object has
/// what is wanted of it.
///
/// # Errors
/// [`PrescanError`] for the first violation found. A repeated key is found when its object ends.
pub fn prescan(
    text: &str,
    limits: &Limits,
    wanted: &'static Wanted,
) -> Result<(Shape, Outline), PrescanError> {
    if text.len() > outline::BYTES_MAX {
        return Err(PrescanError::TooLong);
    }
    let mut scanner = Scanner {
        bytes: text.as_bytes(),
        at: 0,
        members_left: limits.members,
        limits,
        keys: Stack::new(&[]),
        outline: Outline::empty(),
    };
    let shape = scanner.document(wanted)?;
    Ok((shape, scanner.outline))
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    members_left: usize,
    limits: &'a Limits,
    /// The keys of all open objects as written, those of the innermost last.
    keys: Stack<&'a [u8], KEYS_INLINE>,
    outline: Outline,
}

/// An open container.
#[derive(Clone, Copy)]
struct Frame {
    shape: Shape,
    /// Where its keys begin in [`Scanner::keys`].
    keys_from: usize,
    /// Whether a key is written with escapes, so that comparing bytes is not enough.
    has_escapes: bool,
    /// Where it begins.
    start: usize,
    /// Which wanted value it is, if it is one.
    wanted: Option<&'static Wanted>,
}

type Scan<T> = Result<T, PrescanError>;

impl Scanner<'_> {
    fn document(&mut self, wanted: &'static Wanted) -> Scan<Shape> {
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
        self.containers(shape, wanted)?;
        self.end()?;
        Ok(shape)
    }

    /// Walks the container at the cursor with everything in it.
    fn containers(&mut self, shape: Shape, wanted: &'static Wanted) -> Scan<()> {
        let mut frame = self.open(shape, 0, Some(wanted))?;
        let mut outer: Stack<Frame, FRAMES_INLINE> = Stack::new(frame);
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
            let wanted = self.member(&mut frame)?;
            is_first = match self.peek() {
                Some(b'{') => {
                    outer.push(frame);
                    frame = self.open(Shape::Object, outer.len(), wanted)?;
                    true
                }
                Some(b'[') => {
                    outer.push(frame);
                    frame = self.open(Shape::Array, outer.len(), wanted)?;
                    true
                }
                _ => {
                    let start = self.at;
                    self.scalar()?;
                    self.note(wanted, start);
                    false
                }
            };
        }
    }

    /// Enters the container at the cursor, inside `outer` others.
    fn open(&mut self, shape: Shape, outer: usize, wanted: Option<&'static Wanted>) -> Scan<Frame> {
        if outer >= self.limits.depth {
            let max = self.limits.depth;
            return Err(PrescanError::TooDeep { max });
        }
        let start = self.at;
        self.at += 1;
        Ok(Frame {
            shape,
            keys_from: self.keys.len(),
            has_escapes: false,
            start,
            wanted,
        })
    }

    /// Notes a value that began at `start` and ends here, if it is wanted.
    fn note(&mut self, wanted: Option<&'static Wanted>, start: usize) {
        if let Some(wanted) = wanted {
            self.outline.note(wanted, start..self.at);
        }
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

    /// Counts the member at the cursor and reads up to its value; whether that is wanted.
    fn member(&mut self, frame: &mut Frame) -> Scan<Option<&'static Wanted>> {
        self.members_left =
            self.members_left
                .checked_sub(1)
                .ok_or(PrescanError::TooManyMembers {
                    max: self.limits.members,
                })?;
        match frame.shape {
            Shape::Array => Ok(None),
            Shape::Object => self.key(frame),
        }
    }

    fn key(&mut self, frame: &mut Frame) -> Scan<Option<&'static Wanted>> {
        if self.peek() != Some(b'"') {
            return Err(self.syntax("expected a key in double quotes"));
        }
        let from = self.at;
        let has_escapes = self.string()?;
        frame.has_escapes |= has_escapes;
        let key = &self.bytes[from + 1..self.at - 1];
        self.keys.push(key);
        self.whitespace();
        if self.peek() != Some(b':') {
            return Err(self.syntax("expected `:`"));
        }
        self.at += 1;
        self.whitespace();
        let Some(object) = frame.wanted else {
            return Ok(None);
        };
        let found = if has_escapes {
            object.find(Unescaped::of(&[key]).keys()[0])
        } else {
            object.find(key)
        };
        found.map_err(|meant| PrescanError::SpelledAlike {
            key: excerpt(key),
            meant,
        })
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
        self.note(frame.wanted, frame.start);
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
