//! A program that may use only so much.
//!
//! Limits are inherited, and cannot be set on another program's way into the world without `unsafe`.
//! So they are set on a process of ours that then becomes the program: our own binary with the
//! hidden subcommand `limited`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How much a program may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of memory it may map.
    pub(crate) memory_max: Option<u64>,
    /// Files it may have open.
    pub(crate) files_max: Option<u64>,
}

/// Becomes the program. Returns only when that failed.
pub(crate) fn run(limits: Limits, program: &OsStr, arguments: &[OsString]) -> io::Error {
    let mut command = Command::new(program);
    command.args(arguments);
    // The memory comes last: what is needed to become the program is there already.
    let set = [
        (Resource::Nofile, limits.files_max),
        (Resource::As, limits.memory_max),
    ];
    for (resource, max) in set {
        if let Some(max) = max
            && let Err(error) = lower(resource, max)
        {
            return error.into();
        }
    }
    command.exec()
}

/// Sets a limit that cannot be raised again, unless it is lower already.
fn lower(resource: Resource, max: u64) -> rustix::io::Result<()> {
    let now = getrlimit(resource);
    let maximum = now.maximum.map_or(max, |now| now.min(max));
    let current = now.current.map_or(maximum, |now| now.min(maximum));
    setrlimit(
        resource,
        Rlimit {
            current: Some(current),
            maximum: Some(maximum),
        },
    )
}
