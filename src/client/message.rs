//! Requests of the client as text and headers.
//!
//! `params` are written around parts that are JSON already, so what a caller hands over goes out as
//! the bytes it is.
//!
//! Spec: 2026-07-28 basic/index, `_meta`; basic/transports/streamable-http, required headers.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::protocol::encode;
use crate::protocol::headers::{self, encode_value};
use crate::protocol::jsonrpc::RequestId;
use crate::protocol::raw::RawJson;

/// A request to a server.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is asked.
    pub method: String,
    /// With what: an object without `_meta`, which the client writes.
    pub params: RawJson,
}

impl Request {
    /// A request with these parameters, an object.
    #[must_use]
    pub fn new(method: impl Into<String>, params: &Value) -> Self {
        Self {
            method: method.into(),
            params: RawJson::of(params),
        }
    }

    /// A call of a tool; `arguments` go out as the bytes they are.
    #[must_use]
    pub fn call(tool: &str, arguments: Option<&RawJson>) -> Self {
        let mut params = format!(r#"{{"name":{}"#, json!(tool));
        if let Some(arguments) = arguments {
            params.push_str(r#","arguments":"#);
            params.push_str(&encode::one_line(arguments.as_str()));
        }
        params.push('}');
        Self {
            method: "tools/call".into(),
            params: RawJson::from_valid(params),
        }
    }

    /// The value of `Mcp-Name`, for the methods that have one.
    fn name(&self) -> Option<String> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Named {
            name: Option<String>,
            uri: Option<String>,
            task_id: Option<String>,
        }
        let named: Named = self.params.decode().ok()?;
        match &*self.method {
            "tools/call" | "prompts/get" => named.name,
            "resources/read" => named.uri,
            "tasks/get" | "tasks/update" | "tasks/cancel" => named.task_id,
            _ => None,
        }
    }

    /// The message, with this `_meta` and with `more` members of `params` besides its own.
    pub(super) fn text(&self, id: &RequestId, meta: Map<String, Value>, more: &[String]) -> String {
        let mut text = String::from(r#"{"jsonrpc":"2.0","id":"#);
        encode::push(&mut text, id);
        text.push_str(r#","method":"#);
        encode::push(&mut text, &self.method);
        text.push_str(r#","params":{"#);
        let meta = (!meta.is_empty()).then(|| format!(r#""_meta":{}"#, Value::Object(meta)));
        let members = self.params.members().map(ToOwned::to_owned);
        let members = members.into_iter().chain(more.iter().cloned()).chain(meta);
        text.push_str(&members.collect::<Vec<_>>().join(","));
        text.push_str("}}");
        text
    }

    /// The headers that repeat the message, in the stateless era.
    pub(super) fn headers(&self) -> Vec<(String, String)> {
        let mut found = vec![(headers::METHOD.to_owned(), self.method.clone())];
        if let Some(name) = self.name() {
            found.push((headers::NAME.to_owned(), encode_value(&name).into_owned()));
        }
        found
    }
}

/// A notification as text.
pub(super) fn notification(method: &str, params: Option<&Value>) -> String {
    let mut message = json!({"jsonrpc": "2.0", "method": method});
    if let Some(params) = params {
        message["params"] = params.clone();
    }
    message.to_string()
}

/// `notifications/cancelled` for a request of ours.
pub(super) fn cancelled(id: &RequestId) -> String {
    let params = json!({"requestId": id, "reason": "nobody waits for the answer"});
    notification("notifications/cancelled", Some(&params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_go_out_as_they_are() {
        let arguments = RawJson::from_valid("{\"n\":\n18446744073709551616}");
        let request = Request::call("a\"b", Some(&arguments));
        assert_eq!(
            request.params.as_str(),
            r#"{"name":"a\"b","arguments":{"n": 18446744073709551616}}"#
        );
        assert_eq!(
            request.headers(),
            [
                ("mcp-method".to_owned(), "tools/call".to_owned()),
                ("mcp-name".to_owned(), "a\"b".to_owned())
            ]
        );
    }

    #[test]
    fn names_come_from_where_each_method_has_them() {
        for (method, params, name) in [
            ("resources/read", json!({"uri": "a:b"}), Some("a:b")),
            ("tasks/get", json!({"taskId": "t", "name": "x"}), Some("t")),
            ("tools/list", json!({"name": "x"}), None),
        ] {
            assert_eq!(Request::new(method, &params).name().as_deref(), name);
        }
    }
}
