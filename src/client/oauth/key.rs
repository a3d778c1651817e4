//! A private key, with which a client signs who it is.
//!
//! Spec: RFC 7523 section 2.2; OpenID Connect Core 1.0 section 9 (`private_key_jwt`).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;

use crate::runtime::clock::Timestamp;
use crate::runtime::seal;
use crate::runtime::secret::Secret;

/// How long an assertion is good: as long as a request and a clock that is a little wrong need.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// A private key that can sign.
#[derive(Clone, Debug, PartialEq)]
pub struct SigningKey {
    pem: Secret,
    algorithm: Algorithm,
    id: Option<String>,
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no private key in PEM (PKCS#8): P-256, P-384, Ed25519 or RSA")]
pub struct NoKey;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
    jti: String,
}

impl SigningKey {
    /// The key in a PEM file, by the id that the other side knows it by.
    ///
    /// # Errors
    /// [`NoKey`].
    pub fn from_pem(pem: Secret, id: Option<String>) -> Result<Self, NoKey> {
        const ALL: [Algorithm; 4] = [
            Algorithm::ES256,
            Algorithm::ES384,
            Algorithm::EdDSA,
            Algorithm::RS256,
        ];
        let signs = |algorithm| {
            let key = Self {
                pem: pem.clone(),
                algorithm,
                id: id.clone(),
            };
            // A curve shows only when it is used.
            key.assert("", "", Timestamp(0)).map(|_| key).ok()
        };
        ALL.into_iter().find_map(signs).ok_or(NoKey)
    }

    /// A statement, signed with it, that this client is talking to `audience` now.
    ///
    /// # Errors
    /// [`NoKey`].
    pub(super) fn assert(
        &self,
        client: &str,
        audience: &str,
        now: Timestamp,
    ) -> Result<String, NoKey> {
        let mut header = Header::new(self.algorithm);
        header.kid.clone_from(&self.id);
        let claims = Claims {
            iss: client,
            sub: client,
            aud: audience,
            iat: now.0 / 1_000,
            exp: now.after(GOOD_FOR).0 / 1_000,
            jti: URL_SAFE_NO_PAD.encode(seal::random::<16>()),
        };
        encode(&header, &claims, &self.key()?).map_err(|_| NoKey)
    }

    fn key(&self) -> Result<EncodingKey, NoKey> {
        let pem = self.pem.expose().as_bytes();
        let key = match self.algorithm {
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem),
            _rsa => EncodingKey::from_rsa_pem(pem),
        };
        key.map_err(|_| NoKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(algorithm: &'static rcgen::SignatureAlgorithm) -> Secret {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        Secret::new(key.serialize_pem())
    }

    #[test]
    fn a_key_says_itself_how_it_signs() {
        for (algorithm, expected) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::ES256),
            (&rcgen::PKCS_ECDSA_P384_SHA384, Algorithm::ES384),
            (&rcgen::PKCS_ED25519, Algorithm::EdDSA),
        ] {
            let key = SigningKey::from_pem(pem(algorithm), None).unwrap();
            assert_eq!(key.algorithm, expected);
        }
        for wrong in [
            "",
            "sesame",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        ] {
            let key = SigningKey::from_pem(Secret::new(wrong.to_owned()), None);
            assert_eq!(key, Err(NoKey), "{wrong:?}");
        }
    }

    #[test]
    fn an_assertion_says_who_to_whom_and_until_when() {
        let pem = pem(&rcgen::PKCS_ECDSA_P256_SHA256);
        let key = SigningKey::from_pem(pem, Some("k1".to_owned())).unwrap();
        let assertion = key.assert("us", "https://as", Timestamp(5_000)).unwrap();
        let parts = assertion.split('.').collect::<Vec<_>>();
        let read = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        let (header, claims) = (read(parts[0]), read(parts[1]));
        assert_eq!(
            (&header["alg"], &header["kid"]),
            (&"ES256".into(), &"k1".into())
        );
        assert_eq!(
            (&claims["iss"], &claims["sub"]),
            (&"us".into(), &"us".into())
        );
        assert_eq!(
            (&claims["aud"], &claims["exp"]),
            (&"https://as".into(), &65.into())
        );
        let again = key.assert("us", "https://as", Timestamp(5_000)).unwrap();
        assert_ne!(read(again.split('.').nth(1).unwrap())["jti"], claims["jti"]);
    }
}
