//! What went well and what failed while many connections are at work on one thread.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::latency::Latencies;

/// See the module docs.
#[derive(Debug)]
pub(crate) struct Tally {
    counting: Cell<bool>,
    done: Cell<u64>,
    failures: Cell<u64>,
    first_failure: RefCell<Option<String>>,
    latencies: RefCell<Latencies>,
}

impl Tally {
    /// Nothing yet; counts from the start.
    pub(crate) fn new() -> Self {
        Self {
            counting: Cell::new(true),
            done: Cell::new(0),
            failures: Cell::new(0),
            first_failure: RefCell::new(None),
            latencies: RefCell::new(Latencies::new()),
        }
    }

    /// Whether what is done counts; failures always do.
    pub(crate) fn count(&self, counting: bool) {
        self.counting.set(counting);
    }

    /// One went well and took so long.
    pub(crate) fn done(&self, took: Duration) {
        if self.counting.get() {
            self.done.set(self.done.get() + 1);
            self.latencies.borrow_mut().add(took);
        }
    }

    /// One failed.
    pub(crate) fn failed(&self, why: impl FnOnce() -> String) {
        self.failures.set(self.failures.get() + 1);
        self.first_failure.borrow_mut().get_or_insert_with(why);
    }

    /// How many went well.
    pub(crate) fn total(&self) -> u64 {
        self.done.get()
    }

    /// How many failed.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.get()
    }

    /// Why the first that failed did.
    pub(crate) fn first_failure(&self) -> Option<String> {
        self.first_failure.borrow().clone()
    }

    /// How long they took.
    pub(crate) fn latencies(&self) -> Latencies {
        self.latencies.borrow().clone()
    }
}
