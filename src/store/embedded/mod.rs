//! The store in a directory of this machine: the default for a single node.
//!
//! [`EmbeddedStore`] keeps records in a redb file, written by one thread in group commits, and
//! single things with their logs in a [`journal`], written by another. What lives is known in
//! memory as well, by the same structures as in [`crate::store::memory`], so reading a log or
//! refusing a stale epoch never touches a disk.
//!
//! ```text
//! create, compare-and-set, touch, remove ──▶ record_writer ──▶ sessions.redb ─┐
//!                                                                             ├─▶ memory ──▶ answer
//! claim, append ───────────────────────────▶ journal::writer ─▶ events/*.seg ─┘
//! ```
//!
//! It does not keep inboxes beyond the process: there is one node, and its messages die with it.
//!
//! Invariants: memory follows the disk, never the other way; a scope is in memory only if its record
//! is committed; a second process on the same directory is refused.
//!
//! Concurrency: dropping the store waits for both writers to finish what was asked of them.

mod directory;
mod journal;
mod queue;
mod record_changes;
mod record_writer;
mod records;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::ready;
use tokio::sync::{Semaphore, oneshot};

use crate::runtime::clock::{Clock, Timestamp};
use crate::store::memory::{Inboxes, Leases, Scopes};
use crate::store::{
    AppendOutcome, Bounds, CasOutcome, ClaimOutcome, Epoch, InboxPage, Incarnation, LogEntry,
    LogPage, Ownership, Record, Renewed, Scope, Store, StoreError, StoreFuture, Thing, Version,
};

pub use directory::OpenError;

use directory::{Directory, RECORDS_FILE};
use journal::{Journal, JournalWrite};
use queue::Queue;
use record_changes::{Answer, CompareAndSet, Create, Expire, Flush, Remove, Touch};
use record_writer::{Change, Queued, RecordWriter};
use records::{Birth, Records};

/// Record writes that may wait for one commit; more wait outside for a place.
const WAITING_CHANGES_MAX: usize = 4_096;

/// State that lives as long as its directory. See the module docs.
pub struct EmbeddedStore {
    scopes: Arc<Scopes<Birth>>,
    inboxes: Inboxes,
    leases: Leases,
    writer: Writer,
    journal: Journal,
    records: Arc<Records>,
    /// Last, so that the lock is held until all else is closed.
    directory: Directory,
}

/// The record writer at work. Dropping it waits until all that was asked is committed.
struct Writer {
    queue: Arc<Queue<Queued>>,
    places: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedStore {
    /// Opens the directory, making it if need be, and reads back what is in it.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing that was there is changed then.
    pub fn open(dir: &Path, clock: Clock, bounds: Bounds) -> Result<Self, OpenError> {
        let directory = Directory::open(dir)?;
        let scopes = Arc::new(Scopes::new(clock.clone(), bounds));
        let path = directory.path().join(RECORDS_FILE);
        let records = Arc::new(Records::open(path)?);
        // The expired ones as well: the next sweep finds and deletes them.
        records.load(|scope, row| {
            scopes.create(&scope, row.birth, row.record.expires);
        })?;
        let journal = Journal::open(directory.path(), &scopes)?;
        let writer = Writer::begin(records.clone(), scopes.clone())
            .map_err(OpenError::not_writable(directory.path()))?;
        Ok(Self {
            inboxes: Inboxes::new(clock.clone(), bounds.inbox_messages),
            leases: Leases::new(clock),
            scopes,
            writer,
            journal,
            records,
            directory,
        })
    }

    /// Something that lives as long as the directory is locked, for whoever waits until it is free.
    #[must_use]
    pub fn held(&self) -> Weak<()> {
        self.directory.held()
    }

    /// Says in the lock file how this process can be found ("listening on 127.0.0.1:8080"), for the
    /// operator whose second process is refused.
    ///
    /// # Errors
    /// What the operating system said.
    pub fn name_holder(&self, hint: &str) -> io::Result<()> {
        self.directory.name_holder(hint)
    }

    /// Asks the journal at once; the answer comes when polled.
    fn ask_journal<T: Send + 'static>(
        &self,
        payload: usize,
        write: impl FnOnce(Answer<T>) -> JournalWrite,
    ) -> StoreFuture<T> {
        ask(self.journal.queue(), payload, write)
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore")
            .field("dir", &self.directory.path())
            .finish_non_exhaustive()
    }
}

impl Store for EmbeddedStore {
    fn describe(&self) -> String {
        format!("embedded in {}", self.directory.path().display())
    }

    fn create(&self, scope: &Scope, value: Bytes, expires: Timestamp) -> StoreFuture<bool> {
        if let Err(full) = self.scopes.room() {
            return ready(Err(full)).boxed();
        }
        let scope = scope.clone();
        self.writer.change(move |answer| Create {
            scope,
            value,
            expires,
            born: None,
            answer,
        })
    }

    fn read(&self, scope: &Scope) -> StoreFuture<Option<Record>> {
        let row = self.records.read(scope);
        let now = self.scopes.clock().now();
        let living = row.map(|row| row.map(|row| row.record).filter(|r| r.expires > now));
        ready(living).boxed()
    }

    fn compare_and_set(
        &self,
        scope: &Scope,
        expected: Version,
        value: Bytes,
    ) -> StoreFuture<CasOutcome> {
        let scope = scope.clone();
        self.writer.change(move |answer| CompareAndSet {
            scope,
            expected,
            value,
            outcome: CasOutcome::Gone,
            answer,
        })
    }

    fn touch(&self, scopes: Vec<(Scope, Timestamp)>) -> StoreFuture<()> {
        self.writer.change(move |answer| Touch { scopes, answer })
    }

    fn remove(&self, scope: &Scope) -> StoreFuture<bool> {
        let scope = scope.clone();
        self.writer.change(move |answer| Remove {
            scope,
            lived: false,
            answer,
        })
    }

    fn claim(
        &self,
        scope: &Scope,
        thing: &Thing,
        owner: Incarnation,
        ending: Option<Epoch>,
        note: Bytes,
    ) -> StoreFuture<ClaimOutcome> {
        let at = (scope.clone(), thing.clone());
        self.ask_journal(note.len(), move |answer| JournalWrite::Claim {
            at,
            by: (owner, note),
            ending,
            answer,
        })
    }

    fn ownership(&self, scope: &Scope, thing: &Thing) -> StoreFuture<Option<Ownership>> {
        ready(Ok(self.scopes.ownership(scope, thing))).boxed()
    }

    fn append(
        &self,
        scope: &Scope,
        thing: &Thing,
        epoch: Epoch,
        entries: Vec<LogEntry>,
        ends: bool,
    ) -> StoreFuture<AppendOutcome> {
        let at = (scope.clone(), thing.clone());
        let payload = entries.iter().map(|entry| entry.payload.len()).sum();
        self.ask_journal(payload, move |answer| JournalWrite::Append {
            at,
            epoch,
            entries,
            ends,
            answer,
        })
    }

    fn read_log(
        &self,
        scope: &Scope,
        thing: &Thing,
        after: u64,
        limit: usize,
        follower: Option<Incarnation>,
    ) -> StoreFuture<LogPage> {
        let page = self
            .scopes
            .read_log((scope, thing), (after, limit), follower);
        ready(Ok(page)).boxed()
    }

    fn post(&self, to: Incarnation, message: Bytes) -> StoreFuture<()> {
        ready(self.inboxes.post(to, message)).boxed()
    }

    fn receive(&self, inbox: Incarnation, cursor: u64, wait: Duration) -> StoreFuture<InboxPage> {
        self.inboxes.receive(inbox, cursor, wait).map(Ok).boxed()
    }

    fn renew(&self, node: Incarnation, lease: Duration) -> StoreFuture<Renewed> {
        ready(Ok(self.leases.renew(node, lease))).boxed()
    }

    fn retire(&self, node: Incarnation) -> StoreFuture<()> {
        self.leases.retire(node);
        ready(Ok(())).boxed()
    }

    fn sweep(&self) -> StoreFuture<Vec<Scope>> {
        self.inboxes.sweep();
        let tidied = self.ask_journal(0, |answer| JournalWrite::Tidy { answer });
        let scopes = self.scopes.expired();
        let expired = self.writer.change(move |answer| Expire { scopes, answer });
        async move {
            let expired = expired.await;
            tidied.await?;
            expired
        }
        .boxed()
    }

    fn flush(&self) -> StoreFuture<()> {
        let journal = self.ask_journal(0, |answer| JournalWrite::Flush { answer });
        let records = self.writer.change(|answer| Flush { answer });
        async move {
            journal.await?;
            records.await
        }
        .boxed()
    }
}

impl Writer {
    fn begin(records: Arc<Records>, scopes: Arc<Scopes<Birth>>) -> io::Result<Self> {
        let queue = Arc::new(Queue::new());
        let writer = RecordWriter::new(queue.reader(), records, scopes);
        let thread = Builder::new()
            .name("store-records".into())
            .spawn(move || writer.run())?;
        Ok(Self {
            queue,
            places: Arc::new(Semaphore::new(WAITING_CHANGES_MAX)),
            thread: Some(thread),
        })
    }

    /// Asks for a change when polled, once there is a place for it.
    fn change<T, C>(&self, change: impl FnOnce(Answer<T>) -> C + Send + 'static) -> StoreFuture<T>
    where
        T: Send + 'static,
        C: Change + 'static,
    {
        let (queue, places) = (self.queue.clone(), self.places.clone());
        async move {
            let place = places
                .acquire_owned()
                .await
                .expect("invariant: this semaphore is never closed");
            let (answer, answered) = oneshot::channel();
            let change = Box::new(change(answer));
            let payload = change.payload();
            queue.push(Queued { change, place }, payload)?;
            answered.await.unwrap_or_else(|_| Err(writer_ended()))
        }
        .boxed()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes records had panicked");
        }
    }
}

fn ask<T: Send + 'static>(
    queue: &Queue<JournalWrite>,
    payload: usize,
    write: impl FnOnce(Answer<T>) -> JournalWrite,
) -> StoreFuture<T> {
    let (answer, answered) = oneshot::channel();
    match queue.push(write(answer), payload) {
        Ok(()) => answered
            .map(|answer| answer.unwrap_or_else(|_| Err(writer_ended())))
            .boxed(),
        Err(refused) => ready(Err(refused)).boxed(),
    }
}

fn writer_ended() -> StoreError {
    StoreError::Unavailable("its writer has ended".into())
}
