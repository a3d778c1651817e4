//! What is found only after decoding: base64 once, and percent-encoding in URIs.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::secrets::runs;
use super::{Detectors, RUN_MIN, Span};

/// Whether a text is also looked at decoded.
#[derive(Clone, Copy, Debug)]
pub(super) enum Encoded {
    /// It is.
    Looked,
    /// It was decoded itself: once is enough.
    Seen,
}

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);

/// Runs of base64 in whose text something is found.
pub(super) fn base64(detectors: &Detectors, text: &str, spans: &mut Vec<Span>) {
    for (start, run) in runs(text) {
        if run.len() < RUN_MIN {
            continue;
        }
        if found_in(detectors, run, start, spans) {
            continue;
        }
        // As one step of a path.
        let mut from = 0;
        for piece in run.split('/') {
            if piece.len() >= RUN_MIN && piece.len() < run.len() {
                found_in(detectors, piece, start + from, spans);
            }
            from += piece.len() + 1;
        }
    }
}

fn found_in(detectors: &Detectors, run: &str, start: usize, spans: &mut Vec<Span>) -> bool {
    let class = decoded(run).and_then(|text| detectors.first_in_decoded(&text));
    spans.extend(class.map(|class| Span {
        start,
        end: start + run.len(),
        class,
    }));
    class.is_some()
}

/// The text that `run` encodes, if it is one that people could read.
fn decoded(run: &str) -> Option<String> {
    let is_url_safe = run.bytes().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if is_url_safe { &URL_SAFE } else { &STANDARD };
    let text = String::from_utf8(engine.decode(run).ok()?).ok()?;
    let is_text = !text
        .chars()
        .any(|letter| letter.is_control() && !letter.is_whitespace());
    is_text.then_some(text)
}

/// Parts of URIs in whose decoded text something is found.
pub(super) fn percent(detectors: &Detectors, text: &str, spans: &mut Vec<Span>) {
    let mut from = 0;
    for piece in text.split(|letter: char| letter.is_whitespace() || "\"'<>/?&=#;".contains(letter))
    {
        let start = from;
        // Every letter that parts is one byte, or white space, whose length is looked up.
        from += piece.len();
        from += text[from..].chars().next().map_or(0, char::len_utf8);
        if !piece.contains(['%', '+']) {
            continue;
        }
        let decoded = unescaped(piece);
        // A plus is a space in some URIs only: what was found without that stays as it was found.
        let is_found = !piece.contains('%')
            && spans
                .iter()
                .any(|span| span.start < start + piece.len() && start < span.end);
        if decoded == piece || is_found {
            continue;
        }
        if let Some(class) = detectors.first_in_decoded(&decoded) {
            spans.push(Span {
                start,
                end: start + piece.len(),
                class,
            });
        }
    }
}

fn unescaped(piece: &str) -> String {
    let mut bytes = Vec::with_capacity(piece.len());
    let mut rest = piece.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|it| char::from(*it).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.extend(u8::try_from(high * 16 + low));
                rest = &after[2..];
            }
            (b'+', _, _) => {
                bytes.push(b' ');
                rest = after;
            }
            (byte, _, _) => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
