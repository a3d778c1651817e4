//! Handshakes over real sockets: who is let in, as whom, and what is shown.

use std::any::Any;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpRequest, HttpServer, web};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

use super::*;

/// Someone who signs, and what the others need of it.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    fn signs(&self, params: &CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        (signed.pem(), key.serialize_pem())
    }

    fn server(&self) -> Identity {
        let names = ["127.0.0.1".to_owned()];
        let (chain, key) = self.signs(&CertificateParams::new(names).unwrap());
        Identity::of_pem(chain.as_bytes(), key.as_bytes()).unwrap()
    }

    fn client(&self, name: &str) -> reqwest::Identity {
        let mut params = CertificateParams::new([]).unwrap();
        let name = SanType::URI(name.try_into().unwrap());
        params.subject_alt_names.push(name);
        let (chain, key) = self.signs(&params);
        reqwest::Identity::from_pem(format!("{chain}{key}").as_bytes()).unwrap()
    }

    fn authorities(&self) -> Authorities {
        Authorities::of_pem(self.pem.as_bytes()).unwrap()
    }

    /// A client that trusts nobody else.
    fn trusting(&self, shows: Option<reqwest::Identity>) -> reqwest::Client {
        let trusted = reqwest::Certificate::from_pem(self.pem.as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([trusted]);
        let client = match shows {
            Some(identity) => client.identity(identity),
            None => client,
        };
        client.no_proxy().build().unwrap()
    }
}

/// Tells `story` while a server runs that says to everybody who they are.
async fn with_server<F: Future>(
    clients: &Clients,
    shown: &Shown,
    story: impl FnOnce(SocketAddr) -> F,
) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connected = |connection: &dyn Any, extensions: &mut Extensions| {
        let stream = connection.downcast_ref::<TlsStream<TcpStream>>().unwrap();
        if let Some(subject) = subject(stream) {
            extensions.insert(subject);
        }
    };
    let who = async |request: HttpRequest| match request.conn_data::<Subject>() {
        Some(subject) => subject.to_string(),
        None => "nobody".to_owned(),
    };
    let server = HttpServer::new(move || App::new().default_service(web::to(who)))
        .workers(1)
        .disable_signals()
        .on_connect(connected)
        .listen_rustls_0_23(listener, clients.listen(shown.clone()))
        .unwrap()
        .run();
    tokio::select! {
        ended = server => panic!("the server ended: {ended:?}"),
        _ = story(address) => {}
    }
}

async fn ask(client: &reqwest::Client, address: SocketAddr) -> Result<String, reqwest::Error> {
    let answer = client.get(format!("https://{address}/")).send().await?;
    assert_eq!(answer.version(), reqwest::Version::HTTP_11);
    answer.text().await
}

#[tokio::test]
async fn a_client_is_who_its_certificate_says() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let (billing, stranger) = (
        ours.client("spiffe://a/billing"),
        others.client("spiffe://a/billing"),
    );
    let nobody = Some("nobody");
    let somebody = Some("uri:spiffe://a/billing");
    for (clients, without, with, with_foreign) in [
        (Clients::Unasked, nobody, nobody, nobody),
        (
            Clients::Optional(ours.authorities()),
            nobody,
            somebody,
            None,
        ),
        (Clients::Required(ours.authorities()), None, somebody, None),
    ] {
        let shown = Shown::new(ours.server());
        with_server(&clients, &shown, async |address| {
            for (shows, expected) in [
                (None, without),
                (Some(billing.clone()), with),
                (Some(stranger.clone()), with_foreign),
            ] {
                let client = ours.trusting(shows);
                // Twice, on connections of their own: the second time nothing is resumed.
                for _ in 0..2 {
                    let answer = ask(&client, address).await;
                    assert_eq!(answer.as_deref().ok(), expected, "{clients:?}");
                }
            }
        })
        .await;
    }
}

#[tokio::test]
async fn another_certificate_is_for_whoever_connects_from_then_on() {
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let (old, new) = (before.server(), after.server());
    let shown = Shown::new(old.clone());
    with_server(&Clients::Unasked, &shown, async |address| {
        let connected = before.trusting(None);
        assert_eq!(ask(&connected, address).await.unwrap(), "nobody");
        assert!(ask(&after.trusting(None), address).await.is_err());
        assert!(shown.shows(&old) && !shown.shows(&new));

        shown.show(new.clone());

        assert!(shown.shows(&new));
        assert_eq!(ask(&connected, address).await.unwrap(), "nobody");
        assert!(ask(&after.trusting(None), address).await.is_ok());
        assert!(ask(&before.trusting(None), address).await.is_err());
    })
    .await;
}

#[test]
fn files_that_are_of_no_use_are_refused() {
    let authority = Authority::new("ours");
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let (chain, key) = authority.signs(&params);
    let (other_chain, _) = authority.signs(&params);
    let identity = |chain: &str, key: &str| Identity::of_pem(chain.as_bytes(), key.as_bytes());
    assert!(identity(&chain, &key).is_ok());
    assert!(identity(&format!("{chain}{}", authority.pem), &key).is_ok());
    for (chain, key, expected) in [
        ("", key.as_str(), "holds no certificate in PEM"),
        (&key, &key, "holds no certificate in PEM"),
        (&chain[..99], &key, "holds no certificate in PEM"),
        (&chain, "", "holds no private key in PEM"),
        (&chain, &chain, "holds no private key in PEM"),
        (&other_chain, &key, "cannot be used: "),
    ] {
        let error = identity(chain, key).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let error = Authorities::of_pem(damaged.as_bytes()).unwrap_err();
    assert!(matches!(error, TlsError::NoAuthority(_)), "{error}");
}
