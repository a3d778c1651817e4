//! Why the process could not start, or could not go on.

use std::io;
use std::net::SocketAddr;

use crate::audit;
use crate::client::ClientError;
use crate::config::Complaints;
use crate::server::RegistrationError;
use crate::store::embedded::OpenError;
use crate::store::redis;

/// Why the process could not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The main runtime could not be built.
    #[error("failed to start the runtime")]
    Runtime(#[source] io::Error),
    /// The configuration is wrong; the text has one complaint per line.
    #[error(transparent)]
    Configuration(#[from] Complaints),
    /// A server cannot be offered as it was put together.
    #[error("cannot serve endpoint `{endpoint}`")]
    Registration {
        /// Where it would be served.
        endpoint: String,
        /// What of it.
        #[source]
        source: RegistrationError,
    },
    /// Callers cannot be authenticated as it is configured; the text is the whole sentence.
    #[error("{0}")]
    Auth(String),
    /// An upstream cannot be used as it is configured.
    #[error("cannot use an upstream")]
    Upstream(#[from] ClientError),
    /// The store could not be opened; the text is the whole sentence.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The store cannot be used as it is configured; the text is the whole sentence.
    #[error(transparent)]
    Redis(#[from] redis::OpenError),
    /// Nothing could be recorded.
    #[error("the audit cannot begin")]
    Audit(#[from] audit::OpenError),
    /// The address could not be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// The cluster key of the data directory could not be kept.
    #[error("cannot keep the cluster key in {path}")]
    Key {
        /// Where it should be.
        path: String,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// A running listener failed.
    #[error("serving failed")]
    Serve(#[source] io::Error),
    /// Standard input or output failed.
    #[error("standard input or output failed")]
    Stdio(#[source] io::Error),
}
