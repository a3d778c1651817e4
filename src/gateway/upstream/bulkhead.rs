//! How much of an upstream is used at once: so many requests run, so many wait, none for long.
//!
//! It does not look at deadlines of calls; whoever waits here drops the wait when its call ends.
//!
//! Concurrency: waiting is first come, first served, which is how tokio's semaphore hands out its
//! permits. A dropped wait gives its place in the queue back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::gateway::config::BulkheadConfig;

/// The places at one upstream. Cloning shares them.
#[derive(Clone, Debug)]
pub(crate) struct Bulkhead(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: BulkheadConfig,
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A place; dropping it lets the next one in.
#[derive(Debug)]
#[must_use]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// There is no place; the text completes a sentence that begins with the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    /// As many run and wait as may.
    #[error("has {running} requests running and {waiting} waiting, as many as may")]
    Queue {
        /// How many may run.
        running: usize,
        /// How many may wait.
        waiting: usize,
    },
    /// None came free in time.
    #[error("had none of its {running} places free for {waited:?}")]
    Waited {
        /// How many may run.
        running: usize,
        /// How long one may wait.
        waited: Duration,
    },
}

impl Bulkhead {
    /// A bulkhead with all its places free.
    pub(crate) fn new(config: BulkheadConfig) -> Self {
        let places = config.running_max.min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Shared {
            running: Arc::new(Semaphore::new(places)),
            waiting: AtomicUsize::new(0),
            config,
        }))
    }

    /// Waits for a place, as long as one may.
    ///
    /// # Errors
    /// [`Full`], at once when the queue is full too.
    ///
    /// # Cancel safety
    /// A dropped wait has no effect.
    pub(crate) async fn enter(&self) -> Result<Place, Full> {
        let places = &self.0.running;
        if let Ok(permit) = Arc::clone(places).try_acquire_owned() {
            return Ok(Place { _permit: permit });
        }
        let config = &self.0.config;
        let running = config.running_max;
        let Some(_queued) = Queued::join(&self.0) else {
            let waiting = config.waiting_max;
            return Err(Full::Queue { running, waiting });
        };
        let waited = config.wait_max;
        match timeout(waited, Arc::clone(places).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Place { _permit: permit }),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(Full::Waited { running, waited }),
        }
    }

    /// How many run.
    pub(crate) fn running(&self) -> usize {
        let free = self.0.running.available_permits();
        self.0.config.running_max.saturating_sub(free)
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }
}

/// A place in the queue.
struct Queued<'a>(&'a AtomicUsize);

impl<'a> Queued<'a> {
    fn join(shared: &'a Shared) -> Option<Self> {
        let most = shared.config.waiting_max;
        let one_more = |waiting| (waiting < most).then_some(waiting + 1);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        let joined = shared.waiting.fetch_update(set, fetch, one_more);
        // Made only if it joined: dropping one leaves the queue.
        joined.is_ok().then(|| Self(&shared.waiting))
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::{join_all, poll_immediate};

    use super::*;

    fn bulkhead(running_max: usize, waiting_max: usize) -> Bulkhead {
        Bulkhead::new(BulkheadConfig {
            running_max,
            waiting_max,
            wait_max: Duration::from_secs(2),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_run_so_many_wait_and_the_next_is_refused_at_once() {
        let bulkhead = bulkhead(2, 1);
        let first = bulkhead.enter().await.unwrap();
        let _second = bulkhead.enter().await.unwrap();
        let mut third = Box::pin(bulkhead.enter());
        assert!(poll_immediate(&mut third).await.is_none(), "it waits");
        assert_eq!((bulkhead.running(), bulkhead.waiting()), (2, 1));
        let refused = poll_immediate(bulkhead.enter()).await.expect("at once");
        let queue = Full::Queue {
            running: 2,
            waiting: 1,
        };
        assert_eq!(refused.unwrap_err(), queue);
        drop(first);
        let _third = third.await.unwrap();
        assert_eq!((bulkhead.running(), bulkhead.waiting()), (2, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_one_may() {
        let bulkhead = bulkhead(1, 9);
        let _only = bulkhead.enter().await.unwrap();
        let refused = bulkhead.enter().await.unwrap_err();
        assert_eq!(refused.to_string(), "had none of its 1 places free for 2s");
        assert_eq!(bulkhead.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_given_in_the_order_of_coming() {
        let bulkhead = bulkhead(1, 9);
        let only = bulkhead.enter().await.unwrap();
        let order = std::sync::Mutex::new(Vec::new());
        let waits = (0..5).map(|number| {
            let (bulkhead, order) = (&bulkhead, &order);
            async move {
                let _place = bulkhead.enter().await.unwrap();
                order.lock().unwrap().push(number);
            }
        });
        let leaves = async move { drop(only) };
        tokio::join!(join_all(waits), leaves);
        assert_eq!(order.into_inner().unwrap(), [0, 1, 2, 3, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_dropped_leaves_the_queue() {
        let bulkhead = bulkhead(1, 1);
        let only = bulkhead.enter().await.unwrap();
        {
            let mut gone = Box::pin(bulkhead.enter());
            assert!(poll_immediate(&mut gone).await.is_none());
        }
        assert_eq!(bulkhead.waiting(), 0);
        let mut next = Box::pin(bulkhead.enter());
        assert!(poll_immediate(&mut next).await.is_none(), "there is room");
        drop(only);
        assert!(next.await.is_ok());
    }
}
