//! A Redis for a server under load: a child process with its files in a temporary directory.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::failure::Failure;

const NAME: &str = "redis-server";
/// How long it may take to listen, and how often that is looked at.
const START: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);

/// A running Redis. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Redis {
    _process: Child,
    address: SocketAddr,
}

impl Redis {
    /// Starts one that writes its log of changes every second, as one in production would.
    pub(crate) async fn start(directory: &Path) -> Result<Self, Failure> {
        let address = free_address().map_err(Failure::own("finding a free port"))?;
        let process = Command::new(NAME)
            .args(["--port", &address.port().to_string()])
            .args(["--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "everysec"])
            .arg("--dir")
            .arg(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure::Start {
                server: NAME,
                error,
            })?;
        let listening = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(LOOK).await;
            }
        };
        let started = tokio::time::timeout(START, listening).await;
        started.map_err(|_| Failure::NotServing(NAME))?;
        Ok(Self {
            _process: process,
            address,
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }
}

fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
