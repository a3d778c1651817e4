//! HTTP+SSE, the transport of 2024-11-05: one stream out, a second URL in.
//!
//! The stream is opened by GET and says first where to post. Every message of the client is a POST
//! there, answered 202; every message of ours is an event on the stream. The session ends with the
//! stream. A message may be posted at any node that shares the store; see [`postings`]. Which revision is spoken is another matter: any session-era one can be negotiated here.
//!
//! Spec: 2024-11-05 basic/transports, HTTP with SSE. Deprecated since 2025-03-26.

mod postings;

use std::fmt;
use std::sync::Arc;

use actix_web::http::Method as HttpMethod;
use actix_web::web::{Bytes, BytesMut, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use dashmap::DashMap;
use futures_util::StreamExt as _;

use super::admission::admit;
use super::body;
use super::config::{Context, Endpoint};
use super::pipe::Pipe;
use super::reply::Refused;
use super::sse::{self, EventStream, Heartbeat, encoder};
use super::streamable_http::Head;
use crate::access::Hold;
use crate::protocol::jsonrpc::Body;
use crate::protocol::prescan;
use crate::runtime::queue::Receiver;
use crate::runtime::seal::ClusterKeys;
use crate::runtime::shutdown::Phase;
use crate::runtime::tasks::TaskKind;
use crate::service::{Visit, event};
use crate::session::{FindError, Sessions};
use crate::telemetry::labels::StreamKind;
use postings::{Address, Key, Posted, Postings};

/// The open pipes of this transport, and the endpoint they belong to. Cloning shares them.
#[derive(Clone)]
pub struct Pipes {
    endpoint: Endpoint,
    postings: Postings,
    open: Arc<DashMap<Key, Open>>,
}

/// An open pipe, and what keeps its stream open.
#[derive(Clone, Debug)]
struct Open {
    pipe: Pipe,
    hold: Option<Hold>,
}

impl fmt::Debug for Pipes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pipes({} open)", self.open.len())
    }
}

impl Pipes {
    /// No pipes yet, to be opened at this endpoint. Once, before the node starts: messages for them
    /// may come in at any node that has the keys.
    #[must_use]
    pub fn new(context: &Context, endpoint: Endpoint, keys: &ClusterKeys) -> Self {
        let postings = Postings::listen(
            context.node.clone(),
            context.tasks.clone(),
            keys.seal("message-url"),
            endpoint.name.clone(),
        );
        Self {
            endpoint,
            postings,
            open: Arc::default(),
        }
    }

    /// Opens a pipe: its id, its key, and what is posted for it elsewhere.
    fn open(&self, open: Open) -> (String, Key, Receiver<Posted>) {
        let (id, key, posted) = self.postings.open(&open.pipe.caller().principal);
        self.open.insert(key, open);
        (id, key, posted)
    }

    async fn close(&self, key: &Key) {
        self.postings.close(key);
        if let Some((_, open)) = self.open.remove(key) {
            open.pipe.close().await;
        }
    }

    /// The pipe that a message URL names: its address, and itself where it is open here.
    async fn find(
        &self,
        query: &str,
        visit: &Visit,
        sessions: &Sessions,
    ) -> Result<(Address, Option<Open>), FindError> {
        let id = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("sessionId="));
        let id = id.ok_or(FindError::NotFound)?;
        let address = self.postings.address(id, &visit.caller.principal);
        let Some(address) = address else {
            sessions.not_found(id, visit, &self.endpoint.name);
            return Err(FindError::NotFound);
        };
        if self.postings.is_here(&address) {
            let open = self.open.get(&address.key).ok_or(FindError::NotFound)?;
            return Ok((address, Some(open.clone())));
        }
        self.postings.reach(&address).await?;
        Ok((address, None))
    }
}

/// GET of the stream.
pub async fn open(
    request: HttpRequest,
    context: Data<Context>,
    pipes: Data<Pipes>,
) -> HttpResponse {
    let opened = begin(&request, &context, &pipes).await;
    opened.unwrap_or_else(|refused| refuse(&context, &refused))
}

async fn begin(
    request: &HttpRequest,
    context: &Data<Context>,
    pipes: &Data<Pipes>,
) -> Result<HttpResponse, Refused> {
    if *request.method() != HttpMethod::GET {
        return Err(Refused::HttpMethod("GET"));
    }
    let visit = admit(request, &pipes.endpoint.access).await?;
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
    let (tx, rx) = event::connection();
    let hold = pipes.endpoint.access.hold(&visit);
    let pipe = Pipe::new(
        context.get_ref().clone(),
        pipes.endpoint.clone(),
        visit,
        tx.clone(),
    );
    let (id, key, posted) = pipes.open(Open {
        pipe: pipe.clone(),
        hold: hold.clone(),
    });
    let (opened, shutdown) = (pipes.get_ref().clone(), context.shutdown.clone());
    let limits = context.config.json;
    // Not waited for when draining: such a session cannot outlive this process, so it stays until
    // the calls have ended, its own among them.
    context.tasks.spawn(TaskKind::Upkeep, async move {
        tokio::select! {
            () = tx.closed() => {}
            () = shutdown.reached(Phase::Stopping) => {}
            () = take_posted(&pipe, posted, &limits) => {}
        }
        opened.close(&key).await;
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
    .held_by(hold)
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
    let visit = admit(request, &pipes.endpoint.access).await?;
    let config = &context.config;
    let head = Head::of(request.headers());
    let begun = body::begin(request, config)?;
    if head.has_coded_body() {
        return Err(Refused::ContentEncoding);
    }
    if !head.has_json_body() {
        return Err(Refused::ContentType);
    }
    let (address, here) = pipes
        .find(request.query_string(), &visit, &context.sessions)
        .await?;
    let bytes = body::read(begun, request, payload, config).await?;
    let body = Body::parse(&bytes, &config.json)?;
    // A session like this cannot be gone on with on another stream, so this one must not end because its
    // client has renewed its token.
    if let Some(Open {
        hold: Some(hold), ..
    }) = &here
    {
        hold.renew(&visit);
    }
    match here.map(|open| open.pipe) {
        Some(pipe) if !accepts(&pipe, &body) => Err(Refused::Batch),
        Some(pipe) if pipes.postings.come_in_here_only() => {
            pipe.visited(visit);
            take_body(&pipe, body).await;
            Ok(())
        }
        Some(_) | None => {
            let posting = posting(&visit, &bytes);
            Ok(pipes.postings.carry(address, &posting).await?)
        }
    }
}

/// What is carried to the stream: who posted it on a line of its own, then what was posted.
fn posting(visit: &Visit, body: &[u8]) -> Bytes {
    let who = (&visit.caller, &visit.origin);
    let mut posting = serde_json::to_vec(&who).expect("invariant: a caller serializes");
    posting.push(b'\n');
    posting.extend_from_slice(body);
    posting.into()
}

/// The two parts of [`posting`]; `None` for what another release wrote.
fn read_posting(posting: &Bytes) -> Option<(Visit, Bytes)> {
    let end = posting.iter().position(|byte| *byte == b'\n')?;
    let (caller, origin) = serde_json::from_slice(&posting[..end]).ok()?;
    let visit = Visit {
        caller,
        origin,
        // A token is of its request and this process.
        credential: None,
    };
    Some((visit, posting.slice(end + 1..)))
}

fn accepts(pipe: &Pipe, body: &Body) -> bool {
    matches!(body, Body::Single(_)) || pipe.accepts_batches()
}

async fn take_body(pipe: &Pipe, body: Body) {
    match body {
        Body::Single(message) => pipe.take(message).await,
        Body::Batch(elements) => pipe.take_batch(elements).await,
    }
}

/// Takes what comes by way of the inbox, until there is more of it than may wait. It was accepted
/// where it was posted, so what is wrong with it is said on the stream.
async fn take_posted(pipe: &Pipe, mut posted: Receiver<Posted>, limits: &prescan::Limits) {
    while let Some(Posted(posting)) = posted.next().await {
        let Some((visit, bytes)) = read_posting(&posting) else {
            tracing::warn!("a message for a stream cannot be read");
            continue;
        };
        pipe.visited(visit);
        let refused = match Body::parse(&bytes, limits) {
            Ok(body) if accepts(pipe, &body) => {
                take_body(pipe, body).await;
                continue;
            }
            Ok(_) => Refused::Batch,
            Err(error) => Refused::from(error),
        };
        pipe.say(refused.wire().text(refused.id())).await;
    }
}

fn refuse(context: &Context, refused: &Refused) -> HttpResponse {
    refused.respond(&context.metrics, None)
}
