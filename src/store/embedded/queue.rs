//! A queue from many tasks to one writer thread, which takes all that waits at once.
//!
//! [`Queue::push`] never waits, so that an append takes its place when it is called; what waits is
//! bounded by weight instead, and beyond that a push is refused. The writer sleeps until something
//! comes. Once closed the queue takes nothing more, but what waits is still handed out.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::store::StoreError;

/// Bytes that may wait for a writer: what an ordinary disk writes within a second.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// What one item weighs beside its payload.
const ITEM_BYTES: usize = 256;

/// Items on their way to one thread.
#[derive(Debug)]
pub(super) struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
    arrived: Condvar,
}

#[derive(Debug)]
struct Waiting<T> {
    items: Vec<T>,
    bytes: usize,
    closed: bool,
}

/// Closes the queue when its writer ends, in whatever way, so that nobody waits for it in vain.
#[derive(Debug)]
pub(super) struct Reader<T>(Arc<Queue<T>>);

impl<T> Queue<T> {
    /// An empty queue.
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                items: Vec::new(),
                bytes: 0,
                closed: false,
            }),
            arrived: Condvar::new(),
        }
    }

    /// The end that takes.
    pub(super) fn reader(self: &Arc<Self>) -> Reader<T> {
        Reader(self.clone())
    }

    /// Puts an item with that much payload at the end.
    ///
    /// # Errors
    /// `Full` if too much waits already, `Unavailable` once the queue is closed.
    pub(super) fn push(&self, item: T, payload: usize) -> Result<(), StoreError> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(StoreError::Unavailable("it is closed".into()));
        }
        if waiting.bytes > WAITING_BYTES_MAX {
            return Err(StoreError::Full("too much waits to be written"));
        }
        waiting.bytes += payload + ITEM_BYTES;
        waiting.items.push(item);
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
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

impl<T> Reader<T> {
    /// Waits for items and takes all of them, in order. `None`: the queue is closed and empty.
    pub(super) fn take(&self) -> Option<Vec<T>> {
        let mut waiting = self.0.lock();
        loop {
            if !waiting.items.is_empty() {
                waiting.bytes = 0;
                return Some(std::mem::take(&mut waiting.items));
            }
            if waiting.closed {
                return None;
            }
            waiting = self
                .0
                .arrived
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.closed = true;
        waiting.items.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_taken_at_once_and_in_order_even_after_closing() {
        let queue = Arc::new(Queue::new());
        let reader = queue.reader();
        for number in 0..3 {
            queue.push(number, 0).unwrap();
        }
        queue.close();
        assert!(queue.push(3, 0).is_err());
        assert_eq!(reader.take(), Some(vec![0, 1, 2]));
        assert_eq!(reader.take(), None);
    }

    #[test]
    fn beyond_its_bytes_it_refuses_until_it_is_emptied() {
        let queue = Arc::new(Queue::new());
        let reader = queue.reader();
        queue.push('a', WAITING_BYTES_MAX).unwrap();
        assert!(matches!(queue.push('b', 0), Err(StoreError::Full(_))));
        reader.take();
        assert_eq!(queue.push('b', 0), Ok(()));
    }

    #[test]
    fn a_writer_that_ended_leaves_nobody_waiting() {
        let queue = Arc::new(Queue::new());
        drop(queue.reader());
        assert!(matches!(queue.push((), 0), Err(StoreError::Unavailable(_))));
    }
}
