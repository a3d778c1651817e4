//! CORS: off unless origins are configured, and then for exactly those.
//!
//! Header wildcards do not cover requests with credentials, so the headers a page may send are
//! listed; `Mcp-Param-*` has no list, so what is asked for is reflected by its prefix.

use actix_web::HttpResponse;
use actix_web::dev::{RequestHead, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};

use crate::protocol::headers::PARAM_PREFIX;
use crate::transport::config::Config;

const METHODS: &str = "GET, POST, DELETE, OPTIONS";
const REQUEST_HEADERS: &str = "content-type, accept, authorization, mcp-session-id, \
    mcp-protocol-version, last-event-id, mcp-method, mcp-name";
const EXPOSED: &str = "mcp-session-id, www-authenticate, mcp-protocol-version, retry-after";
/// How long a browser may remember a preflight, in seconds.
const MAX_AGE: &str = "600";

/// Answers a preflight; anything else goes on.
pub(super) fn preflight(head: &RequestHead, config: &Config) -> Option<HttpResponse> {
    let asks = head
        .headers()
        .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if head.method != Method::OPTIONS || !asks || allowed_origin(head.headers(), config).is_none() {
        return None;
    }
    let params = head
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
        .and_then(|names| names.to_str().ok())
        .unwrap_or("")
        .split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| name.starts_with(PARAM_PREFIX))
        .fold(String::new(), |list, name| list + ", " + &name);
    Some(
        HttpResponse::NoContent()
            .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, METHODS))
            .insert_header((
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                format!("{REQUEST_HEADERS}{params}"),
            ))
            .insert_header((header::ACCESS_CONTROL_MAX_AGE, MAX_AGE))
            .finish(),
    )
}

/// Lets an allowed page read the answer.
pub(super) fn add<B>(response: &mut ServiceResponse<B>, config: &Config) {
    if config.cors.is_none() {
        return;
    }
    let origin = allowed_origin(response.request().headers(), config).cloned();
    let headers = response.headers_mut();
    // Also without an origin: what a cache keeps must not be given to another page.
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(EXPOSED),
        );
    }
}

fn allowed_origin<'a>(headers: &'a HeaderMap, config: &Config) -> Option<&'a HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let allowed = config.cors.as_ref()?.check([origin.as_bytes()]).is_ok();
    allowed.then_some(origin)
}
