//! The files of the journal: numbered segments, of which only the newest grows.
//!
//! [`Segments`] begins a new file when the newest is full, and deletes whole files from the old
//! end. Every file begins with [`MAGIC`].
//!
//! It does not know what the bytes mean; [`super::frame`] does. Which segment is still needed is
//! decided by [`super::tidy`].

use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::embedded::directory::sync_directory;
use crate::store::embedded::journal::tail::{Disk, Tail};

/// The first bytes of each segment: what it is, and the version of its format.
pub(super) const MAGIC: &[u8; 8] = b"sbevent1";

/// A segment that has grown so large is followed by a new one. Large enough that beginning one is
/// rare, small enough to be read at once.
const SEGMENT_BYTES: u64 = 16 << 20;

/// The files of the journal.
#[derive(Debug)]
pub(super) struct Segments {
    dir: PathBuf,
    /// Those that grow no more, oldest first.
    closed: VecDeque<Segment>,
    tail: Tail,
    number: u64,
}

/// A file that grows no more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// Its place in the order of all.
    pub(super) number: u64,
    /// Its size.
    pub(super) bytes: u64,
}

impl Segments {
    /// Goes on after what was found: `newest` grows further from its good bytes, or the first
    /// segment is begun.
    pub(super) fn resume(
        dir: PathBuf,
        closed: VecDeque<Segment>,
        newest: Option<Segment>,
    ) -> io::Result<Self> {
        let number = newest.map_or(1, |newest| newest.number);
        let tail = match newest {
            Some(newest) if newest.bytes >= MAGIC.len() as u64 => {
                let file = OpenOptions::new()
                    .append(true)
                    .open(path(&dir, newest.number))?;
                file.set_len(newest.bytes)?;
                Tail::new(Arc::new(file), newest.bytes)
            }
            Some(_) | None => begin(&dir, number)?,
        };
        Ok(Self {
            dir,
            closed,
            tail,
            number,
        })
    }

    /// The newest segment.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// The oldest segment that grows no more.
    pub(super) fn oldest_closed(&self) -> Option<u64> {
        self.closed.front().map(|segment| segment.number)
    }

    /// Size of all.
    pub(super) fn bytes(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|segment| segment.bytes).sum();
        closed + self.tail.length()
    }

    /// Writes frames to the newest segment, all or none of them.
    ///
    /// # Errors
    /// What the operating system said; nothing was written then.
    pub(super) fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        let length = self.tail.length();
        let is_begun = length > MAGIC.len() as u64;
        if is_begun && length + frames.len() as u64 > SEGMENT_BYTES {
            self.roll()?;
        }
        self.tail.write(frames)
    }

    /// The file that grows.
    pub(super) fn disk(&self) -> Arc<dyn Disk> {
        self.tail.disk()
    }

    /// Deletes the oldest segment that grows no more.
    pub(super) fn delete_oldest(&mut self) -> io::Result<()> {
        if let Some(oldest) = self.closed.front() {
            fs::remove_file(path(&self.dir, oldest.number))?;
            self.closed.pop_front();
        }
        Ok(())
    }

    fn roll(&mut self) -> io::Result<()> {
        self.tail.disk().sync()?;
        let tail = begin(&self.dir, self.number + 1)?;
        self.closed.push_back(Segment {
            number: self.number,
            bytes: self.tail.length(),
        });
        self.tail = tail;
        self.number += 1;
        Ok(())
    }
}

/// Every segment in a directory, oldest first. Other files are left alone.
pub(super) fn list(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".seg"));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Where a segment lies.
pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:06}.seg"))
}

/// Begins a segment that nothing was ever acknowledged from; a half-made one is made anew.
fn begin(dir: &Path, number: u64) -> io::Result<Tail> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path(dir, number))?;
    file.set_len(0)?;
    let mut tail = Tail::new(Arc::new(file), 0);
    tail.write(MAGIC)?;
    tail.disk().sync()?;
    sync_directory(dir)?;
    Ok(tail)
}
