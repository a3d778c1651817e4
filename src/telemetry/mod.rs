//! What an operator sees of a running process: metrics, log lines, and events that are both.
//!
//! [`metrics`] holds the catalogue of every metric and [`metrics::Metrics`], the handle all parts
//! are given. [`labels`] are the closed sets label values come from. [`events`] are the happenings
//! an operator acts on; each one writes its log line and moves its counters together, so the two
//! cannot tell different stories. [`tracing`] sends log lines to standard error.
//!
//! It does not see who called or with what: principals, session ids, arguments and results never
//! become labels, nor fields of an event.

pub mod events;
pub mod labels;
pub mod metrics;
pub mod tracing;
