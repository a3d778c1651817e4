//! The spellings of durations and sizes: `"250ms"`, `"4MiB"`.
//!
//! Both are never zero: a bound of nothing would refuse everything, and a timeout of nothing would
//! never be met, so a zero is always a mistake better found early.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::policy::limits::rate::{RATE_PATTERN, Rate, RateError};

/// A length of time, in whole milliseconds, from one millisecond to ten years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

/// A number of bytes, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(usize);

/// Why a text is not a [`Period`] or a [`ByteSize`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a whole number followed by a unit.
    #[error("{0:?} is not a duration: write a whole number and ms, s, m, h or d, as in \"10s\"")]
    Period(String),
    /// Not a whole number followed by a unit.
    #[error("{0:?} is not a size: write a whole number and B, KiB, MiB or GiB, as in \"4MiB\"")]
    Size(String),
    /// Zero.
    #[error("must be more than zero")]
    Zero,
    /// Over what can be meant.
    #[error("{0:?} is too much: {1} is the most")]
    TooMuch(String, &'static str),
}

const PERIOD_UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];
const PERIOD_MS_MAX: u64 = 3_660 * 86_400_000;

const SIZE_UNITS: [(&str, u64); 4] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];
const SIZE_BYTES_MAX: u64 = 1 << 40;

impl Period {
    /// From milliseconds, for defaults.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        assert!(millis > 0 && millis <= PERIOD_MS_MAX);
        Self(Duration::from_millis(millis))
    }

    /// From seconds, for defaults.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self::from_millis(secs * 1_000)
    }

    /// The duration.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl ByteSize {
    /// From bytes, for defaults.
    #[must_use]
    pub const fn new(bytes: usize) -> Self {
        assert!(bytes > 0);
        Self(bytes)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

impl FromStr for Period {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let millis =
            parse(text, &PERIOD_UNITS).ok_or_else(|| ValueError::Period(text.to_owned()))?;
        match millis {
            0 => Err(ValueError::Zero),
            1..=PERIOD_MS_MAX => Ok(Self(Duration::from_millis(millis))),
            _ => Err(ValueError::TooMuch(text.to_owned(), "3660d")),
        }
    }
}

impl FromStr for ByteSize {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let bytes = parse(text, &SIZE_UNITS).ok_or_else(|| ValueError::Size(text.to_owned()))?;
        match usize::try_from(bytes) {
            Ok(0) => Err(ValueError::Zero),
            Ok(size) if bytes <= SIZE_BYTES_MAX => Ok(Self(size)),
            Ok(_) | Err(_) => Err(ValueError::TooMuch(text.to_owned(), "1024GiB")),
        }
    }
}

/// `None` if `text` is not a number and one of `units`; saturates.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    if number.is_empty() {
        return None;
    }
    // All digits, so the only way to fail is to be too long.
    Some(
        number
            .parse::<u64>()
            .unwrap_or(u64::MAX)
            .saturating_mul(*factor),
    )
}

/// In the largest unit that says it in a whole number.
fn display(value: u64, units: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fitting = units
        .iter()
        .rev()
        .find(|(_, factor)| value.is_multiple_of(*factor));
    let (unit, factor) = fitting.unwrap_or(&units[0]);
    write!(f, "{}{unit}", value / factor)
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        display(millis, &PERIOD_UNITS, f)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(self.0 as u64, &SIZE_UNITS, f)
    }
}

/// How a [`Period`] is written.
pub(super) const PERIOD_PATTERN: &str = "^[0-9]+ ?(ms|s|m|h|d)$";
/// How a [`ByteSize`] is written.
pub(super) const SIZE_PATTERN: &str = "^[0-9]+ ?(B|KiB|MiB|GiB)$";

macro_rules! as_text {
    ($type:ident, $name:literal, $pattern:ident) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

/// A rate, as in `"600/min"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateText(pub Rate);

impl FromStr for RateText {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for RateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

as_text!(RateText, "Rate", RATE_PATTERN);
as_text!(Period, "Duration", PERIOD_PATTERN);
as_text!(ByteSize, "Size", SIZE_PATTERN);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, millis) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("10 s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(text.parse(), Ok(Period::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "10",
            "s",
            "1.5s",
            "-1s",
            "10 seconds",
            "1h30m",
            "10S",
            " 10s",
        ] {
            let problem = text.parse::<Period>().unwrap_err();
            assert_eq!(problem, ValueError::Period(text.to_owned()), "{text}");
        }
        assert_eq!("0s".parse::<Period>(), Err(ValueError::Zero));
        for text in ["3661d", "99999999999999999999999h"] {
            let problem = text.parse::<Period>().unwrap_err();
            assert_eq!(
                problem,
                ValueError::TooMuch(text.to_owned(), "3660d"),
                "{text}"
            );
        }
    }

    #[test]
    fn sizes_are_a_number_and_a_unit() {
        for (text, bytes) in [
            ("1B", 1),
            ("16KiB", 16_384),
            ("4MiB", 4 << 20),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize::new(bytes)), "{text}");
        }
        for text in ["", "4", "4MB", "4M", "4mib", "0x10B", "-1B", "1.5MiB"] {
            let problem = text.parse::<ByteSize>().unwrap_err();
            assert_eq!(problem, ValueError::Size(text.to_owned()), "{text}");
        }
        assert_eq!("0B".parse::<ByteSize>(), Err(ValueError::Zero));
        assert!("2000GiB".parse::<ByteSize>().is_err());
    }

    #[test]
    fn both_are_written_in_the_largest_fitting_unit() {
        for (millis, text) in [
            (250, "250ms"),
            (1_500, "1500ms"),
            (90_000, "90s"),
            (86_400_000, "1d"),
        ] {
            assert_eq!(Period::from_millis(millis).to_string(), text);
        }
        for (bytes, text) in [
            (1, "1B"),
            (1_000, "1000B"),
            (1_024, "1KiB"),
            (3 << 20, "3MiB"),
        ] {
            assert_eq!(ByteSize::new(bytes).to_string(), text);
        }
    }
}
