//! Who may come in at an endpoint, and what they may do there.
//!
//! A transport hands over what a request brings ([`Knock`]); [`Access::admit`] gives the [`Caller`] or
//! says why not. An endpoint may take several kinds of proof at once ([`Ways`]); what a request
//! presents is judged alone: a bad token is refused also where nothing would have done. What lives longer
//! than a request is kept open by a [`Hold`].
//!
//! What a caller who came in may do is for the [`Guard`], which stands before all services.

mod asked;
mod callers;
mod guard;
mod hold;
mod lists;
mod record;
mod rules;
mod ways;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use guard::{Guard, Parts};
pub use hold::{Hold, PERIOD};
pub use record::Recorder;
pub use rules::{Present, Rules};
pub use ways::{Tokens, Ways};

use crate::auth::certificate::Subject;
use crate::auth::challenge::{Challenge, Problem};
use crate::auth::presented::{Malformed, Presented};
use crate::auth::proxy::{ProxyRefusal, Said};
use crate::auth::token::{Refusal, Retry};
use crate::identity::{Caller, Origin};
use crate::keyring::KeyRefusal;
use crate::runtime::clock::Clock;
use crate::runtime::sabotage::{self, Bug};
use crate::service::CallerToken;
use callers::Callers;

/// The ways into one endpoint. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Access(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ways: Ways,
    /// Who everybody is where nothing has to be presented.
    anybody: Option<Arc<Caller>>,
    callers: Callers,
    recorder: Recorder,
    endpoint: Arc<str>,
    clock: Clock,
}

/// What a request brings.
#[derive(Debug)]
pub struct Knock<'a> {
    /// What it presents.
    pub presented: Presented,
    /// The other end of its connection.
    pub address: Option<IpAddr>,
    /// Whom the certificate of that connection is about.
    pub certificate: Option<&'a Subject>,
    /// All values of the header by which a proxy speaks ([`Access::proxy_header`]).
    pub asserted: &'a [&'a [u8]],
    /// What the client calls itself.
    pub user_agent: Option<&'a str>,
}

/// Somebody who came in.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Who.
    pub caller: Arc<Caller>,
    /// The token that says so, for where it is exchanged for another.
    pub credential: Option<Arc<CallerToken>>,
}

impl From<Arc<Caller>> for Admitted {
    fn from(caller: Arc<Caller>) -> Self {
        Self {
            caller,
            credential: None,
        }
    }
}

/// Why nobody was let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The request presents nothing that can be looked at.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A proof is needed; the text says nothing of what was wrong with the one that came.
    #[error("{}", challenge_text(.0.problem))]
    Challenged(Challenge),
    /// Whether the proof holds cannot be said now.
    #[error("credentials cannot be checked at the moment")]
    Unavailable(Duration),
}

/// How soon to come again where the store is away.
const SOON: Duration = Duration::from_secs(1);

const fn challenge_text(problem: Problem) -> &'static str {
    match problem {
        Problem::Missing => "a credential is required",
        Problem::InvalidToken => "the credential is not accepted",
        Problem::InsufficientScope => "the credential lacks a scope",
    }
}

impl Access {
    /// Everybody may come in, as [`Caller::local`].
    #[must_use]
    pub fn open() -> Self {
        let clock = Clock::system();
        let recorder = Recorder::new(None, clock.clone());
        let rules = Present::new(Rules::open());
        Self::by("", Ways::default(), rules, recorder, clock)
    }

    /// Whoever proves to be somebody in one of these ways may; everybody, if there is none. Roles that
    /// `rules` bind to callers are theirs from the start.
    #[must_use]
    pub fn by(
        endpoint: &str,
        ways: Ways,
        rules: Present,
        recorder: Recorder,
        clock: Clock,
    ) -> Self {
        let anybody = ways.is_empty().then(|| Arc::new(Caller::local()));
        Self(Arc::new(Inner {
            ways,
            anybody,
            callers: Callers::new(rules),
            recorder,
            endpoint: endpoint.into(),
            clock,
        }))
    }

    /// Who everybody is, where nothing has to be presented and nothing is looked at.
    #[must_use]
    pub fn anybody(&self) -> Option<&Arc<Caller>> {
        self.0.anybody.as_ref()
    }

    /// The header by which proxies speak, if any are believed.
    #[must_use]
    pub fn proxy_header(&self) -> Option<&str> {
        self.0.ways.proxy.as_ref().map(|proxy| &*proxy.header)
    }

    /// How tokens are judged here, if they are taken.
    #[must_use]
    pub fn tokens(&self) -> Option<&Tokens> {
        self.0.ways.tokens.as_ref()
    }

    /// Whose request it is.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn admit(&self, knock: Knock<'_>) -> Result<Admitted, Denied> {
        let from = (knock.address, knock.user_agent);
        let admitted = self.caller_of(knock).await?;
        self.0
            .recorder
            .admitted(&admitted.caller, &self.0.endpoint, || Origin {
                address: from.0,
                user_agent: from.1.map(str::to_owned),
            });
        Ok(admitted)
    }

    async fn caller_of(&self, knock: Knock<'_>) -> Result<Admitted, Denied> {
        match knock.presented {
            Presented::ApiKey(key) => {
                let Some(keyring) = &self.0.ways.keys else {
                    return Err(self.refused(&"API keys are not taken here"));
                };
                match keyring.verify(&key, knock.address).await {
                    Ok(record) => Ok(self.0.callers.of_key(&record).into()),
                    Err(KeyRefusal::Unavailable) => Err(Denied::Unavailable(SOON)),
                    Err(refusal) => Err(self.refused(&refusal)),
                }
            }
            Presented::NoApiKey => Err(self.refused(&"not written like an API key")),
            Presented::Token(token) => {
                let Some(tokens) = &self.0.ways.tokens else {
                    return Err(self.refused(&"tokens are not taken here"));
                };
                match tokens
                    .issuers
                    .verify(token.expose(), &tokens.audience)
                    .await
                {
                    Ok(verified) => Ok(Admitted {
                        caller: self.0.callers.of_token(&verified),
                        credential: Some(Arc::new(CallerToken {
                            issuer: verified.issuer.clone(),
                            token,
                            expires: Some(verified.expires),
                        })),
                    }),
                    Err(Refusal {
                        retry: Retry::After(after),
                        ..
                    }) => Err(Denied::Unavailable(after)),
                    Err(refusal) if sabotage::is(Bug::TokenLogged) => {
                        Err(self.refused(&format!("{refusal}: {}", token.expose())))
                    }
                    Err(refusal) => Err(self.refused(&refusal)),
                }
            }
            Presented::Nothing => Ok(self.caller_by_connection(&knock)?.into()),
        }
    }

    /// Whose connection it is, or who a proxy on its other end says they are.
    fn caller_by_connection(&self, knock: &Knock<'_>) -> Result<Arc<Caller>, Denied> {
        if let (Some(proxy), Some(address)) = (&self.0.ways.proxy, knock.address) {
            match proxy.verify(address, knock.asserted, self.0.clock.now()) {
                Ok(Said::Caller(asserted)) => return Ok(self.0.callers.of_proxy(&asserted)),
                Ok(Said::Stranger | Said::Nothing) => {}
                Err(refusal @ ProxyRefusal::Repeated) => {
                    let _challenge = self.refused(&refusal);
                    return Err(Malformed::SeveralAssertions.into());
                }
                Err(refusal) => return Err(self.refused(&refusal)),
            }
        }
        if let (true, Some(subject)) = (self.0.ways.certificates, knock.certificate) {
            return Ok(self.0.callers.of_certificate(subject));
        }
        self.0
            .recorder
            .turned_away(&self.0.endpoint, "nothing was presented");
        Err(self.challenged(Problem::Missing))
    }

    /// A refusal whose reason only the operator learns.
    fn refused(&self, reason: &dyn std::fmt::Display) -> Denied {
        tracing::info!(%reason, "a credential was refused");
        let reason = reason.to_string();
        self.0.recorder.turned_away(&self.0.endpoint, &reason);
        self.challenged(Problem::InvalidToken)
    }

    fn challenged(&self, problem: Problem) -> Denied {
        let scopes = self.tokens().map(|tokens| tokens.scopes.clone());
        Denied::Challenged(self.challenge(problem, scopes.unwrap_or_default()))
    }

    /// What would let a request pass that needs these scopes.
    pub(super) fn challenge(&self, problem: Problem, scopes: BTreeSet<Arc<str>>) -> Challenge {
        Challenge {
            problem,
            metadata: self.tokens().map(|tokens| tokens.metadata.clone()),
            scopes,
        }
    }
}
