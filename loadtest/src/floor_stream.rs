//! Event streams as bare as they can be: bodies that actix-web asks for the next piece.
//!
//! [`Speaking`] makes its events itself when asked, which is the least there can be. [`Fed`] gets
//! them through a channel from a task, which is the least there can be where events are made by
//! something that takes its own time, such as a tool.

use std::convert::Infallible;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep_until};

/// A stream that says one comment and then nothing for ever.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    opened: bool,
}

impl MessageBody for Idle {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        if std::mem::replace(&mut self.opened, true) {
            // Nobody wakes it: actix-web polls it again when the connection ends.
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Bytes::from_static(b": open\n\n"))))
    }
}

/// Events that may wait between a task and its body, as many as in Switchboard.
const WAITING: usize = 64;

/// What a stream of events is asked for.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
pub(crate) struct Events {
    count: u32,
    interval_us: u32,
}

impl Events {
    /// The body: events like those of the tool `stream`, each with the wall clock.
    pub(crate) fn body(self) -> Speaking {
        let due = Instant::now();
        Speaking {
            said: 0,
            count: self.count,
            interval: Duration::from_micros(self.interval_us.into()),
            due,
            timer: Box::pin(sleep_until(due)),
        }
    }

    /// The same events, made by a task.
    #[expect(
        clippy::disallowed_methods,
        reason = "the floor has nothing that stopping waits for: it is killed"
    )]
    pub(crate) fn fed(self) -> Fed {
        let (sender, events) = mpsc::channel(WAITING);
        actix_web::rt::spawn(async move {
            let interval = Duration::from_micros(self.interval_us.into());
            let mut due = Instant::now();
            for number in 1..=self.count {
                if !interval.is_zero() && due > Instant::now() {
                    sleep_until(due).await;
                }
                due += interval;
                if sender.send(event(number, self.count)).await.is_err() {
                    return;
                }
            }
        });
        Fed(events)
    }
}

/// A stream that says what it is given.
#[derive(Debug)]
pub(crate) struct Fed(mpsc::Receiver<Bytes>);

impl MessageBody for Fed {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        self.0.poll_recv(cx).map(|event| event.map(Ok))
    }
}

/// A stream that says its events by schedule and ends.
#[derive(Debug)]
pub(crate) struct Speaking {
    said: u32,
    count: u32,
    interval: Duration,
    due: Instant,
    timer: Pin<Box<Sleep>>,
}

impl MessageBody for Speaking {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        let this = &mut *self;
        if this.said == this.count {
            return Poll::Ready(None);
        }
        if !this.interval.is_zero() && this.due > Instant::now() {
            if this.timer.deadline() != this.due {
                this.timer.as_mut().reset(this.due);
            }
            ready!(this.timer.as_mut().poll(cx));
        }
        this.due += this.interval;
        this.said += 1;
        let event = event(this.said, this.count);
        Poll::Ready(Some(Ok(event)))
    }
}

/// One event, as long as the one it is compared with.
fn event(number: u32, count: u32) -> Bytes {
    let micros = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let micros = micros.as_micros();
    format!(
        "event: message\nid: abcdefghijkl_{number}\ndata: {{\"jsonrpc\":\"2.0\",\
         \"method\":\"notifications/progress\",\"params\":{{\"progressToken\":\"p\",\
         \"progress\":{number},\"total\":{count},\"message\":\"{micros}\"}}}}\n\n"
    )
    .into()
}
