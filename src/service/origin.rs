//! Where a request comes from.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::credential::CallerToken;
use crate::identity::Caller;

/// Where a request comes from, for the record. Nothing is decided by what a client says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The other end of its connection.
    pub address: Option<IpAddr>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
}

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
