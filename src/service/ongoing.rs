//! What lasts as long as the work of a call, which may be longer than its answer takes.
//!
//! Whoever stands before a service may hold something for each call: its place among those that run, its
//! open record. It is let go when the call is answered, unless the answer is only the handle of a task:
//! then whoever does the work says [`Ongoing::goes_on`], and how it ended.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Reply, ServiceError};

/// Something that is held while a call's work goes on. Dropped, nobody knows how it ended.
pub trait Held: Send + fmt::Debug {
    /// The work has ended like this.
    fn let_go(self: Box<Self>, outcome: &Result<Reply, ServiceError>);
}

/// See the module docs. Cloning shares it; by default nothing is held.
#[derive(Clone, Debug, Default)]
pub struct Ongoing(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    held: Mutex<Option<Box<dyn Held>>>,
    goes_on: AtomicBool,
}

impl Ongoing {
    /// Holds something until the work has ended.
    #[must_use]
    pub fn with(held: Box<dyn Held>) -> Self {
        Self(Some(Arc::new(Inner {
            held: Mutex::new(Some(held)),
            goes_on: AtomicBool::new(false),
        })))
    }

    /// The work outlives the answer: [`Self::ended`] will be said.
    pub fn goes_on(&self) {
        if let Some(inner) = &self.0 {
            inner.goes_on.store(true, Ordering::Release);
        }
    }

    /// The call is answered. Unless its work goes on, that is its end.
    pub fn answered(&self, outcome: &Result<Reply, ServiceError>) {
        if let Some(inner) = &self.0
            && !inner.goes_on.load(Ordering::Acquire)
        {
            self.ended(outcome);
        }
    }

    /// The work has ended. Only the first end counts.
    pub fn ended(&self, outcome: &Result<Reply, ServiceError>) {
        let Some(inner) = &self.0 else { return };
        let held = inner
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(held) = held {
            held.let_go(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::raw::RawJson;

    #[derive(Debug)]
    struct Counted(Arc<Mutex<Vec<&'static str>>>);

    impl Held for Counted {
        fn let_go(self: Box<Self>, outcome: &Result<Reply, ServiceError>) {
            let word = if outcome.is_ok() { "ok" } else { "error" };
            self.0.lock().unwrap().push(word);
        }
    }

    fn ongoing() -> (Ongoing, Arc<Mutex<Vec<&'static str>>>) {
        let told = Arc::default();
        (Ongoing::with(Box::new(Counted(Arc::clone(&told)))), told)
    }

    fn reply() -> Reply {
        Reply::complete(RawJson::empty_object())
    }

    #[test]
    fn an_answer_is_the_end_unless_the_work_goes_on() {
        let (call, told) = ongoing();
        call.answered(&Ok(reply()));
        call.ended(&Err(ServiceError::Cancelled));
        assert_eq!(*told.lock().unwrap(), ["ok"]);

        let (task, told) = ongoing();
        task.goes_on();
        task.answered(&Ok(reply()));
        assert!(told.lock().unwrap().is_empty());
        task.clone().ended(&Err(ServiceError::Cancelled));
        assert_eq!(*told.lock().unwrap(), ["error"]);

        Ongoing::default().ended(&Ok(reply()));
    }
}
