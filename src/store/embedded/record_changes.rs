//! The changes records know, one type each: create, compare-and-set, touch, remove, expire, flush.
//!
//! Each remembers between [`Change::perform`] and [`Change::settle`] what it will answer, since an
//! answer may leave only after the commit.

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::runtime::clock::Timestamp;
use crate::store::embedded::record_writer::Change;
use crate::store::embedded::records::{Birth, Row, Table};
use crate::store::memory::Scopes;
use crate::store::{CasOutcome, Record, Scope, StoreError, StoreResult, Version};

/// Where an answer goes. Nobody may be waiting any more; the write stands all the same.
pub(super) type Answer<T> = oneshot::Sender<StoreResult<T>>;

/// See [`crate::store::Store::create`].
#[derive(Debug)]
pub(super) struct Create {
    pub(super) scope: Scope,
    pub(super) value: Bytes,
    pub(super) expires: Timestamp,
    pub(super) born: Option<Birth>,
    pub(super) answer: Answer<bool>,
}

/// See [`crate::store::Store::compare_and_set`].
#[derive(Debug)]
pub(super) struct CompareAndSet {
    pub(super) scope: Scope,
    pub(super) expected: Version,
    pub(super) value: Bytes,
    pub(super) outcome: CasOutcome,
    pub(super) answer: Answer<CasOutcome>,
}

/// See [`crate::store::Store::touch`].
#[derive(Debug)]
pub(super) struct Touch {
    pub(super) scopes: Vec<(Scope, Timestamp)>,
    pub(super) answer: Answer<()>,
}

/// See [`crate::store::Store::remove`].
#[derive(Debug)]
pub(super) struct Remove {
    pub(super) scope: Scope,
    pub(super) lived: bool,
    pub(super) answer: Answer<bool>,
}

/// Deletes those of these scopes that have expired, and answers which had.
#[derive(Debug)]
pub(super) struct Expire {
    pub(super) scopes: Vec<Scope>,
    pub(super) answer: Answer<Vec<Scope>>,
}

/// Answers when all earlier changes stand.
#[derive(Debug)]
pub(super) struct Flush {
    pub(super) answer: Answer<()>,
}

impl Change for Create {
    fn scopes(&self) -> Vec<Scope> {
        vec![self.scope.clone()]
    }

    fn payload(&self) -> usize {
        self.value.len()
    }

    fn perform(&mut self, table: &mut Table<'_>, now: Timestamp) -> Result<(), redb::Error> {
        if table.living(&self.scope, now)?.is_some() {
            return Ok(());
        }
        let birth = table.next_birth()?;
        self.born = Some(birth);
        let record = Record {
            value: self.value.clone(),
            version: Version(1),
            expires: self.expires,
        };
        table.put(&self.scope, &Row { record, birth })
    }

    fn settle(self: Box<Self>, committed: Result<&Scopes<Birth>, &StoreError>) {
        let created = committed.map(|scopes| {
            if let Some(birth) = self.born {
                scopes.remove(&self.scope);
                scopes.create(&self.scope, birth, self.expires);
            }
            self.born.is_some()
        });
        reply(self.answer, created);
    }
}

impl Change for CompareAndSet {
    fn scopes(&self) -> Vec<Scope> {
        vec![self.scope.clone()]
    }

    fn payload(&self) -> usize {
        self.value.len()
    }

    fn perform(&mut self, table: &mut Table<'_>, now: Timestamp) -> Result<(), redb::Error> {
        self.outcome = match table.living(&self.scope, now)? {
            None => CasOutcome::Gone,
            Some(row) if row.record.version != self.expected => CasOutcome::Lost(row.record),
            Some(mut row) => {
                row.record.version = Version(self.expected.0 + 1);
                row.record.value = self.value.clone();
                table.put(&self.scope, &row)?;
                CasOutcome::Written(row.record.version)
            }
        };
        Ok(())
    }

    fn settle(self: Box<Self>, committed: Result<&Scopes<Birth>, &StoreError>) {
        let Self {
            outcome, answer, ..
        } = *self;
        reply(answer, committed.map(|_| outcome));
    }
}

impl Change for Touch {
    fn scopes(&self) -> Vec<Scope> {
        self.scopes.iter().map(|(scope, _)| scope.clone()).collect()
    }

    fn payload(&self) -> usize {
        size_of_val(self.scopes.as_slice())
    }

    fn perform(&mut self, table: &mut Table<'_>, now: Timestamp) -> Result<(), redb::Error> {
        for (scope, expires) in &self.scopes {
            if let Some(mut row) = table.living(scope, now)?
                && row.record.expires < *expires
            {
                row.record.expires = *expires;
                table.put(scope, &row)?;
            }
        }
        Ok(())
    }

    fn settle(self: Box<Self>, committed: Result<&Scopes<Birth>, &StoreError>) {
        let touched = committed.map(|scopes| {
            for (scope, expires) in &self.scopes {
                scopes.touch(scope, *expires);
            }
        });
        reply(self.answer, touched);
    }
}

impl Change for Remove {
    fn scopes(&self) -> Vec<Scope> {
        vec![self.scope.clone()]
    }

    fn payload(&self) -> usize {
        0
    }

    fn perform(&mut self, table: &mut Table<'_>, now: Timestamp) -> Result<(), redb::Error> {
        self.lived = table.living(&self.scope, now)?.is_some();
        table.delete(&self.scope)
    }

    fn settle(self: Box<Self>, committed: Result<&Scopes<Birth>, &StoreError>) {
        let removed = committed.map(|scopes| {
            scopes.remove(&self.scope);
            self.lived
        });
        reply(self.answer, removed);
    }
}

impl Change for Expire {
    fn scopes(&self) -> Vec<Scope> {
        self.scopes.clone()
    }

    fn payload(&self) -> usize {
        size_of_val(self.scopes.as_slice())
    }

    fn perform(&mut self, table: &mut Table<'_>, now: Timestamp) -> Result<(), redb::Error> {
        let mut expired = Vec::with_capacity(self.scopes.len());
        for scope in self.scopes.drain(..) {
            if table.living(&scope, now)?.is_none() {
                table.delete(&scope)?;
                expired.push(scope);
            }
        }
        self.scopes = expired;
        Ok(())
    }

    fn settle(self: Box<Self>, committed: Result<&Scopes<Birth>, &StoreError>) {
        let Self {
            scopes: mut expired,
            answer,
        } = *self;
        let expired = committed.map(|scopes| {
            expired.retain(|scope| scopes.remove_expired(scope));
            expired
        });
        reply(answer, expired);
    }
}

impl Change for Flush {
    fn scopes(&self) -> Vec<Scope> {
        Vec::new()
    }

    fn payload(&self) -> usize {
        0
    }

    fn perform(&mut self, _: &mut Table<'_>, _: Timestamp) -> Result<(), redb::Error> {
        Ok(())
    }

    fn settle(self: Box<Self>, committed: Result<&Scopes<Birth>, &StoreError>) {
        reply(self.answer, committed.map(|_| ()));
    }
}

fn reply<T>(answer: Answer<T>, result: Result<T, &StoreError>) {
    drop(answer.send(result.map_err(Clone::clone)));
}
