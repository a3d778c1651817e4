//! What a scenario found: as a table for people, as JSON for whoever compares.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;

use crate::echo_call::Subject;
use crate::failure::Failure;
use crate::latency::Latencies;
use crate::server_process::Store;

/// What was asked for.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Settings {
    pub(crate) scenario: &'static str,
    pub(crate) store: Store,
    pub(crate) rounds: u16,
    pub(crate) seconds: f64,
    pub(crate) connections: u16,
    pub(crate) workers: u16,
}

/// Where it was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    cpu: Option<String>,
    kernel: Option<String>,
    rustc: Option<String>,
    /// When, in UTC.
    measured_at: Option<String>,
}

impl Machine {
    /// The facts of this machine, as far as they can be read.
    pub(crate) fn this(cores: usize, rustc: Option<String>) -> Self {
        let read = |path| std::fs::read_to_string(path).ok();
        Self {
            cores,
            cpu: read("/proc/cpuinfo").and_then(|text| cpu_name(&text)),
            kernel: read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
            rustc,
            measured_at: today(),
        }
    }
}

/// Asked of the system, for the sake of its calendar.
fn today() -> Option<String> {
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

/// One run of one server.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    subject: Subject,
    round: u16,
    calls: u64,
    calls_per_second: f64,
    /// Of the server process, user and system time: the number that matters.
    cpu_us_per_call: f64,
    /// Of this program, to see that it is small beside the server's.
    client_cpu_us_per_call: f64,
    p50_us: u64,
    p99_us: u64,
    failures: u64,
    first_failure: Option<String>,
}

impl Run {
    pub(crate) fn new(
        subject: Subject,
        round: u16,
        calls: u64,
        took: Duration,
        cpu: Duration,
        client_cpu: Duration,
        latencies: &Latencies,
    ) -> Self {
        // Exact up to 2^32 calls in a run, which is some hours of them.
        let count = f64::from(u32::try_from(calls).unwrap_or(u32::MAX)).max(1.0);
        Self {
            subject,
            round,
            calls,
            calls_per_second: count / took.as_secs_f64(),
            cpu_us_per_call: cpu.as_secs_f64() * 1e6 / count,
            client_cpu_us_per_call: client_cpu.as_secs_f64() * 1e6 / count,
            p50_us: latencies.percentile(50),
            p99_us: latencies.percentile(99),
            failures: 0,
            first_failure: None,
        }
    }

    /// A run without a single call has failed too: it says nothing.
    pub(crate) fn with_failures(mut self, failures: u64, first: Option<String>) -> Self {
        self.failures = failures;
        self.first_failure = first;
        if self.calls == 0 {
            self.failures += 1;
            self.first_failure
                .get_or_insert_with(|| "no call was answered".to_owned());
        }
        self
    }
}

/// The medians of one server's runs.
#[derive(Clone, Debug, Serialize)]
struct Summary {
    subject: Subject,
    calls_per_second: f64,
    cpu_us_per_call: f64,
    /// The median of each round's own ratio: a round meets one weather.
    cpu_to_floor: Option<f64>,
    client_cpu_us_per_call: f64,
    p50_us: f64,
    p99_us: f64,
    failures: u64,
}

/// See the module docs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    settings: Settings,
    machine: Machine,
    medians: Vec<Summary>,
    runs: Vec<Run>,
}

impl Report {
    pub(crate) fn new(settings: Settings, machine: Machine, runs: Vec<Run>) -> Self {
        let medians = Subject::ALL
            .into_iter()
            .filter_map(|subject| summary(subject, &runs))
            .collect();
        Self {
            settings,
            machine,
            medians,
            runs,
        }
    }

    /// The table.
    pub(crate) fn print(&self) -> io::Result<()> {
        io::stdout().lock().write_all(self.table().as_bytes())
    }

    fn table(&self) -> String {
        let mut table = format!(
            "{:<14} {:>9} {:>13} {:>8} {:>8} {:>8} {:>7}\n",
            "", "calls/s", "CPU us/call", "x floor", "p50 us", "p99 us", "failed"
        );
        for row in &self.medians {
            let ratio = row
                .cpu_to_floor
                .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
            writeln!(
                table,
                "{:<14} {:>9.0} {:>13.2} {:>8} {:>8.0} {:>8.0} {:>7}",
                row.subject.label(),
                row.calls_per_second,
                row.cpu_us_per_call,
                ratio,
                row.p50_us,
                row.p99_us,
                row.failures
            )
            .expect("invariant: writing to memory does not fail");
        }
        table
    }

    /// Writes everything.
    pub(crate) fn write_json(&self, path: &Path) -> io::Result<()> {
        let mut file = File::create(path)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        writeln!(file)
    }

    /// Fails if any call did.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        let count = self.runs.iter().map(|run| run.failures).sum();
        let first = self.runs.iter().find_map(|run| run.first_failure.clone());
        match first {
            None => Ok(()),
            Some(first) => Err(Failure::Calls { count, first }),
        }
    }
}

fn summary(subject: Subject, runs: &[Run]) -> Option<Summary> {
    let own = || runs.iter().filter(move |run| run.subject == subject);
    let of = |value: fn(&Run) -> f64| median(own().map(value).collect());
    let ratios = own().filter_map(|run| {
        let floor = runs
            .iter()
            .find(|other| other.subject == Subject::Floor && other.round == run.round)?;
        (floor.cpu_us_per_call > 0.0).then(|| run.cpu_us_per_call / floor.cpu_us_per_call)
    });
    Some(Summary {
        subject,
        calls_per_second: of(|run| run.calls_per_second)?,
        cpu_us_per_call: of(|run| run.cpu_us_per_call)?,
        cpu_to_floor: median(ratios.collect()),
        client_cpu_us_per_call: of(|run| run.client_cpu_us_per_call)?,
        p50_us: of(|run| whole(run.p50_us))?,
        p99_us: of(|run| whole(run.p99_us))?,
        failures: own().map(|run| run.failures).sum(),
    })
}

fn whole(micros: u64) -> f64 {
    f64::from(u32::try_from(micros).unwrap_or(u32::MAX))
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(*upper);
    }
    values
        .get(middle - 1)
        .map(|lower| f64::midpoint(*lower, *upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
