//! What a scenario found: tables for people, charts for a page, JSON for whoever compares.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::machine::Machine;

/// See the module docs.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) scenario: &'static str,
    /// What it asks, in a sentence.
    pub(crate) question: &'static str,
    pub(crate) settings: Value,
    pub(crate) machine: Machine,
    pub(crate) tables: Vec<Table>,
    pub(crate) charts: Vec<Chart>,
    pub(crate) medians: Value,
    pub(crate) runs: Value,
    pub(crate) failures: Failures,
}

/// What failed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failures {
    count: u64,
    first: Option<String>,
}

/// Rows of cells that are text already.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<(String, Vec<String>)>,
}

/// One bar.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    /// Said behind the value.
    pub(crate) note: String,
}

/// What can be drawn.
#[derive(Clone, Debug)]
pub(crate) enum Chart {
    /// A value per subject.
    Bars {
        title: String,
        unit: &'static str,
        bars: Vec<Bar>,
    },
    /// Values over something, such as time.
    Lines {
        title: String,
        x: &'static str,
        y: &'static str,
        lines: Vec<Line>,
    },
}

/// One line of a chart.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Failures {
    /// Counts `count` more, of which `first` was the first.
    pub(crate) fn add(&mut self, count: u64, first: Option<&String>) {
        self.count += count;
        if self.first.is_none() {
            self.first = first.cloned();
        }
    }
}

impl Table {
    pub(crate) fn new(title: &str, columns: impl IntoIterator<Item = String>) -> Self {
        Self {
            title: title.to_owned(),
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, label: &str, cells: impl IntoIterator<Item = String>) {
        self.rows
            .push((label.to_owned(), cells.into_iter().collect()));
    }

    /// As text in columns.
    pub(crate) fn text(&self) -> String {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|(_, cells)| cells.get(column));
                let longest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
                longest.max(self.columns[column].chars().count())
            })
            .collect();
        let labels = self.rows.iter().map(|(label, _)| label.chars().count());
        let label_width = labels
            .chain([self.title.chars().count()])
            .max()
            .unwrap_or(0);
        let head = (&self.title, &self.columns);
        let rows = self.rows.iter().map(|(label, cells)| (label, cells));
        let mut text = String::new();
        for (label, cells) in [head].into_iter().chain(rows) {
            write!(text, "{label:<label_width$}").expect(WRITING);
            for (cell, width) in cells.iter().zip(&widths) {
                write!(text, "  {cell:>width$}").expect(WRITING);
            }
            text.push('\n');
        }
        text
    }
}

const WRITING: &str = "invariant: writing to memory does not fail";

impl Findings {
    /// Shows the tables.
    pub(crate) fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for table in &self.tables {
            writeln!(out, "{}", table.text())?;
        }
        Ok(())
    }

    /// Writes everything as JSON.
    pub(crate) fn write_json(&self, path: &Path) -> io::Result<()> {
        let everything = json!({
            "scenario": self.scenario,
            "settings": self.settings,
            "machine": self.machine,
            "medians": self.medians,
            "runs": self.runs,
            "failures": self.failures.count,
            "first_failure": self.failures.first,
        });
        let mut file = File::create(path)?;
        serde_json::to_writer_pretty(&mut file, &everything)?;
        writeln!(file)
    }

    /// Fails if anything did.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        if self.failures.count == 0 {
            return Ok(());
        }
        Err(Failure::Calls {
            scenario: self.scenario,
            count: self.failures.count,
            first: self.failures.first.clone().unwrap_or_default(),
        })
    }

    /// How many failed.
    pub(crate) const fn failed(&self) -> u64 {
        self.failures.count
    }
}

/// A value of ours as JSON.
pub(crate) fn to_json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("invariant: what was found serializes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new("", ["µs".to_owned(), "n".to_owned()]);
        table.row("floor", ["1".to_owned(), "200".to_owned()]);
        assert_eq!(table.text(), "       µs    n\nfloor   1  200\n");
    }
}
