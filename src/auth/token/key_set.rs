//! The public keys of an issuer, as its key set document lists them.
//!
//! [`KeySet::read`] keeps the keys that can check a signature of ours and leaves the others out
//! (RFC 7517 section 5): a set may hold keys for encryption, of other kinds, or for years to come.
//! Each kept key says for which algorithms it is, so a token cannot choose another for it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use serde_json::Value;

use super::algorithm::Algorithm;
use super::jwt::{self, Parsed};
use super::refusal::Step;

/// Keys of one issuer that are kept: the largest providers have about ten.
const KEYS_MAX: usize = 64;
/// Smallest and largest RSA modulus, in bits: below is weak, above is work for whoever sends tokens.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Why a document is no key set; completes "the key set …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeySetError {
    /// It is something else.
    #[error("is not a JSON object with a list of keys")]
    Malformed,
    /// It lists nothing we can use.
    #[error("has no key to check signatures with (RSA of 2048 bits or more, P-256, Ed25519)")]
    Empty,
}

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    jwk: Jwk,
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

impl KeySet {
    /// The usable keys of a document.
    ///
    /// # Errors
    /// When it is none, or has none.
    pub(super) fn read(document: &[u8]) -> Result<Self, KeySetError> {
        let document = jwt::object(document).map_err(|_| KeySetError::Malformed)?;
        let Some(Value::Array(keys)) = document.get("keys") else {
            return Err(KeySetError::Malformed);
        };
        let keys: Vec<_> = keys.iter().filter_map(Key::read).take(KEYS_MAX).collect();
        if keys.is_empty() {
            return Err(KeySetError::Empty);
        }
        Ok(Self(keys))
    }

    /// Whether both hold the same keys, so that what one vouched for, the other does.
    #[must_use]
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.0
            .iter()
            .map(|key| &key.jwk)
            .eq(other.0.iter().map(|key| &key.jwk))
    }

    /// Checks who signed a token.
    ///
    /// # Errors
    /// [`Step::Key`] when there is no such key, [`Step::Algorithm`] when it is for another
    /// algorithm, [`Step::Signature`].
    pub(super) fn check(&self, token: &Parsed<'_>) -> Result<(), Step> {
        let key = self.find(token)?;
        let signed = token.signed.as_bytes();
        let algorithm = token.algorithm.library();
        match jsonwebtoken::crypto::verify(token.signature, signed, &key.decoding, algorithm) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Step::Signature),
        }
    }

    /// The key a token names. One that names none can only mean the only one.
    fn find(&self, token: &Parsed<'_>) -> Result<&Key, Step> {
        let mut named = self.0.iter().filter(|key| match &token.key_id {
            Some(id) => key.jwk.common.key_id.as_ref() == Some(id),
            None => self.0.len() == 1,
        });
        let first = named.next().ok_or(Step::Key)?;
        // Keys of different kinds may share a name (RFC 7517 section 4.5).
        std::iter::once(first)
            .chain(named)
            .find(|key| key.algorithms.contains(&token.algorithm))
            .ok_or(Step::Algorithm)
    }
}

impl Key {
    fn read(value: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        let algorithms = algorithms(&jwk);
        if algorithms.is_empty() || !is_for_signatures(&jwk) {
            return None;
        }
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self {
            jwk,
            algorithms,
            decoding,
        })
    }
}

fn is_for_signatures(jwk: &Jwk) -> bool {
    let used = match &jwk.common.public_key_use {
        None | Some(PublicKeyUse::Signature) => true,
        Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_)) => false,
    };
    let operations = jwk.common.key_operations.as_ref();
    used && operations.is_none_or(|named| named.contains(&KeyOperations::Verify))
}

/// What a key is for: what it says, if its kind can do that; without a word all that its kind can.
fn algorithms(jwk: &Jwk) -> Vec<Algorithm> {
    let can: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) if is_sound(&rsa.n) => &[Algorithm::Rs256, Algorithm::Ps256],
        AlgorithmParameters::EllipticCurve(point) if point.curve == EllipticCurve::P256 => {
            &[Algorithm::Es256]
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            &[Algorithm::EdDsa]
        }
        // A secret in a public document is none, and no curve of another name is known here.
        _ => &[],
    };
    let says = |algorithm: &Algorithm| match jwk.common.key_algorithm {
        None => true,
        Some(named) => named == KeyAlgorithm::from(algorithm.library()),
    };
    can.iter().copied().filter(says).collect()
}

fn is_sound(modulus: &str) -> bool {
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(modulus) else {
        return false;
    };
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bits = match bytes.get(zeros) {
        Some(first) => (bytes.len() - zeros) * 8 - first.leading_zeros() as usize,
        None => 0,
    };
    RSA_BITS.contains(&bits)
}
