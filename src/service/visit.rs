//! Who came, and from where.

use std::sync::Arc;

use super::credential::CallerToken;
use crate::identity::{Caller, Origin};

/// One request's caller, and where it comes from.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Who.
    pub caller: Arc<Caller>,
    /// From where.
    pub origin: Arc<Origin>,
    /// The access token they presented.
    pub credential: Option<Arc<CallerToken>>,
}

impl Visit {
    /// A visit of which only the caller is known: over a pipe, or from another node.
    #[must_use]
    pub fn of(caller: Arc<Caller>) -> Self {
        Self {
            caller,
            origin: Arc::default(),
            credential: None,
        }
    }
}
