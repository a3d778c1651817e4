//! The way from a call of the session era to its client: one stream of its own over HTTP, or the
//! one pipe that everything of a session goes through.
//!
//! As an [`Outlet`] it carries notifications and questions; as a [`Line`] it lets the exchange
//! begin a stream when the first of them comes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bytestring::ByteString;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, oneshot};

use super::exchange::{Line, Opened};
use crate::protocol::client_request::ClientRequest;
use crate::protocol::encode;
use crate::protocol::jsonrpc::{Params, RequestId};
use crate::protocol::logging::LogLevel;
use crate::protocol::notification::ServerNotification;
use crate::protocol::raw::RawJson;
use crate::runtime::tasks::{TaskKind, Tasks};
use crate::service::event::{Event, EventSender};
use crate::service::{AskError, Outlet};
use crate::session::SessionHandle;
use crate::session::open_stream::OpenStream;

/// See the module docs.
#[derive(Debug)]
pub struct SessionLine {
    me: Weak<Self>,
    session: SessionHandle,
    /// The requests that share this line: one, or those of a batch.
    requests: Vec<RequestId>,
    /// The params, if it is one `tools/call`.
    call: Option<Params>,
    /// Whether its call is made for the second time.
    again: bool,
    way: Way,
    /// Questions sent and not yet answered.
    questions: Mutex<Vec<RequestId>>,
}

#[derive(Debug)]
enum Way {
    Http {
        tasks: Tasks,
        begun: AtomicBool,
        stream: OnceLock<OpenStream>,
        ready: Notify,
        handover: Mutex<Option<oneshot::Sender<Opened>>>,
    },
    Pipe(EventSender),
}

impl SessionLine {
    /// A line that may become a stream of its own; the receiver hears when it does. `call` are the
    /// params if it is for one `tools/call`.
    #[must_use]
    pub fn over_http(
        session: SessionHandle,
        requests: Vec<RequestId>,
        call: Option<Params>,
        tasks: Tasks,
    ) -> (Arc<Self>, oneshot::Receiver<Opened>) {
        let (handover, opened) = oneshot::channel();
        let way = Way::Http {
            tasks,
            begun: AtomicBool::new(false),
            stream: OnceLock::new(),
            ready: Notify::new(),
            handover: Mutex::new(Some(handover)),
        };
        (Self::new(session, requests, call, way), opened)
    }

    /// A line through the session's one pipe.
    #[must_use]
    pub fn through_pipe(session: SessionHandle, pipe: EventSender) -> Arc<Self> {
        Self::new(session, Vec::new(), None, Way::Pipe(pipe))
    }

    /// A line that is a stream already: its call is made again.
    #[must_use]
    pub fn going_on(session: SessionHandle, stream: OpenStream, tasks: Tasks) -> Arc<Self> {
        let way = Way::Http {
            tasks,
            begun: AtomicBool::new(true),
            stream: OnceLock::from(stream),
            ready: Notify::new(),
            handover: Mutex::new(None),
        };
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            session,
            requests: Vec::new(),
            call: None,
            again: true,
            way,
            questions: Mutex::new(Vec::new()),
        })
    }

    /// Whether progress may be told. A call that is made again has told its client of progress that
    /// must not go back (basic/utilities/progress).
    pub(super) const fn may_tell_progress(&self) -> bool {
        !self.again
    }

    fn new(
        session: SessionHandle,
        requests: Vec<RequestId>,
        call: Option<Params>,
        way: Way,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            session,
            requests,
            call,
            again: false,
            way,
            questions: Mutex::new(Vec::new()),
        })
    }

    /// Tells the client that questions of a call that ended without them need no answer any more.
    pub async fn withdraw_questions(&self) {
        let open = std::mem::take(&mut *self.lock_questions());
        for id in open {
            self.withdraw(&id, "the call that asked has ended").await;
        }
    }

    async fn withdraw(&self, id: &RequestId, reason: &str) {
        let notification = ServerNotification::cancelled(id, reason);
        self.send(encode::notification(&notification)).await;
    }

    async fn send(&self, text: String) {
        let data = ByteString::from(text);
        match &self.way {
            Way::Http { .. } => {
                if let Some(stream) = self.opened_stream().await {
                    stream.send(data).await;
                }
            }
            Way::Pipe(pipe) => {
                // A client that is gone takes its session, and so this call, with it.
                let _gone = pipe.send(Event::Message { seq: None, data }).await;
            }
        }
    }

    async fn opened_stream(&self) -> Option<&OpenStream> {
        self.open().await;
        match &self.way {
            Way::Http { stream, .. } => stream.get(),
            Way::Pipe(_) => None,
        }
    }

    async fn put_question(&self, request: ClientRequest) -> Result<RawJson, AskError> {
        let patience = self.session.patience(request.kind);
        let mut question = self.session.open_question().await?;
        self.lock_questions().push(question.id.clone());
        self.send(encode::request(&question.id, &request)).await;
        let answer = question.answer(patience).await;
        self.lock_questions().retain(|id| *id != question.id);
        if answer == Err(AskError::TimedOut) {
            self.withdraw(&question.id, "the answer took too long")
                .await;
        }
        answer
    }

    fn lock_questions(&self) -> MutexGuard<'_, Vec<RequestId>> {
        self.questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outlet for SessionLine {
    fn notify(&self, notification: ServerNotification) -> BoxFuture<'_, ()> {
        Box::pin(self.send(encode::notification(&notification)))
    }

    fn wants_log(&self, level: LogLevel) -> bool {
        self.session.wants_log(level)
    }

    fn ask(&self, request: ClientRequest) -> BoxFuture<'_, Result<RawJson, AskError>> {
        Box::pin(self.put_question(request))
    }

    fn release_connection(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // Clients before priming events have no way to come back.
            if !self.session.negotiated().version.has_priming_events() {
                return;
            }
            if let Some(stream) = self.opened_stream().await
                && stream.is_durable()
            {
                let retry = self.session.retry();
                stream.send_control(Event::Retry { retry }).await;
                stream.release_connection();
            }
        })
    }
}

impl Line for SessionLine {
    fn open(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let Way::Http {
                tasks,
                begun,
                stream,
                ready,
                ..
            } = &self.way
            else {
                return;
            };
            if !begun.swap(true, Ordering::AcqRel)
                && let Some(me) = self.me.upgrade()
            {
                tasks.spawn(TaskKind::Store, async move { me.begin().await });
            }
            loop {
                let begun = ready.notified();
                tokio::pin!(begun);
                begun.as_mut().enable();
                if stream.get().is_some() {
                    return;
                }
                begun.await;
            }
        })
    }

    fn is_open(&self) -> bool {
        match &self.way {
            Way::Http { begun, .. } => begun.load(Ordering::Acquire),
            Way::Pipe(_) => true,
        }
    }

    fn carry(self: Arc<Self>, call: BoxFuture<'static, Vec<ByteString>>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let Some(stream) = self.opened_stream().await else {
                return;
            };
            tokio::join!(
                async {
                    let last = call.await;
                    stream.last(last);
                },
                stream.pump()
            );
        })
    }
}

impl SessionLine {
    async fn begin(&self) {
        let Way::Http {
            stream,
            ready,
            handover,
            ..
        } = &self.way
        else {
            return;
        };
        let (open, events) = self
            .session
            .begin_stream(&self.requests, self.call.as_ref())
            .await;
        let name = open.is_durable().then(|| open.name().clone());
        // Set once only: `begun` lets one task in here.
        let _first = stream.set(open);
        let handover = handover
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(handover) = handover {
            // The exchange may have ended; then nobody reads, and the log alone keeps the stream.
            drop(handover.send(Opened { events, name }));
        }
        ready.notify_waiters();
    }
}
