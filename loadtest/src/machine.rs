//! Where it was measured: a number without its machine is a rumour.

use std::process::Command;

use serde::Serialize;

/// The facts of this machine, as far as they can be read.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) cpu: Option<String>,
    pub(crate) kernel: Option<String>,
    pub(crate) rustc: Option<String>,
    /// Runnable threads when the scenario began; far above 0, the machine was not quiet.
    pub(crate) load_average: Option<f64>,
    /// When, in UTC.
    pub(crate) measured_at: Option<String>,
}

impl Machine {
    /// This one, now.
    pub(crate) fn this(rustc: Option<String>) -> Self {
        let read = |path| std::fs::read_to_string(path).ok();
        Self {
            cores: cores(),
            cpu: read("/proc/cpuinfo").and_then(|text| cpu_name(&text)),
            kernel: read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
            rustc,
            load_average: read("/proc/loadavg")
                .and_then(|text| text.split_whitespace().next()?.parse().ok()),
            measured_at: now(),
        }
    }

    /// On one line, for people.
    pub(crate) fn line(&self) -> String {
        let unknown = || "unknown".to_owned();
        format!(
            "{} cores ({}), Linux {}, {}, load average {:.1} at the start, {}",
            self.cores,
            self.cpu.clone().unwrap_or_else(unknown),
            self.kernel.clone().unwrap_or_else(unknown),
            self.rustc.as_deref().unwrap_or("rustc not noted"),
            self.load_average.unwrap_or_default(),
            self.measured_at.clone().unwrap_or_else(unknown),
        )
    }
}

/// How many cores there are.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

/// Asked of the system, for the sake of its calendar.
pub(crate) fn now() -> Option<String> {
    let output = Command::new("date").args(["-u", "+%FT%TZ"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned())
}

fn cpu_name(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
