//! `switchboard limited`: on the way to a server that has limits. Nobody types this.

use std::ffi::OsString;

use super::Chain;
use crate::runtime::limited::{self, Limits};

/// It did not become the program, as of programs that run others (`env`, `timeout`).
const FAILED: u8 = 126;

/// What `limited` takes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Bytes of memory it may map
    #[arg(long, value_name = "BYTES")]
    memory_max: Option<u64>,
    /// Files it may have open
    #[arg(long, value_name = "COUNT")]
    files_max: Option<u64>,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

pub(super) fn run(args: &Args) -> u8 {
    let (program, arguments) = (args.command.split_first()).expect("invariant: it is required");
    let limits = Limits {
        memory_max: args.memory_max,
        files_max: args.files_max,
    };
    let error = limited::run(limits, program, arguments);
    let (program, why) = (program.display(), Chain(&error));
    super::complain(&format_args!("cannot start `{program}`: {why}"));
    FAILED
}
