//! The command line: what was asked for, and with which exit code it ended.
//!
//! One file per subcommand. Each does one thing with a [`Host`] and says how it went. Exit codes: 0 ok, 1 failed, 2 bad usage or configuration.
//!
//! It holds no logic of the server; `app` does.

mod audit;
mod check;
mod drain;
mod guard;
mod key;
mod limited;
mod node;
mod policy;
mod schema;
mod serve;
mod stdio;
mod tools;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::app::{Host, StartError};
use crate::config::Builtin;

/// Ended well.
const OK: u8 = 0;
/// Could not do it.
const FAILED: u8 = 1;
/// Bad usage or configuration; clap's own complaints end with the same.
const USAGE: u8 = 2;

/// A production server for the Model Context Protocol.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    /// The configuration file [default: ./switchboard.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
    // Without a subcommand, `serve` is meant.
    #[command(flatten)]
    serve: serve::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve over HTTP (the default)
    Serve(serve::Args),
    /// Serve on standard input and output
    Stdio(stdio::Args),
    /// Check the configuration: every complaint at once, with key and line
    Check(check::Args),
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Ask the node that runs here to drain, and wait until it has ended
    Drain(drain::Args),
    /// Make, list and revoke API keys
    #[command(subcommand)]
    Key(key::Command),
    /// Verify, search, give out and erase what was recorded
    #[command(subcommand)]
    Audit(audit::Command),
    /// List and call the tools of any server
    #[command(subcommand)]
    Tools(tools::Command),
    /// Ask who may call what, and how often, by the configuration
    #[command(subcommand)]
    Policy(policy::Command),
    /// Run a program and end it with everything it started when standard input ends
    #[command(hide = true)]
    Guard(guard::Args),
    /// Become a program that has limits
    #[command(hide = true)]
    Limited(limited::Args),
}

/// A set of built-in tools, as an option.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum BuiltinChoice {
    /// The demonstration tools
    Demo,
    /// What the conformance suite asks for
    Conformance,
    /// Nothing
    None,
}

impl From<BuiltinChoice> for Builtin {
    fn from(choice: BuiltinChoice) -> Self {
        match choice {
            BuiltinChoice::Demo => Self::Demo,
            BuiltinChoice::Conformance => Self::Conformance,
            BuiltinChoice::None => Self::None,
        }
    }
}

/// Does what the command line asks for, as the `switchboard` program.
#[must_use]
pub fn main() -> ExitCode {
    run(Host::configured())
}

/// Does what the command line asks for, with what `host` serves: a program of one's own has all
/// options and subcommands of `switchboard`.
#[must_use]
pub fn run(host: Host) -> ExitCode {
    // From here on programs that are started as servers are guarded: the subcommand is there.
    crate::runtime::guard::offer();
    let cli = match Cli::try_parse().and_then(Cli::checked) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    ExitCode::from(cli.run(host))
}

impl Cli {
    /// Options of `serve` before another subcommand would be silently without effect.
    fn checked(self) -> Result<Self, clap::Error> {
        if self.command.is_some() && !self.serve.is_empty() {
            let mut command = <Self as clap::CommandFactory>::command();
            let problem = "options of `serve` belong after `serve`";
            return Err(command.error(clap::error::ErrorKind::ArgumentConflict, problem));
        }
        Ok(self)
    }

    fn run(&self, host: Host) -> u8 {
        let host = match &self.config {
            Some(file) => host.config_file(file),
            None => host,
        };
        match &self.command {
            None => serve::run(host, &self.serve),
            Some(Command::Serve(args)) => serve::run(host, args),
            Some(Command::Stdio(args)) => stdio::run(host, args),
            Some(Command::Check(args)) => check::run(host, args),
            Some(Command::Schema) => schema::run(),
            Some(Command::Drain(args)) => drain::run(host, args),
            Some(Command::Key(command)) => key::run(host, command),
            Some(Command::Audit(command)) => audit::run(host, command),
            Some(Command::Tools(command)) => tools::run(command),
            Some(Command::Policy(command)) => policy::run(host, command),
            Some(Command::Guard(args)) => guard::run(args),
            Some(Command::Limited(args)) => limited::run(args),
        }
    }
}

/// Says how serving ended, with the exit code for it.
fn ended(result: Result<(), StartError>) -> u8 {
    match result {
        Ok(()) => OK,
        Err(StartError::Configuration(complaints)) => {
            complain(&complaints);
            USAGE
        }
        Err(error) => {
            complain(&Chain(&error));
            FAILED
        }
    }
}

/// Says something to whoever started us. Nobody there is no reason to fail.
fn complain(what: &impl Display) {
    let _gone = writeln!(io::stderr(), "{what}");
}

/// Answers on standard output.
fn answer(what: &impl Display) -> u8 {
    let mut out = io::stdout().lock();
    match writeln!(out, "{what}").and_then(|()| out.flush()) {
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => FAILED,
        Ok(()) | Err(_) => OK,
    }
}

/// An error with everything behind it, on one line.
struct Chain<'a>(&'a dyn std::error::Error);

impl Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Cli, ErrorKind> {
        let words = std::iter::once("switchboard").chain(line.split_whitespace());
        Cli::try_parse_from(words)
            .and_then(Cli::checked)
            .map_err(|error| error.kind())
    }

    #[test]
    fn serve_is_meant_without_a_subcommand() {
        let bare = parse("--listen 127.0.0.1:0 --builtin none").unwrap();
        assert!(bare.command.is_none());
        let named = parse("serve --listen 127.0.0.1:0 --builtin none").unwrap();
        let Some(Command::Serve(args)) = named.command else {
            panic!("not serve")
        };
        assert_eq!(args.overrides(), bare.serve.overrides());
        assert_eq!(args.overrides().builtin, Some(Builtin::None));
    }

    #[test]
    fn the_configuration_file_can_be_named_anywhere() {
        for line in [
            "--config a.toml check",
            "check --config a.toml",
            "--config a.toml",
        ] {
            let cli = parse(line).unwrap();
            assert_eq!(cli.config, Some(PathBuf::from("a.toml")), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (line, kind) in [
            ("--listen 127.0.0.1:0 check", ErrorKind::ArgumentConflict),
            ("sevre", ErrorKind::InvalidSubcommand),
            ("--lisen 127.0.0.1:0", ErrorKind::UnknownArgument),
            ("--builtin all", ErrorKind::InvalidValue),
            ("stdio --listen 127.0.0.1:0", ErrorKind::UnknownArgument),
            ("tools ls --url http://a -- b", ErrorKind::ArgumentConflict),
            (
                "tools ls --era session --protocol-version 2025-06-18",
                ErrorKind::ArgumentConflict,
            ),
            (
                "tools call t --arg a=1 --json {}",
                ErrorKind::ArgumentConflict,
            ),
            ("tools call", ErrorKind::MissingRequiredArgument),
            ("policy test", ErrorKind::MissingRequiredArgument),
            ("policy explain", ErrorKind::MissingRequiredArgument),
            ("policy explain t --claim a", ErrorKind::ValueValidation),
            ("policy explain t --args []", ErrorKind::ValueValidation),
            ("policy explain t --kind task", ErrorKind::InvalidValue),
            (
                "tools ls --protocol-version 2025-06-19",
                ErrorKind::ValueValidation,
            ),
        ] {
            assert_eq!(parse(line).unwrap_err(), kind, "{line}");
        }
    }

    #[test]
    fn a_node_to_drain_is_named_by_its_port() {
        let directory = tempfile::tempdir().unwrap();
        let store = format!("embedded:{}", directory.path().display());
        for (port, code) in [("0", USAGE), ("8000", FAILED)] {
            let line = format!("drain --listen 127.0.0.1:{port} --store {store}");
            let ended = parse(&line).unwrap().run(Host::configured());
            assert_eq!(ended, code, "{line}");
        }
    }

    #[test]
    fn the_servers_of_a_client_are_checked_with_the_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mcp.json");
        let line = format!("check --store memory: --mcp-json {}", path.display());
        for (json, code) in [
            (r#"{"mcpServers": {"a": {"command": "x"}}}"#, OK),
            (r#"{"mcpServers": {"a": {"command": 1}}}"#, USAGE),
        ] {
            std::fs::write(&path, json).unwrap();
            let host = Host::configured().config("");
            assert_eq!(parse(&line).unwrap().run(host), code, "{json}");
        }
        let stdio = parse(&format!("stdio --mcp-json {}", path.display())).unwrap();
        assert_eq!(stdio.run(Host::configured().config("")), USAGE);
    }

    #[test]
    fn exit_codes_tell_a_wrong_configuration_from_a_right_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("switchboard.toml");
        let line = format!("check --store memory: --config {}", path.display());
        assert_eq!(
            parse(&line).unwrap().run(Host::configured()),
            USAGE,
            "there is no such file"
        );
        for (text, code) in [
            ("", OK),
            ("[log]\nformat = \"json\"", OK),
            ("lisen = 1", USAGE),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(
                parse(&line).unwrap().run(Host::configured()),
                code,
                "{text}"
            );
        }
    }
}
