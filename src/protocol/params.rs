//! What routing, headers and the handlers of several methods need of a request's `params`.
//!
//! [`ParamsHead`] borrows everything, as it came: the pre-scan has found it already. The parts it
//! names are decoded further by whoever answers the method.

use std::borrow::Cow;

use super::jsonrpc::Params;
use super::parts::Part;
use super::raw;

/// The members of `params` that more than one place looks at, as the JSON they came as.
#[derive(Clone, Copy, Debug, Default)]
pub struct ParamsHead<'a> {
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

impl<'a> ParamsHead<'a> {
    /// Looks into `params`.
    #[must_use]
    pub fn of(params: &'a Params) -> Self {
        Self {
            name: params.part(Part::Name),
            uri: params.part(Part::Uri),
            arguments: params.part(Part::Arguments),
            task: params.part(Part::Task),
            task_id: params.part(Part::TaskId),
        }
    }
}

/// The string a raw member holds, if it is one.
#[must_use]
pub fn string_of(raw: Option<&str>) -> Option<Cow<'_, str>> {
    raw::string(raw?)
}

/// Which tool, prompt or resource `params` are about, for logs; empty if none.
#[must_use]
pub fn subject(params: &Params) -> String {
    let head = ParamsHead::of(params);
    string_of(head.name.or(head.uri)).map_or_else(String::new, Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::protocol::jsonrpc::{Body, Message};
    use crate::protocol::prescan::Limits;
    use crate::protocol::raw::RawJson;

    const TEXT: &str =
        r#"{ "name" : "a\"b", "uri":null,"\u0061rguments": {"x":[{"name":1}]} , "_meta": {} }"#;

    /// The same params: alone, in a message, and in one of a batch, which share their bytes.
    fn each_way() -> Vec<Params> {
        let before = format!(r#" {{"id":7,"params":{TEXT},"jsonrpc":"2.0","method":"m"}}"#);
        let after = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"m","params" : {TEXT}}}"#);
        let batch = format!("[ {after} ,{before}]");
        let mut found = vec![Params::new(RawJson::from_valid(TEXT))];
        for text in [before, after, batch] {
            let messages = match Body::parse(&Bytes::from(text), &Limits::default()) {
                Ok(Body::Single(message)) => vec![Ok(message)],
                Ok(Body::Batch(messages)) => messages,
                Err(error) => panic!("{error}"),
            };
            found.extend(messages.into_iter().map(|message| match message {
                Ok(Message::Request(request)) => request.params,
                other => panic!("{other:?} is no request"),
            }));
        }
        found
    }

    #[test]
    fn members_are_found_wherever_the_params_stand() {
        let ways = each_way();
        assert_eq!(ways.len(), 5);
        for params in ways {
            let head = ParamsHead::of(&params);
            assert_eq!(head.name, Some(r#""a\"b""#));
            assert_eq!(string_of(head.name).as_deref(), Some("a\"b"));
            assert_eq!(head.uri, Some("null"));
            assert_eq!(head.arguments, Some(r#"{"x":[{"name":1}]}"#));
            assert_eq!(params.part(Part::Meta), Some("{}"));
            assert_eq!(params.part(Part::RequestState), None);
        }
    }

    #[test]
    fn no_params_have_no_members() {
        assert!(ParamsHead::of(&Params::default()).name.is_none());
        let empty = Params::new(RawJson::empty_object());
        assert!(ParamsHead::of(&empty).name.is_none());
    }
}
