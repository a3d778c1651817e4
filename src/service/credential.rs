//! The token that a call came with, for the one use it has after it was checked: to be exchanged, by who
//! issued it, for one that an upstream takes.
//!
//! It is of this call and this process: nothing that is written anywhere has it in it.

use std::sync::Arc;

use crate::runtime::clock::Timestamp;
use crate::runtime::secret::Secret;

/// See the module docs. It is not printed, and cannot be serialized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerToken {
    /// Who issued it, to the letter.
    pub issuer: Arc<str>,
    /// The token, which was found to be good.
    pub token: Secret,
    /// Until when it is.
    pub expires: Option<Timestamp>,
}
