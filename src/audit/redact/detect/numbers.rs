//! Numbers that belong to a person: cards, telephones, accounts, those a state gives.
//!
//! Digits that stand together, with single marks between, are taken as one cluster of groups. Each
//! detector tries the windows of groups that begin at a group, and none has more than 19 digits, so
//! the time is linear in the text.

use regex::Regex;

use super::super::class::Class;
use super::{Span, is_wordy};

/// Digits of the longest number looked for.
const DIGITS_MAX: usize = 19;
/// Marks between two groups of one number: `") "` has two, `" - "` three.
const MARKS_MAX: usize = 3;

/// Ids that have letters: British national insurance, Spanish DNI and NIE, Italian fiscal code.
pub(super) const LETTERED_IDS: &str = r"(?i)\b(?:[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]|[XYZ]?-?\d{7,8}-?[A-Z]|[A-Z]{6}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z])\b";

/// Countries and the length of their account numbers.
const IBANS: [(&[u8; 2], usize); 48] = [
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BR", 29),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"ES", 24),
    (b"FI", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GR", 27),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"MT", 31),
    (b"NL", 18),
    (b"NO", 15),
    (b"PL", 28),
    (b"PT", 25),
    (b"RO", 24),
    (b"SE", 24),
    (b"SI", 19),
    (b"TR", 26),
];

/// Digits without anything between.
#[derive(Clone, Copy)]
struct Group {
    start: usize,
    end: usize,
}

/// Every number of a person in `text`.
pub(super) fn find(text: &str, spans: &mut Vec<Span>) {
    let bytes = text.as_bytes();
    let mut cluster: Vec<Group> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let start = at;
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        let goes_on = cluster.last().is_some_and(|last| {
            let marks = &bytes[last.end..start];
            marks.len() <= MARKS_MAX && marks.iter().all(|mark| b" -./()".contains(mark))
        });
        if !goes_on {
            in_cluster(bytes, &cluster, spans);
            cluster.clear();
        }
        cluster.push(Group { start, end: at });
    }
    in_cluster(bytes, &cluster, spans);
    ibans(text, spans);
}

fn in_cluster(bytes: &[u8], cluster: &[Group], spans: &mut Vec<Span>) {
    let mut first = 0;
    while let Some(begin) = cluster.get(first) {
        let found = window(bytes, &cluster[first..]);
        let Some((groups, class)) = found else {
            first += 1;
            continue;
        };
        let mut start = begin.start;
        // The marks that a telephone number begins with.
        while class == Class::Phone && start > 0 && b"+(".contains(&bytes[start - 1]) {
            start -= 1;
        }
        let end = cluster[first + groups - 1].end;
        spans.push(Span { start, end, class });
        first += groups;
    }
}

/// What the groups begin with, and how many of them it takes.
fn window(bytes: &[u8], groups: &[Group]) -> Option<(usize, Class)> {
    let mut digits = [0_u8; DIGITS_MAX];
    let mut count = 0;
    let mut lengths = [0; DIGITS_MAX];
    let mut phone = None;
    for (at, group) in groups.iter().enumerate() {
        let more = &bytes[group.start..group.end];
        let Some(room) = digits.get_mut(count..count + more.len()) else {
            break;
        };
        room.copy_from_slice(more);
        count += more.len();
        lengths[at] = more.len();
        let window = Window {
            bytes,
            groups: &groups[..=at],
            digits: &digits[..count],
            lengths: &lengths[..=at],
        };
        if window.is_card() {
            return Some((at + 1, Class::Card));
        }
        if window.is_national_id() {
            return Some((at + 1, Class::NationalId));
        }
        if window.is_phone() {
            phone = Some((at + 1, Class::Phone));
        }
    }
    phone
}

/// Some groups, seen as one number.
struct Window<'a> {
    bytes: &'a [u8],
    groups: &'a [Group],
    digits: &'a [u8],
    lengths: &'a [usize],
}

impl Window<'_> {
    /// Whether what stands between the groups is only ever one of `marks`.
    fn is_parted_by(&self, marks: &[u8]) -> bool {
        self.groups.windows(2).all(|pair| {
            let between = &self.bytes[pair[0].end..pair[1].start];
            between.len() == 1 && marks.contains(&between[0])
        })
    }

    fn mark(&self, at: usize) -> &[u8] {
        &self.bytes[self.groups[at].end..self.groups[at + 1].start]
    }

    fn before(&self) -> Option<u8> {
        let start = self.groups[0].start;
        start.checked_sub(1).map(|before| self.bytes[before])
    }

    fn is_card(&self) -> bool {
        is_issued_card(self.digits) && self.is_parted_by(b" -.") && passes_luhn(self.digits)
    }

    fn is_national_id(&self) -> bool {
        match self.lengths {
            // United States.
            [3, 2, 4] => {
                let area = &self.digits[..3];
                self.is_parted_by(b"- ")
                    && area != b"000"
                    && area != b"666"
                    && area[0] != b'9'
                    && &self.digits[3..5] != b"00"
                    && &self.digits[5..] != b"0000"
            }
            // Brazil: 111.444.777-35.
            [3, 3, 3, 2] => self.is_parted_by(b".-") && is_cpf(self.digits),
            // France, in one piece or as 1 85 05 78 006 084 36.
            [15] | [1, 2, 2, 2, 3, 3, 2] | [13, 2] => {
                self.is_parted_by(b" ") && is_nir(self.digits)
            }
            _ => false,
        }
    }

    fn is_phone(&self) -> bool {
        let count = self.digits.len();
        if self.before() == Some(b'+') {
            return (8..=15).contains(&count);
        }
        match self.lengths {
            // North America.
            [3, 3, 4] => matches!(self.digits[0], b'2'..=b'9') && self.has_no_slash(),
            [1, 3, 3, 4] => {
                self.digits[0] == b'1'
                    && matches!(self.digits[1], b'2'..=b'9')
                    && self.has_no_slash()
            }
            [] | [_] => self.digits.starts_with(b"00") && (10..=17).contains(&count),
            // Elsewhere, with the trunk's zero.
            [first, ..] => {
                let international = self.digits.starts_with(b"00") && (10..=17).contains(&count);
                let trunk = self.digits[0] == b'0'
                    && self.digits[1] != b'0'
                    && (2..=6).contains(first)
                    && (9..=12).contains(&count)
                    && self.mark(0) != b".";
                international || trunk
            }
        }
    }

    fn has_no_slash(&self) -> bool {
        (0..self.groups.len() - 1).all(|at| !self.mark(at).contains(&b'/'))
    }
}

/// Whether a maker of cards begins numbers of this length so.
fn is_issued_card(digits: &[u8]) -> bool {
    let count = digits.len();
    if !(13..=DIGITS_MAX).contains(&count) {
        return false;
    }
    let prefix = |length: usize| {
        let digits = digits[..length].iter();
        digits.fold(0_u32, |number, digit| number * 10 + u32::from(digit - b'0'))
    };
    match prefix(1) {
        4 => matches!(count, 13 | 16 | 19),
        5 => count == 16 || prefix(2) == 50 || prefix(2) >= 56,
        2 => count == 16 && (2_200..=2_720).contains(&prefix(4)),
        3 => match prefix(2) {
            34 | 37 => count == 15,
            30 | 36 | 38 | 39 => count == 14 || count == 16,
            35 => count >= 16,
            _ => false,
        },
        6 => count >= 16,
        _ => false,
    }
}

fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits.iter().rev().enumerate().fold(0, |sum, (at, digit)| {
        let digit = u32::from(digit - b'0');
        let doubled = digit * 2;
        sum + match at % 2 {
            0 => digit,
            _ if doubled > 9 => doubled - 9,
            _ => doubled,
        }
    });
    sum.is_multiple_of(10)
}

fn is_cpf(digits: &[u8]) -> bool {
    let check = |length: usize| {
        let weights = (2..=length + 1).rev();
        let sum: usize = digits
            .iter()
            .zip(weights)
            .map(|(digit, weight)| usize::from(digit - b'0') * weight)
            .sum();
        sum * 10 % 11 % 10 == usize::from(digits[length] - b'0')
    };
    digits.iter().any(|digit| *digit != digits[0]) && check(9) && check(10)
}

fn is_nir(digits: &[u8]) -> bool {
    let number = |part: &[u8]| {
        let digits = part.iter();
        digits.fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'))
    };
    let month = number(&digits[3..5]);
    matches!(digits[0], b'1' | b'2')
        && (1..=42).contains(&month)
        && 97 - number(&digits[..13]) % 97 == number(&digits[13..])
}

fn ibans(text: &str, spans: &mut Vec<Span>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at + 4 <= bytes.len() {
        let is_start = bytes[at].is_ascii_alphabetic()
            && bytes[at + 1].is_ascii_alphabetic()
            && bytes[at + 2].is_ascii_digit()
            && bytes[at + 3].is_ascii_digit()
            && !is_wordy(text.get(..at).and_then(|before| before.chars().next_back()));
        match is_start.then(|| iban_end(bytes, at)).flatten() {
            Some(end) => {
                spans.push(Span {
                    start: at,
                    end,
                    class: Class::Iban,
                });
                at = end;
            }
            None => at += 1,
        }
    }
}

/// Where the account number that begins at `start` ends, if there is one.
fn iban_end(bytes: &[u8], start: usize) -> Option<usize> {
    let country = [
        bytes[start].to_ascii_uppercase(),
        bytes[start + 1].to_ascii_uppercase(),
    ];
    let (_, length) = IBANS.iter().find(|(known, _)| **known == country)?;
    let mut letters = Vec::with_capacity(*length);
    let mut at = start;
    while letters.len() < *length {
        let byte = *bytes.get(at)?;
        let is_mark = b" -".contains(&byte) && bytes.get(at + 1)?.is_ascii_alphanumeric();
        if byte.is_ascii_alphanumeric() {
            letters.push(byte);
        } else if !is_mark {
            return None;
        }
        at += 1;
    }
    let goes_on = bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
    // The country and the check digits count last.
    letters.rotate_left(4);
    let rest = letters.iter().fold(0_u32, |rest, letter| {
        let value = char::from(*letter).to_digit(36).unwrap_or(0);
        let shift = if value < 10 { 10 } else { 100 };
        (rest * shift + value) % 97
    });
    (rest == 1 && !goes_on).then_some(at)
}

/// Ids that have letters, as [`LETTERED_IDS`] finds them.
pub(super) fn lettered(ids: &Regex, text: &str, spans: &mut Vec<Span>) {
    for found in ids.find_iter(text) {
        let letters: Vec<u8> = found
            .as_str()
            .bytes()
            .filter(u8::is_ascii_alphanumeric)
            .collect();
        // The Spanish ones have a check letter; the others are told by their form.
        let is_spanish = letters.iter().skip(1).take(7).all(u8::is_ascii_digit);
        if !is_spanish || passes_dni(&letters) {
            spans.push(Span {
                start: found.start(),
                end: found.end(),
                class: Class::NationalId,
            });
        }
    }
}

fn passes_dni(letters: &[u8]) -> bool {
    const CHECKS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let Some((check, number)) = letters.split_last() else {
        return false;
    };
    let digits = number
        .iter()
        .map(|letter| match letter.to_ascii_uppercase() {
            b'X' => 0,
            b'Y' => 1,
            b'Z' => 2,
            digit => usize::from(digit.wrapping_sub(b'0')),
        });
    let number = digits.fold(0, |number, digit| number * 10 + digit);
    number.checked_rem(23).map(|rest| CHECKS[rest]) == Some(check.to_ascii_uppercase())
        && letters.len() == 9
}
