//! How often who may call what, and how many calls at a time.
//!
//! [`Limits`] says which limits a call falls under ([`Limits::demands`]): a list of keys and rates.
//! A call passes if it gets a token for each ([`Tokens::take`]), all or none, and a place in each
//! that counts what runs ([`Permits::enter`]). [`local::LocalTokens`] counts on this node alone;
//! [`shared::SharedTokens`] with the others that use its store, by short leases, so that one command
//! of the store serves many calls.
//!
//! "N per unit" is counted by [`gcra`]: N at once and N per unit, unless `burst` says otherwise.
//!
//! It does not say what is work: handshakes, pings and lists are not, whoever asks knows.
//!
//! Invariants:
//! - Nothing is ever counted together for two tenants.
//! - A call that is refused by one limit costs nothing under the others.

pub mod config;
mod demand;
pub mod gcra;
mod key;
pub mod lease;
pub mod local;
pub mod permits;
pub mod rate;
pub mod shared;
#[cfg(test)]
mod simulation;
pub mod usage;

pub use config::{Config, OnFailure};
pub use demand::{Demand, Demands, Limits, RunningDemand};
pub use key::Key;
pub use local::LocalTokens;
pub use permits::{Entered, Permit, Permits};
pub use rate::{Rate, RateError};
pub use shared::SharedTokens;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::telemetry::labels::LimitReason;
use usage::Bucket;

/// Where tokens are taken from.
pub trait Tokens: Send + Sync + fmt::Debug {
    /// Takes a token for each of the demands, or for none of them. `now` is in microseconds.
    ///
    /// # Cancel safety
    /// Dropped before it ends, it may have taken some; they come back with time.
    fn take<'a>(&'a self, demands: &'a [Demand], now: u64) -> BoxFuture<'a, Take>;

    /// How many each bucket would give now; nothing while nobody knows.
    fn left<'a>(&'a self, buckets: &'a [Bucket], now: u64) -> BoxFuture<'a, Option<Vec<u32>>>;

    /// Forgets what makes no difference any more; to be called every few seconds.
    fn sweep(&self, now: u64);

    /// How many buckets are counted here.
    fn keys(&self) -> usize;
}

/// How taking ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Take {
    /// The call may go on.
    Taken,
    /// It may not.
    Refused(Refused),
}

/// Which limit is in the way. Displayed for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its name in the configuration.
    pub rule: Arc<str>,
    /// What is wrong.
    pub because: Because,
}

/// Why a limit refuses a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// There were as many as the limit lets pass.
    Spent {
        /// The limit.
        rate: Rate,
        /// When to come again, in microseconds from now.
        retry_after: u64,
    },
    /// As many run as the limit lets run.
    Running {
        /// The limit.
        most: NonZeroU32,
    },
    /// The store that nodes share is away, and this limit is not to be guessed.
    StoreAway,
    /// More is counted already than this node can count; nobody new is let in.
    Full,
}

impl Refused {
    /// When it may be worth to come again, in microseconds, as far as is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<u64> {
        match self.because {
            Because::Spent { retry_after, .. } => Some(retry_after),
            Because::Running { .. } => None,
            Because::StoreAway | Because::Full => Some(1_000_000),
        }
    }
}

impl Because {
    /// How it is counted.
    #[must_use]
    pub const fn label(&self) -> LimitReason {
        match self {
            Self::Spent { .. } => LimitReason::Rate,
            Self::Running { .. } => LimitReason::Running,
            Self::StoreAway => LimitReason::StoreAway,
            Self::Full => LimitReason::Full,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = &self.rule;
        match &self.because {
            Because::Spent { rate, retry_after } => {
                let secs = retry_after.div_ceil(1_000_000);
                write!(
                    f,
                    "over the limit `{rule}` of {rate}; try again in {secs} s"
                )
            }
            Because::Running { most } => {
                write!(f, "over the limit `{rule}`: {most} calls are running")
            }
            Because::StoreAway => write!(f, "the limit `{rule}` cannot be counted now"),
            Because::Full => write!(f, "the limit `{rule}` cannot count anybody else now"),
        }
    }
}
