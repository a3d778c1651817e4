//! The ways in: Streamable HTTP of both eras, HTTP+SSE, stdio.
//!
//! A transport reads bytes, decides the era of each message, and carries requests to the session or
//! the service that answers them. It is the only part that knows HTTP statuses, headers, event
//! streams and lines; [`reply`] is the only file where an outcome becomes a code on the wire.
//!
//! It does not answer anything itself but the handshake and discovery, and never talks to a store.
//!
//! Concurrency: an exchange runs on the HTTP worker that took it. A call that outlives it moves to
//! the main runtime ([`exchange`]).

mod admission;
pub mod body;
mod config;
pub mod exchange;
pub mod http;
pub mod http_sse;
pub mod middleware;
pub mod pipe;
pub mod reply;
mod run_again;
pub mod session_call;
pub mod session_line;
pub mod sse;
pub mod stateless;
pub mod stdio;
pub mod streamable_http;
pub mod tls;

pub use config::{Config, Context, Endpoint, HttpSse};
