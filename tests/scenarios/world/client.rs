//! Clients of both eras, as plain as the wire: they add what every request needs and nothing else.

use std::sync::atomic::{AtomicI64, Ordering};

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

use super::{Answer, EventStream, within};

/// What every POST accepts.
pub const ACCEPT: &str = "application/json, text/event-stream";

/// A client of the session era.
#[derive(Debug)]
pub struct Session {
    http: Client,
    url: String,
    /// The session id.
    pub id: String,
    /// The negotiated version.
    pub version: String,
    /// The whole result of `initialize`.
    pub initialized: Value,
    next: AtomicI64,
}

/// A POST with the headers that every message needs.
pub fn post(http: &Client, url: &str) -> RequestBuilder {
    http.post(url)
        .header("content-type", "application/json")
        .header("accept", ACCEPT)
}

async fn send(request: RequestBuilder) -> Response {
    within("the answer begins", request.send())
        .await
        .expect("the server answers")
}

impl Session {
    /// Shakes hands.
    pub async fn open(url: &str, version: &str, capabilities: Value) -> Self {
        Self::through(crate::world::http_client(), url, version, capabilities).await
    }

    /// Shakes hands through a client that presents something, perhaps.
    pub async fn through(http: Client, url: &str, version: &str, capabilities: Value) -> Self {
        let answer = Self::initialize(&http, url, version, capabilities).await;
        let result = answer.result();
        let session = Self {
            id: answer.header("mcp-session-id").to_owned(),
            version: result["protocolVersion"]
                .as_str()
                .expect("a version is negotiated")
                .to_owned(),
            initialized: result,
            http,
            url: url.to_owned(),
            next: AtomicI64::new(1),
        };
        let answer = session
            .send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
        assert_eq!(answer.status, 202);
        session
    }

    /// The handshake alone.
    pub async fn initialize(
        http: &Client,
        url: &str,
        version: &str,
        capabilities: Value,
    ) -> Answer {
        let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": version, "capabilities": capabilities,
            "clientInfo": {"name": "scenario", "version": "1"}}});
        println!("-> {message}");
        Answer::read(send(post(http, url).body(message.to_string())).await).await
    }

    /// The same session as another connection pool sees it, at another URL if the server moved.
    pub fn elsewhere(&self, url: &str) -> Self {
        self.presented_by(crate::world::http_client(), url)
    }

    /// The same session as somebody else presents it.
    pub fn presented_by(&self, http: Client, url: &str) -> Self {
        Self {
            http,
            url: url.to_owned(),
            id: self.id.clone(),
            version: self.version.clone(),
            initialized: self.initialized.clone(),
            next: AtomicI64::new(1_000_000),
        }
    }

    /// A request with the headers of this session.
    pub fn request(&self, method: reqwest::Method) -> RequestBuilder {
        self.http
            .request(method, &self.url)
            .header("mcp-session-id", &self.id)
            .header("mcp-protocol-version", &self.version)
    }

    /// Posts any message.
    pub async fn post(&self, message: &Value) -> Response {
        println!("-> {message}");
        let request = self
            .request(reqwest::Method::POST)
            .header("content-type", "application/json")
            .header("accept", ACCEPT)
            .body(message.to_string());
        send(request).await
    }

    /// Posts any message and reads the answer to its end.
    pub async fn send(&self, message: &Value) -> Answer {
        Answer::read(self.post(message).await).await
    }

    /// A fresh request id.
    pub fn next_id(&self) -> i64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Calls a method and reads the answer to its end.
    pub async fn call(&self, method: &str, params: Value) -> Answer {
        let id = self.next_id();
        let answer = self
            .send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .await;
        assert_eq!(answer.message()["id"], id, "the answer echoes the id");
        answer
    }

    /// Calls a tool and reads the answer to its end.
    pub async fn tool(&self, name: &str, arguments: Value) -> Answer {
        self.call("tools/call", json!({"name": name, "arguments": arguments}))
            .await
    }

    /// Calls a tool with a progress token and follows its stream. Returns the request id too.
    pub async fn stream_tool(&self, name: &str, arguments: Value) -> (i64, EventStream) {
        let id = self.next_id();
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
            "name": name, "arguments": arguments, "_meta": {"progressToken": id}}});
        (id, EventStream::of(self.post(&message).await))
    }

    /// Sends a notification, which must be accepted.
    pub async fn notify(&self, method: &str, params: Value) {
        let answer = self
            .send(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
            .await;
        assert_eq!((answer.status, answer.text.as_str()), (202, ""));
    }

    /// Answers a question of the server, which must be accepted.
    pub async fn answer(&self, question: &Value, result: Value) {
        let answer = self
            .send(&json!({"jsonrpc": "2.0", "id": question["id"], "result": result}))
            .await;
        assert_eq!((answer.status, answer.text.as_str()), (202, ""));
    }

    /// GET: the response as it begins.
    pub async fn get(&self, last_event_id: Option<&str>) -> Response {
        let mut request = self
            .request(reqwest::Method::GET)
            .header("accept", "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        println!("-> GET after {last_event_id:?}");
        send(request).await
    }

    /// GET: the standing stream, or a stream that broke off.
    pub async fn listen(&self, last_event_id: Option<&str>) -> EventStream {
        let response = self.get(last_event_id).await;
        assert_eq!(response.status(), 200);
        EventStream::of(response)
    }

    /// DELETE.
    pub async fn delete(&self) -> Answer {
        Answer::read(send(self.request(reqwest::Method::DELETE)).await).await
    }
}

/// A client of the stateless era.
#[derive(Debug)]
pub struct Stateless {
    http: Client,
    url: String,
    capabilities: Value,
    next: AtomicI64,
}

impl Stateless {
    /// A client that declares nothing.
    pub fn new(url: &str) -> Self {
        Self::through(crate::world::http_client(), url)
    }

    /// The same, through a client that presents something, perhaps.
    pub fn through(http: Client, url: &str) -> Self {
        Self {
            http,
            url: url.to_owned(),
            capabilities: json!({}),
            next: AtomicI64::new(1),
        }
    }

    /// Declares capabilities on every request.
    pub fn with(mut self, capabilities: Value) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// The `_meta` that every request carries.
    pub fn meta(&self) -> Value {
        json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
            "io.modelcontextprotocol/clientInfo": {"name": "scenario", "version": "1"},
        })
    }

    /// A request message; `params` gets the `_meta` it needs, keeping what it has.
    pub fn message(&self, method: &str, mut params: Value) -> Value {
        let mut meta = self.meta();
        if let Some(more) = params["_meta"].as_object() {
            for (key, value) in more {
                meta[key] = value.clone();
            }
        }
        params["_meta"] = meta;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
    }

    /// A POST of `message` with the headers that repeat what it says.
    pub fn request(&self, message: &Value) -> RequestBuilder {
        let method = message["method"].as_str().unwrap_or_default();
        let mut request = post(&self.http, &self.url)
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        let name = match method {
            "tools/call" | "prompts/get" => &message["params"]["name"],
            "resources/read" => &message["params"]["uri"],
            "tasks/get" | "tasks/update" | "tasks/cancel" => &message["params"]["taskId"],
            _ => &Value::Null,
        };
        if let Some(name) = name.as_str() {
            request = request.header("mcp-name", name);
        }
        println!("-> {message}");
        request.body(message.to_string())
    }

    /// Calls a method and reads the answer to its end.
    pub async fn call(&self, method: &str, params: Value) -> Answer {
        let message = self.message(method, params);
        let answer = Answer::read(send(self.request(&message)).await).await;
        assert_eq!(
            answer.message()["id"],
            message["id"],
            "the answer echoes the id"
        );
        answer
    }

    /// Calls a tool and reads the answer to its end.
    pub async fn tool(&self, name: &str, arguments: Value) -> Answer {
        self.call("tools/call", json!({"name": name, "arguments": arguments}))
            .await
    }

    /// Sends any request as it is and reads the answer to its end.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        Answer::read(send(request).await).await
    }

    /// Calls a method and follows its stream. Returns the request id too.
    pub async fn stream(&self, method: &str, params: Value) -> (Value, EventStream) {
        let message = self.message(method, params);
        let response = send(self.request(&message)).await;
        assert_eq!(response.status(), 200);
        (message["id"].clone(), EventStream::of(response))
    }
}
