//! The gateway: many MCP servers behind one endpoint, each spoken to in its own revision.

#[cfg_attr(
    not(test),
    expect(dead_code, reason = "wired in by the gateway's core")
)]
mod bridge;
pub mod config;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "wired in by the gateway's core")
)]
mod upstream;
