//! Replay: what a stream said after the event a client last saw, then what it still says.
//!
//! Everything is read from the event log, so it is the same wherever the client comes back. A
//! stream whose call still runs here is followed as its log grows. A stream whose writer is gone
//! is taken over and ended with an honest error, once.
//!
//! Spec: 2025-11-25 basic/transports, resumability and redelivery.

use std::sync::Arc;

use bytestring::ByteString;

use super::call_stream::CallStream;
use super::event_log::{EventId, LogWriter};
use super::handle::SessionHandle;
use crate::protocol::jsonrpc::RequestId;
use crate::runtime::queue::Closed;
use crate::runtime::tasks::TaskKind;
use crate::service::event::{self, Event, EventReceiver, EventSender};
use crate::store::{AppendOutcome, ClaimOutcome, LogPage, Scope, Store, StoreError, Thing};

/// Entries read at once: what one connection may have waiting.
const PAGE: usize = event::CONNECTION_CAPACITY.items;

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
        tracing::warn!(%error, "an event log could not be read");
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

/// Comes back to the stream of a call.
///
/// `honest_end` makes the message for a request whose outcome nobody knows any more.
///
/// # Errors
/// When the store cannot be read.
pub async fn resume(
    handle: &SessionHandle,
    from: EventId,
    honest_end: fn(&RequestId) -> ByteString,
) -> Result<Resumed, StoreError> {
    let store = handle.inner().shared.store.clone();
    let scope = handle.id().scope();
    let thing = from.stream.thing();
    let live = handle.stream(&from.stream);
    match store.read_log(&scope, &thing, from.seq, 1, None).await? {
        LogPage::Dropped | LogPage::Missing => return Ok(Resumed::Unknown),
        LogPage::Entries { entries, ended } if ended && entries.is_empty() => {
            return Ok(Resumed::NothingLeft);
        }
        LogPage::Entries { .. } => {}
    }
    let Some(held) = handle.hold() else {
        return Ok(Resumed::Unknown);
    };
    let (tx, rx) = event::connection();
    let tasks = handle.inner().shared.tasks.clone();
    let handle = handle.clone();
    tasks.spawn(TaskKind::Stream, async move {
        let _held = held;
        let reading = Reading {
            store: &*store,
            scope: &scope,
            thing: &thing,
        };
        let read = match live {
            Some(stream) => follow(&stream, &reading, from.seq, &tx)
                .await
                .map(|()| ReadTo::End),
            None => reading.send_after(from.seq, &tx).await,
        };
        // Not at its end, and nobody here writes it: its writer is gone.
        if let Ok(ReadTo::Present(_)) = read {
            let _stopped = end_honestly(&handle, &from, honest_end, &tx).await;
        }
    });
    Ok(Resumed::Following(rx))
}

/// Reads a log as it grows, until its end or until a newer reader comes.
async fn follow(
    stream: &Arc<CallStream>,
    reading: &Reading<'_>,
    mut after: u64,
    to: &EventSender,
) -> Result<(), Stopped> {
    let me = stream.come_back();
    loop {
        let progress = stream.watch();
        tokio::pin!(progress);
        progress.as_mut().enable();
        let all_said = stream.has_ended();
        match reading.send_after(after, to).await? {
            ReadTo::End | ReadTo::Nothing => return Ok(()),
            ReadTo::Present(last) => after = last,
        }
        if all_said || !stream.is_newest(me) {
            return Ok(());
        }
        tokio::select! {
            () = progress => {}
            () = to.closed() => return Ok(()),
        }
    }
}

/// Takes over a stream whose writer is gone and says so, once.
///
/// The store is held by this process alone, so a writer that is not in this process is gone; one
/// of this process whose stream is no longer live was cut while stopping or failed to end its log.
async fn end_honestly(
    handle: &SessionHandle,
    from: &EventId,
    honest_end: fn(&RequestId) -> ByteString,
    to: &EventSender,
) -> Result<(), Stopped> {
    let shared = &handle.inner().shared;
    let scope = handle.id().scope();
    let thing = from.stream.thing();
    let Some(ownership) = shared.store.ownership(&scope, &thing).await? else {
        return Ok(());
    };
    let Ok(requests) = serde_json::from_slice::<Vec<RequestId>>(&ownership.note) else {
        return Ok(());
    };
    let claimed = shared
        .store
        .claim(
            &scope,
            &thing,
            shared.node.incarnation(),
            Some(ownership.epoch),
            ownership.note,
        )
        .await?;
    let ClaimOutcome::Claimed(claimed) = claimed else {
        // Another reader of the same stream was first; the client comes back and reads its end.
        return Ok(());
    };
    let mut log = LogWriter::carry_on(
        shared.store.clone(),
        scope,
        &from.stream,
        claimed.ownership.epoch,
        claimed.last_seq,
    );
    for (place, request) in requests.iter().enumerate() {
        let data = honest_end(request);
        let appending = log.append(&data, place + 1 == requests.len());
        match appending.stored.await? {
            AppendOutcome::Stored { .. } => {
                let seq = appending.seq;
                // Whoever reads may have gone; the log gets its end all the same, or the next
                // reader would have what is in it already written once more.
                let _gone = to.send(Event::Message { seq, data }).await;
            }
            AppendOutcome::Stale | AppendOutcome::Gone => return Ok(()),
        }
    }
    Ok(())
}
