//! What a server tells while it works: progress and log lines, on standard error.
//!
//! At a terminal progress is one line that changes; anywhere else each step is a line of its own.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::Value;

use super::show;
use crate::client::Notice;

/// Cells of the bar.
const CELLS: usize = 24;

/// See the module docs. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) struct Notices {
    at_a_terminal: bool,
    /// Whether the changing line is shown.
    shown: Arc<Mutex<bool>>,
}

#[derive(Deserialize)]
struct Progress {
    #[serde(rename = "progress")]
    done: f64,
    total: Option<f64>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct LogLine {
    level: String,
    logger: Option<String>,
    data: Value,
}

impl Notices {
    pub(super) fn new(at_a_terminal: bool) -> Self {
        Self {
            at_a_terminal,
            shown: Arc::default(),
        }
    }

    /// Shows a notice, if it is one for people.
    pub(super) fn show(&self, notice: &Notice) {
        match &*notice.method {
            "notifications/progress" => {
                if let Ok(progress) = notice.params.decode::<Progress>() {
                    self.progress(&progress);
                }
            }
            "notifications/message" => {
                if let Ok(line) = notice.params.decode::<LogLine>() {
                    let logger = line
                        .logger
                        .map_or_else(String::new, |name| format!(" {name}"));
                    let data = match line.data {
                        Value::String(text) => text,
                        other => other.to_string(),
                    };
                    self.say(&show::one_line(&format!("{}{logger}: {data}", line.level)));
                }
            }
            _for_programs => {}
        }
    }

    /// Says a line of its own.
    pub(super) fn say(&self, line: &str) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let clear = if std::mem::take(&mut *shown) {
            "\r\x1b[2K"
        } else {
            ""
        };
        write(&format!("{clear}{line}\n"));
    }

    fn progress(&self, progress: &Progress) {
        let line = line_of(progress, self.at_a_terminal);
        if self.at_a_terminal {
            *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = true;
            write(&format!("\r\x1b[2K{line}"));
        } else {
            self.say(&line);
        }
    }

    /// Takes the changing line away.
    pub(super) fn clear(&self) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut *shown) {
            write("\r\x1b[2K");
        }
    }
}

fn line_of(progress: &Progress, with_bar: bool) -> String {
    let message = progress.message.as_deref().unwrap_or_default();
    let total = progress.total.filter(|total| *total > 0.0);
    let count = match total {
        Some(total) => format!("{}/{total}", progress.done),
        None => progress.done.to_string(),
    };
    let bar = match total {
        Some(total) if with_bar => {
            let part = (progress.done / total).clamp(0.0, 1.0);
            let cells = u8::try_from(CELLS).unwrap_or(u8::MAX);
            let full = (1..=cells)
                .filter(|cell| f64::from(*cell) <= part * f64::from(cells))
                .count();
            format!("[{}{}] ", "#".repeat(full), "-".repeat(CELLS - full))
        }
        _unknown => String::new(),
    };
    show::one_line(&format!("{bar}{count} {message}"))
}

/// Writes to standard error. Nobody there is no reason to fail.
fn write(text: &str) {
    let mut err = io::stderr().lock();
    let _gone = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_bar_where_it_can_change() {
        let half = Progress {
            done: 5.0,
            total: Some(10.0),
            message: Some("half\r\nway".into()),
        };
        let bar = format!("[{}{}] 5/10 half way", "#".repeat(12), "-".repeat(12));
        assert_eq!(line_of(&half, true), bar);
        assert_eq!(line_of(&half, false), "5/10 half way");
        let open = Progress {
            done: 2.5,
            total: None,
            message: None,
        };
        assert_eq!(line_of(&open, true), "2.5");
    }
}
