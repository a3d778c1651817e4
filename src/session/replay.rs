//! Replay: what a stream said after the event a client last saw, then what it still says.
//!
//! Everything is read from the event log, so it is the same wherever the client comes back, also
//! while the call still runs on another node. [`super::tail`] decides what is done in which order;
//! [`Follower`] does it.
//!
//! Spec: 2025-11-25 basic/transports, resumability and redelivery.

use std::sync::Arc;

use bytestring::ByteString;

use super::event_log::EventId;
use super::follower::Follower;
use super::handle::SessionHandle;
use super::stand_in::StandIn;
use crate::runtime::queue::Closed;
use crate::runtime::ratelimited::warn_ratelimited;
use crate::runtime::tasks::TaskKind;
use crate::service::event::{self, Event, EventReceiver, EventSender};
use crate::store::{LogPage, Scope, Store, StoreError, Thing};

/// Entries read at once: what one connection may have waiting.
pub(super) const PAGE: usize = event::CONNECTION_CAPACITY.items;

/// How coming back to a stream ended.
#[derive(Debug)]
pub enum Resumed {
    /// Here is the rest.
    Following(EventReceiver),
    /// It has ended and the client has seen all of it.
    NothingLeft,
    /// No such stream, or what the client missed is no longer kept.
    Unknown,
}

/// Where a log is read.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) scope: &'a Scope,
    pub(super) thing: &'a Thing,
}

/// Why reading stopped.
#[derive(Debug)]
pub(super) enum Stopped {
    Closed,
    Store,
}

impl From<Closed> for Stopped {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        warn_ratelimited!("an event log could not be read", %error);
        Self::Store
    }
}

/// How far a log was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadTo {
    /// To its present end, this number.
    Present(u64),
    /// To its very end.
    End,
    /// Not at all: there is none, or part of it is gone.
    Nothing,
}

impl Reading<'_> {
    /// Sends what follows number `after`, up to the present end of the log.
    pub(super) async fn send_after(
        &self,
        mut after: u64,
        to: &EventSender,
    ) -> Result<ReadTo, Stopped> {
        loop {
            let page = self
                .store
                .read_log(self.scope, self.thing, after, PAGE, None)
                .await?;
            let (entries, ended) = match page {
                LogPage::Entries { entries, ended } => (entries, ended),
                LogPage::Dropped | LogPage::Missing => return Ok(ReadTo::Nothing),
            };
            let full = entries.len() == PAGE;
            for entry in entries {
                after = entry.seq;
                let data = ByteString::try_from(entry.payload)
                    .map_err(|_| StoreError::Damaged("an event is not UTF-8".into()))?;
                let seq = Some(entry.seq);
                to.send(Event::Message { seq, data }).await?;
            }
            if ended {
                return Ok(ReadTo::End);
            }
            if !full {
                return Ok(ReadTo::Present(after));
            }
        }
    }
}

/// Comes back to the stream of a call, wherever it runs.
///
/// `stand_in` is for a call whose node is gone.
///
/// # Errors
/// When the store cannot be read.
pub async fn resume(
    handle: &SessionHandle,
    from: EventId,
    stand_in: Arc<dyn StandIn>,
) -> Result<Resumed, StoreError> {
    let shared = handle.inner().shared.clone();
    let reading = shared.store.read_log(
        &handle.id().scope(),
        &from.stream.thing(),
        from.seq,
        1,
        None,
    );
    match reading.await? {
        LogPage::Dropped | LogPage::Missing => return Ok(Resumed::Unknown),
        LogPage::Entries { entries, ended } if ended && entries.is_empty() => {
            return Ok(Resumed::NothingLeft);
        }
        LogPage::Entries { .. } => {}
    }
    let Some(held) = handle.hold() else {
        return Ok(Resumed::Unknown);
    };
    let (client, events) = event::connection();
    let follower = Follower::of(handle, from.stream, stand_in, client);
    let session = handle.clone();
    shared.tasks.spawn(TaskKind::Stream, async move {
        follower.follow(from.seq).await;
        session.inner().now_and_then.tidy();
        drop(held);
    });
    Ok(Resumed::Following(events))
}
