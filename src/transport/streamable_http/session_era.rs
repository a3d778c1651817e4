//! Streamable HTTP with sessions: the handshake, calls, answers, the standing stream, resumption.
//!
//! Spec: basic/transports, Streamable HTTP (2025-03-26, 2025-06-18, 2025-11-25); basic/lifecycle.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::header::HeaderValue;
use bytestring::ByteString;
use futures_util::future::{BoxFuture, join_all};
use serde_json::json;
use tokio::sync::oneshot;

use super::endpoint::{Arrived, RefusedRequest};
use crate::protocol::capabilities::ClientCapabilities;
use crate::protocol::headers;
use crate::protocol::jsonrpc::{Message, NotJsonRpc, Request, RequestId};
use crate::protocol::lifecycle::InitializeParams;
use crate::protocol::method::Method;
use crate::protocol::raw::RawJson;
use crate::protocol::version::{Era, ProtocolVersion};
use crate::service::Client;
use crate::service::event;
use crate::session::event_log::{EventId, StreamName};
use crate::session::handle::Entered;
use crate::session::in_flight::NotEntered;
use crate::session::replay::{self, Resumed};
use crate::session::{FindError, NewSession, SessionHandle, dispatch};
use crate::telemetry::labels::{CloseReason, StreamKind};
use crate::transport::exchange::{self, Answered, Opened};
use crate::transport::reply::{self, Refused, WireStatus};
use crate::transport::run_again::Successor;
use crate::transport::session_call::{self, Answering};
use crate::transport::session_line::SessionLine;
use crate::transport::sse::{self, EventStream, Heartbeat};

/// How often a call may meet its session on the way out and find it again. Passivation needs a
/// session to be unused, and the call makes it used, so more than once is a race lost twice.
const ENTER_TRIES: usize = 3;

/// Answers one message.
pub(super) async fn post(
    arrived: Arrived<'_>,
    message: Message,
) -> Result<HttpResponse, RefusedRequest> {
    match message {
        Message::Request(request) if matches!(request.method, Method::Initialize) => {
            // Boxed like all that is rare: every request carries room for what is not.
            Box::pin(initialize(arrived, &request))
                .await
                .map_err(|refused| refused.of(&request.id))
        }
        Message::Request(request) => {
            let refused = |refused: Refused| refused.of(&request.id);
            let session = find(arrived).await.map_err(refused)?;
            let entered = enter(arrived, session, &request.id).await;
            let call = call(arrived, entered.map_err(refused)?, request)?;
            Ok(answer(arrived, call).await)
        }
        Message::Notification(notification) => {
            let session = find(arrived).await?;
            dispatch::notice(&session, &notification);
            Ok(HttpResponse::Accepted().finish())
        }
        Message::Response(response) => {
            let session = find(arrived).await?;
            if !session.answer(response).await {
                tracing::debug!("an answer that nobody waits for was dropped");
            }
            Ok(HttpResponse::Accepted().finish())
        }
    }
}

/// Answers a batch (2025-03-26 basic/transports, sending messages to the server).
pub(super) async fn post_batch(
    arrived: Arrived<'_>,
    elements: Vec<Result<Message, NotJsonRpc>>,
) -> Result<HttpResponse, RefusedRequest> {
    let handshake = elements.iter().flatten().any(|message| {
        matches!(message, Message::Request(request) if matches!(request.method, Method::Initialize))
    });
    if handshake {
        return Err(Refused::Initialize("initialize must not be part of a batch").into());
    }
    let session = find(arrived).await?;
    if !session.negotiated().version.accepts_batches() {
        return Err(Refused::Batch.into());
    }
    let mut calls = Vec::new();
    let mut errors = Vec::new();
    for element in elements {
        match element {
            Ok(Message::Request(request)) => {
                match enter(arrived, session.clone(), &request.id).await {
                    Ok(entered) => calls.push((entered, request)),
                    Err(refused) => errors.push(refused.wire().text(Some(&request.id))),
                }
            }
            Ok(Message::Notification(notification)) => dispatch::notice(&session, &notification),
            Ok(Message::Response(response)) => {
                let _somebody_waited = session.answer(response).await;
            }
            Err(error) => {
                let refused = Refused::from(error);
                errors.push(refused.wire().text(refused.id()));
            }
        }
    }
    if calls.is_empty() && errors.is_empty() {
        return Ok(HttpResponse::Accepted().finish());
    }
    answer_batch(arrived, calls, errors).await
}

/// Opens a session.
async fn initialize(arrived: Arrived<'_>, request: &Request) -> Result<HttpResponse, Refused> {
    if arrived.head().session_id()?.is_some() {
        find(arrived).await?;
        return Err(Refused::Initialize("this session is initialized already"));
    }
    let (version, client) = read_initialize(request)?;
    let session = arrived
        .context
        .sessions
        .open(NewSession {
            version,
            client,
            caller: arrived.caller().clone(),
            endpoint: arrived.endpoint.name.clone(),
        })
        .await?;
    let text = initialize_result(&session, &request.id);
    let mut response = WireStatus::OK.respond(text);
    let id = HeaderValue::from_str(session.id().as_str())
        .expect("invariant: a session id is visible ASCII");
    response.headers_mut().insert(
        actix_web::http::header::HeaderName::from_static(headers::SESSION_ID),
        id,
    );
    Ok(response)
}

/// Bytes of `initialize`'s params: they are kept for the life of the session, here and in the store.
const NEGOTIATED_MAX: usize = 16 * 1024;

/// What an `initialize` request settles.
pub(in crate::transport) fn read_initialize(
    request: &Request,
) -> Result<(ProtocolVersion, Client), Refused> {
    let invalid = |error: crate::protocol::raw::ShapeError| Refused::Params(error.to_string());
    let size = request.params.raw().map_or(0, |raw| raw.as_str().len());
    if size > NEGOTIATED_MAX {
        return Err(Refused::Params(format!(
            "what is negotiated may have {NEGOTIATED_MAX} bytes, not {size}"
        )));
    }
    let params: InitializeParams = request.params.decode().map_err(invalid)?;
    let capabilities = ClientCapabilities::parse(params.capabilities).map_err(invalid)?;
    let client = Client {
        capabilities,
        info: Some(params.client_info),
    };
    Ok((ProtocolVersion::negotiate(&params.protocol_version), client))
}

/// The answer to `initialize`.
pub(in crate::transport) fn initialize_result(session: &SessionHandle, id: &RequestId) -> String {
    let negotiated = session.negotiated();
    let description = session.service().describe(&session.caller());
    let mut result = json!({
        "protocolVersion": negotiated.version,
        "capabilities": description.capabilities.to_value(negotiated.version),
        "serverInfo": description.introduction(negotiated.version),
    });
    if let Some(instructions) = &description.instructions {
        result["instructions"] = json!(instructions);
    }
    let result = RawJson::of(&result);
    crate::protocol::encode::result(id, &[result.members().unwrap_or("")])
}

/// The session a request names. The session is checked before the version header.
async fn find(arrived: Arrived<'_>) -> Result<SessionHandle, Refused> {
    let head = arrived.head();
    let id = head.session_id()?.ok_or(Refused::SessionMissing)?;
    let session = arrived
        .context
        .sessions
        .find(id, arrived.caller(), &arrived.endpoint.name)
        .await
        .map_err(|error| missed(arrived, id, error))?;
    if session.is_piped() {
        // It belongs to another transport.
        return Err(FindError::NotFound.into());
    }
    if let Some(version) = head.version()? {
        let supported = ProtocolVersion::parse(version);
        if supported.is_none_or(|version| version.era() != Era::Session) {
            return Err(Refused::VersionHeader(version.chars().take(32).collect()));
        }
        if supported != Some(session.negotiated().version) {
            tracing::debug!("a request names another version than its session negotiated");
        }
    }
    Ok(session)
}

/// A session was not found, which may concern more than its client.
fn missed(arrived: Arrived<'_>, id: &str, error: FindError) -> FindError {
    if error == FindError::NotFound {
        let sessions = &arrived.context.sessions;
        sessions.not_found(id, arrived.visit, &arrived.endpoint.name);
    }
    error
}

/// A place in the session of a call.
struct EnteredCall {
    session: SessionHandle,
    entered: Entered,
}

/// Enters a request, finding its session again if it was on its way out.
async fn enter(
    arrived: Arrived<'_>,
    mut session: SessionHandle,
    id: &RequestId,
) -> Result<EnteredCall, Refused> {
    let mut tries = ENTER_TRIES;
    loop {
        match session.enter(id) {
            Ok(entered) => return Ok(EnteredCall { session, entered }),
            Err(NotEntered::Closing) if tries > 1 => {
                tries -= 1;
                session = Box::pin(arrived.context.sessions.restore(session.id())).await?;
            }
            Err(why) => return Err(Refused::Entering(why)),
        }
    }
}

struct RunningCall {
    session: SessionHandle,
    answer: Answering,
    line: Arc<SessionLine>,
    opened: oneshot::Receiver<Opened>,
}

/// Starts a call.
fn call(
    arrived: Arrived<'_>,
    EnteredCall { session, entered }: EnteredCall,
    request: Request,
) -> Result<RunningCall, RefusedRequest> {
    let context = arrived.context;
    let id = request.id.clone();
    let ids = vec![id.clone()];
    let call = matches!(request.method, Method::ToolsCall).then(|| request.params.clone());
    let tasks = context.tasks.clone();
    let (line, opened) = SessionLine::over_http(session.clone(), ids, call, tasks);
    let answer = session_call::start(context, &session, request, entered, &line, arrived.visit)
        .map_err(|refused| refused.of(&id))?;
    Ok(RunningCall {
        session,
        answer,
        line,
        opened,
    })
}

/// Answers with the one message of a call, or with a stream.
async fn answer(arrived: Arrived<'_>, call: RunningCall) -> HttpResponse {
    let context = arrived.context;
    let RunningCall {
        session,
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
        // Cancelled: there is no answer, so the stream that could carry one says nothing.
        Answered::Alone(None) => silent_stream(),
        Answered::Streaming(opened) => stream(arrived, &session, opened, StreamKind::Call),
    }
}

/// Runs the calls of a batch and answers with an array or a stream.
async fn answer_batch(
    arrived: Arrived<'_>,
    calls: Vec<(EnteredCall, Request)>,
    errors: Vec<String>,
) -> Result<HttpResponse, RefusedRequest> {
    let context = arrived.context;
    let Some(session) = calls.first().map(|(call, _)| call.session.clone()) else {
        return Ok(WireStatus::OK.respond(array(&errors)));
    };
    let ids = calls
        .iter()
        .map(|(_, request)| request.id.clone())
        .collect::<Vec<_>>();
    let tasks = context.tasks.clone();
    let (line, opened) = SessionLine::over_http(session.clone(), ids, None, tasks);
    let mut running = Vec::with_capacity(calls.len());
    for (call, request) in calls {
        let id = request.id.clone();
        let started = session_call::start(
            context,
            &session,
            request,
            call.entered,
            &line,
            arrived.visit,
        );
        running.push(started.map_err(|refused| refused.of(&id))?);
    }
    let running: BoxFuture<'static, Vec<String>> = Box::pin(async move {
        let answers = join_all(running).await.into_iter().flatten();
        errors
            .into_iter()
            .chain(answers.map(|(_, text)| text))
            .collect()
    });
    let last = |texts: Vec<String>| texts.into_iter().map(ByteString::from).collect();
    let grace = context.config.grace;
    match exchange::run(running, last, line, opened, grace, &context.tasks).await {
        Answered::Alone(texts) => Ok(WireStatus::OK.respond(array(&texts))),
        Answered::Streaming(opened) => Ok(stream(arrived, &session, opened, StreamKind::Call)),
    }
}

fn array(texts: &[String]) -> String {
    format!("[{}]", texts.join(","))
}

fn stream(
    arrived: Arrived<'_>,
    session: &SessionHandle,
    opened: Opened,
    kind: StreamKind,
) -> HttpResponse {
    let context = arrived.context;
    let body = EventStream::new(
        opened.events,
        opened.name,
        Heartbeat(context.config.heartbeat),
        None,
        context.metrics.open_stream(kind),
    );
    respond(session, body)
}

fn respond(session: &SessionHandle, body: EventStream) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((headers::SESSION_ID, session.id().as_str()));
    sse::respond(response, body)
}

/// A stream that has ended before it said anything.
fn silent_stream() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((actix_web::http::header::CACHE_CONTROL, "no-cache"))
        .finish()
}

/// GET: the standing stream, or a stream that broke off.
pub(super) async fn get(arrived: Arrived<'_>) -> Result<HttpResponse, RefusedRequest> {
    if !arrived.head().accepts().events {
        return Err(Refused::Accept("text/event-stream").into());
    }
    let session = find(arrived).await?;
    let after = match arrived.head().last_event_id()? {
        None => None,
        Some(text) => match EventId::parse(text) {
            Some(id) => Some(id),
            None => return Ok(unknown_event(arrived, &session, None)),
        },
    };
    let context = arrived.context;
    let place = context
        .streams
        .clone()
        .try_acquire_owned()
        .map_err(|_| Refused::Streams)?;
    let (events, name, kind) = match after {
        Some(from) if !from.stream.is_standing() => {
            let name = from.stream.clone();
            match replay::resume(&session, from, Arc::new(Successor(context.clone()))).await {
                Ok(Resumed::Following(events)) => (events, name, StreamKind::Replay),
                // Nothing will ever follow: a client that is told to stop does not come again.
                Ok(Resumed::NothingLeft) => return Ok(HttpResponse::NoContent().finish()),
                Ok(Resumed::Unknown) => {
                    return Ok(unknown_event(arrived, &session, Some(&name)));
                }
                Err(_) => return Err(FindError::Unavailable.into()),
            }
        }
        after => {
            let (tx, rx) = event::connection();
            session.attach(tx, after).await?;
            (rx, StreamName::standing(), StreamKind::Standing)
        }
    };
    let body = EventStream::new(
        events,
        Some(name),
        Heartbeat(context.config.heartbeat),
        Some(place),
        context.metrics.open_stream(kind),
    )
    .held_by(arrived.endpoint.access.hold(arrived.visit));
    Ok(respond(&session, body))
}

/// The specification is silent on an unknown event id. An error would make a browser's event
/// source try the same id for ever, so the answer is a stream that ends at once.
fn unknown_event(
    arrived: Arrived<'_>,
    session: &SessionHandle,
    stream: Option<&StreamName>,
) -> HttpResponse {
    tracing::info!("a client resumed after an event that is not known any more");
    (arrived.context.sessions).event_not_found(session, stream, arrived.visit);
    silent_stream()
}

/// DELETE: ends the session.
pub(super) async fn delete(arrived: Arrived<'_>) -> Result<HttpResponse, RefusedRequest> {
    let head = arrived.head();
    let id = head.session_id()?.ok_or(Refused::SessionMissing)?;
    arrived
        .context
        .sessions
        .close(
            id,
            &arrived.caller().principal,
            &arrived.endpoint.name,
            CloseReason::Deleted,
        )
        .await
        .map_err(|error| missed(arrived, id, error))?;
    Ok(HttpResponse::NoContent().finish())
}
