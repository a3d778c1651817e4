//! API keys: `mcpk_<id>_<secret>_<checksum>`.
//!
//! The id is public: it finds the key's record, and stands in lists and logs. The secret is 32
//! random bytes, of which the record holds a MAC only; since they are random, a slow hash would add
//! nothing. The checksum (CRC-32) tells a mistyped or cut key from a wrong one without looking for
//! it, and lets scanners of leaked secrets be sure of what they found.
//!
//! ```text
//! mcpk_0a3KfTzQ81LmXw2R_<43 letters and digits>_<6 letters and digits>
//! ```

use std::fmt;

use zeroize::{Zeroize as _, Zeroizing};

use crate::runtime::seal::{self, ClusterKeys, Forged, Mac, TAG_LEN};

/// What every key begins with, for people and for scanners of leaked secrets.
pub const PREFIX: &str = "mcpk_";

const ID_LEN: usize = 16;
/// 32 bytes in base 62.
const SECRET_LEN: usize = 43;
/// 4 bytes in base 62.
const CHECKSUM_LEN: usize = 6;
const SECRET_BYTES: usize = 32;
/// Characters of a key; looked at before anything else of what claims to be one.
pub const LEN: usize = PREFIX.len() + ID_LEN + 1 + SECRET_LEN + 1 + CHECKSUM_LEN;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Names a key; no secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// An id that begins with two characters that say where its record is.
    #[must_use]
    pub fn in_page(page: u8) -> Self {
        let random: [u8; ID_LEN - 2] = seal::random();
        let random = random.iter().map(|byte| {
            // 256 is no multiple of 62: the first digits are a little likelier, which an id may be.
            char::from(DIGITS[usize::from(*byte) % DIGITS.len()])
        });
        Self(format!("{page:02x}").chars().chain(random).collect())
    }

    /// Reads an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_id = text.len() == ID_LEN
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && u8::from_str_radix(&text[..2], 16).is_ok();
        is_id.then(|| Self(text.to_owned()))
    }

    /// Where its record is.
    ///
    /// # Panics
    /// Never: it was checked when the id was made.
    #[must_use]
    pub fn page(&self) -> u8 {
        u8::from_str_radix(&self.0[..2], 16).expect("invariant: an id begins with its page")
    }

    /// The id as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What makes an API key out of its id. Never printed but once, when it is made.
pub struct ApiKey {
    id: KeyId,
    secret: Zeroizing<String>,
}

impl ApiKey {
    /// A fresh key.
    #[must_use]
    pub fn generate(page: u8) -> Self {
        let mut bytes: [u8; SECRET_BYTES] = seal::random();
        let secret = Zeroizing::new(base62(&bytes, SECRET_LEN));
        bytes.zeroize();
        Self {
            id: KeyId::in_page(page),
            secret,
        }
    }

    /// Reads what a client presents as a key. `None`: whatever it is, it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != LEN || !text.is_ascii() {
            return None;
        }
        let (body, checksum) = text.rsplit_once('_')?;
        let (id, secret) = body.strip_prefix(PREFIX)?.split_once('_')?;
        let is_secret =
            secret.len() == SECRET_LEN && secret.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_secret || checksum != checksum_of(body) {
            return None;
        }
        Some(Self {
            id: KeyId::parse(id)?,
            secret: Zeroizing::new(secret.to_owned()),
        })
    }

    /// A key of the same id that is not this one.
    #[cfg(test)]
    pub(crate) fn with_another_secret(&self) -> Self {
        Self {
            id: self.id.clone(),
            ..Self::generate(self.id.page())
        }
    }

    /// Which key it is.
    #[must_use]
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    /// The key as its owner gets it.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        let body = Zeroizing::new(format!("{PREFIX}{}_{}", self.id, *self.secret));
        Zeroizing::new(format!("{}_{}", *body, checksum_of(&body)))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}, [redacted])", self.id)
    }
}

/// What is mixed into the hash of every key, kept where the hashes are not: derived from the keys
/// of the cluster. When a cluster key is no longer listed, the API keys made under it are void.
#[derive(Clone, Debug)]
pub struct Pepper(Mac);

/// What is kept of a key's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KeyHash([u8; TAG_LEN]);

impl KeyHash {
    /// What no key has: somebody who presents a key where there are none is compared with it, so that
    /// this costs what a wrong secret costs.
    pub const DUMMY: Self = Self([0; TAG_LEN]);
}

impl Pepper {
    /// The pepper of this cluster.
    #[must_use]
    pub fn of(keys: &ClusterKeys) -> Self {
        Self(keys.mac("api-key-pepper"))
    }

    /// What to keep of a key.
    #[must_use]
    pub fn hash(&self, key: &ApiKey) -> KeyHash {
        KeyHash(self.0.tag(&[key.id.0.as_bytes(), key.secret.as_bytes()]))
    }

    /// Whether it is the key of which this was kept; takes the same time for every key.
    ///
    /// # Errors
    /// [`Forged`] when it is another.
    pub fn verify(&self, key: &ApiKey, hash: &KeyHash) -> Result<(), Forged> {
        #[cfg(test)]
        COMPARED.set(COMPARED.get() + 1);
        let parts = [key.id.0.as_bytes(), key.secret.as_bytes()];
        self.0.verify(&parts, &hash.0)
    }
}

#[cfg(test)]
thread_local! {
    /// Secrets that were compared on this thread.
    pub(crate) static COMPARED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

fn checksum_of(body: &str) -> String {
    base62(
        &crc32fast::hash(body.as_bytes()).to_be_bytes(),
        CHECKSUM_LEN,
    )
}

/// The number whose big-endian bytes these are, in so many digits.
fn base62(bytes: &[u8], len: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = vec![b'0'; len];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = rest << 8 | u32::from(*byte);
            *byte = u8::try_from(value / 62).expect("invariant: the rest is below 62");
            rest = value % 62;
        }
        *digit = DIGITS[rest as usize];
    }
    number.zeroize();
    String::from_utf8(digits).expect("invariant: all digits are ASCII")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_comes_back_from_its_text_and_matches_its_hash_alone() {
        let pepper = Pepper::of(&ClusterKeys::generate());
        let (key, other) = (ApiKey::generate(0xa7), ApiKey::generate(0xa7));
        let text = key.reveal();
        assert_eq!(text.len(), LEN);
        let again = ApiKey::parse(&text).unwrap();
        assert_eq!((again.id(), again.id().page()), (key.id(), 0xa7));
        let hash = pepper.hash(&key);
        assert!(pepper.verify(&again, &hash).is_ok());
        assert!(pepper.verify(&other, &hash).is_err());
        assert!(pepper.verify(&again, &KeyHash::DUMMY).is_err());
        let elsewhere = Pepper::of(&ClusterKeys::generate());
        assert!(elsewhere.verify(&again, &hash).is_err());
    }

    #[test]
    fn nothing_prints_a_secret() {
        let key = ApiKey::generate(1);
        let printed = format!("{key:?}");
        assert!(printed.contains(key.id().as_str()));
        assert!(!printed.contains(key.secret.as_str()));
    }

    #[test]
    fn numbers_in_base_62() {
        assert_eq!(base62(&[0, 0, 0, 61], 2), "0z");
        assert_eq!(base62(&[0, 0, 0, 62], 2), "10");
        assert_eq!(base62(&u32::MAX.to_be_bytes(), CHECKSUM_LEN), "4gfFC3");
        assert_eq!(base62(&[0xff; 32], SECRET_LEN).len(), SECRET_LEN);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        #[test]
        fn no_text_is_read_as_a_key(text in ".{0,12}") {
            prop_assert!(ApiKey::parse(&text).is_none());
            let padded = format!("{PREFIX}{text:_<width$}", width = LEN - PREFIX.len());
            prop_assert!(ApiKey::parse(&padded).is_none());
        }

        #[test]
        fn a_key_with_one_character_changed_is_none(at in 0..LEN, by in 1_u8..=127) {
            let text = "mcpk_03tJ0nQx7cT4uZ9e_0wB3qzN2sLrXy8KdPfV5mHgA1cEjU6tYo9iRbWzQ4kM_PLACE";
            let text = format!("{}_{}", &text[..LEN - 7], checksum_of(&text[..LEN - 7]));
            prop_assert!(ApiKey::parse(&text).is_some());
            let mut bytes = text.clone().into_bytes();
            bytes[at] = (bytes[at] + by) % 128;
            let changed = String::from_utf8(bytes).unwrap();
            prop_assert!(changed == text || ApiKey::parse(&changed).is_none());
        }
    }
}
