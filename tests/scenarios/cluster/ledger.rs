//! What was executed, in the order it was: the lines that the tools of `tests/servers/ledger.rs`
//! synced before they went on.

use std::path::Path;

use serde::Deserialize;

/// One execution.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Execution {
    /// The client's own name for the call.
    pub call: String,
    /// The process that ran it.
    pub owner: u32,
}

/// Reads a ledger. A line that a crash tore is no execution: the tool had not gone on.
pub fn read(file: &Path) -> Vec<Execution> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().enumerate();
    let total = text.lines().count();
    lines
        .filter_map(|(index, line)| match serde_json::from_str(line) {
            Ok(execution) => Some(execution),
            Err(_) if index + 1 == total && !text.ends_with('\n') => None,
            Err(error) => panic!("line {} of the ledger: {error}: {line}", index + 1),
        })
        .collect()
}
