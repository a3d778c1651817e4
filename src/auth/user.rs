//! What users are called, by what vouches for them: in records, in limits, and where somebody is named in
//! the configuration or on the command line.
//!
//! A name begins with what vouches for it, so no two are alike that are not of one user:
//!
//! ```text
//! owner ci                      the owner of API keys
//! https://idp.example ann       the issuer and the subject of tokens; a URL has no spaces
//! proxy ann                     whom a proxy vouches for
//! dns:billing.example.org       the subject of a certificate: `uri:`, `dns:`, `email:` or `cn:`
//! local                         everybody, where nobody is asked who they are
//! ```

use super::certificate::NameKind;
use crate::identity::Principal;

/// What would be right where a text can be nobody's name.
pub const FORMS: &str = "users are called as in `owner ci`, `https://idp.example ann`, `proxy ann` and \
                         `dns:billing.example.org`";

/// The owner of API keys.
#[must_use]
pub fn of_owner(owner: &str) -> String {
    format!("owner {owner}")
}

/// The subject of tokens of an issuer.
#[must_use]
pub fn of_token(issuer: &str, subject: &str) -> String {
    format!("{issuer} {subject}")
}

/// Whom a proxy vouches for.
#[must_use]
pub fn of_proxy(subject: &str) -> String {
    format!("proxy {subject}")
}

/// Whether anybody can be called so, by their name or by the key of their principal.
#[must_use]
pub fn can_be(name: &str) -> bool {
    let is_of_proof = name.split_once(' ').is_some_and(|(first, rest)| {
        !rest.is_empty() && (matches!(first, "owner" | "proxy") || first.contains("://"))
    });
    // A certificate may have a name with a star, which is no pattern here.
    let is_of_certificate = named_in_certificate(name).is_some_and(|name| !name.is_empty());
    is_of_proof || is_of_certificate || Principal::is_key(name)
}

/// Whether a pattern, in which `*` stands for any text, can fit the subject of any certificate.
#[must_use]
pub fn can_fit_certificates(pattern: &str) -> bool {
    let (fixed, is_open) = match pattern.split_once('*') {
        Some((fixed, _)) => (fixed, true),
        None => (pattern, false),
    };
    let mut kinds = NameKind::ALL.into_iter();
    named_in_certificate(fixed).is_some_and(|name| is_open || !name.is_empty())
        || (is_open && kinds.any(|kind| format!("{}:", kind.as_str()).starts_with(fixed)))
}

/// What stands behind a kind of name.
fn named_in_certificate(text: &str) -> Option<&str> {
    let mut kinds = NameKind::ALL.into_iter();
    kinds.find_map(|kind| text.strip_prefix(kind.as_str())?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_vouches_for_it() {
        for name in [
            &*of_owner("ci"),
            &*of_owner("ci of ours"),
            &*of_token("https://idp.example", "ann"),
            &*of_proxy("ann"),
            "local",
            "uri:spiffe://example.org/ci",
            "dns:billing.example.org",
            "dns:*.example.org",
            "email:ops@example.org",
            "cn:Operations Team",
            Principal::of_owner("t", "ci").key(),
            Principal::of_subject("t", "https://idp.example", "ann", "").key(),
        ] {
            assert!(can_be(name), "{name}");
        }
        for name in [
            "",
            "ann",
            "owner",
            "owner ",
            "Owner ci",
            "owners ci",
            "https://idp.example",
            "https://idp.example ",
            "idp.example ann",
            "CN=ops",
            "cn:",
            "ip:127.0.0.1",
            "[]",
            r#"["owner","t"]"#,
            r#"["other","t","x"]"#,
        ] {
            assert!(!can_be(name), "{name}");
        }
    }

    #[test]
    fn a_pattern_of_certificates_leaves_room_for_a_kind_of_name() {
        for pattern in ["*", "d*", "dns:*", "*.example.org", "cn:Ops", "uri:a*b"] {
            assert!(can_fit_certificates(pattern), "{pattern}");
        }
        for pattern in ["", "CN=ops*", "ops", "dns:", "DNS:*", "dnss:*"] {
            assert!(!can_fit_certificates(pattern), "{pattern}");
        }
    }
}
