//! The ways to a token, each from what is known to what is issued.
//!
//! A grant keeps nothing of tokens in use: that is [`super::holder`]. It keeps what makes the next way
//! shorter: an issuer's metadata, whom it acts for, who it is at which authorization server.
//!
//! Spec: OAuth 2.1 section 4; the extension oauth-client-credentials.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use url::Url;

use super::browser::Browser;
use super::challenge::Challenge;
use super::config::{ClientCredentials, Config, CrossApp, Issuer, Registered};
use super::cross_app::cross_app;
use super::discovery::{self, Found, canonical, configured};
use super::error::OAuthError;
use super::exchange::Exchange;
use super::logins::Logins;
use super::scopes::{self, Offered, Scopes};
use super::token::{Issued, TokenEndpoint, with_scopes};
use crate::egress::Egress;
use crate::runtime::clock::{Clock, Timestamp};

/// How long an issuer's metadata are good.
const METADATA_AGE_MAX: Duration = Duration::from_secs(600);

/// A token is wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Want {
    /// What the server said when it refused a request, if it did.
    pub(super) challenge: Option<Challenge>,
    /// The scopes that were asked for before.
    pub(super) before: Scopes,
    /// Whether the scopes of a token that is there are too few: then refreshing it is of no use.
    pub(super) is_step_up: bool,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) issued: Issued,
    /// The scopes that were asked for.
    pub(super) asked: Scopes,
}

/// What all grants of a server need.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    pub(super) server: Url,
    pub(super) egress: Egress,
    pub(super) clock: Clock,
}

/// See the module docs.
#[derive(Debug)]
pub(super) enum Grant {
    Machine(ClientCredentials, Metadata),
    Exchange(Exchange),
    Login(Box<Logins>),
    CrossApp(Box<CrossApp>, Metadata, Metadata),
}

/// What is known of an issuer that is configured. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(super) struct Metadata(Arc<Mutex<Option<(Timestamp, Found)>>>);

impl Grant {
    pub(super) fn new(config: Config, browser: Arc<dyn Browser>) -> Self {
        match config {
            Config::ClientCredentials(config) => Self::Machine(config, Metadata::default()),
            Config::TokenExchange(config) => {
                Self::Exchange(Exchange::new(config, Metadata::default()))
            }
            Config::AuthorizationCode(config) => {
                Self::Login(Box::new(Logins::new(config, browser)))
            }
            Config::CrossApp(config) => {
                Self::CrossApp(Box::new(config), Metadata::default(), Metadata::default())
            }
        }
    }

    /// The same of which nothing is known yet, but what issuers say of themselves.
    pub(super) fn for_another(&self) -> Self {
        match self {
            Self::Machine(config, metadata) => Self::Machine(config.clone(), metadata.clone()),
            Self::Exchange(exchange) => Self::Exchange(exchange.for_another()),
            Self::Login(logins) => Self::Login(Box::new(logins.for_another())),
            Self::CrossApp(config, provider, issuer) => {
                Self::CrossApp(config.clone(), provider.clone(), issuer.clone())
            }
        }
    }

    /// Whether a token can be had before the server asks for one.
    pub(super) fn is_up_front(&self) -> bool {
        match self {
            Self::Machine(..) | Self::Exchange(_) | Self::CrossApp(..) => true,
            Self::Login(logins) => logins.can_be_prolonged(),
        }
    }

    pub(super) async fn acquire(
        &self,
        ground: &Ground,
        want: &Want,
    ) -> Result<Granted, OAuthError> {
        match self {
            Self::Machine(config, metadata) => machine(config, metadata, ground, want).await,
            Self::Exchange(exchange) => exchange.acquire(ground, want).await,
            Self::Login(logins) => logins.acquire(ground, want).await,
            Self::CrossApp(config, provider, issuer) => {
                cross_app(config, provider, issuer, ground, want).await
            }
        }
    }
}

impl Want {
    pub(super) fn challenged(&self) -> Option<&Scopes> {
        self.challenge.as_ref()?.scopes.as_ref()
    }

    /// The scopes to ask for where people need not be asked.
    pub(super) fn scopes(&self, configured: &Scopes) -> Scopes {
        scopes::wanted(&Offered {
            configured: Some(configured),
            challenged: self.challenged(),
            before: Some(&self.before),
            ..Offered::default()
        })
    }
}

impl Metadata {
    /// Where a configured issuer gives tokens.
    pub(super) async fn endpoint(
        &self,
        ground: &Ground,
        issuer: &Issuer,
    ) -> Result<TokenEndpoint, OAuthError> {
        if let Some(url) = &issuer.token_url {
            return Ok(TokenEndpoint {
                at: configured(url)?,
                audience: issuer.issuer.clone(),
                methods: None,
            });
        }
        if let Some(found) = self.young(ground.clock.now()) {
            return endpoint(&found, None);
        }
        let found = discovery::of_issuer(&ground.egress, &issuer.issuer).await?;
        *self.lock() = Some((ground.clock.now(), found.clone()));
        endpoint(&found, None)
    }

    fn young(&self, now: Timestamp) -> Option<Found> {
        let known = self.lock();
        let (at, found) = known.as_ref()?;
        (now.since(*at) < METADATA_AGE_MAX).then(|| found.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Timestamp, Found)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where an authorization server gives tokens, to a client that is known by this method.
pub(super) fn endpoint(
    found: &Found,
    method: Option<&String>,
) -> Result<TokenEndpoint, OAuthError> {
    let supported = &found.metadata.token_endpoint_auth_methods_supported;
    Ok(TokenEndpoint {
        at: found.token_endpoint()?,
        audience: found.metadata.issuer.clone(),
        methods: method
            .map(|it| vec![it.clone()])
            .or_else(|| supported.clone()),
    })
}

/// The client asks as itself.
async fn machine(
    config: &ClientCredentials,
    metadata: &Metadata,
    ground: &Ground,
    want: &Want,
) -> Result<Granted, OAuthError> {
    let endpoint = metadata.endpoint(ground, &config.issuer).await?;
    let asked = want.scopes(&config.scopes);
    let (resource, text) = (ground.resource(config.resource.as_ref()), asked.to_string());
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("resource", &resource),
    ];
    with_scopes(&mut form, &asked, &text);
    let issued = ground
        .ask(&endpoint, &config.client, &form)
        .await?
        .bearer()?;
    Ok(Granted { issued, asked })
}

impl Ground {
    /// What the server is called in tokens.
    pub(super) fn resource(&self, configured: Option<&String>) -> String {
        configured
            .cloned()
            .unwrap_or_else(|| canonical(&self.server))
    }

    pub(super) async fn ask(
        &self,
        endpoint: &TokenEndpoint,
        client: &Registered,
        form: &[(&str, &str)],
    ) -> Result<Issued, OAuthError> {
        Ok(endpoint
            .ask(&self.egress, &self.clock, client, form)
            .await?)
    }
}
