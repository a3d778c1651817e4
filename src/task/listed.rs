//! Which tasks a session made, for `tasks/list` (2025-11-25).
//!
//! One record per session beside the tasks themselves: ids in the order they were made, with the
//! time each goes away. Bounded: of more than [`LISTED_MAX`] living tasks the oldest are listed no
//! longer, though their ids stay good.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::runtime::clock::{Clock, Timestamp};
use crate::service::SessionKey;
use crate::store::{CasOutcome, Scope, Store, StoreError};

/// Most tasks listed for one session; the record is then about 60 KiB.
const LISTED_MAX: usize = 1_000;
const FORMAT: u8 = 1;

/// See the module docs.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    id: String,
    expires_ms: u64,
}

impl Listed {
    /// Lists a task from now on.
    pub(super) async fn add(
        &self,
        session: &SessionKey,
        id: &str,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        let scope = scope(session);
        let entry = Entry {
            id: id.to_owned(),
            expires_ms: expires.0,
        };
        let first = encode(std::slice::from_ref(&entry));
        if self.store.create(&scope, first, expires).await? {
            return Ok(());
        }
        let mut standing = self.store.read(&scope).await?;
        // Each round somebody else has written, so this ends when they do.
        while let Some(record) = standing {
            let mut entries = self.living(&record.value);
            entries.push(entry.clone());
            let surplus = entries.len().saturating_sub(LISTED_MAX);
            entries.drain(..surplus);
            let writing = self
                .store
                .compare_and_set(&scope, record.version, encode(&entries));
            standing = match writing.await? {
                CasOutcome::Written(_) => {
                    return self.store.touch(vec![(scope, expires)]).await;
                }
                CasOutcome::Lost(record) => Some(record),
                CasOutcome::Gone => None,
            };
        }
        Err(StoreError::Unavailable("the list of tasks expired".into()))
    }

    /// The ids of a session's tasks that have not expired, oldest first.
    pub(super) async fn ids(&self, session: &SessionKey) -> Result<Vec<String>, StoreError> {
        let record = self.store.read(&scope(session)).await?;
        let entries = record.map_or_else(Vec::new, |record| self.living(&record.value));
        Ok(entries.into_iter().map(|entry| entry.id).collect())
    }

    /// What cannot be read is as good as gone: it lists tasks, it does not hold them.
    fn living(&self, bytes: &[u8]) -> Vec<Entry> {
        let entries = match bytes.split_first() {
            Some((&FORMAT, json)) => serde_json::from_slice::<Vec<Entry>>(json),
            _ => Ok(Vec::new()),
        };
        let mut entries = entries.unwrap_or_default();
        let now = self.clock.now();
        entries.retain(|entry| Timestamp(entry.expires_ms) > now);
        entries
    }
}

fn scope(session: &SessionKey) -> Scope {
    Scope(format!("tasks-of:{}", session.0).into())
}

fn encode(entries: &[Entry]) -> Bytes {
    let mut bytes = vec![FORMAT];
    serde_json::to_writer(&mut bytes, entries).expect("invariant: our values serialize");
    bytes.into()
}
