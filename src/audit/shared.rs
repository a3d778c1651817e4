//! What everybody who records shares with the writer.

use std::sync::atomic::{AtomicBool, Ordering};

use super::entry::{Desk, Entry, Moment};
use super::event::CallIds;
use super::queue::{Haste, Queue, Room};
use super::writer::{Answer, Job};
use crate::runtime::clock::Clock;
use crate::telemetry::metrics::Metrics;

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
    pub(super) queue: Queue<Job>,
    is_well: AtomicBool,
}

impl Shared {
    pub(super) fn new(desk: Desk, clock: &Clock, metrics: &Metrics) -> Self {
        Self {
            desk,
            calls: CallIds::new(),
            metrics: metrics.clone(),
            started_us: clock.wall_micros(),
            clock: clock.clone(),
            queue: Queue::new(),
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
        haste: Haste,
        room: Room,
    ) -> Result<(), Unavailable> {
        let bytes = entry.weight();
        let job = Job::Record(Box::new(entry), answer);
        let put = self.queue.put(job, bytes, haste, room);
        put.map_err(|_refused| Unavailable)
    }

    /// Asks the writer for something else.
    pub(super) fn ask(&self, job: Job) -> Result<(), Unavailable> {
        let put = self.queue.put(job, 0, Haste::Now, Room::Owed);
        put.map_err(|_refused| Unavailable)
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
