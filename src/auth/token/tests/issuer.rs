//! An issuer on a socket of this process, that does what it is told and counts what it is asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::*;
use crate::egress::Settings;

/// The issuer, with what trusts it, and the time.
pub(super) struct Stage {
    pub(super) url: String,
    pub(super) clock: Clock,
    pub(super) issuers: Issuers,
    office: Arc<Office>,
    serving: AbortHandle,
}

/// What it answers with.
#[derive(Default)]
struct Office {
    keys: Mutex<Answer>,
    said: Mutex<Value>,
    /// What was asked for, one line each.
    asked: Mutex<Vec<String>>,
}

/// How the key set is answered for.
#[derive(Clone, Default)]
pub(super) enum Answer {
    /// With a hang-up.
    #[default]
    Down,
    /// With this.
    With(String),
    /// Never.
    Silence,
}

impl Stage {
    /// An issuer with these keys that is trusted as `change` has it.
    pub(super) async fn with(signers: &[&Signer], change: impl FnOnce(&mut IssuerConfig)) -> Self {
        let office = Arc::new(Office::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let tasks = Tasks::on(Handle::current());
        let serving = tasks.spawn(
            crate::runtime::tasks::TaskKind::Upkeep,
            serve(listener, url.clone(), office.clone(), tasks.clone()),
        );
        let mut config = IssuerConfig::new(&url, "t1");
        change(&mut config);
        let clock = Clock::manual(Timestamp(START * 1_000));
        let settings = Settings {
            timeout: Duration::from_secs(5),
            ..Settings::default()
        };
        let egress = Egress::new(settings).unwrap();
        let issuers = Issuers::new(vec![config], &egress, &clock, &tasks).unwrap();
        let stage = Self {
            url,
            clock,
            issuers,
            office,
            serving: serving.abort_handle(),
        };
        stage.publish(signers);
        stage
    }

    /// An issuer with these keys, trusted as usual.
    pub(super) async fn new(signers: &[&Signer]) -> Self {
        Self::with(signers, |_| {}).await
    }

    /// From now on its keys are these.
    pub(super) fn publish(&self, signers: &[&Signer]) {
        let keys: Vec<_> = signers.iter().map(|signer| &signer.jwk).collect();
        self.answer(Answer::With(json!({"keys": keys}).to_string()));
    }

    /// From now on it answers for its keys like this.
    pub(super) fn answer(&self, answer: Answer) {
        *self.office.keys.lock().unwrap() = answer;
    }

    /// From now on it says this of any token.
    pub(super) fn say(&self, said: Value) {
        *self.office.said.lock().unwrap() = said;
    }

    /// What it was asked for, of what begins like this.
    pub(super) fn asked(&self, what: &str) -> usize {
        let asked = self.office.asked.lock().unwrap();
        asked.iter().filter(|line| line.starts_with(what)).count()
    }

    /// How often it was asked for its keys.
    pub(super) fn fetches(&self) -> usize {
        self.asked("GET /jwks")
    }

    pub(super) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(super) fn good(&self) -> Value {
        good(&self.url)
    }

    pub(super) async fn verify(&self, token: &str) -> Result<Arc<Verified>, Refusal> {
        self.issuers.verify(token, AUDIENCE).await
    }

    /// The step at which a token is refused for good.
    pub(super) async fn refused(&self, token: &str) -> Option<Step> {
        match self.verify(token).await {
            Ok(_) => None,
            Err(Refusal { step, retry }) => {
                assert_eq!(step == Step::Unreachable, retry != Retry::Never);
                Some(step)
            }
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, url: String, office: Arc<Office>, tasks: Tasks) {
    while let Ok((stream, _)) = listener.accept().await {
        let office = office.clone();
        let answered = answer(stream, url.clone(), office);
        tasks.spawn(crate::runtime::tasks::TaskKind::Upkeep, answered);
    }
}

/// Answers one request; whoever wants more connects again.
async fn answer(mut stream: TcpStream, url: String, office: Arc<Office>) {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        request.extend_from_slice(&chunk[..read]);
        if is_whole(&request) {
            break;
        }
    }
    let request = String::from_utf8(request).unwrap();
    let line = request.lines().next().unwrap().to_owned();
    office.asked.lock().unwrap().push(line.clone());
    let answer = if line.starts_with("GET /jwks ") {
        office.keys.lock().unwrap().clone()
    } else if line.starts_with("POST /introspect ") {
        // base64("us:s%3Acret"): what stands in the configuration, each part encoded first.
        let is_us = request
            .to_lowercase()
            .contains("authorization: basic dxm6cyuzqwnyzxq=");
        match office.said.lock().unwrap().clone() {
            Value::Null => Answer::Down,
            _ if !is_us => Answer::With("{}".to_owned()),
            said => Answer::With(said.to_string()),
        }
    } else if line.starts_with("GET /.well-known/openid-configuration ") {
        Answer::With(json!({"issuer": url, "jwks_uri": format!("{url}/jwks")}).to_string())
    } else {
        Answer::Down
    };
    match answer {
        Answer::Down => {}
        Answer::Silence => std::future::pending().await,
        Answer::With(body) => {
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).await.ok();
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length = length.map_or(0, |length| length.trim().parse().unwrap());
    body.len() >= length
}
