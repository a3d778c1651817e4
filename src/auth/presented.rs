//! What a request presents to prove who makes it.
//!
//! One credential, in one place: `Authorization: Bearer …` for tokens and keys, or `X-API-Key` for
//! keys. Anything in a query string is not looked at (basic/authorization, access token usage).

use super::api_key::{self, ApiKey};
use super::token::TOKEN_BYTES_MAX;
use crate::runtime::secret::Secret;

/// The header that holds a key alone.
pub const API_KEY_HEADER: &str = "x-api-key";

/// What a request presents.
#[derive(Debug)]
pub enum Presented {
    /// Nothing.
    Nothing,
    /// Something that is written like one of our keys.
    ApiKey(ApiKey),
    /// Something that claims to be one of our keys and is not written like one.
    NoApiKey,
    /// Any other bearer token.
    Token(Secret),
}

/// Why what a request presents cannot be looked at: the request itself is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Several headers, or one several times.
    #[error("a request presents one credential: one Authorization header or one X-API-Key header")]
    Several,
    /// Several of the header by which a proxy says who calls: one of them may be the client's.
    #[error("the header by which a proxy says who calls must come once")]
    SeveralAssertions,
    /// Another scheme than `Bearer`, or no token.
    #[error("the Authorization header must be `Bearer` and one token")]
    NotBearer,
    /// More than [`TOKEN_BYTES_MAX`] characters, or such as no token has.
    #[error("the credential is too long or has characters that none has")]
    Unreadable,
}

/// Reads all `Authorization` and `X-API-Key` headers of a request.
///
/// # Errors
/// [`Malformed`].
pub fn presented<'a>(
    mut authorization: impl Iterator<Item = &'a [u8]>,
    mut api_key: impl Iterator<Item = &'a [u8]>,
) -> Result<Presented, Malformed> {
    let (bearer, key) = (authorization.next(), api_key.next());
    if authorization.next().is_some() || api_key.next().is_some() {
        return Err(Malformed::Several);
    }
    match (bearer, key) {
        (None, None) => Ok(Presented::Nothing),
        (Some(_), Some(_)) => Err(Malformed::Several),
        (None, Some(key)) => Ok(as_key(readable(key)?)),
        (Some(value), None) => {
            let token = readable(bearer_of(value).ok_or(Malformed::NotBearer)?)?;
            Ok(if token.starts_with(api_key::PREFIX) {
                as_key(token)
            } else {
                Presented::Token(Secret::new(token.to_owned()))
            })
        }
    }
}

fn as_key(text: &str) -> Presented {
    ApiKey::parse(text).map_or(Presented::NoApiKey, Presented::ApiKey)
}

/// What follows the scheme (RFC 6750 section 2.1; schemes are case-insensitive, RFC 9110 11.1).
fn bearer_of(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    let (scheme, token) = value.split_at(value.iter().position(|byte| *byte == b' ')?);
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer") && !token.is_empty()).then_some(token)
}

/// The characters of RFC 6750's `b64token`, and `_` and `-` of URL-safe base64 among them. A table,
/// since tokens are long and every request has one.
const IN_TOKENS: [bool; 256] = {
    let mut in_tokens = [false; 256];
    let mut byte = 0_u8;
    loop {
        let is_mark = matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
        in_tokens[byte as usize] = is_mark || byte.is_ascii_alphanumeric();
        if byte == u8::MAX {
            break in_tokens;
        }
        byte += 1;
    }
};

fn readable(text: &[u8]) -> Result<&str, Malformed> {
    let is_token = |byte: &u8| IN_TOKENS[usize::from(*byte)];
    let text = text.trim_ascii();
    if text.is_empty() || text.len() > TOKEN_BYTES_MAX || !text.iter().all(is_token) {
        return Err(Malformed::Unreadable);
    }
    std::str::from_utf8(text).map_err(|_| Malformed::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(authorization: &[&str], api_key: &[&str]) -> Result<Presented, Malformed> {
        let bytes = |texts: &'static [&'static str]| texts.iter().map(|text| text.as_bytes());
        let leak = |texts: &[&str]| -> &'static [&'static str] {
            let owned = texts.iter().map(|text| &*text.to_string().leak());
            owned.collect::<Vec<&'static str>>().leak()
        };
        presented(bytes(leak(authorization)), bytes(leak(api_key)))
    }

    #[test]
    fn one_credential_in_one_place() {
        let key = ApiKey::generate(0).reveal();
        let bearer = format!("Bearer {}", *key);
        assert!(matches!(read(&[], &[]), Ok(Presented::Nothing)));
        assert!(matches!(read(&[&bearer], &[]), Ok(Presented::ApiKey(_))));
        assert!(matches!(read(&[], &[&key]), Ok(Presented::ApiKey(_))));
        for written in ["Bearer a.b.c", "bearer  a.b.c ", "BEARER a.b.c"] {
            let Ok(Presented::Token(token)) = read(&[written], &[]) else {
                panic!("{written}");
            };
            assert_eq!(token.expose(), "a.b.c");
            assert!(!format!("{token:?}").contains("a.b.c"));
        }
        assert!(matches!(
            read(&["Bearer mcpk_x"], &[]),
            Ok(Presented::NoApiKey)
        ));
        assert!(matches!(read(&[], &["a.b.c"]), Ok(Presented::NoApiKey)));
    }

    #[test]
    fn a_request_that_presents_in_another_way_is_wrong_itself() {
        let long = format!("Bearer {}", "a".repeat(TOKEN_BYTES_MAX + 1));
        for (authorization, api_key, refusal) in [
            (&["Bearer a", "Bearer a"][..], &[][..], Malformed::Several),
            (&["Bearer a"], &["a"], Malformed::Several),
            (&[], &["a", "a"], Malformed::Several),
            (&["Basic a"], &[], Malformed::NotBearer),
            (&["Bearer"], &[], Malformed::NotBearer),
            (&["Bearer "], &[], Malformed::NotBearer),
            (&[""], &[], Malformed::NotBearer),
            (&["Bearer a b"], &[], Malformed::Unreadable),
            (&["Bearer a,b"], &[], Malformed::Unreadable),
            (&["Bearer ä"], &[], Malformed::Unreadable),
            (&[], &[""], Malformed::Unreadable),
            (&[&long], &[], Malformed::Unreadable),
        ] {
            let read = read(authorization, api_key).map(|_| ());
            assert_eq!(read, Err(refusal), "{authorization:?} {api_key:?}");
        }
    }
}
