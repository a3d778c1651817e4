//! HTTP+SSE as a client: one stream that carries all a server says, and says first where to post.
//!
//! Transport and revision are independent: any revision of the session era may be spoken here. The
//! session is the stream. When that ends, what waits has no outcome, and nothing resumes it.
//!
//! Messages are posted nowhere but where the stream comes from: with them go the headers that were
//! meant for that server.
//!
//! Spec: 2024-11-05 basic/transports, HTTP with SSE.

use std::sync::Arc;

use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use hyper::{Method, StatusCode, Uri};
use reqwest::Url;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::agent::{Answer, reasons};
use super::connection::Hears;
use super::door::{Door, Unanswered};
use super::error::ClientError;
use super::http::{
    Asked, EVENTS, Exchanged, Http, JSON, NOTICE, Outgoing, Unread, bare_status, beside, chunk, is,
    request, retry_after, up_to,
};
use super::incoming::Incoming;
use super::sse::{Decoder, Event};
use super::waiting::{Lost, Waiting};
use crate::runtime::tasks::{TaskKind, Tasks};

/// What is read of the answer to a message, in bytes: it says nothing.
const ANSWER_MAX: usize = 64 * 1024;

/// See the module docs.
#[derive(Debug)]
pub(super) struct HttpSse {
    post: Post,
    waiting: Waiting,
    /// Fires when nothing more can come.
    ended: CancellationToken,
    reader: JoinHandle<()>,
}

/// Where messages go.
#[derive(Clone, Debug)]
struct Post {
    door: Door,
    uri: Uri,
    headers: HeaderMap,
}

impl HttpSse {
    /// Opens the stream and waits until it said where to post.
    pub(super) async fn open(
        http: &Http,
        tasks: &Tasks,
        hears: Arc<dyn Hears>,
    ) -> Result<Self, ClientError> {
        let mut headers = http.headers.clone();
        headers.insert(ACCEPT, EVENTS);
        let asked = http.door.send(request(Method::GET, &http.uri, headers));
        let answer = asked.await.map_err(Unanswered::of_nothing)?;
        if !answer.status().is_success() || !is(&answer, "text/event-stream") {
            return Err(refused(answer).await);
        }
        let mut stream = Stream {
            answer,
            decoder: Decoder::new(http.limits.message),
        };
        let mut headers = http.headers.clone();
        headers.insert(CONTENT_TYPE, JSON);
        let post = Post {
            door: http.door.clone(),
            uri: stream.endpoint(&http.url).await?,
            headers,
        };
        let waiting = Waiting::default();
        let ended = CancellationToken::new();
        let open = ended.clone().drop_guard();
        let incoming = Incoming {
            hears,
            limits: http.limits,
            waiting: waiting.clone(),
            reply: {
                let post = post.clone();
                Box::new(move |text| {
                    let post = post.clone();
                    Box::pin(async move {
                        if let Err(error) = post.notice(text).await {
                            tracing::warn!(
                                error = error.for_log(),
                                "a question's answer could not be delivered"
                            );
                        }
                    })
                })
            },
        };
        let reader = tasks.spawn(TaskKind::Upkeep, async move {
            let _tells_the_end = open;
            let why = stream.read(&incoming).await;
            incoming.waiting.close(&why);
        });
        Ok(Self {
            post,
            waiting,
            ended,
            reader,
        })
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn exchange(&self, outgoing: Outgoing<'_>) -> Result<Exchanged, ClientError> {
        let (id, method) = (outgoing.id, outgoing.method);
        let send = self.post.message(outgoing.text, method);
        self.waiting.exchange(id, method, send).await
    }

    /// Sends a message that is never answered.
    pub(super) async fn send(&self, text: String) -> Result<(), ClientError> {
        self.post.notice(text).await
    }

    /// Waits until nothing more can come.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Ends the session with its stream.
    pub(super) fn close(&self) {
        self.reader.abort();
        let reason = "the connection was closed".to_owned();
        self.waiting.close(&Lost::Closed(reason));
    }
}

impl Drop for HttpSse {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Post {
    /// Sends a request, whose answer comes on the stream.
    async fn message(&self, text: String, method: &str) -> Result<(), ClientError> {
        let answer = self.post(text).await;
        taken(answer.map_err(|error| error.of(method))?).await
    }

    /// Sends a message that is never answered.
    async fn notice(&self, text: String) -> Result<(), ClientError> {
        let sent = async {
            let answer = self.post(text).await;
            taken(answer.map_err(Unanswered::of_nothing)?).await
        };
        let sent = tokio::time::timeout(NOTICE, sent).await;
        sent.map_err(|_| ClientError::TimedOut(NOTICE))?
    }

    async fn post(&self, text: String) -> Result<Answer, Unanswered> {
        let message = request(Method::POST, &self.uri, self.headers.clone());
        self.door.send(message.map(|_| text)).await
    }
}

/// Whether the server took a message.
async fn taken(answer: Answer) -> Result<(), ClientError> {
    if answer.status() == StatusCode::NOT_FOUND {
        return Err(ClientError::SessionLost);
    }
    if !answer.status().is_success() {
        return Err(refused(answer).await);
    }
    // Read to its end, so that the next message finds the connection free.
    if let Err(Unread::Broken(reason)) = up_to(answer, ANSWER_MAX).await {
        tracing::debug!(reason, "a message was taken with half an answer");
    }
    Ok(())
}

/// A bare status. It is never an answer: those come on the stream.
async fn refused(answer: Answer) -> ClientError {
    let (status, retry_after) = (answer.status(), retry_after(&answer));
    if status.is_success() {
        return ClientError::Protocol(format!("HTTP {status} without a stream of events"));
    }
    let body = up_to(answer, ANSWER_MAX).await.unwrap_or_default();
    bare_status(status, retry_after, &body)
}

/// The stream as it is read.
struct Stream {
    answer: Answer,
    decoder: Decoder,
}

impl Stream {
    /// Where to post: what the first event says.
    async fn endpoint(&mut self, stream: &Url) -> Result<Uri, ClientError> {
        let wrong = |what: &str| ClientError::Protocol(format!("the stream {what}"));
        let first = loop {
            if let Some(event) = self.decoder.next() {
                break event;
            }
            let chunk = chunk(&mut self.answer).await;
            let chunk = chunk.map_err(|error| ClientError::Unreachable(reasons(&error)))?;
            let chunk = chunk.ok_or_else(|| wrong("ended before it said where to post"))?;
            self.decoder.push(&chunk)?;
        };
        if !first.is_endpoint {
            return Err(wrong("does not say first where to post"));
        }
        let text = str::from_utf8(&first.data).map_err(|_| wrong("says no URL to post to"))?;
        let url = stream.join(text);
        let url = url.map_err(|_| wrong("says no URL to post to"))?;
        if url.origin() != stream.origin() {
            return Err(wrong("wants messages to be posted to another server"));
        }
        Uri::try_from(url.as_str()).map_err(|_| wrong("says no URL to post to"))
    }

    /// Reads until the stream ends. Returns how it ended.
    async fn read(&mut self, incoming: &Incoming) -> Lost {
        let mut asked = Asked::new();
        loop {
            while let Some(Event {
                data, is_message, ..
            }) = self.decoder.next()
            {
                if is_message {
                    incoming.take(&data, &mut asked);
                }
            }
            let chunk = match beside(&mut asked, chunk(&mut self.answer)).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Lost::Closed("the stream ended".to_owned()),
                Err(error) => return Lost::Closed(reasons(&error)),
            };
            if self.decoder.push(&chunk).is_err() {
                // Whose answer it was cannot be known, and where it ends neither.
                return Lost::Overlong(incoming.limits.message);
            }
        }
    }
}

/// Whether a refusal of the handshake is what servers of this transport give to a POST.
pub(super) fn is_meant_by(error: &ClientError) -> bool {
    let status = match error {
        ClientError::Status { status, .. } => Some(*status),
        ClientError::Answered { status, .. } => *status,
        _no_refusal => None,
    };
    matches!(status, Some(400 | 404 | 405))
}
