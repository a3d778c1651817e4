//! The arguments of a call, as typed.
//!
//! `--arg key=value` is read as the tool's schema has the key: text stays text where text is asked
//! for, whatever it looks like. `--json` goes out as the bytes it is.

use std::io::Read as _;

use serde_json::{Map, Value};

use crate::protocol::raw::RawJson;

/// Most that is read from standard input: a server takes 4 MiB unless told otherwise.
const INPUT_MAX: u64 = 64 * 1024 * 1024;

/// What a call takes.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// An argument (repeatable; a repeated key makes a list)
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, conflicts_with = "json")]
    arg: Vec<(String, String)>,
    /// All arguments as one JSON object, or `-` to read it from standard input
    #[arg(long, value_name = "OBJECT")]
    json: Option<String>,
}

impl Arguments {
    /// Whether the tool's schema is needed to read them.
    pub(super) const fn need_a_schema(&self) -> bool {
        !self.arg.is_empty()
    }

    /// The arguments, if they were given whole. Read before anything else is done: reading waits,
    /// and what is wrong should be said before a server is asked.
    pub(super) fn whole(&self) -> Result<Option<RawJson>, String> {
        match self.json.as_deref() {
            None => Ok(None),
            Some("-") => {
                let mut text = String::new();
                std::io::stdin()
                    .lock()
                    .take(INPUT_MAX)
                    .read_to_string(&mut text)
                    .map_err(|error| format!("standard input cannot be read: {error}"))?;
                object(text).map(Some)
            }
            Some(text) => object(text.to_owned()).map(Some),
        }
    }

    /// The arguments that were given one by one.
    pub(super) fn pairs(&self, schema: Option<&Value>) -> Result<Map<String, Value>, String> {
        let mut object = Map::new();
        for (key, text) in &self.arg {
            let schema = schema.and_then(|schema| schema["properties"].get(key));
            let is_list = schema.is_some_and(|schema| schema["type"] == "array");
            if is_list && !text.trim_start().starts_with('[') {
                let element = typed(key, text, schema.and_then(|schema| schema.get("items")))?;
                match object
                    .entry(key)
                    .or_insert_with(|| Value::Array(Vec::new()))
                {
                    Value::Array(elements) => elements.push(element),
                    _other => return Err(format!("--arg {key}: is given twice")),
                }
                continue;
            }
            if object
                .insert(key.clone(), typed(key, text, schema)?)
                .is_some()
            {
                return Err(format!("--arg {key}: is given twice"));
            }
        }
        Ok(object)
    }
}

fn object(text: String) -> Result<RawJson, String> {
    // The bytes go out as they are; this only looks.
    serde_json::from_str::<&serde_json::value::RawValue>(&text)
        .map_err(|error| format!("--json: {error}"))?;
    let object = RawJson::from_valid(text);
    if object.is_object() {
        Ok(object)
    } else {
        Err("--json: an object is expected".to_owned())
    }
}

/// What a text means where the schema asks for a type; without one, JSON if it is any.
fn typed(key: &str, text: &str, schema: Option<&Value>) -> Result<Value, String> {
    let as_text = || Value::String(text.to_owned());
    let types = match schema.map(|schema| &schema["type"]) {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _any => Vec::new(),
    };
    let parsed = serde_json::from_str::<Value>(text);
    if types.is_empty() {
        return Ok(parsed.unwrap_or_else(|_| as_text()));
    }
    if let Ok(value) = parsed
        && types.iter().any(|kind| is(&value, kind))
        && !value.is_string()
    {
        return Ok(value);
    }
    if types.contains(&"string") {
        return Ok(as_text());
    }
    Err(format!(
        "--arg {key}: {text:?} is no {}",
        types.join(" or ")
    ))
}

fn is(value: &Value, kind: &str) -> bool {
    match value {
        Value::Null => kind == "null",
        Value::Bool(_) => kind == "boolean",
        Value::Number(number) => {
            let is_whole = number.is_i64()
                || number.is_u64()
                || number.as_f64().is_some_and(|number| number.fract() == 0.0);
            kind == "number" || (kind == "integer" && is_whole)
        }
        Value::String(_) => kind == "string",
        Value::Array(_) => kind == "array",
        Value::Object(_) => kind == "object",
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _other => Err("write `KEY=VALUE`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(typed: &[&str], schema: Option<&Value>) -> Result<Value, String> {
        let arguments = Arguments {
            arg: typed.iter().map(|text| pair(text).unwrap()).collect(),
            json: None,
        };
        arguments.pairs(schema).map(Value::Object)
    }

    #[test]
    fn the_schema_says_what_a_text_means() {
        let schema = json!({"properties": {
            "text": {"type": "string"}, "count": {"type": "integer"}, "sure": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}}, "any": {},
            "either": {"type": ["integer", "string"]}, "maybe": {"type": ["string", "null"]},
        }});
        let typed = [
            "text=42",
            "count=7",
            "sure=true",
            "tags=1",
            "tags=b=c",
            "any=[1]",
            "either=x",
            "maybe=null",
            "unknown=1",
        ];
        assert_eq!(
            read(&typed, Some(&schema)).unwrap(),
            json!({"text": "42", "count": 7, "sure": true, "tags": ["1", "b=c"], "any": [1],
                "either": "x", "maybe": null, "unknown": 1})
        );
        for wrong in ["count=1.5", "count=x", "sure=1"] {
            assert!(read(&[wrong], Some(&schema)).is_err(), "{wrong}");
        }
        assert!(read(&["text=a", "text=b"], Some(&schema)).is_err());
        let list = read(&[r#"tags=["a","b"]"#], Some(&schema)).unwrap();
        assert_eq!(list, json!({"tags": ["a", "b"]}));
    }

    #[test]
    fn without_a_schema_json_is_json_and_the_rest_is_text() {
        assert_eq!(
            read(&["a=1", "b=hello", "c={\"d\":null}"], None).unwrap(),
            json!({"a": 1, "b": "hello", "c": {"d": null}})
        );
    }
}
