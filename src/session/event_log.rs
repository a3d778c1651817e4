//! The event log of one stream, seen from the node that writes it: names, numbers, epochs.
//!
//! [`OwnedLog`] writes under one epoch; [`LogWriter`] counts for the standing stream, which says
//! one thing at a time. A message may leave only when its append is done. One whose append failed
//! leaves without an id, and the log is claimed anew before it gets another: whether it has the
//! last is not known before. For calls, [`super::gate`] decides that.
//!
//! Spec: basic/transports, resumability and redelivery (2025-03-26 to 2025-11-25).

use std::fmt;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use bytestring::ByteString;

use super::id::SessionId;
use crate::runtime::ratelimited::warn_ratelimited;
use crate::runtime::sabotage::{self, Bug};
use crate::runtime::seal;
use crate::store::{
    AppendOutcome, ClaimOutcome, Claimed, Epoch, Incarnation, LogEntry, Scope, Store, StoreError,
    StoreFuture, Thing,
};

/// The name of a stream within its session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamName(Arc<str>);

impl StreamName {
    /// The one stream of a session that belongs to no request: what GET opens.
    #[must_use]
    pub fn standing() -> Self {
        /// One text for all: every open stream names itself three times.
        static NAME: LazyLock<Arc<str>> = LazyLock::new(|| "s".into());
        Self(NAME.clone())
    }

    /// A fresh name for the stream of one call. Random, because several nodes may stream calls of
    /// one session at once; it ends in what tells it from one of another session.
    #[must_use]
    pub fn fresh(session: &SessionId) -> Self {
        let mut name = [0; NAME_LEN];
        let (random, tag) = name.split_at_mut(RANDOM_LEN);
        random.copy_from_slice(&seal::random::<RANDOM_LEN>());
        tag.copy_from_slice(&tag_of(session, random));
        Self(URL_SAFE_NO_PAD.encode(name).into())
    }

    /// Whether it was made for this session. For the record alone: one in 65,536 of another session
    /// seems to be.
    #[must_use]
    pub fn is_of(&self, session: &SessionId) -> bool {
        let name = URL_SAFE_NO_PAD.decode(&*self.0).unwrap_or_default();
        let parts = name.split_at_checked(RANDOM_LEN);
        self.is_standing() || parts.is_some_and(|(random, tag)| tag == tag_of(session, random))
    }

    /// Whether this is the standing stream.
    #[must_use]
    pub fn is_standing(&self) -> bool {
        &*self.0 == "s"
    }

    /// Its name as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The single thing this stream is.
    #[must_use]
    pub fn thing(&self) -> Thing {
        Thing(self.0.clone())
    }
}

/// Bytes of a name that is random, and of what tells whose it is.
const NAME_LEN: usize = RANDOM_LEN + TAG_LEN;
const RANDOM_LEN: usize = 7;
const TAG_LEN: usize = 2;

/// A session's id is a secret, so nobody else can make one.
fn tag_of(session: &SessionId, random: &[u8]) -> [u8; TAG_LEN] {
    let digest = seal::digest(&[b"stream name", session.as_str().as_bytes(), random]);
    [digest[0], digest[1]]
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A position in a stream, as `id:` and `Last-Event-ID` spell it: `<stream>_<number>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventId {
    /// The stream.
    pub stream: StreamName,
    /// The number of the event; 0 is the priming event, before all others.
    pub seq: u64,
}

impl EventId {
    /// Reads an event id; `None` for what we never issued.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (stream, seq) = text.rsplit_once('_')?;
        let issued = stream == "s" || stream.len() == 12;
        let canonical = seq == "0" || !seq.starts_with(['0', '+']);
        if !issued || !canonical {
            return None;
        }
        Some(Self {
            stream: StreamName(stream.into()),
            seq: seq.parse().ok()?,
        })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.stream, self.seq)
    }
}

/// The owner of a stream that nobody runs: whoever reads it may end it. No run of a node has this
/// number, so nobody waits for it.
pub(super) const NOBODY: Incarnation = Incarnation(0);

/// What is written into a log in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Entries, in order.
    pub entries: Vec<LogEntry>,
    /// Whether the log ends after them.
    pub ends: bool,
}

/// A stream's log in the hands of one who may write it, for as long as its epoch stands.
#[derive(Clone, Debug)]
pub struct OwnedLog {
    store: Arc<dyn Store>,
    scope: Scope,
    thing: Thing,
    epoch: Epoch,
}

impl OwnedLog {
    /// A log under an epoch already claimed.
    #[must_use]
    pub fn under(store: Arc<dyn Store>, scope: Scope, stream: &StreamName, epoch: Epoch) -> Self {
        Self {
            store,
            scope,
            thing: stream.thing(),
            epoch,
        }
    }

    /// Becomes the owner of a stream that nobody has written yet.
    ///
    /// # Errors
    /// When the store is away; `Ok(None)` when the session is gone.
    pub async fn begin(
        store: Arc<dyn Store>,
        scope: Scope,
        stream: &StreamName,
        owner: Incarnation,
        note: Bytes,
    ) -> Result<Option<Self>, StoreError> {
        let claiming = store.claim(&scope, &stream.thing(), owner, None, note);
        match claiming.await? {
            ClaimOutcome::Claimed(claimed) => Ok(Some(Self::under(
                store,
                scope,
                stream,
                claimed.ownership.epoch,
            ))),
            ClaimOutcome::Lost | ClaimOutcome::Gone => Ok(None),
        }
    }

    /// Begins to write. Order of calls is order in the log.
    pub fn append(&self, Append { entries, ends }: Append) -> StoreFuture<AppendOutcome> {
        self.store
            .append(&self.scope, &self.thing, self.epoch, entries, ends)
    }

    /// Makes `owner` the owner of the stream, if this epoch still stands.
    pub fn take_over(&self, owner: Incarnation, note: Bytes) -> StoreFuture<ClaimOutcome> {
        let ending = Some(self.epoch);
        self.store
            .claim(&self.scope, &self.thing, owner, ending, note)
    }

    /// Takes the stream from its owner, if this epoch still stands, and leaves it to whoever reads
    /// it.
    pub fn disown(&self, note: Bytes) -> StoreFuture<ClaimOutcome> {
        let ending = (!sabotage::is(Bug::LastWriteWinsLease)).then_some(self.epoch);
        self.store
            .claim(&self.scope, &self.thing, NOBODY, ending, note)
    }

    /// Claims for this owner what is its own already, whatever this epoch: no append under way
    /// reaches the log any more. The log, and how it stands; `None` if it is another's.
    ///
    /// # Errors
    /// When the store is away. It may be claimed all the same, and can be once more.
    pub async fn reclaim(&self, owner: Incarnation) -> Result<Option<(Self, Claimed)>, StoreError> {
        let claimed = self.pass_on(owner, owner, None).await?;
        Ok(claimed.map(|claimed| {
            let mut log = self.clone();
            log.epoch = claimed.ownership.epoch;
            (log, claimed)
        }))
    }

    /// Leaves what is `owner`'s to whoever reads it, whatever this epoch.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn leave(&self, owner: Incarnation, note: Bytes) -> Result<(), StoreError> {
        self.pass_on(owner, NOBODY, Some(note)).await.map(drop)
    }

    /// Asks for the epoch first: the answer to an earlier claim may have been lost.
    async fn pass_on(
        &self,
        from: Incarnation,
        to: Incarnation,
        note: Option<Bytes>,
    ) -> Result<Option<Claimed>, StoreError> {
        let (store, scope, thing) = (&self.store, &self.scope, &self.thing);
        // Lost means that somebody has claimed since: it ends with who is no longer `from`.
        loop {
            let owned = store.ownership(scope, thing).await?;
            let Some(owned) = owned.filter(|owned| owned.owner == from) else {
                return Ok(None);
            };
            let note = note.clone().unwrap_or(owned.note);
            match store
                .claim(scope, thing, to, Some(owned.epoch), note)
                .await?
            {
                ClaimOutcome::Claimed(claimed) => return Ok(Some(claimed)),
                ClaimOutcome::Gone => return Ok(None),
                ClaimOutcome::Lost => {}
            }
        }
    }
}

/// The one who says what the standing stream says, one message at a time.
#[derive(Debug)]
pub struct LogWriter {
    log: OwnedLog,
    last_seq: u64,
    /// Whether the last message may be in the log or not.
    in_doubt: bool,
}

/// The stream is another's by now, or its session is gone.
#[derive(Debug)]
pub struct NotOurs;

impl LogWriter {
    /// Goes on with a log that already has `last_seq` events.
    #[must_use]
    pub const fn carry_on(log: OwnedLog, last_seq: u64) -> Self {
        Self {
            log,
            last_seq,
            in_doubt: false,
        }
    }

    /// Stores a message and tells its number; it has none while the store is away. The log is
    /// `owner`'s.
    ///
    /// # Errors
    /// When nothing of what is said here counts any more.
    pub async fn write(
        &mut self,
        owner: Incarnation,
        data: &ByteString,
    ) -> Result<Option<u64>, NotOurs> {
        match self.store(owner, data).await {
            Ok(Some(AppendOutcome::Stored { .. })) => Ok(Some(self.last_seq)),
            Ok(Some(AppendOutcome::Stale | AppendOutcome::Gone) | None) => Err(NotOurs),
            Err(error) => {
                warn_ratelimited!("an event could not be stored and leaves without an id", %error);
                self.in_doubt = true;
                Ok(None)
            }
        }
    }

    async fn store(
        &mut self,
        owner: Incarnation,
        data: &ByteString,
    ) -> Result<Option<AppendOutcome>, StoreError> {
        if self.in_doubt {
            let Some((log, claimed)) = self.log.reclaim(owner).await? else {
                return Ok(None);
            };
            self.log = log;
            self.last_seq = claimed.last_seq;
            self.in_doubt = false;
        }
        self.last_seq += 1;
        let entry = LogEntry {
            seq: self.last_seq,
            payload: data.as_bytes().clone(),
        };
        let append = Append {
            entries: vec![entry],
            ends: false,
        };
        self.log.append(append).await.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Principal;
    use crate::runtime::seal::ClusterKeys;
    use crate::session::IdMint;

    #[test]
    fn an_event_id_names_its_stream_and_place() {
        let session = IdMint::new(&ClusterKeys::generate()).mint(&Principal::local(), "main");
        for stream in [StreamName::standing(), StreamName::fresh(&session)] {
            let id = EventId { stream, seq: 17 };
            assert_eq!(EventId::parse(&id.to_string()), Some(id));
        }
    }

    #[test]
    fn a_stream_is_told_from_one_of_another_session() {
        let mint = IdMint::new(&ClusterKeys::generate());
        let session = || mint.mint(&Principal::local(), "main");
        let (own, other) = (session(), session());
        // Of so many one may seem to be of the other.
        let names = (0..100)
            .map(|_| StreamName::fresh(&own))
            .collect::<Vec<_>>();
        assert!(names.iter().all(|name| name.is_of(&own)));
        assert!(names.iter().filter(|name| name.is_of(&other)).count() < 3);
        assert!(StreamName::standing().is_of(&other));
        assert!(!EventId::parse("____________1_1").is_some_and(|id| id.stream.is_of(&own)));
    }

    #[test]
    fn what_we_never_issued_is_no_event_id() {
        for text in [
            "",
            "s",
            "s_",
            "_1",
            "s_-1",
            "s_01",
            "s_+1",
            "s_1e3",
            "t_1",
            "s_99999999999999999999",
        ] {
            assert_eq!(EventId::parse(text), None, "{text:?}");
        }
    }
}
