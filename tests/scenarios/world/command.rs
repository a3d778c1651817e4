//! The shipped binary as a command that runs to its end.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::server::binary;
use super::within;

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

/// Runs `switchboard` with these arguments in a directory and waits for its end.
pub async fn run(directory: &Path, arguments: &[&str]) -> Ended {
    run_with(directory, arguments, &[]).await
}

/// The same with these variables in its environment.
pub async fn run_with(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let output = Command::new(binary())
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(directory)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = within("the command ends", output).await;
    let output = output.expect("the command can be run");
    let ended = Ended {
        code: output.status.code().expect("it ends by itself"),
        out: String::from_utf8(output.stdout).expect("its output is text"),
        err: String::from_utf8(output.stderr).expect("its complaints are text"),
    };
    println!("$ switchboard {}\n{ended:?}", arguments.join(" "));
    ended
}
