//! What becomes of the messages on a connection that carries everything the server says.
//!
//! Answers go to who waits for them, notices to who hears them, and questions are answered beside
//! the reading, as many at once as are allowed; beyond that it is said that there are too many, and of
//! who does not take even that nothing more is heard. What is no message is logged and skipped.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::connection::Hears;
use super::host::{busy, respond};
use super::http::{Asked, Room};
use super::limits::Limits;
use super::waiting::Waiting;
use crate::protocol::jsonrpc::{Body, Message, Request};
use crate::runtime::ratelimited::warn_ratelimited;

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
                let (server, bytes) = (self.hears.name(), bytes.len());
                warn_ratelimited!("what a server said was no message", server, %error, bytes);
                return;
            }
        };
        for message in messages {
            match message {
                Message::Response(response) => self.waiting.answer(response),
                Message::Notification(notification) => self.hears.told(None, notification),
                Message::Request(request) => {
                    let is_busy = match Room::beside(asked) {
                        Room::Free => false,
                        Room::Busy => true,
                        Room::Full => continue,
                    };
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

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::jsonrpc::{Notification, RequestId, ResponseError};
    use crate::protocol::raw::RawJson;

    /// Answers nothing.
    pub(in crate::client) struct Silent;

    impl Hears for Silent {
        fn name(&self) -> &'static str {
            "silent"
        }

        fn told(&self, _: Option<&RequestId>, _: Notification) {}

        fn asked(&self, _: Request) -> BoxFuture<'_, Result<RawJson, ResponseError>> {
            Box::pin(std::future::pending())
        }
    }

    #[test]
    fn who_asks_on_and_takes_no_answers_costs_no_more() {
        let incoming = Incoming {
            hears: Arc::new(Silent),
            limits: Limits::default(),
            waiting: Waiting::default(),
            reply: Box::new(|_| Box::pin(std::future::pending())),
        };
        let mut asked = Asked::new();
        for id in 0..10_000 {
            let question = json!({"jsonrpc": "2.0", "id": id, "method": "sampling/createMessage"});
            incoming.take(&question.to_string().into(), &mut asked);
        }
        assert_eq!(asked.len(), 64);
    }
}
