//! A signed token taken apart, before anything of it is believed.
//!
//! [`parse`] reads the compact form: three parts of strict base64url, of which the first two are
//! JSON objects that name each member once. What comes out is what the signer wrote, if it was
//! signed at all; `signature` and `claims` decide that.
//!
//! Of the header only `alg`, `kid`, `typ` and `crit` are read. `jku`, `x5u`, `jwk` and `x5c` would
//! let a token bring its own key, and are not even looked at.
//!
//! Spec: RFC 7515 sections 3, 4 and 7.1; RFC 7519; RFC 8725.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::refusal::Step;
use crate::protocol::prescan::{Limits, Shape, Wanted, prescan};

/// Longest token that is looked at: it must fit into a header field of 8 KiB.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Deep enough for claims as providers nest them (`realm_access`, `act` in `act`); as many members
/// as a token of that length has when it is all numbers would cost 20 times its size.
const LIMITS: Limits = Limits {
    depth: 16,
    members: 1_000,
};

/// Nothing is looked for on the way.
static NOTHING: Wanted = Wanted::whole("", 0);

/// A token that has the form of one.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    /// What was signed: the first two parts as they stand.
    pub(super) signed: &'a str,
    /// The last part as it stands, known to be base64url.
    pub(super) signature: &'a str,
    /// With which algorithm it says it was signed.
    pub(super) algorithm: Algorithm,
    /// Which key it names. No more than a key of a map.
    pub(super) key_id: Option<String>,
    /// What it says it is.
    pub(super) kind: Option<String>,
    /// What it says.
    pub(super) claims: Map<String, Value>,
}

/// Takes a token apart.
///
/// # Errors
/// The first step of the check that it does not pass.
pub(super) fn parse(token: &str) -> Result<Parsed<'_>, Step> {
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
        return Err(Step::Size);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(Step::Parts)?;
    let (header, claims) = signed.split_once('.').ok_or(Step::Parts)?;
    if claims.contains('.') {
        return Err(Step::Parts);
    }
    let (header, claims) = (decode(header)?, decode(claims)?);
    decode(signature)?;
    let (header, claims) = (object(&header)?, object(&claims)?);
    let algorithm = text(&header, "alg")?
        .and_then(|name| Algorithm::of_name(&name))
        .ok_or(Step::Algorithm)?;
    // Whatever it demands, we know none of it (RFC 7515 section 4.1.11).
    if header.contains_key("crit") {
        return Err(Step::Critical);
    }
    Ok(Parsed {
        signed,
        signature,
        algorithm,
        key_id: text(&header, "kid")?,
        kind: text(&header, "typ")?,
        claims,
    })
}

/// Whether a token says by its form that it is signed, and not a word only its issuer understands.
#[must_use]
pub(super) fn is_signed(token: &str) -> bool {
    token.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// Strict: no padding, no other alphabet, no stray bits at the end.
fn decode(part: &str) -> Result<Vec<u8>, Step> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Step::Encoding)
}

/// A JSON object that names each member once at any depth: decoders disagree on which of two counts.
///
/// # Errors
/// [`Step::Json`].
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Step> {
    let text = std::str::from_utf8(bytes).map_err(|_| Step::Json)?;
    match prescan(text, &LIMITS, &NOTHING) {
        Ok((Shape::Object, _)) => serde_json::from_str(text).map_err(|_| Step::Json),
        Ok((Shape::Array, _)) | Err(_) => Err(Step::Json),
    }
}

fn text(header: &Map<String, Value>, name: &str) -> Result<Option<String>, Step> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Step::Json),
    }
}
