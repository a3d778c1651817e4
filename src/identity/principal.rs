//! The principal: whose request this is.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Whose request this is. Two requests of equal principals may share state, others never do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Principal(Arc<str>);

impl Principal {
    /// The one principal of a process without authentication: whoever can reach a loopback
    /// address, or holds the other end of our standard input.
    #[must_use]
    pub fn local() -> Self {
        Self("local".into())
    }

    /// A text that names this principal and no other, for keys and MACs.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.0
    }

    /// The principal a checkpoint names.
    #[must_use]
    pub fn from_key(key: &str) -> Self {
        Self(key.into())
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
