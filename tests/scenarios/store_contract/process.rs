//! A part of a story that needs a process of its own: this test binary again, running one ignored
//! test, told and heard line by line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Sets what is said apart from what the test harness prints.
const SAID: &str = "said: ";

/// A child process; killed by SIGKILL when dropped.
pub struct Process {
    child: Child,
    told: ChildStdin,
    says: BufReader<ChildStdout>,
}

impl Process {
    /// Runs an ignored test, named by its full path. `shell` is what a shell does with the command.
    pub fn of_test(test: &str, shell: &str) -> Self {
        let (_, test) = test
            .split_once("::")
            .expect("the path begins with the crate");
        let mut child = Command::new("sh")
            .args(["-c", &format!("{shell} \"$@\""), "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            told: child.stdin.take().unwrap(),
            says: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn tell(&mut self, line: &str) {
        writeln!(self.told, "{line}").unwrap();
    }

    /// The next thing it says: a word and a number.
    pub fn hear(&mut self) -> (String, u64) {
        loop {
            let mut line = String::new();
            let heard = self.says.read_line(&mut line).unwrap();
            assert!(heard > 0, "the process ended early");
            if let Some((_, said)) = line.trim_end().split_once(SAID) {
                let (word, number) = said.split_once(' ').unwrap();
                return (word.into(), number.parse().unwrap());
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Within the process: the next line it was told.
pub fn told() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim_end().into()
}

/// Within the process: says a word and a number.
pub fn say(word: &str, number: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{SAID}{word} {number}").unwrap();
    out.flush().unwrap();
}
