//! Fields of forms: primitives and choices.
//!
//! Spec: client/elicitation (2025-06-18 and later), requested schema.

use serde_json::{Map, Value, json};

/// One field of a form: a primitive, or a choice.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Field(pub(super) Map<String, Value>);

impl Field {
    fn of(kind: &str) -> Self {
        Self(Map::from_iter([("type".to_owned(), kind.into())]))
    }

    /// A line of text.
    pub fn string() -> Self {
        Self::of("string")
    }

    /// A number.
    pub fn number() -> Self {
        Self::of("number")
    }

    /// A whole number.
    pub fn integer() -> Self {
        Self::of("integer")
    }

    /// Yes or no.
    pub fn boolean() -> Self {
        Self::of("boolean")
    }

    /// One of some values.
    pub fn choice<S: Into<String>>(values: impl IntoIterator<Item = S>) -> Self {
        Self::string().with("enum", strings(values))
    }

    /// One of some values, each shown under a name.
    pub fn titled_choice<S: Into<String>>(values: impl IntoIterator<Item = (S, S)>) -> Self {
        Self::string().with("oneOf", titled(values))
    }

    /// One of some values, each shown under a name, written as 2025-06-18 did.
    pub fn named_choice<S: Into<String>>(values: impl IntoIterator<Item = (S, S)>) -> Self {
        let (values, names): (Vec<String>, Vec<String>) = values
            .into_iter()
            .map(|(value, name)| (value.into(), name.into()))
            .unzip();
        Self::choice(values).with("enumNames", strings(names))
    }

    /// Any of some values.
    pub fn choices<S: Into<String>>(values: impl IntoIterator<Item = S>) -> Self {
        Self::of("array").with("items", json!({"type": "string", "enum": strings(values)}))
    }

    /// Any of some values, each shown under a name.
    pub fn titled_choices<S: Into<String>>(values: impl IntoIterator<Item = (S, S)>) -> Self {
        Self::of("array").with("items", json!({"anyOf": titled(values)}))
    }

    /// A name for people.
    pub fn title(self, title: impl Into<String>) -> Self {
        self.with("title", title.into())
    }

    /// What belongs there.
    pub fn description(self, description: impl Into<String>) -> Self {
        self.with("description", description.into())
    }

    /// What stands there at first.
    pub fn default_value(self, value: impl Into<Value>) -> Self {
        self.with("default", value)
    }

    /// What kind of text: `email`, `uri`, `date` or `date-time`.
    pub fn format(self, format: &str) -> Self {
        self.with("format", format)
    }

    /// Smallest and largest number.
    pub fn range(self, minimum: impl Into<Value>, maximum: impl Into<Value>) -> Self {
        self.with("minimum", minimum).with("maximum", maximum)
    }

    /// Shortest and longest text, in characters.
    pub fn length(self, minimum: u32, maximum: u32) -> Self {
        self.with("minLength", minimum).with("maxLength", maximum)
    }

    fn with(mut self, keyword: &str, value: impl Into<Value>) -> Self {
        self.0.insert(keyword.to_owned(), value.into());
        self
    }
}

fn strings<S: Into<String>>(values: impl IntoIterator<Item = S>) -> Value {
    values.into_iter().map(Into::<String>::into).collect()
}

fn titled<S: Into<String>>(values: impl IntoIterator<Item = (S, S)>) -> Value {
    values
        .into_iter()
        .map(|(value, title)| json!({"const": value.into(), "title": title.into()}))
        .collect()
}

/// Whether a property's schema is one of the forms' primitives.
pub(super) fn is_flat(field: &Map<String, Value>) -> bool {
    match field.get("type").and_then(Value::as_str) {
        Some("string" | "number" | "integer" | "boolean") => !field.contains_key("properties"),
        Some("array") => field.get("items").is_some_and(|items| {
            items.get("enum").is_some_and(Value::is_array)
                || items.get("anyOf").is_some_and(Value::is_array)
        }),
        _other => false,
    }
}
