//! What everybody who records shares with the writer.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;

use super::entry::{Desk, Entry, Moment};
use super::event::CallIds;
use super::writer::{Answer, Job};
use crate::runtime::clock::Clock;
use crate::telemetry::metrics::Metrics;

/// Bytes of records that wait for the writer: as much as it writes in eight groups.
const WAITING_BYTES: usize = 64 << 20;

/// No record can be written now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("audit records cannot be written now")]
pub struct Unavailable;

/// See the module docs.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) desk: Desk,
    pub(super) calls: CallIds,
    pub(super) metrics: Metrics,
    clock: Clock,
    started_us: u64,
    queue: Sender<Job>,
    waiting: AtomicUsize,
    waiting_bytes: AtomicUsize,
    is_well: AtomicBool,
}

/// Whether a record may wait beyond the bound of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It may not.
    Bounded,
    /// It may: there are at most as many as calls that have begun.
    Owed,
}

impl Shared {
    pub(super) fn new(desk: Desk, clock: &Clock, metrics: &Metrics, queue: Sender<Job>) -> Self {
        Self {
            desk,
            calls: CallIds::new(),
            metrics: metrics.clone(),
            started_us: clock.wall_micros(),
            clock: clock.clone(),
            queue,
            waiting: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
            is_well: AtomicBool::new(true),
        }
    }

    /// Now.
    pub(super) fn moment(&self) -> Moment {
        let now_us = self.clock.wall_micros();
        Moment {
            at_ms: now_us / 1_000,
            up_us: now_us.saturating_sub(self.started_us),
        }
    }

    /// Hands a record to the writer.
    pub(super) fn submit(
        &self,
        entry: Entry,
        answer: Answer,
        room: Room,
    ) -> Result<(), Unavailable> {
        let weight = entry.weight();
        let before = self.waiting_bytes.fetch_add(weight, Ordering::AcqRel);
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let fits = before + weight <= WAITING_BYTES || room == Room::Owed;
        let is_sent = fits
            && self
                .queue
                .send(Job::Record(Box::new(entry), answer))
                .is_ok();
        if !is_sent {
            self.taken(weight);
            return Err(Unavailable);
        }
        Ok(())
    }

    /// Asks the writer for something else.
    pub(super) fn ask(&self, job: Job) -> Result<(), Unavailable> {
        self.queue.send(job).map_err(|_| Unavailable)
    }

    /// The writer has taken a record of that weight.
    pub(super) fn taken(&self, weight: usize) {
        self.waiting_bytes.fetch_sub(weight, Ordering::AcqRel);
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    /// Records that wait for the writer.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Whether the last that was to be written was.
    pub(super) fn is_well(&self) -> bool {
        self.is_well.load(Ordering::Acquire)
    }

    /// Remembers whether it was. Says whether that is news.
    pub(super) fn set_well(&self, is_well: bool) -> bool {
        self.is_well.swap(is_well, Ordering::AcqRel) != is_well
    }
}
