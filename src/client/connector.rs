//! From an address to a connection: the wire, then the revision.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::{ChildStdin, ChildStdout};

use super::builder::Speak;
use super::child::Child;
use super::connection::{Connection, Hears, Introduction, Parts, Wire};
use super::credential::Credentials;
use super::error::ClientError;
use super::http::{Http, header};
use super::limits::Limits;
use super::pipe::Pipe;
use super::probe::{self, Silence};
use super::program::Program;
use crate::protocol::version::Era;
use crate::runtime::tasks::Tasks;

/// An MCP endpoint by HTTP. Cloning shares its connections, which know nothing of sessions.
#[derive(Clone, Debug)]
pub struct HttpEndpoint(Http);

impl HttpEndpoint {
    /// The endpoint at `url`, to which `headers` are sent with every message.
    ///
    /// # Errors
    /// [`ClientError::Address`].
    pub fn new(
        url: &str,
        headers: &[(String, String)],
        limits: Limits,
    ) -> Result<Self, ClientError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let (name, value) = header(name, value)?;
            map.append(name, value);
        }
        Ok(Self(Http::new(url, map, limits)?))
    }

    /// The same endpoint, let in by these credentials. It shares connections with this one.
    #[must_use]
    pub fn with(&self, credentials: Arc<dyn Credentials>) -> Self {
        Self(self.0.clone().with(credentials))
    }
}

/// A program that runs and was not spoken to yet. Dropped, it ends.
#[derive(Debug)]
pub struct Started {
    child: Child,
    input: ChildStdout,
    output: ChildStdin,
}

impl Started {
    /// Starts it. `tasks` is where its standard error is read.
    ///
    /// # Errors
    /// [`ClientError::Spawn`].
    pub fn now(program: &Program, tasks: &Tasks) -> Result<Self, ClientError> {
        let (child, input, output) = Child::start(program, tasks)?;
        Ok(Self {
            child,
            input,
            output,
        })
    }

    /// Whether it has ended by itself.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        self.child.has_ended()
    }
}

/// How connections are made.
#[derive(Clone)]
pub struct Connector {
    /// Where their work runs.
    pub tasks: Tasks,
    /// Which revisions may be spoken.
    pub speak: Speak,
    /// Who we say we are.
    pub introduction: Introduction,
    /// Who hears what comes with no answer.
    pub hears: Arc<dyn Hears>,
    /// How much a server may say at once.
    pub limits: Limits,
    /// How long the handshake may take.
    pub timeout: Duration,
    /// How long a server behind a pipe may be silent when it is asked which revisions it speaks, and one of
    /// HTTP+SSE before it says where to post; that one never longer than half of `timeout`.
    pub probe: Duration,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("speak", &self.speak)
            .field("introduction", &self.introduction)
            .finish_non_exhaustive()
    }
}

impl Connector {
    /// Connects to an endpoint, by Streamable HTTP or, where the server refuses that, by HTTP+SSE.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn http(&self, endpoint: &HttpEndpoint) -> Result<Connection, ClientError> {
        let wire = Wire::Http(endpoint.0.clone());
        let connected = self.connect(wire, self.speak, Silence::IsNoAnswer);
        connected.await.map_err(|(error, _)| error)
    }

    /// Starts a program and connects to its standard input and output. A program that leaves or
    /// stays silent when it is asked which revisions it speaks is started once more, for a
    /// handshake.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn program(&self, program: &Program) -> Result<Connection, ClientError> {
        let started = Started::now(program, &self.tasks)?;
        self.started(started, program).await
    }

    /// The same with one that runs already; `program` is what it is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn started(
        &self,
        started: Started,
        program: &Program,
    ) -> Result<Connection, ClientError> {
        let wire = |started: Started| {
            let Started {
                child,
                input,
                output,
            } = started;
            self.pipe_of(input, output, Some(child))
        };
        let first = self.connect(wire(started), self.speak, Silence::NeedsAnotherStart);
        let connected = match first.await {
            Err((_, true)) => {
                let again = Started::now(program, &self.tasks)?;
                let session = Speak::Era(Era::Session);
                self.connect(wire(again), session, Silence::IsNoAnswer)
                    .await
            }
            first => first,
        };
        connected.map_err(|(error, _)| error)
    }

    /// Connects to whatever is at the other end of a pair of byte streams, one message per line.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn pipe<I, O>(&self, input: I, output: O) -> Result<Connection, ClientError>
    where
        I: AsyncRead + Send + Unpin + 'static,
        O: AsyncWrite + Send + Unpin + 'static,
    {
        let wire = self.pipe_of(input, output, None);
        let connected = self.connect(wire, self.speak, Silence::MeansSession);
        connected.await.map_err(|(error, _)| error)
    }

    fn pipe_of<I, O>(&self, input: I, output: O, child: Option<Child>) -> Wire
    where
        I: AsyncRead + Send + Unpin + 'static,
        O: AsyncWrite + Send + Unpin + 'static,
    {
        let hears = self.hears.clone();
        Wire::Pipe(Pipe::open(
            &self.tasks,
            hears,
            self.limits,
            input,
            output,
            child,
        ))
    }

    async fn connect(
        &self,
        wire: Wire,
        speak: Speak,
        silence: Silence,
    ) -> Result<Connection, (ClientError, bool)> {
        let parts = Parts {
            wire,
            introduction: self.introduction.clone(),
            hears: self.hears.clone(),
            tasks: self.tasks.clone(),
            timeout: self.timeout,
            probe: self.probe,
        };
        Box::pin(probe::connect(parts, speak, silence)).await
    }
}
