//! Sets of scopes, and which of them are asked for.
//!
//! Spec: RFC 6749 section 3.3; 2026-07-28 basic/authorization, scope selection and scope challenges.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Deserializer};

/// Scopes of one set: metadata of large servers name dozens.
const SCOPES_MAX: usize = 256;
/// Bytes of one scope.
const SCOPE_BYTES_MAX: usize = 256;

/// What asks for a refresh token, where the authorization server knows it.
pub(super) const OFFLINE_ACCESS: &str = "offline_access";

/// A set of scopes. What cannot be one is left out of it, and so is what comes after the first 256.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(BTreeSet<String>);

impl Scopes {
    /// The scopes in a list that is separated by spaces.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        text.split(' ').collect()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all of these are in `others`.
    #[must_use]
    pub fn are_within(&self, others: &Self) -> bool {
        self.0.is_subset(&others.0)
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn has(&self, scope: &str) -> bool {
        self.0.contains(scope)
    }

    /// These and those.
    #[must_use]
    pub fn and(&self, others: &Self) -> Self {
        self.0.iter().chain(&others.0).collect()
    }
}

impl<S: AsRef<str>> FromIterator<S> for Scopes {
    fn from_iter<I: IntoIterator<Item = S>>(scopes: I) -> Self {
        let mut found = BTreeSet::new();
        for scope in scopes {
            let scope = scope.as_ref();
            if is_scope(scope) && found.len() < SCOPES_MAX {
                found.insert(scope.to_owned());
            }
        }
        Self(found)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.0.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{scope}")?;
        }
        Ok(())
    }
}

/// A list, as metadata have it.
impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<String>::deserialize(deserializer)?.iter().collect())
    }
}

fn is_scope(text: &str) -> bool {
    let fits = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    !text.is_empty() && text.len() <= SCOPE_BYTES_MAX && text.bytes().all(fits)
}

/// What there is to choose scopes from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offered<'a> {
    /// What the configuration wants.
    pub(super) configured: Option<&'a Scopes>,
    /// What the server's challenge asks for.
    pub(super) challenged: Option<&'a Scopes>,
    /// What the server's metadata list.
    pub(super) of_resource: Option<&'a Scopes>,
    /// What the authorization server's metadata list.
    pub(super) of_issuer: Option<&'a Scopes>,
    /// What was asked for before: a new token shall be good for what the old one was.
    pub(super) before: Option<&'a Scopes>,
    /// Whether a refresh token would be of use.
    pub(super) refreshes: bool,
}

/// Which are asked for: what the challenge says, or else all that the server lists, or else none, and
/// then the authorization server chooses.
pub(super) fn wanted(offered: &Offered<'_>) -> Scopes {
    let base = offered.challenged.or(offered.of_resource);
    let mut wanted = base.cloned().unwrap_or_default();
    for more in [offered.configured, offered.before].into_iter().flatten() {
        wanted = wanted.and(more);
    }
    let is_known = offered.of_issuer.map(|of| of.has(OFFLINE_ACCESS));
    match is_known {
        // Alone it would take the place of the scopes that the server chooses itself.
        Some(true) if offered.refreshes && !wanted.is_empty() => {
            wanted.0.insert(OFFLINE_ACCESS.to_owned());
        }
        Some(false) => {
            wanted.0.remove(OFFLINE_ACCESS);
        }
        Some(true) | None => {}
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(text: &str) -> Scopes {
        Scopes::parse(text)
    }

    #[test]
    fn what_cannot_be_a_scope_is_left_out() {
        for (text, expected) in [
            ("b a  b", "a b"),
            ("", ""),
            ("  ", ""),
            ("a\"b c\\d e\u{e9} ok", "ok"),
            (
                "mcp:tools/x https://a.example/b",
                "https://a.example/b mcp:tools/x",
            ),
        ] {
            assert_eq!(scopes(text).to_string(), expected, "{text:?}");
        }
        assert!(scopes(&"x".repeat(SCOPE_BYTES_MAX + 1)).is_empty());
        let many = (0..SCOPES_MAX + 9).map(|number| number.to_string());
        assert_eq!(many.collect::<Scopes>().0.len(), SCOPES_MAX);
    }

    #[test]
    fn the_challenge_decides_and_then_the_metadata() {
        let (a, b, none) = (scopes("a"), scopes("b c"), scopes(""));
        for (challenged, of_resource, before, expected) in [
            (Some(&a), Some(&b), None, "a"),
            (None, Some(&b), None, "b c"),
            (None, None, None, ""),
            (Some(&none), Some(&b), None, ""),
            // A step up keeps what there was.
            (Some(&a), Some(&b), Some(&scopes("old")), "a old"),
        ] {
            let offered = Offered {
                challenged,
                of_resource,
                before,
                ..Offered::default()
            };
            assert_eq!(wanted(&offered).to_string(), expected);
        }
        let offered = Offered {
            configured: Some(&a),
            challenged: Some(&b),
            ..Offered::default()
        };
        assert_eq!(wanted(&offered).to_string(), "a b c");
    }

    #[test]
    fn refreshing_is_asked_for_where_it_is_known_and_of_use() {
        let with = scopes("a offline_access");
        for (challenged, of_issuer, refreshes, expected) in [
            ("a", Some("a offline_access"), true, "a offline_access"),
            ("a", Some("a offline_access"), false, "a"),
            ("a", Some("a"), true, "a"),
            ("a", None, true, "a"),
            ("", Some("offline_access"), true, ""),
            // A server is wrong to ask for it, and an issuer that does not know it refuses.
            ("a offline_access", Some("a"), true, "a"),
        ] {
            let (challenged, of_issuer) = (scopes(challenged), of_issuer.map(scopes));
            let offered = Offered {
                challenged: Some(&challenged),
                of_issuer: of_issuer.as_ref(),
                refreshes,
                ..Offered::default()
            };
            assert_eq!(wanted(&offered).to_string(), expected);
        }
        assert!(with.has(OFFLINE_ACCESS) && scopes("a").are_within(&with));
    }
}
