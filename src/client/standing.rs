//! The standing stream of a session over HTTP: what a server says that belongs to no request of ours.
//!
//! It is opened after the handshake when there is somebody to answer or to listen. Servers also put
//! their questions there: the TypeScript SDK does, unless its author ties a question to a call. A
//! server that offers none (405) is left alone; a stream that breaks off is opened again, for as
//! long as that brings anything.
//!
//! Spec: 2025-11-25 basic/transports, listening for messages from the server.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::connection::Hears;
use super::error::ClientError;
use super::http::{Following, Http, RESUME_AFTER, RESUME_AFTER_MAX, RESUMES_MAX, Speaking, beside};
use crate::runtime::ratelimited::warn_ratelimited;

/// A stream that lasted so long was worth opening, also if nothing came.
const LASTED: Duration = Duration::from_secs(5);

/// Why the stream is held no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// The server offers none, or it brings nothing.
    Stream,
    /// The server has forgotten the session.
    SessionLost,
}

/// Holds the stream until the server offers it no more. `opened` is told after the first attempt.
pub(super) async fn hold(
    http: Http,
    speaking: Speaking,
    hears: Arc<dyn Hears>,
    opened: oneshot::Sender<()>,
) -> Left {
    let mut opened = Some(opened);
    let mut following = Following {
        http: &http,
        speaking: &speaking,
        hears: &*hears,
        id: None,
        method: "the standing stream",
        cursor: None,
        retry: None,
    };
    let mut asked = FuturesUnordered::new();
    let mut in_vain = 0;
    loop {
        let attempt = beside(&mut asked, following.open()).await;
        if let Some(opened) = opened.take() {
            let _nobody_waits = opened.send(());
        }
        let (began, before) = (Instant::now(), following.cursor.clone());
        match attempt {
            Ok(Ok(answer)) => {
                if let Err(error) = following.read(answer, &mut asked).await {
                    let server = following.hears.name();
                    warn_ratelimited!(
                        "the standing stream of a server is given up",
                        server,
                        error = error.for_log()
                    );
                    return Left::Stream;
                }
            }
            Ok(Err(reason)) => tracing::debug!(reason, "the standing stream was not opened"),
            Err(ClientError::SessionLost) => return Left::SessionLost,
            Err(error) => {
                tracing::debug!(
                    error = error.for_log(),
                    "the server offers no standing stream"
                );
                return Left::Stream;
            }
        }
        if following.cursor != before || began.elapsed() >= LASTED {
            in_vain = 0;
        }
        in_vain += 1;
        if in_vain > RESUMES_MAX {
            tracing::debug!("the standing stream brings nothing and is given up");
            return Left::Stream;
        }
        let wait = following.retry.unwrap_or(RESUME_AFTER * in_vain);
        beside(&mut asked, tokio::time::sleep(wait.min(RESUME_AFTER_MAX))).await;
    }
}
