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
    /// Inside a line that is over the limit: dropping until its end.
    skipping: bool,
}

/// What was cut off.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line, its newline included.
    Whole(Bytes),
    /// A line over the limit begins here; it is dropped until its end.
    TooLong,
}

impl Lines {
    /// Lines of at most `max` bytes, the newline not counted.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            searched: 0,
            max,
            skipping: false,
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
                    self.buffer.clear();
                    self.searched = 0;
                    // Said once per line, however long it gets.
                    return (!std::mem::replace(&mut self.skipping, true)).then_some(Line::TooLong);
                }
                self.searched = self.buffer.len();
                return None;
            };
            let line = self.buffer.split_to(self.searched + at + 1);
            self.searched = 0;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if line.len() - 1 > self.max {
                return Some(Line::TooLong);
            }
            return Some(Line::Whole(line.freeze()));
        }
    }

    /// What is left at the end of the input.
    pub fn rest(&mut self) -> Option<Line> {
        let rest = self.buffer.split();
        (!rest.is_empty() && !self.skipping).then(|| Line::Whole(rest.freeze()))
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
            assert_eq!(
                cut(input, chunk, 10),
                [Line::TooLong, whole("next\n")],
                "in pieces of {chunk}"
            );
        }
    }
}
