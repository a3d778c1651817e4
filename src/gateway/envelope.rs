//! A request on its way to an upstream: an envelope of ours around what the client sent.
//!
//! `params` go on as the bytes that came, but for what is ours to say: names are the upstream's own,
//! and `_meta` is written anew. Keys of `_meta` that are nobody's business here (trace context, keys of
//! applications) pass; keys of this hop do not.
//!
//! Spec: 2026-07-28 basic/index, `_meta`; basic/transports/streamable-http, required headers.

use serde_json::Value;

use crate::client::Introduction;
use crate::protocol::encode;
use crate::protocol::headers::{self, encode_value};
use crate::protocol::jsonrpc::{Params, RequestId};
use crate::protocol::logging::LogLevel;
use crate::protocol::meta;
use crate::protocol::method::Method;
use crate::protocol::raw::{self, RawJson};
use crate::protocol::trace;
use crate::protocol::version::{Era, ProtocolVersion};

/// What begins the keys of `_meta` that are the protocol's own.
const RESERVED: &str = "io.modelcontextprotocol/";
/// What begins those that are ours.
const OURS: &str = "switchboard/";

/// A request to an upstream, without its id.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    /// What is asked.
    pub(super) method: Method,
    /// The members of `params` but for `_meta`, each with its comma but for the first.
    members: String,
    /// Members of `_meta` that pass.
    passing: String,
    /// What is named: the upstream's own name or URI.
    name: Option<String>,
    /// Arguments that are repeated as headers.
    pub(super) argument_headers: Vec<(String, String)>,
    /// Whether progress is wanted.
    pub(super) wants_progress: bool,
    /// The least level of log lines that are wanted.
    pub(super) log_level: Option<LogLevel>,
    /// What the client declared, for an upstream that wants to hear it with each request.
    pub(super) capabilities: Option<Value>,
}

impl Envelope {
    /// A request of our own.
    pub(super) fn own(method: Method, params: &Value) -> Self {
        let params = RawJson::of(params);
        Self {
            members: params.members().unwrap_or_default().to_owned(),
            passing: String::new(),
            name: None,
            argument_headers: Vec::new(),
            wants_progress: false,
            log_level: None,
            capabilities: None,
            method,
        }
    }

    /// A client's request about `name`, which is what the upstream calls it.
    pub(super) fn of(method: Method, params: &Params, name: Option<&str>) -> Self {
        let text = params.raw().map_or("{}", RawJson::as_str);
        let mut members = String::with_capacity(text.len());
        let mut passing = String::new();
        for (key, value) in raw::entries(text) {
            match (&*key, name) {
                ("_meta", _) => passing = passing_on(value),
                // Calls that become tasks are made here, as plain calls of the upstream.
                ("task", _) if method == Method::ToolsCall => {}
                ("name" | "uri", Some(name)) => push(&mut members, &key, &Value::from(name)),
                _other => push_raw(&mut members, &key, value),
            }
        }
        Self {
            method,
            members,
            passing,
            name: name.map(ToOwned::to_owned),
            argument_headers: Vec::new(),
            wants_progress: false,
            log_level: None,
            capabilities: None,
        }
    }

    /// The same with other answers and another state: the next round of a stateless upstream.
    pub(super) fn next_round(&self, responses: Option<&str>, state: Option<&str>) -> Self {
        let whole = format!("{{{}}}", self.members);
        let mut members = String::with_capacity(whole.len());
        for (key, value) in raw::entries(&whole) {
            if !matches!(&*key, "inputResponses" | "requestState") {
                push_raw(&mut members, &key, value);
            }
        }
        if let Some(responses) = responses {
            push_raw(&mut members, "inputResponses", responses);
        }
        if let Some(state) = state {
            push_raw(&mut members, "requestState", state);
        }
        Self {
            members,
            ..self.clone()
        }
    }

    /// Puts one more member into `_meta`.
    pub(super) fn pass(&mut self, key: &str, value: &Value) {
        push(&mut self.passing, key, value);
    }

    /// Replaces `ref`, as completion has it.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        let whole = format!("{{{}}}", self.members);
        let mut members = String::with_capacity(whole.len());
        for (found, old) in raw::entries(&whole) {
            push_raw(&mut members, &found, if found == key { value } else { old });
        }
        self.members = members;
    }

    /// The params without what is ours to say.
    pub(super) fn params(&self) -> RawJson {
        let meta = if self.passing.is_empty() {
            String::new()
        } else {
            format!(r#""_meta":{{{}}}"#, self.passing)
        };
        let comma = if meta.is_empty() || self.members.is_empty() {
            ""
        } else {
            ","
        };
        RawJson::from_valid(format!("{{{}{comma}{meta}}}", self.members))
    }

    /// Leaves a member out.
    pub(super) fn remove(&mut self, key: &str) {
        // Most requests do not have it, unless its name is written with escapes.
        if !self.members.contains(key) && !self.members.contains("\\u") {
            return;
        }
        let whole = format!("{{{}}}", self.members);
        let mut members = String::with_capacity(whole.len());
        for (found, value) in raw::entries(&whole) {
            if found != key {
                push_raw(&mut members, &found, value);
            }
        }
        self.members = members;
    }

    /// The headers that repeat the message, and its trace.
    pub(super) fn headers(&self, version: ProtocolVersion, is_http: bool) -> Vec<(String, String)> {
        if !is_http {
            return Vec::new();
        }
        let trace = trace::headers(&self.passing).into_iter();
        let trace = trace.map(|(name, value)| (name.to_owned(), value));
        if version.era() == Era::Session {
            return trace.collect();
        }
        let mut found = vec![(headers::METHOD.to_owned(), self.method.as_str().to_owned())];
        if let Some(name) = &self.name {
            found.push((headers::NAME.to_owned(), encode_value(name).into_owned()));
        }
        found.extend(self.argument_headers.iter().cloned());
        found.extend(trace);
        found
    }

    /// The message.
    pub(super) fn text(
        &self,
        id: &RequestId,
        introduction: &Introduction,
        version: ProtocolVersion,
    ) -> String {
        let mut meta = self.passing.clone();
        if self.wants_progress {
            push(&mut meta, "progressToken", &serde_json::json!(id));
        }
        for (key, value) in introduction.meta(version) {
            match &self.capabilities {
                Some(declared) if key == meta::CLIENT_CAPABILITIES_KEY => {
                    push(&mut meta, &key, declared);
                }
                _ => push(&mut meta, &key, &value),
            }
        }
        if let Some(level) = self.log_level.filter(|_| version.era() == Era::Stateless) {
            push(&mut meta, meta::LOG_LEVEL_KEY, &serde_json::json!(level));
        }
        let mut text = String::with_capacity(self.members.len() + meta.len() + 96);
        text.push_str(r#"{"jsonrpc":"2.0","id":"#);
        encode::push(&mut text, id);
        text.push_str(r#","method":"#);
        encode::push(&mut text, self.method.as_str());
        text.push_str(r#","params":{"#);
        // Lines carry one message each, so what a client spread over lines is put into one.
        text.push_str(&encode::one_line(&self.members));
        if !meta.is_empty() {
            if !self.members.is_empty() {
                text.push(',');
            }
            text.push_str(r#""_meta":{"#);
            text.push_str(&encode::one_line(&meta));
            text.push('}');
        }
        text.push_str("}}");
        text
    }
}

/// The members of a client's `_meta` that are not of its hop.
fn passing_on(meta: &str) -> String {
    let mut passing = String::new();
    for (key, value) in raw::entries(meta) {
        let is_of_the_hop =
            key == "progressToken" || key.starts_with(RESERVED) || key.starts_with(OURS);
        if !is_of_the_hop {
            push_raw(&mut passing, &key, value);
        }
    }
    passing
}

fn push(out: &mut String, key: &str, value: &Value) {
    push_raw(out, key, &value.to_string());
}

fn push_raw(out: &mut String, key: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    encode::push_string(out, key);
    out.push(':');
    out.push_str(value);
}
