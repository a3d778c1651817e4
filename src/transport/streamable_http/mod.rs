//! Streamable HTTP: both eras on one path.
//!
//! [`endpoint`] makes the checks that every request needs, in the order `docs/protocol.md` lists,
//! and decides the era of each message. [`session_era`] serves the revisions with a handshake,
//! [`stateless_era`] those without; the second knows nothing of the first.
//!
//! Spec: basic/transports, Streamable HTTP (2025-03-26 to 2025-11-25); 2026-07-28
//! basic/transports/streamable-http.

pub mod endpoint;
mod head;
pub mod session_era;
pub mod stateless_era;
mod trace;
pub(in crate::transport) use head::Head;
