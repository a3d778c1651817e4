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

mod annotation;
mod expected;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::headers::{HeaderValueError, decode_value, encode_value};
use super::members::for_each_member;
use super::raw::RawJson;
use annotation::{Place, Search, clipped};
use expected::Expected;

pub use annotation::{AnnotationError, without_annotations};

/// The keyword that asks for a header.
pub const ANNOTATION: &str = "x-mcp-header";
/// Most annotations of one tool: a request has at most 64 header fields, and others need room.
pub const PARAMS_MAX: usize = 32;

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

    /// The headers that repeat these `arguments`: full names in lower case, encoded values. What no
    /// header can stand for (an argument of another type, an integer beyond 2^53) has none.
    #[must_use]
    pub fn headers_of(&self, arguments: Option<&RawJson>) -> Vec<(&str, String)> {
        let mut found = vec![None; self.params.len()];
        if let Some(arguments) = arguments {
            let all: Vec<usize> = (0..self.params.len()).collect();
            self.find(&all, 0, arguments.as_str(), &mut found);
        }
        let arguments = self.params.iter().zip(found);
        arguments
            .filter_map(|(param, argument)| {
                let text = match Expected::of(param.kind, argument.filter(|text| *text != "null")?)
                {
                    Expected::Text(text) => encode_value(&text).into_owned(),
                    Expected::Integer(integer) => integer.to_string(),
                    Expected::Inexact | Expected::OtherType => return None,
                };
                Some((param.header.as_str(), text))
            })
            .collect()
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
