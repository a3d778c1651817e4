//! The token of one server, from the first to the last: got once for all who wait for it, got again in
//! time, and when the server refuses it.
//!
//! ```text
//! nothing ── wanted, or the server asks ──▶ getting ── issued ──▶ good ── refused, or soon over ──┐
//!    ▲                                        │  ▲                                               │
//!    └──────────── rested ──── failed ◀───────┘  └───────────────────────────────────────────────┘
//! ```
//!
//! What was found to be in vain is not tried again for a while, so that neither people nor
//! authorization servers are asked at every turn.
//!
//! Concurrency: getting a token is a task of its own; whoever wants it waits for that, and may leave.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use hyper::header::HeaderValue;
use url::Url;

use super::browser::Browser;
use super::config::Config;
use super::error::{Fault, OAuthError};
use super::grant::{Grant, Granted, Ground, Want};
use super::scopes::Scopes;
use super::subject::Subject;
use crate::client::credential::{Credentials, TurnedAway};
use crate::egress::Egress;
use crate::runtime::clock::{Clock, Timestamp};
use crate::runtime::tasks::{TaskKind, Tasks};

/// How long before its end a token is not sent any more: it has to be good when it arrives. Of one that
/// lasts less than twice as long, the second half.
const MARGIN: Duration = Duration::from_secs(60);
/// How often a server may ask for further scopes: it has some dozen tools, and each may want its own.
const STEP_UPS_MAX: u32 = 16;

/// See the module docs. Cloning shares it.
#[derive(Clone, Debug)]
pub struct OAuth(Arc<Inner>);

/// What it works with.
#[derive(Clone, Debug)]
pub struct Means {
    /// Asks authorization servers.
    pub egress: Egress,
    /// Says when tokens are over.
    pub clock: Clock,
    /// Where getting them runs.
    pub tasks: Tasks,
    /// Who logs in, where somebody has to.
    pub browser: Arc<dyn Browser>,
}

#[derive(Debug)]
struct Inner {
    ground: Ground,
    grant: Grant,
    tasks: Tasks,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Token>,
    /// The scopes that were asked for.
    asked: Scopes,
    step_ups: u32,
    getting: Option<Getting>,
    failed: Option<(Timestamp, OAuthError)>,
}

#[derive(Debug)]
struct Token {
    header: HeaderValue,
    /// When there should be another one.
    renew: Option<Timestamp>,
    /// Whether the server ever let a request in by it.
    was_accepted: bool,
}

type Getting = Shared<BoxFuture<'static, Result<(), OAuthError>>>;

impl OAuth {
    /// Tokens for the server at `url`, which is configured, by the grant that is.
    ///
    /// # Errors
    /// [`OAuthError::Untrusted`] when it is no URL.
    pub fn new(url: &str, config: Config, means: Means) -> Result<Self, OAuthError> {
        let server = Url::parse(url);
        let server = server.map_err(|_| OAuthError::Untrusted("its URL is none".to_owned()))?;
        let ground = Ground {
            server,
            egress: means.egress,
            clock: means.clock,
        };
        Ok(Self(Arc::new(Inner {
            ground,
            grant: Grant::new(config, means.browser),
            tasks: means.tasks,
            state: Mutex::default(),
        })))
    }

    /// Tokens of the same kind that are nobody else's: for another caller.
    #[must_use]
    pub fn for_another(&self) -> Self {
        Self(Arc::new(Inner {
            ground: self.0.ground.clone(),
            grant: self.0.grant.for_another(),
            tasks: self.0.tasks.clone(),
            state: Mutex::default(),
        }))
    }

    /// Whom it acts for from now on, where tokens are exchanged.
    pub fn act_for(&self, subject: Subject) {
        let Grant::Exchange(exchange) = &self.0.grant else {
            return;
        };
        if exchange.act_for(subject) {
            let mut state = self.0.lock();
            // What was refused was another token.
            let is_theirs = |(_, error): &(Timestamp, OAuthError)| error.fault() == Fault::Caller;
            if state.failed.as_ref().is_some_and(is_theirs) {
                state.failed = None;
            }
        }
    }

    /// Whether it has a token that is good for a while.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let state = self.0.lock();
        self.0.good(&state).is_some()
    }
}

impl Credentials for OAuth {
    fn current(&self) -> BoxFuture<'_, Result<Option<HeaderValue>, OAuthError>> {
        Box::pin(async move {
            let getting = {
                let mut state = self.0.lock();
                if let Some(header) = self.0.good(&state) {
                    return Ok(Some(header));
                }
                if !self.0.grant.is_up_front() && state.getting.is_none() {
                    return Ok(None);
                }
                let want = Want {
                    before: state.asked.clone(),
                    ..Want::default()
                };
                self.0.get(&mut state, want)?
            };
            getting.await?;
            Ok(self
                .0
                .lock()
                .token
                .as_ref()
                .map(|token| token.header.clone()))
        })
    }

    fn accepted(&self, sent: &HeaderValue) {
        let mut state = self.0.lock();
        let token = state.token.as_mut().filter(|token| token.header == *sent);
        if let Some(token) = token {
            token.was_accepted = true;
        }
    }

    fn refused(&self, how: TurnedAway) -> BoxFuture<'_, Result<(), OAuthError>> {
        Box::pin(async move {
            let getting = {
                let mut state = self.0.lock();
                let current = state.token.as_ref().map(|token| &token.header);
                if current.is_some() && current != how.sent.as_ref() {
                    // Somebody else was refused before, and another one is here already.
                    return Ok(());
                }
                let want = self.0.after(&mut state, how)?;
                self.0.get(&mut state, want)?
            };
            getting.await
        })
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn good(&self, state: &State) -> Option<HeaderValue> {
        let token = state.token.as_ref()?;
        let now = self.ground.clock.now();
        let is_good = token.renew.is_none_or(|renew| now < renew);
        is_good.then(|| token.header.clone())
    }

    /// What to want after the current token was refused.
    fn after(&self, state: &mut State, how: TurnedAway) -> Result<Want, OAuthError> {
        let before = state.asked.clone();
        let is_step_up = how.wants_more_scopes();
        let challenge = how.challenge;
        if is_step_up {
            let scopes = challenge
                .as_ref()
                .and_then(|challenge| challenge.scopes.as_ref());
            let are_new = scopes.is_some_and(|scopes| !scopes.are_within(&before));
            if !are_new || state.step_ups >= STEP_UPS_MAX {
                return Err(OAuthError::ScopesNotGranted);
            }
            state.step_ups += 1;
        } else if let Some(token) = state.token.take()
            && !token.was_accepted
        {
            return Err(self.rest(state, OAuthError::NotAccepted));
        }
        Ok(Want {
            challenge,
            before,
            is_step_up,
        })
    }

    /// Gets a token, or waits for the one that is being got.
    fn get(self: &Arc<Self>, state: &mut State, want: Want) -> Result<Getting, OAuthError> {
        if let Some(getting) = &state.getting {
            return Ok(getting.clone());
        }
        if let Some((until, error)) = &state.failed
            && self.ground.clock.now() < *until
        {
            return Err(error.clone());
        }
        let inner = self.clone();
        let getting = self.tasks.spawn(TaskKind::Upkeep, async move {
            let granted = inner.grant.acquire(&inner.ground, &want).await;
            inner.settle(granted)
        });
        let getting = async move {
            let cut = || OAuthError::Unreachable("getting a token was cut off".to_owned());
            getting.await.unwrap_or_else(|_| Err(cut()))
        };
        let getting = getting.boxed().shared();
        state.getting = Some(getting.clone());
        Ok(getting)
    }

    fn settle(&self, granted: Result<Granted, OAuthError>) -> Result<(), OAuthError> {
        let header = granted.and_then(|granted| {
            let text = zeroize::Zeroizing::new(format!("Bearer {}", granted.issued.token.expose()));
            let header = HeaderValue::from_str(&text);
            let mut header =
                header.map_err(|_| OAuthError::Refused("what it gives is no token".to_owned()))?;
            header.set_sensitive(true);
            Ok((header, granted))
        });
        let mut state = self.lock();
        state.getting = None;
        match header {
            Ok((header, granted)) => {
                state.token = Some(Token {
                    header,
                    renew: granted.issued.expires.map(|expires| {
                        let now = self.ground.clock.now();
                        let lasts = expires.since(now);
                        now.after(lasts.saturating_sub(MARGIN).max(lasts / 2))
                    }),
                    was_accepted: false,
                });
                state.asked = granted.asked;
                state.failed = None;
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, server = self.server(), "there is no credential for a server");
                Err(self.rest(&mut state, error))
            }
        }
    }

    fn rest(&self, state: &mut State, error: OAuthError) -> OAuthError {
        let until = self.ground.clock.now().after(error.rest());
        state.failed = Some((until, error.clone()));
        error
    }

    /// What it is called in the log.
    fn server(&self) -> &str {
        self.ground.server.host_str().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Challenge;
    use super::super::browser::Loopback;
    use super::super::config::{Issuer, Proof, Registered, TokenExchange};
    use super::super::token::Issued;
    use super::*;
    use crate::egress::Settings;
    use crate::runtime::secret::Secret;

    const START: Timestamp = Timestamp(1_000_000);

    /// Tokens of callers, from an issuer that is not there.
    fn holder() -> (OAuth, Clock) {
        let tasks = Tasks::on(tokio::runtime::Handle::current());
        let clock = Clock::manual(START);
        let nowhere = ([127, 0, 0, 1], 0).into();
        let means = Means {
            egress: Egress::new(Settings::default()).unwrap(),
            clock: clock.clone(),
            browser: Arc::new(Loopback::new(nowhere, MARGIN, tasks.clone(), |_| {})),
            tasks,
        };
        let config = Config::TokenExchange(TokenExchange {
            issuer: Issuer {
                issuer: "http://127.0.0.1:1".to_owned(),
                token_url: Some("http://127.0.0.1:1/token".to_owned()),
            },
            client: Registered {
                id: "us".to_owned(),
                proof: Proof::Nothing,
            },
            scopes: Scopes::default(),
            resource: None,
            audience: None,
        });
        let oauth = OAuth::new("http://127.0.0.1:1/mcp", config, means).unwrap();
        (oauth, clock)
    }

    /// A token was issued that lasts so long, for these scopes.
    fn issue(oauth: &OAuth, token: &str, lasts: Option<Duration>, scopes: &str) -> HeaderValue {
        let granted = Granted {
            issued: Issued {
                token: Secret::new(token.to_owned()),
                kind: "Bearer".to_owned(),
                type_of_token: None,
                expires: lasts.map(|lasts| oauth.0.ground.clock.now().after(lasts)),
                refresh: None,
            },
            asked: Scopes::parse(scopes),
        };
        oauth.0.settle(Ok(granted)).unwrap();
        HeaderValue::from_str(&format!("Bearer {token}")).unwrap()
    }

    fn turned_away(sent: &HeaderValue, more: Option<&str>) -> TurnedAway {
        TurnedAway {
            status: hyper::StatusCode::UNAUTHORIZED,
            challenge: more.map(|scopes| Challenge {
                scopes: Some(Scopes::parse(scopes)),
                error: Some("insufficient_scope".to_owned()),
                metadata: None,
            }),
            sent: Some(sent.clone()),
        }
    }

    #[tokio::test]
    async fn a_token_is_used_until_a_minute_before_its_end_or_for_half_its_life() {
        for (lasts, is_good_for) in [(3_600, 3_540), (120, 60), (60, 30)] {
            let (oauth, clock) = holder();
            issue(&oauth, "t", Some(Duration::from_secs(lasts)), "");
            clock.advance(Duration::from_secs(is_good_for - 1));
            assert!(oauth.is_good(), "{lasts}");
            clock.advance(Duration::from_secs(1));
            assert!(!oauth.is_good(), "{lasts}");
        }
        let (oauth, clock) = holder();
        issue(&oauth, "t", None, "");
        clock.advance(Duration::from_secs(1 << 30));
        assert!(oauth.is_good(), "nothing says when it ends");
    }

    #[tokio::test]
    async fn who_was_refused_by_a_token_of_before_goes_on_with_the_one_of_now() {
        let (oauth, _) = holder();
        let before = issue(&oauth, "before", None, "");
        let now = issue(&oauth, "now", None, "");
        assert_eq!(oauth.refused(turned_away(&before, None)).await, Ok(()));
        assert_eq!(oauth.current().await, Ok(Some(now)));
    }

    #[tokio::test]
    async fn a_fresh_token_that_is_refused_is_not_followed_by_another_for_a_while() {
        let (oauth, clock) = holder();
        let sent = issue(&oauth, "t", None, "");
        let refused = oauth.refused(turned_away(&sent, None)).await;
        assert_eq!(refused, Err(OAuthError::NotAccepted));
        assert_eq!(oauth.current().await, Err(OAuthError::NotAccepted));
        clock.advance(OAuthError::NotAccepted.rest());
        assert_eq!(
            oauth.current().await,
            Err(OAuthError::NoCaller),
            "it is tried anew"
        );
    }

    #[tokio::test]
    async fn a_token_that_was_good_once_is_followed_by_another() {
        let (oauth, _) = holder();
        let sent = issue(&oauth, "t", None, "");
        oauth.accepted(&sent);
        let refused = oauth.refused(turned_away(&sent, None)).await;
        assert_eq!(
            refused,
            Err(OAuthError::NoCaller),
            "one was tried to be got"
        );
    }

    #[tokio::test]
    async fn more_scopes_are_asked_for_once_and_together_with_those_of_before() {
        let (oauth, _) = holder();
        let sent = issue(&oauth, "t", None, "a");
        let refused = oauth.refused(turned_away(&sent, Some("a"))).await;
        assert_eq!(refused, Err(OAuthError::ScopesNotGranted));
        assert!(oauth.is_good(), "it is good for other things");
        let mut state = oauth.0.lock();
        let want = oauth
            .0
            .after(&mut state, turned_away(&sent, Some("b")))
            .unwrap();
        assert!(want.is_step_up);
        assert_eq!(want.before, Scopes::parse("a"));
        state.step_ups = STEP_UPS_MAX;
        let too_often = oauth.0.after(&mut state, turned_away(&sent, Some("c")));
        assert!(matches!(too_often, Err(OAuthError::ScopesNotGranted)));
    }

    #[tokio::test]
    async fn who_came_with_nothing_may_come_again_with_something() {
        let (oauth, _) = holder();
        assert_eq!(oauth.current().await, Err(OAuthError::NoCaller));
        oauth.act_for(Subject {
            issuer: "http://127.0.0.1:1".to_owned(),
            token: Secret::new("theirs".to_owned()),
            expires: None,
        });
        let asked = oauth.current().await;
        assert!(
            matches!(asked, Err(OAuthError::Unreachable(_))),
            "{asked:?}"
        );
    }
}
