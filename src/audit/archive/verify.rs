//! Is everything there that was recorded, and as it was recorded?
//!
//! Each trail is followed from its first segment to its last: every line against its checksum, its
//! number and its place in the chain; every ended segment against its checkpoint; the open one against
//! its anchor; every box that can be opened against what commits to it. After the first problem of a
//! segment nothing behind it in that segment can be told apart, so it is the only one named.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::audit::chain::{Hash, START};
use crate::audit::checkpoint::{Anchor, Checkpoint, Found, Gone, Previous, SignedCheckpoint};
use crate::audit::layout::{self, Part, Trail};
use crate::audit::line::{Damage, FORMAT};
use crate::audit::segment::Standing;

use super::records::{Record, Segment};
use super::{Archive, Subjects};

/// What verifying came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Segments that were read.
    pub segments: u64,
    /// Records in them.
    pub records: u64,
    /// Boxes whose key was destroyed.
    pub erased: u64,
    /// Bytes at the ends of open segments that are no whole record yet, or never will be.
    pub torn: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Something that is not as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whose records; the directory's name where not even that is known.
    pub tenant: String,
    /// Which of them.
    pub trail: Trail,
    /// The first record that is not what it was.
    pub seq: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tenant,
            trail,
            seq,
            what,
        } = self;
        write!(f, "{tenant}/{}: record {seq}: {what}", trail.as_str())
    }
}

/// A record number and what is wrong there.
type Bad = (u64, String);

/// The files of one trail.
struct Follow<'a> {
    archive: &'a Archive,
    tenant: String,
    records: PathBuf,
    checkpoints: PathBuf,
    trail: Trail,
    subjects: Subjects,
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

impl Archive {
    /// Follows every chain. With a time, segments that ended before it are taken on the word of their
    /// checkpoints, and those that begin after the other are left out.
    ///
    /// # Errors
    /// When something cannot be read at all.
    pub fn verify(&self, from_ms: u64, to_ms: u64) -> io::Result<Verified> {
        let mut verified = Verified::default();
        for ((directory, trail), id) in self.trails()? {
            let place = |root: &PathBuf| root.join(&directory).join(trail.as_str());
            let tenant = id.map_or(directory.clone(), |id| id.tenant.to_string());
            let mut follow = Follow {
                archive: self,
                records: place(&self.places.records),
                checkpoints: place(&self.places.checkpoints),
                trail,
                subjects: self.vault.all(&tenant)?,
                tenant,
                standing: Standing {
                    last: 0,
                    head: START,
                },
                previous: None,
                verified: Verified::default(),
            };
            follow.all(from_ms, to_ms)?;
            let found = follow.verified;
            verified.segments += found.segments;
            verified.records += found.records;
            verified.erased += found.erased;
            verified.torn += found.torn;
            verified.problems.extend(found.problems);
        }
        Ok(verified)
    }
}

impl Follow<'_> {
    fn all(&mut self, from_ms: u64, to_ms: u64) -> io::Result<()> {
        let files = layout::listed(&self.records, Part::Segment)?;
        let proven = layout::listed(&self.checkpoints, Part::Checkpoint)?;
        let anchored = layout::listed(&self.checkpoints, Part::Anchor)?;
        let gone = layout::listed(&self.checkpoints, Part::Gone)?;
        let mut all = files.clone();
        all.extend(&proven);
        all.extend(&anchored);
        let mut before_ms = 0;
        for first in all {
            if before_ms > to_ms {
                break;
            }
            let must = self.must(first)?;
            let must = match must {
                Ok(must) => must,
                Err(what) => {
                    self.bad((first, what));
                    Must::Unknown
                }
            };
            if let Must::Be(checkpoint) = &must {
                before_ms = checkpoint.says.ended_ms;
                let is_gone = gone.contains(&first) && self.is_gone(first)?;
                if before_ms < from_ms || (is_gone && !files.contains(&first)) {
                    self.take(checkpoint);
                    continue;
                }
            }
            let found = if files.contains(&first) {
                self.segment(first, &must)?
            } else {
                missing(first, &must)
            };
            if let Some(bad) = found {
                self.bad(bad);
            }
            // What follows is held against what we signed, not against what was found.
            if let Must::Be(checkpoint) = &must {
                self.take(checkpoint);
            }
        }
        Ok(())
    }

    fn bad(&mut self, (seq, what): Bad) {
        self.verified.problems.push(Problem {
            tenant: self.tenant.clone(),
            trail: self.trail,
            seq,
            what,
        });
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

    fn is_gone(&self, first: u64) -> io::Result<bool> {
        let path = layout::file(&self.checkpoints, first, Part::Gone);
        let gone = Gone::read(&path, &self.archive.keys)?.ours();
        Ok(gone.is_some_and(|gone| {
            gone.first == first && gone.tenant == self.tenant && gone.trail == self.trail.as_str()
        }))
    }

    /// What a segment must come to, or what is wrong with what says so.
    fn must(&self, first: u64) -> io::Result<Result<Must, String>> {
        let keys = &self.archive.keys;
        let path = layout::file(&self.checkpoints, first, Part::Checkpoint);
        let is_here = |tenant: &str, trail: &str, of: u64| {
            tenant == self.tenant && trail == self.trail.as_str() && of == first
        };
        match Checkpoint::read(&path, keys)? {
            Found::NotOurs => return Ok(Err("its checkpoint is not one we signed".to_owned())),
            Found::Ours(signed) => {
                let says = &signed.says;
                return Ok(if !is_here(&says.tenant, &says.trail, says.first) {
                    Err("its checkpoint is that of another segment".to_owned())
                } else if says.previous != self.previous {
                    Err("its checkpoint does not follow the one before it".to_owned())
                } else {
                    Ok(Must::Be(signed))
                });
            }
            Found::Nothing => {}
        }
        let path = layout::file(&self.checkpoints, first, Part::Anchor);
        Ok(match Anchor::read(&path, keys)? {
            Found::Ours(anchor) if is_here(&anchor.tenant, &anchor.trail, anchor.first) => {
                Ok(Must::Hold(anchor))
            }
            Found::Ours(_) | Found::NotOurs => {
                Err("its anchor is not one we wrote for it".to_owned())
            }
            Found::Nothing => Err("it has neither a checkpoint nor an anchor".to_owned()),
        })
    }

    /// Reads a segment. Gives the first thing that is wrong.
    fn segment(&mut self, first: u64, must: &Must) -> io::Result<Option<Bad>> {
        let segment = Segment::read(&layout::file(&self.records, first, Part::Segment))?;
        self.verified.segments += 1;
        if first != self.standing.last + 1 {
            let what = format!(
                "records {} to {} are missing",
                self.standing.last + 1,
                first - 1
            );
            return Ok(Some((self.standing.last + 1, what)));
        }
        let parts = segment.header().zip(segment.header_line());
        let Some((header, line)) = parts else {
            // An open segment whose first line was never finished holds nothing.
            let is_begun = !matches!(must, Must::Hold(anchor) if anchor.last < first);
            return Ok(is_begun.then(|| (first, "the first line is not one of ours".to_owned())));
        };
        let key = header.segment_key(&self.archive.keys);
        let Some(key) = key.filter(|_| header.tenant == self.tenant && header.first == first)
        else {
            let what = "the file is that of another segment, or of another cluster".to_owned();
            return Ok(Some((first, what)));
        };
        let is_ours = Hash::parse(&header.after) == Some(self.standing.head)
            && key.link(&self.standing.head, line.canonical.as_bytes()) == line.chain;
        if !is_ours {
            let what = "the file is not the one that was written here".to_owned();
            return Ok(Some((first, what)));
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
                    self.record(expected, most, &record, |head, text| key.link(head, text))?
                }
                Err(damage) => Err(told(damage)),
            };
            match checked {
                Err(what) => return Ok(Some((expected, what))),
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
        Ok(self.end(must, torn, anchored))
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
    ) -> io::Result<Result<Hash, String>> {
        let number = record.number("seq").unwrap_or(0);
        if record.number("v") != Some(FORMAT) {
            return Ok(Err(
                "it is of a format that this version does not know".to_owned()
            ));
        }
        if number > expected {
            return Ok(Err(format!(
                "record {number} stands here: something was removed or moved"
            )));
        }
        if number < expected {
            return Ok(Err(format!(
                "record {number} stands here: something was inserted or moved"
            )));
        }
        if expected > most {
            return Ok(Err("it was added behind the end of its segment".to_owned()));
        }
        let head = link(&self.standing.head, record.line.canonical.as_bytes());
        if head != record.line.chain {
            return Ok(Err(
                "it does not follow from the one before: it was changed".to_owned(),
            ));
        }
        let contents =
            self.archive
                .contents(&self.tenant, &self.subjects, &record.members, &record.line)?;
        self.verified.records += 1;
        self.verified.erased += contents.erased;
        Ok(match contents.changed {
            Some(name) => Err(format!("its {name} is not what the record commits to")),
            None => Ok(head),
        })
    }
}

fn missing(first: u64, must: &Must) -> Option<Bad> {
    match must {
        // The process ended before the file was made.
        Must::Hold(anchor) if anchor.last < first => None,
        Must::Be(_) | Must::Hold(_) | Must::Unknown => {
            Some((first, "the file of its segment is missing".to_owned()))
        }
    }
}

fn told(damage: Damage) -> String {
    match damage {
        Damage::Form => "it is no whole record".to_owned(),
        Damage::Checksum => "its checksum is wrong: it was changed".to_owned(),
    }
}
