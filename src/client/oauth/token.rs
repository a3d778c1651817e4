//! Asking for a token: how a client says who it is, and what it makes of the answer.
//!
//! Spec: RFC 6749 sections 2.3, 5; RFC 8693 section 2.2; RFC 8707.

use std::time::Duration;

use serde::Deserialize;

use super::config::{Proof, Registered};
use super::discovery::unanswered;
use super::error::OAuthError;
use super::scopes::Scopes;
use crate::egress::{Authorization, Destination, Egress};
use crate::runtime::clock::{Clock, Timestamp};
use crate::runtime::secret::Secret;

/// Bytes of a token that is taken: it goes into a header of every request.
const TOKEN_MAX: usize = 8 * 1024;
/// Longest time a token is believed to last, whatever is said.
const LIFE_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Bytes of an error's code that are repeated.
const CODE_MAX: usize = 64;

/// How a client says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Nothing,
    Basic,
    Post,
    Assertion,
}

/// Where tokens are issued, and what for.
#[derive(Clone, Debug)]
pub(super) struct TokenEndpoint {
    pub(super) at: Destination,
    /// Whom an assertion is made out to.
    pub(super) audience: String,
    /// The methods that are supported, if that is known.
    pub(super) methods: Option<Vec<String>>,
}

/// What was issued.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    pub(super) token: Secret,
    pub(super) kind: String,
    /// What the token is, where that is said.
    pub(super) type_of_token: Option<String>,
    pub(super) expires: Option<Timestamp>,
    pub(super) refresh: Option<Secret>,
}

/// Why nothing was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// The endpoint says so, by this code.
    Code(String),
    /// It said nothing of use.
    Failed(OAuthError),
}

impl From<Denied> for OAuthError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Code(code) => Self::Refused(code),
            Denied::Failed(error) => error,
        }
    }
}

#[derive(Deserialize)]
struct Success {
    access_token: String,
    token_type: String,
    #[serde(default)]
    issued_token_type: Option<String>,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
    #[serde(default)]
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct Failure {
    error: String,
}

impl TokenEndpoint {
    /// Asks for a token with this form, as this client.
    pub(super) async fn ask(
        &self,
        egress: &Egress,
        clock: &Clock,
        client: &Registered,
        form: &[(&str, &str)],
    ) -> Result<Issued, Denied> {
        let mut form = form.to_vec();
        let mut authorization = Authorization::nothing();
        let assertion;
        match (
            method(&client.proof, self.methods.as_deref()),
            &client.proof,
        ) {
            (Method::Basic, Proof::Secret(secret)) => {
                authorization = Authorization::client_secret(&client.id, secret.expose());
            }
            (Method::Post, Proof::Secret(secret)) => {
                form.push(("client_id", &client.id));
                form.push(("client_secret", secret.expose()));
            }
            (_, Proof::Key(key)) => {
                let signed = key.assert(&client.id, &self.audience, clock.now());
                let broken =
                    |error| Denied::Failed(OAuthError::Refused(format!("our key {error}")));
                assertion = signed.map_err(broken)?;
                form.push(("client_id", &client.id));
                form.push((
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                ));
                form.push(("client_assertion", &assertion));
            }
            (_, Proof::Nothing | Proof::Secret(_)) => form.push(("client_id", &client.id)),
        }
        let asked_at = clock.now();
        let answer = egress.post_form(&self.at, &form, &authorization).await;
        let answer = answer.map_err(|error| Denied::Failed(unanswered(error)))?;
        read(answer.status.as_u16(), &answer.body, asked_at)
    }
}

/// The first method of ours that is supported. Where nothing is known, standards have basic.
pub(super) fn method(proof: &Proof, supported: Option<&[String]>) -> Method {
    let supports = |method: &str| supported.is_none_or(|all| all.iter().any(|it| it == method));
    match proof {
        Proof::Nothing => Method::Nothing,
        Proof::Key(_) => Method::Assertion,
        Proof::Secret(_) if supports("client_secret_basic") => Method::Basic,
        Proof::Secret(_) if supports("client_secret_post") => Method::Post,
        Proof::Secret(_) if supports("none") => Method::Nothing,
        // None that we have; then it may at least say what is wrong.
        Proof::Secret(_) => Method::Basic,
    }
}

fn read(status: u16, body: &[u8], asked_at: Timestamp) -> Result<Issued, Denied> {
    if status == 429 || status >= 500 {
        let what = format!("HTTP {status} for a token");
        return Err(Denied::Failed(OAuthError::Unreachable(what)));
    }
    if status != 200 {
        let failure = serde_json::from_slice::<Failure>(body).ok();
        let code = failure
            .map(|failure| failure.error)
            .filter(|code| is_code(code));
        return Err(match code {
            Some(code) => Denied::Code(code),
            None => Denied::Failed(OAuthError::Refused(format!("HTTP {status} for a token"))),
        });
    }
    let unusable = |what: &str| Denied::Failed(OAuthError::Refused(what.to_owned()));
    let success = serde_json::from_slice::<Success>(body);
    let success = success.map_err(|_| unusable("what it gives is no token"))?;
    let is_token = |text: &str| {
        let is_visible = |byte: u8| (0x21..=0x7e).contains(&byte);
        !text.is_empty() && text.len() <= TOKEN_MAX && text.bytes().all(is_visible)
    };
    if !is_token(&success.access_token) {
        return Err(unusable("what it gives is no token that can be sent"));
    }
    let lasts = success.expires_in.as_ref().and_then(seconds);
    Ok(Issued {
        expires: lasts.map(|lasts| asked_at.after(lasts)),
        token: success.access_token.into(),
        kind: success.token_type,
        type_of_token: success.issued_token_type,
        refresh: success
            .refresh_token
            .filter(|it| is_token(it))
            .map(Secret::new),
    })
}

/// Some write the number as a text.
fn seconds(value: &serde_json::Value) -> Option<Duration> {
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    let number = number.clamp(0.0, LIFE_MAX.as_secs_f64());
    Duration::try_from_secs_f64(number).ok()
}

/// Whether an error's code may be repeated: the standards' are, and none of them holds a secret.
fn is_code(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    !text.is_empty() && text.len() <= CODE_MAX && text.bytes().all(plain)
}

impl Issued {
    /// The same, if it is a token that whoever has it may use.
    pub(super) fn bearer(self) -> Result<Self, OAuthError> {
        if self.kind.eq_ignore_ascii_case("bearer") {
            return Ok(self);
        }
        Err(OAuthError::Refused(
            "the token it gives is of another kind than was asked for".to_owned(),
        ))
    }
}

/// The parts of a form that are there.
pub(super) fn with_scopes<'a>(form: &mut Vec<(&'a str, &'a str)>, scopes: &Scopes, text: &'a str) {
    if !scopes.is_empty() {
        form.push(("scope", text));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    #[test]
    fn a_client_proves_itself_in_a_way_that_is_supported() {
        let secret = Proof::Secret(Secret::new("s".to_owned()));
        for (proof, supported, expected) in [
            (&Proof::Nothing, None, Method::Nothing),
            (&secret, None, Method::Basic),
            (
                &secret,
                Some(&["client_secret_post", "client_secret_basic"][..]),
                Method::Basic,
            ),
            (&secret, Some(&["client_secret_post"]), Method::Post),
            (&secret, Some(&["none"]), Method::Nothing),
            (&secret, Some(&["tls_client_auth"]), Method::Basic),
            (
                &Proof::Nothing,
                Some(&["client_secret_basic"]),
                Method::Nothing,
            ),
        ] {
            let supported: Option<Vec<_>> =
                supported.map(|all| all.iter().map(ToString::to_string).collect());
            assert_eq!(method(proof, supported.as_deref()), expected);
        }
    }

    #[test]
    fn a_token_is_read_with_how_long_it_lasts() {
        for (lasts, expected) in [
            (json!(60), Some(61_000)),
            (json!("60"), Some(61_000)),
            (json!(-5), Some(1_000)),
            (json!(1e300), Some(1_000 + 24 * 3_600_000)),
            (json!(null), None),
            (json!("soon"), None),
        ] {
            let body = json!({"access_token": "t", "token_type": "bearer", "expires_in": lasts});
            let issued = read(200, body.to_string().as_bytes(), NOW).unwrap();
            assert_eq!(issued.expires, expected.map(Timestamp), "{lasts}");
            assert_eq!(issued.bearer().unwrap().token.expose(), "t");
        }
    }

    #[test]
    fn what_is_no_bearer_token_is_not_sent_anywhere() {
        let read = |body: serde_json::Value| {
            let issued = read(200, body.to_string().as_bytes(), NOW).map_err(OAuthError::from)?;
            issued.bearer()
        };
        for body in [
            json!({"access_token": "t", "token_type": "N_A"}),
            json!({"access_token": "t", "token_type": "DPoP"}),
            json!({"access_token": "", "token_type": "Bearer"}),
            json!({"access_token": "a\r\nb", "token_type": "Bearer"}),
            json!({"access_token": "x".repeat(TOKEN_MAX + 1), "token_type": "Bearer"}),
            json!({"access_token": "t"}),
            json!({"error": "invalid_grant"}),
            json!([]),
        ] {
            assert!(matches!(read(body), Err(OAuthError::Refused(_))));
        }
    }

    #[test]
    fn a_refusal_tells_its_code_and_nothing_else() {
        let denied = |status, body: &str| read(status, body.as_bytes(), NOW).unwrap_err();
        let code = denied(
            400,
            r#"{"error": "invalid_grant", "error_description": "secret"}"#,
        );
        assert_eq!(code, Denied::Code("invalid_grant".to_owned()));
        for (status, body) in [
            (400, r#"{"error": "my secret is"}"#),
            (401, "secret"),
            (302, ""),
        ] {
            let Denied::Failed(OAuthError::Refused(what)) = denied(status, body) else {
                panic!("{body}");
            };
            assert!(!what.contains("secret"), "{what}");
        }
        for status in [429, 500, 503] {
            let passing = denied(status, "");
            assert!(matches!(
                passing,
                Denied::Failed(OAuthError::Unreachable(_))
            ));
        }
    }

    /// What answers are made of, right or wrong.
    const PIECES: [&str; 13] = [
        "{",
        "}",
        "\"access_token\":",
        "\"token_type\":",
        "\"expires_in\":",
        "\"error\":",
        ",",
        "\"Bearer\"",
        "\"a\"",
        "1e999",
        "-1",
        "null",
        "[",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        #[test]
        fn no_answer_is_too_strange_to_be_read(
            is_good in any::<bool>(),
            pieces in prop::collection::vec(0..PIECES.len(), 0..12)
        ) {
            let body: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
            let _read_or_not = read(if is_good { 200 } else { 400 }, body.as_bytes(), NOW);
        }
    }
}
