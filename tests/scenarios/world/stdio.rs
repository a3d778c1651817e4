//! The shipped binary on a pair of pipes.

use std::process::{ExitStatus, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::server::binary;
use super::within;

/// A server that is a child of its client. Killed when dropped.
#[derive(Debug)]
pub struct Piped {
    process: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    _directory: TempDir,
}

impl Piped {
    /// The demonstration tools.
    pub fn start() -> Self {
        Self::with("demo", "")
    }

    /// Another built-in set, or lines of configuration.
    pub fn with(builtin: &str, config: &str) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let file = directory.path().join("switchboard.toml");
        std::fs::write(&file, config).expect("the configuration can be written");
        let mut process = Command::new(binary())
            .arg("--config")
            .arg(&file)
            .args(["stdio", "--builtin", builtin])
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .expect("the server can be started");
        let output = process.stdout.take().expect("its output is piped");
        Self {
            input: process.stdin.take(),
            output: BufReader::new(output).lines(),
            process,
            _directory: directory,
        }
    }

    /// Writes bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("its input is open");
        let written = async {
            input.write_all(bytes).await?;
            input.flush().await
        };
        within("the server reads", written)
            .await
            .expect("its input is open");
    }

    /// Writes one message as a line.
    pub async fn say(&mut self, message: &Value) {
        let mut line = message.to_string();
        println!("-> {line:.200}");
        line.push('\n');
        self.write(line.as_bytes()).await;
    }

    /// The next line, which must be a message; `None` at the end of the output.
    pub async fn try_next(&mut self) -> Option<Value> {
        let line = within("the next line, or the end", self.output.next_line())
            .await
            .expect("its output is UTF-8")?;
        println!("<- {line:.200}");
        let message: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("not a message ({error}): {line:.200}"));
        for part in message.as_array().unwrap_or(&vec![message.clone()]) {
            assert_eq!(part["jsonrpc"], "2.0", "{line:.200}");
        }
        Some(message)
    }

    /// The next message.
    pub async fn next(&mut self) -> Value {
        self.try_next().await.expect("the server goes on")
    }

    /// Says a request and reads up to its answer. Returns that, and what came before it.
    pub async fn ask(&mut self, request: &Value) -> (Value, Vec<Value>) {
        self.say(request).await;
        self.answer_to(&request["id"]).await
    }

    /// Reads up to the answer to this request. Returns that, and what came before it.
    pub async fn answer_to(&mut self, id: &Value) -> (Value, Vec<Value>) {
        let mut before = Vec::new();
        loop {
            let message = self.next().await;
            if message.get("method").is_none() && message["id"] == *id {
                return (message, before);
            }
            before.push(message);
        }
    }

    /// Shakes hands. Returns the result.
    pub async fn shake_hands(&mut self, version: &str, capabilities: Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": "handshake", "method": "initialize",
            "params": {"protocolVersion": version, "capabilities": capabilities,
                "clientInfo": {"name": "scenario", "version": "1"}}});
        let (answer, before) = self.ask(&request).await;
        assert_eq!(
            before,
            Vec::<Value>::new(),
            "nothing comes before the handshake"
        );
        self.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
        answer["result"].clone()
    }

    /// Closes its input, reads what is left, and waits for its end.
    pub async fn close(mut self) -> (ExitStatus, Vec<Value>) {
        self.input = None;
        self.end().await
    }

    /// Asks it to stop (SIGTERM), its input left open, and waits for its end.
    pub async fn terminate(self) -> (ExitStatus, Vec<Value>) {
        let pid = self
            .process
            .id()
            .expect("the server is running")
            .to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(told.expect("kill can be run").success());
        self.end().await
    }

    async fn end(mut self) -> (ExitStatus, Vec<Value>) {
        let mut left = Vec::new();
        while let Some(message) = self.try_next().await {
            left.push(message);
        }
        let status = within("the server ends", self.process.wait())
            .await
            .expect("its end can be waited for");
        (status, left)
    }
}

/// A request of the session era.
pub fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

/// A call of a tool in the session era.
pub fn tool(id: impl Into<Value>, name: &str, arguments: Value) -> Value {
    request(
        id,
        "tools/call",
        json!({"name": name, "arguments": arguments}),
    )
}

/// The same request as the stateless era has it: it claims its version.
pub fn claiming(mut request: Value) -> Value {
    let meta = &mut request["params"]["_meta"];
    meta["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    if meta["io.modelcontextprotocol/clientCapabilities"].is_null() {
        meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
    }
    request
}

/// A notification.
pub fn notification(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

/// The text of the first content block of a tool's result.
pub fn text_of(answer: &Value) -> &str {
    let text = answer["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("no text in {answer}"))
}
