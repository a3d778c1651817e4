//! Reading a request body: never more than the limit, never longer than the times.
//!
//! actix-web itself waits for a body as long as its client likes. A body that is already in the
//! buffer, which is nearly all of them, is taken without making a timer.

use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::config::Config;
use super::http::Connection;
use super::reply::Refused;
use crate::policy::body_limit::BodyMeter;

/// A body that may be read.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    meter: BodyMeter,
    /// Where it ends, if nobody but us looks. To a request for an upgrade to WebSocket actix gives
    /// all that follows on the connection as its body; we never upgrade, so it ends where it says.
    end: Option<usize>,
}

/// Begins a body: refuses one that is too large by its own account, unread.
///
/// # Errors
/// [`Refused::BodySize`].
pub fn begin(request: &HttpRequest, config: &Config) -> Result<Begun, Refused> {
    let declared = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<u64>().ok());
    let meter = BodyMeter::begin(config.body_max, declared)?;
    let headers = request.headers();
    let is_endless =
        headers.contains_key(header::UPGRADE) && !headers.contains_key(header::TRANSFER_ENCODING);
    let end = is_endless
        .then(|| usize::try_from(declared.unwrap_or(0)).expect("invariant: the meter let it pass"));
    Ok(Begun { meter, end })
}

/// Reads the whole body.
///
/// # Errors
/// [`Refused`] when it is too large, too slow or broken off.
pub async fn read(
    Begun { mut meter, end }: Begun,
    request: &HttpRequest,
    mut payload: Payload,
    config: &Config,
) -> Result<Bytes, Refused> {
    let mut left = end;
    let mut first: Option<Bytes> = None;
    let mut body = BytesMut::new();
    let mut deadline = None;
    while left != Some(0) {
        let chunk = if let Some(chunk) = payload.next().now_or_never() {
            chunk
        } else {
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + config.body_total);
            wait(&mut payload, config.body_idle, deadline).await?
        };
        let Some(chunk) = chunk else {
            if left.is_some() {
                return Err(Refused::BodyBroken);
            }
            break;
        };
        let mut chunk = chunk.map_err(|_| Refused::BodyBroken)?;
        if let Some(left) = &mut left {
            chunk.truncate(*left);
            *left -= chunk.len();
        }
        meter.admit(chunk.len())?;
        // A body of one piece, the usual case, is not copied.
        if first.is_none() && body.is_empty() {
            first = Some(chunk);
        } else {
            if let Some(first) = first.take() {
                body.extend_from_slice(&first);
            }
            body.extend_from_slice(&chunk);
        }
    }
    if let Some(connection) = request.conn_data::<Connection>() {
        connection.unread.store(end.is_some(), Ordering::Relaxed);
    }
    Ok(first.unwrap_or_else(|| body.freeze()))
}

type Chunk = Option<Result<Bytes, actix_web::error::PayloadError>>;

async fn wait(payload: &mut Payload, idle: Duration, deadline: Instant) -> Result<Chunk, Refused> {
    let until = (Instant::now() + idle).min(deadline);
    tokio::time::timeout_at(until, payload.next())
        .await
        .map_err(|_| Refused::BodySlow)
}
