//! How a server may read a URI: perhaps otherwise than it is written.
//!
//! Rules compare letters, and so did whoever wrote them; a server that takes URIs apart may come to
//! another resource than the letters say. So what is not written in the plainest way is judged as it may
//! be read as well, and what climbs is not judged at all.
//!
//! Spec: RFC 3986 sections 2.3, 5.2.4 and 6.2.2.

use std::borrow::Cow;

/// What a URI may be taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading<'a> {
    /// What is written there, or the same in plainer letters.
    Plain(Cow<'a, str>),
    /// Anything: a step of it is `.` or `..`.
    Climbing,
}

/// Reads a URI: `%` before two digits stands for a letter where nothing needs it to, `\` for `/`, and
/// empty steps are left out.
pub(super) fn read(uri: &str) -> Reading<'_> {
    let (scheme, rest) = uri.split_at(uri.find(':').map_or(0, |at| at + 1));
    let decoded = decoded(rest);
    // `//` begins an authority, which may be empty.
    let (start, rest) = match decoded.strip_prefix("//") {
        Some(rest) => ("//", rest),
        None => ("", &*decoded),
    };
    let (path, query) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    if path.split('/').any(|step| matches!(step, "." | "..")) {
        return Reading::Climbing;
    }
    if matches!(decoded, Cow::Borrowed(_)) && !path.contains("//") {
        return Reading::Plain(Cow::Borrowed(uri));
    }
    let mut plain = String::with_capacity(uri.len());
    plain.push_str(scheme);
    plain.push_str(start);
    let mut before = ' ';
    for letter in path.chars() {
        if (before, letter) != ('/', '/') {
            plain.push(letter);
        }
        before = letter;
    }
    plain.push_str(query);
    Reading::Plain(Cow::Owned(plain))
}

/// Without the escapes and backslashes that servers may take for something else.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '\\']) {
        return Cow::Borrowed(text);
    }
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['%', '\\']) {
        let (before, after) = rest.split_at(at);
        decoded.push_str(before);
        let escaped = after.get(1..3).filter(|_| after.starts_with('%'));
        let escaped = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (letter, length) = match escaped.map(char::from) {
            Some('/' | '\\') => ('/', 3),
            Some(letter) if letter.is_ascii_alphanumeric() || "-._~".contains(letter) => {
                (letter, 3)
            }
            Some(_) | None if after.starts_with('\\') => ('/', 1),
            Some(_) | None => ('%', 1),
        };
        decoded.push(letter);
        rest = &after[length..];
    }
    decoded.push_str(rest);
    if decoded == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(decoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_plainly_is_read_as_it_is() {
        for uri in [
            "",
            "crm://accounts/7",
            "crm://accounts/7/",
            "file:///srv/a%20b/%C3%A4?q=a//../b#c",
            "urn:isbn:0451450523",
            "crm://accounts/...",
            "crm://accounts/.hidden/a..b",
            "no uri",
            "100%",
            "%zz%1",
        ] {
            assert_eq!(read(uri), Reading::Plain(Cow::Borrowed(uri)), "{uri}");
        }
    }

    #[test]
    fn what_could_be_plainer_is_read_so() {
        for (uri, plain) in [
            ("crm://%73ecret/1", "crm://secret/1"),
            ("crm://secret%2f1", "crm://secret/1"),
            ("crm://secret%5C1", "crm://secret/1"),
            (r"crm://secret\1", "crm://secret/1"),
            ("crm://secret//1", "crm://secret/1"),
            ("crm://secret/1//", "crm://secret/1/"),
            ("crm:////secret/1", "crm:///secret/1"),
            ("file:///srv//private/k", "file:///srv/private/k"),
            ("crm://%2573ecret", "crm://%2573ecret"),
        ] {
            assert_eq!(read(uri), Reading::Plain(plain.into()), "{uri}");
        }
    }

    #[test]
    fn what_climbs_may_be_anything() {
        for uri in [
            "crm://accounts/../secret/1",
            "crm://accounts/%2e%2E/secret/1",
            "crm://accounts/..%2fsecret/1",
            r"crm://accounts/x\..\..\secret/1",
            "file:///srv/./private",
            "crm:..",
            "../etc/passwd",
            "crm://accounts/..?x",
        ] {
            assert_eq!(read(uri), Reading::Climbing, "{uri}");
        }
    }
}
