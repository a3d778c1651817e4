//! Decisions about requests, as pure functions: given what was sent and what is allowed, may it
//! pass?
//!
//! [`origin`] decides by `Host` and `Origin`: it keeps a web page in someone's browser from
//! talking to a server on their machine (DNS rebinding), which no firewall sees. [`body_limit`]
//! decides how much of a body is read. [`access`] decides who may call what, [`limits`] how often.
//! [`pattern`] and [`names`] are how names are written of which there are many.
//!
//! Nothing here reads a socket, answers a request or counts in metrics: who asks does. Only
//! [`limits`] has a state, and asks the store where nodes share theirs.

pub mod access;
pub mod body_limit;
pub mod limits;
pub mod names;
pub mod origin;
pub mod pattern;

pub use access::Policy;
pub use limits::Limits;
