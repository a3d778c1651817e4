//! Events as text.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::{BufMut, BytesMut};

use crate::protocol::encode::one_line;
use crate::runtime::queue::Weigh as _;
use crate::service::event::Event;
use crate::session::event_log::StreamName;

/// A comment that keeps proxies and dead connections honest.
pub const KEEP_ALIVE: &[u8] = b": keepalive\n\n";

/// What the fields of an event take beside its data, at most.
const FRAME: usize = 80;

/// Bytes that hold these events, so that a piece does not begin small and grow.
pub fn room<'a>(events: impl Iterator<Item = &'a Event>) -> usize {
    events.map(|event| event.weight() + FRAME).sum()
}

/// Appends one event. Ids are written only on a named stream.
pub fn encode(event: &Event, stream: Option<&StreamName>, to: &mut BytesMut) {
    match event {
        Event::Message { seq, data } => {
            to.reserve(data.len() + FRAME);
            to.put_slice(b"event: message\n");
            if let (Some(seq), Some(stream)) = (seq, stream) {
                id(stream, *seq, to);
            }
            to.put_slice(b"data: ");
            to.put_slice(one_line(data).as_bytes());
            to.put_slice(b"\n\n");
        }
        Event::Priming { retry } => {
            if let Some(stream) = stream {
                id(stream, 0, to);
            }
            put_retry(*retry, to);
            to.put_slice(b"data: \n\n");
        }
        Event::Retry { retry } => {
            put_retry(*retry, to);
            to.put_slice(b"\n");
        }
    }
}

/// Appends an event of another type, such as `endpoint` of HTTP+SSE.
pub fn encode_named(name: &str, data: &str, to: &mut BytesMut) {
    put(to, format_args!("event: {name}\ndata: {data}\n\n"));
}

fn id(stream: &StreamName, seq: u64, to: &mut BytesMut) {
    // On every event's way, so without the machinery of formatting.
    to.put_slice(b"id: ");
    to.put_slice(stream.as_str().as_bytes());
    to.put_u8(b'_');
    put_number(seq, to);
    to.put_u8(b'\n');
}

fn put_number(mut number: u64, to: &mut BytesMut) {
    const DIGITS_MAX: usize = 20;
    let mut digits = [b'0'; DIGITS_MAX];
    let mut start = DIGITS_MAX;
    loop {
        start -= 1;
        digits[start] += u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    to.put_slice(&digits[start..]);
}

fn put_retry(retry: Duration, to: &mut BytesMut) {
    put(to, format_args!("retry: {}\n", retry.as_millis()));
}

fn put(to: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    to.write_fmt(text)
        .expect("invariant: writing to memory does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Principal;
    use crate::runtime::seal::ClusterKeys;
    use crate::session::IdMint;

    fn text(event: &Event, stream: Option<&StreamName>) -> String {
        let mut to = BytesMut::new();
        encode(event, stream, &mut to);
        String::from_utf8(to.to_vec()).unwrap()
    }

    #[test]
    fn a_message_names_its_place_only_on_a_named_stream() {
        let event = Event::Message {
            seq: Some(3),
            data: r#"{"a":1}"#.into(),
        };
        assert_eq!(
            text(&event, Some(&StreamName::standing())),
            "event: message\nid: s_3\ndata: {\"a\":1}\n\n"
        );
        assert_eq!(text(&event, None), "event: message\ndata: {\"a\":1}\n\n");
    }

    #[test]
    fn numbers_are_written_as_they_are_spelled() {
        for number in [0, 7, 10, 99, 100, 1_234_567_890, u64::MAX] {
            let mut to = BytesMut::new();
            put_number(number, &mut to);
            assert_eq!(to, number.to_string().as_bytes());
        }
    }

    #[test]
    fn the_room_asked_for_is_enough() {
        let event = Event::Message {
            seq: Some(u64::MAX),
            data: r#"{"a":1}"#.into(),
        };
        let session = IdMint::new(&ClusterKeys::generate()).mint(&Principal::local(), "main");
        let mut to = BytesMut::new();
        encode(&event, Some(&StreamName::fresh(&session)), &mut to);
        assert!(to.len() <= room([&event].into_iter()));
    }

    #[test]
    fn a_priming_event_has_an_id_and_no_data() {
        let event = Event::Priming {
            retry: Duration::from_millis(1500),
        };
        assert_eq!(
            text(&event, Some(&StreamName::standing())),
            "id: s_0\nretry: 1500\ndata: \n\n"
        );
    }

    #[test]
    fn a_message_is_always_one_data_line() {
        let event = Event::Message {
            seq: None,
            data: "{\n  \"a\": \"x\\ny\"\r\n}".into(),
        };
        assert_eq!(
            text(&event, None),
            "event: message\ndata: {   \"a\": \"x\\ny\"  }\n\n"
        );
    }
}
