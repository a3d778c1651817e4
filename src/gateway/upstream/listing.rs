//! Reading an upstream's lists, page by page, within bounds.
//!
//! A list that does not go on as it should is cut there, and what came before is what there is: an
//! upstream that lists without an end can be used all the same. What says that the upstream itself is not
//! well is an error, and so is a first page of no use.
//!
//! Spec: server/utilities/pagination.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::json;
use tokio::time::Instant;

use super::Upstream;
use super::line::Line;
use crate::client::ClientError;
use crate::gateway::definition::ENTRY_BYTES_MAX;
use crate::gateway::envelope::Envelope;
use crate::gateway::path;
use crate::protocol::method::Method;
use crate::protocol::raw::{self, RawJson};
use crate::service::CacheHints;

/// Most pages of one list: with twenty entries each, as many as are taken.
const PAGES_MAX: usize = 1_000;
/// Most entries of one list.
const ENTRIES_MAX: usize = 20_000;
/// Most bytes of one list, the cursors between its pages included.
const BYTES_MAX: usize = 32 << 20;

/// A list, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Its entries.
    pub(super) entries: Vec<RawJson>,
    /// How long it is good, as the upstream says; nothing when it says nothing.
    pub(super) cache: Option<CacheHints>,
    /// Whether there may be more of it another time.
    pub(super) is_late: bool,
}

/// One page.
struct Page {
    entries: Vec<RawJson>,
    hints: Option<CacheHints>,
    next: Option<String>,
}

/// All entries of a list.
async fn read(
    upstream: &Upstream,
    line: &Arc<Line>,
    method: &Method,
    member: &str,
) -> Result<Listed, ClientError> {
    let mut list = Listed::default();
    let (mut bytes, mut huge) = (0, 0);
    let mut cursors = HashSet::new();
    let mut cursor: Option<String> = None;
    let until = Instant::now() + upstream.config.timeouts.list;
    let cut = 'pages: loop {
        let asked = page(line, method, member, cursor.as_deref());
        let asked = tokio::time::timeout_at(until, asked).await;
        let limit = upstream.config.timeouts.list;
        let page = match asked.unwrap_or(Err(ClientError::TimedOut(limit))) {
            Ok(page) => page,
            Err(error) if cursor.is_none() => return Err(error),
            Err(ClientError::TimedOut(_)) => {
                list.is_late = true;
                break Some("it did not come in time".to_owned());
            }
            Err(
                error @ (ClientError::Protocol(_)
                | ClientError::TooLarge { .. }
                | ClientError::Overlong { .. }),
            ) => break Some(error.for_log()),
            Err(error) => return Err(error),
        };
        if let Some(hints) = page.hints {
            list.cache = Some(list.cache.map_or(hints, |before| before.and(hints)));
        }
        for entry in page.entries {
            let length = entry.as_str().len();
            if length > ENTRY_BYTES_MAX {
                huge += 1;
            } else if list.entries.len() < ENTRIES_MAX && bytes + length <= BYTES_MAX {
                bytes += length;
                list.entries.push(entry);
            } else {
                break 'pages Some("it has too many entries".to_owned());
            }
        }
        let Some(next) = page.next else {
            break None;
        };
        bytes += next.len();
        if cursors.len() >= PAGES_MAX || bytes > BYTES_MAX {
            break Some("it has too many pages".to_owned());
        }
        if !cursors.insert(next.clone()) {
            break Some("its pages go round".to_owned());
        }
        cursor = Some(next);
    };
    let (upstream, taken) = (upstream.name(), list.entries.len());
    if let Some(why) = cut {
        tracing::warn!(upstream, %method, taken, why, "a list of an upstream is cut");
    }
    if huge > 0 {
        tracing::warn!(
            upstream,
            %method,
            huge,
            "entries of an upstream are left out: more than {ENTRY_BYTES_MAX} bytes each"
        );
    }
    Ok(list)
}

/// The page at `cursor`, or the first.
async fn page(
    line: &Arc<Line>,
    method: &Method,
    member: &str,
    cursor: Option<&str>,
) -> Result<Page, ClientError> {
    let broken = |what: &str| ClientError::Protocol(format!("a page of {method}: {what}"));
    let params = cursor.map_or_else(|| json!({}), |cursor| json!({"cursor": cursor}));
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
    Ok(Page {
        entries: found.ok_or_else(|| broken(&format!("`{member}` is no array")))?,
        hints: is_hinted.then_some(hints),
        next,
    })
}

/// The same, of a list that may not be there.
pub(super) async fn read_if(
    is_offered: bool,
    upstream: &Upstream,
    line: &Arc<Line>,
    method: Method,
    member: &str,
) -> Result<Listed, ClientError> {
    if !is_offered {
        return Ok(Listed::default());
    }
    match read(upstream, line, &method, member).await {
        // Servers declare more than they have; templates, above all.
        Err(ClientError::Answered { error, .. }) if error.code == -32601 => Ok(Listed::default()),
        read => read,
    }
}
