//! Ids that are good only for their principal, at their endpoint.
//!
//! An id is 16 random bytes and a 16-byte MAC over them, the principal and the endpoint, in
//! URL-safe base64: 43 visible ASCII characters. An id presented by another principal or at
//! another endpoint is therefore as wrong as an invented one, and neither costs a store read.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Principal;
use crate::runtime::seal::{self, Mac, TAG_LEN};

const RANDOM_LEN: usize = 16;
const TEXT_LEN: usize = 43;

/// Makes ids and tells ours from others'. Ids of one mint mean nothing to a mint with another MAC.
#[derive(Debug)]
pub struct Mint(Mac);

impl Mint {
    /// The mint of everybody who has this MAC.
    #[must_use]
    pub const fn new(mac: Mac) -> Self {
        Self(mac)
    }

    /// A fresh id for something of `principal` at `endpoint`.
    #[must_use]
    pub fn mint(&self, principal: &Principal, endpoint: &str) -> String {
        let random: [u8; RANDOM_LEN] = seal::random();
        let tag = self
            .0
            .tag(&[&random, principal.key().as_bytes(), endpoint.as_bytes()]);
        let mut id = [0; RANDOM_LEN + TAG_LEN];
        id[..RANDOM_LEN].copy_from_slice(&random);
        id[RANDOM_LEN..].copy_from_slice(&tag);
        URL_SAFE_NO_PAD.encode(id)
    }

    /// Whether `text` is an id we issued to `principal` at `endpoint`.
    #[must_use]
    pub fn verify(&self, text: &str, principal: &Principal, endpoint: &str) -> bool {
        if text.len() != TEXT_LEN {
            return false;
        }
        let Ok(id) = URL_SAFE_NO_PAD.decode(text) else {
            return false;
        };
        let Some((random, tag)) = id.split_at_checked(RANDOM_LEN) else {
            return false;
        };
        self.0
            .verify(
                &[random, principal.key().as_bytes(), endpoint.as_bytes()],
                tag,
            )
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::seal::ClusterKeys;

    #[test]
    fn an_id_is_good_only_for_its_principal_endpoint_and_use() {
        let keys = ClusterKeys::generate();
        let mint = Mint::new(keys.mac("session-id"));
        let alice = Principal::from_key("alice");
        let id = mint.mint(&alice, "main");
        assert!(id.bytes().all(|byte| (0x21..=0x7e).contains(&byte)));
        assert!(mint.verify(&id, &alice, "main"));
        assert!(!mint.verify(&id, &alice, "other"));
        assert!(!mint.verify(&id, &Principal::from_key("bob"), "main"));
        assert!(!Mint::new(keys.mac("task-id")).verify(&id, &alice, "main"));
        assert!(!mint.verify(&"A".repeat(TEXT_LEN), &alice, "main"));
        assert!(!mint.verify("", &alice, "main"));
    }
}
