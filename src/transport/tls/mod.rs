//! TLS of a listener: the certificate it shows, which can be another one from now on, and whose
//! client certificates it takes.
//!
//! TLS 1.2 and 1.3. Above it HTTP/1.1 only: of HTTP/2 our server cannot bound the streams of a
//! connection, nor does anything of ours that counts requests by connection know it, so ALPN does not
//! offer it.
//!
//! A client certificate is verified in the handshake; whom it is about is beside the connection then,
//! as a [`Subject`]. Nothing is resumed where
//! client certificates are taken: each connection shows one that is valid then.
//!
//! Handshakes take as long as a request's head may, and are no connections yet: actix bounds how
//! many each worker runs at a time.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use actix_tls::accept::rustls_0_23::TlsStream;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;

use crate::auth::certificate::Subject;

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Who the server says it is.
    pub identity: Identity,
    /// Whose certificates it takes.
    pub clients: Clients,
}

/// A certificate with those that lead to its authority, and its key.
#[derive(Clone)]
pub struct Identity(Arc<CertifiedKey>);

/// Whose client certificates are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Nobody is asked for one.
    Unasked,
    /// Whoever has one of these authorities shows it.
    Optional(Authorities),
    /// Whoever has none of these authorities gets no connection.
    Required(Authorities),
}

/// Who signs client certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities(Vec<CertificateDer<'static>>);

/// Why files cannot be used for TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There is no certificate in it.
    #[error("holds no certificate in PEM")]
    NoCertificate,
    /// There is no private key in it.
    #[error("holds no private key in PEM")]
    NoKey,
    /// The two do not belong together, or are of a kind that is not known.
    #[error("cannot be used: {0}")]
    Unusable(rustls::Error),
    /// A certificate is no authority's.
    #[error("holds a certificate that is no authority's: {0}")]
    NoAuthority(rustls::Error),
}

/// What a running listener shows from now on. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Shown(Arc<watch::Sender<Identity>>);

impl Identity {
    /// A certificate chain and a private key, both in PEM.
    ///
    /// # Errors
    /// If either is none, or they do not belong together.
    pub fn of_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
            .map(|certified| Self(Arc::new(certified)))
            .map_err(TlsError::Unusable)
    }
}

impl Authorities {
    /// Authorities in PEM.
    ///
    /// # Errors
    /// If there is none, or one is of no use.
    pub fn of_pem(pem: &[u8]) -> Result<Self, TlsError> {
        let authorities = Self(certificates(pem)?);
        authorities.roots().map_err(TlsError::NoAuthority)?;
        Ok(authorities)
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, rustls::Error> {
        let mut roots = RootCertStore::empty();
        for certificate in &self.0 {
            roots.add(certificate.clone())?;
        }
        Ok(Arc::new(roots))
    }
}

impl Clients {
    /// What rustls needs to listen with this.
    ///
    /// # Panics
    /// Never: authorities were checked when they were read.
    #[must_use]
    pub fn listen(&self, shown: Shown) -> ServerConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = |authorities: &Authorities| {
            let roots = authorities
                .roots()
                .expect("invariant: authorities were added before");
            WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
        };
        let verifier = match self {
            Self::Unasked => None,
            Self::Optional(authorities) => {
                Some(verifier(authorities).allow_unauthenticated().build())
            }
            Self::Required(authorities) => Some(verifier(authorities).build()),
        };
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("invariant: the provider has the suites of both versions");
        match verifier {
            None => builder
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(shown)),
            Some(verifier) => {
                let verifier = verifier.expect("invariant: there is at least one authority");
                let mut config = builder
                    .with_client_cert_verifier(verifier)
                    .with_cert_resolver(Arc::new(shown));
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
                config
            }
        }
    }
}

impl Shown {
    /// Shows this one first.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self(Arc::new(watch::Sender::new(identity)))
    }

    /// Whether it shows this one.
    #[must_use]
    pub fn shows(&self, identity: &Identity) -> bool {
        *self.0.borrow() == *identity
    }

    /// Shows another one from now on. Connections that are open keep what they have.
    pub fn show(&self, identity: Identity) {
        self.0.send_replace(identity);
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.borrow().0.clone())
    }
}

/// By the certificates: a key belongs to one of them.
impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.0.cert == other.0.cert
    }
}

impl Eq for Identity {}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({} certificates)", self.0.cert.len())
    }
}

/// Whom the client's certificate is about, if it has shown one.
#[must_use]
pub fn subject<T>(stream: &TlsStream<T>) -> Option<Subject> {
    let (_, connection) = stream.get_ref();
    let subject = Subject::of(connection.peer_certificates()?.first()?);
    let nobody = |error| tracing::info!(%error, "a client certificate names nobody");
    subject.map_err(nobody).ok()
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    certificates
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or(TlsError::NoCertificate)
}
