//! A connection to a server: both sides have agreed on a revision, and messages go and come.
//!
//! What a server says that answers no request goes to whoever [`Hears`] it: over HTTP what comes
//! with an answer goes to who asked, and everything else to who opened the connection.
//!
//! It does not know what methods mean, keeps no lists and goes through no rounds: that is
//! [`super::Client`], and the gateway does it its own way.
//!
//! # Cancel safety
//! [`Connection::exchange`] dropped before its answer cancels the request at the server.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::ClientError;
use super::http::{Exchanged, Http, NOTICE, Outgoing, Speaking};
use super::http_sse::HttpSse;
use super::message;
use super::pipe::Pipe;
use super::standing::{self, Left};
use crate::protocol::jsonrpc::{Notification, Request, RequestId, ResponseError};
use crate::protocol::lifecycle::Implementation;
use crate::protocol::meta;
use crate::protocol::raw::RawJson;
use crate::protocol::version::{Era, ProtocolVersion};
use crate::runtime::tasks::{TaskKind, Tasks};

/// How long closing waits for cancellations to be delivered.
const FAREWELL: Duration = Duration::from_secs(5);

/// Hears what a server says that answers nothing.
pub trait Hears: Send + Sync {
    /// It tells something; with the answer to `request`, where the connection says so. Called where
    /// messages are read, so it must not wait.
    fn told(&self, request: Option<&RequestId>, notification: Notification);

    /// A wait for room for what it tells, if there is none. Only a stream of one request is made to
    /// wait: whatever else a server says comes on the same pipe.
    fn room(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }

    /// What the server is called in the log.
    fn name(&self) -> &str;

    /// It asks something, other than whether we are there.
    fn asked(&self, question: Request) -> BoxFuture<'_, Result<RawJson, ResponseError>>;
}

/// Who we say we are, and what we can be asked.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// Our name and version.
    pub info: Implementation,
    /// What is declared in the handshake.
    pub session: Value,
    /// What is declared with each request of the stateless era.
    pub stateless: Value,
}

impl Introduction {
    /// What stands in the `_meta` of every request of `version`.
    #[must_use]
    pub fn meta(&self, version: ProtocolVersion) -> Map<String, Value> {
        let mut found = Map::new();
        if version.era() == Era::Stateless {
            found.insert(meta::PROTOCOL_VERSION_KEY.into(), json!(version));
            found.insert(meta::CLIENT_CAPABILITIES_KEY.into(), self.stateless.clone());
            found.insert(meta::CLIENT_INFO_KEY.into(), json!(self.info));
        }
        found
    }
}

/// How messages travel.
#[derive(Debug)]
pub(super) enum Wire {
    Http(Http),
    HttpSse(HttpSse),
    Pipe(Pipe),
}

/// What a connection is made of, before both sides agreed on anything.
pub(super) struct Parts {
    pub(super) wire: Wire,
    pub(super) introduction: Introduction,
    pub(super) hears: Arc<dyn Hears>,
    pub(super) tasks: Tasks,
    /// How long the handshake may take.
    pub(super) timeout: Duration,
    /// See [`super::Connector::probe`].
    pub(super) probe: Duration,
}

/// See the module docs. Cloning shares it.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    parts: Parts,
    speaking: Speaking,
    server: Option<RawJson>,
    next_id: AtomicI64,
    /// Cancellations on their way.
    farewells: TaskTracker,
    /// The standing stream of a session over HTTP.
    standing: Mutex<Option<AbortHandle>>,
    /// Fires when the server is known to have forgotten the session.
    lost: CancellationToken,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("wire", &self.0.parts.wire)
            .field("version", &self.0.speaking.version)
            .finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(
        parts: Parts,
        speaking: Speaking,
        server: Option<RawJson>,
        next_id: i64,
    ) -> Self {
        Self(Arc::new(Inner {
            parts,
            speaking,
            server,
            next_id: AtomicI64::new(next_id),
            farewells: TaskTracker::new(),
            standing: Mutex::default(),
            lost: CancellationToken::new(),
        }))
    }

    /// The revision that is spoken.
    #[must_use]
    pub fn version(&self) -> ProtocolVersion {
        self.0.speaking.version
    }

    /// What the server said of itself: the result of `initialize` or `server/discover`. Nothing
    /// when it was not asked, because the stateless era was asked for.
    #[must_use]
    pub fn server(&self) -> Option<&RawJson> {
        self.0.server.as_ref()
    }

    /// Whether what a server asks or tells with an answer is told apart from everything else it says,
    /// and requests of the stateless era have headers.
    #[must_use]
    pub fn is_http(&self) -> bool {
        matches!(self.0.parts.wire, Wire::Http(_))
    }

    /// Whether the server named a session.
    #[must_use]
    pub fn has_session(&self) -> bool {
        self.0.speaking.session.is_some()
    }

    /// Who we said we are.
    #[must_use]
    pub fn introduction(&self) -> &Introduction {
        &self.0.parts.introduction
    }

    pub(super) fn tasks(&self) -> &Tasks {
        &self.0.parts.tasks
    }

    /// An id for the next request.
    #[must_use]
    pub fn next_id(&self) -> RequestId {
        RequestId::Number(self.0.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Sends a request and gives its result, as the server sent it; what comes with the answer goes
    /// to `hears`, as far as the connection tells.
    ///
    /// # Errors
    /// [`ClientError`].
    ///
    /// # Cancel safety
    /// Dropped, it cancels the request at the server.
    pub async fn exchange(
        &self,
        outgoing: Outgoing<'_>,
        hears: &dyn Hears,
    ) -> Result<RawJson, ClientError> {
        let id = outgoing.id.clone();
        let mut leaving = Leaving {
            connection: self,
            id: Some(&id),
        };
        let exchanged = exchange(&self.0.parts.wire, &self.0.speaking, outgoing, hears).await;
        leaving.id = None;
        if let Err(ClientError::SessionLost) = &exchanged {
            self.0.lost.cancel();
        }
        result_of(exchanged?)
    }

    /// Sends a message that is never answered.
    ///
    /// # Errors
    /// [`ClientError`] when it could not be delivered.
    pub async fn send(&self, text: String) -> Result<(), ClientError> {
        match &self.0.parts.wire {
            Wire::Http(http) => http.send(&self.0.speaking, text).await,
            Wire::HttpSse(stream) => stream.send(text).await,
            Wire::Pipe(pipe) => pipe.send(text).await,
        }
    }

    /// Opens the standing stream of a session over HTTP. Questions may come there at once, so this
    /// waits until the server had its say about it.
    pub async fn stand(&self) {
        let Wire::Http(http) = &self.0.parts.wire else {
            return;
        };
        if self.version().era() == Era::Stateless || lock(&self.0.standing).is_some() {
            return;
        }
        let (opened, tried) = oneshot::channel();
        let (http, speaking) = (http.clone(), self.0.speaking.clone());
        let (hears, lost) = (self.0.parts.hears.clone(), self.0.lost.clone());
        let holding = self.tasks().spawn(TaskKind::Upkeep, async move {
            let left = standing::hold(http, speaking, hears, opened).await;
            if let Left::SessionLost = left {
                lost.cancel();
            }
        });
        *lock(&self.0.standing) = Some(holding.abort_handle());
        // A server that leaves it open without a word is not waited for.
        let _silent = tokio::time::timeout(NOTICE, tried).await;
    }

    /// Waits until nothing more comes or is taken: the server closed the connection, or is known to have
    /// forgotten the session.
    pub async fn ended(&self) {
        let closed = async {
            match &self.0.parts.wire {
                // Each request has a connection of its own.
                Wire::Http(_) => std::future::pending().await,
                Wire::HttpSse(stream) => stream.ended().await,
                Wire::Pipe(pipe) => pipe.ended().await,
            }
        };
        tokio::select! {
            () = closed => {}
            () = self.0.lost.cancelled() => {}
        }
    }

    /// Whether the server is known to have forgotten the session.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.0.lost.is_cancelled()
    }

    /// Something to be told that closing waits for, and not for long.
    pub(super) fn track(
        &self,
        telling: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        self.0.farewells.track_future(async move {
            let _cut = tokio::time::timeout(FAREWELL, telling).await;
        })
    }

    /// Tells the server that nobody waits for this answer any more.
    fn cancel(&self, id: &RequestId) {
        let is_told_by_closing = self.is_http() && self.version().era() == Era::Stateless;
        if is_told_by_closing {
            return;
        }
        let (connection, text) = (self.clone(), message::cancelled(id));
        let telling = self.track(async move {
            if let Err(error) = connection.send(text).await {
                tracing::debug!(
                    error = error.for_log(),
                    "a cancellation could not be delivered"
                );
            }
        });
        self.tasks().spawn(TaskKind::Upkeep, telling);
    }

    /// Ends the connection in order: cancellations are delivered, then the session or the child
    /// ends. Other clones are of no use after that.
    pub async fn close(&self) {
        self.0.farewells.close();
        let _cut = tokio::time::timeout(FAREWELL, self.0.farewells.wait()).await;
        self.0.leave_standing_stream();
        match &self.0.parts.wire {
            Wire::Http(http) => http.end(&self.0.speaking).await,
            Wire::HttpSse(stream) => stream.close(),
            Wire::Pipe(pipe) => pipe.close().await,
        }
    }
}

impl Inner {
    fn leave_standing_stream(&self) {
        if let Some(holding) = lock(&self.standing).take() {
            holding.abort();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.leave_standing_stream();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request that has no answer yet.
struct Leaving<'a> {
    connection: &'a Connection,
    id: Option<&'a RequestId>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.connection.cancel(id);
        }
    }
}

/// One request and its answer, whatever carries them.
pub(super) async fn exchange(
    wire: &Wire,
    speaking: &Speaking,
    outgoing: Outgoing<'_>,
    hears: &dyn Hears,
) -> Result<Exchanged, ClientError> {
    match wire {
        Wire::Http(http) => http.exchange(speaking, outgoing, hears).await,
        Wire::HttpSse(stream) => stream.exchange(outgoing).await,
        Wire::Pipe(pipe) => pipe.exchange(outgoing).await,
    }
}

/// The result in an answer, or the error it is.
pub(super) fn result_of(exchanged: Exchanged) -> Result<RawJson, ClientError> {
    exchanged
        .response
        .outcome
        .map_err(|error| ClientError::Answered {
            error,
            status: exchanged.status,
        })
}
