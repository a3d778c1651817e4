//! A request on its way to an upstream: an envelope of ours around what the client sent.
//!
//! `params` go on as the bytes that came, but for what is ours to say: names are the upstream's own,
//! and `_meta` is written anew. Keys of `_meta` that are nobody's business here (trace context, keys of
//! applications) pass; keys of this hop do not.
//!
//! Spec: 2026-07-28 basic/index, `_meta`; basic/transports/streamable-http, required headers.

use std::borrow::Cow;

use serde_json::Value;

use super::route::Route;
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
/// Members of `params` that are a round: the answers, and the state.
const ROUND: [&str; 2] = ["inputResponses", "requestState"];

/// A request to an upstream, without its id.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    /// What is asked.
    pub(super) method: Method,
    /// The members of `params` that all revisions know but for `_meta`, each with its comma but for
    /// the first.
    members: String,
    /// Those that came with a revision, each with that.
    later: Vec<(ProtocolVersion, &'static str, String)>,
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
    pub(super) capabilities: RawJson,
}

impl Envelope {
    fn new(method: Method, members: String) -> Self {
        Self {
            method,
            members,
            later: Vec::new(),
            passing: String::new(),
            name: None,
            argument_headers: Vec::new(),
            wants_progress: false,
            log_level: None,
            capabilities: RawJson::empty_object(),
        }
    }

    /// A request of our own.
    pub(super) fn own(method: Method, params: &Value) -> Self {
        let params = RawJson::of(params);
        Self::new(method, params.members().unwrap_or_default().to_owned())
    }

    /// A client's request of what `route` leads to.
    pub(super) fn of(method: &Method, params: &Params, route: &Route) -> Self {
        let text = params.raw().map_or("{}", RawJson::as_str);
        let mut envelope = Self::new(method.clone(), String::with_capacity(text.len()));
        envelope.name.clone_from(&route.own);
        for (key, value) in raw::entries(text) {
            let replaced = route.member.as_ref().filter(|(member, _)| key == *member);
            let value = replaced.map_or(value, |(_, own)| own);
            match (&*key, &route.own) {
                ("_meta", _) => envelope.passing = passing_on(value),
                // Calls that become tasks are made here, as plain calls of the upstream.
                ("task", _) if *method == Method::ToolsCall => {}
                ("name" | "uri", Some(name)) => {
                    push_key(&mut envelope.members, &key);
                    encode::push_string(&mut envelope.members, name);
                }
                _other => envelope.push(&key, value),
            }
        }
        envelope
    }

    fn push(&mut self, key: &str, value: &str) {
        let round = ROUND.into_iter().find(|name| *name == key);
        let came_with = match round {
            Some(name) => Some((ProtocolVersion::V2026_07_28, name)),
            None if key == "context" && self.method == Method::Complete => {
                Some((ProtocolVersion::V2025_06_18, "context"))
            }
            None => None,
        };
        match came_with {
            Some((version, name)) => self.later.push((version, name, value.to_owned())),
            None => push_raw(&mut self.members, key, value),
        }
    }

    /// The same with other answers and another state: the next round of a stateless upstream.
    pub(super) fn next_round(&self, responses: Option<&str>, state: Option<&str>) -> Self {
        let mut next = self.clone();
        next.later.retain(|(_, name, _)| !ROUND.contains(name));
        for (name, value) in ROUND.into_iter().zip([responses, state]) {
            if let Some(value) = value {
                next.push(name, value);
            }
        }
        next
    }

    /// Puts one more member into `_meta`.
    pub(super) fn pass(&mut self, key: &str, value: &str) {
        push_raw(&mut self.passing, key, value);
    }

    /// The params without what is ours to say.
    pub(super) fn params(&self) -> RawJson {
        let mut text = String::from("{");
        self.push_members(&mut text, ProtocolVersion::NEWEST);
        if !self.passing.is_empty() {
            push_key(&mut text, "_meta");
            text.push('{');
            text.push_str(&self.passing);
            text.push('}');
        }
        text.push('}');
        RawJson::from_valid(text)
    }

    /// Writes what an upstream of `version` knows.
    fn push_members(&self, out: &mut String, version: ProtocolVersion) {
        out.push_str(&self.members);
        for (_, name, value) in self.later.iter().filter(|(since, ..)| version >= *since) {
            push_raw(out, name, value);
        }
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

    /// The message; `introduction` is what stands in `_meta` with each, but for the capabilities.
    pub(super) fn text(
        &self,
        id: &RequestId,
        introduction: &str,
        version: ProtocolVersion,
    ) -> String {
        let ours = self.capabilities.as_str().len() + introduction.len() + 256;
        let mut text = String::with_capacity(self.members.len() + self.passing.len() + ours);
        text.push_str(r#"{"jsonrpc":"2.0","id":"#);
        encode::push_id(&mut text, id);
        text.push_str(r#","method":"#);
        encode::push_string(&mut text, self.method.as_str());
        text.push_str(r#","params":{"#);
        self.push_members(&mut text, version);
        let is_stateless = version.era() == Era::Stateless;
        if is_stateless || self.wants_progress || !self.passing.is_empty() {
            push_key(&mut text, "_meta");
            text.push('{');
            text.push_str(&self.passing);
            if self.wants_progress {
                push_key(&mut text, "progressToken");
                encode::push_id(&mut text, id);
            }
            if is_stateless {
                let capabilities = self.capabilities.as_str();
                push_raw(&mut text, meta::CLIENT_CAPABILITIES_KEY, capabilities);
                text.push(',');
                text.push_str(introduction);
            }
            if let Some(level) = self.log_level.filter(|_| is_stateless) {
                push_key(&mut text, meta::LOG_LEVEL_KEY);
                encode::push(&mut text, &level);
            }
            text.push('}');
        }
        text.push_str("}}");
        // Lines carry one message each, so what a client spread over lines is put into one.
        match encode::one_line(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(line) => line,
        }
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

fn push_raw(out: &mut String, key: &str, value: &str) {
    push_key(out, key);
    out.push_str(value);
}

/// Begins a member, after those of the same object that are there.
fn push_key(out: &mut String, key: &str) {
    // A member does not end so.
    if !(out.is_empty() || out.ends_with('{')) {
        out.push(',');
    }
    encode::push_string(out, key);
    out.push(':');
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProtocolVersion::{V2025_03_26, V2025_06_18, V2026_07_28};

    const INTRODUCTION: &str = r#""we":"us""#;

    fn said(envelope: &Envelope, version: ProtocolVersion) -> String {
        let text = envelope.text(&RequestId::Number(7), INTRODUCTION, version);
        let method = envelope.method.as_str();
        let before = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":"#);
        let params = text
            .strip_prefix(&before)
            .and_then(|rest| rest.strip_suffix('}'));
        params.unwrap_or_else(|| panic!("{text}")).to_owned()
    }

    #[test]
    fn an_upstream_is_told_what_its_revision_knows() {
        let mut envelope = Envelope::new(Method::Complete, String::new());
        for key in ["context", "ref", "requestState"] {
            envelope.push(key, "{}");
        }
        envelope.pass("a/b", "1");
        envelope.wants_progress = true;
        envelope.log_level = Some(LogLevel::Error);
        for (version, params) in [
            (
                V2025_03_26,
                r#"{"ref":{},"_meta":{"a/b":1,"progressToken":7}}"#,
            ),
            (
                V2025_06_18,
                r#"{"ref":{},"context":{},"_meta":{"a/b":1,"progressToken":7}}"#,
            ),
            (
                V2026_07_28,
                r#"{"ref":{},"context":{},"requestState":{},"_meta":{"a/b":1,"progressToken":7,"io.modelcontextprotocol/clientCapabilities":{},"we":"us","io.modelcontextprotocol/logLevel":"error"}}"#,
            ),
        ] {
            assert_eq!(said(&envelope, version), params, "{version}");
        }
    }

    #[test]
    fn a_round_takes_the_place_of_the_last() {
        let first = Envelope::own(Method::ToolsCall, &serde_json::json!({"name": "a"}));
        let second = first.next_round(Some(r#"{"k":{}}"#), Some(r#""s""#));
        let params = r#"{"name":"a","inputResponses":{"k":{}},"requestState":"s"}"#;
        assert_eq!(second.params().as_str(), params);
        let third = second.next_round(None, Some(r#""t""#));
        assert_eq!(
            third.params().as_str(),
            r#"{"name":"a","requestState":"t"}"#
        );
    }

    #[test]
    fn a_message_is_one_line() {
        let mut envelope = Envelope::own(Method::Ping, &serde_json::json!({}));
        envelope.push("a", "{\n\"b\":\r1}");
        assert_eq!(said(&envelope, V2025_06_18), r#"{"a":{ "b": 1}}"#);
    }
}
