//! Inboxes: short messages for one run of one node, bounded, the oldest lost first.
//!
//! [`Inboxes`] makes an inbox at the first post or receive. Messages are numbered without gaps
//! from a start that grows with time, so that a cursor into an inbox that was forgotten and made
//! anew is noticed and answered with `lost`.
//!
//! Concurrency: one lock per inbox, never held while waiting; one task receives from an inbox at a
//! time, though more would only share the messages.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use tokio::sync::Notify;

use crate::runtime::clock::{Clock, Timestamp};
use crate::store::{INBOX_MESSAGE_BYTES_MAX, InboxPage, Incarnation, StoreError, StoreResult};

/// Bytes per inbox, so that 10,000 messages of 64 KiB cannot take 640 MiB.
const INBOX_BYTES_MAX: usize = 64 << 20;

/// Messages handed out at once; a reader with more waiting asks again.
const PAGE_MESSAGES_MAX: usize = 512;

/// An inbox nobody read for so long belongs to a node that died: a living one reads all the time.
const UNREAD_MAX: Duration = Duration::from_secs(600);

/// Numbers set aside per millisecond of time, so that a later inbox starts beyond an earlier one.
const NUMBERS_PER_MS: u64 = 4_096;

/// Every inbox of this process.
#[derive(Debug)]
pub(in crate::store) struct Inboxes {
    map: DashMap<Incarnation, Arc<Inbox>>,
    clock: Clock,
    messages_max: usize,
}

#[derive(Debug)]
struct Inbox {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug)]
struct State {
    messages: VecDeque<Bytes>,
    bytes: usize,
    /// The number before the very first message.
    origin: u64,
    /// The number of the newest message taken or lost; the queue begins after it.
    gone_through: u64,
    /// The number of the newest message lost unread; `origin` if none.
    lost_through: u64,
    read: Timestamp,
}

impl Inboxes {
    /// No inboxes yet; each will hold at most `messages_max` messages.
    pub(in crate::store) fn new(clock: Clock, messages_max: usize) -> Self {
        Self {
            map: DashMap::new(),
            clock,
            messages_max,
        }
    }

    /// See [`crate::store::Store::post`].
    pub(in crate::store) fn post(&self, to: Incarnation, message: Bytes) -> StoreResult<()> {
        if message.len() > INBOX_MESSAGE_BYTES_MAX {
            return Err(StoreError::Full("an inbox message is at most 64 KiB"));
        }
        let inbox = self.inbox(to);
        inbox.state().push(message, self.messages_max);
        inbox.arrived.notify_one();
        Ok(())
    }

    /// See [`crate::store::Store::receive`].
    ///
    /// # Cancel safety
    /// May be dropped at any await: messages leave only when a later call's cursor passes them.
    pub(in crate::store) fn receive(
        &self,
        inbox: Incarnation,
        cursor: u64,
        wait: Duration,
    ) -> impl Future<Output = InboxPage> + Send + use<> {
        let clock = self.clock.clone();
        let inbox = self.inbox(inbox);
        async move {
            let first = inbox.state().take(cursor, clock.now());
            if !first.messages.is_empty() || first.lost || wait.is_zero() {
                return first;
            }
            let next = async {
                loop {
                    inbox.arrived.notified().await;
                    let page = inbox.state().take(cursor, clock.now());
                    if !page.messages.is_empty() {
                        return page;
                    }
                }
            };
            tokio::time::timeout(wait, next).await.unwrap_or(first)
        }
    }

    /// Forgets inboxes of nodes that are no more.
    pub(in crate::store) fn sweep(&self) {
        let now = self.clock.now();
        self.map.retain(|_, inbox| {
            // Somebody waiting holds a second handle.
            Arc::strong_count(inbox) > 1 || now.since(inbox.state().read) < UNREAD_MAX
        });
    }

    fn inbox(&self, of: Incarnation) -> Arc<Inbox> {
        let made = || {
            let now = self.clock.now();
            let origin = now.0.saturating_mul(NUMBERS_PER_MS);
            Arc::new(Inbox {
                state: Mutex::new(State {
                    messages: VecDeque::new(),
                    bytes: 0,
                    origin,
                    gone_through: origin,
                    lost_through: origin,
                    read: now,
                }),
                arrived: Notify::new(),
            })
        };
        self.map.entry(of).or_insert_with(made).clone()
    }
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, message: Bytes, messages_max: usize) {
        self.bytes += message.len();
        self.messages.push_back(message);
        while self.messages.len() > messages_max || self.bytes > INBOX_BYTES_MAX {
            self.forget_oldest();
            self.lost_through = self.gone_through;
        }
    }

    fn take(&mut self, cursor: u64, now: Timestamp) -> InboxPage {
        self.read = now;
        let lost = if cursor == 0 {
            self.lost_through > self.origin
        } else {
            cursor < self.lost_through
        };
        while self.gone_through < cursor && self.forget_oldest() {}
        let messages: Vec<_> = self
            .messages
            .iter()
            .take(PAGE_MESSAGES_MAX)
            .cloned()
            .collect();
        InboxPage {
            cursor: self.gone_through + messages.len() as u64,
            messages,
            lost,
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let Some(message) = self.messages.pop_front() else {
            return false;
        };
        self.bytes -= message.len();
        self.gone_through += 1;
        true
    }
}
