//! How many lines of one kind may be logged in a time, where what others say decides how many there are.

use std::time::{Duration, Instant};

/// See the module docs.
#[derive(Debug)]
pub struct LogBudget {
    lines_max: u32,
    span: Duration,
    since: Instant,
    logged: u32,
    /// Lines that were not, since the last that was.
    suppressed: u64,
}

impl LogBudget {
    /// So many lines in each span of time from `since` on.
    #[must_use]
    pub const fn new(lines_max: u32, span: Duration, since: Instant) -> Self {
        Self {
            lines_max,
            span,
            since,
            logged: 0,
            suppressed: 0,
        }
    }

    /// Whether to log a line, and how many were not before it.
    pub fn admit(&mut self, now: Instant) -> Option<u64> {
        if now.duration_since(self.since) >= self.span {
            (self.since, self.logged) = (now, 0);
        }
        if self.logged == self.lines_max {
            self.suppressed += 1;
            return None;
        }
        self.logged += 1;
        Some(std::mem::take(&mut self.suppressed))
    }

    /// How many lines were not logged since the last that was.
    #[must_use]
    pub const fn suppressed(&self) -> u64 {
        self.suppressed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(10);

    #[test]
    fn lines_beyond_the_budget_are_counted_and_told_with_the_next() {
        let start = Instant::now();
        let mut budget = LogBudget::new(100, SPAN, start);
        let admitted = (0..250).filter_map(|_| budget.admit(start)).count();
        assert_eq!(admitted, 100);
        assert_eq!(budget.admit(start + SPAN), Some(150));
        assert_eq!(budget.admit(start + SPAN), Some(0));
    }
}
