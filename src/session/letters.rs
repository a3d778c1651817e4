//! What nodes tell each other about sessions, and what each does when it hears it.
//!
//! Spec: none of this is on any wire a client sees; formats are ours and versioned by
//! [`crate::node`]'s letters.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use super::event_log::StreamName;
use super::handle::SessionHandle;
use super::id::SessionId;
use super::messages::Close;
use super::sessions::Shared;
use super::state::QuestionNumber;
use crate::node::{Heard, Topic};
use crate::protocol::jsonrpc::{RequestId, ResponseError};
use crate::protocol::raw::RawJson;
use crate::runtime::sabotage::{self, Bug};
use crate::runtime::tasks::TaskKind;
use crate::store::{Epoch, Incarnation};
use crate::telemetry::labels::CloseReason;

/// Sessions checked at the same time when all of them are in doubt.
const CHECKED_AT_ONCE: usize = 64;

/// One letter, about one session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Letter {
    /// Which session.
    pub(super) session: SessionId,
    /// What about it.
    pub(super) news: News,
}

/// What there is to say about a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum News {
    /// To all: it ended, and its record is gone.
    Ended,
    /// To all: what may change has changed.
    Changed,
    /// To all: its client cancels a request that does not run at the sender.
    Cancelled(RequestId),
    /// To the node that asked: the client's answer, which came in elsewhere.
    Answered(QuestionNumber, Result<RawJson, ResponseError>),
    /// To the node that held the standing stream: another holds it, under this epoch.
    Superseded(Epoch),
    /// To a node that follows the stream of a call: more of it can be read.
    Stored(String),
}

impl News {
    fn is_lost(&self) -> bool {
        sabotage::is(Bug::LostAnnouncement) && matches!(self, Self::Ended | Self::Superseded(_))
    }
}

impl Shared {
    /// Tells one other node.
    pub(super) fn tell(&self, to: Incarnation, session: &SessionId, news: News) {
        if news.is_lost() {
            return;
        }
        self.node.tell(to, Topic::Sessions, bytes(session, news));
    }

    /// Tells every other node.
    pub(super) fn announce(&self, session: &SessionId, news: News) {
        if news.is_lost() {
            return;
        }
        self.node.announce(Topic::Sessions, &bytes(session, news));
    }

    /// Hears what other nodes say from now on.
    pub(super) fn listen(self: &Arc<Self>) {
        let shared = Arc::downgrade(self);
        let listener = move |heard| {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let tasks = shared.tasks.clone();
            tasks.spawn(TaskKind::Store, async move { shared.hear(heard).await });
        };
        self.node.listen(Topic::Sessions, Box::new(listener));
    }

    async fn hear(self: Arc<Self>, heard: Heard) {
        let body = match heard {
            Heard::Letter { body, .. } => body,
            Heard::Doubt => return self.doubt().await,
        };
        match serde_json::from_slice::<Letter>(&body) {
            Ok(letter) => self.take(letter).await,
            Err(error) => tracing::warn!(%error, "a letter about a session was not understood"),
        }
    }
}

impl Shared {
    async fn take(self: &Arc<Self>, Letter { session, news }: Letter) {
        // A session that is being read must not come back after its end, so the registry hears of
        // that in any case.
        if let News::Ended = news {
            return self.end(session, CloseReason::Deleted).await;
        }
        let Some(handle) = self.live_handle(session.as_str()) else {
            return;
        };
        match news {
            News::Cancelled(request) => {
                let _ran_here = handle.cancel(&request);
            }
            News::Answered(number, answer) => {
                if !handle.answer_here(number, answer).await {
                    tracing::debug!("an answer that nobody waits for was dropped");
                }
            }
            News::Superseded(by) => handle.superseded(by).await,
            News::Changed => self.check(handle).await,
            News::Stored(stream) => handle.inner().now_and_then.wake_readers(&stream),
            News::Ended => {}
        }
    }

    /// Checks everything kept here against the store.
    async fn doubt(self: &Arc<Self>) {
        let all = (self.index.iter())
            .map(|entry| entry.clone())
            .filter(|handle| !handle.is_piped())
            .collect::<Vec<_>>();
        futures_util::stream::iter(all)
            .for_each_concurrent(CHECKED_AT_ONCE, |handle| async move {
                self.check(handle.clone()).await;
                self.check_standing_stream(&handle).await;
            })
            .await;
    }

    /// Takes over what the store says of a session, its end included.
    async fn check(self: &Arc<Self>, handle: SessionHandle) {
        match self.read(handle.id()).await {
            Ok(Some(found)) => handle.reload(found.changing, found.version).await,
            Ok(None) => self.end(handle.id().clone(), CloseReason::Lost).await,
            // Checked again when the store is back, and with it whatever it lost.
            Err(_) => {}
        }
    }

    /// Ends the standing stream that is open here if another node holds it by now.
    async fn check_standing_stream(&self, handle: &SessionHandle) {
        let thing = StreamName::standing().thing();
        let ownership = self.store.ownership(&handle.id().scope(), &thing).await;
        if let Ok(Some(ownership)) = ownership
            && ownership.owner != self.node.incarnation()
        {
            handle.superseded(ownership.epoch).await;
        }
    }

    async fn end(&self, id: SessionId, reason: CloseReason) {
        if let Some(registry) = self.registry() {
            // Closed: its successor finds no record.
            let _closed = registry.send(Close(id, reason)).await;
        }
    }
}

fn bytes(session: &SessionId, news: News) -> Bytes {
    let letter = Letter {
        session: session.clone(),
        news,
    };
    serde_json::to_vec(&letter)
        .expect("invariant: our values serialize")
        .into()
}
