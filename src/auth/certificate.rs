//! Whom a client certificate is about.
//!
//! One name is taken of it: the first URI of its subject alternative names, as workload identities
//! have it (SPIFFE), or else the first DNS name there, or else the first email address, or else the
//! one common name of its subject. Which of them it is stays with the name, so that `ops@example.com`
//! the address is not `ops@example.com` the common name.
//!
//! It does not verify anything: the TLS handshake has, against the configured authorities.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

/// Bytes of a name, or of an issuer's: they stand in keys, logs and audit records.
const NAME_MAX: usize = 512;

/// Whom a verified client certificate is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Where the name stands in the certificate.
    pub kind: NameKind,
    /// The name.
    pub name: Arc<str>,
    /// Who issued the certificate: a name means nothing without it.
    pub issuer: Arc<str>,
    /// SHA-256 of the whole certificate, in base64url: what a token bound to it has as `x5t#S256`
    /// (RFC 8705, section 3.1).
    pub thumbprint: Arc<str>,
}

/// Where in a certificate a name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameKind {
    /// A URI of the subject alternative names.
    Uri,
    /// A DNS name of them.
    Dns,
    /// An email address of them.
    Email,
    /// The common name of the subject.
    CommonName,
}

/// Why a certificate names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NobodyNamed {
    /// It cannot be read, or says one thing twice.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// It has none of the names that are looked for.
    #[error("the certificate has no URI, DNS name, email address or single common name")]
    Nameless,
    /// The name, or its issuer's, cannot stand in a key or in a log.
    #[error("a name in the certificate is empty, longer than {NAME_MAX} bytes, or not printable")]
    Unusable,
}

impl Subject {
    /// Whom this certificate is about, which is given as it came (DER).
    ///
    /// # Errors
    /// If that cannot be told.
    pub fn of(certificate: &[u8]) -> Result<Self, NobodyNamed> {
        let (rest, parsed) =
            X509Certificate::from_der(certificate).map_err(|_| NobodyNamed::Unreadable)?;
        if !rest.is_empty() {
            return Err(NobodyNamed::Unreadable);
        }
        let (kind, name) = name(&parsed)?;
        let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, certificate));
        Ok(Self {
            kind,
            name: usable(name)?,
            issuer: usable(&parsed.issuer().to_string())?,
            thumbprint: thumbprint.into(),
        })
    }
}

impl NameKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Uri, Self::Dns, Self::Email, Self::CommonName];

    /// A word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uri => "uri",
            Self::Dns => "dns",
            Self::Email => "email",
            Self::CommonName => "cn",
        }
    }
}

/// `kind:name`, which no name of another kind can be.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.name)
    }
}

fn name<'a>(certificate: &'a X509Certificate<'_>) -> Result<(NameKind, &'a str), NobodyNamed> {
    let alternatives = certificate
        .subject_alternative_name()
        .map_err(|_| NobodyNamed::Unreadable)?;
    let alternatives = alternatives.map_or(&[][..], |names| &names.value.general_names);
    for kind in [NameKind::Uri, NameKind::Dns, NameKind::Email] {
        let of_kind = |name: &'a GeneralName<'_>| match (kind, name) {
            (NameKind::Uri, GeneralName::URI(name))
            | (NameKind::Dns, GeneralName::DNSName(name))
            | (NameKind::Email, GeneralName::RFC822Name(name)) => Some(*name),
            _ => None,
        };
        if let Some(name) = alternatives.iter().find_map(of_kind) {
            return Ok((kind, name));
        }
    }
    let mut common = certificate.subject().iter_common_name();
    match (common.next(), common.next()) {
        (Some(name), None) => {
            let name = name.as_str().map_err(|_| NobodyNamed::Unreadable)?;
            Ok((NameKind::CommonName, name))
        }
        // Of several nobody can say which is meant.
        (None | Some(_), _) => Err(NobodyNamed::Nameless),
    }
}

fn usable(name: &str) -> Result<Arc<str>, NobodyNamed> {
    let is_usable = !name.is_empty()
        && name.len() <= NAME_MAX
        && name.trim() == name
        && !name.chars().any(char::is_control);
    is_usable.then(|| name.into()).ok_or(NobodyNamed::Unusable)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(alternatives: &[SanType], common: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::new([]).unwrap();
        params.subject_alt_names = alternatives.to_vec();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in common {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn uri(name: &str) -> SanType {
        SanType::URI(name.try_into().unwrap())
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().unwrap())
    }

    fn email(name: &str) -> SanType {
        SanType::Rfc822Name(name.try_into().unwrap())
    }

    #[test]
    fn the_first_name_of_the_best_kind_is_taken() {
        let spiffe = "spiffe://example.org/billing";
        let long = "x".repeat(NAME_MAX + 1);
        for (alternatives, common, expected) in [
            (
                vec![
                    dns("a.example"),
                    email("a@b.example"),
                    uri(spiffe),
                    uri("urn:b"),
                ],
                "cn",
                Ok("uri:spiffe://example.org/billing"),
            ),
            (
                vec![email("a@b.example"), dns("a.example"), dns("b.example")],
                "cn",
                Ok("dns:a.example"),
            ),
            (vec![email("a@b.example")], "cn", Ok("email:a@b.example")),
            (vec![], "billing", Ok("cn:billing")),
            (vec![], "Ünïcode 1", Ok("cn:Ünïcode 1")),
            (
                vec![SanType::IpAddress([127, 0, 0, 1].into())],
                "cn",
                Ok("cn:cn"),
            ),
            (vec![uri("")], "cn", Err(NobodyNamed::Unusable)),
            (vec![uri("urn:a\nb")], "cn", Err(NobodyNamed::Unusable)),
            (vec![], "a\u{0}b", Err(NobodyNamed::Unusable)),
            (vec![], " a", Err(NobodyNamed::Unusable)),
            (vec![], &long, Err(NobodyNamed::Unusable)),
        ] {
            let found = Subject::of(&certificate(&alternatives, &[common]));
            let found = found.map(|subject| subject.to_string());
            assert_eq!(
                found,
                expected.map(str::to_owned),
                "{alternatives:?} {common}"
            );
        }
        let nameless = Subject::of(&certificate(&[], &[]));
        assert_eq!(nameless, Err(NobodyNamed::Nameless));
    }

    #[test]
    fn a_certificate_is_known_by_its_issuer_and_thumbprint_too() {
        let (one, other) = (certificate(&[], &["a"]), certificate(&[], &["a"]));
        let (one, other) = (Subject::of(&one).unwrap(), Subject::of(&other).unwrap());
        assert_eq!((&*one.issuer, &one.name), ("CN=a", &other.name));
        assert_ne!(one.thumbprint, other.thumbprint);
        assert_eq!(one.thumbprint.len(), 43);
    }

    #[test]
    fn what_is_cut_or_longer_is_not_read() {
        let whole = certificate(&[uri("urn:a")], &["a"]);
        for length in 0..whole.len() {
            assert!(Subject::of(&whole[..length]).is_err(), "{length}");
        }
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(Subject::of(&longer), Err(NobodyNamed::Unreadable));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        #[test]
        fn a_damaged_certificate_is_read_or_refused(at: prop::sample::Index, byte: u8) {
            let mut bytes = DAMAGED.with(Clone::clone);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(subject) = Subject::of(&bytes) {
                prop_assert!(!subject.name.is_empty() && subject.name.len() <= NAME_MAX);
            }
        }
    }

    thread_local! {
        static DAMAGED: Vec<u8> =
            certificate(&[dns("a.example"), uri("spiffe://example.org/billing")], &["a"]);
    }
}
