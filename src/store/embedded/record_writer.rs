//! The one writer of records: whatever waits becomes one durable commit, then all are answered.
//!
//! [`RecordWriter::run`] is the body of a thread of its own. It lets each [`Change`] look at the
//! rows and alter them within one transaction, commits, and then lets each follow up in memory and
//! answer. So nobody hears of a write that is not on disk, and a thing can be claimed only in a
//! scope whose record is.
//!
//! Invariant: `unsure` names every scope whose last commit failed; it is compared with the file
//! before anything else is answered, because a commit that reported failure may stand.

use std::fmt::Debug;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::runtime::clock::Timestamp;
use crate::store::embedded::queue::Reader;
use crate::store::embedded::records::{Birth, Records, Row, Table};
use crate::store::memory::Scopes;
use crate::store::{Scope, StoreError, StoreResult};

/// A write to records, from its request to its answer.
pub(super) trait Change: Debug + Send {
    /// Which scopes it concerns; none, and it needs no commit.
    fn scopes(&self) -> Vec<Scope>;

    /// Bytes it keeps in memory while it waits.
    fn payload(&self) -> usize;

    /// Looks and alters, within a transaction. Remembers how it went.
    fn perform(&mut self, table: &mut Table<'_>, now: Timestamp) -> Result<(), redb::Error>;

    /// Follows up in memory and answers, or tells why nothing was written.
    fn settle(self: Box<Self>, committed: Result<&Scopes<Birth>, &StoreError>);
}

/// A change on its way, with its place in the bounded queue, which it gives back when dropped.
#[derive(Debug)]
pub(super) struct Queued {
    /// What to do.
    pub(super) change: Box<dyn Change>,
    /// Held until it is answered.
    pub(super) place: OwnedSemaphorePermit,
}

/// The state of the writer thread.
#[derive(Debug)]
pub(super) struct RecordWriter {
    queue: Reader<Queued>,
    records: Arc<Records>,
    scopes: Arc<Scopes<Birth>>,
    unsure: Vec<Scope>,
}

impl RecordWriter {
    /// A writer that has not begun.
    pub(super) const fn new(
        queue: Reader<Queued>,
        records: Arc<Records>,
        scopes: Arc<Scopes<Birth>>,
    ) -> Self {
        Self {
            queue,
            records,
            scopes,
            unsure: Vec::new(),
        }
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self) {
        while let Some(mut queued) = self.queue.take() {
            let committed = self.commit(&mut queued);
            for Queued { change, place } in queued {
                change.settle(committed.as_ref().map(|()| self.scopes.as_ref()));
                drop(place);
            }
        }
    }

    fn commit(&mut self, queued: &mut [Queued]) -> StoreResult<()> {
        let mut concerned: Vec<_> = queued
            .iter()
            .flat_map(|queued| queued.change.scopes())
            .collect();
        if concerned.is_empty() && self.unsure.is_empty() {
            return Ok(());
        }
        let now = self.scopes.clock().now();
        let standing = self.records.transact(|table| {
            let look = |scope: &Scope| Ok((scope.clone(), table.living(scope, now)?));
            let standing = self
                .unsure
                .iter()
                .map(look)
                .collect::<Result<Vec<_>, redb::Error>>()?;
            for Queued { change, .. } in queued.iter_mut() {
                change.perform(table, now)?;
            }
            Ok(standing)
        });
        match standing {
            Ok(standing) => {
                if !self.unsure.is_empty() {
                    tracing::info!("records can be committed again");
                }
                self.unsure.clear();
                for (scope, row) in standing {
                    self.reconcile(&scope, row);
                }
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, changes = queued.len(), "could not commit records");
                self.unsure.append(&mut concerned);
                self.unsure.sort_unstable();
                self.unsure.dedup();
                Err(error)
            }
        }
    }

    /// Makes memory agree with a row whose last commit had an unknown end.
    fn reconcile(&self, scope: &Scope, row: Option<Row>) {
        let known = self.scopes.get(scope).map(|living| living.record);
        let standing = row.as_ref().map(|row| row.birth);
        if known.is_some() && known != standing {
            self.scopes.remove(scope);
        }
        if let Some(Row { record, birth }) = row {
            self.scopes.create(scope, birth, record.expires);
            self.scopes.touch(scope, record.expires);
        }
    }
}
