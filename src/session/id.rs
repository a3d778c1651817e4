//! Session ids: unguessable, and recognisable as ours without asking the store; see
//! [`crate::identity::Mint`].

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::identity::{Mint, Principal};
use crate::runtime::seal::{self, ClusterKeys};
use crate::service::SessionKey;
use crate::store::Scope;

/// A session id as it is on the wire. A secret of its client: never logged.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// The id on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The session's name for state that others keep per session.
    #[must_use]
    pub fn key(&self) -> SessionKey {
        SessionKey(self.0.clone())
    }

    /// The scope in the store that holds this session.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope(self.0.clone())
    }

    /// A short name for logs from which the id cannot be found.
    #[must_use]
    pub fn log_name(&self) -> String {
        seal::digest(&[b"session log name", self.0.as_bytes()])[..6]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({})", self.log_name())
    }
}

impl std::borrow::Borrow<str> for SessionId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Makes ids and tells ours from others'.
#[derive(Debug)]
pub struct IdMint(Mint);

impl IdMint {
    /// The mint of a cluster: nodes with the same keys accept each other's ids.
    #[must_use]
    pub fn new(keys: &ClusterKeys) -> Self {
        Self(Mint::new(keys.mac("session-id")))
    }

    /// A fresh id for a session of `principal` at `endpoint`.
    #[must_use]
    pub fn mint(&self, principal: &Principal, endpoint: &str) -> SessionId {
        SessionId(self.0.mint(principal, endpoint).into())
    }

    /// The id `text` spells, if we issued it to `principal` at `endpoint`.
    #[must_use]
    pub fn verify(&self, text: &str, principal: &Principal, endpoint: &str) -> Option<SessionId> {
        self.0
            .verify(text, principal, endpoint)
            .then(|| SessionId(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_never_shows_in_a_log() {
        let mint = IdMint::new(&ClusterKeys::generate());
        let id = mint.mint(&Principal::local(), "main");
        assert!(!format!("{id:?} {:?}", id.scope()).contains(id.as_str()));
    }
}
