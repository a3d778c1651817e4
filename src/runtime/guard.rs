//! The guard of a program that we started: whatever becomes of us, nothing of it is left.
//!
//! A program leaves processes behind: a wrapper (`npx`, a shell) the server it started, a server the
//! daemons that left its group and its session. Who was killed can end none of them. So between us and
//! the program stands this process, our own binary with the hidden subcommand `guard`. It is the
//! program's parent, and the subreaper of all below: what loses its parent becomes its child.
//!
//! The lifeline is standard input. The program reads it; the guard never does, it sees only when the
//! last writer is gone. That is us, however we ended, so the end of the input, which asks a server
//! to end, and our death are one event with one answer. Output goes past the guard untouched.
//!
//! ```text
//! running ──input ended──▶ leaving ──grace──┐
//!    ├──told to end (TERM, INT, HUP)────────┤
//!    └──the program ended───────────────────┴▶ asking (TERM) ──grace──▶ killing (KILL)
//! ```
//!
//! It ends, with the program's exit code, once no process is left, in whatever phase.
//!
//! It does not protect against a program that kills its guard: that has our rights, and could kill us.
//!
//! Invariants:
//! - Only processes that cannot have been reaped are signalled: children of the guard, and the
//!   program's group while the program is one of them. So no foreign process can have taken the id.
//!   What lies deeper comes up by itself as its parents end.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, kill_process_group, wait,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// How long a program may take to end after its input ended, and again after it was told to.
pub(crate) const GRACE: Duration = Duration::from_secs(2);
/// Between two looks for processes that lost their parents: nothing tells of those. Each look waits
/// twice as long as the one before, because what survives KILL hangs in the kernel, maybe for long.
const LOOK: Duration = Duration::from_millis(10);
/// The longest time between two looks.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// The program that has the subcommand.
static OFFERED: OnceLock<PathBuf> = OnceLock::new();

/// Says that this program has the subcommand `guard`.
pub(crate) fn offer() {
    // It still leads to this program when its file was replaced, as updates do.
    let running = PathBuf::from("/proc/self/exe");
    let program = if running.exists() {
        Some(running)
    } else {
        std::env::current_exe().ok()
    };
    if let Some(program) = program {
        OFFERED.get_or_init(|| program);
    }
}

/// What to start as a guard, if this program can be one.
pub(crate) fn offered() -> Option<PathBuf> {
    OFFERED.get().cloned()
}

/// Runs a program as its guard. Returns its exit code, as a shell would tell it.
///
/// # Errors
/// The program could not be started.
pub(crate) fn run(program: &OsStr, arguments: &[OsString]) -> io::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(watch(program, arguments))
}

async fn watch(program: &OsStr, arguments: &[OsString]) -> io::Result<u8> {
    // Otherwise it goes by the name of the link it was started through.
    let _cosmetic = rustix::thread::set_name(c"guard");
    // Before the program starts, so that also what it leaves at once is ours.
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(getpid()))?;
    let mut child_ended = signal(SignalKind::child())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let started = Command::new(program)
        .args(arguments)
        .process_group(0)
        .spawn()?;
    let mut guard = Guard {
        program: Pid::from_child(&started),
        code: None,
        phase: Phase::Running,
        asked: HashSet::new(),
    };
    // Whoever reads the output has to see its end when the program has closed it.
    rustix::stdio::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
    let mut input_ended = input_ended();
    let mut is_open = true;
    while guard.reap() {
        let next = guard.act(Instant::now());
        tokio::select! {
            _ = child_ended.recv() => {}
            _ = terminate.recv() => guard.ask(),
            _ = interrupt.recv() => guard.ask(),
            _ = hangup.recv() => guard.ask(),
            ended = &mut input_ended, if is_open => {
                is_open = false;
                if ended.is_ok() {
                    guard.leave();
                }
            }
            () = maybe(next) => {}
        }
    }
    Ok(guard.code.unwrap_or(0))
}

/// What is left of the program, and how far its end has come.
#[derive(Debug)]
struct Guard {
    program: Pid,
    /// How it ended. Until it is known, the program's id is its own.
    code: Option<u8>,
    phase: Phase,
    /// Children that were asked to end.
    asked: HashSet<Pid>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Running,
    Leaving { until: Instant },
    Asking { until: Instant, look: Duration },
    Killing { look: Duration },
}

impl Guard {
    /// Takes leave of the children that ended. Returns whether there are others.
    fn reap(&mut self) -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.program => {
                    self.code = Some(code(status));
                    self.ask();
                }
                Ok(Some((pid, _))) => {
                    self.asked.remove(&pid);
                }
                Ok(None) => return true,
                Err(Errno::INTR) => {}
                Err(_none_left) => return false,
            }
        }
    }

    fn leave(&mut self) {
        if let Phase::Running = self.phase {
            let until = Instant::now() + GRACE;
            self.phase = Phase::Leaving { until };
        }
    }

    fn ask(&mut self) {
        if let Phase::Running | Phase::Leaving { .. } = self.phase {
            let until = Instant::now() + GRACE;
            self.phase = Phase::Asking { until, look: LOOK };
            self.tell_group(Signal::TERM);
        }
    }

    /// Does what is due. Returns when there is more to do, if nothing happens before.
    fn act(&mut self, now: Instant) -> Option<Instant> {
        match self.phase {
            Phase::Leaving { until } if until <= now => self.ask(),
            Phase::Asking { until, .. } if until <= now => {
                self.phase = Phase::Killing { look: LOOK };
            }
            Phase::Running
            | Phase::Leaving { .. }
            | Phase::Asking { .. }
            | Phase::Killing { .. } => {}
        }
        match &mut self.phase {
            Phase::Running => None,
            Phase::Leaving { until } => Some(*until),
            Phase::Asking { until, look } => {
                let next = (now + *look).min(*until);
                *look = (*look * 2).min(LOOK_MAX);
                for child in children() {
                    // The program was asked with its group.
                    if child != self.program && self.asked.insert(child) {
                        tell(child, Signal::TERM);
                    }
                }
                Some(next)
            }
            Phase::Killing { look } => {
                let next = now + *look;
                *look = (*look * 2).min(LOOK_MAX);
                self.tell_group(Signal::KILL);
                for child in children() {
                    tell(child, Signal::KILL);
                }
                Some(next)
            }
        }
    }

    fn tell_group(&self, what: Signal) {
        if self.code.is_none()
            && let Err(error) = kill_process_group(self.program, what)
        {
            tracing::debug!(%error, "the program's group could not be told to end");
        }
    }
}

fn tell(child: Pid, what: Signal) {
    if let Err(error) = kill_process(child, what) {
        // It took other rights than ours. Its end is waited for.
        tracing::debug!(%error, "a process could not be told to end");
    }
}

/// The processes whose parent this one is.
fn children() -> Vec<Pid> {
    let own = getpid().as_raw_pid();
    let processes = fs::read_dir("/proc").into_iter().flatten();
    let children = processes.filter_map(|entry| {
        let entry = entry.ok()?;
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read(entry.path().join("stat")).ok()?;
        (parent(&stat)? == own).then(|| Pid::from_raw(pid))?
    });
    children.collect()
}

/// The parent in the `stat` of a process: the second field after its name, which is in parentheses
/// and may hold any bytes.
fn parent(stat: &[u8]) -> Option<i32> {
    let name_ends = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = str::from_utf8(&stat[name_ends + 1..]).ok()?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

fn code(status: WaitStatus) -> u8 {
    let told = status.exit_status();
    let told = told.or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    told.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Resolves when nobody can write to standard input any more.
fn input_ended() -> oneshot::Receiver<()> {
    let (told, ended) = oneshot::channel();
    // A thread that only sleeps: being told of the end alone, and not of every message, is what
    // `poll` without events does.
    std::thread::spawn(move || {
        let input = io::stdin();
        let mut watched = [PollFd::new(&input, PollFlags::empty())];
        loop {
            match poll(&mut watched, None) {
                Err(Errno::INTR) => {}
                Err(_) => return,
                Ok(_) => break,
            }
        }
        let _nobody_waits = told.send(());
    });
    ended
}

async fn maybe(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_cannot_hide_its_parent_behind_its_name() {
        for (stat, expected) in [
            (&b"71 (sh) S 70 71 71 0"[..], Some(70)),
            (b"71 (a) S 1 (\xff) R 70 71", Some(70)),
            (b"71 (a b)", None),
            (b"", None),
        ] {
            assert_eq!(parent(stat), expected);
        }
    }
}
