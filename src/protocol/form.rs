//! What becomes of a form for clients of 2025-06-18, who know less of forms.
//!
//! They have no titled choices, no lists and only booleans with defaults. Each becomes what they
//! have, and a list comes back as text that is taken apart again.
//!
//! Spec: client/elicitation (2025-06-18, 2025-11-25), requested schema.

use serde_json::{Map, Value};

/// The field as 2025-06-18 can show it, and whether it was a list.
#[must_use]
pub fn downgraded(field: &Map<String, Value>) -> (Map<String, Value>, bool) {
    let mut field = field.clone();
    let mut notes = Vec::new();
    if let Some(Value::Array(options)) = field.remove("oneOf") {
        let (values, names): (Vec<_>, Vec<_>) = options.iter().map(option).unzip();
        field.insert("enum".into(), values.into());
        field.insert("enumNames".into(), names.into());
    }
    let is_list = field.get("type").is_some_and(|kind| kind == "array");
    if is_list {
        let options = field
            .get("items")
            .map(list_options)
            .unwrap_or_default()
            .join(", ");
        field.retain(|keyword, _| keyword == "title" || keyword == "description");
        field.insert("type".into(), "string".into());
        notes.push(format!("several of: {options}; separated by commas"));
    }
    if field.get("type").is_none_or(|kind| kind != "boolean")
        && let Some(default) = field.remove("default")
    {
        notes.push(match default {
            Value::String(text) => format!("default: {text}"),
            other => format!("default: {other}"),
        });
    }
    if !notes.is_empty() {
        let notes = format!("({})", notes.join("; "));
        let text = match field.get("description").and_then(Value::as_str) {
            Some(description) => format!("{description} {notes}"),
            None => notes,
        };
        field.insert("description".into(), text.into());
    }
    (field, is_list)
}

/// The elements of a list that came back as text.
#[must_use]
pub fn list(text: &str) -> Value {
    text.split(',')
        .map(str::trim)
        .filter(|element| !element.is_empty())
        .collect()
}

/// The value and the name of a titled option.
fn option(option: &Value) -> (Value, Value) {
    let value = option.get("const").cloned().unwrap_or_default();
    let name = option
        .get("title")
        .cloned()
        .unwrap_or_else(|| value.clone());
    (value, name)
}

fn list_options(items: &Value) -> Vec<String> {
    let plain = items.get("enum").and_then(Value::as_array);
    let titled = items.get("anyOf").and_then(Value::as_array);
    let values = plain.into_iter().flatten().cloned();
    let titled = titled.into_iter().flatten().map(|titled| option(titled).0);
    values
        .chain(titled)
        .filter_map(|value| value.as_str().map(ToOwned::to_owned))
        .collect()
}
