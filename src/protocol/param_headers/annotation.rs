//! Finding the annotations of an input schema, and only where they may be.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::super::headers::PARAM_PREFIX;
use super::super::raw;
use super::super::walk::Walk;
use super::{ANNOTATION, HeaderParam, PARAMS_MAX, ParamType};

/// Deepest schema that is searched: what the pre-scan lets through on any wire.
pub(super) const DEPTH_MAX: usize = 64;
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

/// Where in a schema the search is.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Root,
    /// Reached from the root through `properties` alone.
    Property,
    Elsewhere,
}

/// The search of one schema for annotations.
pub(super) struct Search<'s> {
    /// The keys and indexes that lead from the root to the place.
    pub(super) at: Vec<Cow<'s, str>>,
    pub(super) params: Vec<HeaderParam>,
}

impl<'s> Search<'s> {
    pub(super) fn schema(
        &mut self,
        schema: &'s Value,
        place: Place,
    ) -> Result<(), AnnotationError> {
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

/// The input schema without any annotation, valid or not; the rest stays as it is. The text must
/// have passed a pre-scan, which bounds how deeply it is nested.
#[must_use]
pub fn without_annotations(schema: &str) -> String {
    let mut out = String::with_capacity(schema.len());
    push_schema(&mut Walk::through(schema), &mut out);
    out
}

fn push_schema(walk: &mut Walk<'_>, out: &mut String) {
    match walk.peek() {
        Some(b'{') => push_members(
            walk,
            out,
            |walk, out, keyword| {
                if DATA.contains(&keyword) {
                    out.push_str(walk.value());
                } else if walk.peek() == Some(b'{')
                    && (keyword == "properties" || NAMED.contains(&keyword))
                {
                    push_members(
                        walk,
                        out,
                        |walk, out, _name| push_schema(walk, out),
                        |_| true,
                    );
                } else {
                    push_schema(walk, out);
                }
            },
            |keyword| keyword != ANNOTATION,
        ),
        Some(b'[') => {
            walk.step();
            out.push('[');
            let mut is_first = true;
            while walk.another() {
                out.push_str(if is_first { "" } else { "," });
                is_first = false;
                push_schema(walk, out);
            }
            out.push(']');
        }
        Some(_) | None => out.push_str(walk.scalar()),
    }
}

/// Copies an object with the members that `keeps` wants, each value by `push`.
fn push_members(
    walk: &mut Walk<'_>,
    out: &mut String,
    push: impl Fn(&mut Walk<'_>, &mut String, &str),
    keeps: impl Fn(&str) -> bool,
) {
    walk.step();
    out.push('{');
    let mut is_first = true;
    while walk.another() {
        let written = walk.scalar();
        let key = raw::string(written).unwrap_or_default();
        walk.step();
        if !keeps(&key) {
            walk.value();
            continue;
        }
        out.push_str(if is_first { "" } else { "," });
        is_first = false;
        out.push_str(written);
        out.push(':');
        push(walk, out, &key);
    }
    out.push('}');
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// The beginning of `text`, escaped.
pub(super) fn clipped(text: &str) -> String {
    let mut chars = text.chars().flat_map(char::escape_debug);
    let mut short: String = chars.by_ref().take(PLACE_CHARS_MAX - 1).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}
