//! `switchboard drain`: asks the node that runs here to drain, and waits until it has ended.
//!
//! It goes through the node's Unix socket, which lies in the data directory under the name of the
//! listening port; so it has to find the same configuration as the node did.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{FAILED, OK, USAGE, answer, complain};
use crate::admin::socket;
use crate::app::Host;
use crate::config::Overrides;

/// Between the last step and the end of the process there is nothing left that could take longer.
const END: Duration = Duration::from_secs(15);
/// How often to look whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// Which node.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The address and port it listens on [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where it keeps state [default: embedded:./switchboard-data]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

/// Why it is not known to have drained.
#[derive(Debug, thiserror::Error)]
enum DrainError {
    #[error("no node listens on port {port} here: {} is not there or not answered", .path.display())]
    Nobody { port: u16, path: PathBuf },
    #[error("the node could not be reached through {}", .path.display())]
    Unreachable {
        path: PathBuf,
        source: reqwest::Error,
    },
    #[error("the node ended before it had drained")]
    Broken(#[source] reqwest::Error),
    #[error("the node answered {0}")]
    Refused(reqwest::StatusCode),
    #[error("the node has drained, but its process goes on")]
    GoesOn,
    #[error("failed to start the runtime")]
    Runtime(#[source] io::Error),
}

pub(super) fn run(host: Host, args: &Args) -> u8 {
    let overrides = Overrides {
        listen: args.listen.clone(),
        store: args.store.clone(),
        ..Overrides::default()
    };
    let settings = match host.overrides(overrides).settings() {
        Ok(settings) => settings,
        Err(complaints) => {
            complain(&complaints);
            return USAGE;
        }
    };
    let port = settings.server.listen.port();
    if port == 0 {
        complain(&"name the port the node listens on: --listen ADDR:PORT");
        return USAGE;
    }
    let path = socket::path(settings.store.data_directory(), port);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(DrainError::Runtime);
    match runtime.and_then(|runtime| runtime.block_on(drain(port, &path))) {
        Ok(()) => answer(&"drained"),
        Err(error) => {
            complain(&super::Chain(&error));
            FAILED
        }
    }
}

/// Asks, says each step as it is told, and waits for the end.
async fn drain(port: u16, path: &Path) -> Result<(), DrainError> {
    let nobody = || DrainError::Nobody {
        port,
        path: path.to_owned(),
    };
    let inode = inode(path).ok_or_else(nobody)?;
    let unreachable = |source: reqwest::Error| {
        if source.is_connect() {
            return nobody();
        }
        DrainError::Unreachable {
            path: path.to_owned(),
            source,
        }
    };
    let client = reqwest::Client::builder()
        .unix_socket(path)
        .tls_certs_only([])
        .build()
        .map_err(unreachable)?;
    let asked = client.post("http://localhost/drain").send();
    let mut response = asked.await.map_err(unreachable)?;
    if !response.status().is_success() {
        return Err(DrainError::Refused(response.status()));
    }
    // Ends with the steps; each is a line of its own and comes as one piece.
    while let Some(steps) = response.chunk().await.map_err(DrainError::Broken)? {
        if answer(&String::from_utf8_lossy(&steps).trim_end()) != OK {
            break;
        }
    }
    // The file goes last, or its node was killed.
    let ended = async {
        while self::inode(path) == Some(inode) {
            tokio::time::sleep(LOOK).await;
        }
    };
    let ended = tokio::time::timeout(END, ended).await;
    ended.map_err(|_| DrainError::GoesOn)
}

/// What tells a socket's file from that of a successor.
fn inode(path: &Path) -> Option<u64> {
    path.metadata().ok().map(|found| found.ino())
}
