//! Switchboard.

pub mod identity;
pub mod protocol;
pub mod runtime;
pub mod service;
pub mod session;
pub mod store;
pub mod telemetry;
