//! A timestamp as people write it.

use super::clock::Timestamp;

const SECONDS_PER_DAY: u64 = 86_400;
/// Days from 0000-03-01 to 1970-01-01 in the Gregorian calendar.
const DAYS_TO_EPOCH: u64 = 719_468;
/// Days in 400 years, after which the calendar repeats.
const DAYS_PER_ERA: u64 = 146_097;

/// The time in UTC, to the second (RFC 3339).
///
/// The calendar is counted in years that begin in March, so that the leap day comes last; the
/// method is Howard Hinnant's `civil_from_days`.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    let seconds = at.0 / 1_000;
    let days = seconds / SECONDS_PER_DAY + DAYS_TO_EPOCH;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The time that `2026-07-28` (midnight) or `2026-07-28T10:11:12Z` stands for, in UTC; fractions of a
/// second down to the millisecond.
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let mut parts = date.splitn(3, '-').map(number);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let time = time.strip_suffix('Z')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = time.splitn(3, ':').map(number);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let in_range = (1_970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !in_range {
        return None;
    }
    number(fraction)?;
    let millis = number(&format!("{fraction:0<3}")[..3])?;
    // As above, the other way round: years that begin in March.
    let year = year - u64::from(month <= 2);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * DAYS_PER_ERA + day_of_era).checked_sub(DAYS_TO_EPOCH)?;
    let seconds = days * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second;
    let at = Timestamp(seconds * 1_000 + millis);
    // There is no 31st of February.
    rfc3339(at).starts_with(date).then_some(at)
}

fn number(digits: &str) -> Option<u64> {
    let is_number = digits.len() <= 9 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_as_it_is_written() {
        for seconds in [0, 951_782_399, 951_782_400, 1_785_196_800, 4_107_542_400] {
            let at = Timestamp(seconds * 1_000);
            assert_eq!(parse(&rfc3339(at)), Some(at));
        }
        let midnight = parse("2026-07-28T00:00:00Z");
        assert_eq!(parse("2026-07-28"), midnight);
        let later = midnight.map(|at| Timestamp(at.0 + 1_250));
        assert_eq!(parse("2026-07-28T00:00:01.25Z"), later);
        for wrong in [
            "",
            "2026",
            "2026-7-28",
            "2026-02-31",
            "2026-07-28T10:00Z",
            "2026-07-28T10:00:00",
            "2026-07-28T25:00:00Z",
            "1969-12-31",
            "2026-07-28T00:00:00.xZ",
            "20260-07-28",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_calendar_is_right() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_785_196_800, "2026-07-28T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(Timestamp(seconds * 1_000)), text);
        }
    }
}
