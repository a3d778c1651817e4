//! How calls of one tool may go on as tasks.

use std::time::Duration;

use crate::protocol::tool::TaskSupport;

/// What a tool says of its calls.
///
/// Clients of 2025-11-25 decide for themselves, within [`TaskUse::support`]; for clients of the
/// stateless era that declared the extension the server decides, by [`TaskUse::start`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskUse {
    /// Whether calls may be tasks, must be, or may not.
    pub support: TaskSupport,
    /// When a call becomes a task, where the server decides.
    pub start: TaskStart,
}

/// When a call becomes a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskStart {
    /// Before it begins.
    AtOnce,
    /// When it has not ended after this time.
    After(Duration),
    /// When it says so itself ([`super::Outlet::become_task`]).
    OnDemand,
}

impl TaskUse {
    /// Calls are tasks from their beginning, for clients that can follow one.
    #[must_use]
    pub const fn optional() -> Self {
        Self {
            support: TaskSupport::Optional,
            start: TaskStart::AtOnce,
        }
    }

    /// Calls are tasks, and clients that cannot follow one are refused. Clients of revisions that
    /// know no tasks at all wait for the result.
    #[must_use]
    pub const fn required() -> Self {
        Self {
            support: TaskSupport::Required,
            start: TaskStart::AtOnce,
        }
    }

    /// Calls are never tasks, however long they take.
    #[must_use]
    pub const fn forbidden() -> Self {
        Self {
            support: TaskSupport::Forbidden,
            start: TaskStart::OnDemand,
        }
    }

    /// Calls become tasks when they take longer than this.
    #[must_use]
    pub const fn after(time: Duration) -> Self {
        Self {
            support: TaskSupport::Optional,
            start: TaskStart::After(time),
        }
    }

    /// Calls become tasks when they say so.
    #[must_use]
    pub const fn on_demand() -> Self {
        Self {
            support: TaskSupport::Optional,
            start: TaskStart::OnDemand,
        }
    }
}
