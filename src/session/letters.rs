//! What nodes tell each other about sessions, and what each does when it hears it.
//!
//! Spec: none of this is on any wire a client sees; formats are ours and versioned by
//! [`crate::node`]'s letters.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::id::SessionId;
use super::sessions::Shared;
use super::state::QuestionNumber;
use crate::node::{Heard, Topic};
use crate::protocol::jsonrpc::{RequestId, ResponseError};
use crate::protocol::raw::RawJson;
use crate::runtime::tasks::TaskKind;
use crate::store::{Epoch, Incarnation};

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

impl Shared {
    /// Tells one other node.
    pub(super) fn tell(&self, to: Incarnation, session: &SessionId, news: News) {
        self.node.tell(to, Topic::Sessions, bytes(session, news));
    }

    /// Tells every other node.
    pub(super) fn announce(&self, session: &SessionId, news: News) {
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
        let Some(handle) = self.live_handle(session.as_str()) else {
            return;
        };
        match news {
            News::Cancelled(request) => {
                let _ran_here = handle.cancel(&request);
            }
            News::Stored(_)
            | News::Ended
            | News::Changed
            | News::Answered(..)
            | News::Superseded(_) => {}
        }
    }

    async fn doubt(self: &Arc<Self>) {}
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
