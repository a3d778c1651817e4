//! One trail, followed from its first segment to its last.
//!
//! Every line is held against its checksum, its number and its place in the chain; every ended segment
//! against its checkpoint; the open one against its anchor; the last one against what names the latest;
//! every box that can be opened against what commits to it. After the first problem of a segment nothing
//! behind it in that segment can be told apart, so it is the only one named.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use super::Archive;
use super::held::Held;
use super::losses::Losses;
use super::records::{Record, Segment};
use super::verify::{self, Problem, Verified};
use crate::audit::chain::{Hash, START};
use crate::audit::checkpoint::{
    Anchor, Checkpoint, Found, Gone, Latest, Previous, SignedCheckpoint,
};
use crate::audit::layout::{self, Part, Trail};
use crate::audit::line::{Damage, FORMAT};
use crate::audit::segment::Standing;

/// A record number and what is wrong there.
type Bad = (u64, String);

/// See the module docs.
pub(super) struct Follow<'a, 'v> {
    archive: &'a Archive,
    directory: &'a str,
    tenant: &'a str,
    records: PathBuf,
    checkpoints: PathBuf,
    trail: Trail,
    held: &'a mut Held<'v>,
    losses: &'a mut Losses,
    /// Where the chain must go on.
    standing: Standing,
    /// The checkpoint before.
    previous: Option<Previous>,
    verified: Verified,
}

/// What a segment must come to.
enum Must {
    /// This, and nothing more.
    Be(SignedCheckpoint),
    /// This at least.
    Hold(Anchor),
    /// Nobody says.
    Unknown,
}

impl<'a, 'v> Follow<'a, 'v> {
    pub(super) fn new(
        archive: &'a Archive,
        directory: &'a str,
        tenant: &'a str,
        trail: Trail,
        held: &'a mut Held<'v>,
        losses: &'a mut Losses,
    ) -> Self {
        let place = |root: &PathBuf| root.join(directory).join(trail.as_str());
        Self {
            records: place(&archive.places.records),
            checkpoints: place(&archive.places.checkpoints),
            archive,
            directory,
            tenant,
            trail,
            held,
            losses,
            standing: Standing {
                last: 0,
                head: START,
            },
            previous: None,
            verified: Verified::default(),
        }
    }

    /// What it came to.
    pub(super) fn done(self) -> Verified {
        self.verified
    }

    /// Follows the trail. What is wrong with a segment is noted, and the next one looked at.
    ///
    /// # Errors
    /// When it cannot be seen what segments there are.
    pub(super) fn all(&mut self, from_ms: u64, to_ms: u64) -> io::Result<()> {
        // Read first: what it names is there.
        let latest = self.latest();
        let files = layout::listed(&self.records, Part::Segment)?;
        let proven = layout::listed(&self.checkpoints, Part::Checkpoint)?;
        let anchored = layout::listed(&self.checkpoints, Part::Anchor)?;
        let mut all = files.clone();
        all.extend(&proven);
        all.extend(&anchored);
        match latest {
            Ok(latest) => all.extend(latest),
            // A process that was killed over its first segment had not come to write it.
            Err(what) => {
                if !proven.is_empty() || self.is_begun(&anchored) {
                    self.bad((None, what));
                }
            }
        }
        let mut before_ms = 0;
        for first in all {
            if before_ms > to_ms {
                break;
            }
            let must = self.must(first).unwrap_or_else(|what| {
                self.bad_at(first, what);
                Must::Unknown
            });
            if let Must::Be(checkpoint) = &must {
                before_ms = checkpoint.says.ended_ms;
                let is_gone = !files.contains(&first) && self.is_gone(first);
                if before_ms < from_ms || is_gone {
                    self.take(checkpoint);
                    continue;
                }
            }
            let path = layout::file(&self.records, first, Part::Segment);
            let found = match Segment::read(&path) {
                Ok(Some(segment)) => self.segment(first, &segment, &must),
                // Retention may have come first.
                Ok(None) if self.is_gone(first) => None,
                Ok(None) => missing(first, &must),
                Err(error) => Some((first, error.to_string())),
            };
            if let Some((seq, what)) = found.or_else(|| wrong(&must)) {
                self.bad_at(seq, what);
            }
            // What follows is held against what we signed, not against what was found.
            if let Must::Be(checkpoint) = &must {
                self.take(checkpoint);
            }
        }
        Ok(())
    }

    fn bad_at(&mut self, seq: u64, what: String) {
        self.bad((Some((self.trail, seq)), what));
    }

    pub(super) fn bad(&mut self, (at, what): verify::Bad) {
        let tenant = self.tenant.to_owned();
        self.verified.problems.push(Problem { tenant, at, what });
    }

    /// The segment that is the latest as far as is said, or what is wrong with what says so.
    fn latest(&self) -> Result<Option<u64>, String> {
        let root = &self.archive.places.vault;
        let path = layout::latest(root, self.directory, self.trail);
        let shown = path.display();
        match Latest::read(&path, &self.archive.keys) {
            Ok(Found::Ours(latest)) if latest.is_of(self.directory, self.trail) => {
                Ok(Some(latest.first))
            }
            Ok(Found::Ours(_) | Found::NotOurs) => {
                Err(format!("{shown} is not one we signed for these records"))
            }
            Ok(Found::Nothing) => Err(format!(
                "{shown} is missing: nothing says which segment of {} is the latest",
                self.trail.as_str()
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether any open segment holds a record.
    fn is_begun(&self, anchored: &BTreeSet<u64>) -> bool {
        anchored.iter().any(|first| {
            let path = layout::file(&self.checkpoints, *first, Part::Anchor);
            let anchor = Anchor::read(&path, &self.archive.keys).map(Found::ours);
            !matches!(anchor, Ok(Some(anchor)) if anchor.last < *first)
        })
    }

    fn take(&mut self, checkpoint: &SignedCheckpoint) {
        self.standing = Standing {
            last: checkpoint.says.last,
            head: Hash::parse(&checkpoint.says.head).unwrap_or(START),
        };
        self.previous = Some(Previous {
            first: checkpoint.says.first,
            signature: checkpoint.signature.clone(),
        });
    }

    fn is_gone(&self, first: u64) -> bool {
        let path = layout::file(&self.checkpoints, first, Part::Gone);
        let gone = Gone::read(&path, &self.archive.keys);
        gone.ok().and_then(Found::ours).is_some_and(|gone| {
            gone.first == first && gone.tenant == self.tenant && gone.trail == self.trail.as_str()
        })
    }

    /// What a segment must come to, or what is wrong with what says so.
    fn must(&self, first: u64) -> Result<Must, String> {
        let keys = &self.archive.keys;
        let path = layout::file(&self.checkpoints, first, Part::Checkpoint);
        let is_here = |tenant: &str, trail: &str, of: u64| {
            tenant == self.tenant && trail == self.trail.as_str() && of == first
        };
        match Checkpoint::read(&path, keys).map_err(|error| error.to_string())? {
            Found::NotOurs => return Err("its checkpoint is not one we signed".to_owned()),
            Found::Ours(signed) => {
                let says = &signed.says;
                return if !is_here(&says.tenant, &says.trail, says.first) {
                    Err("its checkpoint is that of another segment".to_owned())
                } else if says.previous != self.previous {
                    Err("its checkpoint does not follow the one before it".to_owned())
                } else {
                    Ok(Must::Be(signed))
                };
            }
            Found::Nothing => {}
        }
        let path = layout::file(&self.checkpoints, first, Part::Anchor);
        match Anchor::read(&path, keys).map_err(|error| error.to_string())? {
            Found::Ours(anchor) if is_here(&anchor.tenant, &anchor.trail, anchor.first) => {
                Ok(Must::Hold(anchor))
            }
            Found::Ours(_) | Found::NotOurs => {
                Err("its anchor is not one we wrote for it".to_owned())
            }
            Found::Nothing => Err("its segment has neither a checkpoint nor an anchor".to_owned()),
        }
    }

    /// Reads a segment. Gives the first thing that is wrong.
    fn segment(&mut self, first: u64, segment: &Segment, must: &Must) -> Option<Bad> {
        self.verified.segments += 1;
        if first != self.standing.last + 1 {
            let what = format!(
                "records {} to {} are missing",
                self.standing.last + 1,
                first - 1
            );
            return Some((self.standing.last + 1, what));
        }
        let parts = segment.header().zip(segment.header_line());
        let Some((header, line)) = parts else {
            // An open segment whose first line was never finished holds nothing.
            let is_begun = !matches!(must, Must::Hold(anchor) if anchor.last < first);
            return is_begun.then(|| (first, "the first line is not one of ours".to_owned()));
        };
        let key = header.segment_key(&self.archive.keys);
        let Some(key) = key.filter(|_| header.tenant == self.tenant && header.first == first)
        else {
            let what = "the file is that of another segment, or of another cluster".to_owned();
            return Some((first, what));
        };
        let is_ours = Hash::parse(&header.after) == Some(self.standing.head)
            && key.link(&self.standing.head, line.canonical.as_bytes()) == line.chain;
        if !is_ours {
            let what = "the file is not the one that was written here".to_owned();
            return Some((first, what));
        }
        self.standing.head = line.chain;
        let most = match must {
            Must::Be(checkpoint) => checkpoint.says.last,
            Must::Hold(_) | Must::Unknown => u64::MAX,
        };
        let mut anchored = None;
        for record in segment.records() {
            let expected = self.standing.last + 1;
            let checked = match record {
                Ok(record) => {
                    self.record(expected, most, &record, |head, text| key.link(head, text))
                }
                Err(damage) => Err(told(damage)),
            };
            match checked {
                Err(what) => return Some((expected, what)),
                Ok(head) => {
                    self.standing = Standing {
                        last: expected,
                        head,
                    }
                }
            }
            if let Must::Hold(anchor) = must
                && anchor.last == expected
            {
                anchored = Some(self.standing.head.text() == anchor.head);
            }
        }
        let torn = segment.torn() as u64;
        self.end(must, torn, anchored)
    }

    fn end(&mut self, must: &Must, torn: u64, anchored: Option<bool>) -> Option<Bad> {
        let next = self.standing.last + 1;
        let cut = |last: u64| format!("records {next} to {last} are missing: the tail was cut");
        match must {
            Must::Be(checkpoint) => {
                let says = &checkpoint.says;
                if self.standing.last < says.last {
                    return Some((next, cut(says.last)));
                }
                if self.standing.head.text() != says.head {
                    return Some((says.last, "it is not what was signed".to_owned()));
                }
                (torn > 0).then(|| {
                    (
                        next,
                        format!("{torn} bytes were added behind the last record"),
                    )
                })
            }
            Must::Hold(anchor) => {
                self.verified.torn += torn;
                if self.standing.last < anchor.last {
                    return Some((next, cut(anchor.last)));
                }
                let is_other = anchored == Some(false);
                is_other.then(|| (anchor.last, "it is not what the anchor names".to_owned()))
            }
            // Said already.
            Must::Unknown => None,
        }
    }

    /// Checks a record. Gives where the chain goes on, or what is wrong.
    fn record(
        &mut self,
        expected: u64,
        most: u64,
        record: &Record<'_>,
        link: impl FnOnce(&Hash, &[u8]) -> Hash,
    ) -> Result<Hash, String> {
        let number = record.number("seq").unwrap_or(0);
        if record.number("v") != Some(FORMAT) {
            return Err("it is of a format that this version does not know".to_owned());
        }
        if number > expected {
            return Err(format!(
                "record {number} stands here: something was removed or moved"
            ));
        }
        if number < expected {
            return Err(format!(
                "record {number} stands here: something was inserted or moved"
            ));
        }
        if expected > most {
            return Err("it was added behind the end of its segment".to_owned());
        }
        let head = link(&self.standing.head, record.line.canonical.as_bytes());
        if head != record.line.chain {
            return Err("it does not follow from the one before: it was changed".to_owned());
        }
        let contents = self.held.contents(&record.members, &record.line);
        self.verified.records += 1;
        self.verified.erased += contents.shut;
        self.losses.need(contents.missing, (self.trail, expected));
        if let Some(name) = contents.changed {
            return Err(format!("its {name} is not what the record commits to"));
        }
        if self.trail == Trail::Security {
            self.losses.hear(record);
        }
        Ok(head)
    }
}

fn missing(first: u64, must: &Must) -> Option<Bad> {
    match must {
        // The process ended before the file was made.
        Must::Hold(anchor) if anchor.last < first => None,
        Must::Be(_) | Must::Hold(_) => {
            Some((first, "the file of its segment is missing".to_owned()))
        }
        // Said already.
        Must::Unknown => None,
    }
}

/// What a process noted that had to end the segment for another.
fn wrong(must: &Must) -> Option<Bad> {
    match must {
        Must::Be(checkpoint) => {
            let says = &checkpoint.says;
            Some((says.first, says.wrong.clone()?))
        }
        Must::Hold(_) | Must::Unknown => None,
    }
}

fn told(damage: Damage) -> String {
    match damage {
        Damage::Form => "it is no whole record".to_owned(),
        Damage::Checksum => "its checksum is wrong: it was changed".to_owned(),
    }
}
