//! Lists in pages, and the cursors between them.
//!
//! A cursor is sealed: it says after which entry to go on, and is good only for the list, the
//! endpoint and the principal it was made for. A list may change between two pages; the cursor
//! then goes on after the entry it names, or at its place if that entry is gone.
//!
//! Spec: server/utilities/pagination (all revisions).

use serde::{Deserialize, Serialize};

use super::{CacheHints, CallContext, Reply, ServiceError};
use crate::protocol::jsonrpc::Params;
use crate::protocol::raw::RawJson;
use crate::protocol::version::ProtocolVersion;
use crate::runtime::seal::{self, Seal};

/// Entries in an order of their own.
pub trait List {
    /// How many there are.
    fn count(&self) -> usize;

    /// What the entry at this place is known by; no other has the same.
    fn key(&self, at: usize) -> &str;

    /// Where the entry of this key is.
    fn position(&self, key: &str) -> Option<usize>;

    /// Writes the entry at this place as `version` reads it.
    fn push_entry(&self, at: usize, version: ProtocolVersion, out: &mut String);
}

/// Makes pages.
#[derive(Debug)]
pub struct Pages {
    /// Seals cursors.
    pub seal: Seal,
    /// Most entries of one page.
    pub size: usize,
}

#[derive(Deserialize)]
struct ListParams {
    #[serde(default)]
    cursor: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Position {
    after: String,
    index: usize,
}

impl Pages {
    /// The page of `list` that `params` ask for, as the member `member` of a result. All pages of
    /// one list must be given the same scope of `cache` (2026-07-28 server/utilities/caching).
    ///
    /// # Errors
    /// When the params ask for no page, or by a cursor that was not made for this list.
    pub fn page(
        &self,
        list: &impl List,
        member: &str,
        context: &CallContext,
        params: &Params,
        cache: CacheHints,
    ) -> Result<Reply, ServiceError> {
        let params: ListParams = params
            .decode()
            .map_err(|error| ServiceError::InvalidParams(error.to_string()))?;
        let binding = seal::digest(&[
            member.as_bytes(),
            context.endpoint.as_bytes(),
            context.principal().key().as_bytes(),
        ]);
        let start = match params.cursor {
            None => 0,
            Some(cursor) => {
                let position = self
                    .seal
                    .open(&binding, &cursor)
                    .ok()
                    .and_then(|opened| serde_json::from_slice::<Position>(&opened).ok())
                    .ok_or_else(|| ServiceError::InvalidParams("unknown cursor".into()))?;
                list.position(&position.after)
                    .map_or(position.index, |at| at + 1)
                    .min(list.count())
            }
        };
        let end = start.saturating_add(self.size).min(list.count());
        let mut text = format!("{{\"{member}\":[");
        for at in start..end {
            if at > start {
                text.push(',');
            }
            list.push_entry(at, context.version, &mut text);
        }
        text.push(']');
        if start < end && end < list.count() {
            let position = RawJson::of(&Position {
                after: list.key(end - 1).to_owned(),
                index: end,
            });
            let cursor = self.seal.seal(&binding, position.as_str().as_bytes());
            text.push_str(",\"nextCursor\":\"");
            text.push_str(&cursor);
            text.push('"');
        }
        text.push('}');
        Ok(Reply {
            cache,
            ..Reply::complete(RawJson::from_valid(text))
        })
    }
}
