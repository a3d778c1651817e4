//! A segment's file, read line by line.

use std::io;
use std::path::Path;

use serde_json::{Map, Value};

use crate::audit::disk;
use crate::audit::line::{Damage, Line, lines};
use crate::audit::segment::Header;

/// A segment's file as it lies there. It is read whole: its size has a bound.
pub(super) struct Segment {
    bytes: Vec<u8>,
}

/// A line that is a record.
pub(super) struct Record<'a> {
    pub(super) line: Line<'a>,
    pub(super) members: Map<String, Value>,
}

impl Segment {
    /// The segment in a file, if there is one.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        Ok(disk::read(path)?.map(|bytes| Self { bytes }))
    }

    /// The first line, if it is one that a segment begins with.
    pub(super) fn header(&self) -> Option<Header> {
        let (mut whole, _) = lines(&self.bytes);
        let (_, line) = whole.next()?;
        Line::parse(std::str::from_utf8(line).ok()?).ok()?.decode()
    }

    /// Bytes behind the last whole line.
    pub(super) fn torn(&self) -> usize {
        lines(&self.bytes).1.len()
    }

    /// The first line, taken apart.
    pub(super) fn header_line(&self) -> Option<Line<'_>> {
        let (mut whole, _) = lines(&self.bytes);
        let (_, line) = whole.next()?;
        Line::parse(std::str::from_utf8(line).ok()?).ok()
    }

    /// The lines behind the first.
    pub(super) fn records(&self) -> impl Iterator<Item = Result<Record<'_>, Damage>> {
        let (whole, _) = lines(&self.bytes);
        whole.skip(1).map(|(_, line)| {
            let line = std::str::from_utf8(line).map_err(|_| Damage::Form)?;
            let line = Line::parse(line)?;
            let members = line.decode().ok_or(Damage::Form)?;
            Ok(Record { line, members })
        })
    }
}

impl Record<'_> {
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.members.get(name).and_then(Value::as_u64)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name).and_then(Value::as_str)
    }
}
