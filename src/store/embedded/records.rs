//! The file of all records: one redb table, opened, read, and changed in whole transactions.
//!
//! [`Records`] holds the database. A row is version, expiry, birth and value; [`Birth`] numbers
//! the creations of all scopes, so that what the journal holds of a scope is never taken for part
//! of a later scope of the same name. When the disk failed, redb refuses all further work on that
//! handle: the file is closed then and opened again at the next attempt.
//!
//! It does not decide when to commit; [`super::record_writer`] does.
//!
//! Concurrency: readers see the last commit and never wait for the writer. The lock around the
//! handle is held for writing only while the file is closed or opened.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::runtime::clock::Timestamp;
use crate::store::embedded::directory::OpenError;
use crate::store::{Record, Scope, StoreError, StoreResult, Version};

/// By scope: version, expiry, birth, value.
const RECORDS: TableDefinition<'_, &str, (u64, u64, u64, &[u8])> = TableDefinition::new("records");

/// By name: a number that only grows.
const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");
const BIRTHS: &str = "births";

/// Memory redb may use for pages. The operating system caches the file as well; this much holds
/// the inner pages of a few million records.
const CACHE_BYTES: usize = 32 << 20;

/// Numbers the creations of scopes; never used twice in one data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Birth(pub(super) u64);

/// A record as the file holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// What readers get.
    pub(super) record: Record,
    /// Which creation it stems from.
    pub(super) birth: Birth,
}

/// The file of records.
#[derive(Debug)]
pub(super) struct Records {
    path: PathBuf,
    database: RwLock<Option<Database>>,
}

/// The records within one transaction.
pub(super) struct Table<'txn> {
    rows: redb::Table<'txn, &'static str, (u64, u64, u64, &'static [u8])>,
    counters: redb::Table<'txn, &'static str, u64>,
}

impl Records {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// `NotWritable` for what the operating system refuses, else `NotOurs`.
    pub(super) fn open(path: PathBuf) -> Result<Self, OpenError> {
        let records = Self {
            database: RwLock::new(None),
            path,
        };
        // Pages that make no sense can make redb panic, on open or later; so all are checked here,
        // and a panic in the course of that is one more way to say that the file is damaged.
        let made = catch_unwind(AssertUnwindSafe(|| {
            records.put(Some(open_checked(&records.path)?));
            records.commit(|_| Ok(()))
        }));
        match made {
            Ok(made) => made.map_err(|error| records.cannot_open(error))?,
            Err(_) => {
                return Err(OpenError::not_ours(
                    &records.path,
                    "its pages make no sense",
                ));
            }
        }
        Ok(records)
    }

    /// Lets `visit` see every row.
    ///
    /// # Errors
    /// `NotOurs` if the file is damaged.
    pub(super) fn load(&self, mut visit: impl FnMut(Scope, Row)) -> Result<(), OpenError> {
        self.with(|database| {
            let rows = database.begin_read()?.open_table(RECORDS)?;
            for row in rows.iter()? {
                let (scope, row) = row?;
                visit(Scope(scope.value().into()), decode(row.value()));
            }
            Ok(())
        })
        .map_err(|error| self.cannot_open(error))
    }

    /// The committed row of a scope, expired or not.
    ///
    /// # Errors
    /// `Unavailable` with the reason of the disk.
    pub(super) fn read(&self, scope: &Scope) -> StoreResult<Option<Row>> {
        self.with(|database| {
            let rows = database.begin_read()?.open_table(RECORDS)?;
            Ok(rows.get(&*scope.0)?.map(|row| decode(row.value())))
        })
        .map_err(|error| unavailable(&error))
    }

    /// Does `work` in one transaction, durable when this returns.
    ///
    /// # Errors
    /// `Unavailable` with the reason of the disk. Whether the work was done is then unknown until
    /// the next success.
    pub(super) fn transact<T>(
        &self,
        work: impl FnOnce(&mut Table<'_>) -> Result<T, redb::Error>,
    ) -> StoreResult<T> {
        self.reopen()
            .and_then(|()| self.commit(work))
            .map_err(|error| {
                // At once, so that reading goes on; if even that fails, at the next attempt.
                self.put(None);
                drop(self.reopen());
                unavailable(&error)
            })
    }

    fn commit<T>(
        &self,
        work: impl FnOnce(&mut Table<'_>) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            let result = {
                let mut table = Table {
                    rows: transaction.open_table(RECORDS)?,
                    counters: transaction.open_table(COUNTERS)?,
                };
                work(&mut table)?
            };
            transaction.commit()?;
            Ok(result)
        })
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        work(database.as_ref().ok_or(redb::Error::DatabaseClosed)?)
    }

    fn reopen(&self) -> Result<(), redb::Error> {
        let closed = self.with(|_| Ok(())).is_err();
        if closed {
            // Never makes the file: if it vanished meanwhile, its records must not seem deleted.
            let database = builder().open(&self.path)?;
            self.put(Some(database));
        }
        Ok(())
    }

    fn put(&self, database: Option<Database>) {
        *self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner) = database;
    }

    fn cannot_open(&self, error: redb::Error) -> OpenError {
        match error {
            redb::Error::Io(source) => match source.kind() {
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
                    OpenError::not_ours(&self.path, source)
                }
                _ => OpenError::not_writable(&self.path)(source),
            },
            other => OpenError::not_ours(&self.path, other),
        }
    }
}

impl Table<'_> {
    /// The row of a scope, if it has not expired.
    pub(super) fn living(&self, scope: &Scope, now: Timestamp) -> Result<Option<Row>, redb::Error> {
        let row = self.rows.get(&*scope.0)?.map(|row| decode(row.value()));
        Ok(row.filter(|row| row.record.expires > now))
    }

    /// Writes the row of a scope.
    pub(super) fn put(&mut self, scope: &Scope, row: &Row) -> Result<(), redb::Error> {
        let Row {
            record:
                Record {
                    value,
                    version,
                    expires,
                },
            birth,
        } = row;
        let row = (version.0, expires.0, birth.0, value.as_ref());
        self.rows.insert(&*scope.0, row)?;
        Ok(())
    }

    /// Deletes the row of a scope.
    pub(super) fn delete(&mut self, scope: &Scope) -> Result<(), redb::Error> {
        self.rows.remove(&*scope.0)?;
        Ok(())
    }

    /// A number for a new scope.
    pub(super) fn next_birth(&mut self) -> Result<Birth, redb::Error> {
        let last = self.counters.get(BIRTHS)?.map_or(0, |last| last.value());
        self.counters.insert(BIRTHS, last + 1)?;
        Ok(Birth(last + 1))
    }
}

fn open_checked(path: &Path) -> Result<Database, redb::Error> {
    let mut database = builder().create(path)?;
    if !database.check_integrity()? {
        tracing::warn!(path = %path.display(), "repaired the records from their last whole commit");
    }
    Ok(database)
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn decode((version, expires, birth, value): (u64, u64, u64, &[u8])) -> Row {
    Row {
        record: Record {
            value: Bytes::copy_from_slice(value),
            version: Version(version),
            expires: Timestamp(expires),
        },
        birth: Birth(birth),
    }
}

fn unavailable(error: &redb::Error) -> StoreError {
    StoreError::Unavailable(format!("records: {error}"))
}
