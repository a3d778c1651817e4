//! `loadtest`: named load scenarios against the shipped binary, each beside a floor.
//!
//! A scenario starts its servers as child processes on free loopback ports, drives them from this
//! process, checks every answer, and prints a table. The number that matters is CPU time per call
//! of the server process, because client and server share the machine: calls per second say as
//! much about the client.
//!
//! See `loadtest/README.md` for the method and for dated results.

mod comparison;
mod cpu;
mod descriptors;
mod echo_call;
mod event_stream;
mod failure;
mod findings;
mod floor;
mod floor_stream;
mod held_sessions;
mod http_client;
mod idle_memory;
mod issuer;
mod latency;
mod machine;
mod mcp;
mod memory;
mod options;
mod pace;
mod page;
mod plot;
mod redis;
mod scenarios;
mod server_process;
mod tally;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;

use failure::Failure;
use options::Common;
use scenarios::{alone, calls, churn, gateway, mixed, sessions, stream, trust};

/// The same as in the server, so that the floor differs in nothing but what it leaves out.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Named load scenarios for Switchboard.
#[derive(Debug, Parser)]
#[command(version, about)]
enum Command {
    /// Echo calls of both eras, beside a bare actix-web server.
    Calls(With<calls::Args>),
    /// Many sessions: born, held with an open stream, called at a rate they do not choose.
    Sessions(With<sessions::Args>),
    /// Streamed events: what they cost and how long they take.
    Stream(With<stream::Args>),
    /// Sessions opened and abandoned: whether memory comes back.
    Churn(With<churn::Args>),
    /// Calls, sessions and streams through the gateway, beside the same upstream called directly.
    Gateway(With<gateway::Args>),
    /// Echo calls to servers that ask more and more of them: a token, roles, limits, a record.
    Trust(With<trust::Args>),
    /// Everything at once, for as long as you like.
    Mixed(With<mixed::Args>),
    /// All of these, on one page.
    All(Common),
    /// Serve the floor: a bare actix-web server.
    Floor(floor::Args),
}

/// What a scenario takes, and what all take.
#[derive(Debug, clap::Args)]
struct With<A: clap::Args> {
    #[command(flatten)]
    own: A,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Calls(With { own, common }) => alone(&common, calls::measure(&common, &own)),
        Command::Sessions(With { own, common }) => alone(&common, sessions::measure(&common, &own)),
        Command::Stream(With { own, common }) => alone(&common, stream::measure(&common, &own)),
        Command::Churn(With { own, common }) => alone(&common, churn::measure(&common, &own)),
        Command::Gateway(With { own, common }) => alone(&common, gateway::measure(&common, &own)),
        Command::Trust(With { own, common }) => alone(&common, trust::measure(&common, &own)),
        Command::Mixed(With { own, common }) => alone(&common, mixed::measure(&common, &own)),
        Command::All(common) => scenarios::all(&common),
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
