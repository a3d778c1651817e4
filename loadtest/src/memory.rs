//! Memory of a process, as the kernel accounts it.

use std::io;

use serde::Serialize;

/// What a process occupies, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    /// Pages it has in memory.
    pub(crate) rss: u64,
    /// The same, with what it shares with others divided among them.
    pub(crate) pss: u64,
}

impl Memory {
    /// How much more this is than `before`, spread over `count`: bytes each, of the resident set.
    pub(crate) fn each_since(self, before: Self, count: u32) -> f64 {
        let more = self.rss.saturating_sub(before.rss);
        // Exact up to 2^52 bytes.
        #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
        let more = more as f64;
        more / f64::from(count.max(1))
    }

    /// The resident set in MiB.
    pub(crate) fn mib(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
        let rss = self.rss as f64;
        rss / f64::from(1 << 20)
    }
}

/// What a process occupies now.
pub(crate) fn used_by(pid: u32) -> io::Result<Memory> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    parse(&rollup).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unreadable rollup"))
}

fn parse(rollup: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    };
    Some(Memory {
        rss: field("Rss:")?,
        pss: field("Pss:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kilobytes_become_bytes() {
        let text =
            "55d-7ff ---p 0 0:0 0 [rollup]\nRss:      5072 kB\nPss:   2461 kB\nPss_Dirty: 9 kB\n";
        let memory = Memory {
            rss: 5072 * 1024,
            pss: 2461 * 1024,
        };
        assert_eq!(parse(text), Some(memory));
        assert_eq!(parse("Rss: 1 kB"), None);
    }

    #[test]
    fn this_process_occupies_something() {
        let memory = used_by(std::process::id()).unwrap();
        assert!(memory.rss > 0);
    }
}
