//! Finding who issues credentials for a server.
//!
//! A document that is there and is about somebody else ends the search: going on would let whoever
//! put it there choose what is found next. One that is not there does not.
//!
//! Spec: 2026-07-28 basic/authorization, discovery; 2025-03-26 basic/authorization, for servers that
//! are their own authorization servers.

use serde::de::DeserializeOwned;
use url::Url;

use super::challenge::Challenge;
use super::error::OAuthError;
use super::metadata::{ResourceMetadata, ServerMetadata};
use super::scopes::Scopes;
use crate::egress::{Destination, Egress, EgressError};

/// An authorization server that was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// What it says of itself.
    pub(super) metadata: ServerMetadata,
    /// Where it said so: who names its endpoints.
    at: Destination,
}

/// A server, and who issues credentials for it.
#[derive(Clone, Debug)]
pub(super) struct Discovered {
    pub(super) issuer: Found,
    /// Who the server is, as it says itself, to the letter.
    pub(super) resource: String,
    /// The scopes it lists.
    pub(super) scopes: Option<Scopes>,
}

impl Found {
    /// Where it issues tokens.
    pub(super) fn token_endpoint(&self) -> Result<Destination, OAuthError> {
        self.endpoint(self.metadata.token_endpoint.as_deref())
    }

    /// Where people log in.
    pub(super) fn authorization_endpoint(&self) -> Result<Destination, OAuthError> {
        self.endpoint(self.metadata.authorization_endpoint.as_deref())
    }

    /// Where clients register, if they may.
    pub(super) fn registration_endpoint(&self) -> Result<Destination, OAuthError> {
        let place = self.metadata.registration_endpoint.as_deref();
        self.endpoint(Some(place.ok_or(OAuthError::Unregistered)?))
    }

    fn endpoint(&self, place: Option<&str>) -> Result<Destination, OAuthError> {
        let place = place.ok_or_else(|| {
            let what = "the authorization server does not say where".to_owned();
            OAuthError::Undiscovered(what)
        })?;
        named(&self.at, place)
    }
}

/// Who issues credentials for this server. With `issuer` no other than that may be named.
pub(super) async fn of_server(
    egress: &Egress,
    server: &Url,
    challenge: Option<&Challenge>,
    issuer: Option<&str>,
) -> Result<Discovered, OAuthError> {
    let here = configured(server.as_str())?;
    let told = challenge.and_then(|challenge| challenge.metadata.clone());
    let places = told.into_iter().chain(ResourceMetadata::places(server));
    for place in places {
        let place = named(&here, &place)?;
        let Some(metadata) = fetch::<ResourceMetadata>(egress, &place).await? else {
            continue;
        };
        metadata.are_about(server)?;
        let issuer = chosen(&metadata, issuer)?;
        let url = Url::parse(issuer);
        let url = url.map_err(|_| untrusted("the authorization server's name is no URL"))?;
        return Ok(Discovered {
            issuer: of_metadata(egress, issuer, ServerMetadata::places(&url), Some(&place)).await?,
            resource: metadata.resource,
            scopes: metadata.scopes_supported,
        });
    }
    Ok(Discovered {
        issuer: server_itself(egress, &here, issuer).await?,
        resource: canonical(server),
        scopes: None,
    })
}

/// An authorization server that is configured.
pub(super) async fn of_issuer(egress: &Egress, issuer: &str) -> Result<Found, OAuthError> {
    let url = configured(issuer)?;
    of_metadata(egress, issuer, ServerMetadata::places(url.url()), None).await
}

/// What a server is called that does not say so itself.
pub(super) fn canonical(server: &Url) -> String {
    let mut server = server.clone();
    server.set_fragment(None);
    let text = server.as_str();
    let is_bare = server.path() == "/" && server.query().is_none();
    if is_bare {
        text.trim_end_matches('/')
    } else {
        text
    }
    .to_owned()
}

/// Which of those that a server names is used: the one that is configured, or the first.
fn chosen<'a>(
    metadata: &'a ResourceMetadata,
    configured: Option<&'a str>,
) -> Result<&'a str, OAuthError> {
    let all = &metadata.authorization_servers;
    match configured {
        Some(issuer) if all.iter().any(|it| it == issuer) => Ok(issuer),
        Some(_) => Err(untrusted(
            "the server does not name the authorization server that is configured",
        )),
        None => all.first().map(String::as_str).ok_or_else(|| {
            let what = "the server's metadata name no authorization server".to_owned();
            OAuthError::Undiscovered(what)
        }),
    }
}

/// The metadata of an issuer that `by` named, or our own configuration did.
async fn of_metadata(
    egress: &Egress,
    issuer: &str,
    places: Vec<String>,
    by: Option<&Destination>,
) -> Result<Found, OAuthError> {
    for place in places {
        let at = match by {
            Some(by) => named(by, &place)?,
            None => configured(&place)?,
        };
        if let Some(metadata) = fetch::<ServerMetadata>(egress, &at).await? {
            metadata.are_of(issuer)?;
            return Ok(Found { metadata, at });
        }
    }
    Err(OAuthError::Undiscovered(
        "the authorization server has no metadata".to_owned(),
    ))
}

/// A server without metadata of its own is its own authorization server, as 2025-03-26 has it.
async fn server_itself(
    egress: &Egress,
    server: &Destination,
    issuer: Option<&str>,
) -> Result<Found, OAuthError> {
    let origin = server.url().origin().ascii_serialization();
    if issuer.is_some_and(|issuer| issuer != origin) {
        return Err(untrusted(
            "the server does not name the authorization server that is configured",
        ));
    }
    let root = server.url().join("/");
    let root = root.map_err(|_| untrusted("its URL has no root"))?;
    let place = ServerMetadata::places(&root).swap_remove(0);
    let at = named(server, &place)?;
    let Some(metadata) = fetch::<ServerMetadata>(egress, &at).await? else {
        let metadata = ServerMetadata::by_default(&origin);
        return Ok(Found { metadata, at });
    };
    // That revision knows nothing of comparing issuers; but it has to be the same server.
    let of = Url::parse(&metadata.issuer);
    if of.is_ok_and(|of| of.origin() == server.url().origin()) {
        return Ok(Found { metadata, at });
    }
    Err(untrusted("the server's metadata are of another issuer"))
}

/// A document, if it is there.
async fn fetch<T: DeserializeOwned>(
    egress: &Egress,
    at: &Destination,
) -> Result<Option<T>, OAuthError> {
    let answer = egress.get(at).await.map_err(unanswered)?;
    if answer.status.is_server_error() || answer.status.as_u16() == 429 {
        let what = format!("HTTP {} for its metadata", answer.status.as_u16());
        return Err(OAuthError::Unreachable(what));
    }
    if !answer.status.is_success() {
        return Ok(None);
    }
    // Some servers have a page for whatever is asked.
    Ok(answer.json().ok())
}

/// What it means that somebody gave no answer.
pub(super) fn unanswered(error: EgressError) -> OAuthError {
    if error.is_retryable() {
        OAuthError::Unreachable(error.to_string())
    } else {
        OAuthError::Untrusted(error.to_string())
    }
}

pub(super) fn configured(url: &str) -> Result<Destination, OAuthError> {
    Destination::configured(url).map_err(|error| OAuthError::Untrusted(error.to_string()))
}

fn named(by: &Destination, url: &str) -> Result<Destination, OAuthError> {
    by.names(url).map_err(|error| {
        let what = format!("what is named as a place of it may not be asked: {error}");
        OAuthError::Untrusted(what)
    })
}

fn untrusted(what: &str) -> OAuthError {
    OAuthError::Untrusted(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_called_by_its_url() {
        for (url, expected) in [
            ("https://H/mcp", "https://h/mcp"),
            ("https://h/mcp/", "https://h/mcp/"),
            ("https://h/", "https://h"),
            ("https://h:8443/mcp?a=b#c", "https://h:8443/mcp?a=b"),
        ] {
            assert_eq!(canonical(&Url::parse(url).unwrap()), expected);
        }
    }

    #[test]
    fn the_configured_authorization_server_must_be_among_those_that_are_named() {
        let named = |names: &[&str]| ResourceMetadata {
            resource: String::new(),
            authorization_servers: names.iter().map(ToString::to_string).collect(),
            scopes_supported: None,
        };
        for (names, configured, expected) in [
            (&["a", "b"][..], None, Some("a")),
            (&["a", "b"], Some("b"), Some("b")),
            (&["a"], Some("b"), None),
            (&[], None, None),
        ] {
            let metadata = named(names);
            assert_eq!(chosen(&metadata, configured).ok(), expected, "{names:?}");
        }
    }
}
