//! The first look into a request's `params`: what routing, headers and the era need of it.
//!
//! [`ParamsHead`] borrows everything, so that even a 4 MiB argument is only skipped over; and that
//! once: where its members are is kept beside the params ([`HeadAt`]) for the next who looks. The
//! parts it names are decoded further by whoever answers the method.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::jsonrpc::Params;
use super::raw::{self, ShapeError};

/// The members of `params` that more than one place looks at, as the JSON they came as.
#[derive(Clone, Copy, Debug, Default)]
pub struct ParamsHead<'a> {
    /// `_meta`
    pub meta: Option<&'a str>,
    /// `name` of a tool or prompt
    pub name: Option<&'a str>,
    /// `uri` of a resource
    pub uri: Option<&'a str>,
    /// `arguments` of a tool or prompt
    pub arguments: Option<&'a str>,
    /// `task` of a call that shall become one (2025-11-25)
    pub task: Option<&'a str>,
    /// `taskId` of a request about a task
    pub task_id: Option<&'a str>,
}

/// Where the members of a [`ParamsHead`] are in the text of their params.
#[derive(Clone, Debug)]
pub(super) struct HeadAt {
    meta: Option<Range<usize>>,
    name: Option<Range<usize>>,
    uri: Option<Range<usize>>,
    arguments: Option<Range<usize>>,
    task: Option<Range<usize>>,
    task_id: Option<Range<usize>>,
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, rename = "_meta", deserialize_with = "raw::present")]
    meta: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "raw::present")]
    name: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "raw::present")]
    uri: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "raw::present")]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "raw::present")]
    task: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "taskId", deserialize_with = "raw::present")]
    task_id: Option<&'a RawValue>,
}

impl<'a> ParamsHead<'a> {
    /// Looks into `params`.
    ///
    /// # Errors
    /// When a member comes twice; that `params` is an object parsing has already settled.
    pub fn of(params: &'a Params) -> Result<Self, ShapeError> {
        let Some(object) = params.raw() else {
            return Ok(Self::default());
        };
        let text = object.as_str();
        let at = params.head_at(|| HeadAt::find(text))?;
        let member = |range: &Option<Range<usize>>| range.clone().and_then(|at| text.get(at));
        Ok(Self {
            meta: member(&at.meta),
            name: member(&at.name),
            uri: member(&at.uri),
            arguments: member(&at.arguments),
            task: member(&at.task),
            task_id: member(&at.task_id),
        })
    }
}

impl HeadAt {
    fn find(text: &str) -> Result<Self, ShapeError> {
        let members: Members<'_> = raw::decode(text)?;
        let range = |member: Option<&RawValue>| {
            member.map(|member| {
                // Borrowed from `text`, so the difference is where it is.
                let start = member.get().as_ptr().addr() - text.as_ptr().addr();
                start..start + member.get().len()
            })
        };
        Ok(Self {
            meta: range(members.meta),
            name: range(members.name),
            uri: range(members.uri),
            arguments: range(members.arguments),
            task: range(members.task),
            task_id: range(members.task_id),
        })
    }
}

/// The string a raw member holds, if it is one.
#[must_use]
pub fn string_of(raw: Option<&str>) -> Option<String> {
    serde_json::from_str(raw?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::raw::RawJson;

    #[test]
    fn the_second_look_sees_what_the_first_saw() {
        let text = r#"{ "name" : "a\"b", "uri":null,"arguments":{"x":1}, "_meta": {} }"#;
        let params = Params::new(RawJson::from_valid(text));
        for _ in 0..2 {
            let head = ParamsHead::of(&params).unwrap();
            assert_eq!(head.name, Some(r#""a\"b""#));
            assert_eq!(string_of(head.name).as_deref(), Some("a\"b"));
            assert_eq!(head.uri, Some("null"));
            assert_eq!(head.arguments, Some(r#"{"x":1}"#));
            assert_eq!(head.meta, Some("{}"));
        }
        assert!(ParamsHead::of(&Params::default()).unwrap().meta.is_none());
    }
}
