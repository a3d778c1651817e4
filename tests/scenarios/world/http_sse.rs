//! A client of HTTP+SSE: one stream to listen on, one URL to post to.

use std::sync::atomic::{AtomicI64, Ordering};

use reqwest::Client;
use serde_json::{Value, json};

use super::{Answer, EventStream, Switchboard, within};

/// See the module docs.
pub struct HttpSse {
    http: Client,
    /// Where messages are posted.
    pub url: String,
    /// What the server says.
    pub stream: EventStream,
    next: AtomicI64,
}

impl HttpSse {
    /// Opens the stream and reads where to post.
    pub async fn connect(server: &Switchboard) -> Self {
        Self::connect_at(&server.url("")).await
    }

    /// The same, at a server that is found at this origin.
    pub async fn connect_at(origin: &str) -> Self {
        Self::connect_through(crate::world::http_client(), origin).await
    }

    /// The same, through a client that presents something, perhaps.
    pub async fn connect_through(http: Client, origin: &str) -> Self {
        let get = http
            .get(format!("{origin}/sse"))
            .header("accept", "text/event-stream");
        let response = within("the stream opens", get.send())
            .await
            .expect("the server answers");
        assert_eq!(response.status(), 200);
        let mut stream = EventStream::of(response);
        let first = stream.next().await.expect("the stream says where to post");
        assert_eq!((first.name.as_str(), first.id), ("endpoint", None));
        let path = first.data.expect("the endpoint is named");
        assert!(path.starts_with('/'), "of the same origin: {path}");
        Self {
            http,
            url: format!("{origin}{path}"),
            stream,
            next: AtomicI64::new(1),
        }
    }

    /// The same client, presenting something else from now on.
    pub fn with(mut self, http: Client) -> Self {
        self.http = http;
        self
    }

    /// Connects and shakes hands. Returns the result of `initialize` too.
    pub async fn open(server: &Switchboard, version: &str, capabilities: Value) -> (Self, Value) {
        let mut client = Self::connect(server).await;
        let params = json!({"protocolVersion": version, "capabilities": capabilities,
            "clientInfo": {"name": "scenario", "version": "1"}});
        let answer = client.call("initialize", params).await;
        client
            .accepted(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
        (client, answer["result"].clone())
    }

    /// Posts any text.
    pub async fn post(&self, body: String) -> Answer {
        println!("-> {body}");
        let post = self
            .http
            .post(&self.url)
            .header("content-type", "application/json")
            .body(body);
        let response = within("the answer begins", post.send())
            .await
            .expect("the server answers");
        Answer::read(response).await
    }

    /// Posts a message, which must be accepted.
    pub async fn accepted(&self, message: &Value) {
        let answer = self.post(message.to_string()).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
    }

    /// Sends a request. Returns its id.
    pub async fn request(&self, method: &str, params: Value) -> i64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.accepted(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .await;
        id
    }

    /// Sends a request and reads the next message, which must be its answer.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.request(method, params).await;
        let answer = self.stream.message().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    /// Calls a tool and reads the next message, which must be its answer.
    pub async fn tool(&mut self, name: &str, arguments: Value) -> Value {
        self.call("tools/call", json!({"name": name, "arguments": arguments}))
            .await
    }
}
