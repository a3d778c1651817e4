//! Putting a client together, and connecting it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connected::Client;
use super::connection::Connection;
use super::connector::{Connector, HttpEndpoint};
use super::credential::Credentials;
use super::error::ClientError;
use super::host::{Host, Notice, Question, Refusal};
use super::limits::Limits;
use super::message::Request;
use super::patience::Pauses;
use super::program::Program;
use crate::protocol::lifecycle::Implementation;
use crate::protocol::logging::LogLevel;
use crate::protocol::raw::RawJson;
use crate::protocol::version::{Era, ProtocolVersion};
use crate::runtime::tasks::Tasks;

/// Time a request may take unless said otherwise: what a call may take at a server of ours.
const TIMEOUT: Duration = Duration::from_secs(600);

/// How long a server behind a pipe may be silent before it is taken for one of the session era: those that
/// ignore what comes before a handshake are many, and somebody waits.
const PROBE: Duration = Duration::from_secs(5);

/// Which revisions a client may speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speak {
    /// The newest that the server speaks: it is asked first.
    #[default]
    Newest,
    /// The newest of an era.
    Era(Era),
    /// This one.
    Version(ProtocolVersion),
}

/// A client being put together.
#[must_use]
pub struct Builder {
    tasks: Tasks,
    speak: Speak,
    host: Host,
    headers: Vec<(String, String)>,
    credentials: Option<Arc<dyn Credentials>>,
    limits: Limits,
    timeout: Duration,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers may be secrets.
        f.debug_struct("Builder")
            .field("speak", &self.speak)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(super) fn new(tasks: Tasks) -> Self {
        Self {
            tasks,
            speak: Speak::default(),
            host: Host {
                info: Implementation {
                    name: "switchboard".into(),
                    version: env!("CARGO_PKG_VERSION").into(),
                    title: None,
                    description: None,
                    website_url: None,
                },
                elicitation: None,
                opens_urls: false,
                sampling: None,
                roots: None,
                listener: None,
                log_level: None,
                tasks: false,
                pauses: Pauses::default(),
            },
            headers: Vec::new(),
            credentials: None,
            limits: Limits::default(),
            timeout: TIMEOUT,
        }
    }

    /// Which revisions it may speak.
    pub const fn speak(mut self, speak: Speak) -> Self {
        self.speak = speak;
        self
    }

    /// Who it says it is.
    pub fn info(mut self, info: Implementation) -> Self {
        self.host.info = info;
        self
    }

    /// Who fills in forms. The result has `action` and, accepted, `content`.
    pub fn on_elicitation<F, R>(mut self, answer: F) -> Self
    where
        F: Fn(Question) -> R + Send + Sync + 'static,
        R: Future<Output = Result<RawJson, Refusal>> + Send + 'static,
    {
        self.host.elicitation = Some(Arc::new(move |question| answer(question).boxed()));
        self
    }

    /// Whoever fills in forms also opens pages (URL mode).
    pub const fn opens_urls(mut self) -> Self {
        self.host.opens_urls = true;
        self
    }

    /// Who takes the model's turns.
    pub fn on_sampling<F, R>(mut self, answer: F) -> Self
    where
        F: Fn(Question) -> R + Send + Sync + 'static,
        R: Future<Output = Result<RawJson, Refusal>> + Send + 'static,
    {
        self.host.sampling = Some(Arc::new(move |question| answer(question).boxed()));
        self
    }

    /// Who knows the roots.
    pub fn on_roots<F, R>(mut self, answer: F) -> Self
    where
        F: Fn(Question) -> R + Send + Sync + 'static,
        R: Future<Output = Result<RawJson, Refusal>> + Send + 'static,
    {
        self.host.roots = Some(Arc::new(move |question| answer(question).boxed()));
        self
    }

    /// Who hears notices: progress (which is asked for only then), log lines, changes. It is called
    /// where messages are read, so it must not wait.
    pub fn on_notice(mut self, listener: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        self.host.listener = Some(Arc::new(listener));
        self
    }

    /// The least level of log lines to be told. The session era is asked once, by
    /// `logging/setLevel`, when the server declares logging.
    pub const fn log_level(mut self, level: LogLevel) -> Self {
        self.host.log_level = Some(level);
        self
    }

    /// Takes tasks for answers, and follows them to their results (the tasks extension).
    pub const fn follows_tasks(mut self) -> Self {
        self.host.tasks = true;
        self
    }

    /// A header of every HTTP request.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// What a server lets it in by, over HTTP.
    pub fn credentials(mut self, credentials: Arc<dyn Credentials>) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// How much a server may say at once.
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How long a request may take, the time of the server's questions not counted.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Connects to an MCP endpoint, by Streamable HTTP or, where the server refuses that, by HTTP+SSE.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn http(self, url: &str) -> Result<Client, ClientError> {
        let mut endpoint = HttpEndpoint::new(url, &self.headers, self.limits)?;
        if let Some(credentials) = &self.credentials {
            endpoint = endpoint.with(credentials.clone());
        }
        let (host, connector) = self.connector();
        let connection = connector.http(&endpoint).await?;
        self.connected(connection, host).await
    }

    /// Starts a program and connects to its standard input and output. A program that leaves or
    /// stays silent when it is asked which revisions it speaks is started once more, for a
    /// handshake.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn program(self, program: &Program) -> Result<Client, ClientError> {
        let (host, connector) = self.connector();
        let connection = connector.program(program).await?;
        self.connected(connection, host).await
    }

    /// Connects to whatever is at the other end of a pair of byte streams, one message per line.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn pipe<I, O>(self, input: I, output: O) -> Result<Client, ClientError>
    where
        I: AsyncRead + Send + Unpin + 'static,
        O: AsyncWrite + Send + Unpin + 'static,
    {
        let (host, connector) = self.connector();
        let connection = connector.pipe(input, output).await?;
        self.connected(connection, host).await
    }

    fn connector(&self) -> (Arc<Host>, Connector) {
        let host = Arc::new(self.host.clone());
        let connector = Connector {
            tasks: self.tasks.clone(),
            speak: self.speak,
            introduction: host.introduction(),
            hears: host.clone(),
            limits: self.limits,
            timeout: self.timeout,
            probe: PROBE.min(self.timeout),
        };
        (host, connector)
    }

    /// The client over a connection. In the session era the standing stream is opened, if somebody
    /// here would hear what comes, and log lines are asked for once.
    async fn connected(
        self,
        connection: Connection,
        host: Arc<Host>,
    ) -> Result<Client, ClientError> {
        let is_session = connection.version().era() == Era::Session;
        if is_session && host.is_somebody_there() {
            connection.stand().await;
        }
        let client = Client::connected(connection, host, self.timeout);
        if let Some(level) = self.host.log_level.filter(|_| is_session) {
            let declared = client.server().map(RawJson::to_value).unwrap_or_default();
            if declared["capabilities"]["logging"].is_object() {
                let request = Request::new("logging/setLevel", &json!({"level": level}));
                client.request(request).await?;
            }
        }
        Ok(client)
    }
}
