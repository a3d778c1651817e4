//! From a request to its result, through as many rounds as a server of the stateless era needs.
//!
//! A server that needs to ask ends the request with its questions; the client answers in another
//! request, with what the server wants to remember, byte for byte.
//!
//! Spec: 2026-07-28 basic/patterns/mrtr; basic/transports/streamable-http, custom headers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::connected::Inner;
use super::error::ClientError;
use super::message::Request;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::input::QUESTIONS_MAX;
use crate::protocol::raw::RawJson;
use crate::protocol::version::Era;

/// Most rounds of one request, as the official SDKs have it.
pub(super) const ROUNDS_MAX: usize = 10;
/// Pause before a round that answers nothing: the server asked for time.
const BREATH: Duration = Duration::from_millis(250);

/// What kind of result it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    result_type: Option<String>,
}

/// A result that asks.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InputRequired {
    #[serde(default)]
    input_requests: BTreeMap<String, Asked>,
    /// Kept as the JSON it came as.
    #[serde(default)]
    request_state: Option<RawJson>,
}

/// One question.
#[derive(Deserialize)]
pub(super) struct Asked {
    method: String,
    #[serde(default)]
    params: Option<RawJson>,
}

impl Inner {
    /// Sends the request, and answers what the server asks, until there is a result.
    pub(super) async fn to_its_result(
        self: &Arc<Self>,
        request: &Request,
    ) -> Result<RawJson, ClientError> {
        if self.connection.version().era() == Era::Session {
            return self.once(request, &[], Vec::new()).await;
        }
        let mut more = Vec::new();
        for _ in 0..=ROUNDS_MAX {
            let result = self.round(request, &more).await?;
            let kind = result
                .decode::<Kind>()
                .map_err(|error| ClientError::Protocol(format!("a result: {error}")))?;
            match kind.result_type.as_deref() {
                // Servers built before the final text leave it out.
                None | Some("complete") => return Ok(result),
                Some("input_required") => more = self.next_round(&result).await?,
                Some("task") if self.host.tasks => {
                    return Box::pin(self.follow_task(&result)).await;
                }
                Some(other) => {
                    let what = format!("a result is of the unknown type `{other:.40}`");
                    return Err(ClientError::Protocol(what));
                }
            }
        }
        Err(ClientError::Rounds(ROUNDS_MAX))
    }

    /// One round. A call whose argument headers the server misses is made again once, with the
    /// headers that its list of tools then asks for: such a refusal comes before anything has run.
    async fn round(
        self: &Arc<Self>,
        request: &Request,
        more: &[String],
    ) -> Result<RawJson, ClientError> {
        let has_headers = self.connection.is_http() && request.method == "tools/call";
        if has_headers {
            Box::pin(self.list_before_calling()).await;
        }
        let headers = self.headers_of(request);
        let sent = headers.clone();
        match self.once(request, more, headers).await {
            Err(error) if has_headers && error.code() == Some(ErrorCode::HEADER_MISMATCH.0) => {
                // The list may have changed since.
                Box::pin(self.pages("tools/list", "tools")).await?;
                let headers = self.headers_of(request);
                if headers == sent {
                    return Err(error);
                }
                self.once(request, more, headers).await
            }
            first => first,
        }
    }

    fn headers_of(&self, request: &Request) -> Vec<(String, String)> {
        if !self.connection.is_http() {
            return Vec::new();
        }
        let mut headers = request.headers();
        headers.extend(self.argument_headers(request));
        headers
    }

    /// Answers the questions of a round. Returns the members of the next round's params.
    async fn next_round(&self, result: &RawJson) -> Result<Vec<String>, ClientError> {
        let asked = result
            .decode::<InputRequired>()
            .map_err(|error| ClientError::Protocol(format!("a result that asks: {error}")))?;
        let mut more = Vec::new();
        if asked.input_requests.is_empty() {
            if asked.request_state.is_none() {
                let what = "a result asks for nothing".to_owned();
                return Err(ClientError::Protocol(what));
            }
            tokio::time::sleep(BREATH).await;
        } else {
            let answers = self.answers(asked.input_requests).await?;
            more.push(format!(r#""inputResponses":{answers}"#));
        }
        if let Some(state) = asked.request_state {
            more.push(format!(r#""requestState":{}"#, state.as_str()));
        }
        Ok(more)
    }

    /// Answers questions, one after the other: a person can fill in one form at a time.
    pub(super) async fn answers(
        &self,
        questions: BTreeMap<String, Asked>,
    ) -> Result<String, ClientError> {
        if questions.len() > QUESTIONS_MAX {
            let what = format!("more than {QUESTIONS_MAX} questions in one round");
            return Err(ClientError::Protocol(what));
        }
        let mut answers = Vec::new();
        for (key, asked) in questions {
            let params = asked.params.unwrap_or_else(RawJson::empty_object);
            let answered = self.host.answer(&asked.method, params, Some(key.clone()));
            let answer = match answered.await {
                Some(Ok(answer)) => answer.as_str().to_owned(),
                // A form can be left; for the others there is no way to say no but to stop here.
                Some(Err(_)) if asked.method == "elicitation/create" => {
                    r#"{"action":"cancel"}"#.to_owned()
                }
                Some(Err(refusal)) => return Err(ClientError::Declined(refusal.message)),
                None => {
                    let what = format!("`{:.60}` was asked and never offered", asked.method);
                    return Err(ClientError::Protocol(what));
                }
            };
            answers.push(format!("{}:{answer}", Value::String(key)));
        }
        Ok(format!("{{{}}}", answers.join(",")))
    }
}
