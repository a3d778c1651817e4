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
    pub(super) fn get(&self, id: &KeyId) -> Option<&Arc<KeyRecord>> {
        self.records.iter().find(|record| record.id == id.as_str())
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
                serde_json::from_slice(json).map_err(|error| format!("API keys: {error}"))
            }
            Some((format, _)) => Err(format!("API keys of format {format}")),
            None => Err("API keys: nothing".to_owned()),
        }
    }
}
