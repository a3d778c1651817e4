//! Audit.
pub mod redact;
