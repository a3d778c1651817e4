//! Reads the journal back when the store is opened.
//!
//! [`replay`] runs through all segments, oldest first, and lets the things in memory follow each
//! frame whose scope still has its record. The newest segment is cut at its first bad frame: that
//! is a torn write. Bad bytes in an older segment were good once, so entries are missing: they are
//! reported, and every log whose last number is no longer certain ends up damaged, which its
//! readers hear as `Dropped`.
//!
//! Invariants: a frame of a removed scope never comes back, nor one of an earlier scope of the same
//! name; no log is ever served with a gap.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::store::embedded::directory::OpenError;
use crate::store::embedded::journal::frame::{self, Body, Broken, Frame, Place};
use crate::store::embedded::journal::segments::{self, MAGIC, Segment, Segments};
use crate::store::embedded::records::Birth;
use crate::store::memory::{EventLog, JudgedAppend, Scopes, SingleThing};
use crate::store::{Epoch, Incarnation, Ownership};

/// Fills `scopes`, which holds every record already, and hands back the files to go on with.
///
/// # Errors
/// `NotWritable` or `NotOurs`; see [`OpenError`].
pub(super) fn replay(dir: &Path, scopes: &Scopes<Birth>) -> Result<Segments, OpenError> {
    let numbers = segments::list(dir).map_err(OpenError::not_writable(dir))?;
    let mut replay = Replay {
        scopes,
        damage: false,
        uncertain: HashSet::new(),
    };
    let mut found = VecDeque::with_capacity(numbers.len());
    for (index, &number) in numbers.iter().enumerate() {
        let path = segments::path(dir, number);
        let bytes = fs::read(&path).map_err(OpenError::not_writable(&path))?;
        let is_newest = index + 1 == numbers.len();
        let is_half_made = is_newest && MAGIC.starts_with(&bytes);
        if !bytes.starts_with(MAGIC) && !is_half_made {
            return Err(OpenError::not_ours(
                &path,
                "it does not begin like a segment",
            ));
        }
        if index > 0 && numbers[index - 1] + 1 != number {
            replay.report_damage(&segments::path(dir, number - 1), 0, "it is missing");
        }
        let good = replay.segment(number, &bytes, is_newest, &path);
        found.push_back(Segment {
            number,
            bytes: good as u64,
        });
    }
    replay.finish();
    let newest = found.pop_back();
    Segments::resume(PathBuf::from(dir), found, newest).map_err(OpenError::not_writable(dir))
}

struct Replay<'a> {
    scopes: &'a Scopes<Birth>,
    /// Some segment was damaged, so that frames without a beginning are no surprise.
    damage: bool,
    /// Things whose last number is not certain for now.
    uncertain: HashSet<Place>,
}

impl Replay<'_> {
    /// Follows the frames of one segment. Answers how many of its bytes are to be kept.
    fn segment(&mut self, number: u64, bytes: &[u8], is_newest: bool, path: &Path) -> usize {
        let mut at = MAGIC.len().min(bytes.len());
        while at < bytes.len() {
            match frame::decode(&bytes[at..]) {
                Ok((frame, taken)) => {
                    self.follow(frame, number);
                    at += taken;
                }
                Err(_) if is_newest => {
                    let lost = bytes.len() - at;
                    tracing::warn!(path = %path.display(), at, lost, "cut a torn end off the event journal");
                    return at;
                }
                Err(Broken::Damaged(taken)) => {
                    self.report_damage(path, at, "a frame does not fit its checksum");
                    at += taken;
                }
                Err(Broken::Short) => {
                    self.report_damage(path, at, "it ends within a frame");
                    break;
                }
            }
        }
        bytes.len()
    }

    fn report_damage(&mut self, path: &Path, at: usize, problem: &str) {
        tracing::error!(path = %path.display(), at, problem, "the event journal is damaged");
        self.damage = true;
        let uncertain = &mut self.uncertain;
        self.scopes.for_each_thing(|scope, birth, thing, known| {
            // What had ended before was complete before.
            if known.log.ended().is_none() {
                uncertain.insert(Place {
                    scope: scope.clone(),
                    birth: *birth,
                    thing: thing.clone(),
                });
            }
        });
    }

    fn follow(&mut self, Frame { place, body }: Frame, number: u64) {
        match body {
            Body::Whole(mut thing) => {
                thing.origin = number;
                self.uncertain.remove(&place);
                self.put(&place, thing);
            }
            Body::Claim(claimed) if claimed.epoch == Epoch(1) => {
                self.uncertain.remove(&place);
                let thing = SingleThing::new(claimed, EventLog::default(), number);
                self.put(&place, thing);
            }
            Body::Claim(claimed) => self.follow_claim(&place, &claimed, number),
            Body::Append(epoch, append) => self.follow_append(&place, epoch, append, number),
        }
    }

    fn follow_claim(&mut self, place: &Place, claimed: &Ownership, number: u64) {
        if self.begin_unknown(place, claimed, number) {
            self.uncertain.insert(place.clone());
        }
        self.scopes.update_thing(
            (&place.scope, &place.thing),
            |birth| *birth == place.birth,
            |thing| {
                thing.ownership = claimed.clone();
            },
        );
    }

    fn follow_append(&mut self, place: &Place, epoch: Epoch, append: JudgedAppend, number: u64) {
        let claimed = Ownership {
            epoch,
            owner: Incarnation(0),
            note: Bytes::new(),
        };
        if self.begin_unknown(place, &claimed, number) {
            self.uncertain.insert(place.clone());
        }
        let first = append.entries.first().map(|entry| entry.seq);
        let is_same = |birth: &Birth| *birth == place.birth;
        self.scopes
            .update_thing((&place.scope, &place.thing), is_same, |thing| {
                thing.ownership.epoch = thing.ownership.epoch.max(epoch);
                if let Some(first) = first
                    && first != thing.log.last() + 1
                {
                    thing.log.skip_to(first);
                }
            });
        if first.is_some() {
            self.uncertain.remove(place);
        }
        self.scopes
            .follow_append((&place.scope, &place.thing), is_same, append);
    }

    /// Begins a thing whose claim was lost. Without damage its claim lay in a segment deleted
    /// because the thing had gone, or lies ahead as part of the whole thing: nothing is missed.
    fn begin_unknown(&self, place: &Place, claimed: &Ownership, number: u64) -> bool {
        let is_same = |birth: &Birth| *birth == place.birth;
        let known = self.scopes.head((&place.scope, &place.thing), is_same);
        let begins = self.damage && known.is_none();
        if begins {
            let thing = SingleThing::new(claimed.clone(), EventLog::default(), number);
            self.put(place, thing);
        }
        begins
    }

    fn put(&self, place: &Place, thing: SingleThing) {
        let is_same = |birth: &Birth| *birth == place.birth;
        self.scopes
            .put_thing((&place.scope, &place.thing), is_same, thing);
    }

    fn finish(self) {
        for place in &self.uncertain {
            self.scopes.update_thing(
                (&place.scope, &place.thing),
                |birth| *birth == place.birth,
                |thing| thing.log.mark_damaged(),
            );
        }
        self.scopes.remove_aged_logs();
    }
}
