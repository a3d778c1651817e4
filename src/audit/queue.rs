//! What waits for the writer, in order.
//!
//! Whoever begins a call waits for its record, so that the writer is woken for it. For the end of a
//! call nobody waits: it goes along with what is written next, or [`LINGER`] later. Waking a thread
//! costs more than writing a record does.

use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long at most what nobody waits for waits for company.
const LINGER: Duration = Duration::from_millis(5);
/// Bytes taken together: more would make the first of them wait for long.
const GROUP_BYTES: usize = 8 << 20;
/// Bytes that may wait: as much as is taken in eight groups.
const WAITING_BYTES: usize = 64 << 20;

/// How soon something has to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    /// Somebody waits for it.
    Now,
    /// Nobody does.
    Soon,
}

/// Whether something may wait beyond the bound of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It may not.
    Bounded,
    /// It may: there is at most as much of it as calls that have begun.
    Owed,
}

/// There is no room, or nobody takes anything any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

/// See the module docs.
pub(super) struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
    arrived: Condvar,
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queue({} wait)", self.len())
    }
}

struct Waiting<T> {
    /// With what each weighs, in bytes.
    items: Vec<(T, usize)>,
    bytes: usize,
    is_urgent: bool,
    taker: Taker,
}

/// What takes from the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taker {
    Awake,
    /// Woken by what is urgent.
    Dozing,
    /// Woken by anything.
    Asleep,
    /// Never comes back.
    Gone,
}

impl<T> Queue<T> {
    pub(super) const fn new() -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                items: Vec::new(),
                bytes: 0,
                is_urgent: false,
                taker: Taker::Awake,
            }),
            arrived: Condvar::new(),
        }
    }

    /// Puts something at the end.
    ///
    /// # Errors
    /// [`Refused`].
    pub(super) fn put(
        &self,
        item: T,
        bytes: usize,
        haste: Haste,
        room: Room,
    ) -> Result<(), Refused> {
        let mut waiting = self.lock();
        let fits = room == Room::Owed || waiting.bytes + bytes <= WAITING_BYTES;
        if !fits || waiting.taker == Taker::Gone {
            return Err(Refused);
        }
        waiting.items.push((item, bytes));
        waiting.bytes += bytes;
        waiting.is_urgent |= haste == Haste::Now;
        let wakes = match waiting.taker {
            Taker::Asleep => true,
            Taker::Dozing => haste == Haste::Now,
            Taker::Awake | Taker::Gone => false,
        };
        if wakes {
            waiting.taker = Taker::Awake;
            drop(waiting);
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Takes what waits, from its beginning; nothing if nothing came in time.
    pub(super) fn take(&self, patience: Duration) -> Vec<T> {
        let mut waiting = self.lock();
        if !waiting.is_urgent {
            waiting = self.sleep(waiting, Taker::Dozing, LINGER, |it| it.is_urgent);
        }
        if waiting.items.is_empty() {
            waiting = self.sleep(waiting, Taker::Asleep, patience, |it| !it.items.is_empty());
        }
        let mut bytes = 0;
        let many = waiting.items.iter().take_while(|(_, more)| {
            let fits = bytes < GROUP_BYTES;
            bytes += more;
            fits
        });
        let many = many.count();
        let rest = waiting.items.split_off(many);
        let taken = std::mem::replace(&mut waiting.items, rest);
        waiting.bytes -= taken.iter().map(|(_, bytes)| bytes).sum::<usize>();
        // What is left is taken at once.
        waiting.is_urgent = !waiting.items.is_empty();
        drop(waiting);
        taken.into_iter().map(|(item, _)| item).collect()
    }

    fn sleep<'a>(
        &'a self,
        mut waiting: MutexGuard<'a, Waiting<T>>,
        how: Taker,
        most: Duration,
        until: impl Fn(&Waiting<T>) -> bool,
    ) -> MutexGuard<'a, Waiting<T>> {
        waiting.taker = how;
        let slept = self
            .arrived
            .wait_timeout_while(waiting, most, |it| !until(it));
        let (mut waiting, _) = slept.unwrap_or_else(PoisonError::into_inner);
        waiting.taker = Taker::Awake;
        waiting
    }

    /// Nobody takes anything any more. Gives up what waits.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.taker = Taker::Gone;
        waiting.bytes = 0;
        let given_up = std::mem::take(&mut waiting.items);
        drop(waiting);
        drop(given_up);
    }

    /// How much waits.
    pub(super) fn len(&self) -> usize {
        self.lock().items.len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    /// Longer than any of these takes.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn put(queue: &Queue<u32>, item: u32, haste: Haste) {
        queue.put(item, 1, haste, Room::Bounded).unwrap();
    }

    #[test]
    fn what_nobody_waits_for_goes_along_with_the_next_that_is_urgent() {
        let queue = Queue::new();
        put(&queue, 1, Haste::Soon);
        put(&queue, 2, Haste::Soon);
        put(&queue, 3, Haste::Now);
        assert_eq!(queue.len(), 3);
        assert_eq!(queue.take(PATIENCE), [1, 2, 3]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn it_is_taken_in_the_end_without_anything_urgent() {
        let queue = Queue::new();
        put(&queue, 1, Haste::Soon);
        assert_eq!(queue.take(PATIENCE), [1]);
        assert!(queue.take(Duration::ZERO).is_empty());
    }

    #[test]
    fn whoever_takes_is_woken_by_whatever_comes() {
        for haste in [Haste::Now, Haste::Soon] {
            let queue = Arc::new(Queue::new());
            let taking = queue.clone();
            let taker = thread::spawn(move || taking.take(PATIENCE));
            while queue.lock().taker != Taker::Asleep {
                thread::yield_now();
            }
            put(&queue, 1, haste);
            assert_eq!(taker.join().unwrap(), [1]);
        }
    }

    #[test]
    fn too_much_is_refused_unless_it_is_owed_and_taken_in_parts() {
        let queue = Queue::new();
        let big = GROUP_BYTES;
        let parts = u32::try_from(WAITING_BYTES / GROUP_BYTES).unwrap();
        for item in 0..parts {
            queue.put(item, big, Haste::Now, Room::Bounded).unwrap();
        }
        assert_eq!(queue.put(99, 1, Haste::Now, Room::Bounded), Err(Refused));
        queue.put(parts, 1, Haste::Soon, Room::Owed).unwrap();
        for item in 0..parts {
            assert_eq!(queue.take(PATIENCE), [item]);
        }
        assert_eq!(queue.take(PATIENCE), [parts]);
        queue.put(0, 1, Haste::Now, Room::Bounded).unwrap();
    }

    #[test]
    fn a_closed_queue_refuses_everything_and_gives_up_what_waited() {
        let queue = Queue::new();
        let item = Arc::new(());
        let owed = |item: &Arc<()>| queue.put(item.clone(), 1, Haste::Now, Room::Owed);
        owed(&item).unwrap();
        queue.close();
        assert_eq!(Arc::strong_count(&item), 1);
        assert_eq!(owed(&item), Err(Refused));
    }
}
