//! What every HTTP request passes before anything looks at its body, in this order:
//!
//! 0. [`ending`]: nothing comes after the last request of a connection.
//! 1. [`head_limits`]: sizes first, since all that follows reads the head.
//! 2. [`path`]: only canonical paths, so that what is matched is what was sent.
//! 3. [`origin`]: `Host`, then `Origin`. Before authentication, so that a page of a foreign site
//!    learns nothing, not even whether a token would have been needed.
//! 4. [`cors`]: preflights are answered here; they carry no credential and reach no handler.
//!
//! On the way out [`cors`] adds what lets an allowed page read the answer, a server of TLS says that it
//! is one, and [`ending`] decides whether the connection can be used again.
//!
//! These are plain functions in one actix layer: a layer each costs an allocation per request.
//!
//! It does not authenticate, and it does not read bodies.

pub mod cors;
pub mod ending;
pub mod head_limits;
pub mod origin;
pub mod path;

use std::ops::ControlFlow;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpResponse};

use super::config::Context;
use super::reply::Refused;

/// The layer.
///
/// # Errors
/// Only what the handler itself fails with.
pub async fn guard<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let context = request
        .app_data::<Data<Context>>()
        .expect("invariant: every app carries its context")
        .clone();
    ending::begin(&request);
    // What is not admitted is answered before anything waits: each connection has room for all
    // that lives while its request is answered.
    let request = match admitted(request, &context) {
        ControlFlow::Continue(request) => request,
        ControlFlow::Break(response) => {
            return Ok(on_the_way_out(response.map_into_right_body(), &context));
        }
    };
    let response = next.call(request).await?;
    Ok(on_the_way_out(response.map_into_left_body(), &context))
}

/// Goes on with the request, or breaks off with the answer it gets here.
fn admitted(
    request: ServiceRequest,
    context: &Context,
) -> ControlFlow<ServiceResponse, ServiceRequest> {
    let response = match admit(&request, context) {
        Ok(None) => return ControlFlow::Continue(request),
        Ok(Some(response)) => response,
        Err(refused) => refused.respond(&context.metrics, None),
    };
    ControlFlow::Break(request.into_response(response))
}

fn on_the_way_out<B>(mut response: ServiceResponse<B>, context: &Context) -> ServiceResponse<B> {
    cors::add(&mut response, &context.config);
    if context.config.is_https_only {
        // RFC 6797: a browser that was here once never comes in clear again, for a year.
        let year = HeaderValue::from_static("max-age=31536000");
        let headers = response.headers_mut();
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    ending::settle(&mut response, &context.shutdown);
    response
}

/// `Some`: answered here.
fn admit(request: &ServiceRequest, context: &Context) -> Result<Option<HttpResponse>, Refused> {
    let config = &context.config;
    ending::check(request)?;
    head_limits::check(request.head(), config)?;
    path::check(request.uri())?;
    origin::check(request.head(), config)?;
    Ok(cors::preflight(request.head(), config))
}
