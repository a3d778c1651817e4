//! Somebody who comes to a node, by raw requests, and keeps all that they are answered.

use std::sync::{Arc, Mutex};

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use super::house::Node;
use crate::world::client::ACCEPT;
use crate::world::{Answer, EventStream, within};

/// The revision of those with a session.
const SESSION: &str = "2025-11-25";
/// The revision of those without.
const STATELESS: &str = "2026-07-28";

/// All that somebody was answered: heads and bodies.
pub type Told = Arc<Mutex<Vec<u8>>>;

/// See the module docs.
#[derive(Clone)]
pub struct Visitor {
    http: Client,
    base: String,
    headers: Vec<(String, String)>,
    session: Option<String>,
    told: Told,
}

impl Visitor {
    /// Comes to a node with nothing.
    pub fn at(node: &Node, told: &Told) -> Self {
        Self {
            http: node.client.clone(),
            base: node.server.url(""),
            headers: Vec::new(),
            session: None,
            told: told.clone(),
        }
    }

    /// The same with one more header.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.push((name.to_owned(), value.to_owned()));
        other
    }

    /// The same with this credential.
    pub fn bearing(&self, credential: &str) -> Self {
        self.with("authorization", &format!("Bearer {credential}"))
    }

    /// The same in a session of its own, as a client of that name. The second is its id.
    pub async fn opens(&self, client: &str) -> (Self, String) {
        let capabilities = json!({"elicitation": {"form": {}}});
        let params = json!({"protocolVersion": SESSION, "capabilities": capabilities,
            "clientInfo": {"name": client, "version": "1"}});
        let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let answer = self.posts(&message.to_string()).await;
        let id = answer.header("mcp-session-id").to_owned();
        let session = self.in_session(&id);
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        session.posts(&ready.to_string()).await;
        (session, id)
    }

    /// The same with a session id that somebody has.
    pub fn in_session(&self, id: &str) -> Self {
        let mut other = self
            .with("mcp-session-id", id)
            .with("mcp-protocol-version", SESSION);
        other.session = Some(id.to_owned());
        other
    }

    /// A request with all headers that every message needs, and those of this visitor.
    pub async fn sends(&self, method: Method, path: &str, body: &str) -> Response {
        println!("-> {method} {path} {:?} {body}", self.headers);
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        let has = |wanted: &str| self.headers.iter().any(|(name, _)| name == wanted);
        for (name, value) in [("content-type", "application/json"), ("accept", ACCEPT)] {
            if !has(name) {
                request = request.header(name, value);
            }
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let sent = request.body(body.to_owned()).send();
        let response = within("the answer begins", sent).await.expect("it answers");
        self.keep(format!("{} {:?}\n", response.status(), response.headers()));
        response
    }

    /// Posts a body and reads the answer to its end.
    pub async fn posts(&self, body: &str) -> Answer {
        self.asks(Method::POST, "/mcp", body).await
    }

    /// The same in another way, or elsewhere.
    pub async fn asks(&self, method: Method, path: &str, body: &str) -> Answer {
        let answer = Answer::read(self.sends(method, path, body).await).await;
        self.keep(format!("{}\n", answer.text));
        answer
    }

    /// Calls a method; in a session if there is one, and otherwise as those without.
    pub async fn calls(&self, method: &str, params: Value) -> Answer {
        let (visitor, message) = self.message(json!(1), method, params);
        visitor.posts(&message.to_string()).await
    }

    /// Calls a tool.
    pub async fn tool(&self, name: &str, arguments: Value) -> Answer {
        let params = json!({"name": name, "arguments": arguments});
        self.calls("tools/call", params).await
    }

    /// Calls a tool, and answers what it asks with this. Gives what the client has to know in between.
    pub async fn tool_that_asks(&self, name: &str, content: Value) -> String {
        let accepted = json!({"action": "accept", "content": content});
        let params = json!({"name": name, "arguments": {}});
        if self.session.is_none() {
            let asked = self.calls("tools/call", params.clone()).await.result();
            let questions = asked["inputRequests"].as_object().expect("it asks");
            let answers: Value = (questions.keys())
                .map(|key| (key.clone(), accepted.clone()))
                .collect();
            let mut params = params;
            params["requestState"] = asked["requestState"].clone();
            params["inputResponses"] = answers;
            self.calls("tools/call", params).await.result();
            let state = asked["requestState"].as_str();
            return state.expect("there is one").to_owned();
        }
        let (visitor, message) = self.message(json!(1), "tools/call", params);
        let body = message.to_string();
        let mut stream = EventStream::of(visitor.sends(Method::POST, "/mcp", &body).await);
        let mut place = String::new();
        while let Some(event) = stream.next().await {
            self.keep(format!("{event:?}\n"));
            let stream = event.id.as_deref().and_then(|id| id.rsplit_once('_'));
            if let Some((stream, _)) = stream {
                stream.clone_into(&mut place);
            }
            if event.is_message() && event.json().get("method").is_some() {
                let id = event.json()["id"].clone();
                let answer = json!({"jsonrpc": "2.0", "id": id, "result": accepted});
                self.posts(&answer.to_string()).await;
            }
        }
        place
    }

    /// A request, and who sends it with the headers that repeat what it says.
    pub fn message(&self, id: Value, method: &str, mut params: Value) -> (Self, Value) {
        let mut visitor = self.clone();
        if self.session.is_none() {
            let own = json!({
                "io.modelcontextprotocol/protocolVersion": STATELESS,
                "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
                "io.modelcontextprotocol/logLevel": "debug",
            });
            for (key, value) in own.as_object().expect("it is one") {
                params["_meta"][key] = value.clone();
            }
            let name = match method {
                "resources/read" => &params["uri"],
                _ => &params["name"],
            };
            visitor = visitor
                .with("mcp-protocol-version", STATELESS)
                .with("mcp-method", method);
            if let Some(name) = name.as_str() {
                visitor = visitor.with("mcp-name", name);
            }
        }
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        (visitor, message)
    }

    fn keep(&self, text: String) {
        self.told.lock().unwrap().extend(text.into_bytes());
    }
}
