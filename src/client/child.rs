//! A server that is our child: started, and ended with everything it started.
//!
//! Usually a guard stands between us and it ([`crate::runtime::guard`]), which does the ending: we
//! close its input, or tell the guard. Without one its process group is killed.
//!
//! Spec: basic/transports, stdio; basic/lifecycle, shutdown.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{ChildStdin, ChildStdout};

use super::child_log;
use super::error::ClientError;
use super::program::{Program, StandardError};
pub(super) use crate::runtime::guard::GRACE;
use crate::runtime::tasks::{TaskKind, Tasks};

/// What a guard takes longer than the program it kills: for looking who is left.
const GUARD: Duration = Duration::from_secs(1);

/// A running child. Dropped, it ends with everything it started.
#[derive(Debug)]
pub(super) struct Child {
    process: tokio::process::Child,
    /// Its id, and that of its group.
    id: Pid,
    is_guarded: bool,
}

impl Child {
    /// Starts it, with pipes for its input and output.
    pub(super) fn start(
        program: &Program,
        tasks: &Tasks,
    ) -> Result<(Self, ChildStdout, ChildStdin), ClientError> {
        let failed = |reason| ClientError::Spawn {
            program: program.program.display().to_string(),
            reason,
        };
        let mut command = program.command().map_err(failed)?;
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(match program.standard_error {
                StandardError::Inherited => Stdio::inherit(),
                StandardError::Logged(_) => Stdio::piped(),
            })
            .spawn()
            .map_err(failed)?;
        if let (StandardError::Logged(upstream), Some(stderr)) =
            (&program.standard_error, process.stderr.take())
        {
            // It ends when nobody is left that could write.
            tasks.spawn(TaskKind::Upkeep, child_log::log(upstream.clone(), stderr));
        }
        let pipes = process.stdout.take().zip(process.stdin.take());
        let (stdout, stdin) = pipes.expect("invariant: both are piped");
        let id = process.id().and_then(|id| id.try_into().ok());
        let id = id.and_then(Pid::from_raw);
        let child = Self {
            process,
            id: id.expect("invariant: a child that was not waited for has an id"),
            is_guarded: program.guard.is_some(),
        };
        Ok((child, stdout, stdin))
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// Waits for its end after its input ended; then asks, then makes it.
    pub(super) async fn end(mut self) {
        if self.ends_within(GRACE).await {
            return;
        }
        self.tell(Signal::TERM);
        let killed_after = if self.is_guarded {
            GRACE + GUARD
        } else {
            GRACE
        };
        if !self.ends_within(killed_after).await {
            tracing::warn!("a server did not stop and is killed");
        }
    }

    async fn ends_within(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.process.wait())
            .await
            .is_ok()
    }

    fn tell(&self, what: Signal) {
        let told = if self.is_guarded {
            // As long as it was not waited for, the id is its own.
            match self.process.id() {
                Some(_) => kill_process(self.id, what),
                None => Ok(()),
            }
        } else {
            kill_process_group(self.id, what)
        };
        if let Err(error) = told {
            tracing::trace!(%error, "nothing of a server was left");
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.is_guarded {
            // It goes on without us, and ends what is left.
            self.tell(Signal::TERM);
        } else {
            // Also when it ended by itself: what it started may be left.
            self.tell(Signal::KILL);
        }
    }
}
