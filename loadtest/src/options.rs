//! What every scenario takes.

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::findings::Findings;
use crate::machine::{self, Machine};
use crate::page;
use crate::server_process::Store;

/// See the module docs.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// The server's binary [default: `switchboard` beside this program]
    #[arg(long, value_name = "PATH")]
    switchboard: Option<PathBuf>,
    /// Where Switchboard keeps state.
    #[arg(long, value_enum, default_value = "memory")]
    pub(crate) store: Store,
    /// Runs of each server [default: 5, with --quick 1]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: Option<u16>,
    /// HTTP workers of every server [default: as many as there are cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// As short as it can be: whether it works, not what it costs.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Also write everything as JSON (of several scenarios: use --out).
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also write the JSON and a page with plots into this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The compiler's version, to be noted.
    #[arg(long, value_name = "TEXT")]
    rustc: Option<String>,
}

impl Common {
    /// The server's binary.
    pub(crate) fn switchboard(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.switchboard {
            // The server runs in a directory of its own.
            return std::path::absolute(path).map_err(Failure::own("finding the server"));
        }
        let own = std::env::current_exe().map_err(Failure::own("finding this program"))?;
        let directory = own.parent().unwrap_or_else(|| Path::new("."));
        Ok(directory.join("switchboard"))
    }

    /// Runs of each server.
    pub(crate) fn rounds(&self) -> u16 {
        self.rounds.unwrap_or(if self.quick { 1 } else { 5 })
    }

    /// HTTP workers of every server.
    pub(crate) fn workers(&self) -> u16 {
        let cores = || u16::try_from(machine::cores()).unwrap_or(u16::MAX).min(256);
        self.workers.unwrap_or_else(cores)
    }

    /// Where it is measured.
    pub(crate) fn machine(&self) -> Machine {
        Machine::this(self.rustc.clone())
    }

    /// A size that is said, or one of two defaults.
    pub(crate) fn sized<T>(&self, said: Option<T>, whole: T, quick: T) -> T {
        said.unwrap_or(if self.quick { quick } else { whole })
    }

    /// Shows and writes what was found; fails if anything in it did.
    pub(crate) fn conclude(&self, findings: &[Findings]) -> Result<(), Failure> {
        for found in findings {
            if let Some(path) = self.json.as_ref().filter(|_| findings.len() == 1) {
                found
                    .write_json(path)
                    .map_err(Failure::own("writing the JSON"))?;
            }
            if let Some(directory) = &self.out {
                std::fs::create_dir_all(directory).map_err(Failure::own("making a directory"))?;
                found
                    .write_json(&directory.join(format!("{}.json", found.scenario)))
                    .map_err(Failure::own("writing the JSON"))?;
            }
        }
        if let Some(directory) = &self.out {
            page::write(directory, findings).map_err(Failure::own("writing the page"))?;
        }
        findings.iter().try_for_each(Findings::verdict)
    }
}
