//! The Model Context Protocol as plain values: what may be said, in every published revision.
//!
//! No I/O, no async, no clock: parsing, classification and encoding only, so that every rule here
//! can be tested as a table. Row 0 of the import table: it imports nothing of ours.
//!
//! It does not decide HTTP statuses or which error code an outcome gets; `transport/reply.rs` does.
//!
//! Invariants:
//! - What a client sent is pre-scanned once ([`prescan`]) and decoded from the same bytes; `params`
//!   stay raw ([`raw::RawJson`]) and are never re-serialized.
//! - A request id keeps its JSON type from the way in to the way out.

pub mod canonical;
pub mod capabilities;
pub mod client_request;
pub mod completion;
pub mod content;
pub mod encode;
pub mod era;
pub mod error_code;
pub mod form;
pub mod headers;
pub mod icon;
pub mod input;
pub mod jsonrpc;
pub mod lifecycle;
pub mod lines;
pub mod logging;
pub mod members;
pub mod meta;
pub mod method;
pub mod notification;
pub mod param_headers;
pub mod params;
mod parts;
pub mod prescan;
pub mod prompt;
pub mod raw;
pub mod resource;
pub mod spelling;
pub mod subscription;
pub mod tool;
pub mod trace;
pub mod version;
mod walk;
