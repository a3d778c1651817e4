//! A connected client: requests in, results out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

use super::builder::Builder;
use super::error::ClientError;
use super::host::Host;
use super::http::{Exchanged, Http, NOTICE, Outgoing, Speaking};
use super::message::{self, Request};
use super::pipe::Pipe;
use super::standing;
use crate::protocol::jsonrpc::RequestId;
use crate::protocol::param_headers::HeaderParams;
use crate::protocol::raw::RawJson;
use crate::protocol::version::{Era, ProtocolVersion};
use crate::runtime::tasks::{TaskKind, Tasks};

/// How long closing waits for cancellations to be delivered.
const FAREWELL: Duration = Duration::from_secs(5);

/// A connection to a server. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Client(pub(super) Arc<Inner>);

/// How messages travel.
#[derive(Debug)]
pub(super) enum Wire {
    Http(Http),
    Pipe(Pipe),
}

/// What a connection is made of, before both sides agreed on anything.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) wire: Wire,
    pub(super) host: Arc<Host>,
    pub(super) tasks: Tasks,
    pub(super) timeout: Duration,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) parts: Parts,
    pub(super) speaking: Speaking,
    /// The result of `initialize` or `server/discover`.
    pub(super) server: Option<RawJson>,
    /// Which arguments each tool wants repeated as headers, once the tools were listed.
    pub(super) annotated: Mutex<Option<HashMap<String, HeaderParams>>>,
    next_id: AtomicI64,
    /// Cancellations on their way.
    farewells: TaskTracker,
    /// The standing stream of a session over HTTP.
    standing: Mutex<Option<AbortHandle>>,
}

impl Client {
    /// A client to be put together. `tasks` is where its work runs.
    pub fn builder(tasks: Tasks) -> Builder {
        Builder::new(tasks)
    }

    pub(super) fn connected(
        parts: Parts,
        speaking: Speaking,
        server: Option<RawJson>,
        next_id: i64,
    ) -> Self {
        Self(Arc::new(Inner {
            parts,
            speaking,
            server,
            annotated: Mutex::default(),
            next_id: AtomicI64::new(next_id),
            farewells: TaskTracker::new(),
            standing: Mutex::default(),
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

    /// Sends a request and gives its result, as the server sent it. In the stateless era it goes
    /// through as many rounds as the server needs.
    ///
    /// # Errors
    /// [`ClientError`].
    ///
    /// # Cancel safety
    /// Dropped, it cancels the request at the server.
    pub async fn request(&self, request: Request) -> Result<RawJson, ClientError> {
        let limit = self.0.parts.timeout;
        tokio::select! {
            result = self.0.to_its_result(&request) => result,
            () = self.0.parts.host.pauses.ran_out(limit) => Err(ClientError::TimedOut(limit)),
        }
    }

    /// Sends a notification.
    ///
    /// # Errors
    /// [`ClientError`] when it could not be delivered.
    pub async fn notify(
        &self,
        method: &str,
        params: Option<&serde_json::Value>,
    ) -> Result<(), ClientError> {
        self.0.send(message::notification(method, params)).await
    }

    /// Ends the connection in order: cancellations are delivered, then the session or the child
    /// ends. Other clones are of no use after that.
    pub async fn close(self) {
        self.0.farewells.close();
        let _cut = tokio::time::timeout(FAREWELL, self.0.farewells.wait()).await;
        self.0.leave_standing_stream();
        match &self.0.parts.wire {
            Wire::Http(http) => http.end(&self.0.speaking).await,
            Wire::Pipe(pipe) => pipe.close().await,
        }
    }
}

impl Inner {
    /// One request, one answer. Dropped before the answer, it cancels the request.
    pub(super) async fn once(
        self: &Arc<Self>,
        request: &Request,
        more: &[String],
        headers: Vec<(String, String)>,
    ) -> Result<RawJson, ClientError> {
        let id = RequestId::Number(self.next_id.fetch_add(1, Ordering::Relaxed));
        let text = request.text(&id, self.speaking.version, &self.parts.host, more);
        let mut leaving = Leaving {
            inner: self,
            id: Some(&id),
        };
        let outgoing = Outgoing {
            id: &id,
            method: &request.method,
            text,
            headers,
        };
        let exchanged = exchange(&self.parts, &self.speaking, outgoing).await;
        leaving.id = None;
        result_of(exchanged?)
    }

    pub(super) async fn send(&self, text: String) -> Result<(), ClientError> {
        match &self.parts.wire {
            Wire::Http(http) => http.send(&self.speaking, text).await,
            Wire::Pipe(pipe) => pipe.send(text).await,
        }
    }

    /// Opens the standing stream of a session over HTTP, if somebody here would hear what comes.
    /// Questions may come there at once, so this waits until the server had its say about it.
    pub(super) async fn stand(&self) {
        let Wire::Http(http) = &self.parts.wire else {
            return;
        };
        if !self.parts.host.is_somebody_there() {
            return;
        }
        let (opened, tried) = oneshot::channel();
        let (http, speaking) = (http.clone(), self.speaking.clone());
        let holding = standing::hold(http, speaking, self.parts.host.clone(), opened);
        let holding = self.parts.tasks.spawn(TaskKind::Upkeep, holding);
        *lock(&self.standing) = Some(holding.abort_handle());
        // A server that leaves it open without a word is not waited for.
        let _silent = tokio::time::timeout(NOTICE, tried).await;
    }

    fn leave_standing_stream(&self) {
        if let Some(holding) = lock(&self.standing).take() {
            holding.abort();
        }
    }

    /// Tells the server that nobody waits for this answer any more.
    fn cancel(self: &Arc<Self>, id: &RequestId) {
        let is_told_by_closing = matches!(self.parts.wire, Wire::Http(_))
            && self.speaking.version.era() == Era::Stateless;
        if is_told_by_closing {
            return;
        }
        let (inner, text) = (self.clone(), message::cancelled(id));
        let telling = self.track(async move {
            if let Err(error) = inner.send(text).await {
                tracing::debug!(%error, "a cancellation could not be delivered");
            }
        });
        self.parts.tasks.spawn(TaskKind::Upkeep, telling);
    }

    /// Something to be told that closing waits for, and not for long.
    pub(super) fn track(
        &self,
        telling: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        self.farewells.track_future(async move {
            let _cut = tokio::time::timeout(FAREWELL, telling).await;
        })
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
    inner: &'a Arc<Inner>,
    id: Option<&'a RequestId>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.inner.cancel(id);
        }
    }
}

/// One request and its answer, whatever carries them.
pub(super) async fn exchange(
    parts: &Parts,
    speaking: &Speaking,
    outgoing: Outgoing<'_>,
) -> Result<Exchanged, ClientError> {
    match &parts.wire {
        Wire::Http(http) => Box::pin(http.exchange(speaking, outgoing, &parts.host)).await,
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
