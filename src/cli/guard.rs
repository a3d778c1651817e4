//! `switchboard guard`: between this program and a server that it starts. Nobody types this.

use std::ffi::OsString;

use super::Chain;
use crate::runtime::guard;

/// The guard itself failed, as of programs that run others (`env`, `timeout`).
const FAILED: u8 = 125;

/// What `guard` takes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

pub(super) fn run(args: &Args) -> u8 {
    let (program, arguments) = (args.command.split_first()).expect("invariant: it is required");
    match guard::run(program, arguments) {
        Ok(code) => code,
        Err(error) => {
            let (program, why) = (program.display(), Chain(&error));
            super::complain(&format_args!("cannot start `{program}`: {why}"));
            FAILED
        }
    }
}
