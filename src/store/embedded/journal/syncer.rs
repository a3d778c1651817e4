//! Makes written frames survive a power cut, at most [`SYNC_EVERY`] after they were written.
//!
//! A thread of its own, because a sync takes milliseconds in which appends should go on. It is
//! handed the file that was written to, waits a little so that many writes share one sync, and
//! syncs. A sync that failed is tried again; what was acknowledged survives a crash of the process
//! regardless, since it was written.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::store::embedded::journal::tail::Disk;

/// How much a power cut may take.
pub(super) const SYNC_EVERY: Duration = Duration::from_millis(100);

/// Where the journal leaves the file it wrote to.
#[derive(Debug, Default)]
pub(super) struct Syncer {
    due: Mutex<Due>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Due {
    disk: Option<Arc<dyn Disk>>,
    stopping: bool,
}

impl Syncer {
    /// Asks that this file be synced soon. A file replaced here must be synced by the caller.
    pub(super) fn written(&self, disk: Arc<dyn Disk>) {
        let mut due = self.lock();
        if due.disk.replace(disk).is_none() {
            self.changed.notify_one();
        }
    }

    /// Lets the thread end; what is still due is the caller's to sync.
    pub(super) fn stop(&self) {
        self.lock().stopping = true;
        self.changed.notify_one();
    }

    /// The body of the thread.
    pub(super) fn run(&self) {
        loop {
            let due = self
                .changed
                .wait_while(self.lock(), |due| due.disk.is_none() && !due.stopping)
                .unwrap_or_else(PoisonError::into_inner);
            let (mut due, _) = self
                .changed
                .wait_timeout_while(due, SYNC_EVERY, |due| !due.stopping)
                .unwrap_or_else(PoisonError::into_inner);
            let disk = due.disk.take();
            let stopping = due.stopping;
            drop(due);
            if let Some(disk) = disk
                && let Err(error) = disk.sync()
            {
                tracing::error!(%error, "could not sync the event journal");
                self.lock().disk.get_or_insert(disk);
            }
            if stopping {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
