//! `switchboard drain`: asks the node that runs here to drain, and waits until it has ended.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use super::node::{self, Node, PostError};
use super::{FAILED, OK, USAGE, answer, complain};
use crate::app::Host;
use crate::config::Settings;

/// Between the last step and the end of the process there is nothing left that could take longer.
const END: Duration = Duration::from_secs(15);
/// How often to look whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// Which node.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: Node,
}

/// Why it is not known to have drained.
#[derive(Debug, thiserror::Error)]
enum DrainError {
    #[error(transparent)]
    NotAsked(#[from] PostError),
    #[error("the node ended before it had drained")]
    Broken(#[source] reqwest::Error),
    #[error("the node has drained, but its process goes on")]
    GoesOn,
}

pub(super) fn run(host: Host, args: &Args) -> u8 {
    let settings = match args.node.settings(host) {
        Ok(settings) => settings,
        Err(complaints) => {
            complain(&complaints);
            return USAGE;
        }
    };
    if settings.server.listen.port() == 0 {
        complain(&"name the port the node listens on: --listen ADDR:PORT");
        return USAGE;
    }
    match node::block_on(async { Ok(drain(&settings).await?) }) {
        Ok(()) => answer(&"drained"),
        Err(error) => {
            complain(&super::Chain(&*error));
            FAILED
        }
    }
}

/// Asks, says each step as it is told, and waits for the end.
async fn drain(settings: &Settings) -> Result<(), DrainError> {
    let path = node::socket_of(settings);
    let inode = inode(&path).ok_or_else(|| PostError::Nobody {
        port: settings.server.listen.port(),
        path: path.clone(),
    })?;
    let mut response = node::ask(settings, "/drain", Vec::new()).await?;
    // Ends with the steps; each is a line of its own and comes as one piece.
    while let Some(steps) = response.chunk().await.map_err(DrainError::Broken)? {
        if answer(&String::from_utf8_lossy(&steps).trim_end()) != OK {
            break;
        }
    }
    // The file goes last, or its node was killed.
    let ended = async {
        while self::inode(&path) == Some(inode) {
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
