//! The one writer of the journal: judges what waits, writes it at once, then answers.
//!
//! [`JournalWriter::run`] is the body of a thread of its own, the only one that changes single
//! things (removing a whole scope aside). For all that waits it decides in order, against heads
//! that include what it just decided; puts every frame into one write; and only when that stands
//! lets the things in memory follow and answers. So memory never shows what a crash could take
//! back, and nothing needs to be undone when the disk fails.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::store::embedded::journal::frame::{self, Place};
use crate::store::embedded::journal::segments::Segments;
use crate::store::embedded::journal::syncer::Syncer;
use crate::store::embedded::journal::tidy::tidy;
use crate::store::embedded::queue::Reader;
use crate::store::embedded::record_changes::Answer;
use crate::store::embedded::records::Birth;
use crate::store::memory::{Head, JudgedAppend, Scopes};
use crate::store::{
    AppendOutcome, ClaimOutcome, Epoch, Incarnation, LogEntry, Ownership, Scope, StoreError,
    StoreResult, Thing,
};

/// Bytes of a buffer worth keeping for the next write; a rare larger one is given back.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

/// What the store's methods ask of the writer.
#[derive(Debug)]
pub(in crate::store::embedded) enum JournalWrite {
    /// See [`crate::store::Store::claim`].
    Claim {
        /// Of which thing.
        at: (Scope, Thing),
        /// By whom, and what it notes.
        by: (Incarnation, Bytes),
        /// The epoch to end.
        ending: Option<Epoch>,
        /// How it ended.
        answer: Answer<ClaimOutcome>,
    },
    /// See [`crate::store::Store::append`].
    Append {
        /// To which thing's log.
        at: (Scope, Thing),
        /// Under which epoch.
        epoch: Epoch,
        /// What.
        entries: Vec<LogEntry>,
        /// Whether nothing follows.
        ends: bool,
        /// How it ended.
        answer: Answer<AppendOutcome>,
    },
    /// Drops what has aged, and files nobody needs.
    Tidy {
        /// Done.
        answer: Answer<()>,
    },
    /// Answers when all earlier writes would survive a power cut.
    Flush {
        /// Done.
        answer: Answer<()>,
    },
}

/// A write that was decided, waiting for the disk.
enum Judged {
    Claim(Place, Ownership, Answer<ClaimOutcome>),
    ClaimRefused(ClaimOutcome, Answer<ClaimOutcome>),
    Append(Place, JudgedAppend, Answer<AppendOutcome>),
    AppendRefused(StoreResult<AppendOutcome>, Answer<AppendOutcome>),
    Tidy(Answer<()>),
    Flush(Answer<()>),
}

/// The state of the writer thread.
#[derive(Debug)]
pub(super) struct JournalWriter {
    queue: Reader<JournalWrite>,
    scopes: Arc<Scopes<Birth>>,
    segments: Segments,
    syncer: Arc<Syncer>,
    /// The heads of things as the present batch will leave them.
    heads: HashMap<Place, Head>,
    /// The frames of the present batch.
    frames: Vec<u8>,
    failing: bool,
    /// The newest segment when the journal was last tidied.
    tidied: u64,
}

impl JournalWriter {
    /// A writer that has not begun.
    pub(super) fn new(
        queue: Reader<JournalWrite>,
        scopes: Arc<Scopes<Birth>>,
        segments: Segments,
        syncer: Arc<Syncer>,
    ) -> Self {
        Self {
            tidied: segments.number(),
            queue,
            scopes,
            segments,
            syncer,
            heads: HashMap::new(),
            frames: Vec::new(),
            failing: false,
        }
    }

    /// Writes until the queue is closed and empty, then makes it safe from power cuts.
    pub(super) fn run(mut self) {
        while let Some(writes) = self.queue.take() {
            let judged: Vec<_> = writes.into_iter().map(|write| self.judge(write)).collect();
            let written = self.write();
            for judged in judged {
                self.settle(judged, &written);
            }
            self.heads.clear();
            self.frames.clear();
            self.frames.shrink_to(BUFFER_BYTES_KEPT);
            self.tidy_after_roll();
        }
        if let Err(error) = self.segments.disk().sync() {
            tracing::error!(%error, "could not sync the event journal");
        }
    }

    fn tidy_after_roll(&mut self) {
        if std::mem::replace(&mut self.tidied, self.segments.number()) == self.segments.number() {
            return;
        }
        if let Err(error) = tidy(&self.scopes, &mut self.segments) {
            tracing::error!(%error, "could not tidy the event journal");
        }
    }

    fn judge(&mut self, write: JournalWrite) -> Judged {
        match write {
            JournalWrite::Claim {
                at,
                by: (owner, note),
                ending,
                answer,
            } => {
                let Some(place) = self.place(at) else {
                    return Judged::ClaimRefused(ClaimOutcome::Gone, answer);
                };
                let Some(head) = Head::claim(self.head(&place), ending) else {
                    return Judged::ClaimRefused(ClaimOutcome::Lost, answer);
                };
                let epoch = head.epoch;
                let claimed = Ownership { epoch, owner, note };
                frame::encode_claim(&mut self.frames, &place, &claimed);
                self.heads.insert(place.clone(), head);
                Judged::Claim(place, claimed, answer)
            }
            JournalWrite::Append {
                at,
                epoch,
                entries,
                ends,
                answer,
            } => {
                let Some(place) = self.place(at) else {
                    return Judged::AppendRefused(Ok(AppendOutcome::Gone), answer);
                };
                let after = self
                    .head(&place)
                    .map_or(Ok(None), |head| head.append(epoch, &entries, ends));
                let head = match after {
                    Ok(Some(head)) => head,
                    Ok(None) => return Judged::AppendRefused(Ok(AppendOutcome::Stale), answer),
                    Err(error) => return Judged::AppendRefused(Err(error), answer),
                };
                let ended = ends.then(|| self.scopes.clock().now());
                let append = JudgedAppend { entries, ended };
                frame::encode_append(&mut self.frames, &place, epoch, &append);
                self.heads.insert(place.clone(), head);
                Judged::Append(place, append, answer)
            }
            JournalWrite::Tidy { answer } => Judged::Tidy(answer),
            JournalWrite::Flush { answer } => Judged::Flush(answer),
        }
    }

    fn place(&self, (scope, thing): (Scope, Thing)) -> Option<Place> {
        let birth = self.scopes.get(&scope)?.record;
        Some(Place {
            scope,
            birth,
            thing,
        })
    }

    fn head(&self, place: &Place) -> Option<Head> {
        self.heads.get(place).copied().or_else(|| {
            self.scopes
                .head((&place.scope, &place.thing), |birth| *birth == place.birth)
        })
    }

    fn write(&mut self) -> StoreResult<()> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let written = self.segments.write(&self.frames);
        match &written {
            Ok(()) => {
                self.syncer.written(self.segments.disk());
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the event journal can be written again");
                }
            }
            Err(error) if self.failing => tracing::debug!(%error, "still cannot write events"),
            Err(error) => {
                self.failing = true;
                tracing::error!(%error, "could not write the event journal");
            }
        }
        written.map_err(unavailable)
    }

    fn settle(&mut self, judged: Judged, written: &StoreResult<()>) {
        let number = self.segments.number();
        match judged {
            Judged::Claim(place, claimed, answer) => reply(answer, written, || {
                let standing = self.scopes.follow_claim(
                    (&place.scope, &place.thing),
                    |birth| *birth == place.birth,
                    (claimed, number),
                );
                Ok(standing.map_or(ClaimOutcome::Gone, ClaimOutcome::Claimed))
            }),
            Judged::Append(place, append, answer) => reply(answer, written, || {
                let followers = self.scopes.follow_append(
                    (&place.scope, &place.thing),
                    |birth| *birth == place.birth,
                    append,
                );
                Ok(
                    followers.map_or(AppendOutcome::Gone, |followers| AppendOutcome::Stored {
                        followers,
                    }),
                )
            }),
            Judged::ClaimRefused(outcome, answer) => reply(answer, written, || Ok(outcome)),
            Judged::AppendRefused(outcome, answer) => reply(answer, written, || outcome),
            Judged::Tidy(answer) => reply(answer, written, || {
                self.scopes.remove_aged_logs();
                tidy(&self.scopes, &mut self.segments).map_err(unavailable)
            }),
            Judged::Flush(answer) => reply(answer, written, || {
                self.segments.disk().sync().map_err(unavailable)
            }),
        }
    }
}

/// Nobody may be waiting any more; the write stands all the same.
fn reply<T>(answer: Answer<T>, written: &StoreResult<()>, follow: impl FnOnce() -> StoreResult<T>) {
    drop(answer.send(written.clone().and_then(|()| follow())));
}

fn unavailable(error: io::Error) -> StoreError {
    StoreError::Unavailable(format!("event journal: {error}"))
}
