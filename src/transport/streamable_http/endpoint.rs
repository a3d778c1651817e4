//! One served path: the checks every request passes, and which era serves it.
//!
//! Order of checks for a POST, first failure wins: credential (400, 401, 503), body coding and size (415, 413), content type
//! (415), accept (406), JSON (400), JSON-RPC (400), era. `Host`, `Origin` and the size of the head
//! were checked before ([`super::super::middleware`]).
//!
//! Spec: 2026-07-28 basic/versioning, serving both eras; basic/transports (every revision).

use std::sync::Arc;

use actix_web::http::Method as HttpMethod;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::head::Head;
use super::{session_era, stateless_era, trace};
use crate::identity::Caller;
use crate::protocol::era::{self, Belongs, EraError, VersionHeader};
use crate::protocol::jsonrpc::{Body, Message, NotJsonRpc, RequestId};
use crate::protocol::version::is_stateless_header;
use crate::service::Visit;
use crate::transport::admission::admit;
use crate::transport::body;
use crate::transport::config::{Context, Endpoint};
use crate::transport::reply::Refused;

/// The methods of the session era; the stateless era has POST only.
const SESSION_METHODS: &str = "GET, POST, DELETE";
const STATELESS_METHODS: &str = "POST";

/// One request at one endpoint, as the eras see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived<'a> {
    pub(super) request: &'a HttpRequest,
    pub(super) context: &'a Context,
    pub(super) endpoint: &'a Endpoint,
    pub(super) visit: &'a Visit,
}

impl<'a> Arrived<'a> {
    pub(super) fn caller(&self) -> &'a Arc<Caller> {
        &self.visit.caller
    }

    pub(super) fn head(&self) -> Head<'a> {
        Head::of(self.request.headers())
    }
}

/// A refusal with the id of the request it is about: every answer to a request echoes its id.
#[derive(Debug)]
pub(super) struct RefusedRequest {
    pub(super) id: Option<RequestId>,
    pub(super) refused: Refused,
}

impl<E: Into<Refused>> From<E> for RefusedRequest {
    fn from(refused: E) -> Self {
        Self {
            id: None,
            refused: refused.into(),
        }
    }
}

impl Refused {
    /// This refusal of the request with that id.
    pub(super) fn of(self, id: &RequestId) -> RefusedRequest {
        RefusedRequest {
            id: Some(id.clone()),
            refused: self,
        }
    }
}

/// Answers one HTTP request to this endpoint.
pub async fn serve(
    request: HttpRequest,
    payload: Payload,
    context: Data<Context>,
    endpoint: Data<Endpoint>,
) -> HttpResponse {
    let visit = match admit(&request, &endpoint.access).await {
        Ok(visit) => visit,
        Err(refused) => return refused.respond(&context.metrics, None),
    };
    let arrived = Arrived {
        request: &request,
        context: &context,
        endpoint: &endpoint,
        visit: &visit,
    };
    let answered = match *request.method() {
        HttpMethod::POST => post(arrived, payload).await,
        HttpMethod::GET => match not_stateless(arrived) {
            Ok(()) => Box::pin(session_era::get(arrived)).await,
            Err(refused) => Err(refused.into()),
        },
        HttpMethod::DELETE => match not_stateless(arrived) {
            Ok(()) => Box::pin(session_era::delete(arrived)).await,
            Err(refused) => Err(refused.into()),
        },
        _ => Err(Refused::HttpMethod(SESSION_METHODS).into()),
    };
    answered.unwrap_or_else(|RefusedRequest { id, refused }| {
        refused.respond(&context.metrics, id.as_ref())
    })
}

/// GET and DELETE exist in the session era only (rows E18 and E19).
fn not_stateless(arrived: Arrived<'_>) -> Result<(), Refused> {
    match arrived.head().version()? {
        Some(version) if is_stateless_header(version) => {
            Err(Refused::HttpMethod(STATELESS_METHODS))
        }
        Some(_) | None => Ok(()),
    }
}

async fn post(arrived: Arrived<'_>, payload: Payload) -> Result<HttpResponse, RefusedRequest> {
    let config = &arrived.context.config;
    let head = arrived.head();
    let begun = body::begin(arrived.request, config)?;
    if head.has_coded_body() {
        return Err(Refused::ContentEncoding.into());
    }
    if !head.has_json_body() {
        return Err(Refused::ContentType.into());
    }
    let accepts = head.accepts();
    if !accepts.json || !accepts.events {
        return Err(Refused::Accept("application/json and text/event-stream").into());
    }
    let bytes = body::read(begun, arrived.request, payload, config).await?;
    let headers = arrived.request.headers();
    match Body::parse(&bytes, &config.json).map_err(Refused::Parse)? {
        Body::Single(message) => match belongs(arrived, trace::of_headers(headers, message))? {
            Belongs::Session(message) => session_era::post(arrived, message).await,
            Belongs::Stateless(request, client) => {
                stateless_era::request(arrived, request, client).await
            }
            Belongs::StatelessNotification(notification) => {
                stateless_era::notification(arrived, &notification)
            }
        },
        Body::Batch(elements) => {
            let traced =
                |element: Result<_, _>| element.map(|message| trace::of_headers(headers, message));
            let elements = elements.into_iter().map(traced).collect();
            Box::pin(batch(arrived, elements)).await
        }
    }
}

/// Decides the era of one message.
fn belongs(arrived: Arrived<'_>, message: Message) -> Result<Belongs, RefusedRequest> {
    let id = match &message {
        Message::Request(request) => Some(request.id.clone()),
        Message::Notification(_) | Message::Response(_) => None,
    };
    let refused = |refused| RefusedRequest { id, refused };
    let header = match arrived.head().version() {
        Ok(header) => header,
        // What claims a version is of the stateless era, where this has its own code.
        Err(_) if era::any_claim([&message]) => {
            let text = "the MCP-Protocol-Version header must come once and hold a version";
            return Err(refused(Refused::HeaderMismatch(text.to_owned())));
        }
        Err(error) => return Err(refused(error)),
    };
    era::classify(message, VersionHeader::Http(header)).map_err(|error| refused(error.into()))
}

/// Rows E15 to E17: a batch is of the session era, and claims nothing.
async fn batch(
    arrived: Arrived<'_>,
    elements: Vec<Result<Message, NotJsonRpc>>,
) -> Result<HttpResponse, RefusedRequest> {
    if era::any_claim(elements.iter().flatten()) {
        let text = "a batch cannot hold requests of this protocol version";
        return Err(Refused::Era(EraError::NotHere(text)).into());
    }
    if arrived.head().version()?.is_some_and(is_stateless_header) {
        return Err(Refused::Batch.into());
    }
    session_era::post_batch(arrived, elements).await
}
