//! An account that somebody logs in to: once in a browser, and then prolonged for as long as its
//! authorization server goes along.
//!
//! What is kept of an authorization server is kept under its name, and looked for under no other: a
//! server that names another one from now on is one to register with and log in at anew.
//!
//! Spec: OAuth 2.1 sections 4.1, 4.3; 2026-07-28 basic/authorization.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use url::Url;

use super::browser::Browser;
use super::config::AuthorizationCode;
use super::discovery::{self, Discovered};
use super::error::OAuthError;
use super::grant::{Granted, Ground, Want, endpoint};
use super::login::Login;
use super::registration::{self, Known};
use super::scopes::{self, Offered, Scopes};
use super::token::{Denied, Issued};
use crate::runtime::secret::Secret;

/// Authorization servers that one server had us register with, of which the registrations are kept.
const REGISTRATIONS_MAX: usize = 8;

/// Logins of one account.
#[derive(Debug)]
pub(super) struct Logins {
    config: AuthorizationCode,
    browser: Arc<dyn Browser>,
    kept: Mutex<Kept>,
}

/// What is kept by the issuer it is for, and shown to no other.
#[derive(Debug, Default)]
struct Kept {
    registrations: HashMap<(String, Url), Known>,
    refresh: Option<Refresh>,
}

#[derive(Clone, Debug)]
struct Refresh {
    issuer: String,
    token: Secret,
    client: Known,
}

impl Logins {
    pub(super) fn new(config: AuthorizationCode, browser: Arc<dyn Browser>) -> Self {
        Self {
            config,
            browser,
            kept: Mutex::default(),
        }
    }

    /// The same for another account.
    pub(super) fn for_another(&self) -> Self {
        Self::new(self.config.clone(), self.browser.clone())
    }

    /// Whether a token can be had without a login.
    pub(super) fn can_be_prolonged(&self) -> bool {
        self.lock().refresh.is_some()
    }

    pub(super) async fn acquire(
        &self,
        ground: &Ground,
        want: &Want,
    ) -> Result<Granted, OAuthError> {
        let (config, egress) = (&self.config, &ground.egress);
        let challenge = want.challenge.as_ref();
        let issuer = config.issuer.as_deref();
        let found = discovery::of_server(egress, &ground.server, challenge, issuer).await?;
        if let Some(issued) = self.refreshed(ground, want, &found).await? {
            let asked = want.before.clone();
            return Ok(Granted { issued, asked });
        }
        self.login(ground, want, &found).await
    }

    /// A token without a login, from the same issuer as before.
    async fn refreshed(
        &self,
        ground: &Ground,
        want: &Want,
        found: &Discovered,
    ) -> Result<Option<Issued>, OAuthError> {
        let kept = self.lock().refresh.clone();
        let kept =
            kept.filter(|kept| kept.issuer == found.issuer.metadata.issuer && !want.is_step_up);
        let Some(kept) = kept else {
            return Ok(None);
        };
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", kept.token.expose()),
            ("resource", &*found.resource),
        ];
        let endpoint = endpoint(&found.issuer, kept.client.method.as_ref())?;
        match endpoint
            .ask(&ground.egress, &ground.clock, &kept.client.client, &form)
            .await
        {
            Ok(issued) => {
                let issued = issued.bearer()?;
                if let Some(token) = &issued.refresh {
                    let token = token.clone();
                    self.lock().refresh = Some(Refresh { token, ..kept });
                }
                Ok(Some(issued))
            }
            Err(Denied::Failed(error @ OAuthError::Unreachable(_))) => Err(error),
            Err(denied) => {
                tracing::info!(error = %OAuthError::from(denied), "a login cannot be prolonged");
                self.lock().refresh = None;
                Ok(None)
            }
        }
    }

    async fn login(
        &self,
        ground: &Ground,
        want: &Want,
        found: &Discovered,
    ) -> Result<Granted, OAuthError> {
        let metadata = &found.issuer.metadata;
        metadata.protect_codes()?;
        let asked = scopes::wanted(&Offered {
            configured: Some(&self.config.scopes),
            challenged: want.challenged(),
            of_resource: found.scopes.as_ref(),
            of_issuer: metadata.scopes_supported.as_ref(),
            before: Some(&want.before),
            refreshes: true,
        });
        let expected = self.browser.expect()?;
        let redirect = expected.redirect().clone();
        let known = self.client(ground, found, &redirect, &asked).await?;
        let endpoint = endpoint(&found.issuer, known.method.as_ref())?;
        let login = Login::begin(
            found.issuer.authorization_endpoint()?.url(),
            metadata,
            &known.client.id,
            &redirect,
            &found.resource,
            &asked,
        );
        let answer = expected.visit(login.url.clone()).await?;
        let code = login.end(&answer)?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.code.expose()),
            ("code_verifier", code.verifier.expose()),
            ("redirect_uri", redirect.as_str()),
            ("resource", &*found.resource),
        ];
        let issued = ground
            .ask(&endpoint, &known.client, &form)
            .await?
            .bearer()?;
        self.lock().refresh = issued.refresh.clone().map(|token| Refresh {
            issuer: metadata.issuer.clone(),
            token,
            client: known,
        });
        Ok(Granted { issued, asked })
    }

    /// Who we are at this issuer, which nobody else is told.
    async fn client(
        &self,
        ground: &Ground,
        found: &Discovered,
        redirect: &Url,
        asked: &Scopes,
    ) -> Result<Known, OAuthError> {
        let key = (found.issuer.metadata.issuer.clone(), redirect.clone());
        if let Some(known) = self.lock().registrations.get(&key) {
            return Ok(known.clone());
        }
        let (egress, issuer) = (&ground.egress, &found.issuer);
        let known = registration::client(egress, &self.config, issuer, redirect, asked).await?;
        let mut kept = self.lock();
        if kept.registrations.len() >= REGISTRATIONS_MAX {
            kept.registrations.clear();
        }
        kept.registrations.insert(key, known.clone());
        Ok(known)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
