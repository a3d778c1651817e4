//! Runs that alternate between subjects, one of them the floor, and their medians.

use std::time::Duration;

use serde::Serialize;

use crate::findings::{Bar, Chart, Table};
use crate::tally::Tally;

/// One run of one server.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    subject: &'static str,
    round: u16,
    /// How many operations went well.
    count: u64,
    per_second: f64,
    /// Of the server process, user and system time: the number that matters.
    cpu_us_each: f64,
    /// Of this program, to see that it is small beside the server's.
    client_cpu_us_each: f64,
    p50_us: u64,
    p99_us: u64,
    max_us: u64,
    failures: u64,
    first_failure: Option<String>,
}

/// What a run used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) wall: Duration,
    pub(crate) server_cpu: Duration,
    pub(crate) client_cpu: Duration,
}

impl Run {
    pub(crate) fn new(subject: &'static str, round: u16, tally: &Tally, used: Used) -> Self {
        let total = tally.total();
        // Exact up to 2^32 operations in a run, which is some hours of them.
        let count = f64::from(u32::try_from(total).unwrap_or(u32::MAX)).max(1.0);
        let latencies = tally.latencies();
        let mut run = Self {
            subject,
            round,
            count: total,
            per_second: count / used.wall.as_secs_f64(),
            cpu_us_each: used.server_cpu.as_secs_f64() * 1e6 / count,
            client_cpu_us_each: used.client_cpu.as_secs_f64() * 1e6 / count,
            p50_us: latencies.percentile(50),
            p99_us: latencies.percentile(99),
            max_us: latencies.percentile(100),
            failures: tally.failures(),
            first_failure: tally.first_failure(),
        };
        if total == 0 {
            // It says nothing, so it failed too.
            run.failures += 1;
            run.first_failure
                .get_or_insert_with(|| "nothing was answered".to_owned());
        }
        run
    }

    pub(crate) const fn failures(&self) -> u64 {
        self.failures
    }

    pub(crate) const fn round(&self) -> u16 {
        self.round
    }

    pub(crate) fn first_failure(&self) -> Option<&String> {
        self.first_failure.as_ref()
    }
}

/// The medians of one server's runs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    subject: &'static str,
    per_second: f64,
    cpu_us_each: f64,
    /// The median of each round's own ratio: a round meets one weather.
    cpu_to_floor: Option<f64>,
    client_cpu_us_each: f64,
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
    failures: u64,
}

/// The medians of each subject, in that order.
pub(crate) fn summaries(subjects: &[&'static str], floor: &str, runs: &[Run]) -> Vec<Summary> {
    let summary = |subject: &&'static str| {
        let own = || runs.iter().filter(move |run| run.subject == *subject);
        let of = |value: fn(&Run) -> f64| median(own().map(value).collect());
        let ratios = own().filter_map(|run| {
            let floor = runs
                .iter()
                .find(|other| other.subject == floor && other.round == run.round)?;
            (floor.cpu_us_each > 0.0).then(|| run.cpu_us_each / floor.cpu_us_each)
        });
        Some(Summary {
            subject,
            per_second: of(|run| run.per_second)?,
            cpu_us_each: of(|run| run.cpu_us_each)?,
            cpu_to_floor: median(ratios.collect()),
            client_cpu_us_each: of(|run| run.client_cpu_us_each)?,
            p50_us: of(|run| whole(run.p50_us))?,
            p99_us: of(|run| whole(run.p99_us))?,
            max_us: of(|run| whole(run.max_us))?,
            failures: own().map(|run| run.failures).sum(),
        })
    };
    subjects.iter().filter_map(summary).collect()
}

/// The medians as a table; `noun` is what was done, such as "call".
pub(crate) fn table(title: &str, noun: &str, medians: &[Summary]) -> Table {
    let columns = [
        format!("{noun}s/s"),
        format!("CPU µs/{noun}"),
        "× floor".to_owned(),
        "p50 µs".to_owned(),
        "p99 µs".to_owned(),
        "max µs".to_owned(),
        "failed".to_owned(),
    ];
    let mut table = Table::new(title, columns);
    for row in medians {
        let ratio = row.cpu_to_floor;
        table.row(
            row.subject,
            [
                format!("{:.0}", row.per_second),
                format!("{:.2}", row.cpu_us_each),
                ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
                format!("{:.0}", row.p50_us),
                format!("{:.0}", row.p99_us),
                format!("{:.0}", row.max_us),
                row.failures.to_string(),
            ],
        );
    }
    table
}

/// The CPU time of each subject as bars.
pub(crate) fn chart(noun: &str, medians: &[Summary]) -> Chart {
    let bar = |row: &Summary| Bar {
        label: row.subject.to_owned(),
        value: row.cpu_us_each,
        note: row
            .cpu_to_floor
            .map_or_else(String::new, |ratio| format!("{ratio:.2} × floor")),
    };
    Chart::Bars {
        title: format!("CPU of the server per {noun}"),
        unit: "µs",
        bars: medians.iter().map(bar).collect(),
    }
}

/// The rates and times of the medians, without CPU: where several things share a server.
pub(crate) fn latency_table(title: &str, medians: &[Summary]) -> Table {
    let columns = ["per second", "p50 µs", "p99 µs", "max µs", "failed"];
    let mut table = Table::new(title, columns.map(str::to_owned));
    for row in medians {
        let cells = [row.per_second, row.p50_us, row.p99_us, row.max_us];
        let cells = cells.map(|value| format!("{value:.0}"));
        let failed = [row.failures.to_string()];
        table.row(row.subject, cells.into_iter().chain(failed));
    }
    table
}

/// The latencies of some runs as bars.
pub(crate) fn latency_chart<'a>(title: &str, runs: impl Iterator<Item = &'a Run>) -> Chart {
    let ms = |micros| whole(micros) / 1_000.0;
    let bars = |run: &'a Run| {
        [
            ("p50", run.p50_us),
            ("p99", run.p99_us),
            ("max", run.max_us),
        ]
        .map(|(what, micros)| Bar {
            label: format!("{} {what}", run.subject),
            value: ms(micros),
            note: String::new(),
        })
    };
    Chart::Bars {
        title: title.to_owned(),
        unit: "ms",
        bars: runs.flat_map(bars).collect(),
    }
}

fn whole(micros: u64) -> f64 {
    f64::from(u32::try_from(micros).unwrap_or(u32::MAX))
}

/// The middle of the values, or between the two.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
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
