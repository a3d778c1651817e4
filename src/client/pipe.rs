//! A connection of lines: standard input and output of a child, or any pair of byte streams.
//!
//! One task reads, one writes. The reader hands answers to whoever waits for them, answers the
//! server's questions beside its reading, and passes notices on. What is no message is logged and
//! skipped.
//!
//! # Cancel safety
//! [`Pipe::exchange`] may be dropped at any await; a line is written whole or not at all. Whoever
//! drops it tells the server with a notification.
//!
//! Spec: basic/transports, stdio (every revision).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::child::Child;
use super::connection::Hears;
use super::error::ClientError;
use super::host::{busy, respond};
use super::http::{Exchanged, Outgoing};
use super::limits::Limits;
use crate::protocol::jsonrpc::{Body, Message, Request, RequestId, Response};
use crate::protocol::lines::{Line, Lines};
use crate::runtime::tasks::{TaskKind, Tasks};

/// Bytes read at once.
const READ: usize = 64 * 1024;
/// Messages that may wait to be written; a request waits for room.
const QUEUE: usize = 64;
/// Requests that may wait for their answers.
const RUNNING_MAX: usize = 1_024;
/// Questions of the server that may be open at once.
const QUESTIONS_MAX: usize = 32;

type Waiting = oneshot::Sender<Result<Response, Lost>>;

/// Why no answer will come.
#[derive(Clone, Debug)]
enum Lost {
    Closed(String),
    TooLarge(usize),
}

/// See the module docs.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Taken away to end the output.
    out: Mutex<Option<mpsc::Sender<String>>>,
    pending: Arc<Mutex<Pending>>,
    /// Fires when nothing more can come.
    ended: CancellationToken,
    reader: JoinHandle<()>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// The process at the other end, if we started it.
    child: Mutex<Option<Child>>,
}

#[derive(Debug, Default)]
struct Pending {
    waiting: HashMap<RequestId, Waiting>,
    /// Why nothing more will come.
    ended: Option<String>,
}

impl Pipe {
    /// A connection over `input` and `output`.
    pub(super) fn open<I, O>(
        tasks: &Tasks,
        hears: Arc<dyn Hears>,
        limits: Limits,
        input: I,
        output: O,
        child: Option<Child>,
    ) -> Self
    where
        I: AsyncRead + Send + Unpin + 'static,
        O: AsyncWrite + Send + Unpin + 'static,
    {
        let (out, queue) = mpsc::channel(QUEUE);
        let ended = CancellationToken::new();
        let open = ended.clone().drop_guard();
        let pending = Arc::new(Mutex::new(Pending::default()));
        let reading = Reading {
            hears,
            limits,
            pending: pending.clone(),
            // Questions are answered only as long as somebody uses the connection.
            out: out.downgrade(),
        };
        // They end with the connection, or are cut when it is dropped; stopping waits for neither.
        let reader = tasks.spawn(TaskKind::Upkeep, async move {
            let _tells_the_end = open;
            let reason = reading.to_the_end(input).await;
            lock(&reading.pending).end(&Lost::Closed(reason));
        });
        let writer = tasks.spawn(TaskKind::Upkeep, write(queue, output));
        Self {
            out: Mutex::new(Some(out)),
            pending,
            ended,
            reader,
            writer: Mutex::new(Some(writer)),
            child: Mutex::new(child),
        }
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn exchange(&self, outgoing: Outgoing<'_>) -> Result<Exchanged, ClientError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut pending = lock(&self.pending);
            if let Some(reason) = &pending.ended {
                return Err(ClientError::Closed(reason.clone()));
            }
            if pending.waiting.len() >= RUNNING_MAX {
                let what = format!("{RUNNING_MAX} requests are waiting already");
                return Err(ClientError::Closed(what));
            }
            pending.waiting.insert(outgoing.id.clone(), answer);
        }
        let _forget = Forget {
            pending: &self.pending,
            id: outgoing.id,
        };
        self.send(outgoing.text).await?;
        let unknown = |reason| ClientError::OutcomeUnknown {
            method: outgoing.method.to_owned(),
            reason,
        };
        match answered.await {
            Ok(Ok(response)) => Ok(Exchanged {
                response,
                status: None,
                session: None,
            }),
            Ok(Err(Lost::TooLarge(max))) => Err(ClientError::TooLarge { max }),
            Ok(Err(Lost::Closed(reason))) => Err(unknown(reason)),
            Err(_) => Err(unknown("the connection was closed".to_owned())),
        }
    }

    /// Sends a message, waiting for room.
    pub(super) async fn send(&self, text: String) -> Result<(), ClientError> {
        let out = lock(&self.out).clone();
        let closed = || ClientError::Closed("the server takes nothing more".to_owned());
        let out = out.ok_or_else(closed)?;
        out.send(text).await.map_err(|_| closed())
    }

    /// Waits until nothing more can come.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Ends the output, and the child with it.
    pub(super) async fn close(&self) {
        lock(&self.out).take();
        let writer = lock(&self.writer).take();
        let child = lock(&self.child).take();
        match child {
            Some(child) => child.end().await,
            None => {
                if let Some(writer) = writer {
                    // A reader at the other end that takes nothing must not keep us.
                    let _cut = tokio::time::timeout(super::child::GRACE, writer).await;
                }
            }
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.reader.abort();
        // The writer ends by itself once the queue is empty and closed; a child ends by its own drop.
    }
}

impl Pending {
    fn end(&mut self, why: &Lost) {
        if let Lost::Closed(reason) = why {
            self.ended = Some(reason.clone());
        }
        for (_, waiting) in self.waiting.drain() {
            let _nobody_waits = waiting.send(Err(why.clone()));
        }
    }

    fn answer(&mut self, response: Response) {
        let id = match &response.id {
            Some(id) => Some(id.clone()),
            // The peer could not read what we sent. If one request is out, it is that one.
            None if self.waiting.len() == 1 => self.waiting.keys().next().cloned(),
            None => None,
        };
        if let Some(waiting) = id.and_then(|id| self.waiting.remove(&id)) {
            let _nobody_waits = waiting.send(Ok(response));
        } else {
            tracing::debug!("an answer to nothing that was asked");
        }
    }
}

/// Forgets a request that is answered or given up.
struct Forget<'a> {
    pending: &'a Mutex<Pending>,
    id: &'a RequestId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(self.pending).waiting.remove(self.id);
    }
}

struct Reading {
    hears: Arc<dyn Hears>,
    limits: Limits,
    pending: Arc<Mutex<Pending>>,
    out: mpsc::WeakSender<String>,
}

impl Reading {
    /// Reads until the input ends. Returns how it ended.
    async fn to_the_end<I: AsyncRead + Unpin>(&self, mut input: I) -> String {
        let mut lines = Lines::new(self.limits.message);
        let mut buffer = vec![0; READ];
        let mut asked: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
        loop {
            let read = tokio::select! {
                read = input.read(&mut buffer) => read,
                Some(()) = asked.next(), if !asked.is_empty() => continue,
            };
            let count = match read {
                Ok(0) => return "the server closed the connection".to_owned(),
                Ok(count) => count,
                Err(error) => return error.to_string(),
            };
            lines.push(&buffer[..count]);
            while let Some(line) = lines.next() {
                self.line(line, &mut asked);
            }
        }
    }

    fn line<'a>(&'a self, line: Line, asked: &mut FuturesUnordered<BoxFuture<'a, ()>>) {
        let bytes = match line {
            Line::Whole(bytes) if bytes.trim_ascii().is_empty() => return,
            Line::Whole(bytes) => bytes,
            // Whose answer it was cannot be known, so nobody may go on waiting for it.
            Line::TooLong => {
                return lock(&self.pending).end(&Lost::TooLarge(self.limits.message));
            }
        };
        let messages = match Body::parse(&bytes, &self.limits.json) {
            Ok(Body::Single(message)) => vec![message],
            Ok(Body::Batch(elements)) => elements.into_iter().flatten().collect(),
            Err(error) => {
                tracing::warn!(%error, bytes = bytes.len(), "a line of the server was no message");
                return;
            }
        };
        for message in messages {
            match message {
                Message::Response(response) => lock(&self.pending).answer(response),
                Message::Notification(notification) => self.hears.told(None, notification),
                Message::Request(request) => {
                    let is_busy = asked.len() >= QUESTIONS_MAX;
                    asked.push(Box::pin(self.respond(request, is_busy)));
                }
            }
        }
    }

    async fn respond(&self, request: Request, is_busy: bool) {
        let text = if is_busy {
            busy(&request)
        } else {
            respond(&*self.hears, request).await
        };
        if let Some(out) = self.out.upgrade() {
            let _gone = out.send(text).await;
        }
    }
}

/// Writes messages as lines until nobody can send any more, then ends the output.
async fn write<O: AsyncWrite + Unpin>(mut queue: mpsc::Receiver<String>, mut output: O) {
    while let Some(mut text) = queue.recv().await {
        text.push('\n');
        let written = async {
            output.write_all(text.as_bytes()).await?;
            output.flush().await
        };
        if let Err(error) = written.await {
            tracing::debug!(%error, "the server takes nothing more");
            return;
        }
    }
    if let Err(error) = output.shutdown().await {
        tracing::debug!(%error, "the server was gone before its input ended");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
