//! Streamable HTTP as a client: one POST per message, answers as an object or as a stream.
//!
//! A stream of the session era that breaks off before its answer is resumed after the last event
//! seen, when the server named its events; that is also how servers that close connections early
//! are polled. A request is never sent twice.
//!
//! # Cancel safety
//! [`Http::exchange`] may be dropped at any await, and the connection with it: in the stateless era
//! that cancels the request. In the session era whoever drops it says so with a notification.
//!
//! Spec: 2026-07-28 basic/transports/streamable-http; 2025-11-25 basic/transports.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::header::{
    ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, RETRY_AFTER,
};
use hyper::{Method, Request as HttpRequest, StatusCode, Uri};
use reqwest::Url;

use super::agent::{Agent, Answer, reasons};
use super::connection::Hears;
use super::credential::Credentials;
use super::door::{Door, Unanswered};
use super::error::ClientError;
use super::host::{busy, respond};
use super::limits::Limits;
use super::sse::Decoder;
use crate::protocol::headers;
use crate::protocol::jsonrpc::{Body, Message, Request, RequestId, Response};
use crate::protocol::prescan;
use crate::protocol::version::{Era, ProtocolVersion};
use crate::runtime::ratelimited::warn_ratelimited;

/// How long a message that wants no answer may take.
pub(super) const NOTICE: Duration = Duration::from_secs(5);
/// What is shown of a body that is no message, in bytes.
const SHOWN: usize = 300;
/// What is read of an error's body, in bytes.
const ERROR_MAX: usize = 64 * 1024;
/// Attempts to resume a stream that bring nothing new, until the outcome counts as unknown.
pub(super) const RESUMES_MAX: u32 = 5;
/// Time until a stream is resumed when the server does not say.
pub(super) const RESUME_AFTER: Duration = Duration::from_millis(500);
/// Longest time a server may ask us to wait with that.
pub(super) const RESUME_AFTER_MAX: Duration = Duration::from_secs(60);
/// Questions of one stream that may be open at once.
pub(super) const QUESTIONS_MAX: usize = 32;
/// The same, with those that are told so. Who asks on without taking what it is told is not heard.
const QUESTIONS_HEARD_MAX: usize = 2 * QUESTIONS_MAX;

const PROTOCOL_VERSION: HeaderName = HeaderName::from_static(headers::PROTOCOL_VERSION);
const SESSION_ID: HeaderName = HeaderName::from_static(headers::SESSION_ID);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static(headers::LAST_EVENT_ID);
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const JSON_OR_EVENTS: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// What both sides agreed on.
#[derive(Clone, Debug)]
pub(super) struct Speaking {
    /// The revision.
    pub(super) version: ProtocolVersion,
    /// The session, if the server opened one.
    pub(super) session: Option<HeaderValue>,
    /// Whether the handshake is over: only then a session-era request names its revision.
    pub(super) agreed: bool,
}

/// One request on its way.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Its id, from [`super::Connection::next_id`].
    pub id: &'a RequestId,
    /// Its method.
    pub method: &'a str,
    /// The whole message.
    pub text: String,
    /// Headers that repeat the message, in the stateless era over HTTP.
    pub headers: Vec<(String, String)>,
}

/// The answer to a request.
#[derive(Debug)]
pub(super) struct Exchanged {
    pub(super) response: Response,
    /// The HTTP status it came with.
    pub(super) status: Option<u16>,
    /// The session the server opened with it.
    pub(super) session: Option<HeaderValue>,
}

/// One MCP endpoint.
#[derive(Clone, Debug)]
pub(super) struct Http {
    pub(super) door: Door,
    pub(super) url: Url,
    pub(super) uri: Uri,
    /// Of every request.
    pub(super) headers: HeaderMap,
    pub(super) limits: Limits,
}

impl Http {
    /// A connection to `url` that sends `headers` with every message.
    pub(super) fn new(
        url: &str,
        mut headers: HeaderMap,
        limits: Limits,
    ) -> Result<Self, ClientError> {
        let wrong = |what: String| ClientError::Address(format!("`{url}` {what}"));
        let parsed = Url::parse(url).map_err(|error| wrong(format!("is no URL: {error}")))?;
        if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
            return Err(wrong("is no http or https URL".to_owned()));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            // It is not repeated: it holds a secret.
            let what = "a URL must not hold a user or a password: send an `Authorization` header";
            return Err(ClientError::Address(what.to_owned()));
        }
        let uri = Uri::try_from(parsed.as_str());
        let uri = uri.map_err(|error| wrong(format!("is no URL: {error}")))?;
        let agent = Agent::to(&uri)?;
        if let Some(secret) = agent.proxy_authorization() {
            headers.insert(PROXY_AUTHORIZATION, secret.clone());
        }
        Ok(Self {
            door: Door::new(agent),
            url: parsed,
            uri,
            headers,
            limits,
        })
    }

    /// The same server, let in by these.
    pub(super) fn with(mut self, credentials: Arc<dyn Credentials>) -> Self {
        self.door = self.door.with(credentials);
        self
    }

    /// Sends a request and waits for its answer; what the server asks or tells meanwhile goes to
    /// `hears`.
    pub(super) async fn exchange(
        &self,
        speaking: &Speaking,
        outgoing: Outgoing<'_>,
        hears: &dyn Hears,
    ) -> Result<Exchanged, ClientError> {
        let mut request = self.post(speaking, outgoing.text);
        for (name, value) in &outgoing.headers {
            let (name, value) = sendable(name, value)?;
            request.headers_mut().insert(name, value);
        }
        let sent = self.door.send_from_here(request).await;
        let answer = sent.map_err(|error| error.of(outgoing.method))?;
        let status = answer.status();
        let session = answer.headers().get(SESSION_ID).cloned();
        let response = if !status.is_success() {
            Box::pin(refusal(speaking, answer, outgoing.id)).await?
        } else if is(&answer, "text/event-stream") {
            let following = Following {
                http: self,
                speaking,
                hears,
                id: Some(outgoing.id),
                method: outgoing.method,
                cursor: None,
                retry: None,
            };
            // Boxed, because most answers are objects and a stream has much to remember.
            Box::pin(following.follow(answer)).await?
        } else if is(&answer, "application/json") {
            let body = self.body(answer, outgoing.method).await?;
            let unnamed = |message| ClientError::Protocol(message);
            self.find(&body, outgoing.id, hears)?
                .ok_or_else(|| unnamed("its answer is none to this request".to_owned()))?
        } else {
            let what = format!("a request was answered with HTTP {status} and no message");
            return Err(ClientError::Protocol(what));
        };
        Ok(Exchanged {
            response,
            status: Some(status.as_u16()),
            session,
        })
    }

    /// Sends a message that is never answered.
    pub(super) async fn send(&self, speaking: &Speaking, text: String) -> Result<(), ClientError> {
        let sent = self.door.send(self.post(speaking, text));
        let sent = tokio::time::timeout(NOTICE, sent).await;
        let answer = sent
            .map_err(|_| ClientError::TimedOut(NOTICE))?
            .map_err(Unanswered::of_nothing)?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(status_error(speaking, answer).await)
    }

    /// Ends the session, if there is one.
    pub(super) async fn end(&self, speaking: &Speaking) {
        if speaking.session.is_none() {
            return;
        }
        let request = self.request(Method::DELETE, speaking);
        match tokio::time::timeout(NOTICE, self.door.send(request)).await {
            // 405 is a server whose sessions end by themselves.
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a session could not be ended"),
            Err(_) => tracing::debug!("a session could not be ended in time"),
        }
    }

    fn post(&self, speaking: &Speaking, text: String) -> HttpRequest<String> {
        let mut request = self.request(Method::POST, speaking);
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(ACCEPT, JSON_OR_EVENTS);
        *request.body_mut() = text;
        request
    }

    /// A request with the headers of what both sides agreed on.
    fn request(&self, method: Method, speaking: &Speaking) -> HttpRequest<String> {
        let mut headers = self.headers.clone();
        // The header came with 2025-06-18; before that nobody looks for it.
        let named = match speaking.version.era() {
            Era::Stateless => true,
            Era::Session => speaking.agreed && speaking.version >= ProtocolVersion::V2025_06_18,
        };
        if named {
            let version = HeaderValue::from_static(speaking.version.as_str());
            headers.insert(PROTOCOL_VERSION, version);
        }
        if let Some(session) = &speaking.session {
            headers.insert(SESSION_ID, session.clone());
        }
        request(method, &self.uri, headers)
    }

    async fn body(&self, answer: Answer, method: &str) -> Result<Bytes, ClientError> {
        match up_to(answer, self.limits.message).await {
            Ok(body) => Ok(body),
            Err(Unread::TooLarge(max)) => Err(ClientError::TooLarge { max }),
            Err(Unread::Broken(reason)) => Err(ClientError::OutcomeUnknown {
                method: method.to_owned(),
                reason,
            }),
        }
    }

    /// The answer to `id` among the messages of an object; others go to where they belong.
    fn find(
        &self,
        body: &Bytes,
        id: &RequestId,
        hears: &dyn Hears,
    ) -> Result<Option<Response>, ClientError> {
        let mut found = None;
        for message in messages(body, &self.limits)? {
            match message {
                Message::Response(response) if answers(&response, id) => found = Some(response),
                Message::Notification(notification) => hears.told(Some(id), notification),
                Message::Response(_) | Message::Request(_) => {}
            }
        }
        Ok(found)
    }
}

/// A request without a body.
pub(super) fn request(method: Method, uri: &Uri, headers: HeaderMap) -> HttpRequest<String> {
    let mut request = HttpRequest::new(String::new());
    *request.method_mut() = method;
    *request.uri_mut() = uri.clone();
    *request.headers_mut() = headers;
    request
}

/// Reads the answer of a refused request: a protocol error with our id, or a bare status.
async fn refusal(
    speaking: &Speaking,
    answer: Answer,
    id: &RequestId,
) -> Result<Response, ClientError> {
    if speaking.session.is_some() && answer.status() == StatusCode::NOT_FOUND {
        return Err(ClientError::SessionLost);
    }
    let status = answer.status();
    let retry_after = retry_after(&answer);
    let is_json = is(&answer, "application/json");
    let body = up_to(answer, ERROR_MAX).await.unwrap_or_default();
    if is_json
        && let Ok(Body::Single(Message::Response(response))) =
            Body::parse(&body, &prescan::Limits::default())
        && response.outcome.is_err()
        && response.id.as_ref().is_none_or(|theirs| theirs == id)
    {
        return Ok(response);
    }
    Err(bare_status(status, retry_after, &body))
}

async fn status_error(speaking: &Speaking, answer: Answer) -> ClientError {
    if speaking.session.is_some() && answer.status() == StatusCode::NOT_FOUND {
        return ClientError::SessionLost;
    }
    let (status, retry_after) = (answer.status(), retry_after(&answer));
    let body = up_to(answer, ERROR_MAX).await.unwrap_or_default();
    bare_status(status, retry_after, &body)
}

/// A stream that is read up to the answer of its request, or to its end.
pub(super) struct Following<'a> {
    pub(super) http: &'a Http,
    pub(super) speaking: &'a Speaking,
    pub(super) hears: &'a dyn Hears,
    /// The request it answers, if it answers one.
    pub(super) id: Option<&'a RequestId>,
    pub(super) method: &'a str,
    /// The last event seen.
    pub(super) cursor: Option<String>,
    /// How long the server said to wait before resuming.
    pub(super) retry: Option<Duration>,
}

/// The questions of a stream that are being answered.
pub(super) type Asked<'a> = FuturesUnordered<BoxFuture<'a, ()>>;

/// What becomes of another question.
pub(super) enum Room {
    /// It is asked.
    Free,
    /// It is answered that there are too many.
    Busy,
    /// It is dropped.
    Full,
}

impl Room {
    pub(super) fn beside(asked: &Asked<'_>) -> Self {
        match asked.len() {
            QUESTIONS_HEARD_MAX.. => {
                warn_ratelimited!(
                    "questions of a server were dropped: it takes no answers",
                    open = QUESTIONS_HEARD_MAX
                );
                Self::Full
            }
            QUESTIONS_MAX.. => Self::Busy,
            _few => Self::Free,
        }
    }
}

/// How one connection of a stream ended.
pub(super) enum End {
    Answered(Box<Response>),
    Broken(String),
}

impl<'a> Following<'a> {
    async fn follow(mut self, mut answer: Answer) -> Result<Response, ClientError> {
        let mut asked = FuturesUnordered::new();
        let mut in_vain = 0;
        loop {
            let before = self.cursor.clone();
            let mut broken = match self.read(answer, &mut asked).await? {
                End::Answered(response) => return Ok(*response),
                End::Broken(reason) => reason,
            };
            if self.cursor != before {
                in_vain = 0;
            }
            answer = loop {
                let can_resume = self.speaking.version.era() == Era::Session;
                if self.cursor.is_none() || !can_resume {
                    return Err(self.unknown(broken));
                }
                in_vain += 1;
                if in_vain > RESUMES_MAX {
                    return Err(self.unknown(broken));
                }
                let wait = self.retry.unwrap_or(RESUME_AFTER * in_vain);
                let resumed = async {
                    tokio::time::sleep(wait.min(RESUME_AFTER_MAX)).await;
                    self.open().await
                };
                match beside(&mut asked, resumed).await? {
                    Ok(answer) => break answer,
                    Err(reason) => broken = reason,
                }
            };
        }
    }

    /// Reads one connection to its end or to the answer.
    pub(super) async fn read(
        &mut self,
        mut answer: Answer,
        asked: &mut Asked<'a>,
    ) -> Result<End, ClientError> {
        let mut decoder = Decoder::new(self.http.limits.message);
        loop {
            let chunk = match beside(asked, chunk(&mut answer)).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(End::Broken("the stream ended".to_owned())),
                Err(error) => return Ok(End::Broken(reasons(&error))),
            };
            decoder.push(&chunk)?;
            self.retry = decoder.retry().or(self.retry);
            while let Some(event) = decoder.next() {
                if event.id.is_some() {
                    // An empty id takes the last one back.
                    self.cursor = event.id.filter(|id| !id.is_empty());
                }
                if !event.is_message {
                    continue;
                }
                for message in messages(&event.data, &self.http.limits)? {
                    match message {
                        Message::Response(response)
                            if self.id.is_some_and(|id| answers(&response, id)) =>
                        {
                            return Ok(End::Answered(Box::new(response)));
                        }
                        Message::Response(_) => {
                            tracing::debug!("an answer to nothing that was asked here");
                        }
                        Message::Notification(notification) => {
                            if let Some(room) = self.hears.room() {
                                room.await;
                            }
                            self.hears.told(self.id, notification);
                        }
                        Message::Request(request) => self.asked(request, asked)?,
                    }
                }
            }
        }
    }

    /// Takes a question of the server, to be answered beside what else comes.
    fn asked(&self, request: Request, asked: &mut Asked<'a>) -> Result<(), ClientError> {
        if self.speaking.version.era() == Era::Stateless {
            let what = format!(
                "`{}` was asked on a stream of {}",
                request.method, self.speaking.version
            );
            return Err(ClientError::Protocol(what));
        }
        let is_busy = match Room::beside(asked) {
            Room::Free => false,
            Room::Busy => true,
            Room::Full => return Ok(()),
        };
        let (http, speaking, hears) = (self.http, self.speaking, self.hears);
        asked.push(Box::pin(async move {
            let text = if is_busy {
                busy(&request)
            } else {
                respond(hears, request).await
            };
            if let Err(error) = http.send(speaking, text).await {
                tracing::warn!(
                    error = error.for_log(),
                    "a question's answer could not be delivered"
                );
            }
        }));
        Ok(())
    }

    /// Opens the stream, after the last event seen. The inner error is worth another attempt.
    pub(super) async fn open(&self) -> Result<Result<Answer, String>, ClientError> {
        let mut request = self.http.request(Method::GET, self.speaking);
        request.headers_mut().insert(ACCEPT, EVENTS);
        if let Some(cursor) = &self.cursor {
            let cursor = HeaderValue::from_str(cursor);
            let cursor = cursor.map_err(|_| self.unknown("its event id cannot be sent".into()))?;
            request.headers_mut().insert(LAST_EVENT_ID, cursor);
        }
        let answer = match self.http.door.send(request).await {
            Ok(answer) => answer,
            Err(Unanswered::Connection(error)) => return Ok(Err(reasons(&error))),
            Err(error @ Unanswered::Credential(_)) => return Err(self.unknown(error.to_string())),
        };
        let status = answer.status();
        if status.is_success() && is(&answer, "text/event-stream") {
            return Ok(Ok(answer));
        }
        // What becomes of a request that was sent is not known by that.
        let is_standing = self.id.is_none();
        if is_standing && self.speaking.session.is_some() && status == StatusCode::NOT_FOUND {
            return Err(ClientError::SessionLost);
        }
        let reason = format!("the stream could not be opened (HTTP {status})");
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Ok(Err(reason));
        }
        Err(self.unknown(reason))
    }

    fn unknown(&self, reason: String) -> ClientError {
        ClientError::OutcomeUnknown {
            method: self.method.to_owned(),
            reason,
        }
    }
}

/// Waits for `wanted` while questions are being answered.
pub(super) async fn beside<T>(asked: &mut Asked<'_>, wanted: impl Future<Output = T>) -> T {
    tokio::pin!(wanted);
    loop {
        tokio::select! {
            wanted = &mut wanted => return wanted,
            Some(()) = asked.next(), if !asked.is_empty() => {}
        }
    }
}

/// The messages of a body or an event. A batch is one of 2025-03-26.
fn messages(bytes: &Bytes, limits: &Limits) -> Result<Vec<Message>, ClientError> {
    match Body::parse(bytes, &limits.json) {
        Ok(Body::Single(message)) => Ok(vec![message]),
        Ok(Body::Batch(elements)) => Ok(elements.into_iter().flatten().collect()),
        Err(error) => Err(ClientError::Protocol(error.to_string())),
    }
}

/// Whether this is the answer to `id`. An error without an id is: there is one request per POST.
fn answers(response: &Response, id: &RequestId) -> bool {
    match &response.id {
        Some(theirs) => theirs == id,
        None => response.outcome.is_err(),
    }
}

/// Why a body was not read.
pub(super) enum Unread {
    TooLarge(usize),
    Broken(String),
}

pub(super) async fn up_to(answer: Answer, max: usize) -> Result<Bytes, Unread> {
    match Limited::new(answer.into_body(), max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Unread::TooLarge(max)),
        Err(error) => Err(Unread::Broken(reasons(&*error))),
    }
}

/// The next piece of a body.
pub(super) async fn chunk(answer: &mut Answer) -> hyper::Result<Option<Bytes>> {
    while let Some(frame) = answer.body_mut().frame().await.transpose()? {
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

pub(super) fn is(answer: &Answer, media_type: &str) -> bool {
    let value = answer.headers().get(CONTENT_TYPE);
    let essence = value
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(media_type))
}

pub(super) fn retry_after(answer: &Answer) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}

pub(super) fn bare_status(
    status: StatusCode,
    retry_after: Option<Duration>,
    body: &[u8],
) -> ClientError {
    let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
    let is_page = text.trim_start().starts_with('<');
    let text = if is_page {
        String::new()
    } else {
        text.chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .collect::<String>()
            .trim()
            .to_owned()
    };
    ClientError::Status {
        status: status.as_u16(),
        text,
        retry_after,
    }
}

/// A header that goes out with every message.
pub(super) fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), ClientError> {
    let (name, mut value) = sendable(name, value)?;
    value.set_sensitive(true);
    Ok((name, value))
}

fn sendable(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), ClientError> {
    let bad = |what: &str| ClientError::Address(format!("`{name}` is no {what}"));
    let name = HeaderName::try_from(name).map_err(|_| bad("header name"))?;
    // Values may be secrets: they are never repeated in an error.
    let value = HeaderValue::try_from(value).map_err(|_| {
        ClientError::Address(format!("the value of the header `{name}` cannot be sent"))
    })?;
    Ok((name, value))
}
