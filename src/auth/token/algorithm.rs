//! The ways to sign that are accepted, and no others: none that shares a secret, and not "none".

use jsonwebtoken::Algorithm as Library;

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSA PKCS #1 1.5 with SHA-256.
    Rs256,
    /// RSA PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rs256, Self::Ps256, Self::Es256, Self::EdDsa];

    /// Its name in headers and keys (RFC 7518 section 3.1, RFC 8037 section 3.1).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of that very name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    /// What the library calls it.
    pub(super) const fn library(self) -> Library {
        match self {
            Self::Rs256 => Library::RS256,
            Self::Ps256 => Library::PS256,
            Self::Es256 => Library::ES256,
            Self::EdDsa => Library::EdDSA,
        }
    }
}
