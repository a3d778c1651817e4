//! A login in a browser: the URL it begins with, and what may be believed of the one it ends with.
//!
//! Spec: OAuth 2.1 section 4.1; RFC 7636 (S256); RFC 8707; RFC 9207; 2026-07-28 basic/authorization.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use url::Url;

use super::error::OAuthError;
use super::metadata::ServerMetadata;
use super::scopes::{OFFLINE_ACCESS, Scopes};
use crate::runtime::seal;
use crate::runtime::secret::Secret;

/// Bytes of what an error in a redirect says that are repeated.
const CODE_MAX: usize = 64;

/// A login that has begun. Its answer is taken once.
#[derive(Debug)]
pub(super) struct Login {
    /// Where it begins.
    pub(super) url: Url,
    state: String,
    verifier: Secret,
    issuer: String,
    names_issuer: bool,
}

/// What a login came to.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) code: Secret,
    pub(super) verifier: Secret,
}

impl Login {
    pub(super) fn begin(
        endpoint: &Url,
        metadata: &ServerMetadata,
        client: &str,
        redirect: &Url,
        resource: &str,
        scopes: &Scopes,
    ) -> Self {
        let random = || URL_SAFE_NO_PAD.encode(seal::random::<32>());
        let (state, verifier) = (random(), random());
        let hash = digest::digest(&digest::SHA256, verifier.as_bytes());
        let mut url = endpoint.clone();
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("response_type", "code")
                .append_pair("client_id", client)
                .append_pair("redirect_uri", redirect.as_str())
                .append_pair("state", &state)
                .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(hash))
                .append_pair("code_challenge_method", "S256")
                .append_pair("resource", resource);
            if !scopes.is_empty() {
                query.append_pair("scope", &scopes.to_string());
            }
            if scopes.has(OFFLINE_ACCESS) {
                // OpenID providers give no refresh token without.
                query.append_pair("prompt", "consent");
            }
        }
        Self {
            url,
            state,
            verifier: verifier.into(),
            issuer: metadata.issuer.clone(),
            names_issuer: metadata.authorization_response_iss_parameter_supported,
        }
    }

    /// Reads the URL that the browser was sent back to. Nothing of it is believed before it is known to
    /// belong to this login and to come from whom it was begun with.
    pub(super) fn end(self, answer: &Url) -> Result<Code, OAuthError> {
        let one = |name: &str| {
            let mut values = answer.query_pairs().filter(|(key, _)| key == name);
            match (values.next(), values.next()) {
                (Some((_, value)), None) => Some(value.into_owned()),
                _none_or_several => None,
            }
        };
        let state = one("state").unwrap_or_default();
        if verify_slices_are_equal(state.as_bytes(), self.state.as_bytes()).is_err() {
            return Err(OAuthError::Forged("it belongs to another login"));
        }
        let is_named = answer.query_pairs().any(|(key, _)| key == "iss");
        if is_named && one("iss").as_deref() != Some(&*self.issuer) {
            return Err(OAuthError::Forged(
                "it comes from another authorization server",
            ));
        }
        if self.names_issuer && !is_named {
            return Err(OAuthError::Forged("it does not say where it comes from"));
        }
        if let Some(error) = one("error") {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            let is_plain = error.len() <= CODE_MAX && error.bytes().all(plain);
            let error = if is_plain {
                error
            } else {
                "an error".to_owned()
            };
            return Err(OAuthError::Declined(error));
        }
        let code = one("code").ok_or(OAuthError::Forged("there is no code in it"))?;
        Ok(Code {
            code: code.into(),
            verifier: self.verifier,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn login(names_issuer: bool) -> Login {
        let metadata = ServerMetadata {
            issuer: "https://as".to_owned(),
            authorization_response_iss_parameter_supported: names_issuer,
            ..ServerMetadata::default()
        };
        let endpoint = Url::parse("https://as/authorize?kept=yes").unwrap();
        let redirect = Url::parse("http://127.0.0.1:7/callback").unwrap();
        let scopes = Scopes::parse("b a");
        Login::begin(
            &endpoint,
            &metadata,
            "us",
            &redirect,
            "https://h/mcp",
            &scopes,
        )
    }

    fn answer(pairs: &[(&str, &str)]) -> Url {
        Url::parse_with_params("http://127.0.0.1:7/callback", pairs).unwrap()
    }

    #[test]
    fn a_login_begins_with_all_that_protects_it() {
        let login = login(true);
        let asked: BTreeMap<_, _> = login.url.query_pairs().into_owned().collect();
        for (name, expected) in [
            ("kept", "yes"),
            ("response_type", "code"),
            ("client_id", "us"),
            ("redirect_uri", "http://127.0.0.1:7/callback"),
            ("resource", "https://h/mcp"),
            ("scope", "a b"),
            ("code_challenge_method", "S256"),
        ] {
            assert_eq!(asked[name], expected);
        }
        let hash = digest::digest(&digest::SHA256, login.verifier.expose().as_bytes());
        assert_eq!(asked["code_challenge"], URL_SAFE_NO_PAD.encode(hash));
        assert_eq!(login.verifier.expose().len(), 43);
        assert!(!login.url.as_str().contains(login.verifier.expose()));
        assert!(!asked.contains_key("prompt"));
        assert_ne!(self::login(true).state, login.state);
    }

    /// RFC 9207 with the table of 2026-07-28: what is sent is compared, whether it was announced or not.
    #[test]
    fn only_an_answer_to_this_login_from_its_issuer_is_believed() {
        for (names_issuer, issuer, is_believed) in [
            (true, Some("https://as"), true),
            (true, None, false),
            (true, Some("https://as/"), false),
            (true, Some("https://AS"), false),
            (true, Some("https://evil"), false),
            (false, None, true),
            (false, Some("https://as"), true),
            (false, Some("https://evil"), false),
        ] {
            let login = login(names_issuer);
            let state = login.state.clone();
            let mut pairs = vec![("code", "c"), ("state", &*state)];
            pairs.extend(issuer.map(|issuer| ("iss", issuer)));
            let ended = login.end(&answer(&pairs));
            assert_eq!(ended.is_ok(), is_believed, "{names_issuer} {issuer:?}");
        }
    }

    #[test]
    fn an_answer_without_this_state_is_nobodys() {
        for state in [&[][..], &["x"], &[""]] {
            let pairs = state.iter().map(|state| ("state", *state));
            let pairs = pairs.chain([("code", "c")]).collect::<Vec<_>>();
            let ended = login(false).end(&answer(&pairs));
            assert!(matches!(ended, Err(OAuthError::Forged(_))));
        }
        let login = login(false);
        let state = login.state.clone();
        let twice = [("state", &*state), ("state", "x"), ("code", "c")];
        assert!(login.end(&answer(&twice)).is_err());
    }

    #[test]
    fn who_declines_gives_no_code() {
        for (error, expected) in [("access_denied", "access_denied"), ("<b>!</b>", "an error")] {
            let login = login(false);
            let state = login.state.clone();
            let ended = login.end(&answer(&[
                ("state", &state),
                ("error", error),
                ("code", "c"),
            ]));
            assert_eq!(
                ended.unwrap_err(),
                OAuthError::Declined(expected.to_owned())
            );
        }
    }

    /// What answers are made of, right or wrong.
    const PIECES: [&str; 9] = ["state", "code", "iss", "error", "=", "&", "%6b", "a", "%00"];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        #[test]
        fn nothing_that_is_made_up_is_believed(
            pieces in prop::collection::vec(0..PIECES.len(), 0..12)
        ) {
            let query: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
            let mut url = answer(&[]);
            url.set_query(Some(&query));
            let login = Login {
                url: url.clone(),
                state: "cannot be guessed".to_owned(),
                verifier: "v".to_owned().into(),
                issuer: "a".to_owned(),
                names_issuer: false,
            };
            prop_assert!(login.end(&url).is_err());
        }
    }
}
