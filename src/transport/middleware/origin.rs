//! `Host` and `Origin` against their allow-lists.
//!
//! Spec: basic/transports, security warning (every revision): the defence against DNS rebinding.

use actix_web::dev::RequestHead;
use actix_web::http::{Method, header};

use crate::auth::protected_resource;
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
    if tells_everybody(head) {
        return Ok(());
    }
    config
        .origins
        .check(values(header::ORIGIN))
        .map_err(Refused::Origin)
}

/// Whether it asks where to get a token: pages of any origin may know (RFC 9728, section 3.1).
fn tells_everybody(head: &RequestHead) -> bool {
    let path = head.uri.path();
    let is_document =
        path.starts_with(protected_resource::ROOT) || path.ends_with(protected_resource::ROOT);
    head.method == Method::GET && is_document
}
