//! `Host` and `Origin` against their allow-lists.
//!
//! Spec: basic/transports, security warning (every revision): the defence against DNS rebinding.

use actix_web::dev::RequestHead;
use actix_web::http::header;

use crate::transport::config::Config;
use crate::transport::reply::Refused;

/// Paths that probes ask by address, and that tell nothing but whether we live.
const PROBED: [&str; 2] = ["/health", "/ready"];

/// Refuses foreign hosts and origins. The authority of an absolute target counts as a host too.
pub(super) fn check(head: &RequestHead, config: &Config) -> Result<(), Refused> {
    if PROBED.contains(&head.uri.path()) {
        return Ok(());
    }
    let values = |name| {
        head.headers()
            .get_all(name)
            .map(header::HeaderValue::as_bytes)
    };
    config
        .hosts
        .check(values(header::HOST))
        .map_err(Refused::Host)?;
    if let Some(authority) = head.uri.authority() {
        config
            .hosts
            .check([authority.as_str().as_bytes()])
            .map_err(Refused::Host)?;
    }
    config
        .origins
        .check(values(header::ORIGIN))
        .map_err(Refused::Origin)
}
