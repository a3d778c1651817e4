//! TLS of the listeners: the files, and what they hold.
//!
//! They are read with the rest of the configuration, so what is wrong with one is found where all that
//! is wrong is found: by `switchboard check`, at start, and before a new certificate replaces one.

use std::fs;

use zeroize::Zeroizing;

use super::layers::Ground;
use super::raw::{self, ClientCertificates};
use super::secrets;
use super::settings::TlsSettings;
use crate::transport::tls::{Authorities, Clients, Config, Identity, TlsError};

const CERTIFICATE: &str = "server.tls.certificate";
const KEY: &str = "server.tls.key";
const CLIENT_CA: &str = "server.tls.client_ca";
const CLIENTS: &str = "server.tls.client_certificates";

/// A file of certificates; a bundle of all public authorities is a quarter of it.
const CERTIFICATES_BYTES_MAX: u64 = 1 << 20;

/// TLS, if there is a certificate.
pub(super) fn resolve(raw: &raw::Tls, ground: &mut Ground) -> Option<TlsSettings> {
    let clients = clients(raw, ground);
    let (certificate, key) = match (&raw.certificate, &raw.key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) => {
            ground.complain(&[CERTIFICATE], format!("needs `{KEY}`"));
            return None;
        }
        (None, Some(_)) => {
            ground.complain(&[KEY], format!("needs `{CERTIFICATE}`"));
            return None;
        }
        (None, None) => {
            if clients != Clients::Unasked {
                ground.complain(&[CLIENTS], format!("is for TLS: set `{CERTIFICATE}`"));
            }
            return None;
        }
    };
    let chain = read(certificate).map_err(|problem| ground.refuse(CERTIFICATE, problem));
    let secret = secrets::file(key).map_err(|problem| ground.refuse(KEY, problem));
    let (chain, secret) = (chain.ok()?, Zeroizing::new(secret.ok()?));
    let identity = Identity::of_pem(&chain, secret.as_bytes()).map_err(|error| {
        let (at, path) = match error {
            TlsError::NoKey => (KEY, key),
            TlsError::NoCertificate | TlsError::Unusable(_) | TlsError::NoAuthority(_) => {
                (CERTIFICATE, certificate)
            }
        };
        ground.refuse(at, format!("the file {path} {error}"));
    });
    Some(TlsSettings {
        files: vec![certificate.into(), key.into()],
        config: Config {
            identity: identity.ok()?,
            clients,
        },
    })
}

fn clients(raw: &raw::Tls, ground: &mut Ground) -> Clients {
    let Some(path) = &raw.client_ca else {
        if raw.client_certificates != ClientCertificates::Off {
            let problem = format!("needs `{CLIENT_CA}`, the authorities that sign them");
            ground.complain(&[CLIENTS], problem);
        }
        return Clients::Unasked;
    };
    let authorities = read(path).and_then(|pem| {
        Authorities::of_pem(&pem).map_err(|error| format!("the file {path} {error}"))
    });
    let authorities = match authorities {
        Ok(authorities) => authorities,
        Err(problem) => {
            ground.refuse(CLIENT_CA, problem);
            return Clients::Unasked;
        }
    };
    match raw.client_certificates {
        ClientCertificates::Optional => Clients::Optional(authorities),
        ClientCertificates::Required => Clients::Required(authorities),
        ClientCertificates::Off => {
            let problem = format!("is for client certificates: set `{CLIENTS}`");
            ground.complain(&[CLIENT_CA], problem);
            Clients::Unasked
        }
    }
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    let unreadable = |error| format!("the file {path} cannot be read: {error}");
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length > CERTIFICATES_BYTES_MAX {
        return Err(format!("the file {path} is too long for certificates"));
    }
    fs::read(path).map_err(unreadable)
}
