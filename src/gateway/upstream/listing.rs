//! Reading an upstream's lists, page by page, within bounds.
//!
//! Spec: server/utilities/pagination.

use std::sync::Arc;

use serde_json::json;

use super::line::Line;
use crate::client::ClientError;
use crate::gateway::envelope::Envelope;
use crate::gateway::path;
use crate::protocol::method::Method;
use crate::protocol::raw::{self, RawJson};
use crate::service::CacheHints;

/// Most pages of one list: with the usual hundred entries, a hundred thousand.
const PAGES_MAX: usize = 1_000;
/// Most entries of one list.
const ENTRIES_MAX: usize = 20_000;
/// Most bytes of one list.
const BYTES_MAX: usize = 32 << 20;

/// A whole list.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Its entries.
    pub(super) entries: Vec<RawJson>,
    /// How long it is good, as the upstream says; nothing when it says nothing.
    pub(super) cache: Option<CacheHints>,
}

/// All entries of a list.
async fn read(line: &Arc<Line>, method: &Method, member: &str) -> Result<Listed, ClientError> {
    let broken = |what: &str| ClientError::Protocol(format!("a page of {method}: {what}"));
    let mut entries = Vec::new();
    let mut cache: Option<CacheHints> = None;
    let mut bytes = 0;
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let params = cursor
            .as_ref()
            .map_or_else(|| json!({}), |cursor| json!({"cursor": cursor}));
        let mut asking = Envelope::own(method.clone(), &params);
        path::ask(&mut asking);
        let page = line.ask(asking).await?;
        let mut found = None;
        let mut next = None;
        let mut hints = CacheHints::default();
        let mut is_hinted = false;
        for (key, value) in page.entries() {
            match &*key {
                key if key == member => found = serde_json::from_str::<Vec<RawJson>>(value).ok(),
                "nextCursor" if value != "null" => {
                    let text = raw::string(value).ok_or_else(|| broken("no cursor is a string"))?;
                    next = Some(text.into_owned());
                }
                "ttlMs" => {
                    is_hinted = true;
                    hints.ttl_ms = value.parse().unwrap_or_default();
                }
                "cacheScope" => hints.public = value == r#""public""#,
                _other => {}
            }
        }
        if is_hinted {
            cache = Some(cache.map_or(hints, |before| before.and(hints)));
        }
        let found = found.ok_or_else(|| broken(&format!("`{member}` is no array")))?;
        bytes += found
            .iter()
            .map(|entry| entry.as_str().len())
            .sum::<usize>();
        entries.extend(found);
        if entries.len() > ENTRIES_MAX || bytes > BYTES_MAX {
            tracing::warn!(%method, taken = entries.len(), "an upstream lists more than is taken");
            return Ok(Listed { entries, cache });
        }
        match next {
            None => return Ok(Listed { entries, cache }),
            Some(next) if cursor.as_ref() == Some(&next) => {
                return Err(broken("it names itself as the next"));
            }
            Some(next) => cursor = Some(next),
        }
    }
    tracing::warn!(%method, taken = entries.len(), "an upstream's list has more pages than are read");
    Ok(Listed { entries, cache })
}

/// The same, of a list that may not be there.
pub(super) async fn read_if(
    is_offered: bool,
    line: &Arc<Line>,
    method: Method,
    member: &str,
) -> Result<Listed, ClientError> {
    if !is_offered {
        return Ok(Listed::default());
    }
    match read(line, &method, member).await {
        // Servers declare more than they have; templates, above all.
        Err(ClientError::Answered { error, .. }) if error.code == -32601 => Ok(Listed::default()),
        read => read,
    }
}
