//! Server-sent events: encoding and the response body that carries them.
//!
//! Spec: the HTML standard's event stream format; basic/transports (every revision).

pub mod encoder;
mod stream;

pub use stream::{EventStream, Heartbeat, respond};
