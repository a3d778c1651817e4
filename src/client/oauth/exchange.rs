//! A token of a caller for one of the server: it names whom the server is asked for, and is of no use
//! anywhere else.
//!
//! Spec: RFC 8693.

use std::sync::{Mutex, PoisonError};

use super::config::TokenExchange;
use super::error::OAuthError;
use super::grant::{Granted, Ground, Metadata, Want};
use super::subject::{self, Subject};
use super::token::{Denied, with_scopes};

/// The grant of an exchange.
pub(super) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// An exchange, and for whom.
#[derive(Debug)]
pub(super) struct Exchange {
    config: TokenExchange,
    metadata: Metadata,
    subject: Mutex<Option<Subject>>,
}

impl Exchange {
    pub(super) const fn new(config: TokenExchange, metadata: Metadata) -> Self {
        Self {
            config,
            metadata,
            subject: Mutex::new(None),
        }
    }

    /// The same for somebody else.
    pub(super) fn for_another(&self) -> Self {
        Self::new(self.config.clone(), self.metadata.clone())
    }

    /// Whom it acts for from now on. Returns whether that is another token than before.
    pub(super) fn act_for(&self, subject: Subject) -> bool {
        let mut slot = self.subject.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = slot.as_ref() != Some(&subject);
        *slot = Some(subject);
        is_new
    }

    pub(super) async fn acquire(
        &self,
        ground: &Ground,
        want: &Want,
    ) -> Result<Granted, OAuthError> {
        let config = &self.config;
        let subject = self
            .subject
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        // A token goes back to nobody but who issued it.
        let subject = subject.filter(|it| it.is_of(&config.issuer.issuer, ground.clock.now()));
        let subject = subject.ok_or(OAuthError::NoCaller)?;
        let endpoint = self.metadata.endpoint(ground, &config.issuer).await?;
        let asked = want.scopes(&config.scopes);
        let (resource, text) = (ground.resource(config.resource.as_ref()), asked.to_string());
        let mut form = vec![
            ("grant_type", TOKEN_EXCHANGE),
            ("subject_token", subject.token.expose()),
            ("subject_token_type", ACCESS_TOKEN),
            ("requested_token_type", ACCESS_TOKEN),
            ("resource", &resource),
        ];
        form.extend(
            config
                .audience
                .as_deref()
                .map(|audience| ("audience", audience)),
        );
        with_scopes(&mut form, &asked, &text);
        let answer = endpoint
            .ask(&ground.egress, &ground.clock, &config.client, &form)
            .await;
        let issued = answer.map_err(|denied| match denied {
            Denied::Code(code) if matches!(&*code, "invalid_grant" | "access_denied") => {
                OAuthError::CallerRefused(code)
            }
            denied => denied.into(),
        })?;
        let mut issued = issued.bearer()?;
        let targets = [Some(&*resource), config.audience.as_deref()];
        subject::is_exchange_of(&issued.token, &subject.token, &targets)?;
        issued.expires = match (issued.expires, subject.expires) {
            (Some(issued), Some(subject)) => Some(issued.min(subject)),
            (issued, subject) => issued.or(subject),
        };
        Ok(Granted { issued, asked })
    }
}
