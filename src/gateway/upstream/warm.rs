//! Processes of an upstream that are started before anybody needs them, and replaced when they are taken.
//!
//! They were not spoken to: whom one will serve, and what that client can be asked, is not known yet. What
//! is saved is the time a program takes to start, which for one that is fetched or interpreted is most
//! of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::client::{Program, Started};
use crate::runtime::tasks::Tasks;

/// Processes started at one look, so that a burst of sessions is not met by a burst of starts.
const AT_ONCE: usize = 2;
/// How long no other is started after one that ended by itself or could not be: it would again.
const REST: Duration = Duration::from_secs(10);

/// See the module docs.
#[derive(Debug, Default)]
pub(super) struct Warm(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    started: Vec<Started>,
    /// Until when no other is started.
    resting: Option<Instant>,
    /// None is wanted any more.
    over: bool,
}

impl Warm {
    /// One that runs.
    pub(super) fn take(&self) -> Option<Started> {
        let mut waiting = self.lock();
        while let Some(mut started) = waiting.started.pop() {
            if !started.has_ended() {
                return Some(started);
            }
        }
        None
    }

    /// Starts some, if fewer wait than `wanted`.
    pub(super) fn fill(&self, wanted: usize, program: &Program, tasks: &Tasks) {
        let mut waiting = self.lock();
        let before = waiting.started.len();
        waiting.started.retain_mut(|started| !started.has_ended());
        let now = Instant::now();
        if waiting.started.len() < before {
            waiting.resting = Some(now + REST);
        }
        if waiting.over || waiting.resting.is_some_and(|until| now < until) {
            return;
        }
        let missing = wanted.saturating_sub(waiting.started.len());
        for _ in 0..missing.min(AT_ONCE) {
            match Started::now(program, tasks) {
                Ok(started) => waiting.started.push(started),
                Err(error) => {
                    tracing::warn!(
                        error = error.for_log(),
                        "a process could not be started ahead of its need"
                    );
                    waiting.resting = Some(now + REST);
                    return;
                }
            }
        }
    }

    /// Ends those that wait, and starts no more.
    pub(super) fn end(&self) {
        let mut waiting = self.lock();
        waiting.over = true;
        waiting.started.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
