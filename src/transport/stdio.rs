//! stdio: one message per line, both eras on one pair of pipes.
//!
//! Lines are cut by newline bytes and by nothing else: a read may hold half a message or twenty,
//! and a message may be far larger than a pipe's buffer. The first message that only one era has
//! pins the process to it; requests of the stateless era are still served after that, because each
//! says by itself what it is.
//!
//! Standard output carries messages and nothing else; logs go to standard error.
//!
//! Spec: basic/transports, stdio (every revision); 2026-07-28 basic/transports/stdio;
//! 2026-07-28 basic/versioning, serving both eras.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::config::{Context, Endpoint};
use super::pipe::Pipe;
use super::reply::Refused;
use super::stateless::listen::Listening;
use super::stateless::{self, Declared, StatelessLine, Surroundings};
use crate::identity::Caller;
use crate::protocol::encode;
use crate::protocol::era::{self, Belongs, EraError, VersionHeader};
use crate::protocol::jsonrpc::{Body, Message, Notification, Request, RequestId};
use crate::protocol::lines::{Line, Lines};
use crate::protocol::meta::{DeclaredClient, MetaError, PROTOCOL_VERSION_KEY};
use crate::protocol::method::Method;
use crate::protocol::version::{Era, ProtocolVersion};
use crate::runtime::shutdown::Phase;
use crate::runtime::tasks::TaskKind;
use crate::service::event::{self, Event, EventReceiver, EventSender};
use crate::service::{ServiceError, Visit};
use crate::session::dispatch;
use crate::session::in_flight::NotEntered;

/// Bytes read at once.
const READ: usize = 64 * 1024;
/// Stateless requests that may run at once; what one session may have in the other era.
const RUNNING_MAX: usize = 256;

/// Serves `caller` on `input` and `output` until `input` ends or the process drains, and what ran has answered
/// or was cancelled.
///
/// # Errors
/// When reading or writing fails.
pub async fn serve<I, O>(
    context: Context,
    endpoint: Endpoint,
    caller: Arc<Caller>,
    input: I,
    output: O,
) -> io::Result<()>
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin + Send + 'static,
{
    let (out, events) = event::connection();
    let writer = context.tasks.spawn(TaskKind::Stream, write(events, output));
    let process = Process {
        pipe: Pipe::new(
            context.clone(),
            endpoint.clone(),
            Visit::of(caller),
            out.clone(),
        ),
        context,
        endpoint,
        out,
        pinned: Mutex::new(None),
        running: Arc::default(),
    };
    let read = process.read(input).await;
    process.end().await;
    drop(process);
    writer.await.map_err(io::Error::other)??;
    read
}

/// Writes messages as lines until nobody can say anything any more.
async fn write<O: AsyncWrite + Unpin>(mut events: EventReceiver, mut output: O) -> io::Result<()> {
    while let Some(event) = events.next().await {
        let mut next = Some(event);
        while let Some(event) = next {
            match event {
                Event::Message { data, .. } => {
                    output.write_all(encode::one_line(&data).as_bytes()).await?;
                    output.write_all(b"\n").await?;
                }
                // Pipes have no reconnecting, so these mean nothing here.
                Event::Priming { .. } | Event::Retry { .. } => {}
            }
            next = events.try_next();
        }
        output.flush().await?;
    }
    Ok(())
}

struct Process {
    context: Context,
    endpoint: Endpoint,
    pipe: Pipe,
    out: EventSender,
    /// The era of the first message that only one era has.
    pinned: Mutex<Option<Era>>,
    /// Stateless requests that run now.
    running: Arc<Mutex<HashMap<RequestId, Running>>>,
}

/// A stateless request that runs.
struct Running {
    cancel: CancellationToken,
    /// It ends by itself, and with a result, when the process is on its way out.
    is_subscription: bool,
}

impl Process {
    async fn read<I: AsyncRead + Unpin>(&self, mut input: I) -> io::Result<()> {
        let mut lines = Lines::new(self.context.config.line_max);
        let mut buffer = vec![0; READ];
        loop {
            let count = tokio::select! {
                count = input.read(&mut buffer) => count?,
                // Told to stop: what came so far was served, and nothing more is read.
                () = self.context.shutdown.reached(Phase::Draining) => return Ok(()),
            };
            if count == 0 {
                // A last line without its newline is a line.
                if let Some(line) = lines.rest() {
                    self.line(line).await;
                }
                return Ok(());
            }
            lines.push(&buffer[..count]);
            while let Some(line) = lines.next() {
                self.line(line).await;
            }
        }
    }

    async fn line(&self, line: Line) {
        let bytes = match line {
            Line::Whole(bytes) if bytes.trim_ascii().is_empty() => return,
            Line::Whole(bytes) => bytes,
            Line::TooLong(_) => {
                let max = self.context.config.line_max;
                let refused = Refused::Line(max);
                return self.pipe.say(refused.wire().text(None)).await;
            }
        };
        match Body::parse(&bytes, &self.context.config.json) {
            Ok(Body::Single(message)) => self.message(message).await,
            Ok(Body::Batch(elements)) => {
                let stateless = self.pinned() == Some(Era::Stateless);
                let claims = era::any_claim(elements.iter().flatten());
                if stateless || claims || !self.pipe.accepts_batches() {
                    return self.pipe.say(Refused::Batch.wire().text(None)).await;
                }
                self.pin(Era::Session);
                self.pipe.take_batch(elements).await;
            }
            Err(error) => {
                let refused = Refused::Parse(error);
                self.pipe.say(refused.wire().text(refused.id())).await;
            }
        }
    }

    async fn message(&self, message: Message) {
        let id = match &message {
            Message::Request(request) => Some(request.id.clone()),
            Message::Notification(_) | Message::Response(_) => None,
        };
        match (era::classify(message, VersionHeader::None), id) {
            (Ok(Belongs::Stateless(request, client)), _) => {
                // Discovery decides nothing: its client may still fall back to `initialize`.
                if !matches!(request.method, Method::Discover) {
                    self.pin(Era::Stateless);
                }
                self.stateless(request, client).await;
            }
            (Ok(Belongs::StatelessNotification(notification)), _) => {
                self.notification(notification).await;
            }
            (Ok(Belongs::Session(message)), _) => self.of_session(message).await,
            (Err(error), Some(id)) => self.refuse(&Refused::Era(error), &id).await,
            (Err(error), None) => tracing::debug!(%error, "a message was dropped"),
        }
    }

    async fn of_session(&self, message: Message) {
        match message {
            Message::Request(request) if self.pinned() == Some(Era::Stateless) => {
                let error = if matches!(request.method, Method::Initialize) {
                    EraError::Unsupported {
                        requested: "initialize".into(),
                    }
                } else {
                    EraError::Meta(MetaError::Missing(PROTOCOL_VERSION_KEY))
                };
                self.refuse(&Refused::Era(error), &request.id).await;
            }
            Message::Notification(notification) => self.notification(notification).await,
            // Before an era is pinned nobody can have been asked anything.
            Message::Response(_) if self.pinned().is_none() => {}
            message @ (Message::Request(_) | Message::Response(_)) => {
                self.pin(Era::Session);
                self.pipe.take(message).await;
            }
        }
    }

    async fn notification(&self, notification: Notification) {
        // Which era it belongs to shows in the request it names.
        if notification.method == "notifications/cancelled"
            && let Some(id) = dispatch::cancelled_request(&notification)
            && let Some(running) = self.lock_running().get(&id)
        {
            running.cancel.cancel();
            return;
        }
        self.pipe.take(Message::Notification(notification)).await;
    }

    async fn stateless(&self, request: Request, client: DeclaredClient) {
        let id = request.id.clone();
        let is_subscription = matches!(request.method, Method::Listen);
        let cancel = match self.enter(&id, is_subscription) {
            Ok(cancel) => cancel,
            Err(why) => return self.refuse(&Refused::Entering(why), &id).await,
        };
        let leave = Leave {
            running: self.running.clone(),
            id: id.clone(),
        };
        let service = &self.endpoint.service;
        let caller = &self.pipe.caller();
        let description = service.describe(caller);
        let envelope = stateless::envelope(&request.method, &description, &self.context.config);
        let (pipe, out) = (self.pipe.clone(), self.out.clone());
        if is_subscription {
            let listening = match Listening::begin(&request, &client, service, caller).await {
                Ok(listening) => listening,
                Err(error) => return self.pipe.say(envelope.answer(&id, &Err(error)).1).await,
            };
            let shutdown = self.context.shutdown.clone();
            self.context.tasks.spawn(TaskKind::Stream, async move {
                let _leave = leave;
                let end = shutdown.reached(Phase::Draining);
                listening.speak(&out, cancel, end).await;
            });
            return;
        }
        if request.method.is_foreign_to(ProtocolVersion::NEWEST) {
            let error = ServiceError::MethodNotFound(request.method.to_string());
            return self.pipe.say(envelope.answer(&id, &Err(error)).1).await;
        }
        let declared = match Declared::of(&request, client) {
            Ok(declared) => declared,
            Err(error) => return self.pipe.say(envelope.answer(&id, &Err(error)).1).await,
        };
        let line = StatelessLine::through_pipe(declared.log_level, cancel.clone(), out);
        let surroundings = Surroundings {
            endpoint: &self.endpoint,
            visit: &Visit::of(caller.clone()),
            config: &self.context.config,
            metrics: &self.context.metrics,
        };
        let answering = surroundings.answer(request, declared, line, cancel);
        self.pipe.run_beside(async move {
            let outcome = answering.await;
            drop(leave);
            match outcome {
                Err(ServiceError::Cancelled) => {}
                outcome => pipe.say(envelope.answer(&id, &outcome).1).await,
            }
        });
    }

    fn enter(
        &self,
        id: &RequestId,
        is_subscription: bool,
    ) -> Result<CancellationToken, NotEntered> {
        let mut running = self.lock_running();
        if running.contains_key(id) {
            return Err(NotEntered::Duplicate);
        }
        if running.len() >= RUNNING_MAX {
            return Err(NotEntered::Full);
        }
        let cancel = CancellationToken::new();
        let entered = Running {
            cancel: cancel.clone(),
            is_subscription,
        };
        running.insert(id.clone(), entered);
        Ok(cancel)
    }

    async fn refuse(&self, refused: &Refused, id: &RequestId) {
        self.pipe.say(refused.wire().text(Some(id))).await;
    }

    /// The input has ended: let answers out that are nearly there, cancel the rest, close listens.
    async fn end(&self) {
        // Whoever pipes requests in and closes the pipe wants their answers; whoever shuts us down
        // does not want to wait. The grace that decides between fast and slow answers serves both.
        let grace = self.context.config.grace;
        let _cut = tokio::time::timeout(grace, self.pipe.calls_ended()).await;
        self.context.shutdown.advance(Phase::Draining);
        for running in self.lock_running().values() {
            if !running.is_subscription {
                running.cancel.cancel();
            }
        }
        self.pipe.close().await;
    }

    fn pinned(&self) -> Option<Era> {
        *self.pinned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pin(&self, era: Era) {
        self.pinned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(era);
    }

    fn lock_running(&self) -> std::sync::MutexGuard<'_, HashMap<RequestId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a request out of the running ones when dropped.
struct Leave {
    running: Arc<Mutex<HashMap<RequestId, Running>>>,
    id: RequestId,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.id);
    }
}
