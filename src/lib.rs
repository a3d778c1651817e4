//! Switchboard.

pub mod admin;
pub mod app;
pub mod builtin;
pub mod cli;
pub mod config;
pub mod identity;
pub mod policy;
pub mod protocol;
pub mod runtime;
pub mod server;
pub mod service;
pub mod session;
pub mod store;
pub mod telemetry;
pub mod transport;
