//! What stands behind a client: who it says it is, and who answers a server's questions.
//!
//! [`Host`] is what a user of the client gave it. A capability is declared exactly when there is
//! somebody to answer for it. It does not carry messages; the connections do.
//!
//! Spec: client/elicitation, client/sampling, client/roots; basic/utilities/progress, logging.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::connection::{Hears, Introduction};
use super::patience::Pauses;
use crate::protocol::capabilities::TASKS_EXTENSION;
use crate::protocol::encode;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::jsonrpc::{Notification, Params, Request, RequestId, ResponseError};
use crate::protocol::lifecycle::Implementation;
use crate::protocol::logging::LogLevel;
use crate::protocol::meta::LOG_LEVEL_KEY;
use crate::protocol::method::Method;
use crate::protocol::raw::RawJson;
use crate::protocol::version::{Era, ProtocolVersion};

/// The code with which a user's no to a model's turn is told (client/sampling, error handling).
const REJECTED: i64 = -1;

/// What a server asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// `elicitation/create` in form mode: fill in a form.
    Form,
    /// `elicitation/create` in URL mode: open a page.
    Url,
    /// `sampling/createMessage`: a turn of the model.
    Sampling,
    /// `roots/list`: the places the client works in.
    Roots,
}

/// A question of the server.
#[derive(Clone, Debug)]
pub struct Question {
    /// What is asked.
    pub asked: Asked,
    /// Its parameters, as they came.
    pub params: RawJson,
    /// The name the server gave it; the stateless era alone has one.
    pub key: Option<String>,
}

/// Why a question gets no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The JSON-RPC code; the stateless era has no place for it.
    pub code: i64,
    /// What is said.
    pub message: String,
}

impl Refusal {
    /// The user said no.
    #[must_use]
    pub fn by_user() -> Self {
        Self {
            code: REJECTED,
            message: "the user declined".into(),
        }
    }
}

/// What a server tells without being asked.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The request it came with, where the connection tells.
    pub request: Option<RequestId>,
    /// Its method.
    pub method: String,
    /// Its parameters.
    pub params: Params,
}

/// Answers questions. The result is the result object of the method that asks.
pub type Answerer =
    Arc<dyn Fn(Question) -> BoxFuture<'static, Result<RawJson, Refusal>> + Send + Sync>;
/// Hears notices. It is called where messages are read, so it must not wait.
pub type Listener = Arc<dyn Fn(Notice) + Send + Sync>;

/// See the module docs.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) info: Implementation,
    pub(super) elicitation: Option<Answerer>,
    pub(super) opens_urls: bool,
    pub(super) sampling: Option<Answerer>,
    pub(super) roots: Option<Answerer>,
    pub(super) listener: Option<Listener>,
    pub(super) log_level: Option<LogLevel>,
    pub(super) tasks: bool,
    pub(super) pauses: Pauses,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("info", &self.info)
            .field("capabilities", &self.capabilities(true))
            .finish_non_exhaustive()
    }
}

impl Host {
    /// The capabilities to declare. Extensions are a thing of the stateless era.
    pub(super) fn capabilities(&self, stateless: bool) -> Value {
        let mut declared = Map::new();
        if self.elicitation.is_some() {
            let modes = if self.opens_urls {
                json!({"form": {}, "url": {}})
            } else {
                json!({"form": {}})
            };
            declared.insert("elicitation".into(), modes);
        }
        if self.sampling.is_some() {
            declared.insert("sampling".into(), json!({}));
        }
        if self.roots.is_some() {
            declared.insert("roots".into(), json!({}));
        }
        if stateless && self.tasks {
            declared.insert("extensions".into(), json!({TASKS_EXTENSION: {}}));
        }
        Value::Object(declared)
    }

    /// Whether anything a server says by itself would be heard.
    pub(super) const fn is_somebody_there(&self) -> bool {
        self.elicitation.is_some()
            || self.sampling.is_some()
            || self.roots.is_some()
            || self.listener.is_some()
    }

    /// Answers a question; `None` when nobody declared to.
    pub(super) async fn answer(
        &self,
        method: &str,
        params: RawJson,
        key: Option<String>,
    ) -> Option<Result<RawJson, Refusal>> {
        let (asked, answerer) = match method {
            "elicitation/create" if is_url(&params) => {
                let answerer = self.elicitation.as_ref().filter(|_| self.opens_urls);
                (Asked::Url, answerer)
            }
            "elicitation/create" => (Asked::Form, self.elicitation.as_ref()),
            "sampling/createMessage" => (Asked::Sampling, self.sampling.as_ref()),
            "roots/list" => (Asked::Roots, self.roots.as_ref()),
            _ => return None,
        };
        let answerer = answerer?;
        let _pause = self.pauses.begin();
        let question = Question { asked, params, key };
        Some(answerer(question).await)
    }

    /// Adds to the `_meta` of a request what is wanted with its answer.
    pub(super) fn add_meta(
        &self,
        id: &RequestId,
        version: ProtocolVersion,
        meta: &mut Map<String, Value>,
    ) {
        if self.listener.is_some() {
            meta.insert("progressToken".into(), json!(id));
        }
        if let Some(level) = self.log_level.filter(|_| version.era() == Era::Stateless) {
            meta.insert(LOG_LEVEL_KEY.into(), json!(level));
        }
    }

    /// What is said of it in either era.
    pub(super) fn introduction(&self) -> Introduction {
        Introduction {
            info: self.info.clone(),
            session: self.capabilities(false),
            stateless: self.capabilities(true),
        }
    }
}

impl Hears for Host {
    fn name(&self) -> &'static str {
        "the server"
    }

    fn told(&self, request: Option<&RequestId>, notification: Notification) {
        if let Some(listener) = &self.listener {
            listener(Notice {
                request: request.cloned(),
                method: notification.method,
                params: notification.params,
            });
        }
    }

    fn asked(&self, question: Request) -> BoxFuture<'_, Result<RawJson, ResponseError>> {
        Box::pin(async move {
            let method = question.method.as_str();
            let params = question.params.raw().cloned();
            let params = params.unwrap_or_else(RawJson::empty_object);
            let (code, message) = match self.answer(method, params, None).await {
                Some(Ok(result)) => return Ok(result),
                Some(Err(refusal)) => (refusal.code, refusal.message),
                None => {
                    let what = format!("this client does not answer `{method}`");
                    (ErrorCode::METHOD_NOT_FOUND.0, what)
                }
            };
            Err(ResponseError {
                code,
                message,
                data: None,
            })
        })
    }
}

/// The whole message that answers a request of the server.
pub(super) async fn respond(hears: &dyn Hears, request: Request) -> String {
    let id = request.id.clone();
    if request.method == Method::Ping {
        return encode::result(&id, &[]);
    }
    match hears.asked(request).await {
        Ok(result) => encode::result(&id, &[result.members().unwrap_or_default()]),
        Err(error) => {
            let code = ErrorCode(error.code);
            encode::error(Some(&id), code, &error.message, error.data.as_ref())
        }
    }
}

/// The answer to a request of the server when too many are open.
pub(super) fn busy(request: &Request) -> String {
    let what = "too many questions at once";
    encode::error(Some(&request.id), ErrorCode::INTERNAL_ERROR, what, None)
}

fn is_url(params: &RawJson) -> bool {
    #[derive(serde::Deserialize)]
    struct Mode {
        mode: Option<String>,
    }
    let mode = params.decode::<Mode>().ok().and_then(|params| params.mode);
    mode.as_deref() == Some("url")
}
