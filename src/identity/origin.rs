//! Where a request comes from.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Where a request comes from, for the record. Nothing is decided by what a client says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The other end of its connection.
    pub address: Option<IpAddr>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
}
