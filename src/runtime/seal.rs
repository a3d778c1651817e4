//! Keys, and the two things made with them: MACs and seals.
//!
//! [`ClusterKeys`] holds one or more 32-byte secrets. The first signs and seals; all of them
//! verify and open, so that a key can be rotated while old ids are still out there. Every use has
//! a label, and HKDF-SHA256 derives an independent key for each, so nothing made for one purpose
//! is ever valid for another.
//!
//! A [`Mac`] is a truncated HMAC-SHA256: proof that we issued something readable. A [`Seal`] is
//! AES-256-GCM-SIV with a random nonce: contents nobody else can read or change. GCM-SIV because
//! random nonces are then harmless at any volume. A [`Fingerprint`] names a key without telling it.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Bytes of a cluster key.
pub const CLUSTER_KEY_LEN: usize = 32;
/// Bytes of a [`Mac`] tag: 128 bits, the strength of the random half of an id.
pub const TAG_LEN: usize = 16;
/// Bytes of a [`Fingerprint`]: enough to tell the few keys of one store's nodes apart.
pub const FINGERPRINT_LEN: usize = 8;

/// What was presented was not made with any of our keys, or for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not issued by this cluster for this use")]
pub struct Forged;

/// Why a configured cluster key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 64 hexadecimal digits.
    #[error("a cluster key is 32 random bytes written as 64 hexadecimal digits")]
    NotHex,
    /// Obviously not random.
    #[error("this cluster key is not random (one byte repeated)")]
    Weak,
    /// An empty list.
    #[error("at least one cluster key is needed")]
    None,
}

/// The secrets all nodes of a cluster share. Never printed.
#[derive(Clone)]
pub struct ClusterKeys(Vec<[u8; CLUSTER_KEY_LEN]>);

impl std::fmt::Debug for ClusterKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClusterKeys({} keys, [redacted])", self.0.len())
    }
}

impl ClusterKeys {
    /// Reads keys written in hexadecimal; the first one signs.
    ///
    /// # Errors
    /// When the list is empty or an entry is not a usable key.
    pub fn from_hex<S: AsRef<str>>(keys: &[S]) -> Result<Self, KeyError> {
        if keys.is_empty() {
            return Err(KeyError::None);
        }
        keys.iter()
            .map(|key| decode_hex(key.as_ref().trim()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// A fresh random key.
    #[must_use]
    pub fn generate() -> Self {
        Self(vec![random()])
    }

    /// The signing key in hexadecimal, for the one file that keeps it.
    #[must_use]
    pub fn signing_key_hex(&self) -> String {
        self.0[0].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The MAC for one use.
    #[must_use]
    pub fn mac(&self, label: &str) -> Mac {
        Mac(self
            .derive(label)
            .map(|key| hmac::Key::new(hmac::HMAC_SHA256, &key))
            .collect())
    }

    /// The seal for one use.
    #[must_use]
    pub fn seal(&self, label: &str) -> Seal {
        Seal(
            self.derive(label)
                .map(|key| {
                    let key = UnboundKey::new(&AES_256_GCM_SIV, &key)
                        .expect("invariant: an AES-256 key has 32 bytes");
                    LessSafeKey::new(key)
                })
                .collect(),
        )
    }

    /// Raw keys for one use, in the order of the cluster's, where neither a MAC nor a seal fits: to
    /// derive more from, or to sign with.
    #[must_use]
    pub fn secrets(&self, label: &str) -> Vec<[u8; 32]> {
        self.derive(label).collect()
    }

    /// What the keys are called among nodes and in logs; the first is that of the key that signs.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        let cut = |key: [u8; 32]| {
            let mut name = [0; FINGERPRINT_LEN];
            name.copy_from_slice(&key[..FINGERPRINT_LEN]);
            Fingerprint(name)
        };
        self.derive("cluster key fingerprint").map(cut).collect()
    }

    fn derive(&self, label: &str) -> impl Iterator<Item = [u8; 32]> {
        let label = label.as_bytes().to_vec();
        self.0.iter().map(move |secret| {
            let mut key = [0; 32];
            Salt::new(HKDF_SHA256, b"switchboard")
                .extract(secret)
                .expand(&[&label], HKDF_SHA256)
                .and_then(|okm| okm.fill(&mut key))
                .expect("invariant: HKDF-SHA256 can give 32 bytes");
            key
        })
    }
}

/// Names a cluster key: derived from it as everything else is, so nothing of the key can be learned
/// from it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; FINGERPRINT_LEN]);

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Proof of origin for something that may be read by anyone.
#[derive(Clone, Debug)]
pub struct Mac(Vec<hmac::Key>);

impl Mac {
    /// The tag over `parts`; each part's length is covered too, so parts cannot shift.
    #[must_use]
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; TAG_LEN] {
        tag_with(&self.0[0], parts)
    }

    /// Whether `tag` was made over `parts` with any of our keys; constant time per key.
    ///
    /// # Errors
    /// [`Forged`] when it was not.
    pub fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> Result<(), Forged> {
        let matches = self.0.iter().any(|key| {
            aws_lc_rs::constant_time::verify_slices_are_equal(&tag_with(key, parts), tag).is_ok()
        });
        if matches { Ok(()) } else { Err(Forged) }
    }
}

fn tag_with(key: &hmac::Key, parts: &[&[u8]]) -> [u8; TAG_LEN] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut tag = [0; TAG_LEN];
    tag.copy_from_slice(&context.sign().as_ref()[..TAG_LEN]);
    tag
}

/// Contents that travel through others unread and unchanged.
#[derive(Debug)]
pub struct Seal(Vec<LessSafeKey>);

impl Seal {
    /// Seals `contents`, bound to `context`, as URL-safe text.
    #[must_use]
    pub fn seal(&self, context: &[u8], contents: &[u8]) -> String {
        let nonce: [u8; NONCE_LEN] = random();
        let mut sealed = contents.to_vec();
        self.0[0]
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context),
                &mut sealed,
            )
            .expect("invariant: contents are far below the AEAD's length limit");
        let mut token = nonce.to_vec();
        token.append(&mut sealed);
        URL_SAFE_NO_PAD.encode(token)
    }

    /// Opens what [`Seal::seal`] made with the same `context`.
    ///
    /// # Errors
    /// [`Forged`] for anything else, however it came about.
    pub fn open(&self, context: &[u8], token: &str) -> Result<Vec<u8>, Forged> {
        let token = URL_SAFE_NO_PAD.decode(token).map_err(|_| Forged)?;
        if token.len() <= NONCE_LEN {
            return Err(Forged);
        }
        let (nonce, sealed) = token.split_at(NONCE_LEN);
        for key in &self.0 {
            let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Forged)?;
            let mut contents = sealed.to_vec();
            if let Ok(opened) = key.open_in_place(nonce, Aad::from(context), &mut contents) {
                let len = opened.len();
                contents.truncate(len);
                return Ok(contents);
            }
        }
        Err(Forged)
    }
}

/// Bytes from the system's secure generator.
///
/// # Panics
/// When the operating system cannot give random bytes; nothing here is safe without them.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// SHA-256 of `parts`, each preceded by its length.
#[must_use]
pub fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

fn decode_hex(text: &str) -> Result<[u8; CLUSTER_KEY_LEN], KeyError> {
    if text.len() != 2 * CLUSTER_KEY_LEN || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(KeyError::NotHex);
    }
    let mut key = [0; CLUSTER_KEY_LEN];
    for (byte, pair) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| KeyError::NotHex)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| KeyError::NotHex)?;
    }
    if key.iter().all(|byte| *byte == key[0]) {
        return Err(KeyError::Weak);
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_opens_only_with_its_context_and_label() {
        let keys = ClusterKeys::generate();
        let token = keys.seal("a").seal(b"for alice", b"secret");
        assert_eq!(
            keys.seal("a").open(b"for alice", &token).unwrap(),
            b"secret"
        );
        assert_eq!(keys.seal("a").open(b"for bob", &token), Err(Forged));
        assert_eq!(keys.seal("b").open(b"for alice", &token), Err(Forged));
    }

    #[test]
    fn no_single_changed_character_survives() {
        let seal = ClusterKeys::generate().seal("a");
        let token = seal.seal(b"", b"secret");
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            // Base64 without padding has one spelling per value only, so any change is caught.
            assert_eq!(seal.open(b"", &changed), Err(Forged), "at {at}");
        }
    }

    #[test]
    fn a_fingerprint_names_its_key_wherever_that_stands() {
        let (one, other) = ("11".repeat(31) + "12", "21".repeat(31) + "22");
        let named = |keys: &[&String]| ClusterKeys::from_hex(keys).unwrap().fingerprints();
        let (first, second) = (named(&[&one])[0], named(&[&other])[0]);
        assert_ne!(first, second);
        assert_eq!(named(&[&other, &one]), [second, first]);
        let text = first.to_string();
        assert_eq!(text.len(), 2 * FINGERPRINT_LEN);
        assert!(!one.contains(&text), "it tells nothing of the key");
    }

    #[test]
    fn rotation_keeps_old_ids_valid() {
        let old = "11".repeat(31) + "12";
        let new = "21".repeat(31) + "22";
        let before = ClusterKeys::from_hex(&[&old]).unwrap();
        let during = ClusterKeys::from_hex(&[&new, &old]).unwrap();
        let tag = before.mac("id").tag(&[b"x"]);
        assert_eq!(during.mac("id").verify(&[b"x"], &tag), Ok(()));
        let tag = during.mac("id").tag(&[b"x"]);
        assert_eq!(before.mac("id").verify(&[b"x"], &tag), Err(Forged));
    }

    #[test]
    fn parts_cannot_shift_in_a_mac() {
        let mac = ClusterKeys::generate().mac("id");
        assert_ne!(mac.tag(&[b"ab", b"c"]), mac.tag(&[b"a", b"bc"]));
    }

    #[test]
    fn unusable_keys_are_refused() {
        assert_eq!(
            ClusterKeys::from_hex::<&str>(&[]).unwrap_err(),
            KeyError::None
        );
        assert_eq!(
            ClusterKeys::from_hex(&["abc"]).unwrap_err(),
            KeyError::NotHex
        );
        assert_eq!(
            ClusterKeys::from_hex(&["00".repeat(32)]).unwrap_err(),
            KeyError::Weak
        );
    }
}
