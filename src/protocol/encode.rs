//! JSON-RPC messages as text, written around parts that are JSON already.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Serialize;

use super::client_request::ClientRequest;
use super::error_code::ErrorCode;
use super::jsonrpc::RequestId;
use super::notification::ServerNotification;
use super::prescan::is_plain;
use super::raw::RawJson;

/// A notification.
#[must_use]
pub fn notification(notification: &ServerNotification) -> String {
    let params = notification.params.as_str();
    let mut text = String::with_capacity(params.len() + notification.method.len() + 48);
    text.push_str(r#"{"jsonrpc":"2.0","method":""#);
    // Our method names need no escaping.
    text.push_str(notification.method);
    text.push_str(r#"","params":"#);
    text.push_str(params);
    text.push('}');
    text
}

/// A request to a client of the session era.
#[must_use]
pub fn request(id: &RequestId, request: &ClientRequest) -> String {
    let mut text = String::from(r#"{"jsonrpc":"2.0","id":"#);
    push_id(&mut text, id);
    text.push_str(r#","method":""#);
    text.push_str(request.kind.method());
    text.push_str(r#"","params":"#);
    text.push_str(request.params.as_str());
    text.push('}');
    text
}

/// A result made of members: texts like `"a":1,"b":2` without braces, empty ones left out.
#[must_use]
pub fn result(id: &RequestId, members: &[&str]) -> String {
    let length = members.iter().map(|part| part.len() + 1).sum();
    let mut result = ResultText::begin(id, length);
    for part in members {
        result.members(&[part]);
    }
    result.end()
}

/// A result that is being written.
#[derive(Debug)]
pub struct ResultText {
    text: String,
    is_empty: bool,
}

impl ResultText {
    /// Begins a result whose members have about that many bytes.
    #[must_use]
    pub fn begin(id: &RequestId, length: usize) -> Self {
        let mut text = String::with_capacity(length + 64);
        text.push_str(r#"{"jsonrpc":"2.0","id":"#);
        push_id(&mut text, id);
        text.push_str(r#","result":{"#);
        Self {
            text,
            is_empty: true,
        }
    }

    /// Adds members, given in pieces; no pieces, or only empty ones, are no members.
    pub fn members(&mut self, pieces: &[&str]) {
        if pieces.iter().all(|piece| piece.is_empty()) {
            return;
        }
        if !self.is_empty {
            self.text.push(',');
        }
        self.is_empty = false;
        for piece in pieces {
            self.text.push_str(piece);
        }
    }

    /// The whole message.
    #[must_use]
    pub fn end(mut self) -> String {
        self.text.push_str("}}");
        self.text
    }
}

/// An error; without an id when that could not be read.
#[must_use]
pub fn error(
    id: Option<&RequestId>,
    code: ErrorCode,
    message: &str,
    data: Option<&RawJson>,
) -> String {
    let mut text = String::from(r#"{"jsonrpc":"2.0","#);
    if let Some(id) = id {
        text.push_str(r#""id":"#);
        push_id(&mut text, id);
        text.push(',');
    }
    text.push_str(r#""error":{"code":"#);
    push(&mut text, &code.0);
    text.push_str(r#","message":"#);
    push_string(&mut text, message);
    if let Some(data) = data {
        text.push_str(r#","data":"#);
        text.push_str(data.as_str());
    }
    text.push_str("}}");
    text
}

/// JSON on one line. It may be laid out over several; between tokens a space means the same, and
/// inside strings a line break is always escaped.
#[must_use]
pub fn one_line(json: &str) -> Cow<'_, str> {
    // Byte by byte instead of character by character: this is on every event's way.
    let bytes = json.as_bytes();
    if bytes.contains(&b'\n') || bytes.contains(&b'\r') {
        json.replace(['\n', '\r'], " ").into()
    } else {
        json.into()
    }
}

/// Appends a text as a JSON string.
pub fn push_string(out: &mut String, text: &str) {
    if !is_plain(text) {
        return push(out, text);
    }
    out.reserve(text.len() + 2);
    out.push('"');
    out.push_str(text);
    out.push('"');
}

/// Appends an id.
pub fn push_id(out: &mut String, id: &RequestId) {
    match id {
        RequestId::Number(id) => {
            write!(out, "{id}").expect("invariant: writing to memory does not fail");
        }
        RequestId::String(id) => push_string(out, id),
    }
}

/// Appends the JSON text of `value`.
pub fn push<T: Serialize + ?Sized>(text: &mut String, value: &T) {
    text.push_str(&serde_json::to_string(value).expect("invariant: our values serialize"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::client_request::ClientRequestKind;

    #[test]
    fn a_string_is_escaped_wherever_it_needs_to_be() {
        let texts = [
            "",
            "plain, longer than eight",
            "é😀 and 世界",
            "quote \" here",
            "12345678\\",
            "1234567\n",
            "\u{0}",
            "end\u{1f}",
            "\u{7f}\u{80}\u{2028}",
        ];
        for text in texts {
            let mut out = String::from("x");
            push_string(&mut out, text);
            assert_eq!(out[1..], serde_json::to_string(text).unwrap());
        }
    }

    #[test]
    fn messages_are_what_json_rpc_says() {
        let id = RequestId::String("a\"b".into());
        assert_eq!(
            result(&id, &[r#""x":1"#, "", r#""y":2"#]),
            r#"{"jsonrpc":"2.0","id":"a\"b","result":{"x":1,"y":2}}"#
        );
        assert_eq!(
            error(None, ErrorCode::PARSE_ERROR, "no", None),
            r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"no"}}"#
        );
        let data = RawJson::of(&serde_json::json!({"uri": "x"}));
        assert_eq!(
            error(
                Some(&RequestId::Number(1)),
                ErrorCode::RESOURCE_NOT_FOUND,
                "no",
                Some(&data)
            ),
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32002,"message":"no","data":{"uri":"x"}}}"#
        );
        let roots = ClientRequest {
            kind: ClientRequestKind::ListRoots,
            params: RawJson::empty_object(),
        };
        assert_eq!(
            request(&id, &roots),
            r#"{"jsonrpc":"2.0","id":"a\"b","method":"roots/list","params":{}}"#
        );
    }
}
