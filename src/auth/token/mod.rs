//! Access tokens: whether one was issued for us by an issuer we trust, and what it says.
//!
//! [`Issuers`] holds the trusted issuers. A token with three parts is signed: it is taken apart
//! ([`jwt`]), its signature checked with the keys of the issuer it names ([`keys`]), and what it says
//! compared with what is asked ([`claims`]). Any other token only its issuer understands, and is
//! asked about it ([`provider`]).
//!
//! It does not read headers (`auth::bearer`) nor write challenges (`auth::challenge`), and it knows
//! of no tool: scopes are only read here.
//!
//! Invariants:
//! - Nothing of a token is believed before its signature is checked; before that, `iss` and `kid`
//!   only choose among keys that are trusted anyway.
//! - An issuer is asked for keys once per 30 seconds at most because of what tokens say, and by one
//!   request at a time.
//! - That an issuer cannot be reached is never said to be the token's fault.
//! - No token and no secret is in any message, nor kept.
//!
//! Concurrency: no lock is held while anybody is asked; who asks for keys is a task of its own.
//!
//! Spec: RFC 6750, RFC 7515, RFC 7517, RFC 7519, RFC 7662, RFC 8414, RFC 8725, RFC 9068; MCP
//! authorization, token handling.

mod algorithm;
mod claims;
mod config;
mod freshness;
mod jwt;
mod kept;
mod key_set;
mod keys;
mod provider;
mod refusal;
#[cfg(test)]
mod tests;
mod verified;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Semaphore;

pub use algorithm::Algorithm;
use claims::Expected;
pub use config::{Introspection, IssuerConfig, IssuersError, Keys, Kind, LEEWAY_MAX, MAX_STALE};
pub use jwt::TOKEN_BYTES_MAX;
use kept::{Digest, Kept, Outcome};
use keys::KeyCache;
use provider::{Introspector, Provider};
pub use refusal::{Refusal, Retry, Step};
pub use verified::Verified;

use crate::egress::Egress;
use crate::runtime::clock::Clock;
use crate::runtime::ratelimited::warn_ratelimited;
use crate::runtime::seal;
use crate::runtime::tasks::Tasks;

/// Questions about tokens that wait for an answer: more would fill an issuer that is slow already.
const QUESTIONS_MAX: usize = 64;
/// When to come back after a question was not answered, or could not even be asked.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// The issuers whose tokens are trusted.
#[derive(Debug)]
pub struct Issuers {
    trusted: Vec<Issuer>,
    /// Who is asked about tokens that are not signed, if anybody: at most one of the issuers.
    introspector: Option<(usize, Introspector)>,
    questions: Semaphore,
    kept: Kept,
    clock: Clock,
    tasks: Tasks,
}

#[derive(Debug)]
struct Issuer {
    config: IssuerConfig,
    keys: Arc<KeyCache>,
}

impl Issuers {
    /// Trusts these issuers. Nobody is asked before a token comes.
    ///
    /// # Errors
    /// When they cannot be trusted together, or cannot be asked.
    pub fn new(
        configs: Vec<IssuerConfig>,
        egress: &Egress,
        clock: &Clock,
        tasks: &Tasks,
    ) -> Result<Self, IssuersError> {
        config::check(&configs)?;
        let mut introspector = None;
        let mut trusted = Vec::with_capacity(configs.len());
        for (at, config) in configs.into_iter().enumerate() {
            if let Some(introspection) = &config.introspection {
                let asked = Introspector::new(&config, introspection, egress.clone())?;
                introspector = Some((at, asked));
            }
            let provider = Provider::new(&config, egress.clone())?;
            let keys = KeyCache::new(provider, config.max_stale, clock.clone(), tasks.clone());
            trusted.push(Issuer { config, keys });
        }
        Ok(Self {
            trusted,
            introspector,
            questions: Semaphore::new(QUESTIONS_MAX),
            kept: Kept::default(),
            clock: clock.clone(),
            tasks: tasks.clone(),
        })
    }

    /// The identifiers of the issuers, for the metadata of a protected resource.
    pub fn identifiers(&self) -> impl Iterator<Item = &str> {
        self.trusted.iter().map(|issuer| &*issuer.config.issuer)
    }

    /// Checks a token that is to be for `audience`: the canonical URL of an endpoint.
    ///
    /// # Errors
    /// The first step that it does not pass.
    ///
    /// # Cancel safety
    /// May be dropped at any await.
    pub async fn verify(&self, token: &str, audience: &str) -> Result<Arc<Verified>, Refusal> {
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::of(Step::Size));
        }
        let digest = seal::digest(&[token.as_bytes(), audience.as_bytes()]);
        if let Some(outcome) = self.kept(&digest).await? {
            return outcome.map_err(Refusal::of);
        }
        if jwt::is_signed(token) {
            self.verify_signed(token, audience, digest).await
        } else {
            self.ask_about(token, audience, digest).await
        }
    }

    /// How the same token did a moment ago, if the keys it was checked with are still the keys.
    async fn kept(&self, digest: &Digest) -> Result<Option<Result<Arc<Verified>, Step>>, Refusal> {
        let Some(outcome) = self.kept.find(digest, self.clock.now()) else {
            return Ok(None);
        };
        let is_current = match outcome.keys {
            None => true,
            Some((at, generation)) => {
                let held = self.trusted[at].keys.current().await?;
                held.generation == generation
            }
        };
        Ok(is_current.then_some(outcome.verified))
    }

    async fn verify_signed(
        &self,
        token: &str,
        audience: &str,
        digest: Digest,
    ) -> Result<Arc<Verified>, Refusal> {
        let parsed = jwt::parse(token).map_err(Refusal::of)?;
        let named = parsed.claims.get("iss").and_then(Value::as_str);
        let is_named = |issuer: &Issuer| named == Some(&*issuer.config.issuer);
        let at = self.trusted.iter().position(is_named);
        let at = at.ok_or(Refusal::of(Step::Issuer))?;
        let Issuer { config, keys } = &self.trusted[at];
        if !config.algorithms.contains(&parsed.algorithm) {
            return Err(Refusal::of(Step::Algorithm));
        }
        let held = keys.check(&parsed).await?;
        let expected = self.expected(config, audience);
        let verified = claims::of_signed(parsed.claims, parsed.kind.as_deref(), expected);
        let verified = Arc::new(verified.map_err(Refusal::of)?);
        let outcome = Outcome {
            verified: Ok(verified.clone()),
            until: verified.expires.min(expected.now.after(kept::AGE_MAX)),
            keys: Some((at, held.generation)),
        };
        self.kept.keep(digest, token.len(), outcome);
        Ok(verified)
    }

    async fn ask_about(
        &self,
        token: &str,
        audience: &str,
        digest: Digest,
    ) -> Result<Arc<Verified>, Refusal> {
        let (at, introspector) = self.introspector.as_ref().ok_or(Refusal::of(Step::Parts))?;
        let config = &self.trusted[*at].config;
        let asked = self.clock.now();
        let permit = self.questions.try_acquire();
        let permit = permit.map_err(|_| Refusal::unreachable(ASK_AGAIN))?;
        // The connection belongs to the main runtime: the next request may come on another.
        let answer = self.tasks.inside(introspector.ask(token)).await;
        drop(permit);
        let said = answer.map_err(|error| {
            warn_ratelimited!(
                "an issuer did not say what a token is",
                issuer = &*config.issuer,
                %error
            );
            Refusal::unreachable(ASK_AGAIN)
        })?;
        let until = asked.after(kept::AGE_MAX);
        let verified = claims::of_introspected(said.claims, until, self.expected(config, audience));
        let verified = verified.map(Arc::new);
        let outcome = Outcome {
            until: match &verified {
                Ok(verified) => verified.expires.min(until),
                Err(_) => until,
            },
            verified: verified.clone(),
            keys: None,
        };
        self.kept.keep(digest, said.bytes, outcome);
        verified.map_err(Refusal::of)
    }

    fn expected<'a>(&self, config: &'a IssuerConfig, audience: &'a str) -> Expected<'a> {
        Expected {
            issuer: config,
            audience: config.audience.as_deref().unwrap_or(audience),
            now: self.clock.now(),
        }
    }
}
