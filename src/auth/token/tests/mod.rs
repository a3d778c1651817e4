//! Tokens of an issuer that stands on this machine, and what becomes of them.

mod asked;
mod bad_tokens;
mod issuer;
mod rotation;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm as Library, EncodingKey, crypto};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};
use serde_json::json;

use super::key_set::KeySet;
use super::*;
use crate::runtime::clock::Timestamp;

/// When the stories begin: a full second, as tokens write it.
const START: u64 = 1_800_000_000;
/// For whom the tokens should be.
const AUDIENCE: &str = "https://h.example/mcp";

/// A key to sign with, and how its issuer publishes it.
struct Signer {
    algorithm: Library,
    key: EncodingKey,
    jwk: Value,
}

impl Signer {
    fn generate(algorithm: Library, id: &str) -> Self {
        let kind = match algorithm {
            Library::ES256 => &PKCS_ECDSA_P256_SHA256,
            Library::EdDSA => &PKCS_ED25519,
            _ => &PKCS_RSA_SHA256,
        };
        let pair = KeyPair::generate_for(kind).unwrap();
        let pem = pair.serialize_pem();
        let key = match algorithm {
            Library::ES256 => EncodingKey::from_ec_pem(pem.as_bytes()),
            Library::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
            _ => EncodingKey::from_rsa_pem(pem.as_bytes()),
        };
        let key = key.unwrap();
        let mut jwk = match algorithm {
            Library::EdDSA => {
                let point = URL_SAFE_NO_PAD.encode(pair.public_key_raw());
                json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": point})
            }
            _ => json!(Jwk::from_encoding_key(&key, algorithm).unwrap()),
        };
        jwk["kid"] = json!(id);
        jwk["use"] = json!("sig");
        Self {
            algorithm,
            key,
            jwk,
        }
    }

    /// A token with this header and these claims, letter by letter, really signed.
    fn sign_text(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encoded(header), encoded(claims));
        let signature = crypto::sign(signed.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{signed}.{signature}")
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// The header of a good token.
    fn header(&self) -> Value {
        json!({"alg": self.jwk["alg"], "kid": self.jwk["kid"], "typ": "at+jwt"})
    }
}

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// The claims of a good token.
fn good(issuer: &str) -> Value {
    json!({
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": "alice",
        "client_id": "host",
        "scope": "mcp:tools mcp:admin",
        "iat": START,
        "exp": START + 300,
    })
}

/// `value` with some of its members replaced; those replaced by null are gone.
fn but(mut value: Value, members: Value) -> Value {
    for (name, member) in members.as_object().unwrap() {
        if member.is_null() {
            value.as_object_mut().unwrap().remove(name);
        } else {
            value[name] = member.clone();
        }
    }
    value
}

/// Keys of one of each kind. To make them takes long.
static ES256: LazyLock<Signer> = LazyLock::new(|| Signer::generate(Library::ES256, "e1"));
static EDDSA: LazyLock<Signer> = LazyLock::new(|| Signer::generate(Library::EdDSA, "d1"));
static RS256: LazyLock<Signer> = LazyLock::new(|| Signer::generate(Library::RS256, "r1"));
static PS256: LazyLock<Signer> = LazyLock::new(|| Signer::generate(Library::PS256, "p1"));
