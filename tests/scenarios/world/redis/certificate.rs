//! An authority of the scenario's own, and what it signed for a server on this machine.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// The files that a server with TLS needs, and the one that its clients trust.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Whom to trust.
    pub authority: PathBuf,
    /// What the server shows.
    pub shown: PathBuf,
    /// Its secret.
    pub key: PathBuf,
}

impl Certificate {
    /// Makes them in a directory, for `localhost` and `127.0.0.1`.
    pub fn within(directory: &Path) -> Self {
        let (trusted, issuer) = &*AUTHORITY;
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = CertificateParams::new(names).expect("these are names");
        let server_key = KeyPair::generate().expect("a key can be made");
        let signed = server.signed_by(&server_key, issuer);
        let shown = signed.expect("an authority signs for others").pem();

        let write = |name: &str, text: String| {
            let path = directory.join(name);
            std::fs::write(&path, text).expect("a file can be written");
            path
        };
        Self {
            authority: write("authority.pem", trusted.clone()),
            shown: write("server.pem", shown),
            key: write("server.key", server_key.serialize_pem()),
        }
    }
}

/// One for all servers of a story, since they trust each other: what it is trusted by, and itself.
static AUTHORITY: LazyLock<(String, Issuer<'static, KeyPair>)> = LazyLock::new(|| {
    let mut authority = CertificateParams::new([]).expect("no names are good names");
    // Another than the servers have, whom some would otherwise take for their own authorities.
    let name = "authority of the scenarios";
    authority.distinguished_name.push(DnType::CommonName, name);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key can be made");
    let signed = authority.self_signed(&key);
    let trusted = signed.expect("an authority signs itself").pem();
    (trusted, Issuer::new(authority, key))
});
