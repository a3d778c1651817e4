//! A client that writes bytes, whatever they are, and reads what comes back one answer at a time.

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::{Switchboard, client::ACCEPT, within};

/// One TCP connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// One HTTP/1.1 answer.
#[derive(Clone, Debug)]
pub struct WireAnswer {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, unframed.
    pub body: Vec<u8>,
}

/// A request, part by part.
#[derive(Clone, Debug)]
pub struct Parts {
    line: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Parts {
    /// A good POST of a message to `/mcp`.
    pub fn post(body: impl AsRef<[u8]>) -> Self {
        Self {
            line: "POST /mcp HTTP/1.1".to_owned(),
            headers: Vec::new(),
            body: body.as_ref().to_vec(),
        }
        .with("Host", "127.0.0.1")
        .with("Content-Type", "application/json")
        .with("Accept", ACCEPT)
    }

    /// A request without a body that accepts event streams.
    pub fn of(method: &str, target: &str) -> Self {
        Self {
            line: format!("{method} {target} HTTP/1.1"),
            headers: Vec::new(),
            body: Vec::new(),
        }
        .with("Host", "127.0.0.1")
        .with("Accept", "text/event-stream")
    }

    /// Another request line.
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.line = line.into();
        self
    }

    /// Adds a header, beside any of the same name.
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().into()));
        self
    }

    /// Leaves a header out.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    /// A header with another value.
    pub fn set(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).with(name, value)
    }

    /// The bytes. Unless a header says how the body is framed, `Content-Length` does.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.line).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        let is_framed = |(name, _): &(String, Vec<u8>)| {
            name.eq_ignore_ascii_case("content-length")
                || name.eq_ignore_ascii_case("transfer-encoding")
        };
        if !self.headers.iter().any(is_framed) && self.line.starts_with("POST") {
            let length = format!("Content-Length: {}\r\n", self.body.len());
            bytes.extend_from_slice(length.as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A whole stateless call of a tool, with the headers that repeat what it says.
pub fn stateless_call(tool: &str, arguments: &Value) -> Parts {
    let message = json!({"jsonrpc": "2.0", "id": "s", "method": "tools/call", "params": {
        "name": tool, "arguments": arguments, "_meta": {
            "progressToken": "p",
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "scenario", "version": "1"}}}});
    Parts::post(message.to_string())
        .with("MCP-Protocol-Version", "2026-07-28")
        .with("Mcp-Method", "tools/call")
        .with("Mcp-Name", tool)
}

/// The same in a session.
pub fn session_call(session: &str, tool: &str, arguments: &Value) -> Parts {
    let message = json!({"jsonrpc": "2.0", "id": "s", "method": "tools/call", "params": {
        "name": tool, "arguments": arguments, "_meta": {"progressToken": "p"}}});
    Parts::post(message.to_string()).with("Mcp-Session-Id", session)
}

impl Wire {
    /// Connects.
    pub async fn connect(server: &Switchboard) -> Self {
        let stream = TcpStream::connect(server.authority()).await;
        Self::over(stream.expect("the server takes connections"))
    }

    /// Connects with hardly any room for what it is sent.
    pub async fn connect_narrow(server: &Switchboard) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        socket
            .set_recv_buffer_size(2_048)
            .expect("its buffer can be made small");
        let address = server.authority().parse().expect("an address");
        let stream = socket.connect(address).await;
        Self::over(stream.expect("the server takes connections"))
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("segments go as written");
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Writes. A server that has refused already may have stopped reading.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let written = within("the server reads", self.stream.write_all(bytes.as_ref())).await;
        if let Err(error) = written {
            println!("-- the server stopped reading: {error}");
        }
    }

    /// Writes every byte by itself.
    pub async fn send_byte_by_byte(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.send([*byte]).await;
            tokio::task::yield_now().await;
        }
    }

    /// Says that nothing more will be sent, and goes on reading.
    pub async fn half_close(&mut self) {
        // The server may have closed already.
        let _closed = self.stream.shutdown().await;
    }

    /// Reads one answer; `None` when the connection ends instead.
    pub async fn answer(&mut self) -> Option<WireAnswer> {
        within("an answer, or the end", self.read_answer(true)).await
    }

    /// Reads one answer that has no body whatever its headers say: that to HEAD.
    pub async fn answer_without_body(&mut self) -> Option<WireAnswer> {
        within("an answer, or the end", self.read_answer(false)).await
    }

    /// Reads answers until the connection ends.
    pub async fn answers(&mut self) -> Vec<WireAnswer> {
        let mut answers = Vec::new();
        while let Some(answer) = self.answer().await {
            answers.push(answer);
        }
        answers
    }

    /// Waits until the server closes the connection. Returns whatever else it says until then.
    pub async fn closed(&mut self) -> Vec<u8> {
        within("the server closes", async { while self.fill().await {} }).await;
        std::mem::take(&mut self.buffer)
    }

    /// Sends a little every 50 ms until the server closes. Returns what it said.
    pub async fn trickle(&mut self, drop: &[u8]) -> Vec<u8> {
        let mut tempo = tokio::time::interval(Duration::from_millis(50));
        within("the server closes", async {
            loop {
                tokio::select! {
                    more = self.fill() => if !more { break },
                    _ = tempo.tick() => if self.stream.write_all(drop).await.is_err() { break },
                }
            }
        })
        .await;
        std::mem::take(&mut self.buffer)
    }

    /// Reads until `text` has come; panics if the connection ends before.
    pub async fn read_until(&mut self, text: &str) {
        let wanted = text.as_bytes();
        within(text, async {
            while !self
                .buffer
                .windows(wanted.len())
                .any(|window| window == wanted)
            {
                assert!(self.fill().await, "the connection ended before {text:?}");
            }
        })
        .await;
    }

    async fn read_answer(&mut self, with_body: bool) -> Option<WireAnswer> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            if !self.fill().await {
                assert!(
                    self.buffer.is_empty(),
                    "half an answer: {:?}",
                    String::from_utf8_lossy(&self.buffer)
                );
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let head = String::from_utf8(head).expect("a head is text");
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("no status line in {head:?}"));
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut answer = WireAnswer {
            status,
            headers,
            body: Vec::new(),
        };
        if with_body && status >= 200 && status != 204 {
            if answer.header("transfer-encoding") == "chunked" {
                while let Some(chunk) = self.chunk().await {
                    answer.body.extend(chunk);
                }
            } else if let Ok(length) = answer.header("content-length").parse() {
                answer.body = self.exactly(length).await;
            }
        }
        println!("<- {} {}", answer.status, answer.text());
        Some(answer)
    }

    async fn chunk(&mut self) -> Option<Vec<u8>> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                break end;
            }
            assert!(self.fill().await, "the connection ended in a chunk");
        };
        let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
        let line = String::from_utf8_lossy(&line).trim().to_owned();
        let size = usize::from_str_radix(&line, 16).expect("a chunk has a size");
        let chunk = self.exactly(size).await;
        self.exactly(2).await;
        (size > 0).then_some(chunk)
    }

    async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            assert!(self.fill().await, "the connection ended in a body");
        }
        self.buffer.drain(..length).collect()
    }

    /// Reads once more; `false` at the end of the connection.
    async fn fill(&mut self) -> bool {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(read) => read > 0,
            // Closed with something of ours unread: that is how TCP says it.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("the connection broke: {error}"),
        }
    }
}

impl WireAnswer {
    /// A header's value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as a JSON-RPC message; null if there is none.
    pub fn message(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
