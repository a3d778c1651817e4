//! One upstream: how much of it is used at once, and when it is left alone.

pub(crate) mod breaker;
pub(crate) mod bulkhead;
