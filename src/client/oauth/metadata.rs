//! The documents that say who lets clients in: those of a server and of an authorization server,
//! where they are, and whether they are about whom they should be.
//!
//! Values only; [`super::discovery`] fetches them.
//!
//! Spec: RFC 9728; RFC 8414; OpenID Connect Discovery 1.0; 2026-07-28 basic/authorization, discovery.

use serde::Deserialize;
use url::Url;

use super::error::OAuthError;
use super::scopes::Scopes;

// Where documents are, by their standards.
const RESOURCE: &str = "/.well-known/oauth-protected-resource";
const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

/// The one method of PKCE that hides the verifier.
const S256: &str = "S256";

/// What a server says of itself (RFC 9728).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ResourceMetadata {
    /// Who it is, as tokens for it say.
    pub(super) resource: String,
    /// Who issues those.
    #[serde(default)]
    pub(super) authorization_servers: Vec<String>,
    #[serde(default)]
    pub(super) scopes_supported: Option<Scopes>,
}

/// What an authorization server says of itself (RFC 8414).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ServerMetadata {
    pub(super) issuer: String,
    pub(super) authorization_endpoint: Option<String>,
    pub(super) token_endpoint: Option<String>,
    pub(super) registration_endpoint: Option<String>,
    pub(super) scopes_supported: Option<Scopes>,
    pub(super) code_challenge_methods_supported: Option<Vec<String>>,
    pub(super) token_endpoint_auth_methods_supported: Option<Vec<String>>,
    pub(super) token_endpoint_auth_signing_alg_values_supported: Option<Vec<String>>,
    pub(super) client_id_metadata_document_supported: bool,
    pub(super) authorization_response_iss_parameter_supported: bool,
}

impl ResourceMetadata {
    /// Where they may be: where the challenge says, or else at the well-known places of the server.
    pub(super) fn places(server: &Url) -> Vec<String> {
        let origin = server.origin().ascii_serialization();
        let path = server.path().trim_end_matches('/');
        let mut places = vec![format!("{origin}{RESOURCE}{path}")];
        if !path.is_empty() {
            places.push(format!("{origin}{RESOURCE}"));
        }
        places
    }

    /// Whether they are about the server at this URL: the resource is that URL, or a place above it.
    ///
    /// # Errors
    /// [`OAuthError::Untrusted`].
    pub(super) fn are_about(&self, server: &Url) -> Result<(), OAuthError> {
        let resource = Url::parse(&self.resource).ok();
        let resource = resource.filter(|resource| {
            resource.origin() == server.origin()
                && resource.fragment().is_none()
                && is_at_or_below(server.path(), resource.path())
        });
        match resource {
            Some(_) => Ok(()),
            None => Err(OAuthError::Untrusted(
                "the server's metadata are about another server".to_owned(),
            )),
        }
    }
}

fn is_at_or_below(path: &str, above: &str) -> bool {
    let above = above.trim_end_matches('/');
    path.strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl ServerMetadata {
    /// Where those of an issuer may be, in the order in which they are looked for.
    pub(super) fn places(issuer: &Url) -> Vec<String> {
        let origin = issuer.origin().ascii_serialization();
        let path = issuer.path().trim_end_matches('/');
        let mut places = vec![
            format!("{origin}{OAUTH}{path}"),
            format!("{origin}{OPENID}{path}"),
        ];
        if !path.is_empty() {
            places.push(format!("{origin}{path}{OPENID}"));
        }
        places
    }

    /// Whether they are of this issuer, to the letter: otherwise one server could speak for another.
    ///
    /// # Errors
    /// [`OAuthError::Untrusted`].
    pub(super) fn are_of(&self, issuer: &str) -> Result<(), OAuthError> {
        if self.issuer == issuer {
            return Ok(());
        }
        Err(OAuthError::Untrusted(
            "the authorization server's metadata are of another issuer".to_owned(),
        ))
    }

    /// What 2025-03-26 has where a server has no metadata: it is its own authorization server.
    pub(super) fn by_default(origin: &str) -> Self {
        Self {
            issuer: origin.to_owned(),
            authorization_endpoint: Some(format!("{origin}/authorize")),
            token_endpoint: Some(format!("{origin}/token")),
            registration_endpoint: Some(format!("{origin}/register")),
            code_challenge_methods_supported: Some(vec![S256.to_owned()]),
            ..Self::default()
        }
    }

    /// Whether it keeps codes from who steals them: a client must not go on where it does not say so.
    ///
    /// # Errors
    /// [`OAuthError::Untrusted`].
    pub(super) fn protect_codes(&self) -> Result<(), OAuthError> {
        let methods = self.code_challenge_methods_supported.as_deref();
        if methods.is_some_and(|methods| methods.iter().any(|method| method == S256)) {
            return Ok(());
        }
        Err(OAuthError::Untrusted(
            "the authorization server does not say that it supports PKCE with S256".to_owned(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn metadata_have_their_places_in_order() {
        for (server, expected) in [
            (
                "https://h/a/mcp",
                &[
                    "https://h/.well-known/oauth-protected-resource/a/mcp",
                    "https://h/.well-known/oauth-protected-resource",
                ][..],
            ),
            (
                "http://h:81/",
                &["http://h:81/.well-known/oauth-protected-resource"],
            ),
        ] {
            assert_eq!(ResourceMetadata::places(&url(server)), expected);
        }
        for (issuer, expected) in [
            (
                "https://h",
                &[
                    "https://h/.well-known/oauth-authorization-server",
                    "https://h/.well-known/openid-configuration",
                ][..],
            ),
            (
                "https://h/t/",
                &[
                    "https://h/.well-known/oauth-authorization-server/t",
                    "https://h/.well-known/openid-configuration/t",
                    "https://h/t/.well-known/openid-configuration",
                ],
            ),
        ] {
            assert_eq!(ServerMetadata::places(&url(issuer)), expected);
        }
    }

    #[test]
    fn a_server_speaks_for_itself_only() {
        for (resource, server, is_right) in [
            ("https://h/mcp", "https://h/mcp", true),
            ("https://H/mcp", "https://h/mcp", true),
            ("https://h", "https://h/mcp", true),
            ("https://h/a/", "https://h/a/mcp", true),
            ("https://h/mc", "https://h/mcp", false),
            ("https://h/mcp/more", "https://h/mcp", false),
            ("https://h:8443/mcp", "https://h/mcp", false),
            ("http://h/mcp", "https://h/mcp", false),
            ("https://evil.example/mcp", "https://h/mcp", false),
            ("https://h/mcp#part", "https://h/mcp", false),
            ("mcp", "https://h/mcp", false),
        ] {
            let metadata: ResourceMetadata =
                serde_json::from_value(json!({"resource": resource})).unwrap();
            assert_eq!(
                metadata.are_about(&url(server)).is_ok(),
                is_right,
                "{resource} for {server}"
            );
        }
    }

    #[test]
    fn an_issuer_is_compared_letter_by_letter() {
        let metadata: ServerMetadata =
            serde_json::from_value(json!({"issuer": "https://h/t"})).unwrap();
        assert!(metadata.are_of("https://h/t").is_ok());
        for other in ["https://h/t/", "https://H/t", "https://h:443/t", ""] {
            assert!(metadata.are_of(other).is_err(), "{other}");
        }
    }

    #[test]
    fn codes_need_the_protection_that_is_announced() {
        for (methods, is_enough) in [
            (
                json!({"code_challenge_methods_supported": ["plain", "S256"]}),
                true,
            ),
            (
                json!({"code_challenge_methods_supported": ["plain"]}),
                false,
            ),
            (json!({}), false),
        ] {
            let metadata: ServerMetadata = serde_json::from_value(methods.clone()).unwrap();
            assert_eq!(metadata.protect_codes().is_ok(), is_enough, "{methods}");
        }
        assert!(
            ServerMetadata::by_default("https://h")
                .protect_codes()
                .is_ok()
        );
    }
}
