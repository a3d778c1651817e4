//! JSON Schemas of tools: made from types, bounded, compiled once, checked in linear time.
//!
//! [`Schema`] is a compiled schema. What a compiled schema may be made of is bounded before the
//! compiler sees it, it is never fetched from anywhere, and its patterns run on an engine without
//! backtracking: a schema may come from somebody we do not know.
//!
//! Spec: basic/index, JSON Schema usage (2025-11-25 and 2026-07-28).

use jsonschema::PatternOptions;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use schemars::transform::ReplaceBoolSchemas;
use serde_json::Value;

/// Deepest nesting of a schema; the depth the body scan allows a request.
const DEPTH_MAX: usize = 64;
/// Most subschemas: compiling 2,000 takes a few milliseconds and about a megabyte.
const SUBSCHEMAS_MAX: usize = 2_000;
/// Longest schema as text. It travels in every `tools/list`.
const BYTES_MAX: usize = 256 * 1024;
/// Most complaints about one value: a model mends a few at a time.
const COMPLAINTS_MAX: usize = 5;
/// Longest single complaint, in bytes. Complaints quote the value, which may be megabytes.
const COMPLAINT_BYTES_MAX: usize = 200;

/// Why a schema cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The root takes something else than an object.
    #[error("the root must have \"type\": \"object\"")]
    NotAnObject,
    /// Nested too deeply.
    #[error("nested deeper than 64 levels")]
    TooDeep,
    /// Too many parts.
    #[error("more than 2000 subschemas")]
    TooManyParts,
    /// Too long.
    #[error("longer than 256 KiB")]
    TooLong,
    /// Not a schema, of an unknown dialect, with a pattern that needs backtracking, or with a
    /// reference that leads out of the document.
    #[error("{0}")]
    Invalid(String),
}

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Schema(jsonschema::Validator);

impl Schema {
    /// Compiles any schema.
    pub(crate) fn compile(schema: &Value) -> Result<Self, SchemaError> {
        let mut parts = 0;
        bound(schema, DEPTH_MAX, &mut parts)?;
        if schema.to_string().len() > BYTES_MAX {
            return Err(SchemaError::TooLong);
        }
        jsonschema::options()
            .offline()
            .with_pattern_options(PatternOptions::regex())
            .build(schema)
            .map(Self)
            .map_err(|error| SchemaError::Invalid(bounded(&error.to_string())))
    }

    /// Compiles a schema whose values are objects.
    pub(crate) fn compile_object(schema: &Value) -> Result<Self, SchemaError> {
        if schema.get("type").and_then(Value::as_str) != Some("object") {
            return Err(SchemaError::NotAnObject);
        }
        Self::compile(schema)
    }

    /// Checks a value; the error says what is wrong and where, in bounded length.
    pub(crate) fn check(&self, value: &Value) -> Result<(), String> {
        if self.0.is_valid(value) {
            return Ok(());
        }
        let mut errors = self.0.iter_errors(value);
        let mut complaints = errors
            .by_ref()
            .take(COMPLAINTS_MAX)
            .map(|error| match error.instance_path().as_str() {
                "" => bounded(&error.to_string()),
                at => format!("at {}: {}", bounded(at), bounded(&error.to_string())),
            })
            .collect::<Vec<_>>();
        let more = errors.count();
        if more > 0 {
            complaints.push(format!("and {more} more"));
        }
        Err(complaints.join("; "))
    }
}

fn bound(schema: &Value, depth_left: usize, parts: &mut usize) -> Result<(), SchemaError> {
    let Some(depth_left) = depth_left.checked_sub(1) else {
        return Err(SchemaError::TooDeep);
    };
    match schema {
        Value::Object(members) => {
            *parts += 1;
            if *parts > SUBSCHEMAS_MAX {
                return Err(SchemaError::TooManyParts);
            }
            members
                .values()
                .try_for_each(|member| bound(member, depth_left, parts))
        }
        Value::Array(elements) => elements
            .iter()
            .try_for_each(|element| bound(element, depth_left, parts)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn bounded(text: &str) -> String {
    if text.len() <= COMPLAINT_BYTES_MAX {
        return text.to_owned();
    }
    let mut end = COMPLAINT_BYTES_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

/// The schema of a type that is read from arguments.
pub(crate) fn of_arguments<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_deserialize();
    generate::<T>(settings)
}

/// The schema of a type that is written as a result.
pub(crate) fn of_result<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    generate::<T>(settings)
}

fn generate<T: JsonSchema>(settings: SchemaSettings) -> Value {
    // The wire schemas of 2025 allow no `true` in place of a property's schema.
    let mut no_bool_schemas = ReplaceBoolSchemas::default();
    no_bool_schemas.skip_additional_properties = true;
    let schema = settings
        .with_transform(no_bool_schemas)
        .into_generator()
        .into_root_schema_for::<T>();
    let mut schema = schema.to_value();
    if let Some(root) = schema.as_object_mut() {
        // The name of a Rust type says nothing to a model.
        root.remove("title");
    }
    schema
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unusable_schemas_are_refused() {
        let deep = (0..70).fold(json!({}), |inner, _| json!({"not": inner}));
        let wide = json!({"type": "object", "anyOf": vec![json!({}); 2_001]});
        let long = json!({"type": "object", "description": "x".repeat(BYTES_MAX)});
        for (schema, error) in [
            (json!({"type": "string"}), "the root must"),
            (json!(true), "the root must"),
            (json!({"type": "object", "not": deep}), "nested deeper"),
            (wide, "more than 2000"),
            (long, "longer than"),
            (json!({"type": "object", "properties": 7}), ""),
            (
                json!({"type": "object", "$ref": "https://example.com/a.json"}),
                "",
            ),
            (json!({"type": "object", "$ref": "file:///etc/passwd"}), ""),
            (json!({"type": "object", "$ref": "#/$defs/missing"}), ""),
            (
                json!({"type": "object", "$schema": "https://example.com/mine"}),
                "",
            ),
            (
                json!({"type": "object", "properties": {"a": {"pattern": "(?=x)(a+)+\\1"}}}),
                "",
            ),
        ] {
            let refused = Schema::compile_object(&schema).unwrap_err().to_string();
            assert!(refused.starts_with(error), "{refused}");
            assert!(refused.len() < 300, "{refused}");
        }
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"type": "object", "properties": {"a": {"$ref": "#"}}});
        let schema = Schema::compile_object(&schema).unwrap();
        assert!(schema.check(&json!({"a": {"a": {}}})).is_ok());
        assert!(schema.check(&json!({"a": {"a": 1}})).is_err());
        let endless = json!({"type": "object", "$defs": {"a": {"$ref": "#/$defs/a"}},
                             "properties": {"x": {"$ref": "#/$defs/a"}}});
        if let Ok(schema) = Schema::compile_object(&endless) {
            // Nothing is said about any value; the point is that this returns.
            assert!(schema.check(&json!({"x": 1})).is_ok());
        }
    }

    #[test]
    fn complaints_say_what_and_where_in_bounded_length() {
        let schema = json!({"type": "object",
            "properties": {"list": {"type": "array", "items": {"type": "integer"}}}});
        let schema = Schema::compile_object(&schema).unwrap();
        let long = "x".repeat(10_000);
        let value = json!({"list": vec![json!(long); 50]});
        let complaints = schema.check(&value).unwrap_err();
        assert!(complaints.starts_with("at /list/0: "), "{complaints}");
        assert!(complaints.ends_with("; and 45 more"), "{complaints}");
        assert!(complaints.len() < 5 * 300, "{}", complaints.len());
    }

    #[test]
    fn types_give_schemas_that_every_revision_takes() {
        #[derive(JsonSchema)]
        #[expect(dead_code, reason = "only its schema is looked at")]
        struct Arguments {
            anything: Value,
            name: String,
        }
        let schema = of_arguments::<Arguments>();
        assert_eq!(schema["type"], "object");
        assert!(schema.get("title").is_none());
        assert!(schema["properties"]["anything"].is_object());
        assert_eq!(schema["required"], json!(["anything", "name"]));
    }
}
