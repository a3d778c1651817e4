//! What a token says against what is asked of it, whoever vouches for that: a signature, or the
//! issuer itself.
//!
//! Pure: what is expected and the time are handed in.
//!
//! Spec: RFC 7519 section 4.1; RFC 9068 sections 2.2 and 4; RFC 7662 section 2.2; RFC 8725.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::config::{IssuerConfig, Kind};
use super::refusal::Step;
use super::verified::Verified;
use crate::runtime::clock::Timestamp;

/// What providers call the client: RFC 9068, `OpenID` Connect, Okta, Microsoft's older tokens.
const CLIENT: [&str; 4] = ["client_id", "azp", "cid", "appid"];
/// What they call scopes: RFC 9068, and Microsoft and Okta.
const SCOPES: [&str; 2] = ["scope", "scp"];
/// What only an ID token has (`OpenID` Connect Core sections 2, 3.1.3.6 and 3.3.2.11).
const OF_ID_TOKENS: [&str; 4] = ["nonce", "at_hash", "c_hash", "s_hash"];

/// What is asked of a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    /// Who must have issued it.
    pub(super) issuer: &'a IssuerConfig,
    /// Whom it must be for.
    pub(super) audience: &'a str,
    /// The time.
    pub(super) now: Timestamp,
}

/// Checks what a token with a good signature says; `kind` is its header's `typ`.
///
/// # Errors
/// The first step that it does not pass.
pub(super) fn of_signed(
    claims: Map<String, Value>,
    kind: Option<&str>,
    expected: Expected<'_>,
) -> Result<Verified, Step> {
    check_kind(&claims, kind, expected.issuer.kind)?;
    check_issuer(&claims, expected)?;
    check_audience(&claims, expected.audience)?;
    let expires = check_times(&claims, expected)?.ok_or(Step::Times)?;
    accept(claims, expires, expected)
}

/// Checks what an issuer said of a token when asked; `unsaid` is until when it holds if it does not
/// say.
///
/// # Errors
/// The first step that it does not pass.
pub(super) fn of_introspected(
    claims: Map<String, Value>,
    unsaid: Timestamp,
    expected: Expected<'_>,
) -> Result<Verified, Step> {
    if claims.get("active") != Some(&Value::Bool(true)) {
        return Err(Step::Inactive);
    }
    match text(&claims, "token_type") {
        Ok(None) => {}
        Ok(Some(named)) if named.eq_ignore_ascii_case("Bearer") => {}
        Ok(Some(_)) | Err(()) => return Err(Step::Type),
    }
    if claims.contains_key("iss") {
        check_issuer(&claims, expected)?;
    }
    check_audience(&claims, expected.audience)?;
    let expires = check_times(&claims, expected)?.unwrap_or(unsaid);
    accept(claims, expires, expected)
}

/// The last steps, the same for both.
fn accept(
    claims: Map<String, Value>,
    expires: Timestamp,
    expected: Expected<'_>,
) -> Result<Verified, Step> {
    let client = client(&claims)?;
    let subject = match text(&claims, "sub") {
        // Nobody could be named by it, in a rule or on a command line.
        Ok(Some(subject)) if subject.contains(char::is_control) => return Err(Step::Subject),
        Ok(Some(subject)) => subject.into(),
        // A service that acts for itself.
        Ok(None) => client.clone().ok_or(Step::Subject)?,
        Err(()) => return Err(Step::Subject),
    };
    let scopes = scopes(&claims)?;
    if claims.contains_key("cnf") {
        return Err(Step::Bound);
    }
    Ok(Verified {
        issuer: expected.issuer.issuer.clone(),
        tenant: expected.issuer.tenant.clone(),
        subject,
        client,
        scopes,
        claims,
        expires,
    })
}

/// A media type is compared without its prefix and without regard to case (RFC 7515 section 4.1.9).
fn check_kind(claims: &Map<String, Value>, kind: Option<&str>, asked: Kind) -> Result<(), Step> {
    let kind = kind.map(str::to_ascii_lowercase);
    let kind = kind.as_deref();
    let kind = kind.map(|kind| kind.strip_prefix("application/").unwrap_or(kind));
    match (kind, asked) {
        (Some("at+jwt"), Kind::Declared | Kind::Lenient) => Ok(()),
        (None | Some("jwt"), Kind::Lenient) if !is_some_other(claims) => Ok(()),
        (_, Kind::Declared | Kind::Lenient) => Err(Step::Type),
    }
}

/// Whether a token whose header does not say what it is, is seen to be no access token: by what only
/// ID tokens have, or by what Keycloak (`typ`) and Cognito (`token_use`) say of theirs.
fn is_some_other(claims: &Map<String, Value>) -> bool {
    let says_other = |name, access: &str| {
        claims.get(name).is_some_and(|said| {
            let said = said.as_str();
            !said.is_some_and(|said| said.eq_ignore_ascii_case(access))
        })
    };
    OF_ID_TOKENS.iter().any(|name| claims.contains_key(*name))
        || says_other("typ", "Bearer")
        || says_other("token_use", "access")
}

fn check_issuer(claims: &Map<String, Value>, expected: Expected<'_>) -> Result<(), Step> {
    match claims.get("iss") {
        Some(Value::String(issuer)) if **issuer == *expected.issuer.issuer => Ok(()),
        Some(_) | None => Err(Step::Issuer),
    }
}

/// One audience, or a list that has ours: nothing else in the list.
fn check_audience(claims: &Map<String, Value>, ours: &str) -> Result<(), Step> {
    let named = match claims.get("aud") {
        Some(Value::String(one)) => one == ours,
        Some(Value::Array(several)) => {
            several.iter().all(Value::is_string) && several.iter().any(|one| one == ours)
        }
        Some(_) | None => false,
    };
    if named { Ok(()) } else { Err(Step::Audience) }
}

/// When it expires, if it says so. Within the leeway it is as if it had not yet.
fn check_times(
    claims: &Map<String, Value>,
    expected: Expected<'_>,
) -> Result<Option<Timestamp>, Step> {
    let leeway = expected.issuer.leeway;
    let expires = time(claims, "exp")?;
    if expires.is_some_and(|expires| expires.after(leeway) <= expected.now) {
        return Err(Step::Expired);
    }
    for name in ["nbf", "iat"] {
        if time(claims, name)?.is_some_and(|from| from > expected.now.after(leeway)) {
            return Err(Step::Early);
        }
    }
    Ok(expires)
}

/// Seconds since the epoch, maybe with a fraction (RFC 7519 section 2), and a number in any case.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, Step> {
    let Some(said) = claims.get(name) else {
        return Ok(None);
    };
    let seconds = said.as_f64().ok_or(Step::Times)?;
    // Before the epoch is the epoch: long ago. Beyond what a duration holds is as good as never.
    let since = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
    Ok(Some(Timestamp(0).after(since)))
}

fn client(claims: &Map<String, Value>) -> Result<Option<Arc<str>>, Step> {
    for name in CLIENT {
        match text(claims, name) {
            Ok(None) => {}
            Ok(Some(client)) => return Ok(Some(client.into())),
            Err(()) => return Err(Step::Subject),
        }
    }
    Ok(None)
}

/// A text with something in it, if there is any of that name.
fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, ()> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(()),
    }
}

/// Separated by spaces (RFC 6749 section 3.3), or a list as some write it.
fn scopes(claims: &Map<String, Value>) -> Result<BTreeSet<Arc<str>>, Step> {
    let Some(said) = SCOPES.iter().find_map(|name| claims.get(*name)) else {
        return Ok(BTreeSet::new());
    };
    let words: Vec<&str> = match said {
        Value::String(text) => text.split(' ').filter(|word| !word.is_empty()).collect(),
        Value::Array(list) => {
            let words: Option<_> = list.iter().map(Value::as_str).collect();
            words.ok_or(Step::Scopes)?
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            return Err(Step::Scopes);
        }
    };
    if words.iter().all(|word| is_scope(word)) {
        Ok(words.into_iter().map(Into::into).collect())
    } else {
        Err(Step::Scopes)
    }
}

/// Visible ASCII but for the quotation mark and the backslash.
fn is_scope(word: &str) -> bool {
    let is_letter = |letter: u8| matches!(letter, b'!' | b'#'..=b'[' | b']'..=b'~');
    !word.is_empty() && word.bytes().all(is_letter)
}
