//! JSON-RPC 2.0 messages, read from raw bytes.
//!
//! [`Body::parse`] pre-scans the bytes once; the scan notes where the members of the envelope are,
//! and those of `params` that are looked at before anything is decoded (`parts.rs`). `params` and
//! `result` stay raw and share the body's bytes. Members are looked at one by one, so that
//! `"id": null` and no `id` stay different and an array is never read as an object.
//!
//! It does not say which era a message belongs to; [`super::era`] does.
//!
//! Spec: JSON-RPC 2.0; basic/index, messages (all revisions).

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::method::Method;
use super::parts::{self, Part};
use super::prescan::{self, Outline, PrescanError, Shape};
use super::raw::{self, RawJson};

/// Longest request id we take, in bytes: an id is kept for as long as the request runs.
pub const ID_BYTES_MAX: usize = 256;
/// Largest integer that every JSON implementation keeps exactly: 2^53 - 1.
pub const SAFE_INTEGER_MAX: i64 = (1 << 53) - 1;
/// Most messages in one batch; what the official SDKs accept.
pub const BATCH_MAX: usize = 100;

/// A JSON-RPC request id: a string or an integer, kept as the type it came as.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RequestId {
    /// An integer within +-(2^53 - 1).
    Number(i64),
    /// A string of at most [`ID_BYTES_MAX`] bytes.
    String(Arc<str>),
}

impl RequestId {
    fn parse(text: &str) -> Option<Self> {
        if text.starts_with('"') {
            let id = raw::string(text)?;
            return (id.len() <= ID_BYTES_MAX).then(|| Self::String(id.into()));
        }
        let id: i64 = text.parse().ok()?;
        (-SAFE_INTEGER_MAX..=SAFE_INTEGER_MAX)
            .contains(&id)
            .then_some(Self::Number(id))
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(id) => serializer.serialize_i64(*id),
            Self::String(id) => serializer.serialize_str(id),
        }
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Self::parse(raw.get()).ok_or_else(|| {
            serde::de::Error::custom("a request id is a string of at most 256 bytes or an integer")
        })
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(id) => write!(f, "{id}"),
            Self::String(id) => f.write_str(id),
        }
    }
}

/// The token under which a request wants to hear of its progress. Same shape as a request id,
/// but another thing: clients choose it apart from the id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProgressToken(pub RequestId);

/// The `params` of a message: an object, or nothing.
#[derive(Clone, Debug)]
pub struct Params {
    object: Option<RawJson>,
    /// Where the object has what more than one place looks at.
    outline: Outline,
}

impl Default for Params {
    /// None.
    fn default() -> Self {
        Self {
            object: None,
            outline: Outline::empty(),
        }
    }
}

impl PartialEq for Params {
    /// Where their parts are follows from what they are.
    fn eq(&self, other: &Self) -> bool {
        self.object == other.object
    }
}

impl Eq for Params {}

impl Params {
    /// Params from an object that came without a message.
    #[must_use]
    pub fn new(object: RawJson) -> Self {
        // Of an object that names a key twice nothing can be said to be where.
        let scanned = prescan::prescan(object.as_str(), &prescan::Limits::NONE, &parts::PARAMS);
        Self {
            outline: scanned.map_or(Outline::empty(), |(_, outline)| outline),
            object: Some(object),
        }
    }

    /// The object, if there is one.
    #[must_use]
    pub const fn raw(&self) -> Option<&RawJson> {
        self.object.as_ref()
    }

    /// Decodes them; absent params decode like `{}`.
    ///
    /// # Errors
    /// When they do not have the shape of `T`.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, raw::ShapeError> {
        raw::decode(self.object.as_ref().map_or("{}", RawJson::as_str))
    }

    /// One of their parts, as the JSON it came as.
    pub(super) fn part(&self, part: Part) -> Option<&str> {
        part.of(&self.outline, self.object.as_ref()?.as_str())
    }
}

/// A request: it wants an answer.
#[derive(Clone, Debug)]
pub struct Request {
    /// Echoed in the answer.
    pub id: RequestId,
    /// What is asked.
    pub method: Method,
    /// With what.
    pub params: Params,
}

/// A notification: it is never answered.
#[derive(Clone, Debug)]
pub struct Notification {
    /// What happened.
    pub method: String,
    /// The particulars.
    pub params: Params,
}

/// The answer to a request of ours.
#[derive(Clone, Debug)]
pub struct Response {
    /// The id we gave the request; `None` when the peer could not read it.
    pub id: Option<RequestId>,
    /// What it says.
    pub outcome: Result<RawJson, ResponseError>,
}

/// An error a peer answered with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ResponseError {
    /// Its code; what it means depends on who sent it.
    pub code: i64,
    /// What it says.
    pub message: String,
    /// Anything more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<RawJson>,
}

/// One message.
#[derive(Clone, Debug)]
pub enum Message {
    /// Wants an answer.
    Request(Request),
    /// Wants none.
    Notification(Notification),
    /// Is one.
    Response(Response),
}

/// What one body or line held.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one message is the usual case, and boxing it would cost an allocation per request"
)]
pub enum Body {
    /// One message.
    Single(Message),
    /// A batch; its elements are judged one by one.
    Batch(Vec<Result<Message, NotJsonRpc>>),
}

/// The bytes are no message.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// Not JSON that we take.
    #[error(transparent)]
    Json(#[from] PrescanError),
    /// JSON, but not JSON-RPC.
    #[error(transparent)]
    NotJsonRpc(#[from] NotJsonRpc),
}

/// A JSON value is not a JSON-RPC message.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct NotJsonRpc {
    /// Its id, when that much could be read: an answer echoes it.
    pub id: Option<RequestId>,
    /// What is wrong, for the sender.
    pub reason: &'static str,
}

impl Body {
    /// Reads a body within `limits`.
    ///
    /// # Errors
    /// [`ParseError`] saying what is wrong, with the id when it could be read.
    pub fn parse(bytes: &Bytes, limits: &prescan::Limits) -> Result<Self, ParseError> {
        let text = prescan::text(bytes.clone())?;
        match prescan::prescan(&text, limits, &parts::MESSAGE)? {
            (Shape::Object, outline) => Ok(Self::Single(message(&text, &text, &outline)?)),
            (Shape::Array, _) => Ok(Self::Batch(batch(&text, limits)?)),
        }
    }
}

fn batch(
    text: &ByteString,
    limits: &prescan::Limits,
) -> Result<Vec<Result<Message, NotJsonRpc>>, NotJsonRpc> {
    let elements: Vec<&RawValue> = serde_json::from_str(text)
        .map_err(|_| not_json_rpc(None, "a batch is an array of messages"))?;
    if elements.is_empty() {
        return Err(not_json_rpc(None, "a batch must not be empty"));
    }
    if elements.len() > BATCH_MAX {
        return Err(not_json_rpc(None, "a batch holds at most 100 messages"));
    }
    let read = |element: &RawValue| match prescan::prescan(element.get(), limits, &parts::MESSAGE) {
        Ok((Shape::Object, outline)) => message(text, element.get(), &outline),
        Err(PrescanError::SpelledAlike { .. }) => Err(not_json_rpc(
            None,
            "a message has a key that differs from a known one in case only",
        )),
        Ok((Shape::Array, _)) | Err(_) => Err(not_json_rpc(None, "a message is a JSON object")),
    };
    Ok(elements.into_iter().map(read).collect())
}

/// The message that `text`, a part of `body`, holds.
fn message(body: &ByteString, text: &str, outline: &Outline) -> Result<Message, NotJsonRpc> {
    let part = |part: Part| part.of(outline, text);
    let id = part(Part::Id).map(RequestId::parse);
    let refuse = |reason| Err(not_json_rpc(id.clone().flatten(), reason));
    if part(Part::Jsonrpc) != Some(r#""2.0""#) {
        return refuse(r#"`jsonrpc` must be "2.0""#);
    }
    let params = match part(Part::Params) {
        None => Params::default(),
        Some(params) if params.starts_with('{') => Params {
            outline: outline.of_part(params.as_ptr().addr() - text.as_ptr().addr()),
            object: Some(RawJson::slice_of(body, params)),
        },
        Some(_) => return refuse("`params` must be an object"),
    };
    match (part(Part::Method), part(Part::Result), part(Part::Error)) {
        (Some(method), None, None) => {
            let Some(method) = raw::string(method) else {
                return refuse("`method` must be a string");
            };
            match id {
                None => Ok(Message::Notification(Notification {
                    method: method.into_owned(),
                    params,
                })),
                Some(Some(id)) => Ok(Message::Request(Request {
                    id,
                    method: Method::parse(&method),
                    params,
                })),
                Some(None) => refuse(
                    "`id` must be a string of at most 256 bytes or an integer within 2^53, not null",
                ),
            }
        }
        (None, Some(result), None) => match id {
            Some(Some(id)) => Ok(Message::Response(Response {
                id: Some(id),
                outcome: Ok(RawJson::slice_of(body, result)),
            })),
            None | Some(None) => refuse("a result needs the `id` of its request"),
        },
        (None, None, Some(error)) => {
            let Ok(error) = raw::decode::<ResponseError>(error) else {
                return refuse("`error` must be an object with `code` and `message`");
            };
            Ok(Message::Response(Response {
                id: id.flatten(),
                outcome: Err(error),
            }))
        }
        _ => refuse("a message has exactly one of `method`, `result` and `error`"),
    }
}

const fn not_json_rpc(id: Option<RequestId>, reason: &'static str) -> NotJsonRpc {
    NotJsonRpc { id, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Body, ParseError> {
        Body::parse(&Bytes::from(text.to_owned()), &prescan::Limits::default())
    }

    fn refused(text: &str) -> String {
        match parse(text) {
            Ok(body) => panic!("{text} was taken as {body:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn ids_keep_their_type() {
        for (text, id) in [
            ("1", RequestId::Number(1)),
            ("-7", RequestId::Number(-7)),
            ("9007199254740991", RequestId::Number(SAFE_INTEGER_MAX)),
            (r#""1""#, RequestId::String("1".into())),
            (r#""\u0061""#, RequestId::String("a".into())),
        ] {
            let body = parse(&format!(
                r#"{{"jsonrpc":"2.0","id":{text},"method":"ping"}}"#
            ));
            let Ok(Body::Single(Message::Request(request))) = body else {
                panic!("{text} is an id")
            };
            assert_eq!(request.id, id);
        }
    }

    #[test]
    fn anything_else_is_no_id() {
        let long = format!("{:?}", "x".repeat(ID_BYTES_MAX + 1));
        for id in [
            "null",
            "1.5",
            "1e3",
            "9007199254740992",
            "true",
            "{}",
            "[1]",
            &long,
        ] {
            let text = refused(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#));
            assert!(text.starts_with("`id` must be"), "{id}: {text}");
        }
    }

    #[test]
    fn a_message_is_exactly_one_thing() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#,
            r#"{"id":1,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","params":[1]}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","params":null}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            r#"{"jsonrpc":"2.0","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":[1,"x"]}"#,
            "[]",
            "17",
        ] {
            refused(text);
        }
    }

    #[test]
    fn a_refusal_names_the_id_it_could_read() {
        let Err(ParseError::NotJsonRpc(error)) =
            parse(r#"{"jsonrpc":"1.0","id":"x","method":"a"}"#)
        else {
            panic!("refused")
        };
        assert_eq!(error.id, Some(RequestId::String("x".into())));
    }

    #[test]
    fn params_are_the_very_bytes_that_came() {
        let text =
            r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{ "n": 18446744073709551616 }}"#;
        let Ok(Body::Single(Message::Request(request))) = parse(text) else {
            panic!("a request")
        };
        assert_eq!(
            request.params.raw().map(RawJson::as_str),
            Some(r#"{ "n": 18446744073709551616 }"#)
        );
    }

    #[test]
    fn a_batch_is_judged_element_by_element() {
        let Ok(Body::Batch(elements)) =
            parse(r#"[{"jsonrpc":"2.0","method":"a"},1,{"jsonrpc":"2.0","id":2,"method":"b"}]"#)
        else {
            panic!("a batch")
        };
        assert!(matches!(elements[0], Ok(Message::Notification(_))));
        assert!(elements[1].is_err());
        assert!(matches!(elements[2], Ok(Message::Request(_))));
        let many = format!("[{}]", vec!["1"; BATCH_MAX + 1].join(","));
        assert!(refused(&many).contains("at most 100"));
    }
}
