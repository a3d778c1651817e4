//! A call whose beginning is recorded, and whose end will be.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::entry::Open;
use super::event::{CallId, End, Ending};
use super::queue::{Haste, Room};
use super::shared::{Shared, Unavailable};
use super::writer::Answer;
use crate::runtime::sabotage::{self, Bug};

/// A call that may be dispatched. Dropped without an end, its outcome is recorded as unknown.
#[must_use = "a call has to end"]
pub struct Begun {
    shared: Arc<Shared>,
    call: CallId,
    open: Open,
    /// Whether its beginning is recorded, and its end is not.
    is_armed: bool,
}

impl std::fmt::Debug for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Begun({})", self.call)
    }
}

impl Begun {
    /// A call whose beginning is not recorded yet.
    pub(super) fn new(shared: Arc<Shared>, call: CallId, open: Open) -> Self {
        Self {
            shared,
            call,
            open,
            is_armed: false,
        }
    }

    /// The same once its beginning is recorded.
    pub(super) fn armed(mut self) -> Self {
        self.is_armed = true;
        self
    }

    /// Which call it is, for logs and traces.
    #[must_use]
    pub fn id(&self) -> CallId {
        self.call
    }

    /// Records how it ended. The answer is there when the record is durable; who does not wait for it
    /// has recorded the end all the same.
    ///
    /// # Errors
    /// When it cannot be written now. It is written as soon as it can be.
    pub fn end(
        mut self,
        end: &End<'_>,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send + use<> {
        self.is_armed = false;
        let (told, durable) = oneshot::channel();
        let sent = if end.error.is_some() && sabotage::is(Bug::AuditSkippedOnError) {
            Ok(())
        } else {
            self.submit(end, Answer::Told(told))
        };
        async move {
            sent?;
            durable.await.unwrap_or(Err(Unavailable))
        }
    }

    /// Records that nothing was dispatched.
    pub(super) fn cancelled(mut self) {
        self.is_armed = false;
        self.say(Ending::Cancelled);
    }

    fn say(&self, ending: Ending) {
        // The writer is gone only when the process is; the next one finds the call without an end.
        let _next_start = self.submit(&End::of(ending), Answer::Nobody);
    }

    fn submit(&self, end: &End<'_>, answer: Answer) -> Result<(), Unavailable> {
        let moment = self.shared.moment();
        let entry = self.shared.desk.end(self.call, &self.open, end, moment);
        self.shared.submit(entry, answer, Haste::Soon, Room::Owed)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if self.is_armed {
            self.say(Ending::Unknown);
        }
    }
}
