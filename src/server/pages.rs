//! Lists in pages, and the cursors between them.
//!
//! A cursor is sealed: it says after which entry to go on, and is good only for the list, the
//! endpoint and the principal it was made for. A list may change between two pages; the cursor
//! then goes on after the entry it names, or at its place if that entry is gone.
//!
//! Spec: server/utilities/pagination (all revisions).

use serde::{Deserialize, Serialize};

use super::catalog::{Entry, Listed};
use crate::protocol::jsonrpc::Params;
use crate::protocol::raw::RawJson;
use crate::runtime::seal::{self, Seal};
use crate::service::{CacheHints, CallContext, Reply, ServiceError};

/// Makes pages.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) seal: Seal,
    pub(super) size: usize,
    pub(super) cache: CacheHints,
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
    /// The page of `listed` that `params` ask for, as the member `member` of a result.
    pub(super) fn page<T: Entry>(
        &self,
        listed: &Listed<T>,
        member: &str,
        context: &CallContext,
        params: &Params,
    ) -> Result<Reply, ServiceError> {
        let listed = &*listed.seen_by(&context.principal);
        let params: ListParams = params
            .decode()
            .map_err(|error| ServiceError::InvalidParams(error.to_string()))?;
        let binding = seal::digest(&[
            member.as_bytes(),
            context.endpoint.as_bytes(),
            context.principal.key().as_bytes(),
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
                listed
                    .position(&position.after)
                    .map_or(position.index, |at| at + 1)
                    .min(listed.len())
            }
        };
        let end = start.saturating_add(self.size).min(listed.len());
        let page = listed.slice(start..end);
        let mut text = format!("{{\"{member}\":[");
        for (at, entry) in page.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            text.push_str(entry.entry(context.version).as_str());
        }
        text.push(']');
        if let Some(last) = page.last().filter(|_| end < listed.len()) {
            let position = RawJson::of(&Position {
                after: last.key().to_owned(),
                index: end,
            });
            let cursor = self.seal.seal(&binding, position.as_str().as_bytes());
            text.push_str(",\"nextCursor\":\"");
            text.push_str(&cursor);
            text.push('"');
        }
        text.push('}');
        Ok(Reply {
            cache: CacheHints {
                public: self.cache.public && !listed.is_restricted(),
                ..self.cache
            },
            ..Reply::complete(RawJson::from_valid(text))
        })
    }
}
