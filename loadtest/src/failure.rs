//! Why a scenario could not be run, or did not hold.

use std::io;
use std::path::PathBuf;

/// See the module docs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The server's binary is not where it should be.
    #[error(
        "there is no switchboard binary at {}; build it with `cargo build --release`, or name it with --switchboard",
        .0.display()
    )]
    NoBinary(PathBuf),
    /// A server could not be started.
    #[error("{server} could not be started: {error}")]
    Start {
        /// Which one.
        server: &'static str,
        /// What the operating system says.
        error: io::Error,
    },
    /// A server ended, or said nothing in time, before it served.
    #[error("{0} did not say where it serves")]
    NotServing(&'static str),
    /// The first exchange with a server, which settles what is right, went wrong.
    #[error("{server} did not answer as it should: {what}")]
    Handshake {
        /// Which one.
        server: &'static str,
        /// What it did.
        what: String,
    },
    /// A run did not end by itself.
    #[error("a run with {0} did not end in time")]
    Stuck(&'static str),
    /// Something of this process failed.
    #[error("{what}: {error}")]
    Own {
        /// What was done.
        what: &'static str,
        /// What the operating system says.
        error: io::Error,
    },
    /// Calls failed, or were answered with something else than they should.
    #[error("{scenario}: {count} failed, the first so: {first}")]
    Calls {
        /// In which scenario.
        scenario: &'static str,
        /// How many.
        count: u64,
        /// Why the first did.
        first: String,
    },
}

impl Failure {
    /// Wraps what the operating system says while this process does `what`.
    pub(crate) fn own(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self::Own { what, error }
    }
}
