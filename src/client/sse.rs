//! Server-sent events, taken apart as they arrive.
//!
//! Lines end with LF, CRLF or CR, wherever the pieces of a body happen to be cut. What is kept of
//! an unfinished event is bounded. It does not reconnect; `http.rs` does.
//!
//! Spec: HTML, server-sent events, parsing; basic/transports (2025-11-25), resumability.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::error::ClientError;

/// Longest event id that is kept: it has to fit a header.
const ID_MAX: usize = 1_024;

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// What to resume after, when the server says.
    pub(super) id: Option<String>,
    /// Its data; empty on an event that only carries an id.
    pub(super) data: Bytes,
    /// Whether the data is a message.
    pub(super) is_message: bool,
    /// Whether the data says where to post (HTTP+SSE).
    pub(super) is_endpoint: bool,
}

/// Takes bytes, gives events.
#[derive(Debug)]
pub(super) struct Decoder {
    max: usize,
    line: Vec<u8>,
    /// The last byte was a CR, so that a LF belongs to it.
    after_cr: bool,
    first_line: bool,
    data: Vec<u8>,
    has_data: bool,
    id: Option<String>,
    kind: Vec<u8>,
    retry: Option<Duration>,
    ready: VecDeque<Event>,
}

impl Decoder {
    /// A decoder of events of at most `max` bytes.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            line: Vec::new(),
            after_cr: false,
            first_line: true,
            data: Vec::new(),
            has_data: false,
            id: None,
            kind: Vec::new(),
            retry: None,
            ready: VecDeque::new(),
        }
    }

    /// Takes a piece of the body.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), ClientError> {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            if self.line.len() + self.data.len() + piece.len() > self.max {
                return Err(ClientError::TooLarge { max: self.max });
            }
            self.line.extend_from_slice(piece);
            let Some(end) = end else { break };
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.line);
            self.take_line(&line);
        }
        Ok(())
    }

    /// The next whole event.
    pub(super) fn next(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    /// How long the server last said to wait before coming again.
    pub(super) const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn take_line(&mut self, line: &[u8]) {
        let mut line = line;
        if std::mem::take(&mut self.first_line) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            b"id" if value.len() <= ID_MAX && !value.contains(&0) => {
                self.id = str::from_utf8(value).ok().map(ToOwned::to_owned);
            }
            b"event" => self.kind = value.to_vec(),
            b"retry" => {
                let digits = str::from_utf8(value).ok();
                let millis = digits.and_then(|digits| digits.parse().ok());
                self.retry = millis.map(Duration::from_millis).or(self.retry);
            }
            _comment_or_unknown => {}
        }
    }

    fn dispatch(&mut self) {
        let data = Bytes::from(std::mem::take(&mut self.data));
        let kind = std::mem::take(&mut self.kind);
        let id = self.id.take();
        let has_data = std::mem::take(&mut self.has_data);
        if has_data || id.is_some() {
            let is_message = !data.is_empty() && matches!(&*kind, b"" | b"message");
            self.ready.push_back(Event {
                id,
                data,
                is_message,
                is_endpoint: *kind == *b"endpoint",
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &[u8], chunk: usize) -> Vec<(Option<String>, String, bool)> {
        let mut decoder = Decoder::new(1_000);
        let mut events = Vec::new();
        for piece in text.chunks(chunk) {
            decoder.push(piece).unwrap();
            while let Some(event) = decoder.next() {
                let data = String::from_utf8(event.data.to_vec()).unwrap();
                events.push((event.id, data, event.is_message));
            }
        }
        events
    }

    #[test]
    fn events_are_the_same_however_they_come() {
        let text =
            b"\xef\xbb\xbfid: 1\nretry: 5\ndata:\n\n: hello\r\n\r\nevent: message\r\ndata: a\r\n\
            data:b\r\n\r\nevent: other\rdata: c\r\rid\ndata: d\n\ndata: never ended";
        for chunk in 1..text.len() {
            assert_eq!(
                decode(text, chunk),
                [
                    (Some("1".into()), String::new(), false),
                    (None, "a\nb".into(), true),
                    (None, "c".into(), false),
                    (Some(String::new()), "d".into(), true),
                ],
                "in pieces of {chunk}"
            );
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut decoder = Decoder::new(100);
        let refused = (0..100).find_map(|_| decoder.push(b"data: 0123456789\n").err());
        assert!(matches!(refused, Some(ClientError::TooLarge { max: 100 })));
        let mut decoder = Decoder::new(100);
        let refused = (0..100).find_map(|_| decoder.push(b"0123456789").err());
        assert!(matches!(refused, Some(ClientError::TooLarge { max: 100 })));
    }

    #[test]
    fn the_time_to_wait_is_digits_only() {
        let mut decoder = Decoder::new(100);
        decoder.push(b"retry: 250\nretry: soon\n").unwrap();
        assert_eq!(decoder.retry(), Some(Duration::from_millis(250)));
    }
}
