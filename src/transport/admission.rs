//! Whose request it is: the credential of each request, whatever it is about.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, HeaderName};

use super::reply::Refused;
use crate::access::{Access, Denied};
use crate::auth::presented::{self, API_KEY_HEADER};
use crate::identity::Caller;

static API_KEY: HeaderName = HeaderName::from_static(API_KEY_HEADER);

/// Admits the caller of a request.
///
/// # Errors
/// [`Refused::Access`].
pub(super) async fn admit(request: &HttpRequest, access: &Access) -> Result<Arc<Caller>, Refused> {
    // Where nothing is asked for, nothing is looked at.
    if let Some(anybody) = access.anybody() {
        return Ok(anybody.clone());
    }
    let headers = request.headers();
    let values = |name: &HeaderName| headers.get_all(name).map(|value| value.as_bytes());
    let presented =
        presented::presented(values(&AUTHORIZATION), values(&API_KEY)).map_err(Denied::from)?;
    Ok(Box::pin(access.admit(presented, address_of(request))).await?)
}

/// The other end of the connection.
fn address_of(request: &HttpRequest) -> Option<IpAddr> {
    request.peer_addr().map(|address| address.ip())
}
