//! The ground everything stands on: time, tasks, keys and stopping.
//!
//! Nothing here knows about MCP. Row 0 of the import table: it imports nothing of ours.

pub mod arbiters;
pub mod calendar;
pub mod clock;
pub(crate) mod guard;
pub(crate) mod limited;
pub mod log_budget;
pub mod per_second;
pub mod queue;
pub(crate) mod ratelimited;
pub mod sabotage;
pub mod seal;
pub mod secret;
pub mod shutdown;
pub mod tasks;
