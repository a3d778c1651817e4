//! Tool arguments that a stateless client repeats as headers: the `x-mcp-header` annotation.
//!
//! [`HeaderParams`] is what the annotations of one tool ask for, read from its input schema once.
//! With it the headers of each call are compared with its arguments, so that what a proxy in front
//! of us decided by header is what the tool is then called with.
//!
//! It does not check arguments against the schema: an argument of another type than declared is
//! left to that. Headers nobody asked for are not looked at.
//!
//! Invariants:
//! - Annotations are all valid or none is used.
//! - A call passes only if every annotated argument of its declared type equals its header, and no
//!   header stands for an argument that is not there.
//! - Errors name headers and schema places, never values: arguments may be private.
//!
//! Spec: 2026-07-28 basic/transports, custom headers from tool parameters.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::headers::{HeaderValueError, PARAM_PREFIX, decode_value};
use super::raw::RawJson;

/// The keyword that asks for a header.
pub const ANNOTATION: &str = "x-mcp-header";
/// Most annotations of one tool: a request has at most 64 header fields, and others need room.
pub const PARAMS_MAX: usize = 32;
/// Deepest schema that is searched: what the pre-scan lets through on any wire.
const DEPTH_MAX: usize = 64;
/// Largest integer that every JSON implementation keeps exactly: 2^53 - 1.
const INTEGER_MAX: i64 = (1 << 53) - 1;
/// Longest part of a schema place that an error repeats, in characters.
const PLACE_CHARS_MAX: usize = 64;

/// Keywords whose value is data, whatever it looks like.
const DATA: [&str; 4] = ["const", "default", "enum", "examples"];
/// Keywords whose value maps names of the author's choice, besides `properties`.
const NAMED: [&str; 6] = [
    "$defs",
    "definitions",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
];

/// The arguments of one tool that are repeated as headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderParams {
    params: Vec<HeaderParam>,
}

/// One annotated argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderParam {
    /// The full name of the header, in lower case.
    pub header: String,
    /// The keys that lead to it from the arguments object; never empty.
    pub path: Vec<String>,
    /// Its declared type.
    pub kind: ParamType,
}

/// The types an annotated argument may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamType {
    /// Text, in the value encoding of `headers.rs`.
    String,
    /// A whole number within ±(2^53 − 1), in decimal.
    Integer,
    /// `true` or `false`.
    Boolean,
}

/// An input schema annotates what it may not; `at` points into the schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnotationError {
    /// The name is no text, or none that a header can have (RFC 9110 section 5.6.2).
    #[error("`x-mcp-header` at `{at}` is not a token")]
    NotAToken {
        /// The annotated schema.
        at: String,
    },
    /// Another property has this name, in the same or another case.
    #[error("`x-mcp-header` at `{at}` names a header that is taken")]
    NameTaken {
        /// The annotated schema.
        at: String,
    },
    /// The property is of no type that a header can carry exactly.
    #[error("`x-mcp-header` at `{at}` needs `type` to be `string`, `integer` or `boolean`")]
    WrongType {
        /// The annotated schema.
        at: String,
    },
    /// The annotated schema is not reached from the root through `properties` alone.
    #[error("`x-mcp-header` at `{at}` is not on a plain property")]
    Misplaced {
        /// The annotated schema.
        at: String,
    },
    /// There are more annotations than a request has room for.
    #[error("`x-mcp-header` at `{at}` is one too many: at most {PARAMS_MAX} are taken")]
    TooMany {
        /// The annotated schema.
        at: String,
    },
    /// The schema is nested too deeply to be searched.
    #[error("the schema is nested more than {DEPTH_MAX} levels deep at `{at}`")]
    TooDeep {
        /// Where the search ended.
        at: String,
    },
}

/// A header of a call does not repeat its argument.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("header `{header}` of the argument `{argument}` {mismatch}")]
pub struct ParamHeaderError {
    /// The header, shortened.
    pub header: String,
    /// The keys of the argument, dotted and shortened.
    pub argument: String,
    /// What is wrong.
    pub mismatch: Mismatch,
}

/// How a header fails to repeat its argument; each text completes "the header …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The argument is there, the header is not.
    #[error("is missing")]
    Missing,
    /// The header is there, the argument is not.
    #[error("must be absent when the argument is")]
    Unexpected,
    /// The header cannot be read.
    #[error(transparent)]
    Malformed(#[from] HeaderValueError),
    /// The header says something else, or in another form than the type of the argument has.
    #[error("must equal the argument, {}", .0.form())]
    Different(ParamType),
    /// The argument is an integer that not every JSON implementation keeps, so that others may
    /// have seen another number.
    #[error("cannot stand for an integer beyond ±(2^53 - 1)")]
    Inexact,
}

impl HeaderParams {
    /// Reads the annotations of a tool's `inputSchema`; `None` when there are none.
    ///
    /// # Errors
    /// [`AnnotationError`] for the first annotation that breaks a rule.
    pub fn from_schema(schema: &Value) -> Result<Option<Self>, AnnotationError> {
        let mut search = Search {
            at: Vec::new(),
            params: Vec::new(),
        };
        search.schema(schema, Place::Root)?;
        let params = search.params;
        Ok((!params.is_empty()).then_some(Self { params }))
    }

    /// The annotated arguments.
    pub fn iter(&self) -> impl Iterator<Item = &HeaderParam> {
        self.params.iter()
    }

    /// Checks the headers of a call against its `arguments`.
    ///
    /// `header` looks up the single value of a header by its full name in lower case.
    ///
    /// # Errors
    /// [`ParamHeaderError`] for the first header that does not repeat its argument.
    pub fn check<'h>(
        &self,
        arguments: Option<&RawJson>,
        header: impl Fn(&str) -> Option<&'h [u8]>,
    ) -> Result<(), ParamHeaderError> {
        let mut found = vec![None; self.params.len()];
        if let Some(arguments) = arguments {
            let all: Vec<usize> = (0..self.params.len()).collect();
            self.find(&all, 0, arguments.as_str(), &mut found);
        }
        for (param, argument) in self.params.iter().zip(found) {
            param.check(argument, header(&param.header))?;
        }
        Ok(())
    }

    /// Finds the arguments of the params `wanted`, whose paths agree up to `depth`, in one pass
    /// over the object that the text is. What is no object has no members.
    fn find<'a>(
        &self,
        wanted: &[usize],
        depth: usize,
        object: &'a str,
        found: &mut [Option<&'a str>],
    ) {
        for_each_member(object, |key, value| {
            let mut deeper = Vec::new();
            for index in wanted {
                let path = &self.params[*index].path;
                if path[depth] != key {
                    continue;
                }
                if path.len() == depth + 1 {
                    found[*index] = Some(value);
                } else {
                    deeper.push(*index);
                }
            }
            if !deeper.is_empty() {
                self.find(&deeper, depth + 1, value, found);
            }
        });
    }
}

impl HeaderParam {
    fn check(&self, argument: Option<&str>, value: Option<&[u8]>) -> Result<(), ParamHeaderError> {
        let Some(argument) = argument.filter(|argument| *argument != "null") else {
            // The specification only says not to expect it. We refuse: a proxy may have acted on
            // a value that the body does not contain.
            return match value {
                None => Ok(()),
                Some(_) => Err(self.error(Mismatch::Unexpected)),
            };
        };
        let expected = match Expected::of(self.kind, argument) {
            Expected::OtherType => return Ok(()),
            Expected::Inexact => return Err(self.error(Mismatch::Inexact)),
            expected @ (Expected::Text(_) | Expected::Integer(_)) => expected,
        };
        let value = value.ok_or_else(|| self.error(Mismatch::Missing))?;
        let value = decode_value(value).map_err(|error| self.error(Mismatch::Malformed(error)))?;
        if !expected.is_repeated_by(&value) {
            return Err(self.error(Mismatch::Different(self.kind)));
        }
        Ok(())
    }

    fn error(&self, mismatch: Mismatch) -> ParamHeaderError {
        ParamHeaderError {
            header: clipped(&self.header),
            argument: clipped(&self.path.join(".")),
            mismatch,
        }
    }
}

impl ParamType {
    const fn form(self) -> &'static str {
        match self {
            Self::String => "as plain text or wrapped in base64",
            Self::Integer => "in plain decimal",
            Self::Boolean => "as `true` or `false`",
        }
    }
}

/// What an argument asks of its header.
enum Expected {
    /// This text.
    Text(String),
    /// This number, in decimal.
    Integer(i64),
    /// Nothing that could be compared exactly.
    Inexact,
    /// Nothing: the argument is not of its declared type, which the schema refuses.
    OtherType,
}

impl Expected {
    fn of(kind: ParamType, argument: &str) -> Self {
        match kind {
            ParamType::String => serde_json::from_str(argument).map_or(Self::OtherType, Self::Text),
            ParamType::Integer if is_number(argument) => Self::of_number(argument),
            ParamType::Boolean if matches!(argument, "true" | "false") => {
                Self::Text(argument.to_owned())
            }
            ParamType::Integer | ParamType::Boolean => Self::OtherType,
        }
    }

    /// What a JSON number asks for. `42.0` and `4.2e1` are integers to JSON Schema, and read here
    /// digit by digit, since a float would round the large ones.
    fn of_number(number: &str) -> Self {
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole.trim_start_matches('-'), fraction].concat();
        let significant = digits.trim_end_matches('0');
        let zeros = digits.len() - significant.len();
        let significant = significant.trim_start_matches('0');
        if significant.is_empty() {
            return Self::Integer(0);
        }
        let exponent = exponent.parse().unwrap_or(if exponent.starts_with('-') {
            i64::MIN
        } else {
            i64::MAX
        });
        // The number is `significant` times ten to this power.
        let power = exponent
            .saturating_add_unsigned(zeros as u64)
            .saturating_sub_unsigned(fraction.len() as u64);
        if power < 0 {
            return Self::OtherType;
        }
        // Beyond sixteen digits it is out of range; within, the padded digits fit an `i64`.
        let length = power.saturating_add_unsigned(significant.len() as u64);
        let absolute = usize::try_from(length)
            .ok()
            .filter(|length| *length <= 16)
            .and_then(|length| format!("{significant:0<length$}").parse::<i64>().ok())
            .filter(|absolute| *absolute <= INTEGER_MAX);
        match absolute {
            Some(absolute) if whole.starts_with('-') => Self::Integer(-absolute),
            Some(absolute) => Self::Integer(absolute),
            None => Self::Inexact,
        }
    }

    fn is_repeated_by(&self, value: &str) -> bool {
        match self {
            Self::Text(text) => text == value,
            Self::Integer(integer) => plain_decimal(value) == Some(*integer),
            Self::Inexact | Self::OtherType => false,
        }
    }
}

fn is_number(json: &str) -> bool {
    json.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// The integer that `42`, `-42` or `42.0` stands for: no exponent, plus sign or leading zero.
fn plain_decimal(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'))
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte == b'0');
    // An empty `digits` fails to parse.
    is_plain.then(|| whole.parse().ok())?
}

/// Passes the members of an object to `act`; a value of another kind has none.
fn for_each_member<'a>(object: &'a str, act: impl FnMut(&str, &'a str)) {
    struct Each<F>(F);

    impl<'de, F: FnMut(&str, &'de str)> Visitor<'de> for Each<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                (self.0)(&key, value.get());
            }
            Ok(())
        }
    }

    /// A key that is copied only if it has escapes.
    #[derive(Deserialize)]
    struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

    serde_json::Deserializer::from_str(object)
        .deserialize_map(Each(act))
        .unwrap_or_default();
}

/// Where in a schema the search is.
#[derive(Clone, Copy)]
enum Place {
    Root,
    /// Reached from the root through `properties` alone.
    Property,
    Elsewhere,
}

/// The search of one schema for annotations.
struct Search<'s> {
    /// The keys and indexes that lead from the root to the place.
    at: Vec<Cow<'s, str>>,
    params: Vec<HeaderParam>,
}

impl<'s> Search<'s> {
    fn schema(&mut self, schema: &'s Value, place: Place) -> Result<(), AnnotationError> {
        if self.at.len() > DEPTH_MAX {
            return Err(AnnotationError::TooDeep { at: self.pointer() });
        }
        match schema {
            Value::Object(keywords) => self.keywords(keywords, place),
            Value::Array(schemas) => {
                for (index, schema) in schemas.iter().enumerate() {
                    self.at.push(Cow::Owned(index.to_string()));
                    self.schema(schema, Place::Elsewhere)?;
                    self.at.pop();
                }
                Ok(())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn keywords(
        &mut self,
        keywords: &'s Map<String, Value>,
        place: Place,
    ) -> Result<(), AnnotationError> {
        if let Some(name) = keywords.get(ANNOTATION) {
            let param = self.param(name, keywords.get("type"), place)?;
            self.params.push(param);
        }
        for (keyword, value) in keywords {
            if keyword == ANNOTATION || DATA.contains(&keyword.as_str()) {
                continue;
            }
            self.at.push(Cow::Borrowed(keyword));
            match value {
                Value::Object(named) if keyword == "properties" => self.named(
                    named,
                    match place {
                        Place::Root | Place::Property => Place::Property,
                        Place::Elsewhere => Place::Elsewhere,
                    },
                )?,
                Value::Object(named) if NAMED.contains(&keyword.as_str()) => {
                    self.named(named, Place::Elsewhere)?;
                }
                // A keyword we do not know may hold schemas too.
                value => self.schema(value, Place::Elsewhere)?,
            }
            self.at.pop();
        }
        Ok(())
    }

    /// Searches the schemas of a map whose keys are names, not keywords.
    fn named(
        &mut self,
        named: &'s Map<String, Value>,
        place: Place,
    ) -> Result<(), AnnotationError> {
        for (name, schema) in named {
            self.at.push(Cow::Borrowed(name));
            self.schema(schema, place)?;
            self.at.pop();
        }
        Ok(())
    }

    /// What the annotation `name` on a schema that is `declared` of a type asks for.
    fn param(
        &self,
        name: &Value,
        declared: Option<&Value>,
        place: Place,
    ) -> Result<HeaderParam, AnnotationError> {
        let at = || self.pointer();
        match place {
            Place::Property => {}
            Place::Root | Place::Elsewhere => return Err(AnnotationError::Misplaced { at: at() }),
        }
        let Some(name) = name.as_str().filter(|name| is_token(name)) else {
            return Err(AnnotationError::NotAToken { at: at() });
        };
        let kind = match declared.and_then(Value::as_str) {
            Some("string") => ParamType::String,
            Some("integer") => ParamType::Integer,
            Some("boolean") => ParamType::Boolean,
            Some(_) | None => return Err(AnnotationError::WrongType { at: at() }),
        };
        let header = format!("{PARAM_PREFIX}{}", name.to_ascii_lowercase());
        if self.params.iter().any(|param| param.header == header) {
            return Err(AnnotationError::NameTaken { at: at() });
        }
        if self.params.len() == PARAMS_MAX {
            return Err(AnnotationError::TooMany { at: at() });
        }
        // Every other key is `properties`.
        let path = self.at.iter().skip(1).step_by(2);
        let path = path.map(|key| key.clone().into_owned()).collect();
        Ok(HeaderParam { header, path, kind })
    }

    /// The place as a JSON pointer, shortened.
    fn pointer(&self) -> String {
        let keys = self.at.iter();
        let pointer: String = keys
            .flat_map(|key| ["/".to_owned(), key.replace('~', "~0").replace('/', "~1")])
            .collect();
        clipped(&format!("#{pointer}"))
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// The beginning of `text`, escaped.
fn clipped(text: &str) -> String {
    let mut chars = text.chars().flat_map(char::escape_debug);
    let mut short: String = chars.by_ref().take(PLACE_CHARS_MAX - 1).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn params(schema: Value) -> HeaderParams {
        HeaderParams::from_schema(&schema).unwrap().unwrap()
    }

    fn error(schema: Value) -> AnnotationError {
        HeaderParams::from_schema(&schema).unwrap_err()
    }

    #[test]
    fn annotations_are_found_along_properties() {
        let found = params(json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "plain": {"type": "string"},
            "place": {"type": "object", "properties": {
                "level": {"type": "integer", "x-mcp-header": "X_Level"},
                "properties": {"type": "boolean", "x-mcp-header": "p"},
            }},
        }}));
        let found: Vec<_> = found
            .iter()
            .map(|param| (&*param.header, param.path.join("."), param.kind))
            .collect();
        assert_eq!(
            found,
            [
                (
                    "mcp-param-x_level",
                    "place.level".to_owned(),
                    ParamType::Integer
                ),
                (
                    "mcp-param-p",
                    "place.properties".to_owned(),
                    ParamType::Boolean
                ),
                ("mcp-param-region", "region".to_owned(), ParamType::String),
            ]
        );
    }

    #[test]
    fn names_and_data_are_no_annotations() {
        let data = json!({"x-mcp-header": "a"});
        for schema in [
            json!({}),
            json!(true),
            json!({"type": "object", "properties": {"a": {"type": "string"}}}),
            json!({"properties": {"x-mcp-header": {"type": "number"}}}),
            json!({"properties": {"x-mcp-header": "a"}}),
            json!({"properties": {"a": {"properties": {"x-mcp-header": {"type": "array"}}}}}),
            json!({"items": {"properties": {"x-mcp-header": true}}}),
            json!({"$defs": {"x-mcp-header": {}}, "patternProperties": {"x-mcp-header": {}}}),
            json!({"dependentRequired": {"x-mcp-header": ["a"]}, "required": ["x-mcp-header"]}),
            json!({"const": data, "default": data, "enum": [data], "examples": [data]}),
            json!({"properties": {"a": {"default": data}, "b": {"items": {"const": data}}}}),
        ] {
            assert_eq!(HeaderParams::from_schema(&schema), Ok(None), "{schema}");
        }
    }

    #[test]
    fn annotations_anywhere_else_are_refused() {
        let inner = json!({"type": "string", "x-mcp-header": "a"});
        for (schema, at) in [
            (inner.clone(), "#"),
            (json!({"items": inner}), "#/items"),
            (json!({"prefixItems": [{}, inner]}), "#/prefixItems/1"),
            (json!({"oneOf": [inner]}), "#/oneOf/0"),
            (
                json!({"anyOf": [{"properties": {"a": inner}}]}),
                "#/anyOf/0/properties/a",
            ),
            (
                json!({"properties": {"a": {"allOf": [inner]}}}),
                "#/properties/a/allOf/0",
            ),
            (
                json!({"properties": {"a": {"items": inner}}}),
                "#/properties/a/items",
            ),
            (json!({"not": inner}), "#/not"),
            (json!({"if": inner}), "#/if"),
            (
                json!({"then": {"properties": {"a": inner}}}),
                "#/then/properties/a",
            ),
            (json!({"else": inner}), "#/else"),
            (json!({"$defs": {"a": inner}}), "#/$defs/a"),
            (
                json!({"definitions": {"const": inner}}),
                "#/definitions/const",
            ),
            (
                json!({"additionalProperties": inner}),
                "#/additionalProperties",
            ),
            (
                json!({"patternProperties": {"^a/~": inner}}),
                "#/patternProperties/^a~1~0",
            ),
            (
                json!({"dependentSchemas": {"a": inner}}),
                "#/dependentSchemas/a",
            ),
            (json!({"contains": inner}), "#/contains"),
            (json!({"propertyNames": inner}), "#/propertyNames"),
            (
                json!({"unevaluatedProperties": inner}),
                "#/unevaluatedProperties",
            ),
            (json!({"x-unknown": [[inner]]}), "#/x-unknown/0/0"),
        ] {
            let at = at.to_owned();
            assert_eq!(error(schema), AnnotationError::Misplaced { at });
        }
    }

    #[test]
    fn names_are_tokens() {
        let at = || "#/properties/a".to_owned();
        for name in [
            json!(""),
            json!("a b"),
            json!("a:"),
            json!("é"),
            json!("a\n"),
            json!(5),
            json!(null),
        ] {
            let schema = json!({"properties": {"a": {"type": "string", "x-mcp-header": name}}});
            assert_eq!(error(schema), AnnotationError::NotAToken { at: at() });
        }
        params(
            json!({"properties": {"a": {"type": "string", "x-mcp-header": "!#$%&'*+-.^_`|~09azAZ"}}}),
        );
    }

    #[test]
    fn types_are_ones_a_header_carries() {
        let at = || "#/properties/a".to_owned();
        for type_ in [
            json!("number"),
            json!("object"),
            json!("array"),
            json!("null"),
            json!(["string"]),
            json!(null),
        ] {
            let schema = json!({"properties": {"a": {"type": type_, "x-mcp-header": "a"}}});
            assert_eq!(error(schema), AnnotationError::WrongType { at: at() });
        }
        let untyped = json!({"properties": {"a": {"x-mcp-header": "a"}}});
        assert_eq!(error(untyped), AnnotationError::WrongType { at: at() });
    }

    #[test]
    fn names_are_unique_in_any_case() {
        let found = error(json!({"properties": {
            "a": {"type": "string", "x-mcp-header": "Region"},
            "b": {"properties": {"c": {"type": "integer", "x-mcp-header": "rEGION"}}},
        }}));
        let at = "#/properties/b/properties/c".to_owned();
        assert_eq!(found, AnnotationError::NameTaken { at });
    }

    #[test]
    fn annotations_and_depth_are_bounded() {
        let many = |count: usize| {
            let properties: Map<_, _> = (0..count)
                .map(|n| {
                    (
                        n.to_string(),
                        json!({"type": "string", "x-mcp-header": n.to_string()}),
                    )
                })
                .collect();
            json!({"properties": properties})
        };
        assert_eq!(params(many(PARAMS_MAX)).iter().count(), PARAMS_MAX);
        assert!(matches!(
            error(many(PARAMS_MAX + 1)),
            AnnotationError::TooMany { .. }
        ));

        let nested = |depth| (0..depth).fold(json!({}), |schema, _| json!({"items": schema}));
        assert_eq!(HeaderParams::from_schema(&nested(DEPTH_MAX)), Ok(None));
        let found = error(nested(DEPTH_MAX + 1));
        assert!(matches!(&found, AnnotationError::TooDeep { at } if at.chars().count() == 64));
    }

    /// A tool with one annotation of each type, one of them inside an object.
    fn tool() -> HeaderParams {
        params(json!({"type": "object", "properties": {
            "s": {"type": "string", "x-mcp-header": "S"},
            "o": {"type": "object", "properties": {"i": {"type": "integer", "x-mcp-header": "I"}}},
            "b": {"type": "boolean", "x-mcp-header": "B"},
        }}))
    }

    fn check(arguments: Option<&str>, headers: &[(&str, &str)]) -> Result<(), Mismatch> {
        let arguments = arguments.map(|text| RawJson::from_valid(text.to_owned()));
        let header = |name: &str| {
            let mut all = headers.iter();
            all.find(|(found, _)| name.strip_prefix(PARAM_PREFIX) == Some(found))
                .map(|(_, value)| value.as_bytes())
        };
        let result = tool().check(arguments.as_ref(), header);
        result.map_err(|error| error.mismatch)
    }

    #[test]
    fn a_header_repeats_its_argument() {
        for (arguments, header, value) in [
            (r#"{"s":"us-west1"}"#, "s", "us-west1"),
            (r#"{"\u0073":"\u0061"}"#, "s", "a"),
            (r#"{"s":"世界"}"#, "s", "=?base64?5LiW55WM?="),
            (r#"{"s":"a"}"#, "s", "=?base64?YQ==?="),
            (r#"{"s":""}"#, "s", ""),
            (r#"{"s":""}"#, "s", "=?base64??="),
            (r#"{"s":"42"}"#, "s", "42"),
            (r#"{"b":true}"#, "b", "true"),
            (r#"{ "b" : false , "s" : null }"#, "b", "false"),
            (r#"{"o":{"i":42}}"#, "i", "42"),
            (r#"{"o":{"i":42}}"#, "i", "42.0"),
            (r#"{"o":{"i":42.0}}"#, "i", "42"),
            (r#"{"o":{"i":4.20e1}}"#, "i", "42.00"),
            (r#"{"o":{"i":4200E-2}}"#, "i", "42"),
            (r#"{"o":{"i":-7}}"#, "i", "-7"),
            (r#"{"o":{"i":0}}"#, "i", "-0"),
            (r#"{"o":{"i":-0.0e999999999999999999999}}"#, "i", "0"),
            (
                r#"{"x":[1,{"s":2}],"o":{"x":{},"i":9007199254740991}}"#,
                "i",
                "9007199254740991",
            ),
        ] {
            assert_eq!(
                check(Some(arguments), &[(header, value)]),
                Ok(()),
                "{arguments} {value}"
            );
        }
    }

    #[test]
    fn a_header_that_differs_is_refused() {
        for (arguments, header, value) in [
            (r#"{"s":"us-west1"}"#, "s", "US-west1"),
            (r#"{"s":"a"}"#, "s", ""),
            (r#"{"s":"a"}"#, "s", "\"a\""),
            (r#"{"b":true}"#, "b", "True"),
            (r#"{"b":true}"#, "b", "1"),
            (r#"{"b":true}"#, "b", "false"),
            (r#"{"o":{"i":42}}"#, "i", "43"),
            (r#"{"o":{"i":42}}"#, "i", "-42"),
            (r#"{"o":{"i":42}}"#, "i", "42.5"),
            (r#"{"o":{"i":42}}"#, "i", "42."),
            (r#"{"o":{"i":42}}"#, "i", "+42"),
            (r#"{"o":{"i":42}}"#, "i", "042"),
            (r#"{"o":{"i":42}}"#, "i", "4.2e1"),
            (r#"{"o":{"i":42}}"#, "i", "0x2a"),
            (r#"{"o":{"i":42}}"#, "i", ""),
            (r#"{"o":{"i":42}}"#, "i", "-"),
            (r#"{"o":{"i":0}}"#, "i", ".0"),
            (r#"{"o":{"i":9007199254740991}}"#, "i", "9007199254740992"),
            (r#"{"o":{"i":1}}"#, "i", "18446744073709551617"),
        ] {
            let found = check(Some(arguments), &[(header, value)]);
            assert!(
                matches!(found, Err(Mismatch::Different(_))),
                "{arguments} {value}"
            );
        }
    }

    #[test]
    fn an_argument_needs_its_header() {
        for arguments in [
            r#"{"s":"a"}"#,
            r#"{"s":""}"#,
            r#"{"b":false}"#,
            r#"{"o":{"i":0}}"#,
        ] {
            assert_eq!(
                check(Some(arguments), &[]),
                Err(Mismatch::Missing),
                "{arguments}"
            );
        }
    }

    #[test]
    fn a_header_that_cannot_be_read_is_refused() {
        for (value, error) in [
            ("=?base64?YQ?=", HeaderValueError::NotBase64),
            ("=?base64?/w==?=", HeaderValueError::NotUtf8),
            ("caf\u{e9}", HeaderValueError::NotPrintable),
        ] {
            let found = check(Some(r#"{"s":"a"}"#), &[("s", value)]);
            assert_eq!(found, Err(Mismatch::Malformed(error)), "{value}");
        }
    }

    #[test]
    fn without_the_argument_the_header_must_be_absent() {
        for arguments in [
            None,
            Some("null"),
            Some("{}"),
            Some(r#"{"s":null,"b":null,"o":null}"#),
            Some(r#"{"o":{"i":null}}"#),
            Some(r#"{"o":{}}"#),
            Some(r#"{"o":5}"#),
            Some(r#"{"o":[{"i":5}]}"#),
            Some(r#"{"i":5,"S":"a"}"#),
        ] {
            assert_eq!(check(arguments, &[("other", "a")]), Ok(()), "{arguments:?}");
            for (header, value) in [("s", "a"), ("s", ""), ("i", "5"), ("b", "=?base64?!?=")] {
                let found = check(arguments, &[(header, value)]);
                assert_eq!(found, Err(Mismatch::Unexpected), "{arguments:?} {header}");
            }
        }
    }

    #[test]
    fn an_argument_of_another_type_is_left_to_the_schema() {
        for (arguments, header) in [
            (r#"{"s":5}"#, "s"),
            (r#"{"s":["a"]}"#, "s"),
            (r#"{"b":"true"}"#, "b"),
            (r#"{"o":{"i":"42"}}"#, "i"),
            (r#"{"o":{"i":42.5}}"#, "i"),
            (r#"{"o":{"i":1e-99999999999999999999}}"#, "i"),
        ] {
            assert_eq!(check(Some(arguments), &[]), Ok(()), "{arguments}");
            assert_eq!(
                check(Some(arguments), &[(header, "x")]),
                Ok(()),
                "{arguments}"
            );
        }
    }

    #[test]
    fn integers_beyond_what_json_keeps_are_refused() {
        for number in [
            "9007199254740992",
            "-9007199254740992",
            "1e16",
            "1e99999999999999999999",
        ] {
            let arguments = format!(r#"{{"o":{{"i":{number}}}}}"#);
            for headers in [&[][..], &[("i", number)]] {
                assert_eq!(
                    check(Some(&arguments), headers),
                    Err(Mismatch::Inexact),
                    "{number}"
                );
            }
        }
    }

    #[test]
    fn errors_name_places_and_no_values() {
        let arguments = RawJson::from_valid(r#"{"o":{"i":4711}}"#);
        let error = tool()
            .check(Some(&arguments), |name| {
                name.ends_with("-i").then_some(&b"0815"[..])
            })
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "header `mcp-param-i` of the argument `o.i` must equal the argument, in plain decimal"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn numbers_are_read_exactly(
            mantissa in prop_oneof![any::<i32>().prop_map(i64::from), -(1i64 << 54)..(1 << 54)],
            point in 0..18usize,
            exponent in -20..20i32,
        ) {
            let digits = format!("{:018}", mantissa.abs());
            let (whole, fraction) = digits.split_at(digits.len() - point);
            let sign = if mantissa < 0 { "-" } else { "" };
            let text = format!("{sign}{whole}.{fraction}0e{exponent}");
            let power = exponent - i32::try_from(point).unwrap();
            let scale = 10i128.pow(power.unsigned_abs());
            let mantissa = i128::from(mantissa);
            match Expected::of(ParamType::Integer, &text) {
                Expected::Integer(integer) if power < 0 => {
                    prop_assert_eq!(i128::from(integer) * scale, mantissa);
                }
                Expected::Integer(integer) => prop_assert_eq!(i128::from(integer), mantissa * scale),
                Expected::OtherType => prop_assert!(power < 0 && mantissa % scale != 0),
                Expected::Inexact => {
                    let integer = if power < 0 { mantissa / scale } else { mantissa * scale };
                    prop_assert!(integer.abs() > i128::from(INTEGER_MAX));
                }
                Expected::Text(text) => prop_assert!(false, "{}", text),
            }
        }
    }
}
