//! Standing streams: opened, followed, and resumed after the last event that was seen.

use std::io;
use std::sync::atomic::Ordering;

use tokio::time::sleep;

use super::super::history::{Op, Outcome, Record};
use super::super::http::Connection;
use super::super::requests;
use super::{Member, RETRY, Shared};

/// The name of the standing stream in event ids.
const STANDING: &str = "s";

/// How a try to listen ended.
enum Cut {
    /// It can be tried again.
    Broken,
    /// There is no such session.
    Gone,
}

impl Shared {
    /// Listens until the session is gone.
    pub(super) async fn keep_listening(&self, member: &Member) {
        let mut last = None;
        loop {
            match self.listen_once(member, &mut last).await {
                Ok(Cut::Gone) => return,
                Ok(Cut::Broken) | Err(_) => sleep(RETRY).await,
            }
        }
    }

    async fn listen_once(&self, member: &Member, last: &mut Option<String>) -> io::Result<Cut> {
        let mut connection = Connection::open(self.address()).await?;
        let request = requests::listen(&member.session, last.as_deref());
        let head = connection.send(&request).await?;
        let attached = Record::of(&member.name, Op::Attach);
        let attached = match last {
            Some(last) => attached.event_id(last),
            None => attached.stream(STANDING),
        };
        match head.status {
            200 if head.is_stream => self.history.add(attached),
            404 => {
                self.history.add(attached.outcome(Outcome::Fail));
                return Ok(Cut::Gone);
            }
            429 | 503 => {
                self.refusals.all.fetch_add(1, Ordering::Relaxed);
                let told = usize::from(head.retry_after.is_some());
                self.refusals.with_time.fetch_add(told, Ordering::Relaxed);
                return Ok(Cut::Broken);
            }
            _ => return Ok(Cut::Broken),
        }
        // Counted for as long as it is open, also when its client leaves.
        let _listening = Listening::begin(self);
        while let Some(event) = connection.event().await? {
            let record = Record::of(&member.name, Op::Event);
            if let Some(id) = event.id {
                self.history.add(record.event_id(&id));
                *last = Some(id);
            } else {
                self.history.add(record.stream(STANDING));
            }
        }
        Ok(Cut::Broken)
    }
}

/// An open standing stream.
struct Listening<'a>(&'a Shared);

impl<'a> Listening<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.listening.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.listening.fetch_sub(1, Ordering::Relaxed);
    }
}
