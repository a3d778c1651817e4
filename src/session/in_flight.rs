//! What runs in a session now: the in-flight table and the state word of the fast path.
//!
//! A call enters by raising the count in the word, which fails once the closing bit is set; so a
//! session is never taken away under a call, and passivation happens only at zero. The table finds
//! a running request by its id, to cancel it. Nobody waits here for anybody.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::protocol::jsonrpc::RequestId;

const CLOSING: u32 = 1 << 31;

/// The table and the word of one session.
#[derive(Debug)]
pub struct InFlight {
    /// Number of uses (calls and streams), and the closing bit.
    word: AtomicU32,
    calls: Mutex<Vec<Running>>,
    calls_max: usize,
}

#[derive(Debug)]
struct Running {
    id: RequestId,
    cancel: CancellationToken,
}

/// Why a call may not enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotEntered {
    /// The session is being passivated or closed; the registry knows more.
    Closing,
    /// A request with this id is still running (basic/index, requests: ids are unique).
    Duplicate,
    /// As many calls run as one session may have.
    Full,
}

impl InFlight {
    /// An unused session that may run `calls_max` calls.
    #[must_use]
    pub const fn new(calls_max: usize) -> Self {
        Self {
            word: AtomicU32::new(0),
            calls: Mutex::new(Vec::new()),
            calls_max,
        }
    }

    /// Raises the count of uses; `false` once closing. Pairs with [`InFlight::leave`].
    #[must_use]
    pub fn hold(&self) -> bool {
        let raised = self
            .word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                (word & CLOSING == 0).then_some(word + 1)
            });
        raised.is_ok()
    }

    /// Lowers the count of uses.
    pub fn leave(&self) {
        let before = self.word.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before & !CLOSING > 0, "left more often than entered");
    }

    /// Enters a call; on success the count is raised and the call can be cancelled by its id.
    ///
    /// # Errors
    /// [`NotEntered`].
    pub fn enter(&self, id: &RequestId) -> Result<CancellationToken, NotEntered> {
        if !self.hold() {
            return Err(NotEntered::Closing);
        }
        let mut calls = self.lock();
        let refused = if calls.iter().any(|running| running.id == *id) {
            Some(NotEntered::Duplicate)
        } else if calls.len() >= self.calls_max {
            Some(NotEntered::Full)
        } else {
            None
        };
        if let Some(refused) = refused {
            drop(calls);
            self.leave();
            return Err(refused);
        }
        let cancel = CancellationToken::new();
        calls.push(Running {
            id: id.clone(),
            cancel: cancel.clone(),
        });
        Ok(cancel)
    }

    /// Ends what [`InFlight::enter`] began.
    pub fn exit(&self, id: &RequestId) {
        let mut calls = self.lock();
        if let Some(at) = calls.iter().position(|running| running.id == *id) {
            calls.swap_remove(at);
        }
        if calls.is_empty() {
            // An idle session gives its memory back: there are many of them.
            *calls = Vec::new();
        }
        drop(calls);
        self.leave();
    }

    /// Cancels the running call of that id; `false` when none runs.
    pub fn cancel(&self, id: &RequestId) -> bool {
        let cancel = self
            .lock()
            .iter()
            .find(|running| running.id == *id)
            .map(|running| running.cancel.clone());
        cancel.is_some_and(|cancel| {
            cancel.cancel();
            true
        })
    }

    /// Number of uses now.
    #[must_use]
    pub fn uses(&self) -> u32 {
        self.word.load(Ordering::Acquire) & !CLOSING
    }

    /// Sets the closing bit if nothing uses the session.
    #[must_use]
    pub fn close_if_unused(&self) -> bool {
        self.word
            .compare_exchange(0, CLOSING, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Sets the closing bit and cancels all that runs.
    pub fn close(&self) {
        self.word.fetch_or(CLOSING, Ordering::AcqRel);
        let calls = self
            .lock()
            .iter()
            .map(|running| running.cancel.clone())
            .collect::<Vec<_>>();
        for cancel in calls {
            cancel.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Running>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn id(number: i64) -> RequestId {
        RequestId::Number(number)
    }

    #[test]
    fn an_id_runs_once_at_a_time() {
        let table = InFlight::new(2);
        table.enter(&id(1)).unwrap();
        assert_eq!(table.enter(&id(1)).unwrap_err(), NotEntered::Duplicate);
        table.enter(&id(2)).unwrap();
        assert_eq!(table.enter(&id(3)).unwrap_err(), NotEntered::Full);
        table.exit(&id(1));
        table.enter(&id(1)).unwrap();
        assert_eq!(table.uses(), 2);
    }

    #[test]
    fn one_and_the_string_one_are_different_ids() {
        let table = InFlight::new(2);
        table.enter(&id(1)).unwrap();
        table.enter(&RequestId::String("1".into())).unwrap();
    }

    #[test]
    fn a_session_in_use_is_not_taken_away() {
        let table = InFlight::new(2);
        table.enter(&id(1)).unwrap();
        assert!(!table.close_if_unused());
        table.exit(&id(1));
        assert!(table.close_if_unused());
        assert_eq!(table.enter(&id(2)).unwrap_err(), NotEntered::Closing);
        assert!(!table.hold());
    }

    #[test]
    fn closing_cancels_what_runs() {
        let table = InFlight::new(2);
        let cancel = table.enter(&id(1)).unwrap();
        assert!(!table.cancel(&id(7)), "an unknown id cancels nothing");
        assert!(!cancel.is_cancelled());
        table.close();
        assert!(cancel.is_cancelled());
    }
}
