//! Secrets: by the name they stand under, by their form, or because they look drawn at random.

use regex::{Regex, RegexBuilder};

use super::super::class::Class;
use super::Span;

/// Memory the configured patterns may take, compiled.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Shorter runs are not told from words, and neither are those without digits and capitals.
pub(super) const RANDOM_MIN: usize = 24;
/// From this length on, hexadecimal digits alone are a key.
const HEX_MIN: usize = 32;
/// A base of different letters: random runs of that length have more.
const DISTINCT_MIN: u32 = 10;

/// Keys whose makers gave them a beginning to be known by.
const KNOWN_KEYS: &str = concat!(
    r"\b(?:",
    // Ours, then: GitHub, GitLab, Slack, npm, PyPI, Hugging Face, DigitalOcean, Shopify, SendGrid, Google.
    r"mcpk_[A-Za-z0-9_-]{8,}",
    r"|gh[opusr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|glpat-[A-Za-z0-9_-]{16,}",
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|npm_[A-Za-z0-9]{16,}|pypi-[A-Za-z0-9_-]{16,}",
    r"|hf_[A-Za-z0-9]{16,}|do[opr]_v1_[a-f0-9]{16,}|shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{16,}",
    r"|SG\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}|AIza[A-Za-z0-9_-]{20,}|ya29\.[A-Za-z0-9_-]{16,}",
    // Stripe, OpenAI, Anthropic and those who write alike; Amazon.
    r"|[spr]k[-_](?:live[-_]|test[-_]|ant[-_]|proj[-_])?[A-Za-z0-9_-]{16,}",
    r"|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}",
    r")",
);
/// Signed and encrypted tokens alike: a header that begins with `{"`, and one to four more parts.
const JWT: &str = r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){0,3}";
const USER_INFO: &str = r"://([^/\s@?#]{1,256}:[^/\s@]{1,256})@";

/// See the module docs.
#[derive(Clone, Debug)]
pub(super) struct Secrets {
    names: Option<Regex>,
    assigned: Option<Regex>,
    known: Regex,
    jwt: Regex,
    user_info: Regex,
}

impl Secrets {
    pub(super) fn new(keys: &[String]) -> Result<Self, String> {
        let ours = |pattern| Regex::new(pattern).expect("invariant: our own pattern is right");
        let mut secrets = Self {
            names: None,
            assigned: None,
            known: ours(KNOWN_KEYS),
            jwt: ours(JWT),
            user_info: ours(USER_INFO),
        };
        if keys.is_empty() {
            return Ok(secrets);
        }
        for key in keys {
            compile(key)?;
        }
        let any = keys
            .iter()
            .map(|key| format!("(?:{key})"))
            .collect::<Vec<_>>();
        let any = any.join("|");
        secrets.names = Some(compile(&any)?);
        // A name, what may stand around it, and a value in quotes or up to where values end.
        secrets.assigned = Some(compile(&format!(
            r#"(?:{any})[A-Za-z0-9_-]{{0,32}}[\\"'\]]{{0,3}}\s{{0,3}}[:=]\s{{0,3}}(?:(?i:bearer|basic)\s{{1,3}})?(?:\\?"(?P<double>[^"]*)|\\?'(?P<single>[^']*)|(?P<bare>[^\s"'&,;<>)}}\]\\]+))"#
        ))?);
        Ok(secrets)
    }

    pub(super) fn is_secret_name(&self, name: &str) -> bool {
        self.names
            .as_ref()
            .is_some_and(|names| names.is_match(name))
    }

    /// Values that the text itself assigns to a secret name: `password=…`, `Authorization: …`.
    pub(super) fn assignments(&self, text: &str, spans: &mut Vec<Span>) {
        let Some(assigned) = &self.assigned else {
            return;
        };
        for found in assigned.captures_iter(text) {
            let values = ["double", "single", "bare"];
            let Some(value) = values.iter().find_map(|name| found.name(name)) else {
                continue;
            };
            if !value.is_empty() {
                spans.push(Span {
                    start: value.start(),
                    end: value.end(),
                    class: Class::Credentials,
                });
            }
        }
    }

    /// Names and passwords within URLs.
    pub(super) fn user_info(&self, text: &str, spans: &mut Vec<Span>) {
        for found in self.user_info.captures_iter(text) {
            if let Some(who) = found.get(1) {
                spans.push(Span {
                    start: who.start(),
                    end: who.end(),
                    class: Class::Credentials,
                });
            }
        }
    }

    /// Keys and tokens that are known by their form.
    pub(super) fn keys(&self, text: &str, spans: &mut Vec<Span>) {
        for (pattern, class) in [(&self.jwt, Class::Jwt), (&self.known, Class::ApiKey)] {
            spans.extend(pattern.find_iter(text).map(|found| Span {
                start: found.start(),
                end: found.end(),
                class,
            }));
        }
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|error| error.to_string().replace('\n', " "))
}

/// PEM blocks, each to its end, or to the end of the text if that is missing.
pub(super) fn pem(text: &str, spans: &mut Vec<Span>) {
    const BEGIN: &str = "-----BEGIN ";
    const END: &str = "-----END ";
    const CLOSE: &str = "-----";
    let mut from = 0;
    while let Some(found) = text[from..].find(BEGIN) {
        let start = from + found;
        let body = start + BEGIN.len();
        let end = match text[body..].find(END) {
            None => text.len(),
            Some(found) => {
                let tail = body + found + END.len();
                let close = text[tail..].find(CLOSE);
                close.map_or(text.len(), |close| tail + close + CLOSE.len())
            }
        };
        spans.push(Span {
            start,
            end,
            class: Class::Pem,
        });
        from = end;
    }
}

/// Runs that look drawn at random.
pub(super) fn random(text: &str, spans: &mut Vec<Span>) {
    for (start, run) in runs(text) {
        if is_random(run) {
            spans.push(Span {
                start,
                end: start + run.len(),
                class: Class::HighEntropy,
            });
        }
    }
}

const DIGIT: u8 = 1;
const LOWER: u8 = 2;
const UPPER: u8 = 4;
const HEX: u8 = 8;
const JOINT: u8 = 16;
const PLUS: u8 = 32;
const LETTER: u8 = LOWER | UPPER;

/// What each byte is to those who write keys; none of it, for what ends a run.
const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0_u8;
    loop {
        kinds[byte as usize] = match byte {
            b'0'..=b'9' => DIGIT | HEX,
            b'a'..=b'f' => LOWER | HEX,
            b'g'..=b'z' => LOWER,
            b'A'..=b'F' => UPPER | HEX,
            b'G'..=b'Z' => UPPER,
            b'-' | b'_' | b'/' => JOINT,
            b'+' => PLUS,
            _ => 0,
        };
        if byte == u8::MAX {
            break kinds;
        }
        byte += 1;
    }
};

const fn kind(byte: u8) -> u8 {
    KINDS[byte as usize]
}

/// Runs of the letters that keys are written with, with their places. `=` only ends one.
pub(super) fn runs(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && kind(bytes[at]) == 0 {
            at += 1;
        }
        let start = at;
        while at < bytes.len() && kind(bytes[at]) != 0 {
            at += 1;
        }
        let padding = bytes[at..]
            .iter()
            .take(2)
            .take_while(|byte| **byte == b'=')
            .count();
        // `name=value`: the mark is no padding there.
        let ends = bytes.get(at + padding).is_none_or(|byte| kind(*byte) == 0);
        let end = if ends { at + padding } else { at };
        at = end.max(at);
        (start < end).then(|| (start, &text[start..end]))
    })
}

/// Whether a run is no word, no path and no number: what a generator of keys would write.
fn is_random(run: &str) -> bool {
    if run.len() < RANDOM_MIN || is_uuid(run) {
        return false;
    }
    let mut seen = 0_u128;
    let (mut any, mut all) = (0, u8::MAX);
    let (mut numbers, mut flips, mut letters) = (0_usize, 0_usize, 0_usize);
    // Words and dates joined by marks have one number each, between marks; keys have them anywhere.
    let (mut piece, mut is_broken) = (0, false);
    let mut before = 0;
    for byte in run.bytes() {
        let kind = kind(byte);
        seen |= 1 << (byte & 127);
        any |= kind;
        all &= kind;
        numbers += usize::from(kind & DIGIT > before & DIGIT);
        flips += usize::from(kind & LETTER != 0 && (kind | before) & LETTER == LETTER);
        letters += usize::from(kind & LETTER != 0);
        piece = if kind == JOINT { 0 } else { piece | kind };
        is_broken |= piece & DIGIT != 0 && piece & LETTER != 0;
        before = kind;
    }
    if all & HEX != 0 {
        return run.len() >= HEX_MIN && any & LETTER != 0 && any & DIGIT != 0;
    }
    seen.count_ones() >= DISTINCT_MIN
        && if any & LETTER == LETTER {
            (numbers >= 2 && is_broken && flips >= 3) || flips * 5 >= letters * 2
        } else {
            numbers * 6 >= run.len() && is_broken
        }
}

/// An id, and no secret: 8-4-4-4-12 hexadecimal digits.
fn is_uuid(run: &str) -> bool {
    let mut parts = run.split('-');
    let fits = [8, 4, 4, 4, 12].into_iter().all(|length| {
        parts.next().is_some_and(|part| {
            part.len() == length && part.bytes().all(|it| it.is_ascii_hexdigit())
        })
    });
    fits && parts.next().is_none()
}
