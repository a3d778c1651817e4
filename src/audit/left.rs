//! What a process that ended without a word left of a segment: its whole records, and what they say
//! that the next process has to know.

use serde::Deserialize;

use super::chain::{Hash, START, SegmentKey};
use super::checkpoint::Anchor;
use super::event::CallId;
use super::line::{FORMAT, Line, lines};
use super::segment::{Ground, Header, Standing};

/// What a record must have to be gone on behind.
#[derive(Deserialize)]
struct Record {
    v: u64,
    seq: u64,
    kind: String,
    call: Option<String>,
    subject: Option<String>,
    reference: Option<String>,
}

/// A call, and whether it begins (with whom it is about) or ends.
pub(super) type Mark = (CallId, Option<Option<String>>);

/// What there is of a segment.
pub(super) struct Left {
    pub(super) header: Option<Header>,
    pub(super) standing: Standing,
    /// Bytes of whole records.
    pub(super) length: usize,
    /// Each record's chain value, by its place behind the first.
    heads: Vec<Hash>,
    first: u64,
    pub(super) calls: Vec<Mark>,
    /// What records called those who were erased.
    pub(super) erased: Vec<String>,
}

impl Left {
    pub(super) fn read(bytes: &[u8], ground: &Ground, first: u64) -> Self {
        let mut left = Self {
            header: None,
            standing: Standing {
                last: first.saturating_sub(1),
                head: START,
            },
            length: 0,
            heads: Vec::new(),
            first,
            calls: Vec::new(),
            erased: Vec::new(),
        };
        let mut key = None;
        let (whole, _torn) = lines(bytes);
        for (range, line) in whole {
            let line = std::str::from_utf8(line).ok();
            let Some(line) = line.and_then(|line| Line::parse(line).ok()) else {
                break;
            };
            let before = left.standing.head;
            if left.header.is_none() {
                let Some(header) = line
                    .decode::<Header>()
                    .filter(|header| header.first == first)
                else {
                    break;
                };
                key = header.segment_key(&ground.keys);
                let after = Hash::parse(&header.after).unwrap_or(START);
                if !is_linked(key.as_ref(), &after, &line) {
                    break;
                }
                left.header = Some(header);
                left.standing.head = line.chain;
            } else {
                let number = left.standing.last + 1;
                let record = line.decode::<Record>();
                let record = record.filter(|record| record.v == FORMAT && record.seq == number);
                let Some(record) = record.filter(|_| is_linked(key.as_ref(), &before, &line))
                else {
                    break;
                };
                left.take(record, line.chain);
            }
            left.length = range.end;
        }
        left
    }

    fn take(&mut self, record: Record, chain: Hash) {
        self.standing = Standing {
            last: record.seq,
            head: chain,
        };
        self.heads.push(chain);
        if record.kind == "erased" {
            self.erased.extend(record.reference);
            return;
        }
        let Some(call) = record.call.and_then(|call| call.parse().ok()) else {
            return;
        };
        match record.kind.as_str() {
            "begin" => self.calls.push((call, Some(record.subject))),
            "end" => self.calls.push((call, None)),
            _ => {}
        }
    }

    /// Whether everything is there that the anchor says must be.
    pub(super) fn holds(&self, anchor: &Anchor) -> bool {
        let head = match anchor.last.checked_sub(self.first) {
            // It says only that the segment was begun.
            None => return self.header.is_some() || anchor.last < self.first,
            Some(place) => usize::try_from(place)
                .ok()
                .and_then(|place| self.heads.get(place)),
        };
        head.is_some_and(|head| head.text() == anchor.head)
    }
}

fn is_linked(key: Option<&SegmentKey>, before: &Hash, line: &Line<'_>) -> bool {
    key.is_some_and(|key| key.link(before, line.canonical.as_bytes()) == line.chain)
}
