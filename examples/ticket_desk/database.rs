//! The tickets, in SQLite.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row};
use schemars::JsonSchema;
use serde::Serialize;
use switchboard::prelude::ServiceError;

/// A ticket, as it is kept and as clients get it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Ticket {
    pub(crate) id: i64,
    pub(crate) title: String,
    pub(crate) severity: String,
    /// Why it was closed; an open ticket has no reason.
    pub(crate) closed: Option<String>,
}

impl Ticket {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            title: row.get("title")?,
            severity: row.get("severity")?,
            closed: row.get("closed")?,
        })
    }
}

#[derive(Clone)]
pub(crate) struct Database(Arc<Mutex<Connection>>);

impl Database {
    pub(crate) fn open(path: &str) -> rusqlite::Result<Self> {
        let db = Connection::open(path)?;
        db.execute_batch(
            "CREATE TABLE IF NOT EXISTS tickets (id INTEGER PRIMARY KEY, title TEXT NOT NULL,
                 severity TEXT NOT NULL, closed TEXT);
             CREATE TABLE IF NOT EXISTS admins (principal TEXT PRIMARY KEY);",
        )?;
        Ok(Self(Arc::new(Mutex::new(db))))
    }

    /// Works on a thread that may wait, never on one that serves requests.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let db = self.0.clone();
        let work = move || work(&db.lock().unwrap_or_else(PoisonError::into_inner));
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                tracing::error!(%error, "the database failed");
                Err(ServiceError::Internal)
            }
            Err(_panicked) => Err(ServiceError::Internal),
        }
    }

    pub(crate) async fn add(
        &self,
        title: String,
        severity: String,
    ) -> Result<Ticket, ServiceError> {
        let query = "INSERT INTO tickets (title, severity) VALUES (?, ?) RETURNING *";
        self.with(move |db| db.query_row(query, [title, severity], Ticket::of))
            .await
    }

    pub(crate) async fn find(&self, id: i64) -> Result<Option<Ticket>, ServiceError> {
        let query = "SELECT * FROM tickets WHERE id = ?";
        self.with(move |db| db.query_row(query, [id], Ticket::of).optional())
            .await
    }

    /// The tickets whose title has `text` in it.
    pub(crate) async fn search(&self, text: String) -> Result<Vec<Ticket>, ServiceError> {
        let query = "SELECT * FROM tickets WHERE instr(title, ?1) OR ?1 = '' ORDER BY id";
        self.with(move |db| db.prepare(query)?.query_map([text], Ticket::of)?.collect())
            .await
    }

    pub(crate) async fn close(&self, id: i64, reason: String) -> Result<usize, ServiceError> {
        let query = "UPDATE tickets SET closed = ? WHERE id = ?";
        self.with(move |db| db.execute(query, (reason, id))).await
    }

    pub(crate) async fn delete_closed(&self) -> Result<usize, ServiceError> {
        let query = "DELETE FROM tickets WHERE closed IS NOT NULL";
        self.with(move |db| db.execute(query, [])).await
    }

    /// The principals who may do everything.
    pub(crate) fn admins(&self) -> rusqlite::Result<Vec<String>> {
        let db = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut admins = db.prepare("SELECT principal FROM admins")?;
        admins.query_map([], |row| row.get(0))?.collect()
    }
}
