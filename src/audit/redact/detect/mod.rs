//! What in a text must not be stored: every detector, and the one look that spares most texts them.
//!
//! [`Detectors::find`] gives the places in their order, none within another. It looks at each byte a
//! bounded number of times: no detector goes back further than its own longest match.

mod encoded;
mod network;
mod numbers;
mod secrets;

use regex::Regex;

use super::class::Class;
use encoded::Encoded;
use secrets::Secrets;

/// A place in a text, and what stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) class: Class,
}

/// See the module docs.
#[derive(Clone, Debug)]
pub(super) struct Detectors {
    secrets: Secrets,
    ids: Regex,
}

/// What a look at each byte says about a text.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    digits: usize,
    longest_run: usize,
    at: bool,
    /// Something that URIs write in place of something else.
    escape: bool,
    colon: bool,
    equals: bool,
    dashes: bool,
    capitals: bool,
}

/// Fewer digits are no number of those looked for; an IPv4 address has four.
const DIGITS_MIN: usize = 4;
/// Shorter runs of letters and digits are neither keys nor worth decoding.
const RUN_MIN: usize = 16;
/// `-----BEGIN`
const PEM_RUN: usize = 10;

const DIGIT: u8 = 1;
const RUN: u8 = 2;
const AT: u8 = 4;
const ESCAPE: u8 = 8;
const COLON: u8 = 16;
const EQUALS: u8 = 32;
const DASH: u8 = 64;
const CAPITAL: u8 = 128;

const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0_u8;
    loop {
        kinds[byte as usize] = match byte {
            b'0'..=b'9' => DIGIT | RUN,
            b'A'..=b'Z' => CAPITAL | RUN,
            b'a'..=b'z' | b'/' | b'_' | b'.' => RUN,
            b'+' => ESCAPE | RUN,
            b'=' => EQUALS | RUN,
            b'-' => DASH | RUN,
            b'@' => AT,
            b'%' => ESCAPE,
            b':' => COLON,
            _ => 0,
        };
        if byte == u8::MAX {
            break kinds;
        }
        byte += 1;
    }
};

fn look(text: &str) -> Look {
    let (mut all, mut run) = (0, 0);
    let mut look = Look::default();
    for byte in text.bytes() {
        let kind = KINDS[usize::from(byte)];
        all |= kind;
        look.digits += usize::from(kind & DIGIT);
        run = if kind & RUN == 0 { 0 } else { run + 1 };
        look.longest_run = look.longest_run.max(run);
    }
    look.at = all & AT != 0;
    look.escape = all & ESCAPE != 0;
    look.colon = all & COLON != 0;
    look.equals = all & EQUALS != 0;
    look.dashes = all & DASH != 0;
    look.capitals = all & CAPITAL != 0;
    look
}

impl Look {
    fn is_harmless(self) -> bool {
        self.digits < DIGITS_MIN
            && self.longest_run < RUN_MIN
            && !(self.at || self.escape || self.colon || self.equals)
            && !(self.dashes && self.longest_run >= PEM_RUN)
    }
}

impl Detectors {
    /// Detectors that know these names of secrets, as patterns.
    ///
    /// # Errors
    /// A sentence about patterns that cannot be read.
    pub(super) fn new(keys: &[String]) -> Result<Self, String> {
        Ok(Self {
            secrets: Secrets::new(keys)?,
            ids: Regex::new(numbers::LETTERED_IDS).expect("invariant: our own pattern is right"),
        })
    }

    /// Whether a member of this name holds a secret.
    pub(super) fn is_secret_name(&self, name: &str) -> bool {
        self.secrets.is_secret_name(name)
    }

    /// Every place, in order.
    pub(super) fn find(&self, text: &str) -> Vec<Span> {
        self.find_in(text, Encoded::Looked)
    }

    fn find_in(&self, text: &str, encoded: Encoded) -> Vec<Span> {
        let look = look(text);
        if look.is_harmless() {
            return Vec::new();
        }
        let mut spans = Vec::new();
        if look.colon || look.equals {
            self.secrets.assignments(text, &mut spans);
        }
        if look.dashes && look.longest_run >= PEM_RUN {
            secrets::pem(text, &mut spans);
        }
        if look.colon && look.at {
            self.secrets.user_info(text, &mut spans);
        }
        if look.longest_run >= RUN_MIN {
            self.secrets.keys(text, &mut spans);
        }
        if look.longest_run >= secrets::RANDOM_MIN && (look.capitals || look.digits > 0) {
            secrets::random(text, &mut spans);
        }
        if look.at {
            network::emails(text, &mut spans);
        }
        if look.colon || look.digits >= DIGITS_MIN {
            network::addresses(text, &mut spans);
        }
        if look.digits >= DIGITS_MIN {
            numbers::find(text, &mut spans);
            numbers::lettered(&self.ids, text, &mut spans);
        }
        match encoded {
            Encoded::Looked => {
                // Whatever is found in a text has some capitals in its base64.
                if look.longest_run >= RUN_MIN && look.capitals {
                    encoded::base64(self, text, &mut spans);
                }
                if look.escape {
                    encoded::percent(self, text, &mut spans);
                }
            }
            Encoded::Seen => {}
        }
        merged(spans)
    }

    /// What is found in a text that was itself decoded from another.
    fn first_in_decoded(&self, text: &str) -> Option<Class> {
        let found = self.find_in(text, Encoded::Seen);
        found.first().map(|span| span.class)
    }
}

/// Spans in order; those that overlap become one, named after the class that stands first.
fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable_by_key(|span| (span.start, span.class));
    let mut apart: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match apart.last_mut() {
            Some(last) if span.start < last.end => {
                last.end = last.end.max(span.end);
                last.class = last.class.min(span.class);
            }
            Some(_) | None => apart.push(span),
        }
    }
    apart
}

/// Whether a word could go on at this place of the text, forwards or backwards.
fn is_wordy(letter: Option<char>) -> bool {
    letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
}
