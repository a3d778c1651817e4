//! Forms to put to a user: a message and flat fields.
//!
//! [`Form`] is built field by field, or from a schema that is checked to be flat. It writes itself
//! for each revision: 2025-06-18 knows no titled choices, no lists and few defaults, so these become
//! what it has, and a list comes back as text that is taken apart again.
//!
//! Spec: client/elicitation (2025-06-18 and later), requested schema.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::field::{Field, is_flat};
use super::schema::Schema;
use crate::protocol::form;
use crate::protocol::raw::RawJson;
use crate::protocol::version::ProtocolVersion;

/// A form for a user.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Form {
    message: String,
    fields: Vec<(String, Field)>,
    required: Vec<String>,
}

/// A schema is none that a form may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// The root is something else than an object with properties.
    #[error("a form's schema is an object with `properties`")]
    NotAForm,
    /// A field holds something that no form can show.
    #[error("field {0:?} is neither a string, a number, a boolean nor a choice")]
    NotFlat(String),
}

/// A form as one revision can take it.
pub(super) struct WireForm {
    pub(super) params: RawJson,
    pub(super) fields: WireFields,
}

/// Which fields went out as something else and have to be read back.
pub(super) struct WireFields {
    lists: Vec<String>,
}

impl Form {
    /// A form that says `message` and has no fields yet.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            fields: Vec::new(),
            required: Vec::new(),
        }
    }

    /// A form with the fields of a schema.
    ///
    /// # Errors
    /// [`FormError`] when the schema is not flat.
    pub fn from_schema(message: impl Into<String>, schema: &Value) -> Result<Self, FormError> {
        let properties = schema
            .get("properties")
            .and_then(Value::as_object)
            .filter(|_| schema.get("type").and_then(Value::as_str) == Some("object"))
            .ok_or(FormError::NotAForm)?;
        let fields = properties
            .iter()
            .map(|(name, field)| match field {
                Value::Object(field) if is_flat(field) => Ok((name.clone(), Field(field.clone()))),
                _not_flat => Err(FormError::NotFlat(name.clone())),
            })
            .collect::<Result<_, _>>()?;
        let required = match schema.get("required") {
            None => Vec::new(),
            Some(required) => {
                serde_json::from_value(required.clone()).map_err(|_| FormError::NotAForm)?
            }
        };
        Ok(Self {
            message: message.into(),
            fields,
            required,
        })
    }

    /// Adds a field that must be filled in.
    pub fn field(mut self, name: impl Into<String>, field: Field) -> Self {
        let name = name.into();
        self.required.push(name.clone());
        self.fields.push((name, field));
        self
    }

    /// Adds a field that may be left empty.
    pub fn optional(mut self, name: impl Into<String>, field: Field) -> Self {
        self.fields.push((name.into(), field));
        self
    }

    pub(super) fn for_version(&self, version: ProtocolVersion) -> WireForm {
        let modern = version >= ProtocolVersion::V2025_11_25;
        let mut lists = Vec::new();
        let fields = if modern {
            self.fields.clone()
        } else {
            self.fields
                .iter()
                .map(|(name, field)| {
                    let (field, is_list) = form::downgraded(&field.0);
                    if is_list {
                        lists.push(name.clone());
                    }
                    (name.clone(), Field(field))
                })
                .collect()
        };
        WireForm {
            params: RawJson::of(&ElicitParams {
                mode: modern.then_some("form"),
                message: &self.message,
                requested_schema: FormSchema {
                    kind: "object",
                    properties: Fields(&fields),
                    required: &self.required,
                },
            }),
            fields: WireFields { lists },
        }
    }

    /// Checks what was filled in.
    pub(super) fn check(&self, content: &Map<String, Value>) -> Result<(), String> {
        let schema = serde_json::to_value(FormSchema {
            kind: "object",
            properties: Fields(&self.fields),
            required: &self.required,
        })
        .map_err(|error| error.to_string())?;
        Schema::compile(&schema)
            .map_err(|error| error.to_string())?
            .check(&Value::Object(content.clone()))
    }
}

impl WireFields {
    /// Takes lists apart that came back as text.
    pub(super) fn read(&self, mut content: Map<String, Value>) -> Map<String, Value> {
        for name in &self.lists {
            if let Some(value) = content.get_mut(name)
                && let Value::String(text) = &*value
            {
                *value = form::list(text);
            }
        }
        content
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ElicitParams<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    message: &'a str,
    requested_schema: FormSchema<'a>,
}

#[derive(Serialize)]
struct FormSchema<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    properties: Fields<'a>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    required: &'a [String],
}

/// Fields in the order they were added, which is the order a user sees.
struct Fields<'a>(&'a [(String, Field)]);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, field)| (name, &field.0)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_flat_schemas_make_forms() {
        for (schema, flat) in [
            (
                json!({"type": "object", "properties": {"a": {"type": "string"}}}),
                true,
            ),
            (
                json!({"type": "object", "properties": {"a": Field::choices(["x"]).0}}),
                true,
            ),
            (
                json!({"type": "object", "properties": {"a": {"type": "object"}}}),
                false,
            ),
            (
                json!({"type": "object", "properties": {"a": {"type": "array"}}}),
                false,
            ),
            (json!({"type": "object", "properties": {"a": true}}), false),
            (json!({"type": "object"}), false),
            (json!({"properties": {}}), false),
        ] {
            assert_eq!(Form::from_schema("m", &schema).is_ok(), flat, "{schema}");
        }
    }

    #[test]
    fn fields_keep_their_order() {
        let form = Form::new("m")
            .field("zebra", Field::string())
            .optional("ant", Field::boolean());
        let wire = form.for_version(ProtocolVersion::V2025_11_25);
        assert_eq!(
            wire.params.as_str(),
            r#"{"mode":"form","message":"m","requestedSchema":{"type":"object","properties":{"zebra":{"type":"string"},"ant":{"type":"boolean"}},"required":["zebra"]}}"#
        );
    }

    #[test]
    fn an_older_client_gets_what_it_knows() {
        let form = Form::new("m")
            .field(
                "one",
                Field::titled_choice([("a", "A"), ("b", "B")]).default_value("b"),
            )
            .field("many", Field::choices(["x", "y"]).description("Which?"))
            .field("yes", Field::boolean().default_value(true));
        let wire = form.for_version(ProtocolVersion::V2025_06_18);
        let params = wire.params.to_value();
        assert!(params.get("mode").is_none());
        assert_eq!(
            params["requestedSchema"]["properties"],
            json!({
                "one": {"type": "string", "enum": ["a", "b"], "enumNames": ["A", "B"],
                        "description": "(default: b)"},
                "many": {"type": "string",
                         "description": "Which? (several of: x, y; separated by commas)"},
                "yes": {"type": "boolean", "default": true},
            })
        );
        let answer = json!({"one": "a", "many": "y , x", "yes": true});
        let content = wire.fields.read(answer.as_object().unwrap().clone());
        assert_eq!(content["many"], json!(["y", "x"]));
        assert!(form.check(&content).is_ok());
    }

    #[test]
    fn answers_are_held_to_the_form() {
        let form = Form::new("m")
            .field("n", Field::integer().range(1, 9))
            .optional("c", Field::titled_choices([("a", "A")]));
        for (answer, fits) in [
            (json!({"n": 5}), true),
            (json!({"n": 5, "c": ["a"]}), true),
            (json!({"n": 10}), false),
            (json!({"n": 5, "c": ["b"]}), false),
            (json!({}), false),
        ] {
            let content = answer.as_object().unwrap();
            assert_eq!(form.check(content).is_ok(), fits, "{answer}");
        }
    }
}
