//! Placeholder.
#[derive(Debug)]
pub struct HeaderParams;
