//! Bounds of the request head. actix-http itself stops at 96 fields and 128 KiB.

use actix_web::dev::RequestHead;

use crate::transport::config::Config;
use crate::transport::reply::Refused;

/// Refuses heads over the limits.
pub(super) fn check(head: &RequestHead, config: &Config) -> Result<(), Refused> {
    let target = head
        .uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    if target > config.uri_max {
        return Err(Refused::Uri);
    }
    let mut fields = 0;
    let mut bytes = 0;
    for (name, value) in head.headers() {
        let field = name.as_str().len() + value.len();
        if field > config.header_field_max {
            return Err(Refused::HeaderBlock);
        }
        fields += 1;
        // As on the wire: a colon, a space and a line end.
        bytes += field + 4;
    }
    if fields > config.header_count_max || bytes > config.header_block_max {
        return Err(Refused::HeaderBlock);
    }
    Ok(())
}
