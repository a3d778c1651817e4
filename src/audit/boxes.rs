//! What is sealed about a person: who they are, and what went in and came out.
//!
//! A [`Subject`] holds a person's key, from which one for each kind of box is derived; that of payloads
//! takes the day's key, too. A box is encrypted, and a record commits to what is in it.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::chain::tag;
use super::entry::Who;
use super::line::Boxes;
use crate::runtime::seal::random;

/// Bytes that make a commitment unguessable.
const SALT_LEN: usize = 16;
pub(super) const KEY_LEN: usize = 32;
/// Bytes drawn at a time: drawing costs more than what it is for.
const POOL_LEN: usize = 4_096;

pub(super) type Secret = Zeroizing<[u8; KEY_LEN]>;

/// What a box is for; one cannot be opened as the other.
const WHO: &[u8] = b"who";
const PAYLOAD: &[u8] = b"payload";

/// A sealed text and what commits to it.
#[derive(Debug)]
struct Sealed {
    text: String,
    commitment: String,
}

/// What is sealed of one record.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    /// Whom it is about, as records call them.
    pub(super) reference: Option<Arc<str>>,
    who: Option<Arc<Sealed>>,
    payload: Option<(u64, Sealed)>,
}

impl Envelope {
    /// An envelope with nothing in it.
    pub(super) fn about(reference: Arc<str>) -> Self {
        Self {
            reference: Some(reference),
            ..Self::default()
        }
    }

    /// What is in it.
    pub(super) fn boxes(&self) -> Boxes<'_> {
        Boxes {
            who: self.who.as_ref().map(|sealed| &*sealed.text),
            payload: self.payload.as_ref().map(|(_, sealed)| &*sealed.text),
        }
    }

    /// Appends what a record says of it in clear, as members.
    pub(super) fn push(&self, out: &mut String) {
        if let Some(reference) = &self.reference {
            push(out, &[",\"subject\":\"", reference, "\""]);
        }
        if let Some(sealed) = &self.who {
            push(out, &[",\"who\":\"", &sealed.commitment, "\""]);
        }
        if let Some((day, sealed)) = &self.payload {
            push(out, &[",\"payload\":\"", &sealed.commitment, "\""]);
            let mut digits = itoa::Buffer::new();
            push(out, &[",\"payload_day\":", digits.format(*day)]);
        }
    }
}

fn push(out: &mut String, pieces: &[&str]) {
    for piece in pieces {
        out.push_str(piece);
    }
}

/// The keys of one person.
pub(super) struct Subject {
    /// What records call them.
    pub(super) reference: Arc<str>,
    secret: Secret,
    who: LessSafeKey,
    /// The key of a day's payloads.
    payload: Option<(u64, LessSafeKey)>,
    /// What was sealed last of who they are: most of their records say the same.
    last_who: Option<(Who, Arc<Sealed>)>,
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subject({}, [redacted])", self.reference)
    }
}

impl Subject {
    pub(super) fn new(reference: Arc<str>, secret: Secret) -> Self {
        let who = derived(&secret, b"who");
        Self {
            reference,
            secret,
            who,
            payload: None,
            last_who: None,
        }
    }

    /// Whether payloads of that day can be sealed.
    pub(super) fn is_ready_for(&self, day: u64) -> bool {
        self.payload.as_ref().is_some_and(|(of, _)| *of == day)
    }

    /// Makes it ready for payloads of a day, with the day's key.
    pub(super) fn make_ready(&mut self, day: u64, secret: &Secret) {
        self.payload = Some((day, self.payload_key(secret)));
    }

    /// Forgets what was derived from a day's key.
    pub(super) fn forget_day(&mut self, day: u64) {
        self.payload.take_if(|(of, _)| *of == day);
    }

    fn payload_key(&self, day: &Secret) -> LessSafeKey {
        derived(&self.secret, &**day)
    }

    /// Opens what says who somebody is.
    pub(super) fn open_who(&self, sealed: &str) -> Opened {
        open(&self.who, WHO, sealed)
    }

    /// Opens a payload, with the key of its day.
    pub(super) fn open_payload(&self, day: &Secret, sealed: &str) -> Opened {
        open(&self.payload_key(day), PAYLOAD, sealed)
    }

    /// Seals what is known of them, and a payload of a day it is ready for.
    pub(super) fn seal(
        &mut self,
        who: Option<&Who>,
        payload: Option<(u64, &str)>,
        pool: &mut Pool,
    ) -> Envelope {
        Envelope {
            reference: Some(self.reference.clone()),
            who: who.map(|who| self.seal_who(who, pool)),
            payload: payload.map(|(day, text)| {
                let key = self.payload.as_ref().filter(|(of, _)| *of == day);
                let (_, key) = key.expect("invariant: the day's key was prepared");
                (day, seal(key, PAYLOAD, text, pool))
            }),
        }
    }

    fn seal_who(&mut self, who: &Who, pool: &mut Pool) -> Arc<Sealed> {
        if let Some((last, sealed)) = &self.last_who
            && last == who
        {
            return sealed.clone();
        }
        let sealed = Arc::new(seal(&self.who, WHO, &who.text(), pool));
        self.last_who = Some((who.clone(), sealed.clone()));
        sealed
    }
}

fn seal(key: &LessSafeKey, context: &[u8], text: &str, pool: &mut Pool) -> Sealed {
    let salt: [u8; SALT_LEN] = pool.draw();
    let nonce: [u8; NONCE_LEN] = pool.draw();
    let commitment = commitment(&salt, text.as_bytes());
    let mut sealed = Vec::with_capacity(NONCE_LEN + SALT_LEN + text.len() + SALT_LEN);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&salt);
    sealed.extend_from_slice(text.as_bytes());
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key
        .seal_in_place_separate_tag(nonce, Aad::from(context), &mut sealed[NONCE_LEN..])
        .expect("invariant: contents are far below the AEAD's length limit");
    sealed.extend_from_slice(tag.as_ref());
    Sealed {
        text: URL_SAFE_NO_PAD.encode(sealed),
        commitment,
    }
}

/// What was sealed, and what commits to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// This text.
    Text { text: String, commitment: String },
    /// It is not what was sealed under this key.
    Changed,
}

fn open(key: &LessSafeKey, context: &[u8], sealed: &str) -> Opened {
    let opened = (|| {
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, contents) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let contents = key
            .open_in_place(nonce, Aad::from(context), contents)
            .ok()?;
        let (salt, text) = contents.split_at_checked(SALT_LEN)?;
        let commitment = commitment(salt, text);
        let text = std::str::from_utf8(text).ok()?.to_owned();
        Some(Opened::Text { text, commitment })
    })();
    opened.unwrap_or(Opened::Changed)
}

fn commitment(salt: &[u8], text: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(salt);
    context.update(text);
    URL_SAFE_NO_PAD.encode(context.finish().as_ref())
}

fn derived(secret: &Secret, purpose: &[u8]) -> LessSafeKey {
    let mac = hmac::Key::new(hmac::HMAC_SHA256, &**secret);
    let key = Zeroizing::new(tag(&mac, &[purpose]));
    let key =
        UnboundKey::new(&AES_256_GCM_SIV, &*key).expect("invariant: an AES-256 key has 32 bytes");
    LessSafeKey::new(key)
}

/// Random bytes, drawn many at a time.
#[derive(Default)]
pub(super) struct Pool {
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pool")
    }
}

impl Pool {
    fn draw<const N: usize>(&mut self) -> [u8; N] {
        if self.bytes.len() < N {
            self.bytes = random::<POOL_LEN>().to_vec();
        }
        let at = self.bytes.len() - N;
        let mut drawn = [0; N];
        drawn.copy_from_slice(&self.bytes[at..]);
        self.bytes.truncate(at);
        drawn
    }
}
