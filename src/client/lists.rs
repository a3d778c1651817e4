//! Lists, page by page, and what the list of tools says about the headers of calls.
//!
//! Spec: server/utilities/pagination; 2026-07-28 basic/transports, custom headers from parameters.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use serde::Deserialize;
use serde_json::{Value, json};

use super::connected::{Client, Inner};
use super::error::ClientError;
use super::message::Request;
use crate::protocol::param_headers::HeaderParams;
use crate::protocol::raw::RawJson;
use crate::protocol::version::Era;

/// Most pages of one list: with the usual hundred entries, ten thousand.
const PAGES_MAX: usize = 100;
/// Most entries of one list, however large its pages are.
const ENTRIES_MAX: usize = 20_000;

impl Client {
    /// Every tool the server offers, as it describes each.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tools(&self) -> Result<Vec<RawJson>, ClientError> {
        self.list("tools/list", "tools").await
    }

    /// All entries of a list, for example of `resources/list` those under `resources`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list(&self, method: &str, member: &str) -> Result<Vec<RawJson>, ClientError> {
        let limit = self.0.timeout;
        tokio::select! {
            listed = self.0.pages(method, member) => listed,
            () = self.0.host.pauses.ran_out(limit) => Err(ClientError::TimedOut(limit)),
        }
    }
}

impl Inner {
    pub(super) async fn pages(
        self: &Arc<Self>,
        method: &str,
        member: &str,
    ) -> Result<Vec<RawJson>, ClientError> {
        let mut entries = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let params = cursor
                .as_ref()
                .map_or_else(|| json!({}), |cursor| json!({"cursor": cursor}));
            let request = Request::new(method, &params);
            let headers = if self.connection.is_http() && self.is_stateless() {
                request.headers()
            } else {
                Vec::new()
            };
            let page = self.once(&request, &[], headers).await?;
            let broken = |what: &str| ClientError::Protocol(format!("a page of {method}: {what}"));
            let mut page = page
                .decode::<BTreeMap<String, RawJson>>()
                .map_err(|error| broken(&error.to_string()))?;
            let found = page
                .remove(member)
                .and_then(|found| serde_json::from_str::<Vec<RawJson>>(found.as_str()).ok())
                .ok_or_else(|| broken(&format!("`{member}` is no array")))?;
            entries.extend(found);
            if entries.len() > ENTRIES_MAX {
                return Err(broken("there are too many entries"));
            }
            let next = page
                .remove("nextCursor")
                .and_then(|next| serde_json::from_str::<Option<String>>(next.as_str()).ok())
                .flatten();
            match next {
                None => {
                    if member == "tools" {
                        self.learn_headers(&mut entries);
                    }
                    return Ok(entries);
                }
                Some(next) if cursor.as_ref() == Some(&next) => {
                    return Err(broken("it names itself as the next"));
                }
                Some(next) => cursor = Some(next),
            }
        }
        let what = format!("{method} has more than {PAGES_MAX} pages");
        Err(ClientError::Protocol(what))
    }

    fn is_stateless(&self) -> bool {
        self.connection.version().era() == Era::Stateless
    }

    /// Remembers which arguments are repeated as headers. A tool that asks for that in a way it
    /// may not is left out, over HTTP: what a proxy decides by such a header could be anything.
    fn learn_headers(&self, tools: &mut Vec<RawJson>) {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Tool {
            name: String,
            #[serde(default)]
            input_schema: Value,
        }
        if !self.is_stateless() || !self.connection.is_http() {
            return;
        }
        let mut annotated = std::collections::HashMap::new();
        tools.retain(|tool| {
            let Ok(tool) = tool.decode::<Tool>() else {
                return true;
            };
            match HeaderParams::from_schema(&tool.input_schema) {
                Ok(Some(params)) => {
                    annotated.insert(tool.name, params);
                    true
                }
                Ok(None) => true,
                Err(error) => {
                    tracing::warn!(tool = tool.name, %error, "a tool was left out");
                    false
                }
            }
        });
        *self
            .annotated
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(annotated);
    }

    /// Lists the tools before the first call that may have arguments to repeat: whoever stands
    /// between us and the server decides by those headers. Without a list there are none.
    pub(super) async fn list_before_calling(self: &Arc<Self>) {
        let is_listed = {
            let annotated = self.annotated.lock();
            annotated.unwrap_or_else(PoisonError::into_inner).is_some()
        };
        if is_listed {
            return;
        }
        if let Err(error) = self.pages("tools/list", "tools").await {
            tracing::debug!(
                error = error.for_log(),
                "tools could not be listed before a call"
            );
        }
        self.annotated
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_default();
    }

    /// The headers that repeat arguments of a call, as far as the tool is known.
    pub(super) fn argument_headers(&self, request: &Request) -> Vec<(String, String)> {
        #[derive(Deserialize)]
        struct Call {
            name: String,
            arguments: Option<RawJson>,
        }
        if request.method != "tools/call" {
            return Vec::new();
        }
        let Ok(call) = request.params.decode::<Call>() else {
            return Vec::new();
        };
        let annotated = self
            .annotated
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(params) = annotated.as_ref().and_then(|tools| tools.get(&call.name)) else {
            return Vec::new();
        };
        params
            .headers_of(call.arguments.as_ref())
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}
