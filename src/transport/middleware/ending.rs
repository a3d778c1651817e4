//! Which request is the last of its connection.
//!
//! A node that leaves ends its connections by answers: each says `Connection: close`, so that no
//! proxy sends a request on a connection that is being closed.
//!
//! A connection whose request asked for its end or for an upgrade, or had a body that was not read,
//! is not used again: what follows on it may be meant as something else by whoever sent it.
//! actix-http says `Connection: close` in these cases, but still answers requests that came
//! in the same piece; those are refused here.
//!
//! Spec: RFC 9112 sections 9.6 and 11.2.

use std::sync::atomic::Ordering;

use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{ConnectionType, header};

use crate::runtime::shutdown::Shutdown;
use crate::transport::http::Connection;
use crate::transport::reply::Refused;

/// Notes whether the request has a body to be read.
pub(super) fn begin(request: &ServiceRequest) {
    let Some(connection) = request.conn_data::<Connection>() else {
        return;
    };
    let headers = request.headers();
    let length = headers.get(header::CONTENT_LENGTH);
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || length.is_some_and(|length| length.as_bytes() != b"0");
    connection.unread.store(has_body, Ordering::Relaxed);
}

/// Refuses what comes after the last request.
pub(super) fn check(request: &ServiceRequest) -> Result<(), Refused> {
    let ended = request
        .conn_data::<Connection>()
        .is_some_and(|connection| connection.last.load(Ordering::Relaxed));
    if ended { Err(Refused::Ended) } else { Ok(()) }
}

/// Decides, when the answer is there, whether it was the last one.
pub(super) fn settle<B>(response: &mut ServiceResponse<B>, shutdown: &Shutdown) {
    let Some(connection) = response.request().conn_data::<Connection>() else {
        return;
    };
    let head = response.request().head();
    let goes_on = head.connection_type() == ConnectionType::KeepAlive
        && !connection.unread.load(Ordering::Relaxed)
        && !connection.last.load(Ordering::Relaxed)
        && !shutdown.is_leaving();
    if !goes_on {
        connection.last.store(true, Ordering::Relaxed);
        response
            .response_mut()
            .head_mut()
            .set_connection_type(ConnectionType::Close);
    }
}
