//! What becomes of the messages on a connection that carries everything the server says.
//!
//! Answers go to who waits for them, notices to who hears them, and questions are answered beside
//! the reading, as many at once as are allowed. What is no message is logged and skipped.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::connection::Hears;
use super::host::{busy, respond};
use super::http::{Asked, QUESTIONS_MAX};
use super::limits::Limits;
use super::waiting::Waiting;
use crate::protocol::jsonrpc::{Body, Message, Request};

/// How the answer to a question is sent.
pub(super) type Reply = Box<dyn Fn(String) -> BoxFuture<'static, ()> + Send + Sync>;

/// See the module docs.
pub(super) struct Incoming {
    pub(super) hears: Arc<dyn Hears>,
    pub(super) limits: Limits,
    pub(super) waiting: Waiting,
    pub(super) reply: Reply,
}

impl Incoming {
    /// Takes a message, or a batch of them. What is asked has to be driven by the reader.
    pub(super) fn take<'a>(&'a self, bytes: &Bytes, asked: &mut Asked<'a>) {
        let messages = match Body::parse(bytes, &self.limits.json) {
            Ok(Body::Single(message)) => vec![message],
            Ok(Body::Batch(elements)) => elements.into_iter().flatten().collect(),
            Err(error) => {
                tracing::warn!(%error, bytes = bytes.len(), "what the server said was no message");
                return;
            }
        };
        for message in messages {
            match message {
                Message::Response(response) => self.waiting.answer(response),
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
        (self.reply)(text).await;
    }
}
