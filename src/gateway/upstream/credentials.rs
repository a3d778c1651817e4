//! What an upstream lets us in by: nothing of ours, one credential for everybody, or one for each caller.
//!
//! What a caller came with goes nowhere but to an exchange at who issued it
//! ([`crate::client::oauth`]). The lists of an upstream that is asked in callers' names are read with a
//! token of the gateway's own, from the same issuer.
//!
//! Invariant: a credential that is of one principal is used on lines of that principal only.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::client::oauth::{
    ClientCredentials, Config, Loopback, Means, OAuth, OAuthError, Subject, TokenExchange,
};
use crate::client::{ClientError, Credentials};
use crate::egress::Egress;
use crate::identity::Principal;
use crate::runtime::clock::Clock;
use crate::runtime::tasks::Tasks;
use crate::service::CallerToken;

/// Callers whose tokens for one upstream are kept: as many as may have a line to it over HTTP.
const CALLERS_MAX: usize = super::HTTP_LINES_MAX;
/// How long somebody has to log in. Then it is asked anew when the upstream is needed.
const LOGIN: Duration = Duration::from_secs(600);
/// Where a browser comes back to where nobody logs in.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// See the module docs.
#[derive(Debug)]
pub(super) enum Keys {
    /// None, or headers that never change.
    Nothing,
    /// One for all.
    Own(OAuth),
    /// One for each caller.
    Callers(Callers),
}

/// What is needed to get credentials.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Issuing {
    pub(in crate::gateway) egress: Egress,
    pub(in crate::gateway) clock: Clock,
}

/// The tokens of callers.
#[derive(Debug)]
pub(super) struct Callers {
    /// Reads the lists.
    own: OAuth,
    /// What those of callers are made after.
    nobodys: OAuth,
    by_principal: Mutex<HashMap<Principal, OAuth>>,
}

impl Keys {
    pub(super) fn new(
        upstream: &str,
        url: &str,
        config: Config,
        issuing: Issuing,
        tasks: Tasks,
    ) -> Result<Self, ClientError> {
        let callback = match &config {
            Config::AuthorizationCode(config) => config.callback,
            Config::ClientCredentials(_) | Config::TokenExchange(_) | Config::CrossApp(_) => {
                NOWHERE
            }
        };
        let name = upstream.to_owned();
        let browser = Loopback::new(callback, LOGIN, tasks.clone(), move |url| {
            tracing::warn!(upstream = name, open = %url, "an upstream waits for somebody to log in");
        });
        let means = Means {
            egress: issuing.egress,
            clock: issuing.clock,
            tasks,
            browser: Arc::new(browser),
        };
        let oauth = |config| -> Result<OAuth, ClientError> {
            OAuth::new(url, config, means.clone()).map_err(ClientError::Credential)
        };
        Ok(match config {
            Config::TokenExchange(exchange) => Self::Callers(Callers {
                own: oauth(Config::ClientCredentials(own(&exchange)))?,
                nobodys: oauth(Config::TokenExchange(exchange))?,
                by_principal: Mutex::default(),
            }),
            config => Self::Own(oauth(config)?),
        })
    }

    /// What lists are read with.
    pub(super) fn own(&self) -> Option<Arc<dyn Credentials>> {
        match self {
            Self::Nothing => None,
            Self::Own(oauth) => Some(Arc::new(oauth.clone())),
            Self::Callers(callers) => Some(Arc::new(callers.own.clone())),
        }
    }

    /// What requests of a principal are made with.
    pub(super) fn of(&self, principal: &Principal) -> Option<Arc<dyn Credentials>> {
        match self {
            Self::Nothing | Self::Own(_) => self.own(),
            Self::Callers(callers) => Some(Arc::new(callers.of(principal))),
        }
    }

    /// Whether each caller has one: then no two may share a line.
    pub(super) const fn are_of_callers(&self) -> bool {
        matches!(self, Self::Callers(_))
    }

    /// Whether a caller can be let in by what they came with, or by what was exchanged for it before.
    pub(super) fn take(
        &self,
        principal: &Principal,
        presented: Option<&CallerToken>,
    ) -> Result<(), OAuthError> {
        let Self::Callers(callers) = self else {
            return Ok(());
        };
        let oauth = callers.of(principal);
        match presented {
            Some(presented) => oauth.act_for(Subject {
                issuer: presented.issuer.to_string(),
                token: presented.token.clone(),
                expires: presented.expires,
            }),
            None if oauth.is_good() => {}
            None => return Err(OAuthError::NoCaller),
        }
        Ok(())
    }
}

impl Callers {
    fn of(&self, principal: &Principal) -> OAuth {
        let mut kept = self
            .by_principal
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(oauth) = kept.get(principal) {
            return oauth.clone();
        }
        if kept.len() >= CALLERS_MAX {
            kept.retain(|_, oauth| oauth.is_good());
        }
        if kept.len() >= CALLERS_MAX
            && let Some(somebody) = kept.keys().next().cloned()
        {
            // They exchange once more.
            kept.remove(&somebody);
        }
        let oauth = self.nobodys.for_another();
        kept.insert(principal.clone(), oauth.clone());
        oauth
    }
}

/// The gateway itself, as the same client at the same issuer.
fn own(exchange: &TokenExchange) -> ClientCredentials {
    ClientCredentials {
        issuer: exchange.issuer.clone(),
        client: exchange.client.clone(),
        scopes: exchange.scopes.clone(),
        resource: exchange.resource.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::oauth::{Issuer, Proof, Registered, Scopes};
    use crate::egress::Settings;
    use crate::runtime::secret::Secret;

    const ISSUER: &str = "http://127.0.0.1:1";

    /// Credentials of callers, by an issuer that is not there.
    fn of_callers() -> Keys {
        let config = Config::TokenExchange(TokenExchange {
            issuer: Issuer {
                issuer: ISSUER.to_owned(),
                token_url: Some(format!("{ISSUER}/token")),
            },
            client: Registered {
                id: "us".to_owned(),
                proof: Proof::Nothing,
            },
            scopes: Scopes::default(),
            resource: None,
            audience: None,
        });
        let issuing = Issuing {
            egress: Egress::new(Settings::default()).unwrap(),
            clock: Clock::system(),
        };
        let tasks = Tasks::on(tokio::runtime::Handle::current());
        Keys::new("crm", "http://127.0.0.1:1/mcp", config, issuing, tasks).unwrap()
    }

    #[tokio::test]
    async fn what_one_caller_came_with_is_used_for_nobody_else() {
        let keys = of_callers();
        let (alice, bob) = (Principal::from_key("alice"), Principal::from_key("bob"));
        assert!(keys.are_of_callers());
        assert_eq!(keys.take(&alice, None), Err(OAuthError::NoCaller));

        let presented = |issuer: &str| CallerToken {
            issuer: issuer.into(),
            token: Secret::new("hers".to_owned()),
            expires: None,
        };
        assert_eq!(keys.take(&alice, Some(&presented(ISSUER))), Ok(()));

        let current = async |principal| keys.of(principal).unwrap().current().await;
        let hers = current(&alice).await;
        assert!(matches!(hers, Err(OAuthError::Unreachable(_))), "{hers:?}");
        assert_eq!(current(&bob).await, Err(OAuthError::NoCaller));

        // Who did not issue it does not see it.
        let foreign = presented("https://elsewhere.example");
        assert_eq!(keys.take(&bob, Some(&foreign)), Ok(()));
        assert_eq!(current(&bob).await, Err(OAuthError::NoCaller));
    }
}
