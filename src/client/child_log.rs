//! What a program writes to its standard error, as lines of our log.
//!
//! It is free text, and says nothing about errors (basic/transports, stdio). It is read for as long
//! as it comes, because a program whose standard error is full stands still. What is logged is
//! bounded: a line by its length, lines by how many come at a time.

use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::protocol::lines::{Line, Lines};
use crate::runtime::log_budget::LogBudget;

/// Bytes read at once.
const READ: usize = 4 * 1024;
/// Longest line that is logged, in bytes.
const LINE_MAX: usize = 2 * 1024;
/// Lines in one [`SPAN`]: a stack trace or two, and at most 20 KiB a second.
const LINES_MAX: u32 = 100;
/// How long those lines have to last.
const SPAN: Duration = Duration::from_secs(10);

/// Logs what comes until it ends, under the upstream's name.
pub(super) async fn log(upstream: String, mut from: impl AsyncRead + Unpin) {
    let mut lines = Lines::new(LINE_MAX);
    let mut buffer = [0; READ];
    let mut budget = LogBudget::new(LINES_MAX, SPAN, Instant::now());
    loop {
        let count = match from.read(&mut buffer).await {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) => {
                tracing::debug!(upstream, %error, "the upstream's standard error was lost");
                break;
            }
        };
        lines.push(&buffer[..count]);
        while let Some(line) = lines.next() {
            let Some(suppressed) = budget.admit(Instant::now()) else {
                continue;
            };
            let suppressed = (suppressed > 0).then_some(suppressed);
            match line {
                Line::Whole(bytes) => {
                    let line = String::from_utf8_lossy(&bytes);
                    let line = line.trim_end();
                    tracing::info!(upstream, suppressed, line, "the upstream wrote");
                }
                Line::TooLong(_) => {
                    let max = LINE_MAX;
                    tracing::info!(
                        upstream,
                        suppressed,
                        max,
                        "the upstream wrote a longer line"
                    );
                }
            }
        }
    }
    let suppressed = budget.suppressed();
    if suppressed > 0 {
        tracing::info!(upstream, suppressed, "the upstream wrote more lines");
    }
}
