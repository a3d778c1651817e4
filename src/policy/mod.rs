//! Decisions about requests, as pure functions: given what was sent and what is allowed, may it
//! pass?
//!
//! [`origin`] decides by `Host` and `Origin`: it keeps a web page in someone's browser from
//! talking to a server on their machine (DNS rebinding), which no firewall sees. [`body_limit`]
//! decides how much of a body is read. [`pattern`] is how names are written of which there are many.
//!
//! Nothing here reads a socket, answers a request or counts: the transport asks, answers and
//! counts.

pub mod body_limit;
pub mod origin;
pub mod pattern;
