//! Addresses: of electronic mail and of the internet.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::class::Class;
use super::{Span, is_wordy};

/// Bytes of the part before the `@` that are looked at: more than any address has (RFC 5321).
const LOCAL_MAX: usize = 128;
/// Bytes of a host's name.
const HOST_MAX: usize = 255;
/// Bytes of the longest spelling of an IPv6 address, with an IPv4 address in it.
const ADDRESS_MAX: usize = 45;

/// Every address of electronic mail.
pub(super) fn emails(text: &str, spans: &mut Vec<Span>) {
    let mut after = 0;
    for (at, _) in text.match_indices('@') {
        if at < after {
            continue;
        }
        let local = text[after..at]
            .char_indices()
            .rev()
            .take_while(|(from, letter)| at - after - from <= LOCAL_MAX && is_local(*letter))
            .last();
        let Some((from, _)) = local else { continue };
        let host = &text[at + 1..];
        let length = host
            .char_indices()
            .take_while(|(to, letter)| {
                *to < HOST_MAX && (letter.is_alphanumeric() || matches!(letter, '.' | '-'))
            })
            .last()
            .map_or(0, |(to, letter)| to + letter.len_utf8());
        let host = host[..length].trim_end_matches(['.', '-']);
        let is_host = host.rsplit_once('.').is_some_and(|(before, top)| {
            !before.is_empty()
                && top.chars().count() >= 2
                && !top.bytes().any(|it| it.is_ascii_digit())
        });
        if is_host {
            let end = at + 1 + host.len();
            spans.push(Span {
                start: after + from,
                end,
                class: Class::Email,
            });
            after = end;
        }
    }
}

fn is_local(letter: char) -> bool {
    letter.is_alphanumeric() || "._%+-'".contains(letter)
}

/// Every IP address that is not this machine's own.
pub(super) fn addresses(text: &str, spans: &mut Vec<Span>) {
    let bytes = text.as_bytes();
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let mut at = 0;
    while at < bytes.len() {
        if !is_part(&bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        while bytes.get(at).is_some_and(is_part) {
            at += 1;
        }
        let run = &text[start..at];
        let before = text[..start].chars().next_back();
        let after = text[at..].chars().next();
        if run.bytes().filter(|byte| *byte == b':').count() >= 2 {
            v6(run, start, is_wordy(before) || is_wordy(after), spans);
        }
        v4(text, start, at, spans);
    }
}

fn v6(run: &str, start: usize, is_within_word: bool, spans: &mut Vec<Span>) {
    // A sentence may end behind it, and a name may stand before it.
    let trimmed = run.trim_end_matches('.');
    let trimmed = match trimmed.strip_suffix(':') {
        Some(shorter) if !shorter.ends_with(':') => shorter,
        Some(_) | None => trimmed,
    };
    let (skipped, address) = match trimmed.strip_prefix(':') {
        Some(rest) if !rest.starts_with(':') => (1, rest),
        Some(_) | None => (0, trimmed),
    };
    let has_digit = address.bytes().any(|byte| byte.is_ascii_digit());
    if is_within_word || !has_digit || address.len() > ADDRESS_MAX {
        return;
    }
    let is_foreign = address
        .parse::<Ipv6Addr>()
        .is_ok_and(|address| !address.is_loopback() && !address.is_unspecified());
    if is_foreign {
        spans.push(Span {
            start: start + skipped,
            end: start + skipped + address.len(),
            class: Class::Ip,
        });
    }
}

/// IPv4 addresses between the colons and letters of a run.
fn v4(text: &str, start: usize, end: usize, spans: &mut Vec<Span>) {
    let mut from = start;
    let is_digit = |letter: char| letter.is_ascii_digit() || letter == '.';
    for piece in text[start..end].split(|letter: char| !is_digit(letter)) {
        let to = from + piece.len();
        let address = piece.trim_matches('.');
        let at = from + piece.len() - piece.trim_start_matches('.').len();
        let around = (
            text[..at].chars().next_back(),
            text[at + address.len()..].chars().next(),
        );
        let is_foreign = address
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| !address.is_loopback() && !address.is_unspecified());
        if is_foreign && !is_wordy(around.0) && !is_wordy(around.1) {
            spans.push(Span {
                start: at,
                end: at + address.len(),
                class: Class::Ip,
            });
        }
        from = to + 1;
    }
}
