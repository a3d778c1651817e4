//! The time a call has, not counting the time its client takes to answer questions.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A deadline that stands still while a question is open. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Deadline(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    at: Instant,
    /// Questions open now, and since when there has been at least one.
    open_questions: usize,
    paused_since: Instant,
}

/// Holds a [`Deadline`] still until dropped.
#[derive(Debug)]
pub struct Paused(Deadline);

impl Deadline {
    /// A deadline `budget` from now.
    #[must_use]
    pub fn after(budget: Duration) -> Self {
        let began = Instant::now();
        Self(Arc::new(Inner {
            began,
            state: Mutex::new(State {
                at: began + budget,
                open_questions: 0,
                paused_since: began,
            }),
        }))
    }

    /// The time since it was made, open questions included.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.began.elapsed()
    }

    /// The time left, not counting questions open now.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let state = self.lock();
        let now = if state.open_questions > 0 {
            state.paused_since
        } else {
            Instant::now()
        };
        state.at.saturating_duration_since(now)
    }

    /// Begins it anew, `budget` from now: the call goes on as something that may take longer.
    pub fn restart(&self, budget: Duration) {
        self.lock().at = Instant::now() + budget;
    }

    /// Holds it still while the client is asked something.
    #[must_use]
    pub fn pause(&self) -> Paused {
        let mut state = self.lock();
        if state.open_questions == 0 {
            state.paused_since = Instant::now();
        }
        state.open_questions += 1;
        Paused(self.clone())
    }

    /// Waits until it has passed.
    ///
    /// # Cancel safety
    /// May be dropped at any await.
    pub async fn passed(&self) {
        loop {
            let Some(until) = self.earliest() else {
                return;
            };
            // All who wait for it wake at one moment: whoever is polled first may say what was late.
            tokio::time::sleep_until(until).await;
        }
    }

    /// When it passes if no question is asked; `None` once it has. While one is open that moment
    /// moves, so whoever slept until it looks again.
    fn earliest(&self) -> Option<Instant> {
        let state = self.lock();
        let now = Instant::now();
        let at = if state.open_questions > 0 {
            state.at + (now - state.paused_since)
        } else {
            state.at
        };
        (at > now).then_some(at)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.open_questions -= 1;
        if state.open_questions == 0 {
            let paused = state.paused_since.elapsed();
            state.at += paused;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_for_an_answer_does_not_count() {
        let deadline = Deadline::after(Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(4)).await;
        let question = deadline.pause();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(deadline.remaining(), Duration::from_secs(6));
        drop(question);
        assert_eq!(deadline.remaining(), Duration::from_secs(6));
        let before = Instant::now();
        deadline.passed().await;
        assert_eq!(before.elapsed().as_secs(), 6);
    }
}
