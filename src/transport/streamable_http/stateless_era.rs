//! Streamable HTTP without sessions (2026-07-28): one POST, one message, and headers that repeat
//! what the body says.
//!
//! An intermediary may route by those headers, so a request whose headers and body differ is
//! refused before anything acts on either. A stray `Mcp-Session-Id` or `Last-Event-ID` is ignored.
//!
//! Spec: 2026-07-28 basic/transports/streamable-http.

use std::sync::Arc;

use actix_web::HttpResponse;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::endpoint::{Arrived, RefusedRequest};
use super::head::{self, Head};
use crate::access::Hold;
use crate::protocol::headers;
use crate::protocol::jsonrpc::{Notification, Request};
use crate::protocol::meta::DeclaredClient;
use crate::protocol::method::Method;
use crate::protocol::params::{ParamsHead, string_of};
use crate::protocol::raw::RawJson;
use crate::protocol::version::{Era, ProtocolVersion};
use crate::runtime::shutdown::Phase;
use crate::runtime::tasks::TaskKind;
use crate::service::{ServiceError, event};
use crate::telemetry::labels::{Outcome, StreamKind};
use crate::transport::exchange::{self, Answered, Opened};
use crate::transport::reply::{self, Envelope, Refused, WireStatus};
use crate::transport::sse::{self, EventStream, Heartbeat};
use crate::transport::stateless::listen::Listening;
use crate::transport::stateless::{self, Declared, StatelessLine, Surroundings};

/// Answers one request. What can be decided at once is decided before there is a future, which
/// then need not carry the request.
pub(super) fn request(
    arrived: Arrived<'_>,
    request: Request,
    client: DeclaredClient,
) -> impl Future<Output = Result<HttpResponse, RefusedRequest>> {
    let begun = begin(arrived, request, client);
    async move {
        match begun? {
            Begun::Answered(response) => Ok(response),
            Begun::Call(call) => Ok(answer(arrived, call).await),
            // Boxed, so that calls need not carry room for it.
            Begun::Listen(asked) => {
                let (request, client) = *asked;
                Box::pin(listen(arrived, request, &client)).await
            }
        }
    }
}

/// A request whose headers are as they should be.
enum Begun {
    /// It is no call.
    Answered(HttpResponse),
    Call(RunningCall),
    /// It has a stream of its own.
    Listen(Box<(Request, DeclaredClient)>),
}

struct RunningCall {
    answer: BoxFuture<'static, Option<(WireStatus, String)>>,
    line: Arc<StatelessLine>,
    opened: oneshot::Receiver<Opened>,
}

fn begin(
    arrived: Arrived<'_>,
    request: Request,
    client: DeclaredClient,
) -> Result<Begun, RefusedRequest> {
    check_headers(arrived, &request).map_err(|refused| refused.of(&request.id))?;
    if matches!(request.method, Method::Listen) {
        return Ok(Begun::Listen(Box::new((request, client))));
    }
    Ok(call(arrived, request, client))
}

/// Takes one notification. The core defines none over HTTP, so all are accepted and dropped.
pub(super) fn notification(
    arrived: Arrived<'_>,
    notification: &Notification,
) -> Result<HttpResponse, RefusedRequest> {
    match arrived.head().once(&head::METHOD) {
        Ok(None) => Ok(HttpResponse::Accepted().finish()),
        Ok(Some(method)) if method == notification.method => Ok(HttpResponse::Accepted().finish()),
        Ok(Some(_)) | Err(_) => Err(differs(headers::METHOD, "the notification's method").into()),
    }
}

/// Headers, then the method, then parameter headers: existence outranks validity.
fn check_headers(arrived: Arrived<'_>, request: &Request) -> Result<(), Refused> {
    let head = arrived.head();
    let mut before = None;
    for (name, value) in arrived.request.headers() {
        if !name.as_str().starts_with("mcp-") {
            continue;
        }
        // Also those we know nothing of: somebody in front of us may route by them. The values of
        // one name follow each other.
        if before == Some(name) || !headers::is_printable(value.as_bytes()) {
            return Err(Refused::HeaderMismatch(format!(
                "header `{name}` must come once and hold printable ASCII"
            )));
        }
        before = Some(name);
    }
    match head.raw(&head::METHOD).0 {
        Some(method) if method == request.method.as_str().as_bytes() => {}
        Some(_) => return Err(differs(headers::METHOD, "the request's method")),
        None => return Err(missing(headers::METHOD)),
    }
    let params = ParamsHead::of(&request.params);
    let named = match request.method {
        Method::ToolsCall | Method::PromptsGet => string_of(params.name),
        Method::ResourcesRead => string_of(params.uri),
        Method::TasksGet | Method::TasksUpdate | Method::TasksCancel => string_of(params.task_id),
        Method::Initialize
        | Method::Ping
        | Method::Discover
        | Method::Listen
        | Method::ToolsList
        | Method::ResourcesList
        | Method::ResourceTemplatesList
        | Method::ResourcesSubscribe
        | Method::ResourcesUnsubscribe
        | Method::PromptsList
        | Method::Complete
        | Method::SetLevel
        | Method::TasksResult
        | Method::TasksList
        | Method::Other(_) => None,
    };
    if let Some(named) = named.as_deref() {
        check_name(&head, named)?;
    }
    if request.method.is_foreign_to(ProtocolVersion::NEWEST) {
        return Err(Refused::Method(request.method.to_string()));
    }
    if let (Method::ToolsCall, Some(tool)) = (&request.method, &named) {
        let service = &arrived.endpoint.service;
        if let Some(annotated) = service.header_params(arrived.caller(), tool) {
            let arguments = params
                .arguments
                .map(|raw| RawJson::from_valid(raw.to_owned()));
            annotated
                .check(arguments.as_ref(), |name| head.raw(name).0)
                .map_err(|error| Refused::HeaderMismatch(error.to_string()))?;
        }
    }
    Ok(())
}

fn check_name(head: &Head<'_>, expected: &str) -> Result<(), Refused> {
    let raw = head
        .raw(&head::NAME)
        .0
        .ok_or_else(|| missing(headers::NAME))?;
    let name = headers::decode_value(raw)
        .map_err(|error| Refused::HeaderMismatch(format!("header `{}` {error}", headers::NAME)))?;
    if name == expected {
        Ok(())
    } else {
        Err(differs(headers::NAME, "what the body names"))
    }
}

fn missing(header: &str) -> Refused {
    Refused::HeaderMismatch(format!("header `{header}` is required"))
}

fn differs(header: &str, what: &str) -> Refused {
    Refused::HeaderMismatch(format!("header `{header}` must equal {what}"))
}

/// Starts a call, unless its `_meta` cannot be read.
fn call(arrived: Arrived<'_>, request: Request, client: DeclaredClient) -> Begun {
    let context = arrived.context;
    let description = arrived.endpoint.service.describe(arrived.caller());
    let envelope = stateless::envelope(&request.method, &description, &context.config);
    let id = request.id.clone();
    let declared = match Declared::of(&request, client) {
        Ok(declared) => declared,
        Err(error) => return Begun::Answered(in_band(&envelope, &request, error)),
    };
    let cancel = CancellationToken::new();
    let (line, opened) = StatelessLine::over_http(declared.log_level, cancel.clone());
    let surroundings = Surroundings {
        endpoint: arrived.endpoint,
        visit: arrived.visit,
        config: &context.config,
        metrics: &context.metrics,
    };
    let answering = surroundings.answer(request, declared, line.clone(), cancel);
    let answer = Box::pin(async move {
        match answering.await {
            Err(ServiceError::Cancelled) => None,
            outcome => Some(envelope.answer(&id, &outcome)),
        }
    });
    Begun::Call(RunningCall {
        answer,
        line,
        opened,
    })
}

/// Answers with the one message of a call, or with a stream.
async fn answer(arrived: Arrived<'_>, call: RunningCall) -> HttpResponse {
    let context = arrived.context;
    let RunningCall {
        answer,
        line,
        opened,
    } = call;
    let grace = context.config.grace;
    match exchange::run(
        answer,
        reply::last_message,
        line,
        opened,
        grace,
        &context.tasks,
    )
    .await
    {
        Answered::Alone(Some((status, text))) => status.respond(text),
        Answered::Alone(None) => HttpResponse::NoContent().finish(),
        Answered::Streaming(opened) => {
            let body = EventStream::new(
                opened.events,
                None,
                Heartbeat(context.config.stateless_heartbeat),
                None,
                context.metrics.open_stream(StreamKind::Call),
            );
            sse::respond(HttpResponse::Ok(), body)
        }
    }
}

/// The answer to a request that never became a call.
fn in_band(envelope: &Envelope, request: &Request, error: ServiceError) -> HttpResponse {
    let (status, text) = envelope.answer(&request.id, &Err(error));
    status.respond(text)
}

/// Waits until a stream must not go on.
async fn lapsed(hold: Option<Hold>) {
    match hold {
        Some(hold) => hold.lapsed().await,
        None => std::future::pending().await,
    }
}

async fn listen(
    arrived: Arrived<'_>,
    request: Request,
    client: &DeclaredClient,
) -> Result<HttpResponse, RefusedRequest> {
    let context = arrived.context;
    let started = std::time::Instant::now();
    let service = &arrived.endpoint.service;
    let description = service.describe(arrived.caller());
    let envelope = stateless::envelope(&request.method, &description, &context.config);
    // Refused before the acknowledgement, which promises that changes will be told.
    let place = context
        .streams
        .clone()
        .try_acquire_owned()
        .map_err(|_| Refused::Streams.of(&request.id))?;
    let begun = Listening::begin(&request, client, service, arrived.caller()).await;
    let outcome = if begun.is_ok() {
        Outcome::Ok
    } else {
        Outcome::Error
    };
    let (era, took) = (Era::Stateless, started.elapsed());
    context.metrics.request(&request.method, era, outcome, took);
    let listening = match begun {
        Ok(listening) => listening,
        Err(error) => return Ok(in_band(&envelope, &request, error)),
    };
    let (tx, rx) = event::connection();
    let hold = arrived.endpoint.access.hold(arrived.visit);
    let shutdown = context.shutdown.clone();
    let end = async move {
        tokio::select! {
            () = shutdown.reached(Phase::Draining) => {}
            () = lapsed(hold) => {}
        }
    };
    let cancel = CancellationToken::new();
    context.tasks.spawn(TaskKind::Stream, async move {
        listening.speak(&tx, cancel, end).await;
    });
    let body = EventStream::new(
        rx,
        None,
        Heartbeat(context.config.heartbeat),
        Some(place),
        context.metrics.open_stream(StreamKind::Listen),
    );
    Ok(sse::respond(HttpResponse::Ok(), body))
}
