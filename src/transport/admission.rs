//! Whose request it is: the credential of each request, whatever it is about.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, HeaderName, HeaderValue, USER_AGENT};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::config::Endpoint;
use super::reply::Refused;
use crate::access::{Access, Admitted, Denied, Knock};
use crate::auth::certificate::Subject;
use crate::auth::presented::{self, API_KEY_HEADER};
use crate::identity::Origin;
use crate::service::Visit;

static API_KEY: HeaderName = HeaderName::from_static(API_KEY_HEADER);

/// Admits the caller of a request.
///
/// # Errors
/// [`Refused::Access`].
pub(super) async fn admit(request: &HttpRequest, access: &Access) -> Result<Visit, Refused> {
    // Where nothing is asked for, nothing is looked at.
    if let Some(anybody) = access.anybody() {
        return Ok(visit(request, anybody.clone().into()));
    }
    let headers = request.headers();
    let values = |name: &HeaderName| headers.get_all(name).map(HeaderValue::as_bytes);
    let presented =
        presented::presented(values(&AUTHORIZATION), values(&API_KEY)).map_err(Denied::from)?;
    let asserted: Vec<_> = (access.proxy_header().into_iter())
        .flat_map(|name| headers.get_all(name))
        .map(HeaderValue::as_bytes)
        .collect();
    let knock = Knock {
        presented,
        address: address_of(request),
        certificate: request.conn_data::<Subject>(),
        asserted: &asserted,
        user_agent: headers.get(USER_AGENT).and_then(|it| it.to_str().ok()),
    };
    let admitted = Box::pin(access.admit(knock)).await?;
    Ok(visit(request, admitted))
}

/// The protected resource metadata of an endpoint (RFC 9728), for whoever asks.
pub(super) async fn metadata(endpoint: Data<Endpoint>) -> HttpResponse {
    let document = endpoint.access.tokens().map(|tokens| &tokens.document);
    document.map_or_else(
        || HttpResponse::NotFound().finish(),
        |document| {
            let mut response = HttpResponse::Ok();
            response.insert_header(("access-control-allow-origin", "*"));
            response.insert_header(("cache-control", "max-age=300"));
            response.json(document)
        },
    )
}

fn visit(request: &HttpRequest, admitted: Admitted) -> Visit {
    let user_agent = request.headers().get(USER_AGENT);
    let origin = Origin {
        address: address_of(request),
        user_agent: user_agent
            .and_then(|it| it.to_str().ok())
            .map(str::to_owned),
    };
    Visit {
        caller: admitted.caller,
        origin: Arc::new(origin),
        credential: admitted.credential,
    }
}

/// The other end of the connection.
fn address_of(request: &HttpRequest) -> Option<IpAddr> {
    request.peer_addr().map(|address| address.ip())
}
