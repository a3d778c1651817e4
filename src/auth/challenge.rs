//! `WWW-Authenticate`: what would let a refused request pass.
//!
//! Spec: basic/authorization, protected resource metadata and scope challenges (2025-11-25,
//! 2026-07-28); RFC 6750 section 3; RFC 9728 section 5.1.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

/// What is wrong with what was presented (RFC 6750 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Nothing was presented.
    Missing,
    /// It does not hold. Why is for the operator to know.
    InvalidToken,
    /// It holds, and is not enough.
    InsufficientScope,
}

/// A challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// What is wrong.
    pub problem: Problem,
    /// Where the metadata of the endpoint is, if tokens are taken.
    pub metadata: Option<Arc<str>>,
    /// All that the operation needs.
    pub scopes: BTreeSet<Arc<str>>,
}

impl Challenge {
    /// The value of `WWW-Authenticate`: quoted strings of printable ASCII.
    #[must_use]
    pub fn value(&self) -> String {
        let mut value = String::from("Bearer");
        let mut separator = " ";
        let mut parameter = |name: &str, text: &str| {
            value.push_str(separator);
            separator = ", ";
            // Invariant: writing to a string does not fail.
            let _infallible = write!(value, "{name}=\"{}\"", escaped(text));
        };
        match self.problem {
            Problem::Missing => {}
            Problem::InvalidToken => parameter("error", "invalid_token"),
            Problem::InsufficientScope => parameter("error", "insufficient_scope"),
        }
        if !self.scopes.is_empty() {
            let scopes = self.scopes.iter().map(|scope| &**scope);
            parameter("scope", &scopes.collect::<Vec<_>>().join(" "));
        }
        match &self.metadata {
            Some(url) => parameter("resource_metadata", url),
            // Whoever takes keys alone has nothing to say of where they come from.
            None => parameter("realm", "switchboard"),
        }
        value
    }
}

fn escaped(text: &str) -> String {
    let printable = text.chars().filter(|it| matches!(it, ' '..='~'));
    let mut escaped = String::with_capacity(text.len());
    for character in printable {
        if matches!(character, '"' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_what_would_do() {
        let metadata: Arc<str> = "https://h/.well-known/oauth-protected-resource/mcp".into();
        for (problem, metadata, scopes, value) in [
            (
                Problem::Missing,
                None,
                &[][..],
                r#"Bearer realm="switchboard""#,
            ),
            (
                Problem::InvalidToken,
                None,
                &[],
                r#"Bearer error="invalid_token", realm="switchboard""#,
            ),
            (
                Problem::Missing,
                Some(metadata.clone()),
                &["files:read"],
                r#"Bearer scope="files:read", resource_metadata="https://h/.well-known/oauth-protected-resource/mcp""#,
            ),
            (
                Problem::InsufficientScope,
                Some(metadata),
                &["b", "a"],
                r#"Bearer error="insufficient_scope", scope="a b", resource_metadata="https://h/.well-known/oauth-protected-resource/mcp""#,
            ),
            (
                Problem::Missing,
                Some("a\"b\\c\r\nd".into()),
                &[],
                r#"Bearer resource_metadata="a\"b\\cd""#,
            ),
        ] {
            let challenge = Challenge {
                problem,
                metadata,
                scopes: scopes.iter().map(|scope| Arc::from(*scope)).collect(),
            };
            assert_eq!(challenge.value(), value);
        }
    }
}
