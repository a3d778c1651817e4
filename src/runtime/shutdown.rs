//! The phases of stopping, as a value everyone can watch.
//!
//! `app` moves [`Shutdown`] forward and reports how each step ended; the parts watch it. Anybody who
//! may ask the process to drain does so here ([`Shutdown::ask`]). A phase never goes back.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How far the process is on its way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    #[default]
    Running,
    /// Not ready any more; what runs may finish; streams are being told.
    Draining,
    /// Grace is over: what still runs is cut.
    Stopping,
    /// All steps have ended.
    Stopped,
}

/// How one step of stopping ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepEnd {
    /// Which, as `app` lists them.
    pub step: &'static str,
    /// Whether it ended by itself (`None`), or was cut with this many things left.
    pub cut: Option<usize>,
}

impl fmt::Display for StepEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cut {
            None => write!(f, "{}: finished", self.step),
            Some(left) => write!(f, "{}: cut, {left} left", self.step),
        }
    }
}

/// A clonable view of the phase, with the right to move it forward.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    progress: watch::Sender<Progress>,
    draining: CancellationToken,
    /// The same for those who look on every request, as one load.
    leaving: Arc<AtomicBool>,
    asked: CancellationToken,
}

#[derive(Debug, Default)]
struct Progress {
    phase: Phase,
    /// In order; as many as `app` has steps.
    steps: Vec<StepEnd>,
}

impl Shutdown {
    /// The present phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.progress.borrow().phase
    }

    /// Whether the process is on its way out, in whichever phase.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Asks the process to drain. Asking again changes nothing.
    pub fn ask(&self) {
        self.asked.cancel();
    }

    /// Waits until somebody asks the process to drain.
    ///
    /// # Cancel safety
    /// May be dropped at any await.
    pub async fn asked(&self) {
        self.asked.cancelled().await;
    }

    /// Moves to `phase` unless already there or past it.
    pub fn advance(&self, phase: Phase) {
        self.progress.send_if_modified(|now| {
            let moved = now.phase < phase;
            if moved {
                now.phase = phase;
            }
            moved
        });
        if phase >= Phase::Draining {
            self.leaving.store(true, Ordering::Relaxed);
            self.draining.cancel();
        }
    }

    /// Notes how a step ended.
    pub fn report(&self, end: StepEnd) {
        self.progress.send_modify(|now| now.steps.push(end));
    }

    /// Waits for the end of the step with this index; `None` when all have ended before it.
    ///
    /// # Cancel safety
    /// May be dropped at any await.
    pub async fn step(&self, index: usize) -> Option<StepEnd> {
        let mut progress = self.progress.subscribe();
        let told = |now: &Progress| now.steps.len() > index || now.phase == Phase::Stopped;
        // The sender is `self`, so the channel cannot close while this waits.
        let progress = progress.wait_for(told).await.ok()?;
        progress.steps.get(index).copied()
    }

    /// Waits until the process drains. Smaller than [`Shutdown::reached`], for those of whom there
    /// are many.
    ///
    /// # Cancel safety
    /// May be dropped at any await.
    pub async fn drains(&self) {
        self.draining.cancelled().await;
    }

    /// Waits until `phase` is reached.
    ///
    /// # Cancel safety
    /// May be dropped at any await.
    pub async fn reached(&self, phase: Phase) {
        // The sender is `self`, so the channel cannot close while this waits.
        let mut progress = self.progress.subscribe();
        let _phase = progress.wait_for(|now| now.phase >= phase).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn steps_are_told_in_order_until_the_last() {
        let shutdown = Shutdown::default();
        let ends = [
            ("calls", None, "calls: finished"),
            ("connections", Some(2), "connections: cut, 2 left"),
        ];
        let telling = async {
            for (step, cut, _) in ends {
                shutdown.report(StepEnd { step, cut });
                tokio::task::yield_now().await;
            }
            shutdown.advance(Phase::Stopped);
        };
        let hearing = async {
            for (index, (.., text)) in ends.iter().enumerate() {
                let end = shutdown.step(index).await.map(|end| end.to_string());
                assert_eq!(end.as_deref(), Some(*text));
            }
            assert_eq!(shutdown.step(ends.len()).await, None);
        };
        tokio::join!(hearing, telling);
        assert!(shutdown.is_leaving());
    }
}
