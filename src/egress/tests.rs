//! What is asked, and what is not, over real sockets.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use meanings::Names;
use reqwest::dns::{Name, Resolve as _};
use serde_json::{Value, json};

use super::*;

/// Names that mean what a test says.
mod meanings {
    use std::sync::Mutex;

    use reqwest::dns::{Addrs, Resolve, Resolving};

    use super::{IpAddr, Name, SocketAddr, VecDeque};

    /// What any name means the first time, the second time, and so on.
    pub(super) struct Names(Mutex<VecDeque<Vec<IpAddr>>>);

    impl Names {
        pub(super) fn mean(times: &[&[&str]]) -> std::sync::Arc<Self> {
            let parsed = |address: &&str| address.parse().unwrap();
            let times = times.iter().map(|time| time.iter().map(parsed).collect());
            std::sync::Arc::new(Self(Mutex::new(times.collect())))
        }
    }

    impl Resolve for Names {
        fn resolve(&self, _: Name) -> Resolving {
            let time = self.0.lock().unwrap().pop_front().unwrap();
            let addresses = time.into_iter().map(|address| SocketAddr::new(address, 0));
            Box::pin(async { Ok(Box::new(addresses) as Addrs) })
        }
    }
}

/// A server on loopback that gives every connection the same words. What it was asked can be heard.
struct Server {
    port: u16,
    heard: Receiver<String>,
}

impl Server {
    fn that_says(words: &'static str) -> Self {
        Self::that(move |mut stream| {
            let _sent = stream.write_all(words.as_bytes());
            None
        })
    }

    /// What `answer` gives back stays open.
    fn that(answer: impl Fn(TcpStream) -> Option<TcpStream> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (say, heard) = mpsc::channel();
        thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = vec![0; 4_096];
                let length = stream.read(&mut request).unwrap_or(0);
                request.truncate(length);
                let _heard = say.send(String::from_utf8_lossy(&request).to_ascii_lowercase());
                open.extend(answer(stream));
            }
        });
        Self { port, heard }
    }

    fn url(&self, scheme_and_host: &str) -> String {
        format!("{scheme_and_host}:{}/document?with=secrets", self.port)
    }

    fn configured(&self) -> Destination {
        Destination::configured(&self.url("http://127.0.0.1")).unwrap()
    }

    fn was_asked(&self) -> Option<String> {
        self.heard.try_recv().ok()
    }
}

fn egress() -> Egress {
    Egress::new(Settings::default()).unwrap()
}

const DOCUMENT: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\
                        set-cookie: a=b\r\ncontent-length: 7\r\n\r\n{\"a\":1}";

#[tokio::test]
async fn what_is_configured_is_asked_and_answers() {
    let server = Server::that_says(DOCUMENT);
    let egress = egress();
    let answer = egress.get(&server.configured()).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.json::<Value>().unwrap(), json!({"a": 1}));
    let error = answer.json::<Vec<u8>>().unwrap_err();
    assert!(matches!(error, EgressError::Malformed(_)), "{error}");
    let asked = server.was_asked().unwrap();
    assert!(asked.starts_with("get /document?with=secrets http/1.1"));
    assert!(asked.contains("accept: application/json"), "{asked}");
    egress.get(&server.configured()).await.unwrap();
    let asked = server.was_asked().unwrap();
    assert!(!asked.contains("cookie"), "none is kept: {asked}");
}

#[tokio::test]
async fn a_form_is_sent_with_what_authorizes_it() {
    let server = Server::that_says(DOCUMENT);
    let form = [("grant_type", "client_credentials"), ("scope", "a b&c")];
    let shown = Authorization::client_secret("me:and you", "s3cret/");
    assert!(!format!("{shown:?}").contains("basic"), "{shown:?}");
    egress()
        .post_form(&server.configured(), &form, &shown)
        .await
        .unwrap();
    let asked = server.was_asked().unwrap();
    // `me%3Aand+you:s3cret%2F`, in small letters.
    let expected = BASE64_STANDARD.encode("me%3Aand+you:s3cret%2F");
    assert!(asked.contains(&format!("basic {}", expected.to_ascii_lowercase())));
    assert!(asked.contains("application/x-www-form-urlencoded"));
    assert!(Authorization::bearer("a\r\nb: c").is_err());
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let elsewhere = Server::that_says(DOCUMENT);
    let location = elsewhere.url("http://127.0.0.1");
    let server = Server::that(move |mut stream| {
        let head =
            format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        None
    });
    let answer = egress().get(&server.configured()).await.unwrap();
    assert_eq!(answer.status, 302);
    assert!(server.was_asked().is_some());
    assert_eq!(elsewhere.was_asked(), None);
}

#[tokio::test]
async fn an_endless_body_is_cut_announced_or_not() {
    let announced = Server::that_says("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n");
    let endless = Server::that(|mut stream| {
        let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        // Until whoever reads has had enough.
        while stream.write_all(&[b' '; 4_096]).is_ok() {}
        None
    });
    for server in [announced, endless] {
        let error = egress().get(&server.configured()).await.unwrap_err();
        assert!(matches!(error, EgressError::TooLarge { .. }), "{error}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_not_waited_for() {
    let server = Server::that(|mut stream| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{";
        stream.write_all(head).unwrap();
        Some(stream)
    });
    let settings = Settings {
        timeout: Duration::from_millis(100),
        ..Settings::default()
    };
    let egress = Egress::new(settings).unwrap();
    let error = egress.get(&server.configured()).await.unwrap_err();
    assert!(matches!(error, EgressError::TimedOut { .. }), "{error}");
}

#[tokio::test]
async fn a_broken_answer_is_told_without_the_url() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let nobody = format!("http://127.0.0.1:{port}/document?with=secrets");
    let nobody = Destination::configured(&nobody).unwrap();
    let error = egress().get(&nobody).await.unwrap_err();
    assert!(matches!(error, EgressError::Unreachable { .. }), "{error}");
    let half = Server::that_says("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{");
    let broken = egress().get(&half.configured()).await.unwrap_err();
    assert!(matches!(broken, EgressError::Broken { .. }), "{broken}");
    for error in [error, broken] {
        assert!(error.is_retryable());
        let told = format!("{error} {error:?}");
        assert!(
            told.contains("127.0.0.1") && !told.contains("secrets"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_name_that_means_something_of_ours_is_not_connected_to() {
    let server = Server::that_says(DOCUMENT);
    let issuer = Destination::configured("https://idp.example.com/").unwrap();
    let learned = issuer
        .names(&server.url("https://keys.example.com"))
        .unwrap();
    for addresses in [
        &["127.0.0.1"][..],
        &["127.0.0.1", "::1", "::ffff:127.0.0.1"],
        &["::ffff:127.0.0.1"],
        &["10.0.0.5"],
        &["169.254.169.254"],
        &["0.0.0.0"],
        &["fd00:ec2::254"],
        &["64:ff9b::7f00:1"],
        &["2002:7f00:1::"],
    ] {
        let names = Names::mean(&[addresses]);
        let egress = Egress::resolving_with(Settings::default(), names).unwrap();
        let error = egress.get(&learned).await.unwrap_err();
        let EgressError::OutOfReach(error) = error else {
            panic!("{addresses:?}: {error}");
        };
        assert!(error.to_string().contains("keys.example.com"), "{error}");
    }
    assert_eq!(server.was_asked(), None);
}

#[tokio::test]
async fn only_addresses_that_were_checked_are_connected_to() {
    let server = Server::that_says(DOCUMENT);
    let near = Destination::configured(&server.url("http://localhost")).unwrap();
    // Were the first one tried, this would wait for an answer from afar.
    let names = Names::mean(&[&["93.184.216.34", "127.0.0.1"]]);
    let egress = Egress::resolving_with(Settings::default(), names).unwrap();
    assert_eq!(egress.get(&near).await.unwrap().status, 200);
    assert!(server.was_asked().is_some());
}

#[tokio::test]
async fn a_name_is_checked_each_time_it_is_resolved() {
    let names = Names::mean(&[
        &["93.184.216.34"],
        &["93.184.216.34", "127.0.0.1", "2606:4700::1"],
        &["127.0.0.1"],
        &[],
    ]);
    let checked = Checked::new(Reach::Public, names);
    let resolved = async || -> Result<Vec<String>, _> {
        let resolving = checked.resolve("keys.example.com".parse::<Name>().unwrap());
        let shown = |address: SocketAddr| address.ip().to_string();
        resolving
            .await
            .map(|addresses| addresses.map(shown).collect())
    };
    assert_eq!(resolved().await.unwrap(), ["93.184.216.34"]);
    assert_eq!(resolved().await.unwrap(), ["93.184.216.34", "2606:4700::1"]);
    let error = resolved().await.unwrap_err();
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
    assert!(resolved().await.unwrap().is_empty());
}
