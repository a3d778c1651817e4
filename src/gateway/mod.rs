//! The gateway: many MCP servers behind one endpoint, each spoken to in its own revision.

pub mod config;
#[expect(dead_code, reason = "wired in by the gateway's core")]
mod upstream;
