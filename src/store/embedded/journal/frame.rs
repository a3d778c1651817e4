//! What the journal writes, as bytes and back: one frame per write to a single thing.
//!
//! A frame is the length of its body, the body's CRC-32, and the body: kind, birth, scope, thing,
//! and what the kind says. All numbers are little-endian; texts and payloads follow their length.
//! [`encode`] and [`decode`] are pure.
//!
//! Invariants: a frame stands or falls as a whole, so a torn write never leaves half an append;
//! decoding never panics and never allocates more than the bytes it was given.

use bytes::{Buf, BufMut, Bytes};

use crate::runtime::clock::Timestamp;
use crate::store::embedded::records::Birth;
use crate::store::memory::{EventLog, JudgedAppend, SingleThing};
use crate::store::{Epoch, Incarnation, LogEntry, Ownership, Scope, Thing};

/// Bytes before a body: its length and its checksum.
pub(super) const HEADER_BYTES: usize = 8;

const CLAIM: u8 = 1;
const APPEND: u8 = 2;
const WHOLE: u8 = 3;

/// Which thing a frame is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// Its scope.
    pub(super) scope: Scope,
    /// Which scope of that name.
    pub(super) birth: Birth,
    /// Its name.
    pub(super) thing: Thing,
}

/// A write to a single thing.
#[derive(Debug)]
pub(super) struct Frame {
    /// To which.
    pub(super) place: Place,
    /// What was written.
    pub(super) body: Body,
}

/// What was written.
#[derive(Debug)]
pub(super) enum Body {
    /// It has this owner from now on.
    Claim(Ownership),
    /// Its log grew, or ended, under this epoch.
    Append(Epoch, JudgedAppend),
    /// All of it, as it stood; earlier frames about it no longer count.
    Whole(SingleThing),
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// They end too early.
    Short,
    /// The checksum does not fit, or the contents make no sense. The next frame, if the length can
    /// be believed, begins after this many bytes.
    Damaged(usize),
}

/// Writes a claim at the end of `to`.
pub(super) fn encode_claim(to: &mut Vec<u8>, place: &Place, claimed: &Ownership) {
    frame(to, CLAIM, place, |to| put_ownership(to, claimed));
}

/// Writes an append at the end of `to`.
pub(super) fn encode_append(to: &mut Vec<u8>, place: &Place, epoch: Epoch, append: &JudgedAppend) {
    let JudgedAppend { entries, ended } = append;
    frame(to, APPEND, place, |to| {
        to.put_u64_le(epoch.0);
        put_time(to, *ended);
        to.put_u64_le(entries.first().map_or(0, |entry| entry.seq));
        put_payloads(to, entries.iter().map(|entry| &entry.payload));
    });
}

/// Writes all of a thing at the end of `to`.
pub(super) fn encode_whole(to: &mut Vec<u8>, place: &Place, thing: &SingleThing) {
    frame(to, WHOLE, place, |to| {
        put_ownership(to, &thing.ownership);
        put_time(to, thing.log.ended());
        to.put_u8(u8::from(thing.log.is_damaged()));
        let (first, payloads) = thing.log.kept();
        to.put_u64_le(first);
        put_payloads(to, payloads);
    });
}

/// Reads the frame at the beginning of `from`, and how many bytes it took.
///
/// # Errors
/// See [`Broken`].
pub(super) fn decode(from: &[u8]) -> Result<(Frame, usize), Broken> {
    let mut header = from;
    let length = header.try_get_u32_le().map_err(|_| Broken::Short)? as usize;
    let checksum = header.try_get_u32_le().map_err(|_| Broken::Short)?;
    let body = header.get(..length).ok_or(Broken::Short)?;
    let taken = HEADER_BYTES + length;
    if crc32fast::hash(body) != checksum {
        return Err(Broken::Damaged(taken));
    }
    let frame = read_body(body).ok_or(Broken::Damaged(taken))?;
    Ok((frame, taken))
}

fn frame(to: &mut Vec<u8>, kind: u8, place: &Place, contents: impl FnOnce(&mut Vec<u8>)) {
    let start = to.len();
    to.put_bytes(0, HEADER_BYTES);
    to.put_u8(kind);
    to.put_u64_le(place.birth.0);
    put_bytes(to, place.scope.0.as_bytes());
    put_bytes(to, place.thing.0.as_bytes());
    contents(to);
    let body = start + HEADER_BYTES;
    let length = length(to.len() - body);
    let checksum = crc32fast::hash(&to[body..]);
    let mut header = &mut to[start..body];
    header.put_u32_le(length);
    header.put_u32_le(checksum);
}

fn put_ownership(to: &mut Vec<u8>, ownership: &Ownership) {
    let Ownership { epoch, owner, note } = ownership;
    to.put_u64_le(epoch.0);
    to.put_u64_le(owner.0);
    put_bytes(to, note);
}

/// Zero stands for none: nothing ended in 1970.
fn put_time(to: &mut Vec<u8>, time: Option<Timestamp>) {
    to.put_u64_le(time.map_or(0, |time| time.0));
}

fn put_payloads<'a>(to: &mut Vec<u8>, payloads: impl ExactSizeIterator<Item = &'a Bytes>) {
    to.put_u32_le(length(payloads.len()));
    for payload in payloads {
        put_bytes(to, payload);
    }
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    to.put_u32_le(length(bytes.len()));
    to.put_slice(bytes);
}

fn length(length: usize) -> u32 {
    u32::try_from(length).expect("invariant: an append is far smaller than 4 GiB")
}

fn read_body(mut from: &[u8]) -> Option<Frame> {
    let kind = from.try_get_u8().ok()?;
    let place = Place {
        birth: Birth(from.try_get_u64_le().ok()?),
        scope: Scope(text(&mut from)?),
        thing: Thing(text(&mut from)?),
    };
    let body = match kind {
        CLAIM => Body::Claim(ownership(&mut from)?),
        APPEND => {
            let epoch = Epoch(from.try_get_u64_le().ok()?);
            let ended = time(&mut from)?;
            let first = from.try_get_u64_le().ok()?;
            let payloads = payloads(&mut from)?;
            let entries = number(first, payloads)?;
            Body::Append(epoch, JudgedAppend { entries, ended })
        }
        WHOLE => {
            let ownership = ownership(&mut from)?;
            let ended = time(&mut from)?;
            let damaged = from.try_get_u8().ok()? != 0;
            let first = from.try_get_u64_le().ok()?;
            let payloads = payloads(&mut from)?;
            first.checked_add(payloads.len() as u64)?;
            let log = EventLog::restore(first, payloads, ended, damaged);
            Body::Whole(SingleThing::new(ownership, log, 0))
        }
        _ => return None,
    };
    from.is_empty().then_some(Frame { place, body })
}

fn ownership(from: &mut &[u8]) -> Option<Ownership> {
    Some(Ownership {
        epoch: Epoch(from.try_get_u64_le().ok()?),
        owner: Incarnation(from.try_get_u64_le().ok()?),
        note: bytes(from).map(Bytes::copy_from_slice)?,
    })
}

fn time(from: &mut &[u8]) -> Option<Option<Timestamp>> {
    let time = from.try_get_u64_le().ok()?;
    Some((time != 0).then_some(Timestamp(time)))
}

fn payloads(from: &mut &[u8]) -> Option<Vec<Bytes>> {
    let count = from.try_get_u32_le().ok()?;
    // Copied, so that one small living entry does not keep a whole segment in memory.
    (0..count)
        .map(|_| bytes(from).map(Bytes::copy_from_slice))
        .collect()
}

fn number(first: u64, payloads: Vec<Bytes>) -> Option<Vec<LogEntry>> {
    first.checked_add(payloads.len() as u64)?;
    let entries = (first..).zip(payloads);
    Some(
        entries
            .map(|(seq, payload)| LogEntry { seq, payload })
            .collect(),
    )
}

fn text(from: &mut &[u8]) -> Option<std::sync::Arc<str>> {
    std::str::from_utf8(bytes(from)?).ok().map(Into::into)
}

fn bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = from.try_get_u32_le().ok()? as usize;
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place() -> impl Strategy<Value = Place> {
        (".{0,40}", any::<u64>(), ".{0,20}").prop_map(|(scope, birth, thing)| Place {
            scope: Scope(scope.into()),
            birth: Birth(birth),
            thing: Thing(thing.into()),
        })
    }

    fn owned() -> impl Strategy<Value = Ownership> {
        (any::<u64>(), any::<u64>(), payload()).prop_map(|(epoch, owner, note)| Ownership {
            epoch: Epoch(epoch),
            owner: Incarnation(owner),
            note,
        })
    }

    fn payload() -> impl Strategy<Value = Bytes> {
        proptest::collection::vec(any::<u8>(), 0..60).prop_map(Bytes::from)
    }

    fn kept() -> impl Strategy<Value = Vec<Bytes>> {
        proptest::collection::vec(payload(), 0..5)
    }

    fn ended() -> impl Strategy<Value = Option<Timestamp>> {
        proptest::option::of((1..u64::MAX).prop_map(Timestamp))
    }

    proptest! {
        #[test]
        fn a_claim_comes_back_as_it_was(place in place(), owned in owned()) {
            let mut bytes = Vec::new();
            encode_claim(&mut bytes, &place, &owned);
            let (frame, taken) = decode(&bytes).unwrap();
            prop_assert_eq!(taken, bytes.len());
            prop_assert_eq!(frame.place, place);
            prop_assert!(matches!(frame.body, Body::Claim(found) if found == owned));
        }

        #[test]
        fn an_append_comes_back_as_it_was(
            place in place(), first in 1_u64..1 << 60, kept in kept(), ended in ended(),
        ) {
            let entries = number(first, kept).unwrap();
            let append = JudgedAppend { entries, ended };
            let mut bytes = Vec::new();
            encode_append(&mut bytes, &place, Epoch(7), &append);
            let (frame, _) = decode(&bytes).unwrap();
            prop_assert!(matches!(
                frame.body,
                Body::Append(Epoch(7), found)
                    if found.entries == append.entries && found.ended == ended
            ));
        }

        #[test]
        fn a_whole_thing_comes_back_as_it_was(
            place in place(), owned in owned(), first in 1_u64..1 << 60,
            kept in kept(), ended in ended(), damaged in any::<bool>(),
        ) {
            let log = EventLog::restore(first, kept, ended, damaged);
            let thing = SingleThing::new(owned, log, 0);
            let mut bytes = Vec::new();
            encode_whole(&mut bytes, &place, &thing);
            let (frame, _) = decode(&bytes).unwrap();
            prop_assert!(matches!(frame.body, Body::Whole(found) if found == thing));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&bytes).is_err());
        }

        #[test]
        fn arbitrary_bodies_under_a_right_checksum_never_panic(
            body in proptest::collection::vec(any::<u8>(), 0..200), kind in 0_u8..5,
        ) {
            let mut body = body;
            if let Some(first) = body.first_mut() {
                *first = kind;
            }
            let mut bytes = length(body.len()).to_le_bytes().to_vec();
            bytes.extend(crc32fast::hash(&body).to_le_bytes());
            bytes.extend(body);
            if let Err(broken) = decode(&bytes) {
                prop_assert_eq!(broken, Broken::Damaged(bytes.len()));
            }
        }

        #[test]
        fn a_flipped_bit_or_a_missing_end_is_noticed(
            place in place(), owned in owned(), bit in any::<prop::sample::Index>(),
        ) {
            let mut bytes = Vec::new();
            encode_claim(&mut bytes, &place, &owned);
            let bit = bit.index(bytes.len() * 8);
            prop_assert_eq!(decode(&bytes[..bit / 8]).unwrap_err(), Broken::Short);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode(&bytes).is_err());
        }
    }
}
