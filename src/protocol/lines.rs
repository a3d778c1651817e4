//! Messages on a byte stream: one per line, cut by newline bytes and by nothing else.
//!
//! A read may hold half a message or twenty, and a message may be far larger than a pipe's buffer.
//! What is kept of an unfinished line is bounded.
//!
//! Spec: basic/transports, stdio (every revision).

use bytes::{Bytes, BytesMut};

/// Cuts bytes into lines, however they come.
#[derive(Debug)]
pub struct Lines {
    buffer: BytesMut,
    /// Bytes of the buffer that are known to hold no newline.
    searched: usize,
    max: usize,
    /// Inside a line that is over the limit: dropping until its end. How much was dropped of it.
    skipped: Option<usize>,
}

/// What was cut off.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line, its newline included.
    Whole(Bytes),
    /// A line over the limit begins like this, with at most [`HEAD_MAX`] bytes; it is dropped until its end.
    TooLong(Bytes),
}

/// What is kept of a line over the limit, in bytes: enough to see what it is an answer to.
pub const HEAD_MAX: usize = 1_024;
/// A line that is so many times longer than the longest that is taken does not end, as far as anybody can tell.
const ENDLESS: usize = 64;

impl Lines {
    /// Lines of at most `max` bytes, the newline not counted.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            searched: 0,
            max,
            skipped: None,
        }
    }

    /// Takes what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line, once it is whole.
    #[expect(
        clippy::should_implement_trait,
        reason = "no iterator: there may be more after `None`"
    )]
    pub fn next(&mut self) -> Option<Line> {
        loop {
            let newline = self.buffer[self.searched..]
                .iter()
                .position(|byte| *byte == b'\n');
            let Some(at) = newline else {
                if self.buffer.len() > self.max {
                    let head = self.head();
                    let before = self.skipped.unwrap_or_default();
                    // Said once per line, however long it gets.
                    let is_known = self.skipped.replace(before + self.buffer.len()).is_some();
                    self.buffer.clear();
                    self.searched = 0;
                    return (!is_known).then_some(Line::TooLong(head));
                }
                self.searched = self.buffer.len();
                return None;
            };
            let mut line = self.buffer.split_to(self.searched + at + 1);
            self.searched = 0;
            if self.skipped.take().is_some() {
                continue;
            }
            if line.len() - 1 > self.max {
                line.truncate(HEAD_MAX);
                return Some(Line::TooLong(line.freeze()));
            }
            return Some(Line::Whole(line.freeze()));
        }
    }

    /// Whether what is read now is a line without end.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        let endless = self.max.saturating_mul(ENDLESS);
        self.skipped.is_some_and(|skipped| skipped > endless)
    }

    fn head(&self) -> Bytes {
        Bytes::copy_from_slice(&self.buffer[..self.buffer.len().min(HEAD_MAX)])
    }

    /// What is left at the end of the input.
    pub fn rest(&mut self) -> Option<Line> {
        let rest = self.buffer.split();
        (!rest.is_empty() && self.skipped.is_none()).then(|| Line::Whole(rest.freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(input: &[u8], chunk: usize, max: usize) -> Vec<Line> {
        let mut lines = Lines::new(max);
        let mut found = Vec::new();
        for piece in input.chunks(chunk) {
            lines.push(piece);
            while let Some(line) = lines.next() {
                found.push(line);
            }
        }
        found.extend(lines.rest());
        found
    }

    fn whole(text: &str) -> Line {
        Line::Whole(Bytes::from(text.to_owned()))
    }

    #[test]
    fn lines_are_the_same_however_they_come() {
        let input = b"one\ntwo\r\n\nfour";
        for chunk in 1..=input.len() {
            assert_eq!(
                cut(input, chunk, 100),
                [whole("one\n"), whole("two\r\n"), whole("\n"), whole("four")],
                "in pieces of {chunk}"
            );
        }
    }

    #[test]
    fn a_line_over_the_limit_is_dropped_and_the_next_is_whole() {
        let input = b"0123456789abcdef\nnext\n";
        for chunk in 1..=input.len() {
            let lines = cut(input, chunk, 10);
            let [Line::TooLong(head), next] = &lines[..] else {
                panic!("in pieces of {chunk}: {lines:?}");
            };
            assert!(input.starts_with(head) && head.len() > 10);
            assert_eq!(*next, whole("next\n"));
        }
    }

    #[test]
    fn a_line_without_end_is_known_by_its_length() {
        let mut lines = Lines::new(10);
        for piece in 0..100 {
            lines.push(b"xxxxxxxxxxx");
            while lines.next().is_some() {}
            assert_eq!(lines.is_endless(), piece >= 58, "{piece}");
        }
        lines.push(b"\nnext\n");
        assert_eq!(lines.next(), Some(whole("next\n")));
        assert!(!lines.is_endless());
    }
}
