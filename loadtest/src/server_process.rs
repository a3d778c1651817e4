//! A server under load, as a child process: started, found, measured, ended.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::comparison::Used;
use crate::cpu;
use crate::failure::Failure;
use crate::floor;
use crate::http_client::{Broken, Connection};
use crate::memory::{self, Memory};
use crate::redis::Redis;

/// How long a server may take to say where it serves.
const START: Duration = Duration::from_secs(20);
/// How many of its first lines may come before it does.
const LINES_MAX: usize = 100;
/// What the line of the server's welcome that names its address begins with.
const WELCOME: &str = "serving  http://";

/// Where Switchboard keeps state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Store {
    /// In its memory.
    Memory,
    /// In a temporary directory.
    Embedded,
    /// In a Redis of its own, whose CPU is not counted.
    Redis,
}

/// A key of 32 bytes, in hex: nodes that share a store need one.
const CLUSTER_KEY: &str = "6c6f6164746573746c6f6164746573746c6f6164746573746c6f616474657374";

/// A running server. Killed when dropped: scenarios keep nothing.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    name: &'static str,
    process: Child,
    address: SocketAddr,
    /// The header that requests need, if they need one.
    credential: String,
    _store: Option<Redis>,
    _directory: Option<TempDir>,
}

impl ServerProcess {
    /// Starts the shipped binary with the demonstration tools. `settings` are keys of its
    /// configuration as variables name them, without their prefix.
    pub(crate) async fn switchboard(
        binary: &Path,
        store: Store,
        workers: u16,
        settings: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        Self::serve("switchboard", binary, store, workers, settings, "").await
    }

    /// Starts the shipped binary with the demonstration tools and a configuration.
    pub(crate) async fn configured(
        binary: &Path,
        store: Store,
        workers: u16,
        configuration: &str,
    ) -> Result<Self, Failure> {
        Self::serve("switchboard", binary, store, workers, &[], configuration).await
    }

    /// Says which header it asks for.
    pub(crate) fn asking_for(self, header: &str) -> Self {
        Self {
            credential: header.to_owned(),
            ..self
        }
    }

    /// Starts the shipped binary as a gateway before `upstream`, whose names it shows unchanged and
    /// to which it speaks `version`.
    pub(crate) async fn gateway(
        binary: &Path,
        store: Store,
        workers: u16,
        settings: &[(&str, &str)],
        (upstream, version): (&Self, &str),
    ) -> Result<Self, Failure> {
        let upstream = format!(
            "[upstreams.demo]\nurl = \"http://{}/mcp\"\nprefix = \"\"\nversion = \"{version}\"\n",
            upstream.address
        );
        Self::serve("gateway", binary, store, workers, settings, &upstream).await
    }

    /// Without upstreams in `configuration` it serves the demonstration tools.
    async fn serve(
        name: &'static str,
        binary: &Path,
        store: Store,
        workers: u16,
        settings: &[(&str, &str)],
        configuration: &str,
    ) -> Result<Self, Failure> {
        if !binary.is_file() {
            return Err(Failure::NoBinary(binary.to_owned()));
        }
        let directory = TempDir::new().map_err(Failure::own("making a directory"))?;
        std::fs::write(directory.path().join("switchboard.toml"), configuration)
            .map_err(Failure::own("writing a configuration"))?;
        let redis = match store {
            Store::Memory | Store::Embedded => None,
            Store::Redis => Some(Redis::start(directory.path()).await?),
        };
        let store = match (store, &redis) {
            (_, Some(redis)) => redis.url(),
            (Store::Embedded, None) => {
                format!("embedded:{}", directory.path().join("data").display())
            }
            (Store::Memory | Store::Redis, None) => "memory:".to_owned(),
        };
        let mut command = Command::new(binary);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--store", &store])
            .env("SWITCHBOARD_SERVER_WORKERS", workers.to_string())
            .env("SWITCHBOARD_CLUSTER_KEY", CLUSTER_KEY)
            .envs(
                settings
                    .iter()
                    .map(|(key, value)| (format!("SWITCHBOARD_{key}"), *value)),
            )
            // Where its configuration is, and no other.
            .current_dir(directory.path());
        let server = Self::start(name, command, WELCOME, Some(directory)).await?;
        Ok(Self {
            _store: redis,
            ..server
        })
    }

    /// Starts this program as the floor.
    pub(crate) async fn floor(answer_bytes: usize, workers: u16) -> Result<Self, Failure> {
        let own = std::env::current_exe().map_err(Failure::own("finding this program"))?;
        let mut command = Command::new(own);
        command
            .args(["floor", "--listen", "127.0.0.1:0"])
            .args(["--workers", &workers.to_string()])
            .args(["--answer-bytes", &answer_bytes.to_string()]);
        Self::start("floor", command, floor::ANNOUNCEMENT, None).await
    }

    async fn start(
        name: &'static str,
        mut command: Command,
        announcement: &str,
        directory: Option<TempDir>,
    ) -> Result<Self, Failure> {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure::Start {
                server: name,
                error,
            })?;
        let stdout = process.stdout.take().ok_or(Failure::NotServing(name))?;
        let address = tokio::time::timeout(START, announced(stdout, announcement))
            .await
            .ok()
            .flatten()
            .ok_or(Failure::NotServing(name))?;
        Ok(Self {
            name,
            process,
            address,
            credential: String::new(),
            _store: None,
            _directory: directory,
        })
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The header that requests need, as a line; empty if they need none.
    pub(crate) fn credential(&self) -> &str {
        &self.credential
    }

    /// CPU time used so far.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        let pid = self.process.id().unwrap_or_default();
        cpu::used_by(pid).map_err(Failure::own("reading a server's CPU time"))
    }

    /// What it occupies now.
    pub(crate) fn memory(&self) -> Result<Memory, Failure> {
        let pid = self.process.id().unwrap_or_default();
        memory::used_by(pid).map_err(Failure::own("reading a server's memory"))
    }

    /// One of its metrics; for a metric that is not there yet, 0.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64, Broken> {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        let mut connection = Connection::open(self.address).await?;
        let answer = connection.exchange(request.as_bytes()).await?;
        let text = String::from_utf8_lossy(answer.body);
        let value = text.lines().find_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.strip_prefix(' ')?.trim().parse().ok()
        });
        Ok(value.unwrap_or(0.0))
    }

    /// Begins to measure.
    pub(crate) fn start_watch(&self) -> Result<Stopwatch<'_>, Failure> {
        Ok(Stopwatch {
            server: self,
            server_cpu: self.cpu()?,
            client_cpu: own_cpu()?,
            started: Instant::now(),
        })
    }
}

/// What was used since.
#[derive(Debug)]
pub(crate) struct Stopwatch<'a> {
    server: &'a ServerProcess,
    server_cpu: Duration,
    client_cpu: Duration,
    started: Instant,
}

impl Stopwatch<'_> {
    /// Time and CPU since the start.
    pub(crate) fn stop(&self) -> Result<Used, Failure> {
        Ok(Used {
            wall: self.started.elapsed(),
            server_cpu: self.server.cpu()?.saturating_sub(self.server_cpu),
            client_cpu: own_cpu()?.saturating_sub(self.client_cpu),
        })
    }
}

fn own_cpu() -> Result<Duration, Failure> {
    cpu::used_by(std::process::id()).map_err(Failure::own("reading this program's CPU time"))
}

/// Reads the output for the address. The rest stays unread: these servers say little more.
async fn announced(stdout: tokio::process::ChildStdout, announcement: &str) -> Option<SocketAddr> {
    let mut lines = BufReader::new(stdout).lines();
    for _ in 0..LINES_MAX {
        let line = lines.next_line().await.ok()??;
        if let Some((_, rest)) = line.split_once(announcement) {
            let authority = rest.split(['/', ' ']).next()?;
            return authority.parse().ok();
        }
    }
    None
}
