//! What the header of an argument has to say.

use super::super::jsonrpc::SAFE_INTEGER_MAX;
use super::ParamType;

/// What an argument asks of its header.
pub(super) enum Expected {
    /// This text.
    Text(String),
    /// This number, in decimal.
    Integer(i64),
    /// Nothing that could be compared exactly.
    Inexact,
    /// Nothing: the argument is not of its declared type, which the schema refuses.
    OtherType,
}

impl Expected {
    pub(super) fn of(kind: ParamType, argument: &str) -> Self {
        match kind {
            ParamType::String => serde_json::from_str(argument).map_or(Self::OtherType, Self::Text),
            ParamType::Integer if is_number(argument) => Self::of_number(argument),
            ParamType::Boolean if matches!(argument, "true" | "false") => {
                Self::Text(argument.to_owned())
            }
            ParamType::Integer | ParamType::Boolean => Self::OtherType,
        }
    }

    /// What a JSON number asks for. `42.0` and `4.2e1` are integers to JSON Schema, and read here
    /// digit by digit, since a float would round the large ones.
    fn of_number(number: &str) -> Self {
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole.trim_start_matches('-'), fraction].concat();
        let significant = digits.trim_end_matches('0');
        let zeros = digits.len() - significant.len();
        let significant = significant.trim_start_matches('0');
        if significant.is_empty() {
            return Self::Integer(0);
        }
        let exponent = exponent.parse().unwrap_or(if exponent.starts_with('-') {
            i64::MIN
        } else {
            i64::MAX
        });
        // The number is `significant` times ten to this power.
        let power = exponent
            .saturating_add_unsigned(zeros as u64)
            .saturating_sub_unsigned(fraction.len() as u64);
        if power < 0 {
            return Self::OtherType;
        }
        // Beyond sixteen digits it is out of range; within, the padded digits fit an `i64`.
        let length = power.saturating_add_unsigned(significant.len() as u64);
        let absolute = usize::try_from(length)
            .ok()
            .filter(|length| *length <= 16)
            .and_then(|length| format!("{significant:0<length$}").parse::<i64>().ok())
            .filter(|absolute| *absolute <= SAFE_INTEGER_MAX);
        match absolute {
            Some(absolute) if whole.starts_with('-') => Self::Integer(-absolute),
            Some(absolute) => Self::Integer(absolute),
            None => Self::Inexact,
        }
    }

    pub(super) fn is_repeated_by(&self, value: &str) -> bool {
        match self {
            Self::Text(text) => text == value,
            Self::Integer(integer) => plain_decimal(value) == Some(*integer),
            Self::Inexact | Self::OtherType => false,
        }
    }
}

fn is_number(json: &str) -> bool {
    json.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// The integer that `42`, `-42` or `42.0` stands for: no exponent, plus sign or leading zero.
fn plain_decimal(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'))
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte == b'0');
    // An empty `digits` fails to parse.
    is_plain.then(|| whole.parse().ok())?
}
