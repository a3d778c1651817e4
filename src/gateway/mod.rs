//! The gateway: many MCP servers behind one endpoint, each spoken to in its own revision.

pub mod config;
pub mod naming;
