//! Questions to the client, the same for a handler in both eras.
//!
//! In the session era a question is a request to the client, and the handler waits for the answer.
//! In the stateless era the answer is either known already ([`super::replay`]) or the handler ends
//! here: the question is noted, and the await never returns.
//!
//! Invariants: a client is never asked what it did not declare. An answer of the wrong shape is
//! asked for again in the stateless era and an error in the session era, where nobody can ask again
//! without the handler's doing.
//!
//! Spec: client/elicitation, client/sampling, client/roots; 2026-07-28 basic/patterns/mrtr.

use std::future::pending;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::context::Context;
use super::form::Form;
use super::sample::{SampleRequest, Sampled};
use crate::protocol::capabilities::ClientCapability;
use crate::protocol::client_request::{ClientRequest, ClientRequestKind};
use crate::protocol::raw::RawJson;
use crate::protocol::version::{Era, ProtocolVersion};
use crate::runtime::seal;
use crate::service::{AskError, ServiceError};

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The client did not declare that it can be asked this; it was not asked.
    #[error("this needs the client capability {}", .0.name())]
    Unsupported(ClientCapability),
    /// It was asked in vain.
    #[error(transparent)]
    Unanswered(#[from] AskError),
    /// It answered something else.
    #[error("the client's answer does not fit the question: {0}")]
    Malformed(String),
}

impl From<NoAnswer> for ServiceError {
    fn from(error: NoAnswer) -> Self {
        match error {
            NoAnswer::Unsupported(capability) => Self::MissingCapability(capability),
            NoAnswer::Unanswered(_) | NoAnswer::Malformed(_) => {
                Self::InvalidParams(error.to_string())
            }
        }
    }
}

/// What became of a form.
#[derive(Clone, Debug, PartialEq)]
pub enum Elicited {
    /// It was filled in, as its schema asks.
    Accepted(Map<String, Value>),
    /// The user said no.
    Declined,
    /// The user went away without saying anything.
    Cancelled,
}

impl Elicited {
    /// The name of the action, as the protocol calls it.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accept",
            Self::Declined => "decline",
            Self::Cancelled => "cancel",
        }
    }

    /// What was filled in.
    #[must_use]
    pub fn accepted(self) -> Option<Map<String, Value>> {
        match self {
            Self::Accepted(content) => Some(content),
            Self::Declined | Self::Cancelled => None,
        }
    }

    /// A text that was filled in.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        match self {
            Self::Accepted(content) => content.get(field)?.as_str(),
            Self::Declined | Self::Cancelled => None,
        }
    }

    /// What was filled in, as a type.
    ///
    /// # Errors
    /// [`NoAnswer::Malformed`] when the schema allows what the type does not.
    pub fn decode<T: DeserializeOwned>(self) -> Result<Option<T>, NoAnswer> {
        self.accepted()
            .map(|content| serde_json::from_value(Value::Object(content)))
            .transpose()
            .map_err(|error| NoAnswer::Malformed(error.to_string()))
    }
}

/// What became of a request to open a URL. Consent is not completion: whether the user finished
/// there, only the place itself knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// The user agreed to open it.
    Accepted,
    /// The user said no.
    Declined,
    /// The user went away without saying anything.
    Cancelled,
}

/// A place in the client's world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Where it is; a `file:` URI.
    pub uri: String,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Deserialize)]
struct ElicitAnswer {
    action: Action,
    #[serde(default)]
    content: Option<Map<String, Value>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Accept,
    Decline,
    Cancel,
}

#[derive(Deserialize)]
struct RootsAnswer {
    roots: Vec<Root>,
}

impl Context {
    /// Puts a form to the user. `key` is the handler's own name for the question, unique in it.
    ///
    /// ```
    /// use switchboard::prelude::*;
    ///
    /// let book = Tool::new("book", |ctx: Context, NoArguments {}| async move {
    ///     let form = Form::new("Which table?")
    ///         .field("seats", Field::integer().range(1, 8))
    ///         .optional("where", Field::choice(["inside", "outside"]));
    ///     match ctx.elicit("table", form).await? {
    ///         Elicited::Accepted(table) => Ok(format!("a table for {}", table["seats"])),
    ///         Elicited::Declined | Elicited::Cancelled => Ok("no table then".to_owned()),
    ///     }
    /// });
    /// ```
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn elicit(&self, key: &str, form: Form) -> Result<Elicited, NoAnswer> {
        let wire = form.for_version(self.version());
        let request = ClientRequest {
            kind: ClientRequestKind::ElicitForm,
            params: wire.params,
        };
        self.put(key, request, |answer| {
            let answer: ElicitAnswer = answer.decode().map_err(|error| error.to_string())?;
            match answer.action {
                Action::Accept => {
                    let content = wire.fields.read(answer.content.unwrap_or_default());
                    form.check(&content)?;
                    Ok(Elicited::Accepted(content))
                }
                Action::Decline => Ok(Elicited::Declined),
                Action::Cancel => Ok(Elicited::Cancelled),
            }
        })
        .await
    }

    /// Asks the user to open a URL, which is where secrets belong.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn elicit_url(
        &self,
        key: &str,
        message: &str,
        url: &str,
    ) -> Result<Consent, NoAnswer> {
        let mut params = json!({"mode": "url", "message": message, "url": url});
        if self.version() == ProtocolVersion::V2025_11_25 {
            let id: [u8; 16] = seal::random();
            params["elicitationId"] = format!("{:032x}", u128::from_be_bytes(id)).into();
        }
        let request = ClientRequest {
            kind: ClientRequestKind::ElicitUrl,
            params: RawJson::of(&params),
        };
        self.put(key, request, |answer| {
            let answer: ElicitAnswer = answer.decode().map_err(|error| error.to_string())?;
            Ok(match answer.action {
                Action::Accept => Consent::Accepted,
                Action::Decline => Consent::Declined,
                Action::Cancel => Consent::Cancelled,
            })
        })
        .await
    }

    /// Asks the client's model.
    ///
    /// ```
    /// use switchboard::prelude::*;
    ///
    /// let name = Tool::new("name_it", |ctx: Context, NoArguments {}| async move {
    ///     let request = SampleRequest::new("A name for a cat, one word.").max_tokens(10);
    ///     Ok(ctx.sample("name", request).await?.text())
    /// })
    /// .needs(ClientCapability::Sampling);
    /// ```
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn sample(&self, key: &str, request: SampleRequest) -> Result<Sampled, NoAnswer> {
        self.put(key, request.to_client_request(), Sampled::read)
            .await
    }

    /// Asks where the client is at work.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn roots(&self, key: &str) -> Result<Vec<Root>, NoAnswer> {
        let request = ClientRequest {
            kind: ClientRequestKind::ListRoots,
            params: RawJson::empty_object(),
        };
        self.put(key, request, |answer| {
            let answer: RootsAnswer = answer.decode().map_err(|error| error.to_string())?;
            Ok(answer.roots)
        })
        .await
    }

    async fn put<T>(
        &self,
        key: &str,
        request: ClientRequest,
        read: impl Fn(&RawJson) -> Result<T, String>,
    ) -> Result<T, NoAnswer> {
        let needs = request.kind.needs();
        match self.version().era() {
            Era::Session => {
                if !self.client_can(needs) {
                    return Err(NoAnswer::Unsupported(needs));
                }
                let answer = {
                    let _standing_still = self.call().deadline.pause();
                    self.call().outlet.ask(request).await?
                };
                read(&answer).map_err(NoAnswer::Malformed)
            }
            Era::Stateless => {
                if !self.client_can(needs) {
                    self.replay().refuse(needs);
                    return pending().await;
                }
                // A carried answer comes first, then the one sent now; what cannot be read goes.
                while let Some(answer) = self.replay().answer(key) {
                    if let Ok(read) = read(&answer) {
                        self.replay().accept(key);
                        return Ok(read);
                    }
                    self.replay().discard(key);
                }
                self.replay().ask(key, request);
                pending().await
            }
        }
    }
}
