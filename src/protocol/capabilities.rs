//! What a client and a server can do, as `initialize`, `server/discover` and `_meta` declare it.
//!
//! Spec: basic/lifecycle, capability negotiation; 2026-07-28 basic/index, per-request metadata.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::raw::{RawJson, ShapeError};
use super::version::ProtocolVersion;

/// The extension under which calls of the stateless era become tasks.
pub const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// The extension under which tools have pages to show.
pub const APPS_EXTENSION: &str = "io.modelcontextprotocol/ui";
/// The kind of page that is, as clients name it in the extension's settings.
pub const APP_MIME_TYPE: &str = "text/html;profile=mcp-app";

/// What a client declared: the parts that steer us, and the whole as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCapabilities {
    /// As declared, for forwarding and for checkpoints.
    pub raw: RawJson,
    /// Forms may be put to its user. `elicitation: {}` means forms only.
    pub elicitation_form: bool,
    /// Its user may be sent to a URL.
    pub elicitation_url: bool,
    /// Its model may be sampled.
    pub sampling: bool,
    /// ... with tools.
    pub sampling_tools: bool,
    /// ... with what it knows from its servers.
    pub sampling_context: bool,
    /// Its roots may be listed.
    pub roots: bool,
    /// Its calls may become tasks: it names the extension. Means nothing in the session era.
    pub tasks: bool,
    /// It shows the pages of MCP Apps; in either era.
    pub apps: bool,
}

#[derive(Deserialize)]
struct Declared {
    elicitation: Option<Map<String, Value>>,
    sampling: Option<Map<String, Value>>,
    roots: Option<Map<String, Value>>,
    #[serde(rename = "experimental")]
    _experimental: Option<Map<String, Value>>,
    extensions: Option<Map<String, Value>>,
}

impl ClientCapabilities {
    /// Nothing declared.
    #[must_use]
    pub fn none() -> Self {
        Self {
            raw: RawJson::empty_object(),
            elicitation_form: false,
            elicitation_url: false,
            sampling: false,
            sampling_tools: false,
            sampling_context: false,
            roots: false,
            tasks: false,
            apps: false,
        }
    }

    /// Reads a declaration.
    ///
    /// # Errors
    /// [`ShapeError`] when it is not an object, or a capability we know is not one.
    pub fn parse(raw: RawJson) -> Result<Self, ShapeError> {
        if raw.as_str() == "{}" {
            return Ok(Self::none());
        }
        let declared: Declared = raw.decode()?;
        let has = |map: &Option<Map<String, Value>>, key: &str| {
            map.as_ref().is_some_and(|map| map.contains_key(key))
        };
        let any_mode = has(&declared.elicitation, "form") || has(&declared.elicitation, "url");
        Ok(Self {
            elicitation_form: declared.elicitation.is_some()
                && (!any_mode || has(&declared.elicitation, "form")),
            elicitation_url: has(&declared.elicitation, "url"),
            sampling: declared.sampling.is_some(),
            sampling_tools: has(&declared.sampling, "tools"),
            sampling_context: has(&declared.sampling, "context"),
            roots: declared.roots.is_some(),
            tasks: has(&declared.extensions, TASKS_EXTENSION),
            apps: shows_apps(declared.extensions.as_ref()),
            raw,
        })
    }

    /// Whether everything `needed` is declared.
    #[must_use]
    pub const fn has(&self, needed: ClientCapability) -> bool {
        match needed {
            ClientCapability::ElicitationForm => self.elicitation_form,
            ClientCapability::ElicitationUrl => self.elicitation_url,
            ClientCapability::Sampling => self.sampling,
            ClientCapability::SamplingTools => self.sampling_tools,
            ClientCapability::Roots => self.roots,
            ClientCapability::Tasks => self.tasks,
        }
    }
}

fn shows_apps(extensions: Option<&Map<String, Value>>) -> bool {
    extensions
        .and_then(|extensions| extensions.get(APPS_EXTENSION)?.get("mimeTypes")?.as_array())
        .is_some_and(|kinds| kinds.iter().any(|kind| kind == APP_MIME_TYPE))
}

/// One thing a server may need of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientCapability {
    /// `elicitation.form`
    ElicitationForm,
    /// `elicitation.url`
    ElicitationUrl,
    /// `sampling`
    Sampling,
    /// `sampling.tools`
    SamplingTools,
    /// `roots`
    Roots,
    /// The extension `io.modelcontextprotocol/tasks`
    Tasks,
}

impl ClientCapability {
    /// The declaration that would satisfy it, for `data.requiredCapabilities`.
    #[must_use]
    pub fn declaration(self) -> Value {
        match self {
            Self::ElicitationForm => json!({"elicitation": {"form": {}}}),
            Self::ElicitationUrl => json!({"elicitation": {"url": {}}}),
            Self::Sampling => json!({"sampling": {}}),
            Self::SamplingTools => json!({"sampling": {"tools": {}}}),
            Self::Roots => json!({"roots": {}}),
            Self::Tasks => json!({"extensions": {TASKS_EXTENSION: {}}}),
        }
    }

    /// Its name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ElicitationForm => "elicitation.form",
            Self::ElicitationUrl => "elicitation.url",
            Self::Sampling => "sampling",
            Self::SamplingTools => "sampling.tools",
            Self::Roots => "roots",
            Self::Tasks => TASKS_EXTENSION,
        }
    }
}

/// What a server offers. Written per revision by [`ServerCapabilities::to_value`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServerCapabilities {
    /// Tools are offered; changes of the list are announced.
    pub tools: bool,
    /// Prompts are offered; changes of the list are announced.
    pub prompts: bool,
    /// Resources are offered; changes of the list are announced.
    pub resources: bool,
    /// Single resources can be subscribed to.
    pub resource_subscriptions: bool,
    /// Log messages are sent.
    pub logging: bool,
    /// Arguments can be completed.
    pub completions: bool,
    /// Some tool's calls may become tasks.
    pub tasks: bool,
    /// Other extensions, by their ids, with their settings. Hosts of apps look for theirs in every
    /// revision.
    pub extensions: Map<String, Value>,
}

impl ServerCapabilities {
    /// The declaration as it stands in `initialize` and `server/discover` results.
    #[must_use]
    pub fn to_value(&self, version: ProtocolVersion) -> Value {
        let mut declared = Map::new();
        if self.tools {
            declared.insert("tools".into(), json!({"listChanged": true}));
        }
        if self.prompts {
            declared.insert("prompts".into(), json!({"listChanged": true}));
        }
        if self.resources {
            declared.insert(
                "resources".into(),
                json!({"listChanged": true, "subscribe": self.resource_subscriptions}),
            );
        }
        if self.logging {
            declared.insert("logging".into(), json!({}));
        }
        if self.completions {
            declared.insert("completions".into(), json!({}));
        }
        let mut extensions = self.extensions.clone();
        match version {
            ProtocolVersion::V2025_11_25 if self.tasks => {
                let calls = json!({"tools": {"call": {}}});
                let tasks = json!({"list": {}, "cancel": {}, "requests": calls});
                declared.insert("tasks".into(), tasks);
            }
            ProtocolVersion::V2026_07_28 if self.tasks => {
                extensions.insert(TASKS_EXTENSION.into(), json!({}));
            }
            _ => {}
        }
        if !extensions.is_empty() {
            declared.insert("extensions".into(), extensions.into());
        }
        Value::Object(declared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_elicitation_capability_means_forms_only() {
        for (declared, form, url) in [
            (r#"{"elicitation":{}}"#, true, false),
            (r#"{"elicitation":{"url":{}}}"#, false, true),
            (r#"{"elicitation":{"form":{},"url":{}}}"#, true, true),
            (r#"{"sampling":{}}"#, false, false),
        ] {
            let capabilities = ClientCapabilities::parse(RawJson::from_valid(declared)).unwrap();
            assert_eq!(capabilities.elicitation_form, form, "{declared}");
            assert_eq!(capabilities.elicitation_url, url, "{declared}");
        }
    }

    #[test]
    fn malformed_declarations_are_refused() {
        for declared in ["[]", "1", r#"{"elicitation":true}"#, r#"{"extensions":[]}"#] {
            assert!(
                ClientCapabilities::parse(RawJson::from_valid(declared)).is_err(),
                "{declared}"
            );
        }
    }
}
