//! The response body of an event stream.
//!
//! It reads the queue between a stream and this connection, encodes what is there into one piece,
//! and writes a comment when nothing was said for a while. Dropped by actix when the connection is
//! gone, it drops its end of the queue, which is how the writer learns of it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header;
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::{Bytes, BytesMut};
use futures_util::Stream as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::encoder;
use crate::service::event::EventReceiver;
use crate::session::event_log::StreamName;
use crate::telemetry::metrics::Gauged;

/// Bytes gathered into one piece before it is given to the connection.
const PIECE: usize = 16 * 1024;

/// When a quiet stream says that it lives.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat(pub Duration);

/// See the module docs.
#[derive(Debug)]
pub struct EventStream {
    events: EventReceiver,
    /// Set where events have ids.
    name: Option<StreamName>,
    /// Said before anything else.
    opening: Option<Bytes>,
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
            heartbeat,
            timer: Box::pin(tokio::time::sleep(heartbeat)),
            quiet: true,
            _place: place,
            _gauged: gauged,
        }
    }

    /// Says `text` first.
    #[must_use]
    pub fn opening_with(mut self, text: Bytes) -> Self {
        self.opening = Some(text);
        self
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
