//! Records that grew too old are deleted, by whole segments, or by destroying what opens them.
//!
//! Before a segment goes, a signed mark says so beside its checkpoint, which stays: the chain can be
//! followed over the gap. Records of what happened besides calls stay at least as long as older records of
//! calls: they say why keys of these are gone. Payloads go by the day's key. Where there is a legal hold nothing goes.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::chains::{Chains, DAY_MS};
use super::checkpoint::{Checkpoint, Gone};
use super::config::{Keep, Retention};
use super::layout::{self, Part, Trail, TrailId};
use super::segment::Ground;
use crate::runtime::calendar;
use crate::runtime::clock::Timestamp;

/// How often: what is kept for days need not go to the minute.
pub(super) const EVERY_MS: u64 = DAY_MS / 4;

/// What grew too old of a tenant's records.
#[derive(Debug)]
pub(super) struct Aged {
    pub(super) tenant: Arc<str>,
    /// Segments that were deleted.
    pub(super) segments: Vec<String>,
    /// Days whose keys are to be destroyed, once that is on record.
    pub(super) payload_days: Vec<u64>,
}

/// Deletes segments that are too old. Gives what has to be recorded, and what went wrong first.
pub(super) fn run(
    chains: &mut Chains,
    retention: &Retention,
    now_ms: u64,
) -> (Vec<Aged>, Option<io::Error>) {
    let mut ids: Vec<_> = chains.all.keys().cloned().collect();
    ids.sort_unstable();
    let mut gone: BTreeMap<Arc<str>, (Vec<String>, Vec<u64>)> = BTreeMap::new();
    let mut problem = None;
    for id in ids {
        let Some(keep) = retention.of(&id.tenant) else {
            continue;
        };
        let (segments, days) = gone.entry(id.tenant.clone()).or_default();
        let done = segments_of(&chains.ground, &id, keep, now_ms, segments);
        let done = done.and_then(|()| match id.trail {
            Trail::Security => Ok(()),
            Trail::Calls => {
                let before = before(now_ms, keep.payloads) / DAY_MS;
                days.extend(chains.vault.days_before(&id.tenant, before)?);
                Ok(())
            }
        });
        if let Err(error) = done {
            problem.get_or_insert(error);
        }
    }
    gone.retain(|_, (segments, days)| !segments.is_empty() || !days.is_empty());
    let runs = gone
        .into_iter()
        .map(|(tenant, (segments, payload_days))| Aged {
            tenant,
            segments,
            payload_days,
        });
    (runs.collect(), problem)
}

fn before(now_ms: u64, keep: Duration) -> u64 {
    now_ms.saturating_sub(u64::try_from(keep.as_millis()).unwrap_or(u64::MAX))
}

fn segments_of(
    ground: &Ground,
    id: &TrailId,
    keep: Keep,
    now_ms: u64,
    gone: &mut Vec<String>,
) -> io::Result<()> {
    let (keep, needed_ms) = match id.trail {
        Trail::Calls => (keep.metadata, u64::MAX),
        Trail::Security => (keep.security, calls_are_younger_than(ground, &id.tenant)?),
    };
    let limit = before(now_ms, keep).min(needed_ms);
    let records = layout::trail_directory(&ground.records, id);
    let checkpoints = layout::trail_directory(&ground.checkpoints, id);
    for first in layout::listed(&records, Part::Segment)? {
        let path = layout::file(&checkpoints, first, Part::Checkpoint);
        // One without a checkpoint is open, and those behind it are younger.
        let Some(checkpoint) = Checkpoint::read(&path, &ground.keys)?.ours() else {
            break;
        };
        if checkpoint.says.ended_ms >= limit {
            break;
        }
        let mark = Gone {
            v: Gone::FORMAT,
            tenant: id.tenant.to_string(),
            trail: id.trail.as_str().to_owned(),
            first,
            at: calendar::rfc3339(Timestamp(now_ms)),
            because: format!("kept for {} days", keep.as_secs() / 86_400),
        };
        let path = layout::file(&checkpoints, first, Part::Gone);
        ground
            .disk
            .replace(&path, mark.sign(&ground.keys).as_bytes())?;
        ground
            .disk
            .remove(&layout::file(&records, first, Part::Segment))?;
        gone.push(format!("{}/{first}", id.trail.as_str()));
    }
    Ok(())
}

/// No record of a call that is still there is older than this.
fn calls_are_younger_than(ground: &Ground, tenant: &Arc<str>) -> io::Result<u64> {
    let id = TrailId {
        tenant: tenant.clone(),
        trail: Trail::Calls,
    };
    let records = layout::trail_directory(&ground.records, &id);
    let checkpoints = layout::trail_directory(&ground.checkpoints, &id);
    let Some(oldest) = layout::listed(&records, Part::Segment)?.first().copied() else {
        return Ok(u64::MAX);
    };
    let proven = layout::listed(&checkpoints, Part::Checkpoint)?;
    let Some(before) = proven.range(..oldest).next_back() else {
        return Ok(0);
    };
    let path = layout::file(&checkpoints, *before, Part::Checkpoint);
    let before = Checkpoint::read(&path, &ground.keys)?.ours();
    Ok(before.map_or(0, |before| before.says.ended_ms))
}
