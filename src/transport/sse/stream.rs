//! The response body of an event stream.
//!
//! It reads the queue between a stream and this connection, encodes what is there into one piece,
//! and writes a comment when nothing was said for a while. It ends with what it says, or when whoever
//! opened it would not be let in any more. Dropped by actix when the connection is
//! gone, it drops its end of the queue, which is how the writer learns of it.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header;
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::{Bytes, BytesMut};
use futures_util::Stream as _;
use futures_util::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::encoder;
use crate::access::Hold;
use crate::service::event::EventReceiver;
use crate::session::event_log::StreamName;
use crate::telemetry::metrics::Gauged;

/// Bytes gathered into one piece before it is given to the connection.
const PIECE: usize = 16 * 1024;

/// When a quiet stream says that it lives.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat(pub Duration);

/// See the module docs.
pub struct EventStream {
    events: EventReceiver,
    /// Set where events have ids.
    name: Option<StreamName>,
    /// Said before anything else.
    opening: Option<Bytes>,
    /// Resolves when it must not go on.
    lapsed: Option<BoxFuture<'static, ()>>,
    heartbeat: Duration,
    timer: Pin<Box<Sleep>>,
    quiet: bool,
    /// Its place among the open streams (the stream of a call needs none: running calls have their
    /// own bound), and its count.
    _place: Option<OwnedSemaphorePermit>,
    _gauged: Gauged,
}

impl EventStream {
    /// A body that says what `events` says.
    #[must_use]
    pub fn new(
        events: EventReceiver,
        name: Option<StreamName>,
        Heartbeat(heartbeat): Heartbeat,
        place: Option<OwnedSemaphorePermit>,
        gauged: Gauged,
    ) -> Self {
        Self {
            events,
            name,
            opening: None,
            lapsed: None,
            heartbeat,
            timer: Box::pin(tokio::time::sleep(heartbeat)),
            quiet: true,
            _place: place,
            _gauged: gauged,
        }
    }

    /// Goes on as long as `hold` lets it, if there is one.
    #[must_use]
    pub fn held_by(mut self, hold: Option<Hold>) -> Self {
        let lapsed = |hold: Hold| Box::pin(async move { hold.lapsed().await }) as _;
        self.lapsed = hold.map(lapsed);
        self
    }

    /// Says `text` first.
    #[must_use]
    pub fn opening_with(mut self, text: Bytes) -> Self {
        self.opening = Some(text);
        self
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl MessageBody for EventStream {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        let this = &mut *self;
        if let Some(opening) = this.opening.take() {
            return Poll::Ready(Some(Ok(opening)));
        }
        // First, so that a stream that never falls silent ends too.
        if let Some(lapsed) = &mut this.lapsed
            && lapsed.as_mut().poll(cx).is_ready()
        {
            this.lapsed = None;
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.events).poll_next(cx) {
            Poll::Ready(Some(event)) => {
                let mut piece = BytesMut::new();
                let rest = this.events.take_batch(PIECE);
                piece.reserve(encoder::room([&event].into_iter().chain(&rest)));
                for event in [&event].into_iter().chain(&rest) {
                    encoder::encode(event, this.name.as_ref(), &mut piece);
                }
                this.quiet = false;
                Poll::Ready(Some(Ok(piece.freeze())))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => loop {
                std::task::ready!(this.timer.as_mut().poll(cx));
                this.timer.as_mut().reset(Instant::now() + this.heartbeat);
                // Something was said since the timer was set: nothing to keep alive yet.
                if std::mem::replace(&mut this.quiet, true) {
                    return Poll::Ready(Some(Ok(Bytes::from_static(encoder::KEEP_ALIVE))));
                }
            },
        }
    }
}

/// The answer that carries `stream`.
#[must_use]
pub fn respond(mut response: HttpResponseBuilder, stream: EventStream) -> HttpResponse {
    response
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-cache, no-transform"))
        .insert_header(("x-accel-buffering", "no"))
        .body(stream)
}
