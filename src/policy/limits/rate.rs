//! A rate as it is written, `600/min`, and as it is counted.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// So many of a thing per time, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u32,
    per: Unit,
    burst: u32,
}

/// What a rate counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
}

/// Why a text is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// Not a number and a unit.
    #[error(
        "{0:?} is not a rate: write a whole number, `/` and s, min, h or day, as in \"600/min\""
    )]
    Form(String),
    /// None at all: `deny` says that.
    #[error("must be more than zero: a rule that denies is written in a role")]
    Zero,
    /// Over [`COUNT_MAX`].
    #[error("at most {COUNT_MAX} can be counted")]
    TooMuch,
}

/// The most that is counted per unit and at once: beyond a million per second a limit is none.
pub const COUNT_MAX: u32 = 1_000_000;

/// How a rate is written, for schemas.
pub const RATE_PATTERN: &str = "^[0-9]+/(s|min|h|day)$";

impl Unit {
    const ALL: [(&'static str, Self); 4] = [
        ("s", Self::Second),
        ("min", Self::Minute),
        ("h", Self::Hour),
        ("day", Self::Day),
    ];

    const fn nanos(self) -> u64 {
        let secs = match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        };
        secs * 1_000_000_000
    }
}

impl Rate {
    /// The same rate with so many at once.
    ///
    /// # Errors
    /// When that is none, or over [`COUNT_MAX`].
    pub fn with_burst(self, burst: u32) -> Result<Self, RateError> {
        let burst = counted(burst)?;
        Ok(Self { burst, ..self })
    }

    /// How many at once.
    #[must_use]
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// The time in which it counts, in nanoseconds.
    #[must_use]
    pub const fn period_nanos(self) -> u64 {
        self.per.nanos()
    }

    /// The time in which one comes back, in nanoseconds; rounded down, so that all of them come back
    /// within the unit. That is off by a thousandth at most.
    #[must_use]
    pub const fn interval_nanos(self) -> u64 {
        self.per.nanos() / self.count as u64
    }

    /// What one of so many nodes may let pass on its own; at least one at once.
    #[must_use]
    pub fn share(self, nodes: u32) -> Share {
        let nodes = nodes.max(1);
        Share {
            interval_nanos: self.interval_nanos().saturating_mul(nodes.into()),
            burst: (self.burst / nodes).max(1),
        }
    }
}

/// A rate in the numbers it is counted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The time in which one comes back, in nanoseconds.
    pub interval_nanos: u64,
    /// How many at once.
    pub burst: u32,
}

impl From<Rate> for Share {
    fn from(rate: Rate) -> Self {
        rate.share(1)
    }
}

fn counted(count: u32) -> Result<u32, RateError> {
    match count {
        0 => Err(RateError::Zero),
        1..=COUNT_MAX => Ok(count),
        _ => Err(RateError::TooMuch),
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let form = || RateError::Form(text.to_owned());
        let (count, unit) = text.split_once('/').ok_or_else(form)?;
        let (_, per) = Unit::ALL
            .into_iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(form)?;
        if count.is_empty() || !count.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(form());
        }
        // All digits, so the only way to fail is to be too long.
        let count = counted(count.parse().unwrap_or(u32::MAX))?;
        let burst = count;
        Ok(Self { count, per, burst })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Unit::ALL.into_iter().find(|(_, unit)| *unit == self.per);
        let (unit, _) = named.expect("invariant: every unit has a name");
        write!(f, "{}/{unit}", self.count)?;
        if self.burst == self.count {
            return Ok(());
        }
        write!(f, ", {} at once", self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_and_a_unit() {
        for (text, interval) in [
            ("1/s", 1_000_000_000),
            ("600/min", 100_000_000),
            ("3/s", 333_333_333),
            ("30/h", 120_000_000_000),
            ("1/day", 86_400_000_000_000),
            ("1000000/s", 1_000),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.interval_nanos(), interval, "{text}");
            assert_eq!(rate.to_string(), text);
        }
        for text in [
            "",
            "600",
            "600/m",
            "600 / min",
            "/min",
            "-1/s",
            "+1/s",
            "1.5/s",
            "1/S",
        ] {
            assert_eq!(text.parse::<Rate>(), Err(RateError::Form(text.into())));
        }
        assert_eq!("0/s".parse::<Rate>(), Err(RateError::Zero));
        for text in ["1000001/s", "99999999999999999999/day"] {
            assert_eq!(text.parse::<Rate>(), Err(RateError::TooMuch));
        }
    }

    #[test]
    fn as_many_come_at_once_as_per_unit_unless_it_is_said() {
        let rate: Rate = "600/min".parse().unwrap();
        assert_eq!(rate.burst(), 600);
        let rate = rate.with_burst(20).unwrap();
        assert_eq!(
            (rate.burst(), rate.to_string()),
            (20, "600/min, 20 at once".into())
        );
        assert_eq!(rate.with_burst(0), Err(RateError::Zero));
        assert_eq!(rate.with_burst(COUNT_MAX + 1), Err(RateError::TooMuch));
    }

    #[test]
    fn a_share_is_what_one_of_the_nodes_may() {
        let rate: Rate = "600/min".parse().unwrap();
        let share = rate.share(3);
        assert_eq!((share.interval_nanos, share.burst), (300_000_000, 200));
        let one: Rate = "1/min".parse().unwrap();
        assert_eq!(one.share(3).burst, 1);
        assert_eq!(one.share(0), one.into());
    }
}
