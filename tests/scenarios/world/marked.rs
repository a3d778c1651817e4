//! Processes that carry a mark in their environment, by which they are found whoever started them.

use std::ffi::OsString;

use tempfile::TempDir;

/// What the variable is called.
const NAME: &str = "MARK";

/// A mark that nothing else carries.
#[derive(Debug)]
pub struct Mark {
    /// A directory of the marked; its path is the mark.
    pub directory: TempDir,
}

impl Mark {
    /// A new one.
    pub fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        Self { directory }
    }

    /// The variable that marks a process and all it starts.
    pub fn variable(&self) -> (OsString, OsString) {
        (NAME.into(), self.directory.path().into())
    }

    /// The marked that live: their ids and command lines.
    pub fn alive(&self) -> Vec<(u32, String)> {
        let mark = format!("{NAME}={}", self.directory.path().display());
        let of_process = |process: u32| {
            let environment = std::fs::read(format!("/proc/{process}/environ")).ok()?;
            let mut variables = environment.split(|byte| *byte == 0);
            variables.find(|variable| *variable == mark.as_bytes())?;
            let command = std::fs::read(format!("/proc/{process}/cmdline")).ok()?;
            Some((
                process,
                String::from_utf8_lossy(&command).replace('\0', " "),
            ))
        };
        processes().filter_map(of_process).collect()
    }
}

/// A story that went wrong leaves nobody behind.
impl Drop for Mark {
    fn drop(&mut self) {
        for (process, command) in self.alive() {
            println!("left: {process} {command}");
            let mut kill = std::process::Command::new("kill");
            kill.args(["-9", &process.to_string()]).status().ok();
        }
    }
}

/// The children of this process that ended and that nobody waited for.
pub fn zombies() -> usize {
    zombies_of(std::process::id())
}

/// The same of another process.
pub fn zombies_of(process: u32) -> usize {
    let own = format!(") Z {process} ");
    let is_one = |process: &u32| {
        let stat = std::fs::read(format!("/proc/{process}/stat")).unwrap_or_default();
        String::from_utf8_lossy(&stat).contains(&own)
    };
    processes().filter(is_one).count()
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").expect("processes can be listed");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}
