//! Session ids: unguessable, and recognisable as ours without asking the store.
//!
//! An id is 16 random bytes and a 16-byte MAC over them, the principal and the endpoint, in
//! URL-safe base64: 43 visible ASCII characters. An id presented by another principal or at
//! another endpoint is therefore as wrong as an invented one, and neither costs a store read.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::identity::Principal;
use crate::runtime::seal::{self, ClusterKeys, Mac, TAG_LEN};
use crate::store::Scope;

const RANDOM_LEN: usize = 16;
const TEXT_LEN: usize = 43;

/// A session id as it is on the wire. A secret of its client: never logged.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// The id on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
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
pub struct IdMint(Mac);

impl IdMint {
    /// The mint of a cluster: nodes with the same keys accept each other's ids.
    #[must_use]
    pub fn new(keys: &ClusterKeys) -> Self {
        Self(keys.mac("session-id"))
    }

    /// A fresh id for a session of `principal` at `endpoint`.
    #[must_use]
    pub fn mint(&self, principal: &Principal, endpoint: &str) -> SessionId {
        let random: [u8; RANDOM_LEN] = seal::random();
        let tag = self.tag(&random, principal, endpoint);
        let mut id = [0; RANDOM_LEN + TAG_LEN];
        id[..RANDOM_LEN].copy_from_slice(&random);
        id[RANDOM_LEN..].copy_from_slice(&tag);
        SessionId(URL_SAFE_NO_PAD.encode(id).into())
    }

    /// The id `text` spells, if we issued it to `principal` at `endpoint`.
    #[must_use]
    pub fn verify(&self, text: &str, principal: &Principal, endpoint: &str) -> Option<SessionId> {
        if text.len() != TEXT_LEN {
            return None;
        }
        let id = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (random, tag) = id.split_at_checked(RANDOM_LEN)?;
        self.0
            .verify(
                &[random, principal.key().as_bytes(), endpoint.as_bytes()],
                tag,
            )
            .ok()?;
        Some(SessionId(text.into()))
    }

    fn tag(&self, random: &[u8], principal: &Principal, endpoint: &str) -> [u8; TAG_LEN] {
        self.0
            .tag(&[random, principal.key().as_bytes(), endpoint.as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_good_only_for_its_principal_and_endpoint() {
        let mint = IdMint::new(&ClusterKeys::generate());
        let alice = Principal::from_key("alice");
        let id = mint.mint(&alice, "main");
        assert!(
            id.as_str()
                .bytes()
                .all(|byte| (0x21..=0x7e).contains(&byte))
        );
        assert_eq!(mint.verify(id.as_str(), &alice, "main"), Some(id.clone()));
        assert_eq!(mint.verify(id.as_str(), &alice, "other"), None);
        assert_eq!(
            mint.verify(id.as_str(), &Principal::from_key("bob"), "main"),
            None
        );
        assert_eq!(mint.verify(&"A".repeat(TEXT_LEN), &alice, "main"), None);
        assert_eq!(mint.verify("", &alice, "main"), None);
    }

    #[test]
    fn an_id_never_shows_in_a_log() {
        let mint = IdMint::new(&ClusterKeys::generate());
        let id = mint.mint(&Principal::local(), "main");
        assert!(!format!("{id:?} {:?}", id.scope()).contains(id.as_str()));
    }
}
