//! HTTP+SSE, the transport of 2024-11-05: one stream out, a second URL in.
//!
//! The stream is opened by GET and says first where to post. Every message of the client is a POST
//! there, answered 202; every message of ours is an event on the stream. The session ends with the
//! stream. Which revision is spoken is another matter: any session-era one can be negotiated here.
//!
//! Spec: 2024-11-05 basic/transports, HTTP with SSE. Deprecated since 2025-03-26.

use std::fmt;
use std::sync::Arc;

use actix_web::http::Method as HttpMethod;
use actix_web::web::{Bytes, BytesMut, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dashmap::DashMap;

use super::body;
use super::config::{Context, Endpoint};
use super::pipe::Pipe;
use super::reply::Refused;
use super::sse::{self, EventStream, Heartbeat, encoder};
use super::streamable_http::Head;
use crate::identity::Principal;
use crate::protocol::jsonrpc::Body;
use crate::runtime::seal;
use crate::runtime::shutdown::Phase;
use crate::runtime::tasks::TaskKind;
use crate::service::event;
use crate::session::FindError;
use crate::telemetry::labels::StreamKind;

/// The open pipes of this transport, and the endpoint they belong to. Cloning shares them.
#[derive(Clone)]
pub struct Pipes {
    endpoint: Endpoint,
    /// By the id in the message URL: a secret of its client, like a session id.
    open: Arc<DashMap<String, Pipe>>,
}

impl fmt::Debug for Pipes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pipes({} open)", self.open.len())
    }
}

impl Pipes {
    /// No pipes yet, to be opened at this endpoint.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            open: Arc::default(),
        }
    }
}

/// GET of the stream.
pub async fn open(
    request: HttpRequest,
    context: Data<Context>,
    pipes: Data<Pipes>,
) -> HttpResponse {
    begin(&request, &context, &pipes).unwrap_or_else(|refused| refuse(&context, &refused))
}

fn begin(
    request: &HttpRequest,
    context: &Data<Context>,
    pipes: &Data<Pipes>,
) -> Result<HttpResponse, Refused> {
    if *request.method() != HttpMethod::GET {
        return Err(Refused::HttpMethod("GET"));
    }
    if !Head::of(request.headers()).accepts().events {
        return Err(Refused::Accept("text/event-stream"));
    }
    let place = context
        .streams
        .clone()
        .try_acquire_owned()
        .map_err(|_| Refused::Streams)?;
    let messages = context
        .config
        .http_sse
        .as_ref()
        .map(|paths| paths.message_path.clone())
        .ok_or(Refused::Path)?;
    let id = URL_SAFE_NO_PAD.encode(seal::random::<32>());
    let (tx, rx) = event::connection();
    let pipe = Pipe::new(
        context.get_ref().clone(),
        pipes.endpoint.clone(),
        Principal::local(),
        tx.clone(),
    );
    pipes.open.insert(id.clone(), pipe.clone());
    let (open, shutdown) = (pipes.open.clone(), context.shutdown.clone());
    let name = id.clone();
    // Not waited for when draining: such a session cannot outlive this process, so it stays until
    // the calls have ended, its own among them.
    context.tasks.spawn(TaskKind::Upkeep, async move {
        tokio::select! {
            () = tx.closed() => {}
            () = shutdown.reached(Phase::Stopping) => {}
        }
        open.remove(&name);
        pipe.close().await;
    });
    let mut opening = BytesMut::new();
    encoder::encode_named(
        "endpoint",
        &format!("{messages}?sessionId={id}"),
        &mut opening,
    );
    let body = EventStream::new(
        rx,
        None,
        Heartbeat(context.config.heartbeat),
        Some(place),
        context.metrics.open_stream(StreamKind::Sse),
    )
    .opening_with(opening.freeze());
    Ok(sse::respond(HttpResponse::Ok(), body))
}

/// POST of a message.
pub async fn message(
    request: HttpRequest,
    payload: Payload,
    context: Data<Context>,
    pipes: Data<Pipes>,
) -> HttpResponse {
    match take(&request, payload, &context, &pipes).await {
        Ok(()) => HttpResponse::Accepted()
            .content_type("text/plain")
            .body(Bytes::from_static(b"Accepted")),
        Err(refused) => refuse(&context, &refused),
    }
}

async fn take(
    request: &HttpRequest,
    payload: Payload,
    context: &Data<Context>,
    pipes: &Data<Pipes>,
) -> Result<(), Refused> {
    if *request.method() != HttpMethod::POST {
        return Err(Refused::HttpMethod("POST"));
    }
    let config = &context.config;
    let head = Head::of(request.headers());
    let begun = body::begin(request, config)?;
    if head.has_coded_body() {
        return Err(Refused::ContentEncoding);
    }
    if !head.has_json_body() {
        return Err(Refused::ContentType);
    }
    let pipe = find(request.query_string(), pipes).ok_or(FindError::NotFound)?;
    let bytes = body::read(begun, request, payload, config).await?;
    match Body::parse(&bytes, &config.json)? {
        Body::Single(message) => pipe.take(message).await,
        Body::Batch(elements) if pipe.accepts_batches() => pipe.take_batch(elements).await,
        Body::Batch(_) => return Err(Refused::Batch),
    }
    Ok(())
}

fn find(query: &str, pipes: &Pipes) -> Option<Pipe> {
    let id = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("sessionId="))?;
    let pipe = pipes.open.get(id).map(|pipe| pipe.value().clone())?;
    (*pipe.principal() == Principal::local()).then_some(pipe)
}

fn refuse(context: &Context, refused: &Refused) -> HttpResponse {
    refused.respond(&context.metrics, None)
}
