//! A page of key records, as it stands in the store: one byte of format version, then JSON.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::record::KeyRecord;
use crate::auth::api_key::KeyId;
use crate::runtime::clock::Timestamp;
use crate::store::{Scope, Version};

const FORMAT: u8 = 1;

/// How long a page is kept that nobody changes: longer than any key in it lives.
pub(super) const KEPT: Duration = Duration::from_secs(2 * 366 * 24 * 60 * 60);

/// See the module docs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// In the order of their ids.
    pub(super) records: Vec<Arc<KeyRecord>>,
}

/// A page, and when it was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) at: Timestamp,
    /// `None`: it does not exist yet.
    pub(super) version: Option<Version>,
    pub(super) page: Page,
}

/// Where a page is.
pub(super) fn scope(page: u8) -> Scope {
    Scope(format!("api-keys:{page:02x}").into())
}

impl Page {
    /// The record of that id, or one beside where it would be; `None` if there are none at all. As many
    /// are looked at in either case, so that the time it takes tells nobody which ids there are.
    pub(super) fn nearest(&self, id: &KeyId) -> Option<&Arc<KeyRecord>> {
        let last = self.records.len().checked_sub(1)?;
        self.records.get(self.place_of(id.as_str()).min(last))
    }

    pub(super) fn insert(&mut self, record: KeyRecord) {
        let place = self.place_of(&record.id);
        self.records.insert(place, Arc::new(record));
    }

    fn place_of(&self, id: &str) -> usize {
        self.records.partition_point(|record| &*record.id < id)
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = vec![FORMAT];
        serde_json::to_writer(&mut bytes, self).expect("invariant: records serialize");
        bytes.into()
    }

    /// What is wrong, for what another release wrote, or what was altered.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        match bytes.split_first() {
            Some((&FORMAT, json)) => {
                let mut page: Self =
                    serde_json::from_slice(json).map_err(|error| format!("API keys: {error}"))?;
                page.records.sort_by(|one, other| one.id.cmp(&other.id));
                Ok(page)
            }
            Some((format, _)) => Err(format!("API keys of format {format}")),
            None => Err("API keys: nothing".to_owned()),
        }
    }
}
