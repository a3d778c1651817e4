//! Keys and hashes of the chain that joins the records of a segment.
//!
//! `h[n] = HMAC-SHA-256(k, h[n-1] ‖ canonical record)`. The key of a segment is derived from the
//! cluster's by tenant, class, first record and a random salt, all of which stand in its first line;
//! `h[-1]` is the last hash of the segment before. What a record seals is outside of the chain, and
//! what it commits to inside, so that keys can be destroyed without breaking it.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::runtime::seal::ClusterKeys;

/// Bytes of a hash.
pub(super) const HASH_LEN: usize = 32;
/// Before the first record of all.
pub(super) const START: Hash = Hash([0; HASH_LEN]);

/// A place in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash(pub(super) [u8; HASH_LEN]);

impl Hash {
    pub(super) fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    pub(super) fn push(&self, out: &mut String) {
        URL_SAFE_NO_PAD.encode_string(self.0, out);
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

/// Everything that is derived from the cluster's keys; the first makes, all of them check.
pub(super) struct Keys(Vec<Derived>);

struct Derived {
    name: String,
    segments: hmac::Key,
    anchors: hmac::Key,
    subjects: hmac::Key,
    sessions: hmac::Key,
    signing: Ed25519KeyPair,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({} keys, [redacted])", self.0.len())
    }
}

impl Keys {
    pub(super) fn of(keys: &ClusterKeys) -> Self {
        let of = |label| {
            let secrets = keys.secrets(label).into_iter();
            secrets.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, &secret))
        };
        let names = keys.fingerprints().into_iter().map(|name| name.to_string());
        let signing = keys.secrets("audit checkpoint").into_iter().map(|seed| {
            Ed25519KeyPair::from_seed_unchecked(&seed).expect("invariant: any 32 bytes are a seed")
        });
        let all = names
            .zip(of("audit segment"))
            .zip(of("audit anchor"))
            .zip(of("audit subject"))
            .zip(of("audit session"))
            .zip(signing);
        let derived = all.map(
            |(((((name, segments), anchors), subjects), sessions), signing)| Derived {
                name,
                segments,
                anchors,
                subjects,
                sessions,
                signing,
            },
        );
        Self(derived.collect())
    }

    fn first(&self) -> &Derived {
        self.0.first().expect("invariant: there is a cluster key")
    }

    /// What the key is called that makes new segments.
    pub(super) fn name(&self) -> &str {
        &self.first().name
    }

    /// The key of a segment, by the name of the cluster's; nothing where nobody has that one.
    pub(super) fn segment(&self, name: &str, parts: &[&[u8]]) -> Option<SegmentKey> {
        let derived = self.0.iter().find(|derived| derived.name == name)?;
        let key = tag(&derived.segments, parts);
        Some(SegmentKey(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// Proof that we wrote an anchor.
    pub(super) fn anchor(&self, text: &str) -> Hash {
        Hash(tag(&self.first().anchors, &[text.as_bytes()]))
    }

    pub(super) fn is_our_anchor(&self, text: &str, mac: &Hash) -> bool {
        self.0.iter().any(|derived| {
            let tag = tag(&derived.anchors, &[text.as_bytes()]);
            aws_lc_rs::constant_time::verify_slices_are_equal(&tag, &mac.0).is_ok()
        })
    }

    /// Names under which a subject's key may be kept, the one for new keys first.
    pub(super) fn subject_names(&self, tenant: &str, user: &str) -> Vec<String> {
        let parts = [tenant.as_bytes(), user.as_bytes()];
        let names = self
            .0
            .iter()
            .map(|derived| hex(&tag(&derived.subjects, &parts)[..16]));
        names.collect()
    }

    /// What a session is called in records.
    pub(super) fn session(&self, id: &str) -> String {
        hex(&tag(&self.first().sessions, &[id.as_bytes()])[..8])
    }

    /// Signs, and tells the public key.
    pub(super) fn sign(&self, text: &str) -> (String, String) {
        let signing = &self.first().signing;
        let signature = URL_SAFE_NO_PAD.encode(signing.sign(text.as_bytes()).as_ref());
        (
            signature,
            URL_SAFE_NO_PAD.encode(signing.public_key().as_ref()),
        )
    }

    /// Whether one of our keys signed.
    pub(super) fn is_our_signature(&self, text: &str, signature: &str) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else {
            return false;
        };
        self.0.iter().any(|derived| {
            let public = UnparsedPublicKey::new(&ED25519, derived.signing.public_key().as_ref());
            public.verify(text.as_bytes(), &signature).is_ok()
        })
    }
}

/// The key of one segment.
#[derive(Clone, Debug)]
pub(super) struct SegmentKey(hmac::Key);

impl SegmentKey {
    /// The hash after one more record.
    pub(super) fn link(&self, before: &Hash, canonical: &[u8]) -> Hash {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&before.0);
        context.update(canonical);
        let mut hash = [0; HASH_LEN];
        hash.copy_from_slice(context.sign().as_ref());
        Hash(hash)
    }
}

/// Each part's length is covered too, so parts cannot shift.
pub(super) fn tag(key: &hmac::Key, parts: &[&[u8]]) -> [u8; HASH_LEN] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut tag = [0; HASH_LEN];
    tag.copy_from_slice(context.sign().as_ref());
    tag
}

/// In two digits a byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    push_hex(&mut text, bytes);
    text
}

/// Appends two digits a byte.
pub(super) fn push_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from(DIGITS[usize::from(digit)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segments_key_is_its_own() {
        let keys = Keys::of(&ClusterKeys::generate());
        let key = |parts: &[&[u8]]| keys.segment(keys.name(), parts).unwrap().link(&START, b"x");
        assert_eq!(key(&[b"acme", b"1"]), key(&[b"acme", b"1"]));
        assert_ne!(key(&[b"acme", b"1"]), key(&[b"acme", b"2"]));
        assert_ne!(key(&[b"acme", b"1"]), key(&[b"acme1", b""]));
        assert!(keys.segment("0000000000000000", &[]).is_none());
    }

    #[test]
    fn signatures_and_anchors_of_others_are_not_ours() {
        let (ours, others) = (
            Keys::of(&ClusterKeys::generate()),
            Keys::of(&ClusterKeys::generate()),
        );
        let (signature, _) = ours.sign("text");
        assert!(ours.is_our_signature("text", &signature));
        assert!(!ours.is_our_signature("Text", &signature));
        assert!(!others.is_our_signature("text", &signature));
        assert!(!ours.is_our_signature("text", "?"));
        assert!(ours.is_our_anchor("a", &ours.anchor("a")));
        assert!(!ours.is_our_anchor("b", &ours.anchor("a")));
        assert!(!others.is_our_anchor("a", &ours.anchor("a")));
    }
}
