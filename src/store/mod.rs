//! Where state outlives the process: records, single things with their event logs, inboxes.
//!
//! A [`Store`] sees opaque bytes under opaque keys, never a session. [`memory`] keeps them in this
//! process, [`embedded`] in a directory, [`redis`] where many nodes share them. One contract suite
//! runs over every implementation (`tests/scenarios/store_contract.rs`).
//!
//! **Scope**: everything of one session lives under one [`Scope`]. Its record comes first: nothing
//! else in a scope can be written without it, and removing it removes all, so that nothing that
//! was deleted can come back.
//!
//! **Single thing**: something that must exist once in the cluster, named within its scope, owned
//! by one node under an [`Epoch`] that grows with every takeover. Whatever is written about it
//! names the epoch, and is refused once that is stale.
//!
//! **Event log**: each single thing may have one: numbered entries, bounded by count, bytes and
//! age, whose oldest entries go first. A reader is told when what it asks for is gone.
//!
//! **Inbox**: each node has one: short messages from other nodes, bounded; a node that lost some
//! is told so.
//!
//! **Lease**: a node that lives renews one; whose lease has lapsed is taken for dead.
//!
//! It does not decide who owns what or what a record means; `session` and `node` do.

pub mod buckets;
pub mod embedded;
pub mod memory;
pub mod redis;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::runtime::clock::Timestamp;

/// The name of a scope: everything of one session.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope(pub Arc<str>);

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A scope's name may be a secret (a session id), so it never reaches a log.
        f.write_str("Scope([redacted])")
    }
}

/// The name of a single thing within its scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thing(pub Arc<str>);

/// One run of one node.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Incarnation(pub u64);

/// Counts the writes of a record; the ground of compare-and-set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64);

/// Counts the owners of a single thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl Epoch {
    /// That of a thing nobody has claimed; no claim gives it.
    pub const UNCLAIMED: Self = Self(0);
}

/// A record as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its contents.
    pub value: Bytes,
    /// Which write this is.
    pub version: Version,
    /// When it goes away by itself.
    pub expires: Timestamp,
}

/// How a compare-and-set ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CasOutcome {
    /// Written; this is the new version.
    Written(Version),
    /// Somebody else wrote first; this is what stands there now.
    Lost(Record),
    /// There is no such record (any more).
    Gone,
}

/// Who owns a single thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// Under which epoch.
    pub epoch: Epoch,
    /// Which run of which node.
    pub owner: Incarnation,
    /// What the owner noted about the thing when it claimed it.
    pub note: Bytes,
}

/// A single thing in the hands of its new owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Who owns it now, and under which epoch.
    pub ownership: Ownership,
    /// The number of the last entry in its log; 0 when there is none.
    pub last_seq: u64,
    /// Whether its log has ended: nothing can be appended any more.
    pub ended: bool,
    /// Who owned it before, if anybody did.
    pub previous: Option<Incarnation>,
}

/// How claiming a single thing ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The thing is the claimer's, under this epoch.
    Claimed(Claimed),
    /// Somebody claimed since: the epoch the claimer wanted to end no longer stands.
    Lost,
    /// Its scope is gone.
    Gone,
}

/// One entry of an event log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its number; the first is 1 and there are no gaps.
    pub seq: u64,
    /// Its contents.
    pub payload: Bytes,
}

/// How an append ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// Stored: it can be read from now on, here and after a crash. These nodes follow the log and
    /// want to be told.
    Stored {
        /// Followers other than the owner.
        followers: Vec<Incarnation>,
    },
    /// The epoch is not the present one: the thing has another owner.
    Stale,
    /// The scope is gone.
    Gone,
}

/// A stretch of an event log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPage {
    /// The entries after the asked-for number, at most as many as asked for.
    Entries {
        /// The entries, in order.
        entries: Vec<LogEntry>,
        /// No entry will ever follow the last of these.
        ended: bool,
    },
    /// Some of what was asked for has been dropped (count, bytes or age), or the log never came to
    /// the asked-for number: its reader saw what a power cut took from the store.
    Dropped,
    /// There is no such log (any more): nobody claimed the thing, or it ended long ago.
    Missing,
}

/// Messages from a node's inbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InboxPage {
    /// Messages in order.
    pub messages: Vec<Bytes>,
    /// Where to read on.
    pub cursor: u64,
    /// Some messages after the asked-for cursor were dropped before they were read.
    pub lost: bool,
}

/// A lease that was renewed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    /// The nodes that live, the renewing one among them, in the order of their numbers.
    pub living: Vec<Incarnation>,
    /// The store's own time.
    pub now: Timestamp,
    /// Some of what the store held when this node last renewed may be gone: it was emptied, or
    /// came back without its latest writes. Whatever is kept of it elsewhere must be checked.
    pub lost: bool,
}

/// Whether a store is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// As far as is known.
    Well,
    /// It answers, and refuses to write: it is full, a replica, or short of replicas.
    ReadOnly,
    /// It does not answer, or not as one that works.
    Away,
}

/// Why the store could not do it. The caller goes on without, or says so to its client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached or written now.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// It does not take so much.
    #[error("the store is full: {0}")]
    Full(&'static str),
    /// What it holds under this key is not readable.
    #[error("the store holds a damaged value: {0}")]
    Damaged(String),
}

/// Bounds of event logs and inboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Scopes; more are refused until some are gone. Kept by stores of one node.
    pub scopes: usize,
    /// Entries per log.
    pub log_entries: usize,
    /// Bytes of payload per log; its newest entry stays even if it alone is larger.
    pub log_bytes: usize,
    /// Bytes per scope: payload, and what keeping each entry and thing costs.
    pub scope_bytes: usize,
    /// Bytes in all logs, counted like `scope_bytes`; the oldest ended logs go first. Kept by stores
    /// of one node.
    pub total_bytes: usize,
    /// How long a log is kept after it ended.
    pub ended_log_age: Duration,
    /// Messages per inbox.
    pub inbox_messages: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            log_entries: 1_000,
            log_bytes: 1 << 20,
            scope_bytes: 4 << 20,
            // A session's record is about 1 KiB, and at most 17: see what `initialize` takes.
            scopes: 100_000,
            total_bytes: 256 << 20,
            ended_log_age: Duration::from_secs(600),
            inbox_messages: 10_000,
        }
    }
}

/// Largest inbox message; larger bodies travel as records of their own.
pub const INBOX_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// The result of a store operation.
pub type StoreResult<T> = Result<T, StoreError>;
/// A store operation under way. Work begins when it is polled, unless a method says otherwise.
pub type StoreFuture<T> = BoxFuture<'static, StoreResult<T>>;

/// State that outlives the process. See the module docs for the words.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// What it is, for start-up messages and logs: "memory", "embedded in ./switchboard-data".
    fn describe(&self) -> String;

    /// Writes the record of a new scope. `false`: that scope exists already, nothing was written.
    /// [`StoreError::Full`] when there are as many as may be.
    fn create(&self, scope: &Scope, value: Bytes, expires: Timestamp) -> StoreFuture<bool>;

    /// Reads a scope's record. Expired is as good as gone.
    fn read(&self, scope: &Scope) -> StoreFuture<Option<Record>>;

    /// Overwrites a scope's record if it is still at `expected`. The expiry stays.
    fn compare_and_set(
        &self,
        scope: &Scope,
        expected: Version,
        value: Bytes,
    ) -> StoreFuture<CasOutcome>;

    /// Moves expiries on, many at once. Scopes that are gone stay gone; an expiry never moves back.
    fn touch(&self, scopes: Vec<(Scope, Timestamp)>) -> StoreFuture<()>;

    /// Removes a scope with all that is in it. `false`: there was none.
    fn remove(&self, scope: &Scope) -> StoreFuture<bool>;

    /// Makes `owner` the owner of a single thing and raises its epoch. With `ending`, only if that
    /// epoch still stands: a takeover from a particular owner, or with [`Epoch::UNCLAIMED`] from
    /// nobody. Without, whoever owns it. `note` takes the place of the last owner's.
    fn claim(
        &self,
        scope: &Scope,
        thing: &Thing,
        owner: Incarnation,
        ending: Option<Epoch>,
        note: Bytes,
    ) -> StoreFuture<ClaimOutcome>;

    /// Who owns a single thing; `None` if nobody ever claimed it, or it ended long ago.
    fn ownership(&self, scope: &Scope, thing: &Thing) -> StoreFuture<Option<Ownership>>;

    /// Appends to a thing's log under `epoch`. `ends` closes the log after these entries (which
    /// may be none). Takes its place in the log's order when called, not when polled, so that
    /// appends can be pipelined; once resolved, the entries survive a crash of this process.
    fn append(
        &self,
        scope: &Scope,
        thing: &Thing,
        epoch: Epoch,
        entries: Vec<LogEntry>,
        ends: bool,
    ) -> StoreFuture<AppendOutcome>;

    /// Reads at most `limit` entries after number `after` (0 = from the start). With `follower`,
    /// that node's appends-to-come notices are registered first, so that nothing is missed.
    fn read_log(
        &self,
        scope: &Scope,
        thing: &Thing,
        after: u64,
        limit: usize,
        follower: Option<Incarnation>,
    ) -> StoreFuture<LogPage>;

    /// Puts a message into a node's inbox.
    fn post(&self, to: Incarnation, message: Bytes) -> StoreFuture<()>;

    /// Takes messages after `cursor` (0 = from the start), waiting up to `wait` for the first.
    /// Messages before the cursor are forgotten.
    fn receive(&self, inbox: Incarnation, cursor: u64, wait: Duration) -> StoreFuture<InboxPage>;

    /// Lets a node live for `lease` from now on, by the store's own clock. A node that was not
    /// among the living begins to be.
    fn renew(&self, node: Incarnation, lease: Duration) -> StoreFuture<Renewed>;

    /// Ends a node's lease at once: it stops in order, and owns nothing any more.
    fn retire(&self, node: Incarnation) -> StoreFuture<()>;

    /// Drops what has expired; called every few seconds. Returns the scopes that went.
    fn sweep(&self) -> StoreFuture<Vec<Scope>>;

    /// Writes out whatever is buffered; called when stopping.
    fn flush(&self) -> StoreFuture<()>;

    /// Whether it is there, as far as is known without asking it.
    fn health(&self) -> Health {
        Health::Well
    }
}
