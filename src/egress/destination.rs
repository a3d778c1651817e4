//! Where something may be asked, and who said so.

use std::net::IpAddr;

use url::{Host, Url};

use super::reach::Reach;

/// Bytes of a URL. Longer ones are no addresses of documents.
const URL_MAX: usize = 2_048;

/// A URL that may be asked, within the reach of whoever named it.
///
/// It comes from our own configuration, [`Destination::configured`], or was learned from one that
/// does, [`Destination::names`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    url: Url,
    reach: Reach,
}

/// Why nothing is asked there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// It is none, or far too long.
    #[error("it is no http or https URL of at most {URL_MAX} bytes")]
    NoUrl,
    /// It has a user or a password, which would stand in logs.
    #[error("it has a user name or a password in it")]
    Credentials,
    /// It is learned, and plain http.
    #[error("it is not https, and no configuration of ours says it")]
    NotHttps,
    /// It is learned, and means this machine.
    #[error("it means this machine, and who named it is elsewhere")]
    Loopback,
    /// It is learned, and its host is an address that is not public.
    #[error("its host is no public address")]
    NotPublic,
}

impl Destination {
    /// One that is written in our own configuration: allowed as it is written, private or not.
    ///
    /// # Errors
    /// If it cannot be asked at all.
    pub fn configured(url: &str) -> Result<Self, NotAllowed> {
        let url = parsed(url)?;
        let reach = if means_this_machine(&url) {
            Reach::Loopback
        } else {
            Reach::Written
        };
        Ok(Self { url, reach })
    }

    /// One that the answer of this one names.
    ///
    /// What is configured may name its own scheme, host and port again, and these are as good as
    /// configured. What is on this machine may name others on it.
    ///
    /// # Errors
    /// If this one is not to be believed that.
    pub fn names(&self, url: &str) -> Result<Self, NotAllowed> {
        let url = parsed(url)?;
        let reach = if self.reach == Reach::Written && url.origin() == self.url.origin() {
            Reach::Written
        } else if means_this_machine(&url) {
            if self.reach != Reach::Loopback {
                return Err(NotAllowed::Loopback);
            }
            Reach::Loopback
        } else {
            Reach::Public
        };
        if reach == Reach::Public && url.scheme() != "https" {
            return Err(NotAllowed::NotHttps);
        }
        // An address is connected to without being resolved, so nothing looks at it later.
        match literal(&url) {
            Some(address) if !reach.admits(address) => Err(NotAllowed::NotPublic),
            Some(_) | None => Ok(Self { url, reach }),
        }
    }

    /// The URL.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    pub(super) const fn reach(&self) -> Reach {
        self.reach
    }

    /// Its host, for messages: paths and queries may say more than is anybody's business.
    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

fn parsed(url: &str) -> Result<Url, NotAllowed> {
    let is_short = url.len() <= URL_MAX;
    let url = is_short.then(|| Url::parse(url).ok()).flatten();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.ok_or(NotAllowed::NoUrl)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(NotAllowed::Credentials);
    }
    Ok(url)
}

/// Whether its host is a loopback address, or a name that means nothing else (RFC 6761, section 6.3).
fn means_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => {
            literal(url).is_some_and(|address| Reach::Loopback.admits(address))
        }
        None => false,
    }
}

fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
    }
}

#[cfg(test)]
mod tests {
    use NotAllowed::{Credentials, Loopback, NoUrl, NotHttps, NotPublic};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// What hosts are made of, and what ends them.
    const PIECES: &[&str] = &[
        "127",
        "0x7f",
        "0177",
        "0",
        "1",
        "10",
        "169.254",
        "192.168",
        "2130706433",
        ".",
        "。",
        "%2e",
        "localhost",
        "LocalHost",
        "keys",
        "example",
        "%6c",
        "\u{ad}",
        "①",
        "[::1]",
        "[::",
        "[fd00::",
        "ffff:7f00:",
        "64:ff9b::",
        "a]",
        "1]",
        "@",
        ":",
        "443",
        "/",
        "\\",
        "?",
        "#",
        "\t",
    ];

    fn configured(url: &str) -> Destination {
        Destination::configured(url).unwrap()
    }

    #[test]
    fn what_is_configured_is_allowed_as_written() {
        for (url, expected) in [
            ("https://idp.example.com/", Ok(Reach::Written)),
            ("http://idp.example.com:8080/a?b", Ok(Reach::Written)),
            ("http://10.0.0.5/", Ok(Reach::Written)),
            ("https://[fd00::1]/", Ok(Reach::Written)),
            ("http://127.0.0.1:9400", Ok(Reach::Loopback)),
            ("http://[::1]:9400", Ok(Reach::Loopback)),
            ("http://localhost", Ok(Reach::Loopback)),
            ("", Err(NoUrl)),
            ("idp.example.com", Err(NoUrl)),
            ("file:///etc/passwd", Err(NoUrl)),
            ("ftp://idp.example.com/", Err(NoUrl)),
            ("https://", Err(NoUrl)),
            ("https://me@idp.example.com/", Err(Credentials)),
            ("https://me:secret@idp.example.com/", Err(Credentials)),
        ] {
            let found = Destination::configured(url).map(|found| found.reach());
            assert_eq!(found, expected, "{url}");
        }
    }

    #[test]
    fn what_is_learned_must_be_https_and_public() {
        let (inside, outside) = ("https://idp.corp:8443/x", "https://idp.example.com/");
        let (near, named) = ("http://127.0.0.1:9400/", "http://localhost:9400/");
        for (namer, url, expected) in [
            (outside, "https://keys.example.com/jwks", Ok(Reach::Public)),
            (outside, "https://8.8.8.8/jwks", Ok(Reach::Public)),
            (outside, "https://idp.example.com:444/", Ok(Reach::Public)),
            (outside, "http://keys.example.com/jwks", Err(NotHttps)),
            (outside, "http://idp.example.com/jwks", Err(NotHttps)),
            (outside, "https://10.0.0.5/jwks", Err(NotPublic)),
            (outside, "https://169.254.169.254/", Err(NotPublic)),
            (outside, "https://0xa9fea9fe/", Err(NotPublic)),
            (outside, "https://0/", Err(NotPublic)),
            (outside, "https://[fd00::1]/", Err(NotPublic)),
            (outside, "https://[64:ff9b::a00:5]/", Err(NotPublic)),
            (outside, "https://127.0.0.1/", Err(Loopback)),
            (outside, "https://0x7f.1/", Err(Loopback)),
            (outside, "https://2130706433/", Err(Loopback)),
            (outside, "https://[::1]/", Err(Loopback)),
            (outside, "https://[::ffff:127.0.0.1]/", Err(Loopback)),
            (outside, "https://localhost/", Err(Loopback)),
            (outside, "https://LOCALHOST./", Err(Loopback)),
            (outside, "https://a.localhost/", Err(Loopback)),
            (outside, "file:///etc/passwd", Err(NoUrl)),
            (outside, "/jwks", Err(NoUrl)),
            (outside, "https://a:b@keys.example.com/", Err(Credentials)),
            (inside, "https://idp.corp:8443/jwks", Ok(Reach::Written)),
            (inside, "https://idp.corp/jwks", Ok(Reach::Public)),
            (inside, "http://idp.corp:8443/jwks", Err(NotHttps)),
            (near, "http://127.0.0.1:9400/jwks", Ok(Reach::Loopback)),
            (near, "http://127.0.0.1:9401/jwks", Ok(Reach::Loopback)),
            (near, "http://[::1]:9401/jwks", Ok(Reach::Loopback)),
            (named, "http://localhost:9401/jwks", Ok(Reach::Loopback)),
            (near, "https://keys.example.com/jwks", Ok(Reach::Public)),
            (near, "http://keys.example.com/jwks", Err(NotHttps)),
            (near, "https://10.0.0.5/", Err(NotPublic)),
        ] {
            let found = configured(namer).names(url).map(|found| found.reach());
            assert_eq!(found, expected, "{namer} names {url}");
        }
    }

    #[test]
    fn what_was_learned_names_nothing_better_than_itself() {
        let near = configured("http://localhost:9400/");
        let learned = near.names("http://localhost:9401/").unwrap();
        assert!(learned.names("http://localhost:9402/").is_ok());
        let learned = learned.names("https://keys.example.com/").unwrap();
        assert_eq!(learned.names("http://localhost:9400/"), Err(Loopback));
        let learned = learned.names("https://keys.example.com/more").unwrap();
        assert_eq!(learned.reach(), Reach::Public);
    }

    #[test]
    fn a_url_is_not_endless() {
        let url = |length| format!("https://a.example/{}", "x".repeat(length - 18));
        assert!(Destination::configured(&url(URL_MAX)).is_ok());
        assert_eq!(Destination::configured(&url(URL_MAX + 1)), Err(NoUrl));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        #[test]
        fn whatever_is_learned_from_elsewhere_is_public(
            scheme in select(vec!["https://", "https:\\\\", "HTTPS:/", "http://", "ftp://", ""]),
            pieces in vec(select(PIECES.to_vec()), 1..7),
        ) {
            let url = format!("{scheme}{}", pieces.concat());
            if let Ok(learned) = configured("https://idp.example.com/").names(&url) {
                prop_assert_eq!(learned.url().scheme(), "https");
                prop_assert!(learned.url().username().is_empty());
                prop_assert!(!means_this_machine(learned.url()));
                if let Some(address) = literal(learned.url()) {
                    prop_assert!(Reach::Public.admits(address), "{}", address);
                }
            }
        }
    }
}
