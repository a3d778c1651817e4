//! What nodes tell each other about sessions, and what each does when it hears it.
//!
//! Spec: none of this is on any wire a client sees; formats are ours and versioned by
//! [`crate::node`]'s letters.

use std::sync::Arc;
use std::sync::atomic::Ordering;

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
use crate::runtime::ratelimited::warn_ratelimited;
use crate::runtime::sabotage::{self, Bug};
use crate::runtime::tasks::TaskKind;
use crate::store::{Epoch, Incarnation, StoreError, StoreResult};
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
    /// To all: its client ended it, and its record is gone. Who has let it go says so.
    Deleted,
    /// To the node where its client ended it: it has ended here, too.
    LetGo,
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
        sabotage::is(Bug::LostAnnouncement)
            && matches!(self, Self::Ended | Self::Deleted | Self::Superseded(_))
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
        let (from, body) = match heard {
            Heard::Letter { from, body } => (from, body),
            Heard::Doubt => return self.doubt().await,
        };
        match serde_json::from_slice::<Letter>(&body) {
            Ok(letter) => self.take(from, letter).await,
            Err(error) => warn_ratelimited!("a letter about a session was not understood", %error),
        }
    }
}

impl Shared {
    async fn take(self: &Arc<Self>, from: Incarnation, Letter { session, news }: Letter) {
        let live = || self.live_handle(session.as_str());
        match news {
            // A session that is being read must not come back after its end, so the registry hears
            // of that in any case.
            News::Ended => self.end(session, CloseReason::Deleted).await,
            News::Deleted => {
                self.end(session.clone(), CloseReason::Deleted).await;
                self.tell(from, &session, News::LetGo);
            }
            News::LetGo => self.endings.hear(&session, from),
            News::Cancelled(request) => {
                let _ran_here = live().is_some_and(|handle| handle.cancel(&request));
            }
            News::Answered(number, answer) => {
                let answered = match live() {
                    Some(handle) => handle.answer_here(number, answer).await,
                    None => false,
                };
                if !answered {
                    tracing::debug!("an answer that nobody waits for was dropped");
                }
            }
            News::Superseded(by) => {
                if let Some(handle) = live() {
                    handle.superseded(by).await;
                }
            }
            // A store that is away: it is read again before anything is written over it.
            News::Changed => {
                if let Some(handle) = live() {
                    drop(self.check(&handle).await);
                }
            }
            News::Stored(stream) => {
                if let Some(handle) = live() {
                    handle.inner().now_and_then.wake_readers(&stream);
                }
            }
        }
    }

    /// Checks everything kept here against the store: now, and what it could not say, again
    /// whenever it has answered something else.
    async fn doubt(self: &Arc<Self>) {
        let doubt = self.doubts.fetch_add(1, Ordering::AcqRel) + 1;
        let all = (self.index.iter())
            .map(|entry| entry.clone())
            .filter(|handle| !handle.is_piped())
            .collect::<Vec<_>>();
        let mut left = self.check_all(all).await;
        if left.is_empty() {
            return;
        }
        let shared = self.clone();
        // For as long as the store is away: nothing that stopping should wait for.
        self.tasks.spawn(TaskKind::Upkeep, async move {
            // A later doubt checks these, too.
            while !left.is_empty() && shared.doubts.load(Ordering::Acquire) == doubt {
                shared.node.next_renewal().await;
                left = shared.check_all(left).await;
            }
        });
    }

    /// Checks sessions, and gives back those of which the store did not say anything.
    async fn check_all(self: &Arc<Self>, sessions: Vec<SessionHandle>) -> Vec<SessionHandle> {
        futures_util::stream::iter(sessions)
            .map(|handle| async move {
                let known = self.check(&handle).await.is_ok()
                    && self.check_standing_stream(&handle).await.is_ok();
                (!known).then_some(handle)
            })
            .buffer_unordered(CHECKED_AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await
    }

    /// Takes over what the store says of a session, its end included.
    async fn check(self: &Arc<Self>, handle: &SessionHandle) -> StoreResult<()> {
        match self.read(handle.id()).await? {
            Some(found) => handle.reload(found.changing, found.version).await,
            None => self.end(handle.id().clone(), CloseReason::Lost).await,
        }
        Ok(())
    }

    /// Ends the standing stream that is open here if another node holds it by now.
    async fn check_standing_stream(&self, handle: &SessionHandle) -> StoreResult<()> {
        let thing = StreamName::standing().thing();
        let ownership = self.store.ownership(&handle.id().scope(), &thing).await;
        match ownership {
            Ok(Some(ownership)) if ownership.owner != self.node.incarnation() => {
                handle.superseded(ownership.epoch).await;
                Ok(())
            }
            // What is damaged is found out by who writes it.
            Ok(_) | Err(StoreError::Damaged(_)) => Ok(()),
            Err(error) => Err(error),
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
