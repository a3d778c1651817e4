//! How long a request may take, the time in which the server waits for us not counted.
//!
//! A question to a person may take minutes. While one is open the clock of [`Patience`] stands
//! still.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often a clock that stands still is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How long questions have been open. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(super) struct Pauses(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    count: usize,
    since: Option<Instant>,
    before: Duration,
}

/// An open question: dropped when it is answered.
#[derive(Debug)]
pub(super) struct Pause(Pauses);

impl Pauses {
    /// Opens a question.
    pub(super) fn begin(&self) -> Pause {
        let mut open = self.lock();
        open.count += 1;
        open.since.get_or_insert_with(Instant::now);
        drop(open);
        Pause(self.clone())
    }

    /// Resolves when `limit` has passed, pauses not counted.
    pub(super) async fn ran_out(&self, limit: Duration) {
        let started = Instant::now();
        let before = self.total();
        loop {
            let paused = self.total().saturating_sub(before);
            let used = started.elapsed().saturating_sub(paused);
            let Some(left) = limit.checked_sub(used).filter(|left| !left.is_zero()) else {
                return;
            };
            tokio::time::sleep(left.max(LOOK.min(limit))).await;
        }
    }

    fn total(&self) -> Duration {
        let open = self.lock();
        open.before + open.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        let mut open = self.0.lock();
        open.count -= 1;
        if open.count == 0
            && let Some(since) = open.since.take()
        {
            open.before += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_in_which_a_question_is_open_does_not_count() {
        let pauses = Pauses::default();
        let ran_out = pauses.ran_out(Duration::from_secs(2));
        tokio::pin!(ran_out);
        assert!((&mut ran_out).now_or_never().is_none());
        let question = pauses.begin();
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(question);
        assert!((&mut ran_out).now_or_never().is_none(), "only now it runs");
        let resumed = Instant::now();
        ran_out.await;
        assert!(resumed.elapsed() >= Duration::from_secs(1));
    }
}
