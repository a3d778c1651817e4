//! The protocol's HTTP headers: their names, and how text becomes a header value.
//!
//! Names and resource URIs may hold any Unicode, a header value only printable ASCII. What does
//! not fit travels as `=?base64?…?=`; [`encode_value`] wraps where it must, [`decode_value`] takes
//! both forms. Only `mcp-name` and `mcp-param-*` are ever wrapped.
//!
//! It does not compare headers with the body: `mcp-param-*` is checked in `param_headers.rs`, the
//! others where the era of a request is decided.
//!
//! Invariant: `decode_value(encode_value(text)) == text` for every text.
//!
//! Spec: 2026-07-28 basic/transports, value encoding of the standard and custom headers.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The session of a session-era request.
pub const SESSION_ID: &str = "mcp-session-id";
/// The revision a request speaks.
pub const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// The method of a stateless request, repeated from its body.
pub const METHOD: &str = "mcp-method";
/// The tool, prompt, resource or task of a stateless request, repeated from its body.
pub const NAME: &str = "mcp-name";
/// What the header of an annotated tool argument begins with.
pub const PARAM_PREFIX: &str = "mcp-param-";
/// The last event a client saw of a stream it resumes.
pub const LAST_EVENT_ID: &str = "last-event-id";

/// What a wrapped value begins and ends with, in exactly this case.
const WRAP_START: &str = "=?base64?";
const WRAP_END: &str = "?=";

/// A header value stands for no text; each text completes "the header …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderValueError {
    /// A plain value has a byte that must be wrapped.
    #[error("has a byte outside printable ASCII")]
    NotPrintable,
    /// A plain value begins or ends with a space or tab, which HTTP does not keep.
    #[error("begins or ends with whitespace")]
    OuterWhitespace,
    /// What is wrapped is not base64 in its one canonical form, padding included.
    #[error("is not canonical base64 between its markers")]
    NotBase64,
    /// What is wrapped is not text.
    #[error("is not UTF-8 once decoded")]
    NotUtf8,
}

/// The text that a header value stands for.
///
/// # Errors
/// [`HeaderValueError`] when no encoder that keeps the rules writes this value.
pub fn decode_value(raw: &[u8]) -> Result<Cow<'_, str>, HeaderValueError> {
    let text = printable(raw).ok_or(HeaderValueError::NotPrintable)?;
    let wrapped = text
        .strip_prefix(WRAP_START)
        .and_then(|rest| rest.strip_suffix(WRAP_END));
    if let Some(wrapped) = wrapped {
        // The standard engine refuses missing padding and stray trailing bits: a second spelling
        // of one value could pass a filter in front of us.
        let bytes = STANDARD
            .decode(wrapped)
            .map_err(|_| HeaderValueError::NotBase64)?;
        let text = String::from_utf8(bytes).map_err(|_| HeaderValueError::NotUtf8)?;
        return Ok(Cow::Owned(text));
    }
    if has_outer_whitespace(text) {
        return Err(HeaderValueError::OuterWhitespace);
    }
    Ok(Cow::Borrowed(text))
}

/// The header value that stands for `text`: itself where possible.
///
/// Empty text is wrapped: some receivers cannot tell an empty header from none.
#[must_use]
pub fn encode_value(text: &str) -> Cow<'_, str> {
    let looks_wrapped = text.starts_with(WRAP_START) && text.ends_with(WRAP_END);
    let is_plain = printable(text.as_bytes()).is_some()
        && !text.is_empty()
        && !has_outer_whitespace(text)
        && !looks_wrapped;
    if is_plain {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{WRAP_START}{}{WRAP_END}", STANDARD.encode(text)))
}

/// Whether the bytes are all printable ASCII, space or tab.
#[must_use]
pub fn is_printable(raw: &[u8]) -> bool {
    raw.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
}

/// The bytes as text, when they are all printable.
fn printable(raw: &[u8]) -> Option<&str> {
    is_printable(raw)
        .then_some(raw)
        .and_then(|raw| str::from_utf8(raw).ok())
}

fn has_outer_whitespace(text: &str) -> bool {
    text.starts_with([' ', '\t']) || text.ends_with([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_specification() {
        for (text, value) in [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
            ("", "=?base64??="),
        ] {
            assert_eq!(encode_value(text), value);
            assert_eq!(decode_value(value.as_bytes()).unwrap(), text);
        }
    }

    #[test]
    fn what_needs_no_wrapping_stays_as_it_is() {
        for text in [
            "a b\tc",
            "~!\"#%",
            "=?base64?literal",
            "literal?=",
            "=?BASE64?YQ==?=",
            "=?base64YQ==?=",
        ] {
            assert_eq!(encode_value(text), text);
            assert_eq!(decode_value(text.as_bytes()).unwrap(), text);
        }
    }

    #[test]
    fn either_form_is_read() {
        for (value, text) in [
            ("", ""),
            ("=?base64??=", ""),
            ("=?base64?YQ==?=", "a"),
            // The markers overlap, so nothing is wrapped; we would not send it like this.
            ("=?base64?=", "=?base64?="),
        ] {
            assert_eq!(decode_value(value.as_bytes()).unwrap(), text, "{value}");
        }
    }

    #[test]
    fn what_no_encoder_writes_is_refused() {
        use HeaderValueError::{NotBase64, NotPrintable, NotUtf8, OuterWhitespace};
        for (value, error) in [
            (&b"caf\xc3\xa9"[..], NotPrintable),
            (b"a\0", NotPrintable),
            (b"a\x7f", NotPrintable),
            (b"a\r\nb: c", NotPrintable),
            (b"\ta", OuterWhitespace),
            (b"a ", OuterWhitespace),
            (b" ", OuterWhitespace),
            (b"=?base64?YQ==?= ", OuterWhitespace),
            (b"=?base64?YQ?=", NotBase64),
            (b"=?base64?YQ=?=", NotBase64),
            (b"=?base64?YR==?=", NotBase64),
            (b"=?base64?Y Q==?=", NotBase64),
            (b"=?base64?YQ==YQ==?=", NotBase64),
            (b"=?base64?_-8=?=", NotBase64),
            (b"=?base64?!?=", NotBase64),
            (b"=?base64?/w==?=", NotUtf8),
            (b"=?base64?7aCA?=", NotUtf8),
        ] {
            assert_eq!(decode_value(value), Err(error), "{value:?}");
        }
    }

    #[test]
    fn names_are_lower_case() {
        for name in [
            SESSION_ID,
            PROTOCOL_VERSION,
            METHOD,
            NAME,
            PARAM_PREFIX,
            LAST_EVENT_ID,
        ] {
            assert_eq!(name, name.to_ascii_lowercase());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        #[test]
        fn what_is_encoded_decodes_to_itself(
            text in prop_oneof![any::<String>(), "[ -~\t]{0,12}", r"(=\?base64\?)?[a-zA-Z=?/ ]{0,6}(\?=)?"],
        ) {
            let value = encode_value(&text);
            prop_assert!(value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')));
            prop_assert_eq!(decode_value(value.as_bytes()), Ok(Cow::Borrowed(&*text)));
        }

        #[test]
        fn any_bytes_decode_to_what_was_meant_or_not_at_all(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..24),
                r"=\?base64\?[A-Za-z0-9+/]{0,8}={0,3}\?=".prop_map(String::into_bytes),
            ],
        ) {
            if let Ok(text) = decode_value(&bytes) {
                let again = encode_value(&text);
                prop_assert_eq!(decode_value(again.as_bytes()), Ok(Cow::Borrowed(&*text)));
            }
        }
    }
}
