//! The only way to start a task, so that stopping knows what still runs.
//!
//! [`Tasks`] is a handle on the main runtime. Work that must outlive the HTTP exchange that began
//! it is spawned here, because a graceful stop of actix-web drops the tasks that live on its
//! workers. [`Tasks::inside`] polls a future on the caller's thread but inside the main runtime's
//! context: timers and sockets it makes belong there, so it can later move there unharmed.

use std::cell::RefCell;
use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::context::TokioContext;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

thread_local! {
    /// The runtime of this thread, where that is not the main one.
    static HERE: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// The runtime of this thread, even for what is polled [inside](Tasks::inside) the main one; nothing
/// on threads of that.
pub fn here() -> Option<Handle> {
    HERE.with_borrow(Clone::clone)
}

/// What a task is for, which decides whether stopping waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// A call that became a stream.
    Call,
    /// Feeding one connection with events.
    Stream,
    /// Store work of the registry or a session.
    Store,
    /// A loop that serves the process for life (sweeps, metrics upkeep).
    Upkeep,
}

/// A clonable handle on the main runtime and on the list of what runs there.
#[derive(Clone, Debug)]
pub struct Tasks {
    main: Handle,
    tracker: TaskTracker,
}

impl Tasks {
    /// Takes a runtime as the main one.
    #[must_use]
    pub fn on(main: Handle) -> Self {
        Self {
            main,
            tracker: TaskTracker::new(),
        }
    }

    /// Runs `future` on the main runtime.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that spawns, so that stopping can wait for all"
    )]
    pub fn spawn<F>(&self, kind: TaskKind, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match kind {
            // Loops for life end by the process's end; waiting for them would never return.
            TaskKind::Upkeep => self.main.spawn(future),
            TaskKind::Call | TaskKind::Stream | TaskKind::Store => {
                self.main.spawn(self.tracker.track_future(future))
            }
        }
    }

    /// Wraps `future` so that whatever it makes while polled belongs to the main runtime.
    pub fn inside<F: Future>(&self, future: F) -> TokioContext<F> {
        let here = Handle::try_current().ok();
        HERE.set(here.filter(|here| here.id() != self.main.id()));
        TokioContext::new(future, self.main.clone())
    }

    /// Makes stopping wait for work that is no task of its own, until the guard is dropped.
    pub fn track(&self) -> TaskTrackerToken {
        self.tracker.token()
    }

    /// Number of tracked tasks that have not ended.
    #[must_use]
    pub fn running(&self) -> usize {
        self.tracker.len()
    }

    /// Waits until every tracked task has ended. New ones may still be spawned.
    pub async fn idle(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
