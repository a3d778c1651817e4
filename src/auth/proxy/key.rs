//! What verifies the assertions of a proxy.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};

use super::ProxyRefusal;

/// Bytes of a shared secret, at least: as many as the digest it keys has (RFC 7518, section 3.2).
const SECRET_MIN: usize = 32;

/// What verifies assertions: a shared secret, or the public key of the proxy.
#[derive(Clone)]
pub struct Key {
    decoding: DecodingKey,
    algorithms: &'static [Algorithm],
    /// Tells two of them apart.
    digest: [u8; 32],
}

/// Why a key verifies nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A secret is too short.
    #[error("a shared secret must have at least {SECRET_MIN} bytes")]
    Short,
    /// A PEM file has something else.
    #[error("is no public key in PEM: RSA, P-256 or Ed25519 (`BEGIN PUBLIC KEY`)")]
    Unknown,
}

impl Key {
    /// A public key in PEM, or else a shared secret.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (decoding, algorithms): (_, &[Algorithm]) = if text.contains("-----BEGIN") {
            public_key(text).ok_or(KeyError::Unknown)?
        } else if text.len() < SECRET_MIN {
            return Err(KeyError::Short);
        } else {
            let key = DecodingKey::from_secret(text.as_bytes());
            (key, &[Algorithm::HS256])
        };
        let digest = digest(&SHA256, text.as_bytes());
        let digest = digest.as_ref().try_into();
        Ok(Self {
            decoding,
            algorithms,
            digest: digest.expect("invariant: SHA-256 has 32 bytes"),
        })
    }

    /// Checks the signature of a message, by the algorithm that it names.
    pub(super) fn verify(
        &self,
        algorithm: &str,
        message: &str,
        signature: &str,
    ) -> Result<(), ProxyRefusal> {
        let algorithm = algorithm
            .parse()
            .ok()
            .filter(|algorithm| self.algorithms.contains(algorithm))
            .ok_or(ProxyRefusal::Algorithm)?;
        match crypto::verify(signature, message.as_bytes(), &self.decoding, algorithm) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(ProxyRefusal::Signature),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?}, [redacted])", self.algorithms)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Key {}

/// A public key, with the algorithms that it is for. Private keys and certificates are none, although
/// they have one.
fn public_key(pem: &str) -> Option<(DecodingKey, &'static [Algorithm])> {
    use Algorithm::{ES256, EdDSA, PS256, RS256};
    if !pem.contains("-----BEGIN PUBLIC KEY-----") {
        return None;
    }
    let pem = pem.as_bytes();
    if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
        return Some((key, &[RS256, PS256]));
    }
    if let Ok(key) = DecodingKey::from_ec_pem(pem) {
        // A point of another curve verifies nothing, which is better said at once.
        let is_p256 = key.try_get_as_bytes().is_ok_and(|point| point.len() == 65);
        return is_p256.then_some((key, &[ES256]));
    }
    let key = DecodingKey::from_ed_pem(pem).ok()?;
    Some((key, &[EdDSA]))
}
