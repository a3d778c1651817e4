//! A queue for one reader, bounded by count and by weight, that costs nothing while it is empty.
//!
//! Every open stream has one, so ten thousand idle ones must be small: nothing is allocated until
//! something is queued. [`Sender::send`] waits for room, which is how a slow reader slows its
//! writer. Either side ends the queue by being dropped; what is already queued is still read.
//!
//! It is not a general channel: Tokio's keeps a block of slots per channel, a kilobyte each.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

/// How much room an item takes, in bytes.
pub trait Weigh {
    /// Its weight.
    fn weight(&self) -> usize;
}

/// The most a queue holds. A single item may weigh more than `weight` if the queue is empty.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Items.
    pub items: usize,
    /// Bytes.
    pub weight: usize,
}

/// The reader is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reader is gone")]
pub struct Closed;

/// The writing side. Clones write into the same queue; the last one dropped ends it.
#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

/// The reading side.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    capacity: Capacity,
    state: Mutex<State<T>>,
    reader: AtomicWaker,
    room: Notify,
    gone: Notify,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    weight: usize,
    senders: usize,
    reader_gone: bool,
}

/// A new queue.
#[must_use]
pub fn queue<T: Weigh>(capacity: Capacity) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        capacity,
        state: Mutex::new(State {
            items: VecDeque::new(),
            weight: 0,
            senders: 1,
            reader_gone: false,
        }),
        reader: AtomicWaker::new(),
        room: Notify::new(),
        gone: Notify::new(),
    });
    (Sender(shared.clone()), Receiver(shared))
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Weigh> Sender<T> {
    /// Queues `item`, waiting for room.
    ///
    /// # Errors
    /// [`Closed`] when nobody will read it.
    ///
    /// # Cancel safety
    /// Dropped while waiting, the item is not queued.
    pub async fn send(&self, item: T) -> Result<(), Closed> {
        let mut item = Some(item);
        loop {
            let room = self.0.room.notified();
            tokio::pin!(room);
            // Registered before looking, so that room made in between is not missed.
            room.as_mut().enable();
            match self.try_queue(&mut item) {
                Some(result) => return result,
                None => room.await,
            }
        }
    }

    fn try_queue(&self, slot: &mut Option<T>) -> Option<Result<(), Closed>> {
        let mut state = self.0.lock();
        if state.reader_gone {
            return Some(Err(Closed));
        }
        let weight = slot.as_ref().map_or(0, Weigh::weight);
        let fits = state.items.is_empty()
            || (state.items.len() < self.0.capacity.items
                && state.weight + weight <= self.0.capacity.weight);
        if !fits {
            return None;
        }
        if let Some(item) = slot.take() {
            state.weight += weight;
            state.items.push_back(item);
        }
        drop(state);
        self.0.reader.wake();
        Some(Ok(()))
    }

    /// Whether the reader is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.lock().reader_gone
    }

    /// Waits until the reader is gone.
    ///
    /// # Cancel safety
    /// May be dropped at any await.
    pub async fn closed(&self) {
        loop {
            let gone = self.0.gone.notified();
            tokio::pin!(gone);
            gone.as_mut().enable();
            if self.is_closed() {
                return;
            }
            gone.await;
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.senders -= 1;
        let last = state.senders == 0;
        drop(state);
        if last {
            self.0.reader.wake();
        }
    }
}

impl<T: Weigh> Receiver<T> {
    /// Takes the next item if there is one now.
    pub fn try_next(&mut self) -> Option<T> {
        let mut state = self.0.lock();
        let item = state.items.pop_front()?;
        state.weight -= item.weight();
        if state.items.is_empty() {
            // An idle stream gives its memory back.
            state.items = VecDeque::new();
        }
        drop(state);
        self.0.room.notify_waiters();
        Some(item)
    }
}

impl<T: Weigh> Receiver<T> {
    /// Takes what is queued now, oldest first, until it weighs `weight_max` together or nothing is
    /// left: all of it for the price of one.
    pub fn take_batch(&mut self, weight_max: usize) -> VecDeque<T> {
        let mut state = self.0.lock();
        let batch = if state.weight <= weight_max {
            state.weight = 0;
            std::mem::take(&mut state.items)
        } else {
            let mut batch = VecDeque::new();
            let mut taken = 0;
            while taken < weight_max
                && let Some(item) = state.items.pop_front()
            {
                taken += item.weight();
                batch.push_back(item);
            }
            state.weight -= taken;
            batch
        };
        drop(state);
        if !batch.is_empty() {
            self.0.room.notify_waiters();
        }
        batch
    }
}

impl<T: Weigh> Stream for Receiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if let Some(item) = self.try_next() {
            return Poll::Ready(Some(item));
        }
        self.0.reader.register(cx.waker());
        if let Some(item) = self.try_next() {
            return Poll::Ready(Some(item));
        }
        if self.0.lock().senders == 0 {
            // The last sender may have queued something just before it went.
            return Poll::Ready(self.try_next());
        }
        Poll::Pending
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.reader_gone = true;
        let unread = std::mem::take(&mut state.items);
        drop(state);
        drop(unread);
        self.0.room.notify_waiters();
        self.0.gone.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::*;

    impl Weigh for &'static str {
        fn weight(&self) -> usize {
            self.len()
        }
    }

    const SMALL: Capacity = Capacity {
        items: 2,
        weight: 10,
    };

    #[tokio::test]
    async fn a_full_queue_makes_its_writer_wait() {
        let (tx, mut rx) = queue(SMALL);
        tx.send("a").await.unwrap();
        tx.send("b").await.unwrap();
        let mut third = Box::pin(tx.send("c"));
        assert!((&mut third).now_or_never().is_none(), "no room for a third");
        assert_eq!(rx.next().await, Some("a"));
        third.await.unwrap();
        assert_eq!(rx.next().await, Some("b"));
        assert_eq!(rx.next().await, Some("c"));
    }

    #[tokio::test]
    async fn weight_counts_but_one_heavy_item_always_fits() {
        let (tx, mut rx) = queue(SMALL);
        tx.send("much heavier than ten").await.unwrap();
        assert!(tx.send("a").now_or_never().is_none());
        rx.next().await.unwrap();
        tx.send("a").await.unwrap();
    }

    #[tokio::test]
    async fn what_was_queued_is_read_after_the_writer_went() {
        let (tx, mut rx) = queue(SMALL);
        tx.send("a").await.unwrap();
        drop(tx);
        assert_eq!(rx.next().await, Some("a"));
        assert_eq!(rx.next().await, None);
    }

    #[tokio::test]
    async fn the_writer_hears_that_its_reader_went() {
        let (tx, rx) = queue(SMALL);
        let closed = tx.closed();
        tokio::pin!(closed);
        assert!((&mut closed).now_or_never().is_none());
        drop(rx);
        closed.await;
        assert_eq!(tx.send("a").await, Err(Closed));
    }

    #[tokio::test]
    async fn a_batch_is_what_is_there_up_to_its_weight() {
        let (sender, mut receiver) = queue(Capacity {
            items: 8,
            weight: 100,
        });
        for item in ["aaaa", "bb", "cc", "d"] {
            sender.send(item).await.unwrap();
        }
        assert_eq!(receiver.take_batch(5), ["aaaa", "bb"]);
        assert_eq!(receiver.take_batch(5), ["cc", "d"]);
        assert!(receiver.take_batch(5).is_empty());
        sender.send("e").await.unwrap();
        assert_eq!(receiver.next().await, Some("e"));
    }

    #[tokio::test]
    async fn a_batch_makes_room_for_who_waits() {
        let (sender, mut receiver) = queue(SMALL);
        sender.send("a").await.unwrap();
        sender.send("b").await.unwrap();
        let mut third = Box::pin(sender.send("c"));
        assert!((&mut third).now_or_never().is_none());
        assert_eq!(receiver.take_batch(10).len(), 2);
        third.await.unwrap();
        assert_eq!(receiver.try_next(), Some("c"));
    }
}
