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
    /// 16 MiB: a server of ours sends results of 10 MiB at most, and other clients take as much. A
    /// million members: long lists of data are what tools are for, and one client holds few of them.
    fn default() -> Self {
        Self {
            message: 16 * 1024 * 1024,
            json: prescan::Limits {
                members: 1_000_000,
                ..prescan::Limits::default()
            },
        }
    }
}
