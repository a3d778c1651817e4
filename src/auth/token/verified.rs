//! What a good token says.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::runtime::clock::Timestamp;

/// A token that passed every step.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// Who issued it.
    pub issuer: Arc<str>,
    /// The tenant that issuer is for.
    pub tenant: Arc<str>,
    /// Whom it was issued for: a person, or the client itself.
    pub subject: Arc<str>,
    /// The program that may use it, where it names one.
    pub client: Option<Arc<str>>,
    /// What it may be used for.
    pub scopes: BTreeSet<Arc<str>>,
    /// All that it says.
    pub claims: Map<String, Value>,
    /// Until when it is good. Where its issuer does not say, until it has to be asked again.
    pub expires: Timestamp,
}
