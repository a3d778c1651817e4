//! Those on this node who came back to one stream, whoever runs its call.
//!
//! Whatever grows the stream's log wakes them: the call that runs here, or a letter from the node
//! where it runs. Only the newest reads on: a client that comes back twice has given up the first.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::event_log::StreamName;

/// See the module docs.
#[derive(Debug)]
pub(super) struct Readers {
    stream: StreamName,
    newest: AtomicU64,
    news: Notify,
}

impl Readers {
    pub(super) fn of(stream: StreamName) -> Self {
        Self {
            stream,
            newest: AtomicU64::new(0),
            news: Notify::new(),
        }
    }

    pub(super) const fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// Another one comes back; earlier ones look up and find that they are not the newest.
    pub(super) fn come(&self) -> u64 {
        let reader = self.newest.fetch_add(1, Ordering::AcqRel) + 1;
        self.wake();
        reader
    }

    /// Whether `reader` is still the newest.
    pub(super) fn is_newest(&self, reader: u64) -> bool {
        self.newest.load(Ordering::Acquire) == reader
    }

    /// There may be more to read.
    pub(super) fn wake(&self) {
        self.news.notify_waiters();
    }

    /// The next waking from now on. Made before the log is read, so that nothing is missed.
    pub(super) fn news(&self) -> Notified<'_> {
        self.news.notified()
    }
}
