//! How many files this process may open; its children inherit it.

use std::io::{self, Write as _};

use rustix::process::{Resource, getrlimit, setrlimit};

/// What this process needs beside its connections.
const OWN_FILES: u64 = 200;

/// Raises the soft limit to the hard one, and says so if that is too little for as many
/// connections. It never refuses: what does not fit fails by itself, and is counted.
pub(crate) fn allow(connections: u64) -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // Not raised, the caution below tells the consequence.
        let _raised = setrlimit(Resource::Nofile, limit);
    }
    let wanted = connections + OWN_FILES;
    match getrlimit(Resource::Nofile).current {
        Some(allowed) if allowed < wanted => writeln!(
            io::stderr().lock(),
            "loadtest: this process may open {allowed} files; {wanted} are advised here (ulimit -n)"
        ),
        _ => Ok(()),
    }
}
