//! The way of each request to a server: with the credential that there is, and with another one when
//! that is refused.
//!
//! A refused request did not run, so it may be sent again; [`SENT_MAX`] times at most.

use std::sync::Arc;

use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy;

use super::agent::{self, Agent, Answer};
use super::credential::{Credentials, TurnedAway};
use super::error::ClientError;
use super::oauth::{Challenge, OAuthError};

/// How often a request is sent: one without a credential, one with it, one with more scopes.
const SENT_MAX: usize = 3;

/// See the module docs. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) struct Door {
    agent: Agent,
    credentials: Option<Arc<dyn Credentials>>,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// It never began.
    #[error("{}", agent::reasons(.0))]
    Connection(legacy::Error),
    /// There was nothing to be let in by. Nothing ran.
    #[error(transparent)]
    Credential(#[from] OAuthError),
}

impl Unanswered {
    /// What it means for a request that is sent once.
    pub(super) fn of(self, method: &str) -> ClientError {
        match self {
            Self::Connection(error) => agent::unsent(&error, method),
            Self::Credential(error) => ClientError::Credential(error),
        }
    }

    /// What it means for whatever may be sent again.
    pub(super) fn of_nothing(self) -> ClientError {
        match self {
            Self::Connection(error) => ClientError::Unreachable(agent::reasons(&error)),
            Self::Credential(error) => ClientError::Credential(error),
        }
    }
}

/// Whose connections are used.
#[derive(Clone, Copy)]
enum Whose {
    Common,
    OfThisThread,
}

impl Door {
    pub(super) const fn new(agent: Agent) -> Self {
        Self {
            agent,
            credentials: None,
        }
    }

    /// The same server, let in by these.
    pub(super) fn with(mut self, credentials: Arc<dyn Credentials>) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Sends a request, and waits for the head of its answer.
    pub(super) async fn send(&self, request: Request<String>) -> Result<Answer, Unanswered> {
        self.through(request, Whose::Common).await
    }

    /// The same over a connection of this thread, if it has some.
    pub(super) async fn send_from_here(
        &self,
        request: Request<String>,
    ) -> Result<Answer, Unanswered> {
        self.through(request, Whose::OfThisThread).await
    }

    async fn through(&self, request: Request<String>, whose: Whose) -> Result<Answer, Unanswered> {
        match &self.credentials {
            None => self.once(request, whose).await,
            // Boxed, because most servers are let in to by a header, and this has much to remember.
            Some(credentials) => Box::pin(self.shown(credentials.as_ref(), request, whose)).await,
        }
    }

    async fn shown(
        &self,
        credentials: &dyn Credentials,
        request: Request<String>,
        whose: Whose,
    ) -> Result<Answer, Unanswered> {
        for sent in 1.. {
            let credential = credentials.current().await?;
            let mut request = request.clone();
            if let Some(credential) = &credential {
                let headers = request.headers_mut();
                headers.insert(AUTHORIZATION, credential.clone());
            }
            let answer = self.once(request, whose).await?;
            match turned_away(&answer, credential.as_ref()) {
                Some(_) if sent >= SENT_MAX => break,
                Some(how) => credentials.refused(how).await?,
                None => {
                    if let Some(credential) = &credential {
                        credentials.accepted(credential);
                    }
                    return Ok(answer);
                }
            }
        }
        Err(OAuthError::NotAccepted.into())
    }

    async fn once(&self, request: Request<String>, whose: Whose) -> Result<Answer, Unanswered> {
        let sent = match whose {
            Whose::Common => self.agent.send(request).await,
            Whose::OfThisThread => self.agent.send_from_here(request).await,
        };
        sent.map_err(Unanswered::Connection)
    }
}

/// Whether an answer is one for want of another credential.
fn turned_away(answer: &Answer, sent: Option<&HeaderValue>) -> Option<TurnedAway> {
    let status = answer.status();
    if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return None;
    }
    let how = TurnedAway {
        status,
        challenge: Challenge::of(answer.headers()),
        sent: sent.cloned(),
    };
    how.is_about_credentials().then_some(how)
}
