//! A server that answers as it is told: what our client meets elsewhere.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// GET, POST or DELETE.
    pub verb: String,
    /// What it is about.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The message; `null` without one.
    pub message: Value,
    /// What came, if that is text.
    pub body: String,
}

impl Heard {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The method of the message.
    pub fn method(&self) -> &str {
        self.message["method"].as_str().unwrap_or_default()
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum Script {
    /// A status and an object.
    Json(u16, Value),
    /// A status and no body.
    Bare(u16),
    /// A stream of these bytes, which then breaks off.
    Stream(String),
    /// The same, which stays open for as long as the client reads.
    Open(String),
    /// A head, and then this again and again.
    Endless(&'static str, &'static str),
    /// A head, and then one byte at a time, for as long as the client reads.
    Dribble(&'static str),
    /// These bytes.
    Raw(Vec<u8>),
    /// Nothing, for as long as the client waits.
    Nothing,
}

/// See the module docs. Stopped when dropped.
#[derive(Debug)]
pub struct Scripted {
    /// Its endpoint.
    pub url: String,
    /// Where that is.
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    accepting: JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Scripted {
    /// Answers each request by itself, one per connection.
    pub async fn start(answer: impl Fn(&Heard) -> Script + Send + Sync + 'static) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), answer).await
    }

    /// The same at this address, where another one may have been.
    pub async fn start_at(
        address: SocketAddr,
        answer: impl Fn(&Heard) -> Script + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}/mcp");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (keep, answer) = (heard.clone(), Arc::new(answer));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (keep, answer) = (keep.clone(), answer.clone());
                tokio::spawn(serve(stream, move |request| {
                    println!("-> {} {:.200}", request.verb, request.message.to_string());
                    keep.lock().unwrap().push(request.clone());
                    answer(&request)
                }));
            }
        });
        Self {
            url,
            address,
            heard,
            accepting,
        }
    }

    /// Takes no more requests, and leaves its address to others.
    pub async fn stop(mut self) {
        self.accepting.abort();
        (&mut self.accepting).await.ok();
    }

    /// A server of the session era, whose other answers are scripted.
    pub async fn session(answer: impl Fn(&Heard) -> Script + Send + Sync + 'static) -> Self {
        Self::start(of_session_era(answer)).await
    }

    /// The requests so far that fit.
    pub fn heard(&self, wanted: impl Fn(&Heard) -> bool) -> Vec<Heard> {
        let heard = self.heard.lock().unwrap();
        heard
            .iter()
            .filter(|heard| wanted(heard))
            .cloned()
            .collect()
    }
}

/// What a server of the session era says, but for what `answer` does.
pub fn of_session_era(
    answer: impl Fn(&Heard) -> Script + Send + Sync + 'static,
) -> impl Fn(&Heard) -> Script + Send + Sync + 'static {
    move |request| match (&*request.verb, request.method()) {
        ("POST", "initialize") => Script::Raw(with_session(&request.message["id"]).into()),
        ("POST", "notifications/initialized" | "notifications/cancelled") => Script::Bare(202),
        ("GET", _) if request.header("last-event-id").is_none() => Script::Bare(405),
        ("DELETE", _) => Script::Bare(204),
        ("POST", _) if request.header("mcp-session-id").is_none() => Script::Bare(400),
        _ => answer(request),
    }
}

/// What a server of the stateless era says, but for what `answer` does.
pub fn of_stateless_era(
    answer: impl Fn(&Heard) -> Script + Send + Sync + 'static,
) -> impl Fn(&Heard) -> Script + Send + Sync + 'static {
    move |request| match (&*request.verb, request.method()) {
        ("POST", "server/discover") => Script::result(
            &request.message["id"],
            &json!({"resultType": "complete", "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "private"}),
        ),
        ("POST", _) if request.header("mcp-protocol-version") != Some("2026-07-28") => {
            let error =
                json!({"code": -32022, "message": "no", "data": {"supported": ["2026-07-28"]}});
            Script::Json(
                400,
                json!({"jsonrpc": "2.0", "id": request.message["id"], "error": error}),
            )
        }
        ("POST", _) => answer(request),
        _ => Script::Bare(405),
    }
}

impl Script {
    /// A result for the request `id`.
    pub fn result(id: &Value, result: &Value) -> Self {
        Self::Json(200, json!({"jsonrpc": "2.0", "id": id, "result": result}))
    }

    /// Tools of these names.
    pub fn tools<'a>(id: &Value, names: impl IntoIterator<Item = &'a str>) -> Self {
        let tools = names.into_iter();
        let tools = tools.map(|name| json!({"name": name, "inputSchema": {"type": "object"}}));
        Self::result(id, &json!({"tools": tools.collect::<Vec<_>>()}))
    }
}

/// A result of a tool that says `text`, for the request `id`.
pub fn said(id: &Value, text: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": text}]}})
}

fn with_session(id: &Value) -> String {
    let body = json!({"jsonrpc": "2.0", "id": id, "result": {"protocolVersion": "2025-11-25",
        "capabilities": {"tools": {}}, "serverInfo": {"name": "scripted", "version": "1"}}});
    let body = body.to_string();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: s1\r\n\
        Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

async fn serve(mut stream: TcpStream, answer: impl FnOnce(Heard) -> Script) {
    let Some(request) = read(&mut stream).await else {
        return;
    };
    let head =
        |status: u16, more: &str| format!("HTTP/1.1 {status} X\r\nConnection: close\r\n{more}\r\n");
    let text = match answer(request) {
        Script::Json(status, value) => {
            let body = value.to_string();
            let more = format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            );
            head(status, &more) + &body
        }
        Script::Bare(status) => head(status, "Content-Length: 0\r\n"),
        Script::Stream(events) => {
            // Chunked and never ended: the connection breaks in the middle.
            let chunk = format!("{:x}\r\n{events}\r\n", events.len());
            head(
                200,
                "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n",
            ) + &chunk
        }
        Script::Open(events) => {
            let head = head(200, "Content-Type: text/event-stream\r\n");
            stream.write_all((head + &events).as_bytes()).await.ok();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.ok();
            return;
        }
        Script::Endless(start, piece) => {
            let mut written = stream.write_all(start.as_bytes()).await;
            while written.is_ok() {
                written = stream.write_all(piece.repeat(1_000).as_bytes()).await;
            }
            return;
        }
        Script::Dribble(start) => {
            let mut tempo = tokio::time::interval(Duration::from_millis(10));
            let mut written = stream.write_all(start.as_bytes()).await;
            while written.is_ok() {
                tempo.tick().await;
                written = stream.write_all(b" ").await;
            }
            return;
        }
        Script::Raw(bytes) => {
            stream.write_all(&bytes).await.ok();
            stream.shutdown().await.ok();
            return;
        }
        Script::Nothing => {
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.ok();
            return;
        }
    };
    stream.write_all(text.as_bytes()).await.ok();
    stream.shutdown().await.ok();
}

/// Reads a request.
pub(super) async fn read(stream: &mut TcpStream) -> Option<Heard> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (verb, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().unwrap());
    while bytes.len() < end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Heard {
        verb,
        path,
        headers,
        message: serde_json::from_slice(&bytes[end..]).unwrap_or_default(),
        body: String::from_utf8(bytes.split_off(end)).unwrap_or_default(),
    })
}
