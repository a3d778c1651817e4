//! The stream of one durable call: what the call says goes into its event log, then to the client.
//!
//! A call becomes durable when it outlives the grace or says something before its result. From then
//! on every message is appended to the log before it leaves (the output gate). Appends are
//! pipelined: [`CallStream::send`] returns once a message is on its way, and waits only while too
//! many are unacknowledged or the connection is full. The task that runs the call also runs
//! [`CallStream::pump`], which hands stored messages to the connection in order.
//!
//! Losing the connection changes nothing for the call: messages go on into the log, and whoever
//! comes back with the last event id reads them from there ([`super::replay`]).
//!
//! Invariants: one message never goes to two connections; nothing is sent under a stale epoch.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytestring::ByteString;
use tokio::sync::{Notify, Semaphore};

use super::event_log::{Appending, LogWriter, StreamName};
use crate::service::event::{Event, EventSender};
use crate::store::AppendOutcome;

/// See the module docs.
#[derive(Debug)]
pub struct CallStream {
    name: StreamName,
    writing: Mutex<Writing>,
    pending: Notify,
    /// One permit per message that may be on its way into the store.
    unacknowledged: Semaphore,
    connection: Mutex<Option<EventSender>>,
    /// Wakes those who read the log while the call still runs.
    stored: Notify,
    /// Counts readers that came back; only the newest may read on.
    readers: AtomicU64,
}

#[derive(Debug)]
struct Writing {
    /// `None` when the log could not be begun: the stream then cannot be resumed.
    log: Option<LogWriter>,
    pending: VecDeque<Pending>,
    ended: bool,
}

/// A message on its way out; without data, only the end of the log.
#[derive(Debug)]
struct Pending {
    data: Option<ByteString>,
    appending: Appending,
    last: bool,
}

impl CallStream {
    /// A stream that writes to `log` and, while it lasts, to `connection`.
    #[must_use]
    pub fn new(
        name: StreamName,
        log: Option<LogWriter>,
        connection: EventSender,
        unacknowledged: usize,
    ) -> Self {
        Self {
            name,
            writing: Mutex::new(Writing {
                log,
                pending: VecDeque::new(),
                ended: false,
            }),
            pending: Notify::new(),
            unacknowledged: Semaphore::new(unacknowledged),
            connection: Mutex::new(Some(connection)),
            stored: Notify::new(),
            readers: AtomicU64::new(0),
        }
    }

    /// Its name within the session.
    #[must_use]
    pub const fn name(&self) -> &StreamName {
        &self.name
    }

    /// Whether it can be resumed.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.lock().log.is_some()
    }

    /// Sends a message; waits while the store or the client is slow.
    pub async fn send(&self, data: ByteString) {
        // The semaphore is never closed, so this never fails.
        if let Ok(permit) = self.unacknowledged.acquire().await {
            permit.forget();
            self.enqueue(Some(data), false);
        }
    }

    /// Says the last messages, or that there will be none. [`CallStream::pump`] then ends.
    pub fn last(&self, messages: Vec<ByteString>) {
        let count = messages.len();
        for (place, data) in messages.into_iter().enumerate() {
            self.enqueue(Some(data), place + 1 == count);
        }
        if count == 0 {
            self.enqueue(None, true);
        }
    }

    /// Hands stored messages to the connection, in order, until the last one has left. Runs
    /// beside the call, in the same task.
    pub async fn pump(&self) {
        loop {
            let next = self.pending.notified();
            let taken = self.lock().pending.pop_front();
            let Some(pending) = taken else {
                next.await;
                continue;
            };
            let last = pending.last;
            self.deliver(pending).await;
            if last {
                break;
            }
        }
        self.lock().ended = true;
        self.release_connection();
        self.stored.notify_waiters();
    }

    /// Lets the connection go; the stream goes on.
    pub fn release_connection(&self) {
        *self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Sends something that is no message and has no place in the log.
    pub async fn send_control(&self, event: Event) {
        if let Some(connection) = self.connection() {
            // A client that is gone needs no control events.
            let _gone = connection.send(event).await;
        }
    }

    /// Registers a reader that came back: it supersedes the connection and earlier readers.
    pub fn come_back(&self) -> u64 {
        self.release_connection();
        let reader = self.readers.fetch_add(1, Ordering::AcqRel) + 1;
        self.stored.notify_waiters();
        reader
    }

    /// A future that must be registered before the log is read; see [`Notify::notified`].
    pub fn watch(&self) -> tokio::sync::futures::Notified<'_> {
        self.stored.notified()
    }

    /// Whether `reader` is still the newest.
    #[must_use]
    pub fn is_newest(&self, reader: u64) -> bool {
        self.readers.load(Ordering::Acquire) == reader
    }

    /// Whether everything has been said.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.lock().ended
    }

    fn enqueue(&self, data: Option<ByteString>, last: bool) {
        let mut writing = self.lock();
        let appending = match (&mut writing.log, &data) {
            (Some(log), Some(data)) => log.append(data, last),
            (Some(log), None) => Appending {
                seq: None,
                stored: log.end(),
            },
            (None, _) => Appending::not_logged(),
        };
        writing.pending.push_back(Pending {
            data,
            appending,
            last,
        });
        drop(writing);
        self.pending.notify_one();
    }

    async fn deliver(&self, pending: Pending) {
        let mut seq = pending.appending.seq;
        match pending.appending.stored.await {
            Ok(AppendOutcome::Stored { .. }) => {}
            Ok(AppendOutcome::Stale | AppendOutcome::Gone) => {
                // Another node has taken the stream over, or the session is deleted: whatever we
                // would say now may contradict what its client has been told.
                self.release_connection();
            }
            Err(error) => {
                tracing::warn!(%error, "an event could not be stored and leaves without an id");
                seq = None;
                if let Some(log) = &mut self.lock().log {
                    log.give_up();
                }
            }
        }
        if let Some(data) = pending.data
            && let Some(connection) = self.connection()
            && connection.send(Event::Message { seq, data }).await.is_err()
        {
            self.release_connection();
        }
        self.unacknowledged.add_permits(1);
        self.stored.notify_waiters();
    }

    fn connection(&self) -> Option<EventSender> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn lock(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
