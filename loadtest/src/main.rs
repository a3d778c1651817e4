//! `loadtest`: named load scenarios against the shipped binary, each beside a floor.
//!
//! A scenario starts its servers as child processes on free loopback ports, drives them from this
//! process, checks every answer, and prints a table. The number that matters is CPU time per call
//! of the server process, because client and server share the machine: calls per second say as
//! much about the client.
//!
//! See `loadtest/README.md` for the method and for dated results.

mod cpu;
mod echo_call;
mod failure;
mod floor;
mod http_client;
mod latency;
mod report;
mod scenarios;
mod server_process;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;

use failure::Failure;

/// The same as in the server, so that the floor differs in nothing but what it leaves out.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Named load scenarios for Switchboard.
#[derive(Debug, Parser)]
#[command(version, about)]
enum Command {
    /// Echo calls of both eras, beside a bare actix-web server.
    Calls(scenarios::calls::Args),
    /// Serve the floor: a bare actix-web server that reads a body and answers.
    Floor(floor::Args),
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Calls(args) => scenarios::calls::main(&args),
        Command::Floor(args) => floor::main(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // With nobody reading, the exit code says it too.
            let _unread = say(&failure);
            ExitCode::FAILURE
        }
    }
}

fn say(failure: &Failure) -> io::Result<()> {
    writeln!(io::stderr().lock(), "loadtest: {failure}")
}
