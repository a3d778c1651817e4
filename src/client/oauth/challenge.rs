//! What a server asks for when it refuses a request: the `Bearer` challenge of `WWW-Authenticate`.
//!
//! Spec: RFC 6750 section 3; RFC 9728 section 5.1; 2026-07-28 basic/authorization.

use http_auth::parser::ChallengeParser;
use hyper::HeaderMap;
use hyper::header::WWW_AUTHENTICATE;

use super::scopes::Scopes;

/// Bytes of one header that are looked at, and how many headers.
const HEADER_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 8;

/// The error that says that a token is good, but not for this.
const INSUFFICIENT_SCOPE: &str = "insufficient_scope";

/// See the module docs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// Where the server says that its metadata are.
    pub metadata: Option<String>,
    /// What a token must be good for.
    pub scopes: Option<Scopes>,
    /// What was wrong with the token that was sent.
    pub error: Option<String>,
}

impl Challenge {
    /// The first challenge of these headers that is about bearer tokens. What cannot be read is none.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter().take(HEADERS_MAX);
        let mut texts = values.filter_map(|value| value.to_str().ok());
        texts.find_map(Self::parse)
    }

    /// Whether the token is good, but not for what was asked.
    #[must_use]
    pub fn wants_more_scopes(&self) -> bool {
        self.error.as_deref() == Some(INSUFFICIENT_SCOPE)
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() > HEADER_MAX {
            return None;
        }
        let readable = ChallengeParser::new(text).map_while(Result::ok);
        let mut bearer = readable.filter(|it| it.scheme.eq_ignore_ascii_case("bearer"));
        let mut found = Self::default();
        for (name, value) in bearer.next()?.params {
            let value = value.to_unescaped();
            match &*name.to_ascii_lowercase() {
                "resource_metadata" => found.metadata = Some(value),
                "scope" => found.scopes = Some(Scopes::parse(&value)),
                "error" => found.error = Some(value),
                _other => {}
            }
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        Challenge::of(&headers)
    }

    fn challenge(metadata: &str, scopes: &str, error: &str) -> Challenge {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Challenge {
            metadata: some(metadata),
            scopes: some(scopes).map(|scopes| Scopes::parse(&scopes)),
            error: some(error),
        }
    }

    #[test]
    fn the_bearer_challenge_is_found_among_others() {
        let url = "https://h/.well-known/oauth-protected-resource/mcp";
        for (values, expected) in [
            (&["Bearer"][..], challenge("", "", "")),
            (
                &[
                    "Bearer resource_metadata=\"https://h/.well-known/oauth-protected-resource/mcp\", scope=\"b a\"",
                ],
                challenge(url, "a b", ""),
            ),
            (
                &[
                    "bearer error=\"insufficient_scope\", SCOPE=\"a\", error_description=\"no \\\"a\\\"\"",
                ],
                challenge("", "a", "insufficient_scope"),
            ),
            (
                &[
                    "Basic realm=\"x, Bearer scope=y\", Bearer scope=a",
                    "Bearer scope=b",
                ],
                challenge("", "a", ""),
            ),
            (
                &["Digest realm=x", "Bearer error=invalid_token"],
                challenge("", "", "invalid_token"),
            ),
            // One that cannot be read does not hide the next.
            (&["Bearer ==", "Bearer scope=a"], challenge("", "a", "")),
        ] {
            assert_eq!(of(values), Some(expected), "{values:?}");
        }
        for none in [
            &[][..],
            &["Basic realm=x"],
            &["=\"Bearer"],
            &["DPoP algs=x"],
        ] {
            assert_eq!(of(none), None, "{none:?}");
        }
        assert!(of(&[&format!("Bearer scope={}", "x".repeat(HEADER_MAX))]).is_none());
    }

    #[test]
    fn only_one_error_asks_for_a_step_up() {
        assert!(challenge("", "a", "insufficient_scope").wants_more_scopes());
        assert!(!challenge("", "a", "invalid_token").wants_more_scopes());
        assert!(!challenge("", "a", "").wants_more_scopes());
    }

    /// What headers are made of, right or wrong.
    const PIECES: [&str; 12] = [
        "Bearer", "Basic", ",", "=", "\"", "\\", " ", "scope", "error", "a/b", "\t", "~",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        #[test]
        fn no_header_is_too_strange_to_be_looked_at(
            pieces in prop::collection::vec(0..PIECES.len(), 0..12)
        ) {
            let text: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
            let _read_or_not = Challenge::parse(&text);
        }
    }
}
