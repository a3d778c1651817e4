//! What can happen: everything that takes time ends in one of these.

use bytestring::ByteString;

use crate::session::event_log::Append;
use crate::store::{
    AppendOutcome, ClaimOutcome, Epoch, Incarnation, LogPage, Ownership, Renewed, StoreResult,
};

/// A place in the list of nodes, of readers, of connections.
pub(super) type At = usize;

/// See the module docs.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// The call does the next thing it does.
    CallGoesOn,
    /// What a node asks reaches the store.
    Asked(At, Ask),
    /// The store's answer reaches the node.
    Answered(At, Answer),
    /// A node hears that there is more to read.
    Letter(At),
    /// A node renews its lease; the number says which wait this ends.
    RenewalDue(At, u64),
    /// A call asks once more whether the stream is its own.
    CallAsks(Purpose),
    /// A reader that waited heard nothing for too long; the number says which wait.
    Silence(At, u64),
    /// A reader was not told in time who lives.
    NobodySays(At, u64),
    /// The client comes back, over this connection, after that number.
    ComesBack(At, u64),
    /// The server's side learns that a connection is broken.
    Broken(At),
    /// The client hears an event.
    Hears(At, Option<u64>, ByteString),
    /// The client learns that a connection has ended, or that nothing comes of it now.
    Ends(At),
    /// The client is told that there is nothing more of its stream, or no such stream.
    Refused(At, Refusal),
    /// The client has waited long enough on this connection.
    Impatient(At),
    /// The client comes back if it is nowhere.
    Returns,
    /// A node stands still until then.
    Paused(At, u64),
    Killed(At),
    /// A node does not reach the store until then.
    CutOff(At, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NothingLeft,
    Unknown,
}

/// Who writes or claims a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Call,
    Reader(At),
}

/// Why a call claims its own stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To go on with a broken log.
    Mend,
    /// To leave it to its readers.
    Leave,
}

#[derive(Clone, Debug)]
pub(super) enum Ask {
    Append(By, Epoch, Append),
    /// For the call: who owns the stream, and to claim it then.
    Own(Purpose),
    PassOn(Purpose, Epoch),
    /// A reader takes the stream.
    Disown(At, Epoch),
    /// For a reader: what follows this number.
    Read(At, u64),
    /// For a connection: whether there is such a stream, and more of it.
    Look(At, u64),
    Owner(At),
    Renew,
}

#[derive(Clone, Debug)]
pub(super) enum Answer {
    Append(By, StoreResult<AppendOutcome>),
    Own(Purpose, StoreResult<Option<Ownership>>),
    PassOn(Purpose, StoreResult<ClaimOutcome>),
    Disown(At, StoreResult<ClaimOutcome>),
    Read(At, StoreResult<LogPage>),
    Look(At, u64, StoreResult<LogPage>),
    Owner(At, StoreResult<Option<Ownership>>),
    Renew(StoreResult<Renewed>),
}

/// The run of a node at this place. None is nobody's.
pub(super) const fn incarnation(node: At) -> Incarnation {
    Incarnation(node as u64 + 1)
}

/// The place of a run of a node.
pub(super) fn place(incarnation: Incarnation) -> At {
    usize::try_from(incarnation.0 - 1).expect("there are few nodes")
}
