//! What the scripts answer, as outcomes of the store.

use bytes::Bytes;
use deadpool_redis::redis::Value;

use super::codec;
use crate::runtime::clock::Timestamp;
use crate::store::{
    AppendOutcome, CasOutcome, ClaimOutcome, Claimed, Epoch, Incarnation, LogEntry, LogPage,
    Ownership, Record, StoreError, StoreResult, Version,
};

/// What every script means by these; what the others mean is its own.
const GONE: i64 = 0;
const DONE: i64 = 1;

/// The items of an answer, taken one after the other.
#[derive(Debug)]
pub(super) struct Answer(std::vec::IntoIter<Value>);

impl Answer {
    /// Any answer is a list.
    pub(super) fn new(value: Value) -> StoreResult<Self> {
        match value {
            Value::Array(items) => Ok(Self(items.into_iter())),
            _ => unexpected(),
        }
    }

    /// Begins with how it ended.
    fn with_end(value: Value) -> StoreResult<(i64, Self)> {
        let mut answer = Self::new(value)?;
        match answer.0.next() {
            Some(Value::Int(end)) => Ok((end, answer)),
            _ => unexpected(),
        }
    }

    /// A number, as such or in digits.
    pub(super) fn number(&mut self) -> StoreResult<u64> {
        let number = match self.0.next() {
            Some(Value::Int(number)) => u64::try_from(number).ok(),
            Some(Value::BulkString(digits)) => parse(&digits),
            _ => None,
        };
        number.map_or_else(unexpected, Ok)
    }

    /// A number, or nothing.
    pub(super) fn number_or_nothing(&mut self) -> StoreResult<Option<u64>> {
        if self.0.as_slice().first() == Some(&Value::Nil) {
            self.0.next();
            return Ok(None);
        }
        self.number().map(Some)
    }

    /// A text, or nothing.
    pub(super) fn text_or_nothing(&mut self) -> StoreResult<Option<String>> {
        if self.0.as_slice().first() == Some(&Value::Nil) {
            self.0.next();
            return Ok(None);
        }
        let text = self.bytes()?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }

    /// A list.
    pub(super) fn list(&mut self) -> StoreResult<Vec<Value>> {
        match self.0.next() {
            Some(Value::Array(items)) => Ok(items),
            _ => unexpected(),
        }
    }

    fn bytes(&mut self) -> StoreResult<Vec<u8>> {
        match self.0.next() {
            Some(Value::BulkString(bytes)) => Ok(bytes),
            _ => unexpected(),
        }
    }

    /// The numbers that are left.
    pub(super) fn numbers(mut self) -> StoreResult<Vec<u64>> {
        let mut numbers = Vec::with_capacity(self.0.len());
        while !self.0.as_slice().is_empty() {
            numbers.push(self.number()?);
        }
        Ok(numbers)
    }

    /// The numbered values that are left.
    pub(super) fn entries(mut self) -> StoreResult<Vec<LogEntry>> {
        let mut entries = Vec::with_capacity(self.0.len() / 2);
        while !self.0.as_slice().is_empty() {
            entries.push(LogEntry {
                seq: self.number()?,
                payload: codec::decode(self.bytes()?)?,
            });
        }
        Ok(entries)
    }

    /// The same, each with what is wrong with it: what one writer damaged must not keep the rest
    /// from being read.
    pub(super) fn numbered(mut self) -> StoreResult<Vec<(u64, StoreResult<Bytes>)>> {
        let mut entries = Vec::with_capacity(self.0.len() / 2);
        while !self.0.as_slice().is_empty() {
            entries.push((self.number()?, codec::decode(self.bytes()?)));
        }
        Ok(entries)
    }

    fn record(&mut self, now: Timestamp) -> StoreResult<Record> {
        Ok(Record {
            value: codec::decode(self.bytes()?)?,
            version: Version(self.number()?),
            expires: now.after(std::time::Duration::from_millis(self.number()?)),
        })
    }

    fn ownership(&mut self) -> StoreResult<Ownership> {
        Ok(Ownership {
            epoch: Epoch(self.number()?),
            owner: Incarnation(self.number()?),
            note: self.bytes()?.into(),
        })
    }
}

/// Whether something was done, of scripts that only say that.
pub(super) fn done(value: Value) -> StoreResult<bool> {
    match Answer::with_end(value)? {
        (GONE, _) => Ok(false),
        (DONE, _) => Ok(true),
        _ => unexpected(),
    }
}

/// Of `read.lua`.
pub(super) fn read(value: Value, now: Timestamp) -> StoreResult<Option<Record>> {
    match Answer::with_end(value)? {
        (GONE, _) => Ok(None),
        (DONE, mut answer) => answer.record(now).map(Some),
        _ => unexpected(),
    }
}

/// Of `compare_and_set.lua`.
pub(super) fn compare_and_set(value: Value, now: Timestamp) -> StoreResult<CasOutcome> {
    const LOST: i64 = 2;
    match Answer::with_end(value)? {
        (GONE, _) => Ok(CasOutcome::Gone),
        (DONE, mut answer) => Ok(CasOutcome::Written(Version(answer.number()?))),
        (LOST, mut answer) => answer.record(now).map(CasOutcome::Lost),
        _ => unexpected(),
    }
}

/// Of `claim.lua`.
pub(super) fn claim(value: Value) -> StoreResult<ClaimOutcome> {
    const LOST: i64 = 2;
    match Answer::with_end(value)? {
        (GONE, _) => Ok(ClaimOutcome::Gone),
        (DONE, mut answer) => Ok(ClaimOutcome::Claimed(Claimed {
            ownership: answer.ownership()?,
            last_seq: answer.number()?,
            ended: answer.number()? != 0,
            previous: answer.number_or_nothing()?.map(Incarnation),
        })),
        (LOST, _) => Ok(ClaimOutcome::Lost),
        _ => unexpected(),
    }
}

/// Of `ownership.lua`.
pub(super) fn ownership(value: Value) -> StoreResult<Option<Ownership>> {
    match Answer::with_end(value)? {
        (GONE, _) => Ok(None),
        (DONE, mut answer) => answer.ownership().map(Some),
        _ => unexpected(),
    }
}

/// Of `append.lua`, for entries that begin with number `first`.
pub(super) fn append(value: Value, first: u64) -> StoreResult<AppendOutcome> {
    const STALE: i64 = 2;
    const GAP: i64 = 3;
    match Answer::with_end(value)? {
        (GONE, _) => Ok(AppendOutcome::Gone),
        (DONE, answer) => {
            let followers = answer.numbers()?.into_iter().map(Incarnation).collect();
            Ok(AppendOutcome::Stored { followers })
        }
        (STALE, _) => Ok(AppendOutcome::Stale),
        (GAP, mut answer) => {
            let last = answer.number()?;
            let problem = format!("entry {first} cannot follow entry {last}");
            Err(StoreError::Damaged(problem))
        }
        _ => unexpected(),
    }
}

/// Of `read_log.lua`, asked for at most `limit` entries after number `after`.
pub(super) fn read_log(value: Value, after: u64, limit: usize) -> StoreResult<LogPage> {
    const DROPPED: i64 = 2;
    match Answer::with_end(value)? {
        (GONE, _) => Ok(LogPage::Missing),
        (DONE, mut answer) => {
            let (has_ended, last) = (answer.number()? == 1, answer.number()?);
            let entries = answer.entries()?;
            let follow = (after + 1..)
                .zip(&entries)
                .all(|(seq, entry)| entry.seq == seq);
            // A log that lost its first entries, or all of them, by other hands than ours.
            if !follow || (entries.is_empty() && after < last && limit > 0) {
                return Ok(LogPage::Dropped);
            }
            let ended = has_ended && after + entries.len() as u64 == last;
            Ok(LogPage::Entries { entries, ended })
        }
        (DROPPED, _) => Ok(LogPage::Dropped),
        _ => unexpected(),
    }
}

fn parse(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn unexpected<T>() -> StoreResult<T> {
    Err(StoreError::Damaged("an answer that is none of ours".into()))
}
