//! The gateway: many MCP servers behind one endpoint, each spoken to in its own revision.

pub mod catalog;
pub mod config;
pub mod definition;
pub mod naming;
pub mod part;
pub mod pins;
pub mod warning;
