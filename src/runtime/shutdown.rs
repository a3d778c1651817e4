//! The phases of stopping, as a value everyone can watch.
//!
//! `app` moves [`Shutdown`] forward; the parts watch it. A phase never goes back.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How far the process is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    Running,
    /// Not ready any more; what runs may finish; streams are being told.
    Draining,
    /// Grace is over: what still runs is cut.
    Stopping,
}

/// A clonable view of the phase, with the right to move it forward.
#[derive(Clone, Debug)]
pub struct Shutdown {
    phase: watch::Sender<Phase>,
    draining: CancellationToken,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Running),
            draining: CancellationToken::new(),
        }
    }
}

impl Shutdown {
    /// The present phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Moves to `phase` unless already there or past it.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let moved = *now < phase;
            if moved {
                *now = phase;
            }
            moved
        });
        if phase >= Phase::Draining {
            self.draining.cancel();
        }
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
        let mut phases = self.phase.subscribe();
        let _phase = phases.wait_for(|now| *now >= phase).await;
    }
}
