//! The shipped binary, started on a free port and stopped again.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::cluster::{SABOTAGE, sabotaged};
use super::nginx::lasting_address;
use super::{Session, Stateless, eventually, within};

/// Where it listens when it does not matter where.
const ANY_PORT: &str = "127.0.0.1:0";
/// What it logs, if that is kept.
const LOG: &str = "log";
/// What it says on standard output, if its log is kept.
const SAID: &str = "said";
/// Its configuration, in its directory.
pub const CONFIG: &str = "switchboard.toml";
/// The servers of a client, in its directory.
pub const MCP_JSON: &str = "mcp.json";

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
    /// The servers of a client's configuration, to be taken as upstreams.
    mcp_json: Option<String>,
    /// Where state is kept, if it is none of [`Store`].
    store_url: Option<String>,
    variables: Vec<(String, String)>,
    /// Another program with the same command line and servers of its own.
    program: Option<PathBuf>,
    same_port: bool,
    keeps_log: bool,
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

    /// Keeps state where this URL says.
    pub fn store_url(mut self, url: &str) -> Self {
        self.store_url = Some(url.to_owned());
        self
    }

    /// Sets a variable of its environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Is started again at the port it had, for those who know it by its address.
    pub fn same_port(mut self) -> Self {
        self.same_port = true;
        self
    }

    /// Keeps what it logs, for [`Switchboard::log`].
    pub fn keeps_log(mut self) -> Self {
        self.keeps_log = true;
        self
    }

    /// Starts another program, built with the library, which serves its own tools.
    pub fn program(mut self, program: PathBuf) -> Self {
        self.program = Some(program);
        self
    }

    /// Has the deliberate bug that this story is told with, if it is told with one.
    pub fn may_have_a_bug(self) -> Self {
        match std::env::var(SABOTAGE) {
            Ok(bug) if !bug.is_empty() => self
                .program(sabotaged("switchboard"))
                .variable("SWITCHBOARD_SABOTAGE", &bug),
            _none => self,
        }
    }

    /// Adds lines to the configuration file, for example `"[calls]\ngrace = \"50ms\""`.
    pub fn config(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self.config.push('\n');
        self
    }

    /// Takes the servers of a client's configuration, in [`MCP_JSON`], as upstreams.
    pub fn mcp_json(mut self, json: &str) -> Self {
        self.mcp_json = Some(json.to_owned());
        self
    }

    /// Starts it and waits until it takes traffic.
    pub async fn start(self) -> Switchboard {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let lasting = self.same_port.then(lasting_address);
        let listen = lasting.as_deref().unwrap_or(ANY_PORT);
        let (process, base) = self.spawn(directory.path(), listen).await;
        Switchboard {
            setup: self,
            directory,
            process,
            base,
        }
    }

    async fn spawn(&self, directory: &Path, listen: &str) -> (Child, String) {
        let file = directory.join(CONFIG);
        std::fs::write(&file, &self.config).expect("the configuration can be written");
        let store = match (&self.store_url, self.store) {
            (Some(url), _) => url.clone(),
            (None, Store::Memory) => "memory:".to_owned(),
            (None, Store::Embedded) => format!("embedded:{}", directory.join("data").display()),
        };
        let mut command = Command::new(self.program.clone().unwrap_or_else(binary));
        command.arg("--config").arg(&file).arg("serve");
        // A configured listener or endpoint is the scenario's own business.
        if !self.config.contains("listen") {
            command.args(["--listen", listen]);
        }
        let is_gateway = self.config.contains("[upstreams") || self.mcp_json.is_some();
        if !self.config.contains("[endpoints") && !is_gateway && self.program.is_none() {
            command.args(["--builtin", self.builtin]);
        }
        if let Some(json) = &self.mcp_json {
            let file = directory.join(MCP_JSON);
            std::fs::write(&file, json).expect("a file can be written");
            command.arg("--mcp-json").arg(file);
        }
        let stderr = if self.keeps_log {
            let file = std::fs::File::create(directory.join(LOG));
            file.expect("a file can be written").into()
        } else {
            Stdio::inherit()
        };
        let mut process = command
            .args(["--store", &store])
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .expect("the server can be started");
        let stdout = process.stdout.take().expect("its output is piped");
        let kept = self.keeps_log.then(|| directory.join(SAID));
        let announced = announced_into(stdout, kept);
        let base = within("the server says where it serves", announced).await;
        (process, base)
    }
}

/// Reads the welcome for the address, and goes on reading so that the pipe never fills.
pub async fn announced(stdout: tokio::process::ChildStdout) -> String {
    announced_into(stdout, None).await
}

/// The same, and keeps what is read in a file.
async fn announced_into(stdout: tokio::process::ChildStdout, kept: Option<PathBuf>) -> String {
    let created = |file| std::fs::File::create(file).expect("a file can be written");
    let mut file = kept.as_ref().map(created);
    let mut keep = move |line: &str| {
        if let Some(file) = &mut file {
            writeln!(file, "{line}").expect("a file can be written");
        }
    };
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await.expect("its output is text") {
        keep(&line);
        if let Some(rest) = line.trim().strip_prefix("serving  ") {
            let url = rest.split_whitespace().next().unwrap_or_default();
            let (scheme, rest) = url.split_once("://").expect("a URL is announced");
            let host = rest.split('/').next().unwrap_or_default();
            let base = format!("{scheme}://{host}");
            tokio::spawn(async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    keep(&line);
                }
            });
            return base;
        }
    }
    let directory = kept.as_deref().and_then(Path::parent);
    let log = directory.map(|it| std::fs::read_to_string(it.join(LOG)).unwrap_or_default());
    panic!(
        "the server ended before it served: {}",
        log.unwrap_or_default()
    );
}

/// The binary under test.
pub fn binary() -> PathBuf {
    env!("CARGO_BIN_EXE_switchboard").into()
}

/// A built example, which has the command line of the binary.
pub fn example(name: &str) -> PathBuf {
    let program = binary().with_file_name("examples").join(name);
    assert!(
        program.exists(),
        "{} is missing: `cargo build --examples` makes it",
        program.display()
    );
    program
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
            mcp_json: None,
            store_url: None,
            variables: Vec::new(),
            program: None,
            same_port: false,
            keeps_log: false,
        }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The address of the listener.
    pub fn address(&self) -> SocketAddr {
        self.authority().parse().expect("it listens on an address")
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

    /// Waits until it has reached all its upstreams, or given them up.
    pub async fn is_ready(&self) {
        eventually("it is ready", async || {
            let ready = super::get(self.url("/ready")).await.ok()?;
            (ready.status() == 200).then_some(())
        })
        .await;
    }

    /// Waits until it lists these tools.
    pub async fn lists(&self, wanted: &[&str]) {
        let client = self.stateless();
        eventually("the tools are listed", async || {
            let tools = client.call("tools/list", json!({})).await.result();
            let names = tools["tools"].as_array().unwrap().iter();
            let names = names.map(|tool| tool["name"].as_str().unwrap());
            let names = names.collect::<Vec<_>>();
            let is_listed = wanted.iter().all(|wanted| names.contains(wanted));
            is_listed.then_some(())
        })
        .await;
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.id().expect("the server is running")
    }

    /// Whether nobody has ended it.
    pub fn is_running(&self) -> bool {
        self.process.id().is_some()
    }

    /// Ends it as a crash would: SIGKILL, nothing is written, nobody is told.
    pub async fn crash(&mut self) {
        self.process.kill().await.expect("it can be killed");
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    pub async fn stop(&mut self) -> ExitStatus {
        self.tell_to_stop().await;
        self.ended().await
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        within("the server stops", self.process.wait())
            .await
            .expect("its end can be waited for")
    }

    /// Starts it again on the same directory, at another port unless it is to keep its own.
    pub async fn start_again(&mut self) {
        let listen = if self.setup.same_port {
            self.authority()
        } else {
            ANY_PORT
        };
        let (process, base) = self.setup.spawn(self.directory.path(), listen).await;
        self.process = process;
        self.base = base;
    }

    /// The directory it runs in.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What it has logged since it was started, if that is kept.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.directory().join(LOG));
        log.expect("its log is kept")
    }

    /// What it has said on standard output since it was started, if its log is kept.
    pub fn said(&self) -> String {
        let said = std::fs::read_to_string(self.directory().join(SAID));
        said.expect("it is kept with its log")
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
