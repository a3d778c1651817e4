//! A connected client: requests in, results out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::builder::Builder;
use super::connection::Connection;
use super::error::ClientError;
use super::host::Host;
use super::http::Outgoing;
use super::message::{self, Request};
use crate::protocol::param_headers::HeaderParams;
use crate::protocol::raw::RawJson;
use crate::protocol::version::ProtocolVersion;
use crate::runtime::tasks::Tasks;

/// A connection to a server. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Client(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) connection: Connection,
    pub(super) host: Arc<Host>,
    pub(super) timeout: Duration,
    /// Which arguments each tool wants repeated as headers, once the tools were listed.
    pub(super) annotated: Mutex<Option<HashMap<String, HeaderParams>>>,
}

impl Client {
    /// A client to be put together. `tasks` is where its work runs.
    pub fn builder(tasks: Tasks) -> Builder {
        Builder::new(tasks)
    }

    pub(super) fn connected(connection: Connection, host: Arc<Host>, timeout: Duration) -> Self {
        Self(Arc::new(Inner {
            connection,
            host,
            timeout,
            annotated: Mutex::default(),
        }))
    }

    /// The revision that is spoken.
    #[must_use]
    pub fn version(&self) -> ProtocolVersion {
        self.0.connection.version()
    }

    /// What the server said of itself: the result of `initialize` or `server/discover`. Nothing
    /// when it was not asked, because the stateless era was asked for.
    #[must_use]
    pub fn server(&self) -> Option<&RawJson> {
        self.0.connection.server()
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
        let limit = self.0.timeout;
        tokio::select! {
            result = self.0.to_its_result(&request) => result,
            () = self.0.host.pauses.ran_out(limit) => Err(ClientError::TimedOut(limit)),
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
        let text = message::notification(method, params);
        self.0.connection.send(text).await
    }

    /// Ends the connection in order: cancellations are delivered, then the session or the child
    /// ends. Other clones are of no use after that.
    pub async fn close(self) {
        self.0.connection.close().await;
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
        let id = self.connection.next_id();
        let mut meta = self
            .connection
            .introduction()
            .meta(self.connection.version());
        self.host
            .add_meta(&id, self.connection.version(), &mut meta);
        let outgoing = Outgoing {
            id: &id,
            method: &request.method,
            text: request.text(&id, meta, more),
            headers,
        };
        self.connection.exchange(outgoing, &*self.host).await
    }
}
