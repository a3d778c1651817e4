//! An issuer as it is asked: for its metadata, for its keys, and about tokens.
//!
//! Everything goes through the [egress guard](crate::egress). What the metadata name was learned
//! from the issuer, so it may lie where the issuer does or in public, and nowhere else.
//!
//! Spec: RFC 8414 section 3; `OpenID` Connect Discovery section 4; RFC 7517 section 5; RFC 7662.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use url::Url;

use super::config::{Introspection, IssuerConfig, IssuersError, Keys};
use super::jwt;
use super::key_set::{KeySet, KeySetError};
use crate::egress::{Answer, Authorization, Destination, Egress, EgressError, NotAllowed};
use crate::runtime::clock::Timestamp;

/// How long what the metadata say is believed: an issuer that moves its keys leaves the old ones
/// where they were for much longer.
const METADATA_AGE_MAX: Duration = Duration::from_secs(60 * 60);

/// An issuer's keys cannot be had, or nothing about a token; completes "failed because …".
#[derive(Debug, thiserror::Error)]
pub(super) enum ProviderError {
    /// There is no answer.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// The answer is that there is none.
    #[error("{what} was answered with status {status}")]
    Status {
        /// What was asked for.
        what: &'static str,
        /// The answer.
        status: u16,
    },
    /// The answer is something else.
    #[error("{0} is not the JSON document it should be")]
    Malformed(&'static str),
    /// They are somebody else's.
    #[error("the metadata name another issuer than the configured one, letter by letter")]
    OtherIssuer,
    /// They do not say where its keys are.
    #[error("the metadata name no place of keys that may be asked: {0}")]
    NoKeys(NotAllowed),
    /// They are none.
    #[error("the key set {0}")]
    KeySet(#[from] KeySetError),
}

/// One issuer.
#[derive(Debug)]
pub(super) struct Provider {
    issuer: Arc<str>,
    /// Where its metadata may be; nothing where its keys are configured.
    metadata: Vec<Destination>,
    /// Where its keys are, and when that was learned.
    keys: Mutex<Option<(Destination, Timestamp)>>,
    egress: Egress,
}

impl Provider {
    /// The issuer of a configuration.
    ///
    /// # Errors
    /// When it is nowhere that can be asked.
    pub(super) fn new(config: &IssuerConfig, egress: Egress) -> Result<Self, IssuersError> {
        let (metadata, keys) = match &config.keys {
            Keys::At(url) => (Vec::new(), Some(destination(config, url)?)),
            Keys::Discovered => {
                let urls = metadata_urls(&config.issuer);
                let metadata = urls.iter().map(|url| destination(config, url));
                (metadata.collect::<Result<_, _>>()?, None)
            }
        };
        Ok(Self {
            issuer: config.issuer.clone(),
            metadata,
            keys: Mutex::new(keys.map(|keys| (keys, Timestamp(u64::MAX)))),
            egress,
        })
    }

    /// Who it is.
    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Its keys as they are now.
    pub(super) async fn keys(&self, now: Timestamp) -> Result<KeySet, ProviderError> {
        let destination = match self.known(now) {
            Some(known) => known,
            None => self.discover(now).await?,
        };
        let keys = self.keys_at(&destination).await;
        if keys.is_err() && !self.metadata.is_empty() {
            // Maybe they are somewhere else now.
            *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        keys
    }

    fn known(&self, now: Timestamp) -> Option<Destination> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let (destination, learned) = keys.as_ref()?;
        (now.since(*learned) <= METADATA_AGE_MAX).then(|| destination.clone())
    }

    async fn keys_at(&self, destination: &Destination) -> Result<KeySet, ProviderError> {
        let answer = self.egress.get(destination).await?;
        is_ok(&answer, "the key set")?;
        Ok(KeySet::read(&answer.body)?)
    }

    /// Learns where its keys are.
    async fn discover(&self, now: Timestamp) -> Result<Destination, ProviderError> {
        let mut refused = None;
        for place in &self.metadata {
            let answer = self.egress.get(place).await?;
            match is_ok(&answer, "the metadata") {
                Ok(()) => return self.learn(place, &answer, now),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.expect("invariant: metadata are somewhere where keys are not configured"))
    }

    fn learn(
        &self,
        place: &Destination,
        answer: &Answer,
        now: Timestamp,
    ) -> Result<Destination, ProviderError> {
        let destination = keys_named_by(place, answer, &self.issuer)?;
        let learned = Some((destination.clone(), now));
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = learned;
        Ok(destination)
    }
}

/// What an issuer says of a token.
#[derive(Debug)]
pub(super) struct Said {
    /// What that is.
    pub(super) claims: Map<String, Value>,
    /// The bytes it took to say it.
    pub(super) bytes: usize,
}

/// How an issuer is asked about a token.
#[derive(Debug)]
pub(super) struct Introspector {
    endpoint: Destination,
    authorization: Authorization,
    egress: Egress,
}

impl Introspector {
    /// Asks as a configuration says.
    ///
    /// # Errors
    /// When that is nowhere that can be asked.
    pub(super) fn new(
        config: &IssuerConfig,
        introspection: &Introspection,
        egress: Egress,
    ) -> Result<Self, IssuersError> {
        Ok(Self {
            endpoint: destination(config, &introspection.endpoint)?,
            authorization: Authorization::client_secret(
                &introspection.client_id,
                &introspection.secret,
            ),
            egress,
        })
    }

    /// What the issuer says of a token.
    pub(super) async fn ask(&self, token: &str) -> Result<Said, ProviderError> {
        let form = [("token", token), ("token_type_hint", "access_token")];
        let asked = self
            .egress
            .post_form(&self.endpoint, &form, &self.authorization);
        let answer = asked.await?;
        is_ok(&answer, "the question about a token")?;
        let claims = jwt::object(&answer.body);
        Ok(Said {
            claims: claims.map_err(|_| ProviderError::Malformed("the answer about a token"))?,
            bytes: answer.body.len(),
        })
    }
}

fn destination(config: &IssuerConfig, url: &Url) -> Result<Destination, IssuersError> {
    Destination::configured(url.as_str()).map_err(|reason| IssuersError::NotAsked {
        issuer: config.issuer.clone(),
        url: url.clone(),
        reason,
    })
}

/// Where the metadata of an issuer may be: as `OpenID` Connect has it, then as RFC 8414 does.
fn metadata_urls(issuer: &str) -> Vec<Url> {
    let Ok(issuer) = Url::parse(issuer) else {
        return Vec::new();
    };
    let path = issuer.path().trim_end_matches('/');
    let paths = [
        format!("{path}/.well-known/openid-configuration"),
        format!("/.well-known/oauth-authorization-server{path}"),
    ];
    let at = |path: &String| {
        let mut url = issuer.clone();
        url.set_path(path);
        url
    };
    paths.iter().map(at).collect()
}

fn keys_named_by(
    place: &Destination,
    answer: &Answer,
    issuer: &str,
) -> Result<Destination, ProviderError> {
    let metadata =
        jwt::object(&answer.body).map_err(|_| ProviderError::Malformed("the metadata"))?;
    if metadata.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err(ProviderError::OtherIssuer);
    }
    let url = metadata.get("jwks_uri").and_then(Value::as_str);
    let url = url.unwrap_or_default();
    place.names(url).map_err(ProviderError::NoKeys)
}

fn is_ok(answer: &Answer, what: &'static str) -> Result<(), ProviderError> {
    let status = answer.status.as_u16();
    if status == 200 {
        Ok(())
    } else {
        Err(ProviderError::Status { what, status })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_are_looked_for_where_the_standards_say() {
        for (issuer, expected) in [
            (
                "https://a.example",
                [
                    "https://a.example/.well-known/openid-configuration",
                    "https://a.example/.well-known/oauth-authorization-server",
                ],
            ),
            (
                "https://a.example:8443/realms/one/",
                [
                    "https://a.example:8443/realms/one/.well-known/openid-configuration",
                    "https://a.example:8443/.well-known/oauth-authorization-server/realms/one",
                ],
            ),
        ] {
            let urls = metadata_urls(issuer);
            assert!(urls.iter().map(Url::as_str).eq(expected), "{urls:?}");
        }
    }
}
