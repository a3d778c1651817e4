//! One request to an upstream that is under way, and what the upstream says meanwhile.
//!
//! A [`Caller`] is where it says that: over HTTP it stands behind the request's own stream, on a pipe
//! the line's desk finds it. A [`Conversation`] is polled by whoever works for the client; what was
//! said comes out of it before the result.
//!
//! # Cancel safety
//! [`Conversation::next`] may be dropped at any await; nothing is lost. Dropping the conversation
//! cancels the request at the upstream.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc, oneshot};

use super::line::Desk;
use super::subscriptions::ACKNOWLEDGED;
use crate::client::{ClientError, Hears};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::jsonrpc::{Notification, Request, RequestId, ResponseError};
use crate::protocol::notification::ServerNotification;
use crate::protocol::raw::RawJson;
use crate::runtime::ratelimited::warn_ratelimited;

/// What an upstream may have said that nobody has taken yet. A pipe is read for all its callers at
/// once and waits for none of them: beyond this, notices of a slow one are dropped. A stream of one
/// request is not read on until there is room.
const SAID_MAX: usize = 1_024;
/// The same in bytes, but for the last notice: a thousand of a usual kilobyte. With all requests of an
/// upstream that run at once (256) and clients that read nothing, that is as many megabytes.
const SAID_BYTES_MAX: usize = 1 << 20;

/// Something an upstream says while it works.
#[derive(Debug)]
pub(in crate::gateway) enum Said {
    /// It tells something.
    Told(Notification),
    /// It asks something.
    Asked(Asked),
    /// It takes a question back.
    Withdrawn(RequestId),
}

/// A question of an upstream that waits for its answer. Dropped, it is answered with an error.
#[derive(Debug)]
pub(in crate::gateway) struct Asked {
    /// What is asked.
    pub(in crate::gateway) question: Request,
    /// Where the answer goes.
    pub(in crate::gateway) answer: oneshot::Sender<Result<RawJson, ResponseError>>,
}

/// Where an upstream says things to one request of ours.
pub(in crate::gateway) struct Caller {
    said: mpsc::Sender<Box<Said>>,
    /// Bytes of notices that nobody has taken yet.
    bytes: AtomicUsize,
    /// There is room for bytes again.
    freed: Notify,
    /// Takes what belongs to no request.
    desk: Arc<Desk>,
}

impl Caller {
    /// A place to say things, and where they come out. Boxed, because a channel has room for 32 from
    /// the start and most upstreams say nothing.
    pub(super) fn new(desk: Arc<Desk>) -> (Arc<Self>, mpsc::Receiver<Box<Said>>) {
        let (said, heard) = mpsc::channel(SAID_MAX);
        let caller = Self {
            said,
            bytes: AtomicUsize::new(0),
            freed: Notify::new(),
            desk,
        };
        (Arc::new(caller), heard)
    }

    pub(super) fn tell(&self, notification: Notification) {
        let bytes = length(&notification);
        let is_told = self.has_room_for_bytes() && {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            match self.said.try_send(Box::new(Said::Told(notification))) {
                Ok(()) => true,
                Err(unsent) => {
                    self.bytes.fetch_sub(bytes, Ordering::Relaxed);
                    // Closed: nobody hears it any more.
                    matches!(unsent, mpsc::error::TrySendError::Closed(_))
                }
            }
        };
        if !is_told {
            warn_ratelimited!(
                "notices of an upstream were dropped: their client is too slow",
                upstream = self.desk.upstream()
            );
        }
    }

    fn has_room_for_bytes(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) < SAID_BYTES_MAX
    }

    /// What was said is taken.
    fn taken(&self, said: &Said) {
        if let Said::Told(notification) = said {
            let bytes = length(notification);
            let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            if before >= SAID_BYTES_MAX {
                self.freed.notify_one();
            }
        }
    }

    pub(super) fn withdraw(&self, question: RequestId) {
        // Where there is no room for it, the question is answered in vain.
        let _full = self.said.try_send(Box::new(Said::Withdrawn(question)));
    }

    pub(super) async fn ask(&self, question: Request) -> Result<RawJson, ResponseError> {
        let answered = self.ask_while_there(question).await;
        answered.unwrap_or_else(|| Err(nobody()))
    }

    /// The same; `None` when the request ended before there was an answer.
    pub(super) async fn ask_while_there(
        &self,
        question: Request,
    ) -> Option<Result<RawJson, ResponseError>> {
        let (answer, answered) = oneshot::channel();
        let asked = Said::Asked(Asked { question, answer });
        self.said.send(Box::new(asked)).await.ok()?;
        answered.await.ok()
    }
}

fn length(notification: &Notification) -> usize {
    notification
        .params
        .raw()
        .map_or(0, |params| params.as_str().len())
}

/// The answer to a question nobody is there to answer.
pub(super) fn nobody() -> ResponseError {
    ResponseError {
        code: ErrorCode::INTERNAL_ERROR.0,
        message: "the client is gone".to_owned(),
        data: None,
    }
}

impl Hears for Caller {
    fn name(&self) -> &str {
        self.desk.name()
    }

    fn told(&self, _: Option<&RequestId>, notification: Notification) {
        match &*notification.method {
            "notifications/progress"
            | "notifications/message"
            | ServerNotification::VISIT_OVER
            | ACKNOWLEDGED => {
                self.tell(notification);
            }
            "notifications/cancelled" => {
                if let Some(question) = super::line::cancelled(&notification) {
                    self.withdraw(question);
                }
            }
            _of_the_session => self.desk.told(None, notification),
        }
    }

    fn room(&self) -> Option<BoxFuture<'_, ()>> {
        let is_full = self.said.capacity() == 0 || !self.has_room_for_bytes();
        is_full.then(|| -> BoxFuture<'_, ()> {
            Box::pin(async {
                while !self.has_room_for_bytes() {
                    self.freed.notified().await;
                }
                // Closed: nobody hears it any more.
                let _closed = self.said.reserve().await;
            })
        })
    }

    fn asked(&self, question: Request) -> BoxFuture<'_, Result<RawJson, ResponseError>> {
        Box::pin(self.ask(question))
    }
}

/// What comes next.
#[derive(Debug)]
pub(in crate::gateway) enum Next {
    /// The upstream says something.
    Said(Said),
    /// The request has ended.
    Ended(Result<RawJson, ClientError>),
}

/// See the module docs.
pub(in crate::gateway) struct Conversation {
    exchange: BoxFuture<'static, Result<RawJson, ClientError>>,
    caller: Arc<Caller>,
    said: mpsc::Receiver<Box<Said>>,
    ended: Option<Result<RawJson, ClientError>>,
    /// Was taken too early.
    put_back: Option<Next>,
}

impl Conversation {
    pub(super) fn new(
        exchange: BoxFuture<'static, Result<RawJson, ClientError>>,
        caller: Arc<Caller>,
        said: mpsc::Receiver<Box<Said>>,
    ) -> Self {
        Self {
            exchange,
            caller,
            said,
            ended: None,
            put_back: None,
        }
    }

    /// Gives back what came, to come again before anything else.
    pub(in crate::gateway) fn put_back(&mut self, next: Next) {
        self.put_back = Some(next);
    }

    /// Waits for what comes next. Nothing comes after the end.
    pub(in crate::gateway) async fn next(&mut self) -> Next {
        if let Some(next) = self.put_back.take() {
            return next;
        }
        if self.ended.is_none() {
            tokio::select! {
                biased;
                Some(said) = self.said.recv() => {
                    self.caller.taken(&said);
                    return Next::Said(*said);
                }
                ended = &mut self.exchange => self.ended = Some(ended),
            }
        }
        match (self.said.try_recv(), self.ended.take()) {
            (Ok(said), ended) => {
                self.ended = ended;
                self.caller.taken(&said);
                Next::Said(*said)
            }
            (Err(_), Some(ended)) => Next::Ended(ended),
            (Err(_), None) => std::future::pending().await,
        }
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use serde_json::json;

    use super::super::news::News;
    use super::*;
    use crate::protocol::jsonrpc::Params;

    fn large() -> Notification {
        let data = "x".repeat(SAID_BYTES_MAX / 2);
        let params = json!({"level": "info", "data": data});
        Notification {
            method: "notifications/message".into(),
            params: Params::new(RawJson::of(&params)),
        }
    }

    #[tokio::test]
    async fn large_notices_are_few_and_a_stream_waits_until_they_are_taken() {
        let desk = Desk::new("it".into(), Vec::new(), News::to_nobody());
        let (caller, said) = Caller::new(desk);
        let exchange = Box::pin(std::future::pending());
        let mut conversation = Conversation::new(exchange, caller.clone(), said);
        assert!(caller.room().is_none(), "nothing was said yet");
        for _ in 0..10 {
            caller.tell(large());
        }
        let mut room = caller.room().expect("it is full");
        assert!((&mut room).now_or_never().is_none());
        assert!(matches!(conversation.next().await, Next::Said(_)));
        room.await;
        assert!(caller.room().is_none());
        assert!(matches!(conversation.next().await, Next::Said(_)));
        assert!(
            conversation.next().now_or_never().is_none(),
            "others were dropped"
        );
    }
}
