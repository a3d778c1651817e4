//! `Host` and `Origin` against allow-lists.
//!
//! A page in a browser can be made to reach a server on the same machine under a name of the
//! attacker's (DNS rebinding). Such a request carries the attacker's name in `Host` and the page's
//! origin in `Origin`, so both are compared: [`HostPolicy`] by host and port, [`OriginPolicy`] by
//! scheme, host and port. By default the loopback names pass with any port.
//!
//! Names are compared without regard to case and to one trailing dot; IPv6 literals by value.
//! What cannot be read is refused, never repaired: user information, paths, an empty host or port,
//! numbers that are not ports. `null` passes only where it is listed.
//!
//! It does not write CORS headers, and it authenticates nobody.
//!
//! Spec: Streamable HTTP, security warning (every revision); RFC 9110 §7.2; RFC 6454 §6.

use std::net::Ipv6Addr;

/// The names under which this machine reaches itself.
pub const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Why a request may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The header must be there and is not.
    #[error("is missing")]
    Missing,
    /// The header is there more than once.
    #[error("is repeated")]
    Repeated,
    /// The header cannot be read.
    #[error("is malformed")]
    Malformed,
    /// The list does not have it.
    #[error("is not on the allow-list")]
    NotListed,
}

/// Why an entry of an allow-list cannot be used; completes "`entry` …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Not a host.
    #[error("is not a host: write `name`, `name:port`, `*.name`, `[IPv6]` or `*`")]
    NotAHost,
    /// Not an origin.
    #[error(
        "is not an origin: write `scheme://host`, `scheme://host:port`, `scheme://host:*`, \
         `null` or `*`"
    )]
    NotAnOrigin,
}

/// Which hosts a request may name. By default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPolicy(Vec<HostEntry>);

/// Which origins a request may come from. By default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginPolicy {
    entries: Vec<OriginEntry>,
    null: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct HostEntry {
    host: HostPattern,
    /// `None`: any.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct OriginEntry {
    scheme: SchemePattern,
    host: HostPattern,
    port: PortPattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Any,
    /// This name, in lower case.
    Name(String),
    /// Every name that ends in a dot and this.
    Under(String),
    V6(Ipv6Addr),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SchemePattern {
    Any,
    /// `http` or `https`.
    Web,
    Is(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PortPattern {
    Any,
    Is(Option<u16>),
}

/// A host as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host<'a> {
    Name(&'a str),
    V6(Ipv6Addr),
}

impl HostPolicy {
    /// The policy of these entries: `name` (any port), `name:port`, `*.name` (every name below
    /// it), `[IPv6]`, `*` (everything: no protection).
    ///
    /// # Errors
    /// The first entry that cannot be read.
    pub fn new<S: AsRef<str>>(entries: &[S]) -> Result<Self, (String, EntryError)> {
        entries
            .iter()
            .map(|entry| {
                let entry = entry.as_ref();
                HostEntry::parse(entry).ok_or_else(|| (entry.to_owned(), EntryError::NotAHost))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether `authority` (a `Host` header, or the authority of an absolute URI) may pass.
    #[must_use]
    pub fn allows(&self, authority: &str) -> bool {
        self.check([authority.as_bytes()]).is_ok()
    }

    /// Whether this host may pass with one port or another.
    #[must_use]
    pub fn allows_some_port(&self, host: &str) -> bool {
        parse_host(host).is_some_and(|host| self.0.iter().any(|entry| entry.host.matches(host)))
    }

    /// Whether a request with these `Host` headers may pass.
    ///
    /// # Errors
    /// When it may not.
    pub fn check<'a>(&self, headers: impl IntoIterator<Item = &'a [u8]>) -> Result<(), Denial> {
        let authority = single(headers)?.ok_or(Denial::Missing)?;
        let (host, port) = parse_authority(authority).ok_or(Denial::Malformed)?;
        let listed = self.0.iter().any(|entry| {
            let port_matches = match (entry.port, port) {
                (None, _) => true,
                (Some(listed), Some(sent)) => listed == sent,
                // Clients leave a scheme's own port out, and we may stand behind TLS.
                (Some(listed), None) => listed == 80 || listed == 443,
            };
            port_matches && entry.host.matches(host)
        });
        if listed {
            Ok(())
        } else {
            Err(Denial::NotListed)
        }
    }
}

impl HostEntry {
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = parse_host_pattern(text)?;
        let port = match port {
            None | Some("*") => None,
            Some(port) => Some(parse_port(port)?),
        };
        Some(Self { host, port })
    }
}

impl OriginPolicy {
    /// The policy of these entries: `scheme://host` (the scheme's own port), `scheme://host:port`,
    /// `scheme://host:*`, `null`, `*` (everything: no protection).
    ///
    /// # Errors
    /// The first entry that cannot be read.
    pub fn new<S: AsRef<str>>(entries: &[S]) -> Result<Self, (String, EntryError)> {
        let mut policy = Self {
            entries: Vec::new(),
            null: false,
        };
        for entry in entries {
            let entry = entry.as_ref();
            if entry == "null" {
                policy.null = true;
            } else {
                let parsed = OriginEntry::parse(entry)
                    .ok_or_else(|| (entry.to_owned(), EntryError::NotAnOrigin))?;
                policy.entries.push(parsed);
            }
        }
        Ok(policy)
    }

    /// The policy under which pages served by these hosts may call us, over http and https.
    #[must_use]
    pub fn of_hosts(hosts: &HostPolicy) -> Self {
        let entries = hosts.0.iter().map(|entry| OriginEntry {
            scheme: SchemePattern::Web,
            host: entry.host.clone(),
            port: entry
                .port
                .map_or(PortPattern::Any, |port| PortPattern::Is(Some(port))),
        });
        Self {
            entries: entries.collect(),
            null: false,
        }
    }

    /// This policy and the other: what either allows.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        self.entries.extend(other.entries.iter().cloned());
        self.null |= other.null;
        self
    }

    /// Whether `origin` may pass.
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        self.check([origin.as_bytes()]).is_ok()
    }

    /// Whether a request with these `Origin` headers may pass. None at all may: only browsers
    /// send one.
    ///
    /// # Errors
    /// When it may not.
    pub fn check<'a>(&self, headers: impl IntoIterator<Item = &'a [u8]>) -> Result<(), Denial> {
        let Some(origin) = single(headers)? else {
            return Ok(());
        };
        let listed = if origin == "null" {
            self.null
        } else {
            let (scheme, authority) = split_scheme(origin).ok_or(Denial::Malformed)?;
            let (host, port) = parse_authority(authority).ok_or(Denial::Malformed)?;
            let port = port.or_else(|| default_port(scheme));
            self.entries
                .iter()
                .any(|entry| entry.matches(scheme, host, port))
        };
        if listed {
            Ok(())
        } else {
            Err(Denial::NotListed)
        }
    }
}

impl OriginEntry {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            let (scheme, host, port) = (SchemePattern::Any, HostPattern::Any, PortPattern::Any);
            return Some(Self { scheme, host, port });
        }
        let (scheme, authority) = split_scheme(text)?;
        let (host, port) = parse_host_pattern(authority)?;
        let port = match port {
            None => PortPattern::Is(default_port(scheme)),
            Some("*") => PortPattern::Any,
            Some(port) => PortPattern::Is(Some(parse_port(port)?)),
        };
        Some(Self {
            scheme: SchemePattern::Is(scheme.to_ascii_lowercase()),
            host,
            port,
        })
    }

    fn matches(&self, scheme: &str, host: Host<'_>, port: Option<u16>) -> bool {
        let scheme_matches = match &self.scheme {
            SchemePattern::Any => true,
            SchemePattern::Web => default_port(scheme).is_some(),
            SchemePattern::Is(listed) => listed.eq_ignore_ascii_case(scheme),
        };
        let port_matches = match self.port {
            PortPattern::Any => true,
            PortPattern::Is(listed) => listed == port,
        };
        scheme_matches && port_matches && self.host.matches(host)
    }
}

impl HostPattern {
    fn matches(&self, host: Host<'_>) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Name(listed), Host::Name(sent)) => listed.eq_ignore_ascii_case(sent),
            (Self::V6(listed), Host::V6(sent)) => *listed == sent,
            (Self::Under(listed), Host::Name(sent)) => sent
                .len()
                .checked_sub(listed.len() + 1)
                .filter(|prefix| *prefix > 0)
                .is_some_and(|prefix| {
                    let (above, below) = sent.split_at(prefix + 1);
                    above.ends_with('.') && listed.eq_ignore_ascii_case(below)
                }),
            (Self::Name(_) | Self::Under(_), Host::V6(_)) | (Self::V6(_), Host::Name(_)) => false,
        }
    }
}

/// The host of an http or https URL that is made of an authority and a path only.
#[must_use]
pub fn host_of_url(url: &str) -> Option<&str> {
    let (scheme, rest) = split_scheme(url)?;
    default_port(scheme)?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let clean = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte));
    parse_authority(authority)?;
    let (host, _port) = split_port(authority)?;
    clean.then_some(host)
}

/// The one value among `headers`, if it is text.
fn single<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<&'a str>, Denial> {
    let mut headers = headers.into_iter();
    let Some(value) = headers.next() else {
        return Ok(None);
    };
    if headers.next().is_some() {
        return Err(Denial::Repeated);
    }
    std::str::from_utf8(value)
        .map(Some)
        .map_err(|_| Denial::Malformed)
}

fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, authority) = text.split_once("://")?;
    let mut bytes = scheme.bytes();
    let starts = bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic());
    let goes_on = bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    (starts && goes_on).then_some((scheme, authority))
}

fn default_port(scheme: &str) -> Option<u16> {
    if scheme.eq_ignore_ascii_case("http") {
        Some(80)
    } else if scheme.eq_ignore_ascii_case("https") {
        Some(443)
    } else {
        None
    }
}

fn parse_authority(text: &str) -> Option<(Host<'_>, Option<u16>)> {
    let (host, port) = split_port(text)?;
    let port = match port {
        None => None,
        Some(port) => Some(parse_port(port)?),
    };
    Some((parse_host(host)?, port))
}

/// The host of an entry, and what stands where its port would.
fn parse_host_pattern(text: &str) -> Option<(HostPattern, Option<&str>)> {
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Some((HostPattern::V6(address), None));
    }
    let (host, port) = split_port(text)?;
    let pattern = if host == "*" {
        HostPattern::Any
    } else if let Some(above) = host.strip_prefix("*.") {
        match parse_host(above)? {
            Host::Name(name) => HostPattern::Under(name.to_ascii_lowercase()),
            Host::V6(_) => return None,
        }
    } else {
        match parse_host(host)? {
            Host::Name(name) => HostPattern::Name(name.to_ascii_lowercase()),
            Host::V6(address) => HostPattern::V6(address),
        }
    };
    Some((pattern, port))
}

fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if text.starts_with('[') {
        let end = text.find(']')? + 1;
        let (host, rest) = text.split_at(end);
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match text.split_once(':') {
        Some((host, port)) => Some((host, Some(port))),
        None => Some((text, None)),
    }
}

fn parse_port(text: &str) -> Option<u16> {
    // `parse` alone would take a leading plus.
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

fn parse_host(text: &str) -> Option<Host<'_>> {
    if let Some(literal) = text.strip_prefix('[') {
        return literal.strip_suffix(']')?.parse().ok().map(Host::V6);
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let mut label_is_empty = true;
    for byte in name.bytes() {
        label_is_empty = match byte {
            b'.' if label_is_empty => return None,
            b'.' => true,
            b'-' | b'_' => false,
            byte if byte.is_ascii_alphanumeric() => false,
            _ => return None,
        };
    }
    (!label_is_empty).then_some(Host::Name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> HostPolicy {
        HostPolicy::new(&LOOPBACK_NAMES).unwrap()
    }

    #[test]
    fn hosts_by_default_are_the_loopback_names_with_any_port() {
        let policy = loopback();
        for (authority, expected) in [
            ("localhost", Ok(())),
            ("localhost:8000", Ok(())),
            ("LocalHost:1", Ok(())),
            ("localhost.", Ok(())),
            ("localhost.:8000", Ok(())),
            ("127.0.0.1:65535", Ok(())),
            ("[::1]", Ok(())),
            ("[::1]:8000", Ok(())),
            ("[0:0:0:0:0:0:0:1]:8000", Ok(())),
            ("evil.example", Err(Denial::NotListed)),
            ("localhost.evil.example", Err(Denial::NotListed)),
            ("evil-localhost", Err(Denial::NotListed)),
            ("127.0.0.1.evil.example", Err(Denial::NotListed)),
            ("127.0.0.2", Err(Denial::NotListed)),
            ("127.1", Err(Denial::NotListed)),
            ("0x7f000001", Err(Denial::NotListed)),
            ("2130706433", Err(Denial::NotListed)),
            ("0.0.0.0:8000", Err(Denial::NotListed)),
            ("[::]", Err(Denial::NotListed)),
            ("[::ffff:127.0.0.1]", Err(Denial::NotListed)),
            ("", Err(Denial::Malformed)),
            (".", Err(Denial::Malformed)),
            ("localhost..", Err(Denial::Malformed)),
            ("localhost:", Err(Denial::Malformed)),
            ("localhost:+80", Err(Denial::Malformed)),
            ("localhost:65536", Err(Denial::Malformed)),
            ("localhost:80:80", Err(Denial::Malformed)),
            ("localhost:80@evil.example", Err(Denial::Malformed)),
            ("evil.example@localhost", Err(Denial::Malformed)),
            ("user:pass@localhost", Err(Denial::Malformed)),
            ("localhost/", Err(Denial::Malformed)),
            (" localhost", Err(Denial::Malformed)),
            ("localhost,evil.example", Err(Denial::Malformed)),
            ("http://localhost", Err(Denial::Malformed)),
            ("::1", Err(Denial::Malformed)),
            ("[::1", Err(Denial::Malformed)),
            ("[::1]x", Err(Denial::Malformed)),
            ("[::1%25lo]", Err(Denial::Malformed)),
            ("[localhost]", Err(Denial::Malformed)),
            ("löcalhost", Err(Denial::Malformed)),
            ("*", Err(Denial::Malformed)),
        ] {
            assert_eq!(
                policy.check([authority.as_bytes()]),
                expected,
                "{authority:?}"
            );
            assert_eq!(policy.allows(authority), expected.is_ok(), "{authority:?}");
        }
    }

    #[test]
    fn host_is_needed_exactly_once_and_as_text() {
        let policy = loopback();
        assert_eq!(policy.check([]), Err(Denial::Missing));
        let twice = [b"localhost".as_slice(), b"localhost".as_slice()];
        assert_eq!(policy.check(twice), Err(Denial::Repeated));
        assert_eq!(
            policy.check([b"local\xffhost".as_slice()]),
            Err(Denial::Malformed)
        );
    }

    #[test]
    fn host_entries_say_which_ports_and_names() {
        for (entry, authority, allowed) in [
            ("mcp.example.com", "mcp.example.com", true),
            ("mcp.example.com", "mcp.example.com:8443", true),
            ("MCP.example.com.", "mcp.example.com", true),
            ("mcp.example.com:8443", "mcp.example.com:8443", true),
            ("mcp.example.com:8443", "mcp.example.com", false),
            ("mcp.example.com:8443", "mcp.example.com:443", false),
            ("mcp.example.com:443", "mcp.example.com", true),
            ("mcp.example.com:*", "mcp.example.com:9", true),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "a.b.EXAMPLE.com:9", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "evilexample.com", false),
            ("fd00::1", "[fd00::1]:8000", true),
            ("[fd00::1]:8000", "[fd00:0::1]:8000", true),
            ("[fd00::1]:8000", "[fd00::1]:8001", false),
            ("[fd00::1]", "fd00", false),
            ("*", "anything.example", true),
            ("*", "user@anything.example", false),
        ] {
            let policy = HostPolicy::new(&[entry]).unwrap();
            assert_eq!(policy.allows(authority), allowed, "{entry} and {authority}");
        }
        for entry in [
            "",
            "https://a.example",
            "a.example/x",
            "a b",
            "*.",
            "a.*.b",
            "a:x",
            "[::1",
        ] {
            assert!(HostPolicy::new(&[entry]).is_err(), "{entry:?}");
        }
    }

    #[test]
    fn origins_by_default_are_the_same_hosts_over_http_and_https() {
        let policy = OriginPolicy::of_hosts(&loopback());
        for (origin, expected) in [
            ("http://localhost", Ok(())),
            ("https://localhost:3000", Ok(())),
            ("HTTP://LOCALHOST:3000", Ok(())),
            ("http://127.0.0.1:6274", Ok(())),
            ("http://[::1]:6274", Ok(())),
            ("null", Err(Denial::NotListed)),
            ("https://evil.example", Err(Denial::NotListed)),
            ("https://localhost.evil.example", Err(Denial::NotListed)),
            ("file://localhost", Err(Denial::NotListed)),
            ("ws://localhost", Err(Denial::NotListed)),
            ("vscode-webview://localhost", Err(Denial::NotListed)),
            ("", Err(Denial::Malformed)),
            ("NULL", Err(Denial::Malformed)),
            ("localhost", Err(Denial::Malformed)),
            ("localhost:3000", Err(Denial::Malformed)),
            ("://localhost", Err(Denial::Malformed)),
            ("http://", Err(Denial::Malformed)),
            ("file://", Err(Denial::Malformed)),
            ("http:/localhost", Err(Denial::Malformed)),
            ("http://localhost/", Err(Denial::Malformed)),
            ("http://localhost/path", Err(Denial::Malformed)),
            ("http://user@localhost", Err(Denial::Malformed)),
            (
                "http://localhost http://evil.example",
                Err(Denial::Malformed),
            ),
            (
                "http://localhost, http://evil.example",
                Err(Denial::Malformed),
            ),
            ("http://localhost:port", Err(Denial::Malformed)),
        ] {
            assert_eq!(policy.check([origin.as_bytes()]), expected, "{origin:?}");
            assert_eq!(policy.allows(origin), expected.is_ok(), "{origin:?}");
        }
    }

    #[test]
    fn an_origin_may_be_missing_but_not_repeated() {
        let policy = OriginPolicy::of_hosts(&loopback());
        assert_eq!(policy.check([]), Ok(()));
        let twice = [
            b"http://localhost".as_slice(),
            b"http://localhost".as_slice(),
        ];
        assert_eq!(policy.check(twice), Err(Denial::Repeated));
    }

    #[test]
    fn origin_entries_compare_scheme_host_and_port() {
        for (entry, origin, allowed) in [
            ("https://app.example", "https://app.example", true),
            ("https://app.example", "https://app.example:443", true),
            ("https://app.example:443", "https://app.example", true),
            ("https://app.example", "http://app.example", false),
            ("https://app.example", "https://app.example:8443", false),
            ("https://app.example:8443", "https://app.example:8443", true),
            ("http://localhost:*", "http://localhost:5173", true),
            ("http://localhost:*", "https://localhost:5173", false),
            ("https://*.example", "https://app.example", true),
            ("https://*.example", "https://example", false),
            ("HTTPS://App.Example", "https://app.example", true),
            ("https://app.example", "https://APP.example.", true),
            ("vscode-webview://abc", "vscode-webview://abc", true),
            ("vscode-webview://abc", "vscode-webview://abd", false),
            ("chrome-extension://abc", "chrome-extension://abc:80", false),
            ("null", "null", true),
            ("null", "http://null", false),
            ("*", "https://anything.example:1", true),
            // A sandboxed page of anyone's is not what a listed `*` was meant for.
            ("*", "null", false),
        ] {
            let policy = OriginPolicy::new(&[entry]).unwrap();
            assert_eq!(policy.allows(origin), allowed, "{entry} and {origin}");
        }
        for entry in [
            "",
            "app.example",
            "https://",
            "https://a/b",
            "https://a:b",
            "1x://a",
        ] {
            assert!(OriginPolicy::new(&[entry]).is_err(), "{entry:?}");
        }
    }

    #[test]
    fn the_host_of_a_url_is_found() {
        for (url, host) in [
            ("https://mcp.example.com", Some("mcp.example.com")),
            ("http://mcp.example.com:8000/base/", Some("mcp.example.com")),
            ("https://[::1]:8000", Some("[::1]")),
            ("ftp://mcp.example.com", None),
            ("mcp.example.com", None),
            ("https://", None),
            ("https://user@mcp.example.com", None),
            ("https://mcp.example.com/?x", None),
            ("https://mcp.example.com/a b", None),
        ] {
            assert_eq!(host_of_url(url), host, "{url}");
        }
    }

    #[test]
    fn two_policies_join() {
        let app = OriginPolicy::new(&["https://app.example", "null"]).unwrap();
        let policy = OriginPolicy::of_hosts(&loopback()).or(&app);
        for origin in ["https://app.example", "null", "http://localhost:1"] {
            assert!(policy.allows(origin), "{origin}");
        }
        assert!(!policy.allows("http://app.example"));
    }
}
