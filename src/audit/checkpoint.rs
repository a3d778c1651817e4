//! What proves segments whole: checkpoints of those that ended, anchors of those that have not.
//!
//! A checkpoint says what an ended segment holds and names the one before; it is signed with Ed25519.
//! An anchor says how far an open segment goes at least. It is written after each group of records
//! became durable, so what a crash leaves behind is never less than what the anchor says; less was
//! cut off by somebody. Both lie in another place than the records, and what names the latest segment
//! of each trail lies in a third: the last ones cannot go unseen with their checkpoints.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::chain::{Hash, Keys};
use super::disk;
use super::layout::{self, Trail};

const FORMAT: u64 = 1;
/// Bytes of an anchor's file, which is overwritten in place.
const ANCHOR_LEN: usize = 512;

/// What an ended segment holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    pub(super) v: u64,
    pub(super) tenant: String,
    pub(super) trail: String,
    /// Its first record; also what it is called.
    pub(super) first: u64,
    /// Its last record; one before the first if there is none.
    pub(super) last: u64,
    pub(super) count: u64,
    /// The last chain value.
    pub(super) head: String,
    /// When its last record was written, in milliseconds since 1970.
    pub(super) ended_ms: u64,
    /// The checkpoint before.
    pub(super) previous: Option<Previous>,
    /// Calls that had begun and not ended, each with whom it is about.
    pub(super) running: Vec<(String, Option<String>)>,
    /// What was found wrong with the segment when a process had to end it for another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) wrong: Option<String>,
    /// The public key.
    pub(super) public: String,
}

/// Names the checkpoint before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Previous {
    pub(super) first: u64,
    pub(super) signature: String,
}

/// That a segment was deleted, and why. Its checkpoint stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gone {
    pub(super) v: u64,
    pub(super) tenant: String,
    pub(super) trail: String,
    pub(super) first: u64,
    pub(super) at: String,
    pub(super) because: String,
}

/// The latest segment of a trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Latest {
    pub(super) v: u64,
    pub(super) tenant: String,
    pub(super) trail: String,
    pub(super) first: u64,
}

/// How far an open segment goes at least.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Anchor {
    pub(super) v: u64,
    pub(super) tenant: String,
    pub(super) trail: String,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) head: String,
}

#[derive(Serialize, Deserialize)]
struct Signed<'a> {
    #[serde(borrow)]
    says: &'a RawValue,
    signature: String,
}

/// What a file is, as far as it can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found<T> {
    /// Ours.
    Ours(T),
    /// There is no such file.
    Nothing,
    /// Not signed by us, or damaged.
    NotOurs,
}

impl<T> Found<T> {
    pub(super) fn ours(self) -> Option<T> {
        match self {
            Self::Ours(value) => Some(value),
            Self::Nothing | Self::NotOurs => None,
        }
    }
}

/// A checkpoint with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignedCheckpoint {
    pub(super) says: Checkpoint,
    pub(super) signature: String,
}

impl Checkpoint {
    pub(super) const FORMAT: u64 = FORMAT;

    /// Signs it; the text is the file's.
    pub(super) fn sign(mut self, keys: &Keys) -> (SignedCheckpoint, String) {
        self.public = keys.sign("").1;
        let (text, signature) = sign(&self, keys);
        let signed = SignedCheckpoint {
            says: self,
            signature,
        };
        (signed, text)
    }

    pub(super) fn read(path: &Path, keys: &Keys) -> io::Result<Found<SignedCheckpoint>> {
        read(path, keys, |says, signature| SignedCheckpoint {
            says,
            signature,
        })
    }
}

impl Gone {
    pub(super) const FORMAT: u64 = FORMAT;

    pub(super) fn sign(&self, keys: &Keys) -> String {
        sign(self, keys).0
    }

    pub(super) fn read(path: &Path, keys: &Keys) -> io::Result<Found<Self>> {
        read(path, keys, |says, _| says)
    }
}

impl Latest {
    pub(super) const FORMAT: u64 = FORMAT;

    /// Whether it was written for that trail of the tenant in `directory`.
    pub(super) fn is_of(&self, directory: &str, trail: Trail) -> bool {
        layout::tenant_directory(&self.tenant) == directory && self.trail == trail.as_str()
    }

    pub(super) fn sign(&self, keys: &Keys) -> String {
        sign(self, keys).0
    }

    pub(super) fn read(path: &Path, keys: &Keys) -> io::Result<Found<Self>> {
        read(path, keys, |says, _| says)
    }
}

impl Anchor {
    pub(super) const FORMAT: u64 = FORMAT;

    /// The file's contents, always of one length.
    pub(super) fn write(&self, keys: &Keys) -> Vec<u8> {
        let text = serde_json::to_string(self).expect("invariant: our values serialize");
        let mac = keys.anchor(&text).text();
        let mut bytes = format!("{mac} {text}").into_bytes();
        let length = ANCHOR_LEN.max(bytes.len());
        bytes.resize(length, b' ');
        bytes
    }

    pub(super) fn read(path: &Path, keys: &Keys) -> io::Result<Found<Self>> {
        let Some(bytes) = disk::read(path)? else {
            return Ok(Found::Nothing);
        };
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let read = text.trim_end().split_once(' ').and_then(|(mac, text)| {
            let mac = Hash::parse(mac)?;
            let anchor: Self = serde_json::from_str(text).ok()?;
            (keys.is_our_anchor(text, &mac) && anchor.v == FORMAT).then_some(anchor)
        });
        Ok(read.map_or(Found::NotOurs, Found::Ours))
    }
}

fn sign<T: Serialize>(value: &T, keys: &Keys) -> (String, String) {
    let says = serde_json::value::to_raw_value(value).expect("invariant: our values serialize");
    let (signature, _) = keys.sign(says.get());
    let signed = Signed {
        says: &says,
        signature: signature.clone(),
    };
    let mut text = serde_json::to_string(&signed).expect("invariant: our values serialize");
    text.push('\n');
    (text, signature)
}

fn read<T, U>(path: &Path, keys: &Keys, whole: impl FnOnce(T, String) -> U) -> io::Result<Found<U>>
where
    T: serde::de::DeserializeOwned,
{
    let Some(bytes) = disk::read(path)? else {
        return Ok(Found::Nothing);
    };
    let read = serde_json::from_slice::<Signed<'_>>(&bytes)
        .ok()
        .and_then(|signed| {
            let is_ours = keys.is_our_signature(signed.says.get(), &signed.signature);
            let says = serde_json::from_str(signed.says.get()).ok();
            Some(whole(says.filter(|_| is_ours)?, signed.signature))
        });
    Ok(read.map_or(Found::NotOurs, Found::Ours))
}
