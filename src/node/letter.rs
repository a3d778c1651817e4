//! Letters between nodes as bytes: a format version, a topic, the sender, the body.
//!
//! A body too large for an inbox travels as a record of its own, and the letter names it.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::runtime::sabotage;
use crate::store::Incarnation;

const FORMAT: u8 = 1;
const HEAD: usize = 10;

/// Whom a letter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Topic {
    /// Sessions: ends, changes, answers, streams.
    Sessions = 0,
    /// Tasks: what runs elsewhere.
    Tasks = 1,
    /// Changes of what is served: lists, resources, task states.
    Changes = 2,
    /// Messages for sessions that live with one connection of another node.
    Pipes = 3,
    /// The body is in a record of its own.
    Large = 4,
    /// Letters to this node were lost, or written before it was there. Says which keys the sender has.
    Doubt = 5,
    /// Calls that are made once: which have ended.
    Calls = 6,
    /// Who lives has changed: a node came or goes. Says which keys it has.
    Census = 7,
    /// Calls of upstreams that another node has to serve.
    Upstreams = 8,
}

impl Topic {
    pub(super) const COUNT: usize = 9;
    pub(super) const ALL: [Self; Self::COUNT] = [
        Self::Sessions,
        Self::Tasks,
        Self::Changes,
        Self::Pipes,
        Self::Large,
        Self::Doubt,
        Self::Calls,
        Self::Census,
        Self::Upstreams,
    ];

    pub(super) const fn place(self) -> usize {
        self as usize
    }
}

/// Why bytes are no letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LetterError {
    #[error("letter has format {0}, this release reads 1")]
    UnknownFormat(u8),
    #[error("letter has topic {0}, which this release does not know")]
    UnknownTopic(u8),
    #[error("letter is cut short")]
    Cut,
}

pub(super) fn write(topic: Topic, from: Incarnation, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HEAD + body.len());
    bytes.put_u8(sabotage::format(FORMAT));
    bytes.put_u8(topic as u8);
    bytes.put_u64(from.0);
    bytes.put_slice(body);
    bytes.freeze()
}

pub(super) fn read(bytes: &Bytes) -> Result<(Topic, Incarnation, Bytes), LetterError> {
    let (&format, _) = bytes.split_first().ok_or(LetterError::Cut)?;
    if format != sabotage::format(FORMAT) {
        return Err(LetterError::UnknownFormat(format));
    }
    let head = bytes.get(1..HEAD).ok_or(LetterError::Cut)?;
    let topic = Topic::ALL
        .get(usize::from(head[0]))
        .copied()
        .ok_or(LetterError::UnknownTopic(head[0]))?;
    let from = head[1..].try_into().map_err(|_| LetterError::Cut)?;
    let from = Incarnation(u64::from_be_bytes(from));
    Ok((topic, from, bytes.slice(HEAD..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_arrives_as_it_was_sent() {
        for topic in Topic::ALL {
            let written = write(topic, Incarnation(7), b"body");
            let body = Bytes::from_static(b"body");
            assert_eq!(read(&written), Ok((topic, Incarnation(7), body)));
        }
    }

    #[test]
    fn other_formats_and_topics_and_cut_letters_are_refused() {
        let written = write(Topic::Sessions, Incarnation(7), b"");
        for cut in 0..written.len() {
            assert_eq!(
                read(&written.slice(..cut)),
                Err(LetterError::Cut),
                "cut at {cut}"
            );
        }
        let mut other = written.to_vec();
        other[0] = 9;
        assert_eq!(
            read(&other.clone().into()),
            Err(LetterError::UnknownFormat(9))
        );
        other[0] = FORMAT;
        other[1] = 99;
        assert_eq!(read(&other.into()), Err(LetterError::UnknownTopic(99)));
    }
}
