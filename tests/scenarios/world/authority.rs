//! An authority of the scenario's own, with the certificates it signs in files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// Who signs certificates.
#[derive(Debug)]
pub struct Authority {
    directory: TempDir,
    issuer: Issuer<'static, KeyPair>,
    trusted: String,
}

/// A certificate for this machine, and its key, as a configuration names them.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

impl Authority {
    /// One that nobody trusts yet.
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no names are good names");
        let name = "authority of the scenario";
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        let signed = params.self_signed(&key);
        let trusted = signed.expect("an authority signs itself").pem();
        Self {
            directory: TempDir::new().expect("a temporary directory can be made"),
            issuer: Issuer::new(params, key),
            trusted,
        }
    }

    /// The file with its own certificate.
    pub fn file(&self) -> PathBuf {
        self.write("authority.pem", &self.trusted)
    }

    /// Signs one for `127.0.0.1`, in files that only their owner may read.
    pub fn signs_for_this_machine(&self) -> Files {
        let (chain, key) = self.signs(&["127.0.0.1"]);
        Files {
            certificate: self.write("server.pem", &chain),
            key: self.write("server.key", &key),
        }
    }

    /// What a client shows that is known by a DNS name.
    pub fn signs_for_a_client(&self, name: &str) -> reqwest::Identity {
        let (chain, key) = self.signs(&[name]);
        let pem = format!("{chain}{key}");
        reqwest::Identity::from_pem(pem.as_bytes()).expect("it is an identity")
    }

    /// A client that trusts nobody else.
    pub fn trusted_by_a_client(&self, shows: Option<reqwest::Identity>) -> reqwest::Client {
        let trusted = reqwest::Certificate::from_pem(self.trusted.as_bytes());
        let trusted = trusted.expect("it is a certificate");
        let client = reqwest::Client::builder().tls_certs_only([trusted]);
        let client = match shows {
            Some(identity) => client.identity(identity),
            None => client,
        };
        client.build().expect("a client needs no more")
    }

    fn signs(&self, names: &[&str]) -> (String, String) {
        let names = names.iter().map(|name| (*name).to_owned());
        let params = CertificateParams::new(names.collect::<Vec<_>>());
        let key = KeyPair::generate().expect("a key can be made");
        let signed = params
            .expect("these are names")
            .signed_by(&key, &self.issuer);
        let chain = signed.expect("an authority signs for others").pem();
        (chain, key.serialize_pem())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        replace(&path, text);
        path
    }
}

/// Puts another file in the place of one, as whoever renews a certificate does.
pub fn replace(file: &Path, text: &str) {
    let other = file.with_extension("new");
    std::fs::write(&other, text).expect("a file can be written");
    let owner_only = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&other, owner_only).expect("it is ours");
    std::fs::rename(&other, file).expect("it can take the place of another");
}
