//! Whose tokens are trusted, and how they are checked.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::algorithm::Algorithm;
use crate::egress::NotAllowed;

/// Most that clocks may differ: beyond it, tokens would outlive themselves.
pub const LEEWAY_MAX: Duration = Duration::from_secs(60);
/// How long keys are used while their issuer cannot be reached, unless it is said.
pub const MAX_STALE: Duration = Duration::from_secs(60 * 60);

/// An issuer of tokens.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// Its identifier: what `iss` says, compared letter by letter.
    pub issuer: Arc<str>,
    /// The tenant all its callers belong to.
    pub tenant: Arc<str>,
    /// What `aud` must have, for issuers that cannot name our endpoints.
    pub audience: Option<Arc<str>>,
    /// Where its keys are.
    pub keys: Keys,
    /// How it may sign.
    pub algorithms: Vec<Algorithm>,
    /// Whether it says what its tokens are.
    pub kind: Kind,
    /// How it is asked about tokens that only it understands.
    pub introspection: Option<Introspection>,
    /// How much its clock may differ from ours.
    pub leeway: Duration,
    /// How long its keys are used while it cannot be reached.
    pub max_stale: Duration,
}

impl IssuerConfig {
    /// An issuer that follows the standards, and whose metadata says where its keys are.
    #[must_use]
    pub fn new(issuer: &str, tenant: &str) -> Self {
        Self {
            issuer: issuer.into(),
            tenant: tenant.into(),
            audience: None,
            keys: Keys::Discovered,
            algorithms: Algorithm::ALL.to_vec(),
            kind: Kind::Declared,
            introspection: None,
            leeway: Duration::from_secs(30),
            max_stale: MAX_STALE,
        }
    }
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Where its metadata says.
    Discovered,
    /// Here.
    At(Url),
}

/// What the header of an access token says of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `at+jwt` (RFC 9068 section 2.1).
    Declared,
    /// Maybe nothing, as with providers older than that. What is seen to be some other token is
    /// refused all the same.
    Lenient,
}

/// How an issuer is asked about tokens (RFC 7662).
#[derive(Clone)]
pub struct Introspection {
    /// Where.
    pub endpoint: Url,
    /// Who we are to it.
    pub client_id: String,
    /// How we prove that.
    pub secret: zeroize::Zeroizing<String>,
}

impl std::fmt::Debug for Introspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Introspection")
            .field("endpoint", &self.endpoint.as_str())
            .field("client_id", &self.client_id)
            .field("secret", &"[redacted]")
            .finish()
    }
}

/// Why issuers cannot be trusted together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuersError {
    /// An issuer belongs to one tenant, and is checked in one way.
    #[error("the issuer {0:?} is there twice")]
    Twice(Arc<str>),
    /// It is no URL that can be asked.
    #[error("the issuer {0:?} is not an http or https URL without query, fragment and user")]
    NotAUrl(Arc<str>),
    /// Whose an unreadable token is, cannot be seen; to ask around would tell it to strangers.
    #[error("only one issuer can be asked about tokens: {0:?} and {1:?} are to be")]
    SeveralAsked(Arc<str>, Arc<str>),
    /// Clocks differ by less.
    #[error("the leeway of the issuer {0:?} is longer than {LEEWAY_MAX:?}")]
    Leeway(Arc<str>),
    /// Where it, its keys or its answers are, is nowhere that can be asked.
    #[error("the issuer {issuer:?} cannot be asked at {url}: {reason}")]
    NotAsked {
        /// The issuer.
        issuer: Arc<str>,
        /// Where.
        url: Url,
        /// Why.
        reason: NotAllowed,
    },
    /// Nothing could be accepted.
    #[error("the issuer {0:?} may sign in no way at all")]
    NoAlgorithm(Arc<str>),
}

/// Checks that `issuers` can be trusted together.
pub(super) fn check(issuers: &[IssuerConfig]) -> Result<(), IssuersError> {
    for (at, config) in issuers.iter().enumerate() {
        let name = || config.issuer.clone();
        if issuers[..at]
            .iter()
            .any(|other| other.issuer == config.issuer)
        {
            return Err(IssuersError::Twice(name()));
        }
        if !is_identifier(&config.issuer) {
            return Err(IssuersError::NotAUrl(name()));
        }
        if config.leeway > LEEWAY_MAX {
            return Err(IssuersError::Leeway(name()));
        }
        if config.algorithms.is_empty() {
            return Err(IssuersError::NoAlgorithm(name()));
        }
    }
    let mut asked = issuers
        .iter()
        .filter(|config| config.introspection.is_some());
    match (asked.next(), asked.next()) {
        (Some(one), Some(other)) => Err(IssuersError::SeveralAsked(
            one.issuer.clone(),
            other.issuer.clone(),
        )),
        (_, _) => Ok(()),
    }
}

/// RFC 8414 section 2, with http for those on our own machines.
fn is_identifier(issuer: &str) -> bool {
    Url::parse(issuer).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(url: &str) -> IssuerConfig {
        IssuerConfig::new(url, "t")
    }

    fn asked(url: &str) -> IssuerConfig {
        IssuerConfig {
            introspection: Some(Introspection {
                endpoint: "https://a.example/introspect".parse().unwrap(),
                client_id: "us".to_owned(),
                secret: "canary".to_owned().into(),
            }),
            ..issuer(url)
        }
    }

    #[test]
    fn issuers_that_would_be_taken_for_each_other_are_refused() {
        let (a, b) = ("https://a.example", "https://b.example/b");
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[issuer(a), asked(b)]), Ok(()));
        let twice = check(&[issuer(a), issuer(b), asked(a)]);
        assert_eq!(twice, Err(IssuersError::Twice(a.into())));
        let several = check(&[asked(a), asked(b)]);
        assert_eq!(several, Err(IssuersError::SeveralAsked(a.into(), b.into())));
        for wrong in [
            "a.example",
            "https://u@a.example",
            "https://a.example?b",
            "file:///a",
            "https://a.example/#",
        ] {
            assert_eq!(
                check(&[issuer(wrong)]),
                Err(IssuersError::NotAUrl(wrong.into()))
            );
        }
        let leeway = Duration::from_secs(61);
        let slow = IssuerConfig {
            leeway,
            ..issuer(a)
        };
        assert_eq!(check(&[slow]), Err(IssuersError::Leeway(a.into())));
        let algorithms = Vec::new();
        let mute = IssuerConfig {
            algorithms,
            ..issuer(a)
        };
        assert_eq!(check(&[mute]), Err(IssuersError::NoAlgorithm(a.into())));
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert!(!format!("{:?}", asked("https://a.example")).contains("canary"));
    }
}
