//! Tools as they stand on the wire: definitions, calls and results.
//!
//! [`ToolResult`] writes itself for each revision, and [`wrapped_output_schema`] gives session-era
//! clients, who know only objects as structured results, an object around anything else.
//!
//! Spec: server/tools (all revisions).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::content::Content;
use super::encode;
use super::icon::Icon;
use super::jsonrpc::Params;
use super::parts::Part;
use super::raw::{self, RawJson, ShapeError};
use super::version::{Era, ProtocolVersion};

/// What a result and a block of text have besides their texts, about.
const RESULT_BYTES: usize = 32;
const BLOCK_BYTES: usize = 32;
/// The member under which a result that is no object travels in the session era.
const WRAPPER: &str = "result";

/// Hints on how a tool behaves. Clients must not trust them, and neither do we.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ToolAnnotations {
    /// A name for people; older than the tool's own `title`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// It changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only_hint: Option<bool>,
    /// It may destroy something; unknown means yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destructive_hint: Option<bool>,
    /// Calling it twice is like calling it once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotent_hint: Option<bool>,
    /// It deals with the world outside; unknown means yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_world_hint: Option<bool>,
}

/// Whether calls of a tool may be tasks (2025-11-25 basic/utilities/tasks).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskSupport {
    /// They may not; the default on the wire.
    Forbidden,
    /// They may.
    Optional,
    /// They must.
    Required,
}

/// An entry of `tools/list`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolDefinition {
    /// The name it is called by.
    pub name: String,
    /// A name for people; from 2025-06-18.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it does, for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What arguments it takes.
    pub input_schema: Value,
    /// What its structured result looks like; from 2025-06-18.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// How it behaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<ToolAnnotations>,
    /// Pictures of it; from 2025-11-25.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub icons: Vec<Icon>,
    /// Metadata; from 2025-06-18.
    #[serde(default, rename = "_meta", skip_serializing_if = "Map::is_empty")]
    pub meta: Map<String, Value>,
}

/// The members of `tools/call` params.
#[derive(Debug)]
pub struct CallToolParams<'a> {
    /// Which tool.
    pub name: Cow<'a, str>,
    /// With what, undecoded; absent and `null` both mean no arguments.
    pub arguments: Option<&'a str>,
    /// Whether it brings the answers or the state of an earlier round.
    pub is_retry: bool,
}

impl<'a> CallToolParams<'a> {
    /// Reads them from a request's params.
    ///
    /// # Errors
    /// When they do not name a tool.
    pub fn of(params: &'a Params) -> Result<Self, ShapeError> {
        let name = params
            .part(Part::Name)
            .ok_or_else(|| ShapeError::new("missing field `name`"))?;
        let name = raw::string(name).ok_or_else(|| ShapeError::new("`name` must be a string"))?;
        Ok(Self {
            name,
            arguments: params
                .part(Part::Arguments)
                .filter(|given| *given != "null"),
            is_retry: [Part::InputResponses, Part::RequestState]
                .iter()
                .any(|part| params.part(*part).is_some()),
        })
    }
}

/// What a tool gives back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolResult {
    /// For the model to read.
    pub content: Vec<Content>,
    /// For programs to read.
    pub structured: Option<Value>,
    /// The tool failed; the content says how.
    pub is_error: bool,
}

impl ToolResult {
    /// A result of one text block.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::blocks(vec![Content::text(text)])
    }

    /// A result of content blocks.
    #[must_use]
    pub const fn blocks(content: Vec<Content>) -> Self {
        Self {
            content,
            structured: None,
            is_error: false,
        }
    }

    /// A failure, explained to the model.
    #[must_use]
    pub fn error(text: impl Into<String>) -> Self {
        Self {
            is_error: true,
            ..Self::text(text)
        }
    }

    /// A structured result, with its JSON as text beside it for clients that read only that.
    #[must_use]
    pub fn structured(value: Value) -> Self {
        let text = value.to_string();
        Self {
            structured: Some(value),
            ..Self::text(text)
        }
    }

    /// The result as `version` writes it. `wrap` says that the tool's output schema is wrapped for
    /// the session era, so its values must be too, objects included.
    #[must_use]
    pub fn to_wire(&self, version: ProtocolVersion, wrap: bool) -> RawJson {
        let length = self.content.iter().filter_map(Content::as_text);
        let length = length.map(|text| text.len() + BLOCK_BYTES).sum::<usize>();
        let mut out = String::with_capacity(length + RESULT_BYTES);
        out.push_str(r#"{"content":["#);
        for (at, block) in self.content.iter().enumerate() {
            out.push_str(if at == 0 { "" } else { "," });
            block.for_version(version).push_to(&mut out);
        }
        out.push(']');
        if let Some(value) = &self.structured
            && version >= ProtocolVersion::V2025_06_18
        {
            out.push_str(r#","structuredContent":"#);
            if version.era() == Era::Session && (wrap || !value.is_object()) {
                encode::push(&mut out, &json!({WRAPPER: value}));
            } else {
                encode::push(&mut out, value);
            }
        }
        if self.is_error {
            out.push_str(r#","isError":true"#);
        }
        out.push('}');
        RawJson::from_valid(out)
    }
}

/// Whether session-era clients must be given this output schema wrapped in an object.
#[must_use]
pub fn needs_wrapping(output_schema: &Value) -> bool {
    output_schema.get("type") != Some(&Value::from("object"))
}

/// An output schema as the session era can take it: an object with the value as `result`.
///
/// References within the document are rewritten to where their targets now are; `$schema` stays at
/// the root. Subtrees with an `$id` of their own are documents of their own and left alone.
#[must_use]
pub fn wrapped_output_schema(schema: &Value) -> Value {
    let mut inner = schema.clone();
    let dialect = inner
        .as_object_mut()
        .and_then(|inner| inner.remove("$schema"));
    if inner.get("$id").is_none() {
        rebase_references(&mut inner);
    }
    let mut outer = Map::new();
    if let Some(dialect) = dialect {
        outer.insert("$schema".into(), dialect);
    }
    outer.insert("type".into(), "object".into());
    outer.insert("properties".into(), json!({WRAPPER: inner}));
    outer.insert("required".into(), json!([WRAPPER]));
    Value::Object(outer)
}

fn rebase_references(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(target)
                        if key == "$ref" && (target == "#" || target.starts_with("#/")) =>
                    {
                        *target = format!("#/properties/{WRAPPER}{}", &target[1..]);
                    }
                    other if other.get("$id").is_none() => rebase_references(other),
                    _document_of_its_own => {}
                }
            }
        }
        Value::Array(elements) => {
            for element in elements {
                if element.get("$id").is_none() {
                    rebase_references(element);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProtocolVersion::{V2025_03_26, V2025_06_18, V2025_11_25, V2026_07_28};

    #[test]
    fn structured_results_are_written_as_each_revision_takes_them() {
        let object = ToolResult::structured(json!({"a": 1}));
        let list = ToolResult::structured(json!([1]));
        for (result, version, wrap, structured) in [
            (&object, V2025_03_26, false, Value::Null),
            (&object, V2025_06_18, false, json!({"a": 1})),
            (&object, V2025_11_25, true, json!({"result": {"a": 1}})),
            (&object, V2026_07_28, true, json!({"a": 1})),
            (&list, V2025_06_18, true, json!({"result": [1]})),
            (&list, V2025_06_18, false, json!({"result": [1]})),
            (&list, V2026_07_28, true, json!([1])),
        ] {
            let wire = result.to_wire(version, wrap).to_value();
            assert_eq!(wire["structuredContent"], structured, "{version} {wrap}");
            let text = result.structured.as_ref().unwrap().to_string();
            assert_eq!(wire["content"][0]["text"], text.as_str());
        }
    }

    #[test]
    fn a_wrapped_schema_keeps_its_references_true() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "array",
            "items": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#"}, {"$ref": "#anchor"}]},
            "$defs": {"a": {"type": "string"}, "b": {"$id": "urn:b", "$ref": "#/x"}},
        });
        let wrapped = wrapped_output_schema(&schema);
        assert_eq!(wrapped["$schema"], schema["$schema"]);
        let inner = &wrapped["properties"]["result"];
        assert!(inner.get("$schema").is_none());
        let branches = &inner["items"]["anyOf"];
        assert_eq!(branches[0]["$ref"], "#/properties/result/$defs/a");
        assert_eq!(branches[1]["$ref"], "#/properties/result");
        assert_eq!(branches[2]["$ref"], "#anchor");
        assert_eq!(inner["$defs"]["b"]["$ref"], "#/x");
    }

    #[test]
    fn a_null_retry_is_not_an_absent_one() {
        let params = |text: &'static str| Params::new(RawJson::from_valid(text));
        let retry = params(r#"{"name":"a","arguments":null,"inputResponses":null}"#);
        let retry = CallToolParams::of(&retry).unwrap();
        assert!(retry.arguments.is_none());
        assert!(retry.is_retry);
        let first = params(r#"{"name":"a","arguments":{}}"#);
        assert!(!CallToolParams::of(&first).unwrap().is_retry);
        for nameless in [r#"{"arguments":{}}"#, r#"{"name":null}"#, r#"{"name":7}"#] {
            assert!(CallToolParams::of(&params(nameless)).is_err(), "{nameless}");
        }
    }
}
