//! The node that runs here, as a subcommand reaches it: through its Unix socket, which lies in the
//! data directory under the name of the listening port. So a subcommand has to find the same
//! configuration as the node did.

use std::io;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::admin::socket;
use crate::app::Host;
use crate::config::{Complaints, Overrides, Settings};

/// Which node.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Node {
    /// The address and port it listens on [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where it keeps state [default: embedded:./switchboard-data]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

impl Node {
    /// The settings the node was started with.
    pub(super) fn settings(&self, host: Host) -> Result<Settings, Complaints> {
        let overrides = Overrides {
            listen: self.listen.clone(),
            store: self.store.clone(),
            ..Overrides::default()
        };
        host.overrides(overrides).settings()
    }
}

/// Why a node did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    #[error("no node listens on port {port} here: {} is not there or not answered", .path.display())]
    Nobody { port: u16, path: PathBuf },
    #[error("the node could not be reached through {}", .path.display())]
    Unreachable {
        path: PathBuf,
        source: reqwest::Error,
    },
    #[error("the node answered {0}")]
    Refused(reqwest::StatusCode),
    #[error("the node broke off")]
    Broken(#[source] reqwest::Error),
    #[error("the node's answer cannot be read: is it of another release?")]
    Unreadable(#[source] serde_json::Error),
}

/// Where the socket of the node is.
pub(super) fn socket_of(settings: &Settings) -> PathBuf {
    let port = settings.server.listen.port();
    socket::path(settings.store.data_directory(), port)
}

/// Asks the node something; its answer begins well.
pub(super) async fn ask(
    settings: &Settings,
    path: &str,
    body: Vec<u8>,
) -> Result<reqwest::Response, PostError> {
    let port = settings.server.listen.port();
    let socket = socket_of(settings);
    let unreachable = |source: reqwest::Error| {
        let path = socket.clone();
        if source.is_connect() {
            PostError::Nobody { port, path }
        } else {
            PostError::Unreachable { path, source }
        }
    };
    let client = reqwest::Client::builder()
        .unix_socket(socket.as_path())
        .tls_certs_only([])
        .build()
        .map_err(unreachable)?;
    let asked = client
        .post(format!("http://localhost{path}"))
        .header("content-type", "application/json")
        .body(body);
    let response = asked.send().await.map_err(unreachable)?;
    if response.status().is_success() {
        Ok(response)
    } else {
        Err(PostError::Refused(response.status()))
    }
}

/// Asks the node something and reads the answer.
pub(super) async fn post<Asked: Serialize + Sync, Answer: DeserializeOwned>(
    settings: &Settings,
    path: &str,
    asked: &Asked,
) -> Result<Answer, PostError> {
    let body = serde_json::to_vec(asked).expect("invariant: orders serialize");
    let response = ask(settings, path, body).await?;
    let bytes = response.bytes().await.map_err(PostError::Broken)?;
    serde_json::from_slice(&bytes).map_err(PostError::Unreadable)
}

/// Runs something short to its end.
pub(super) fn block_on<T>(
    work: impl Future<Output = Result<T, Box<dyn std::error::Error>>>,
) -> Result<T, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| io::Error::other(format!("failed to start the runtime: {error}")))?;
    runtime.block_on(work)
}
