//! What waits for one lane, in the order in which it was asked.
//!
//! [`Queue::push`] never waits, so that an append takes its place when it is called; what waits is
//! bounded instead, and beyond that a push is refused.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::store::{StoreError, StoreResult};

/// Items that may wait: what a server answers in a tenth of a second.
const WAITING_MAX: usize = 16_384;
/// Bytes that may wait.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Items taken at once: larger batches gain nothing and delay the first answer.
const BATCH_MAX: usize = 200;
/// Bytes taken at once, but for the first item.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Items on their way to one lane, each with its bytes.
#[derive(Debug)]
pub(super) struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
    arrived: Notify,
}

#[derive(Debug)]
struct Waiting<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    closed: bool,
}

impl<T> Queue<T> {
    /// An empty queue.
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                items: VecDeque::new(),
                bytes: 0,
                closed: false,
            }),
            arrived: Notify::new(),
        }
    }

    /// Puts an item of that many bytes at the end.
    ///
    /// # Errors
    /// `Unavailable` if too much waits already, or once it is closed.
    pub(super) fn push(&self, item: T, bytes: usize) -> StoreResult<()> {
        let mut waiting = self.lock();
        let problem = if waiting.closed {
            "it is closed"
        } else if waiting.items.len() >= WAITING_MAX || waiting.bytes >= WAITING_BYTES_MAX {
            "too much waits for it"
        } else {
            waiting.bytes += bytes;
            waiting.items.push_back((item, bytes));
            drop(waiting);
            self.arrived.notify_one();
            return Ok(());
        };
        Err(StoreError::Unavailable(problem.into()))
    }

    /// Waits for items and takes the next few, in order. Nothing: it is closed and empty.
    pub(super) async fn take(&self) -> Option<Vec<T>> {
        loop {
            {
                let mut waiting = self.lock();
                let batch = waiting.batch();
                if !batch.is_empty() {
                    return Some(batch);
                }
                if waiting.closed {
                    return None;
                }
            }
            self.arrived.notified().await;
        }
    }

    /// Takes all that waits now.
    pub(super) fn drain(&self) -> Vec<T> {
        let mut waiting = self.lock();
        waiting.bytes = 0;
        waiting.items.drain(..).map(|(item, _)| item).collect()
    }

    /// Takes nothing more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Waiting<T> {
    fn batch(&mut self) -> Vec<T> {
        let mut batch = Vec::new();
        let mut taken = 0;
        while let Some((_, bytes)) = self.items.front()
            && batch.len() < BATCH_MAX
            && (batch.is_empty() || taken + bytes <= BATCH_BYTES_MAX)
            && let Some((item, bytes)) = self.items.pop_front()
        {
            taken += bytes;
            batch.push(item);
        }
        self.bytes -= taken;
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_is_taken_in_order_and_in_batches_even_after_closing() {
        let queue = Queue::new();
        for number in 0..BATCH_MAX + 10 {
            queue.push(number, 1).unwrap();
        }
        queue.close();
        assert!(queue.push(0, 1).is_err());
        let first = queue.take().await.unwrap();
        assert_eq!(first, (0..BATCH_MAX).collect::<Vec<_>>());
        assert_eq!(queue.take().await.unwrap().len(), 10);
        assert_eq!(queue.take().await, None);
    }

    #[tokio::test]
    async fn large_items_make_small_batches() {
        let queue = Queue::new();
        for bytes in [
            BATCH_BYTES_MAX * 2,
            BATCH_BYTES_MAX / 2,
            BATCH_BYTES_MAX / 2,
            1,
        ] {
            queue.push(bytes, bytes).unwrap();
        }
        let mut sizes = Vec::new();
        for _ in 0..3 {
            sizes.push(queue.take().await.unwrap().len());
        }
        assert_eq!(sizes, [1, 2, 1]);
    }

    #[test]
    fn beyond_its_bounds_it_refuses_until_it_is_emptied() {
        let queue = Queue::new();
        queue.push((), WAITING_BYTES_MAX).unwrap();
        assert!(matches!(queue.push((), 0), Err(StoreError::Unavailable(_))));
        assert_eq!(queue.drain().len(), 1);
        for _ in 0..WAITING_MAX {
            queue.push((), 0).unwrap();
        }
        assert!(queue.push((), 0).is_err());
    }
}
