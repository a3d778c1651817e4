//! The set that the official conformance suite expects.
//!
//! Names, texts and schemas are the suite's. The order matters too: it calls the first tool and
//! reads the first resource of a list, so those are the plain ones.
//!
//! - [`content`]: what a tool can give back.
//! - [`questions`]: asking the client, as sessions know it.
//! - [`rounds`]: asking the client, as the stateless era does.
//! - [`tasks`]: calls that are tasks.
//! - [`others`]: resources and prompts.

mod content;
mod others;
mod questions;
mod rounds;
mod tasks;
#[cfg(test)]
mod tests;

use crate::runtime::clock::Clock;
use crate::server::{Server, ServerBuilder, Tool};

/// A red pixel.
const PIXEL_PNG: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52,
    0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x02, 0x00, 0x00, 0x00, 0x90, 0x77, 0x53,
    0xde, 0x00, 0x00, 0x00, 0x0c, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0xf8, 0xcf, 0xc0, 0x00,
    0x00, 0x03, 0x01, 0x01, 0x00, 0xc9, 0xfe, 0x92, 0xef, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e,
    0x44, 0xae, 0x42, 0x60, 0x82,
];

/// The conformance set.
pub fn conformance(clock: &Clock) -> ServerBuilder {
    let builder = Server::builder("switchboard-conformance", env!("CARGO_PKG_VERSION"))
        .instructions("The tools, resources and prompts of the MCP conformance suite.")
        .clock(clock.clone());
    let builder = with_tools(builder, content::tools());
    let builder = with_tools(builder, questions::tools());
    let builder = with_tools(builder, rounds::tools());
    let builder = with_tools(builder, tasks::tools());
    others::register(builder)
}

fn with_tools(builder: ServerBuilder, tools: Vec<Tool>) -> ServerBuilder {
    tools.into_iter().fold(builder, ServerBuilder::tool)
}
