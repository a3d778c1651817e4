//! Buckets of tokens that nodes share: what limits that hold for all of them together are counted
//! with.
//!
//! A bucket is known by an opaque key and holds no more than the numbers it is asked with say: one
//! token comes back every `interval_nanos` until there are `burst`. One that nobody asked for is
//! full, and one that is full is not kept.

use std::fmt;

use super::StoreFuture;

/// What is wanted of one bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Which.
    pub key: String,
    /// The time in which one token comes back.
    pub interval_nanos: u64,
    /// How many it holds.
    pub burst: u32,
    /// How many to take, if it has them.
    pub want: u32,
    /// How many to put back first, which were taken and not used.
    pub back: u32,
}

/// What one bucket gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// How many, at most as many as wanted.
    pub tokens: u32,
    /// When it has one more, in microseconds; 0 when it gave all that was wanted.
    pub retry_after_us: u64,
    /// How many it has left.
    pub left: u32,
}

/// Where buckets are shared.
pub trait Buckets: Send + Sync + fmt::Debug + 'static {
    /// Takes from several buckets, from each by itself: what one does not have, another still gives.
    /// The answers come in the order of what was asked.
    fn take(&self, asks: Vec<Ask>) -> StoreFuture<Vec<Given>>;
}
