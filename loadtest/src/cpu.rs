//! CPU time of a process, as the kernel accounts it.

use std::io;
use std::time::Duration;

/// Ticks per second of the times in `/proc`. The kernel's `USER_HZ` is 100 on every architecture
/// Linux runs on today, whatever the kernel's own `HZ` is.
const TICKS_PER_SECOND: u64 = 100;
/// Where `utime` stands in `/proc/<pid>/stat`, counted after the parenthesised command name:
/// proc_pid_stat(5) numbers it 14, the name 2.
const USER_TIME: usize = 11;

/// User and system time that a process has used, all its threads together.
pub(crate) fn used_by(pid: u32) -> io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse(&stat).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unreadable stat"))
}

fn parse(stat: &str) -> Option<Duration> {
    // The command name may hold spaces and parentheses; the last one closes it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(USER_TIME);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    let ticks = user.checked_add(system)?;
    Some(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 1 2 3 4 150 25 9 9 20 0 3 0 100 0 0";
        assert_eq!(parse(stat), Some(Duration::from_millis(1_750)));
        assert_eq!(parse("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_a_time() {
        used_by(std::process::id()).unwrap();
    }
}
