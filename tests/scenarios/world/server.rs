//! The shipped binary, started on a free port and stopped again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{Session, Stateless, within};

/// Where the server keeps state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// In its memory.
    Memory,
    /// In a directory of the scenario.
    Embedded,
}

/// How a server is to be started.
#[derive(Debug)]
pub struct Setup {
    builtin: &'static str,
    store: Store,
    config: String,
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct Switchboard {
    setup: Setup,
    directory: TempDir,
    process: Child,
    base: String,
}

impl Setup {
    /// Serves another built-in set than the demonstration.
    pub fn builtin(mut self, name: &'static str) -> Self {
        self.builtin = name;
        self
    }

    /// Keeps state elsewhere than in memory.
    pub fn store(mut self, store: Store) -> Self {
        self.store = store;
        self
    }

    /// Adds lines to the configuration file, for example `"[calls]\ngrace = \"50ms\""`.
    pub fn config(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self.config.push('\n');
        self
    }

    /// Starts it and waits until it takes traffic.
    pub async fn start(self) -> Switchboard {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let (process, base) = self.spawn(directory.path()).await;
        Switchboard {
            setup: self,
            directory,
            process,
            base,
        }
    }

    async fn spawn(&self, directory: &Path) -> (Child, String) {
        let file = directory.join("switchboard.toml");
        std::fs::write(&file, &self.config).expect("the configuration can be written");
        let store = match self.store {
            Store::Memory => "memory:".to_owned(),
            Store::Embedded => format!("embedded:{}", directory.join("data").display()),
        };
        let mut command = Command::new(binary());
        command.arg("--config").arg(&file).arg("serve");
        // A configured listener or endpoint is the scenario's own business.
        if !self.config.contains("listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        if !self.config.contains("[endpoints") {
            command.args(["--builtin", self.builtin]);
        }
        let mut process = command
            .args(["--store", &store])
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .expect("the server can be started");
        let stdout = process.stdout.take().expect("its output is piped");
        let base = within("the server says where it serves", announced(stdout)).await;
        (process, base)
    }
}

/// Reads the welcome for the address, and goes on reading so that the pipe never fills.
pub async fn announced(stdout: tokio::process::ChildStdout) -> String {
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await.expect("its output is text") {
        if let Some(rest) = line.trim().strip_prefix("serving  ") {
            let url = rest.split_whitespace().next().unwrap_or_default();
            let (scheme, rest) = url.split_once("://").expect("a URL is announced");
            let host = rest.split('/').next().unwrap_or_default();
            let base = format!("{scheme}://{host}");
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return base;
        }
    }
    panic!("the server ended before it served");
}

/// The binary under test.
pub fn binary() -> PathBuf {
    env!("CARGO_BIN_EXE_switchboard").into()
}

impl Switchboard {
    /// The default: demonstration tools, state in memory.
    pub async fn start() -> Self {
        Self::with().start().await
    }

    /// A server to be set up first.
    pub fn with() -> Setup {
        Setup {
            builtin: "demo",
            store: Store::Memory,
            config: String::new(),
        }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// `host:port` of the listener.
    pub fn authority(&self) -> &str {
        self.base
            .strip_prefix("http://")
            .expect("the base is an http URL")
    }

    /// A client of the session era that has shaken hands and declared `capabilities`.
    pub async fn session_with(&self, version: &str, capabilities: serde_json::Value) -> Session {
        Session::open(&self.url("/mcp"), version, capabilities).await
    }

    /// A client of the session era that declared nothing.
    pub async fn session(&self, version: &str) -> Session {
        self.session_with(version, serde_json::json!({})).await
    }

    /// A client of the stateless era that declares nothing.
    pub fn stateless(&self) -> Stateless {
        Stateless::new(&self.url("/mcp"))
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.id().expect("the server is running")
    }

    /// Ends it as a crash would: SIGKILL, nothing is written, nobody is told.
    pub async fn crash(&mut self) {
        self.process.kill().await.expect("it can be killed");
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    pub async fn stop(&mut self) -> ExitStatus {
        let pid = self.pid().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(told.expect("kill can be run").success());
        self.ended().await
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        within("the server stops", self.process.wait())
            .await
            .expect("its end can be waited for")
    }

    /// Starts it again on the same directory, at another port.
    pub async fn start_again(&mut self) {
        let (process, base) = self.setup.spawn(self.directory.path()).await;
        self.process = process;
        self.base = base;
    }

    /// The directory it runs in.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The value of a metric line, given as it starts: `mcp_active_sessions`.
    pub async fn metric(&self, line: &str) -> f64 {
        let text = crate::world::get(self.url("/metrics"))
            .await
            .expect("metrics answer")
            .text()
            .await
            .expect("metrics are text");
        let mut wanted = String::from(line);
        write!(wanted, " ").expect("memory can be written");
        text.lines()
            .find_map(|text| text.strip_prefix(&wanted))
            .map_or(0.0, |value| value.parse().expect("a metric is a number"))
    }

    /// Whether it still answers.
    pub async fn is_healthy(&self) -> bool {
        match crate::world::get(self.url("/health")).await {
            Ok(response) => response.status().is_success(),
            Err(_) => false,
        }
    }
}
