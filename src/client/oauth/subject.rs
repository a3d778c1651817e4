//! Whom a server is asked for: the token a caller came with, which is exchanged for one of the server.
//!
//! Spec: RFC 8693.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::error::OAuthError;
use crate::runtime::clock::Timestamp;
use crate::runtime::secret::Secret;

/// The verified access token of a caller. It goes to who issued it, and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Who issued it.
    pub issuer: String,
    /// The token.
    pub token: Secret,
    /// Until when it is good.
    pub expires: Option<Timestamp>,
}

impl Subject {
    /// Whether this issuer issued it, and it is still good.
    pub(super) fn is_of(&self, issuer: &str, now: Timestamp) -> bool {
        self.issuer == issuer && self.expires.is_none_or(|expires| now < expires)
    }
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    aud: Value,
}

/// Whether a token that was given in exchange for another is about the same subject, and for one of
/// these audiences, as far as can be seen: one that is no JWT says nothing.
///
/// # Errors
/// [`OAuthError::Untrusted`].
pub(super) fn is_exchange_of(
    given: &Secret,
    subject: &Secret,
    audiences: &[Option<&str>],
) -> Result<(), OAuthError> {
    let Some(claims) = claims(given) else {
        return Ok(());
    };
    let untrusted = |what: &str| Err(OAuthError::Untrusted(what.to_owned()));
    let is_meant = |audience: &Value| {
        let audience = audience.as_str();
        audience.is_some() && audiences.contains(&audience)
    };
    let is_for_us = match &claims.aud {
        Value::Array(all) => all.iter().any(is_meant),
        one => is_meant(one),
    };
    if !is_for_us {
        return untrusted("the token that was given in exchange is for another server");
    }
    let before = self::claims(subject).and_then(|claims| claims.sub);
    if before.is_some() && claims.sub != before {
        return untrusted("the token that was given in exchange is about somebody else");
    }
    Ok(())
}

/// What a JWT says. Its signature is the business of who it is for.
fn claims(token: &Secret) -> Option<Claims> {
    let mut parts = token.expose().split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn jwt(claims: &Value) -> Secret {
        Secret::new(format!(
            "e30.{}.c2ln",
            URL_SAFE_NO_PAD.encode(claims.to_string())
        ))
    }

    #[test]
    fn what_is_given_in_exchange_is_for_the_server_and_about_the_same() {
        let alice = jwt(&json!({"sub": "alice", "aud": "us"}));
        let opaque = Secret::new("opaque".to_owned());
        for (given, subject, is_right) in [
            (
                jwt(&json!({"sub": "alice", "aud": "https://up"})),
                &alice,
                true,
            ),
            (
                jwt(&json!({"sub": "alice", "aud": ["x", "files"]})),
                &alice,
                true,
            ),
            (jwt(&json!({"sub": "alice", "aud": "us"})), &alice, false),
            (jwt(&json!({"sub": "alice", "aud": []})), &alice, false),
            (jwt(&json!({"sub": "alice"})), &alice, false),
            (
                jwt(&json!({"sub": "bob", "aud": "https://up"})),
                &alice,
                false,
            ),
            (jwt(&json!({"aud": "https://up"})), &alice, false),
            (
                jwt(&json!({"sub": "bob", "aud": "https://up"})),
                &opaque,
                true,
            ),
            (opaque.clone(), &alice, true),
        ] {
            let targets = [Some("https://up"), Some("files")];
            let checked = is_exchange_of(&given, subject, &targets);
            assert_eq!(checked.is_ok(), is_right, "{}", given.expose());
        }
        let without_audience = jwt(&json!({"sub": "alice", "aud": null}));
        assert!(is_exchange_of(&without_audience, &alice, &[None]).is_err());
    }

    #[test]
    fn a_token_is_exchanged_by_who_issued_it_while_it_is_good() {
        let subject = |expires| Subject {
            issuer: "https://as".to_owned(),
            token: Secret::new("t".to_owned()),
            expires,
        };
        let now = Timestamp(10);
        for (expires, issuer, is_good) in [
            (None, "https://as", true),
            (Some(Timestamp(11)), "https://as", true),
            (Some(Timestamp(10)), "https://as", false),
            (None, "https://as/", false),
        ] {
            assert_eq!(subject(expires).is_of(issuer, now), is_good);
        }
    }
}
