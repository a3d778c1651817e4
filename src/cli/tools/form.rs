//! The fields of a form: what is asked, and what a typed line means for each.
//!
//! Spec: client/elicitation, requested schema (2025-11-25): flat objects of texts, numbers,
//! booleans and choices, one or several.

use serde_json::Value;

use super::show::type_of;

/// One field.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) key: String,
    schema: Value,
    is_required: bool,
}

/// What a typed line is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry {
    /// This value.
    Value(Value),
    /// The field stays empty.
    Nothing,
    /// Not what is asked, and why.
    Wrong(String),
}

/// A value that may be chosen, and what it is called.
#[derive(Clone, Debug)]
struct Choice {
    value: Value,
    title: String,
}

/// The fields a schema asks for, required ones first.
pub(super) fn fields(schema: &Value) -> Vec<Field> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let properties = schema["properties"].as_object();
    let mut fields = properties
        .into_iter()
        .flatten()
        .map(|(key, schema)| Field {
            key: key.clone(),
            schema: schema.clone(),
            is_required: required.contains(&Value::from(&**key)),
        })
        .collect::<Vec<_>>();
    fields.sort_by_key(|field| !field.is_required);
    fields
}

/// Whether somebody agrees.
pub(super) fn is_yes(line: &str) -> bool {
    matches!(line.trim().to_lowercase().as_str(), "y" | "yes" | "true")
}

impl Field {
    /// Lines that say what is asked.
    pub(super) fn about(&self) -> Vec<String> {
        let title = self.schema["title"].as_str().unwrap_or(&self.key);
        let kind = match self.choices() {
            Some(_) if self.is_several() => "several choices, with commas".to_owned(),
            Some(_) => "one choice".to_owned(),
            None => match self.schema["format"].as_str() {
                Some(format) => format!("{}, {format}", type_of(&self.schema)),
                None if self.schema["type"] == "boolean" => "yes or no".to_owned(),
                None => type_of(&self.schema),
            },
        };
        let need = if self.is_required {
            "required"
        } else {
            "optional"
        };
        let default = self.default().map(|value| format!(" [{}]", shown(value)));
        let about = self.schema["description"].as_str();
        let about = about.map(|about| format!(" - {about}"));
        let mut lines = vec![format!(
            "{title} ({kind}, {need}){}{}",
            default.unwrap_or_default(),
            about.unwrap_or_default()
        )];
        for (at, choice) in self.choices().into_iter().flatten().enumerate() {
            let value = shown(&choice.value);
            let title = if choice.title == value {
                String::new()
            } else {
                format!(" - {}", choice.title)
            };
            lines.push(format!("{}) {value}{title}", at + 1));
        }
        lines
    }

    /// What the line means.
    pub(super) fn read(&self, line: &str) -> Entry {
        let line = line.trim();
        if line.is_empty() {
            return match self.default() {
                Some(default) => Entry::Value(default.clone()),
                None if self.is_required => Entry::Wrong("an answer is required".to_owned()),
                None => Entry::Nothing,
            };
        }
        let value = match self.choices() {
            Some(choices) if self.is_several() => line
                .split(',')
                .map(|line| choose(&choices, line.trim()))
                .collect::<Option<Vec<_>>>()
                .map(Value::Array),
            Some(choices) => choose(&choices, line),
            None => typed(&self.schema, line),
        };
        let Some(value) = value else {
            return Entry::Wrong(match self.choices() {
                Some(_) => "that is none of the choices".to_owned(),
                None => format!("that is no {}", type_of(&self.schema)),
            });
        };
        let Ok(validator) = jsonschema::validator_for(&self.schema) else {
            // A schema that is none cannot be kept; the server will say what it makes of this.
            return Entry::Value(value);
        };
        let problem = validator.iter_errors(&value).next();
        match problem.map(|problem| problem.to_string()) {
            Some(problem) => Entry::Wrong(problem),
            None => Entry::Value(value),
        }
    }

    fn default(&self) -> Option<&Value> {
        self.schema.get("default").filter(|value| !value.is_null())
    }

    fn is_several(&self) -> bool {
        self.schema["type"] == "array"
    }

    fn choices(&self) -> Option<Vec<Choice>> {
        let schema = if self.is_several() {
            &self.schema["items"]
        } else {
            &self.schema
        };
        if let Some(titled) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
            let choices = titled.iter().map(|choice| Choice {
                value: choice["const"].clone(),
                title: choice["title"].as_str().unwrap_or_default().to_owned(),
            });
            return Some(choices.collect());
        }
        let names = &schema["enumNames"];
        let choices = schema["enum"].as_array()?.iter().enumerate();
        let choices = choices.map(|(at, value)| Choice {
            value: value.clone(),
            title: names[at]
                .as_str()
                .map_or_else(|| shown(value), ToOwned::to_owned),
        });
        Some(choices.collect())
    }
}

/// The choice of that value, title or number.
fn choose(choices: &[Choice], line: &str) -> Option<Value> {
    let by_name = choices
        .iter()
        .find(|choice| shown(&choice.value) == line)
        .or_else(|| choices.iter().find(|choice| choice.title == line));
    let by_number = || {
        let number: usize = line.parse().ok()?;
        choices.get(number.checked_sub(1)?)
    };
    by_name
        .or_else(by_number)
        .map(|choice| choice.value.clone())
}

fn typed(schema: &Value, line: &str) -> Option<Value> {
    match schema["type"].as_str() {
        Some("boolean") => match line.to_lowercase().as_str() {
            "y" | "yes" | "true" => Some(Value::Bool(true)),
            "n" | "no" | "false" => Some(Value::Bool(false)),
            _neither => None,
        },
        Some("integer" | "number") => serde_json::from_str(line)
            .ok()
            .filter(|value: &Value| value.is_number()),
        _text => Some(Value::String(line.to_owned())),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(schema: Value) -> Field {
        let form = json!({"properties": {"f": schema}, "required": ["f"]});
        fields(&form).remove(0)
    }

    #[test]
    fn a_line_is_read_as_the_field_has_it() {
        let titled = json!({"type": "string", "oneOf": [
            {"const": "s", "title": "Small"}, {"const": "l", "title": "Large"}]});
        let several = json!({"type": "array", "items": {"enum": ["a", "b", "c"]}, "maxItems": 2});
        for (schema, line, value) in [
            (json!({"type": "string"}), " 42 ", json!("42")),
            (json!({"type": "integer", "maximum": 5}), "5", json!(5)),
            (json!({"type": "number"}), "-1.5", json!(-1.5)),
            (json!({"type": "boolean"}), "Y", json!(true)),
            (
                json!({"type": "boolean", "default": false}),
                "",
                json!(false),
            ),
            (
                json!({"enum": ["x", "y"], "enumNames": ["Ex", "Why"]}),
                "Why",
                json!("y"),
            ),
            (titled.clone(), "2", json!("l")),
            (titled.clone(), "Small", json!("s")),
            (several.clone(), "1, c", json!(["a", "c"])),
        ] {
            assert_eq!(field(schema).read(line), Entry::Value(value), "{line}");
        }
        for (schema, line) in [
            (json!({"type": "string"}), ""),
            (json!({"type": "integer", "maximum": 5}), "6"),
            (json!({"type": "integer"}), "1.5"),
            (json!({"type": "number"}), "x"),
            (json!({"type": "boolean"}), "perhaps"),
            (json!({"type": "string", "minLength": 3}), "ab"),
            (titled, "3"),
            (several, "a,b,c"),
        ] {
            let entry = field(schema).read(line);
            assert!(matches!(entry, Entry::Wrong(_)), "{line}: {entry:?}");
        }
    }

    #[test]
    fn what_is_not_required_may_stay_empty() {
        let form = json!({"properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "required": ["b"]});
        let fields = fields(&form);
        assert_eq!(fields[0].key, "b", "required ones come first");
        assert_eq!(fields[1].read(""), Entry::Nothing);
    }

    #[test]
    fn a_field_says_what_it_is_about() {
        let size = json!({"type": "string", "title": "Size", "description": "Of the cup.",
            "enum": ["s", "l"], "enumNames": ["Small", "l"], "default": "s"});
        assert_eq!(
            field(size).about(),
            [
                "Size (one choice, required) [s] - Of the cup.",
                "1) s - Small",
                "2) l"
            ]
        );
    }
}
