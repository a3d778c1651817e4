//! How much a server may say at once.

use crate::protocol::prescan;

/// Bounds on what is read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one message, whichever way it comes.
    pub message: usize,
    /// Depth and members of its JSON.
    pub json: prescan::Limits,
}

impl Default for Limits {
    /// 10 MiB, which is also what a server of ours sends at most, and a million members: long
    /// lists of data are what tools are for, and one client holds few of them.
    fn default() -> Self {
        Self {
            message: 10 * 1024 * 1024,
            json: prescan::Limits {
                members: 1_000_000,
                ..prescan::Limits::default()
            },
        }
    }
}
