//! A connection of lines: standard input and output of a child, or any pair of byte streams.
//!
//! One task reads, one writes.
//!
//! # Cancel safety
//! [`Pipe::exchange`] may be dropped at any await; a line is written whole or not at all. Whoever
//! drops it tells the server with a notification.
//!
//! Spec: basic/transports, stdio (every revision).

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::child::Child;
use super::connection::Hears;
use super::error::ClientError;
use super::http::{Asked, Exchanged, Outgoing, beside};
use super::incoming::{Incoming, Reply};
use super::limits::Limits;
use super::waiting::{Lost, Waiting};
use crate::protocol::lines::{Line, Lines};
use crate::runtime::tasks::{TaskKind, Tasks};

/// Bytes read at once.
const READ: usize = 64 * 1024;
/// Messages that may wait to be written; a request waits for room.
const QUEUE: usize = 64;
/// Lines, one after the other, that are too long and not known for what they are, before a server is taken
/// for broken.
const UNREADABLE_MAX: usize = 3;

/// See the module docs.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Taken away to end the output.
    out: Mutex<Option<mpsc::Sender<String>>>,
    waiting: Waiting,
    /// Fires when nothing more comes, or is taken.
    ended: CancellationToken,
    reader: JoinHandle<()>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// The process at the other end, if we started it.
    child: Mutex<Option<Child>>,
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
        let waiting = Waiting::default();
        let incoming = Incoming {
            hears,
            limits,
            waiting: waiting.clone(),
            reply: reply_by(out.downgrade()),
        };
        // They end with the connection, or are cut when it is dropped; stopping waits for neither.
        let reader = tasks.spawn(TaskKind::Upkeep, async move {
            let _tells_the_end = open;
            let reason = to_the_end(input, &incoming).await;
            incoming.waiting.close(&Lost::Closed(reason));
        });
        let untaken = ended.clone();
        let writer = tasks.spawn(TaskKind::Upkeep, async move {
            if let Err(error) = write(queue, output).await {
                tracing::debug!(%error, "the server takes nothing more");
                // What was asked before may still be answered, until whoever sees this closes.
                untaken.cancel();
            }
        });
        Self {
            out: Mutex::new(Some(out)),
            waiting,
            ended,
            reader,
            writer: Mutex::new(Some(writer)),
            child: Mutex::new(child),
        }
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn exchange(&self, outgoing: Outgoing<'_>) -> Result<Exchanged, ClientError> {
        let send = self.send(outgoing.text);
        self.waiting
            .exchange(outgoing.id, outgoing.method, send)
            .await
    }

    /// Sends a message, waiting for room.
    pub(super) async fn send(&self, text: String) -> Result<(), ClientError> {
        let out = lock(&self.out).clone();
        let closed = || ClientError::Closed("the server takes nothing more".to_owned());
        let out = out.ok_or_else(closed)?;
        out.send(text).await.map_err(|_| closed())
    }

    /// Waits until nothing more comes, or is taken.
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

/// Answers questions only as long as somebody uses the connection.
fn reply_by(out: mpsc::WeakSender<String>) -> Reply {
    Box::new(move |text| {
        let out = out.upgrade();
        Box::pin(async move {
            if let Some(out) = out {
                let _gone = out.send(text).await;
            }
        })
    })
}

/// Reads until the input ends. Returns how it ended.
async fn to_the_end<I: AsyncRead + Unpin>(mut input: I, incoming: &Incoming) -> String {
    let max = incoming.limits.message;
    let mut lines = Lines::new(max);
    let mut buffer = vec![0; READ];
    let mut asked = Asked::new();
    let mut unreadable = 0;
    loop {
        let count = match beside(&mut asked, input.read(&mut buffer)).await {
            Ok(0) => return "the server closed the connection".to_owned(),
            Ok(count) => count,
            Err(error) => return error.to_string(),
        };
        lines.push(&buffer[..count]);
        while let Some(line) = lines.next() {
            match line {
                Line::Whole(bytes) if bytes.trim_ascii().is_empty() => {}
                Line::Whole(bytes) => {
                    unreadable = 0;
                    incoming.take(&bytes, &mut asked);
                }
                Line::TooLong(head) => {
                    let is_known = incoming.waiting.overlong(&head, max);
                    unreadable = if is_known { 0 } else { unreadable + 1 };
                }
            }
        }
        if unreadable > UNREADABLE_MAX {
            return format!("the server wrote nothing but lines of more than {max} bytes");
        }
        if lines.is_endless() {
            return format!("the server wrote a line without end, of far more than {max} bytes");
        }
    }
}

/// Writes messages as lines until nobody can send any more, then ends the output.
async fn write<O: AsyncWrite + Unpin>(
    mut queue: mpsc::Receiver<String>,
    mut output: O,
) -> io::Result<()> {
    while let Some(mut text) = queue.recv().await {
        text.push('\n');
        output.write_all(text.as_bytes()).await?;
        output.flush().await?;
    }
    if let Err(error) = output.shutdown().await {
        tracing::debug!(%error, "the server was gone before its input ended");
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::duplex;

    use super::super::incoming::tests::Silent;
    use super::*;

    #[tokio::test]
    async fn who_closed_its_input_is_gone_though_its_output_is_open() {
        let (output, theirs) = duplex(64);
        let (input, _open) = duplex(64);
        drop(theirs);
        let tasks = Tasks::on(tokio::runtime::Handle::current());
        let (hears, limits) = (Arc::new(Silent), Limits::default());
        let pipe = Pipe::open(&tasks, hears, limits, input, output, None);
        pipe.send("{}".to_owned()).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(30), pipe.ended());
        ended.await.expect("nothing is taken there any more");
    }
}
