//! What can be asked of a session actor and of the registry.
//!
//! All of these are sent by [`super::SessionHandle`], [`super::Sessions`] and the tasks those
//! start. A full mailbox makes the sender wait; a closed one means the actor died, and the handle
//! asks its successor once.

use actix::Message;
use tokio::sync::oneshot;

use super::event_log::EventId;
use super::handle::SessionHandle;
use super::id::SessionId;
use super::record::{Change, Changing, Negotiated};
use super::sessions::FindError;
use super::state::{Attempt, QuestionNumber};
use crate::protocol::jsonrpc::ResponseError;
use crate::protocol::raw::RawJson;
use crate::runtime::clock::Timestamp;
use crate::service::changes::Watch;
use crate::service::event::EventSender;
use crate::store::{CasOutcome, ClaimOutcome, Epoch, StoreError, Version};
use crate::telemetry::labels::CloseReason;

/// What a client answered to a question.
pub type Answer = Result<RawJson, ResponseError>;

/// From a GET: make this connection the standing stream. Resolves when it is, or cannot be.
#[derive(Debug, Message)]
#[rtype(result = "oneshot::Receiver<Result<(), FindError>>")]
pub(super) struct Attach {
    pub(super) connection: EventSender,
    /// Replay what follows this event first.
    pub(super) after: Option<EventId>,
}

/// From the store: the epoch of the standing stream was raised, or not.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Claimed {
    pub(super) attempt: Attempt,
    pub(super) outcome: Result<ClaimOutcome, StoreError>,
}

/// From the task of a standing stream that ended. It gives back the watch, so that no change is
/// missed until the next one attaches.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct StreamEnded {
    pub(super) epoch: Epoch,
    pub(super) watch: Option<Watch>,
}

/// From a call: the client will be asked something. `None`: too many questions are open.
#[derive(Debug, Message)]
#[rtype(result = "Option<(QuestionNumber, oneshot::Receiver<Answer>)>")]
pub(super) struct OpenQuestion;

/// From a call that no longer waits for its answer.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct GiveUpQuestion(pub(super) QuestionNumber);

/// From a POST: the client's answer. `false`: nobody waits for it.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub(super) struct AnswerQuestion {
    pub(super) number: QuestionNumber,
    pub(super) answer: Answer,
}

/// From a request that changes state; resolves when the change is in force. `None`: too many
/// changes wait already.
#[derive(Debug, Message)]
#[rtype(result = "Option<oneshot::Receiver<Result<(), StoreError>>>")]
pub(super) struct MakeChange(pub(super) Change);

/// From the store: how a write of changing state ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Written {
    pub(super) outcome: Result<CasOutcome, StoreError>,
}

/// From another node: it holds the standing stream, under this epoch.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Superseded(pub(super) Epoch);

/// From another node: it wrote what may change.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Reloaded(pub(super) Changing, pub(super) Version);

/// From the registry: end.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct End;

/// From tests: die as a bug would make it die.
#[cfg(test)]
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Panic;

/// To the registry, from `initialize`: a session whose record is written begins to live here.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Adopt(pub(super) SessionHandle);

/// To the registry, from whoever needs the actor of a guest that had none so far.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Awaken(pub(super) SessionHandle);

/// To the registry, from a request whose session is not in the index: bring it back if it exists.
#[derive(Debug, Message)]
#[rtype(result = "oneshot::Receiver<Result<Option<SessionHandle>, StoreError>>")]
pub(super) struct Restore(pub(super) SessionId);

/// A session's record as it was read.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) negotiated: Negotiated,
    pub(super) changing: Changing,
    pub(super) version: Version,
    pub(super) expires: Timestamp,
}

/// To the registry, from the store: what was found.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct RecordRead {
    pub(super) id: SessionId,
    pub(super) outcome: Result<Option<Found>, StoreError>,
}

/// To the registry, from DELETE or a closing transport. The record is removed already.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Close(pub(super) SessionId, pub(super) CloseReason);

/// From a sweep: these were not used for long, and the store knows how long they live. Those that are
/// still unused leave this process.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Unused(pub(super) Vec<SessionHandle>);

/// To the registry, from the drop guard of a session actor that was not told to end.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Died(pub(super) SessionId);
