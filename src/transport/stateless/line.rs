//! The way from a stateless call to its client: a stream that exists only while the call runs.
//!
//! No ids, no log, no way back: closing the stream is how the client cancels, and nothing is said
//! after that. Questions do not travel here; a stateless call ends with them instead.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytestring::ByteString;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::protocol::client_request::ClientRequest;
use crate::protocol::encode;
use crate::protocol::logging::LogLevel;
use crate::protocol::notification::ServerNotification;
use crate::protocol::raw::RawJson;
use crate::service::event::{self, Event, EventSender};
use crate::service::{AskError, Outlet};
use crate::transport::exchange::{Line, Opened};

/// See the module docs.
#[derive(Debug)]
pub struct StatelessLine {
    log_level: Option<LogLevel>,
    cancel: CancellationToken,
    connection: OnceLock<EventSender>,
    handover: Mutex<Option<oneshot::Sender<Opened>>>,
}

impl StatelessLine {
    /// A line that may become a stream of its own; the receiver hears when it does.
    #[must_use]
    pub fn over_http(
        log_level: Option<LogLevel>,
        cancel: CancellationToken,
    ) -> (Arc<Self>, oneshot::Receiver<Opened>) {
        let (handover, opened) = oneshot::channel();
        let line = Self {
            log_level,
            cancel,
            connection: OnceLock::new(),
            handover: Mutex::new(Some(handover)),
        };
        (Arc::new(line), opened)
    }

    /// A line through a pipe that others use too.
    #[must_use]
    pub fn through_pipe(
        log_level: Option<LogLevel>,
        cancel: CancellationToken,
        pipe: EventSender,
    ) -> Arc<Self> {
        Arc::new(Self {
            log_level,
            cancel,
            connection: OnceLock::from(pipe),
            handover: Mutex::new(None),
        })
    }

    fn connection(&self) -> &EventSender {
        self.connection.get_or_init(|| {
            let (connection, events) = event::connection();
            let handover = self
                .handover
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(handover) = handover {
                // The exchange may have ended: then its client is gone, and so is this call.
                drop(handover.send(Opened { events, name: None }));
            }
            connection
        })
    }

    async fn send(&self, data: ByteString) {
        let sent = self.connection().send(Event::Message { seq: None, data });
        if sent.await.is_err() {
            self.cancel.cancel();
        }
    }
}

impl Outlet for StatelessLine {
    fn notify(&self, notification: ServerNotification) -> BoxFuture<'_, ()> {
        Box::pin(self.send(encode::notification(&notification).into()))
    }

    fn wants_log(&self, level: LogLevel) -> bool {
        self.log_level.is_some_and(|wanted| level >= wanted)
    }

    fn ask(&self, _: ClientRequest) -> BoxFuture<'_, Result<RawJson, AskError>> {
        Box::pin(std::future::ready(Err(AskError::Impossible(
            "a stateless call ends with its questions",
        ))))
    }

    fn release_connection(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl Line for StatelessLine {
    fn open(&self) -> BoxFuture<'_, ()> {
        self.connection();
        Box::pin(std::future::ready(()))
    }

    fn is_open(&self) -> bool {
        self.connection.get().is_some()
    }

    fn carry(
        self: Arc<Self>,
        mut call: BoxFuture<'static, Vec<ByteString>>,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let connection = self.connection();
            let last = tokio::select! {
                biased;
                last = &mut call => last,
                () = connection.closed() => {
                    // basic/patterns/cancellation: closing the stream is cancelling.
                    self.cancel.cancel();
                    call.await
                }
            };
            for data in last {
                self.send(data).await;
            }
        })
    }
}
