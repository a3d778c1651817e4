//! What `tests/run` installs: the official conformance suite and the clients of other SDKs.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::Command;

use super::PATIENCE;

/// How long a program of somebody else may take: it waits by its own clocks between many steps.
const PROGRAM_PATIENCE: Duration = PATIENCE.saturating_mul(8);

/// What a program left behind.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub status: ExitStatus,
    /// What it said.
    pub stdout: String,
}

/// A file below the installed tools.
///
/// # Panics
/// When it is not there: a scenario that cannot be told is a failure, never silently left out.
pub fn installed(path: &str) -> PathBuf {
    let path = root().join("target/test-tools").join(path);
    assert!(
        path.exists(),
        "{} is missing: `tests/run` installs what the scenarios need",
        path.display()
    );
    path
}

/// A file of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Node, as the suite and the TypeScript clients need it.
pub fn node() -> Command {
    Command::new(installed("node_modules/node/bin/node"))
}

/// Python, with the packages of one environment.
pub fn python(environment: &str) -> Command {
    let mut command = Command::new(installed(&format!("{environment}/bin/python")));
    // No compiled copies of the drivers beside them.
    command.arg("-B");
    command
}

/// Runs a program to its end and shows what it said.
pub async fn run(mut command: Command) -> Ran {
    println!("$ {:?}", command.as_std());
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .expect("the program can be started");
    let output = tokio::time::timeout(PROGRAM_PATIENCE, child.wait_with_output())
        .await
        .expect("the program ends within its patience")
        .expect("its end can be waited for");
    let stdout = String::from_utf8(output.stdout).expect("it says text");
    println!("{stdout}");
    Ran {
        status: output.status,
        stdout,
    }
}
