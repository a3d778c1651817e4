//! A server that is our child: started, and ended with everything it started.
//!
//! It gets a process group of its own, so that a wrapper (`npx`, a shell) takes its server with it,
//! and so that Ctrl-C at a terminal reaches us alone. Its standard error is ours.
//!
//! Spec: basic/transports, stdio; basic/lifecycle, shutdown.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use process_wrap::tokio::{ChildWrapper, CommandWrap, ProcessGroup};
use tokio::process::{ChildStdin, ChildStdout};

use super::error::ClientError;

/// How long it may take to end after its input ended, and again after it was told to.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// The signal that asks a process to end.
const SIGTERM: i32 = 15;

/// A program and its arguments.
#[derive(Clone, Debug)]
pub struct Program {
    /// What to run.
    pub program: OsString,
    /// With what.
    pub arguments: Vec<OsString>,
}

/// A running child. Dropped, it is killed with its whole group.
#[derive(Debug)]
pub(super) struct Child {
    process: Box<dyn ChildWrapper>,
}

impl Child {
    /// Starts it, with pipes for its input and output.
    pub(super) fn start(program: &Program) -> Result<(Self, ChildStdout, ChildStdin), ClientError> {
        let failed = |source| ClientError::Spawn {
            program: program.program.display().to_string(),
            source,
        };
        let mut command = CommandWrap::with_new(&program.program, |command| {
            command
                .args(&program.arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::inherit());
        });
        let mut process = command
            .wrap(ProcessGroup::leader())
            .spawn()
            .map_err(failed)?;
        let pipes = process.stdout().take().zip(process.stdin().take());
        let (stdout, stdin) = pipes.expect("invariant: both are piped");
        Ok((Self { process }, stdout, stdin))
    }

    /// Waits for its end after its input ended; then asks, then makes it.
    pub(super) async fn end(mut self) {
        if !self.ends_within_grace().await {
            if let Err(error) = self.process.signal(SIGTERM) {
                tracing::debug!(%error, "a server could not be told to stop");
            }
            if !self.ends_within_grace().await {
                tracing::warn!("a server did not stop and is killed");
            }
        }
    }

    async fn ends_within_grace(&mut self) -> bool {
        tokio::time::timeout(GRACE, self.process.wait())
            .await
            .is_ok()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Also when it ended by itself: what it started may be left. Usually there is nothing.
        if let Err(error) = self.process.start_kill() {
            tracing::trace!(%error, "nothing of a server was left");
        }
    }
}
