//! A server under load, as a child process: started, found, measured, ended.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::cpu;
use crate::failure::Failure;
use crate::floor;

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
}

/// A running server. Killed when dropped: scenarios keep nothing.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    name: &'static str,
    process: Child,
    address: SocketAddr,
    _directory: Option<TempDir>,
}

impl ServerProcess {
    /// Starts the shipped binary with the demonstration tools.
    pub(crate) async fn switchboard(
        binary: &Path,
        store: Store,
        workers: u16,
    ) -> Result<Self, Failure> {
        const NAME: &str = "switchboard";
        if !binary.is_file() {
            return Err(Failure::NoBinary(binary.to_owned()));
        }
        let directory = TempDir::new().map_err(Failure::own("making a directory"))?;
        let store = match store {
            Store::Memory => "memory:".to_owned(),
            Store::Embedded => format!("embedded:{}", directory.path().join("data").display()),
        };
        let mut command = Command::new(binary);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--builtin", "demo"])
            .args(["--store", &store])
            .env("SWITCHBOARD_SERVER_WORKERS", workers.to_string())
            // Where no configuration file lies about.
            .current_dir(directory.path());
        Self::start(NAME, command, WELCOME, Some(directory)).await
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
            _directory: directory,
        })
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// CPU time used so far.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        let pid = self.process.id().unwrap_or_default();
        cpu::used_by(pid).map_err(Failure::own("reading a server's CPU time"))
    }
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
