//! What a process that ended without a word left behind: torn tails, and calls without an end.
//!
//! Every segment without a checkpoint gets one; one that holds no record is taken back. Lines behind the last whole record are cut off, which
//! is recorded, unless the anchor says that there must be more: then somebody cut or changed the file,
//! nothing is touched, and the checkpoint says what the anchor does, so that verifying finds it. So it
//! does where an anchor is gone, or the latest segments with all that proved them.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::chain::{Hash, START};
use super::chains::Chain;
use super::checkpoint::{Anchor, Checkpoint, Found, Latest, Previous, SignedCheckpoint};
use super::disk;
use super::event::{CallId, What};
use super::layout::{self, Part, Trail, TrailId};
use super::left::Left;
use super::segment::{Ground, Standing, put, take_back};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub(super) chains: HashMap<TrailId, Chain>,
    /// What has to be recorded about it.
    pub(super) events: Vec<(TrailId, What)>,
    /// Whose erasure is on record in a segment that was left open, by tenant: their keys may be there.
    pub(super) erased: Vec<(String, Vec<String>)>,
}

/// Reads where every chain stands, and ends every segment that was left open.
///
/// # Errors
/// The disk's.
pub(super) fn recover(ground: &Ground, now_ms: u64) -> io::Result<Recovered> {
    let mut recovered = Recovered::default();
    let mut tenants = layout::tenant_directories(&ground.checkpoints)?;
    tenants.extend(layout::tenant_directories(&ground.records)?);
    tenants.extend(layout::tenant_directories(&ground.vault)?);
    for tenant in tenants {
        for trail in Trail::ALL {
            let place = |root: &Path| root.join(&tenant).join(trail.as_str());
            let chain = trail_of(
                ground,
                &place(&ground.records),
                &place(&ground.checkpoints),
                trail,
                now_ms,
                &mut recovered,
            )?;
            let chain = up_to_the_latest(ground, &tenant, trail, chain, now_ms, &mut recovered)?;
            if let Some((id, chain)) = chain {
                recovered.chains.insert(id, chain);
            }
        }
    }
    Ok(recovered)
}

fn trail_of(
    ground: &Ground,
    records: &Path,
    checkpoints: &Path,
    trail: Trail,
    now_ms: u64,
    recovered: &mut Recovered,
) -> io::Result<Option<(TrailId, Chain)>> {
    let proven = layout::listed(checkpoints, Part::Checkpoint)?;
    let mut chain = None;
    if let Some(&first) = proven.last() {
        let path = layout::file(checkpoints, first, Part::Checkpoint);
        match Checkpoint::read(&path, &ground.keys)? {
            Found::Ours(signed) => chain = Some(behind(signed, trail)),
            Found::Nothing | Found::NotOurs => {
                let problem = format!(
                    "{} is not signed with a key of this cluster",
                    path.display()
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
        }
    }
    let mut left = layout::listed(records, Part::Segment)?;
    left.extend(layout::listed(checkpoints, Part::Anchor)?);
    for first in left.difference(&proven) {
        let after = chain.take();
        chain = segment(
            ground,
            records,
            checkpoints,
            trail,
            *first,
            after,
            now_ms,
            recovered,
        )?;
    }
    Ok(chain)
}

/// Holds a chain against what names its latest segment. One that is not there any more, nor anything
/// that proves it, gets a checkpoint that says so.
fn up_to_the_latest(
    ground: &Ground,
    directory: &str,
    trail: Trail,
    chain: Option<(TrailId, Chain)>,
    now_ms: u64,
    recovered: &mut Recovered,
) -> io::Result<Option<(TrailId, Chain)>> {
    let path = layout::latest(&ground.vault, directory, trail);
    let latest = match Latest::read(&path, &ground.keys)? {
        Found::Ours(latest) if latest.is_of(directory, trail) => latest,
        found => {
            // A process that was killed over its first segment had not come to write it.
            if let Some((id, chain)) = chain.as_ref().filter(|(_, chain)| chain.standing.last > 0) {
                let what = match found {
                    Found::Nothing => "is missing",
                    Found::Ours(_) | Found::NotOurs => "is not one we signed",
                };
                let problem = format!("what names the latest segment of {} {what}", trail.as_str());
                let next = chain.standing.last + 1;
                recovered.alarm(id, &path, next, problem);
            }
            return Ok(chain);
        }
    };
    let standing = chain.as_ref().map(|(_, chain)| chain.standing);
    let previous = chain.as_ref().and_then(|(_, chain)| chain.previous.clone());
    if latest.first <= previous.as_ref().map_or(0, |previous| previous.first) {
        return Ok(chain);
    }
    let next = standing.map_or(0, |standing| standing.last) + 1;
    let wrong = format!("records {next} and up were removed with what proves them");
    let id = TrailId {
        tenant: latest.tenant.into(),
        trail,
    };
    recovered.alarm(&id, &path, next, format!("{}: {wrong}", trail.as_str()));
    // It takes a number, so that the chain goes on behind it.
    let standing = Standing {
        last: latest.first,
        head: START,
    };
    let checkpoint = Checkpoint {
        v: Checkpoint::FORMAT,
        tenant: id.tenant.to_string(),
        trail: trail.as_str().to_owned(),
        first: latest.first,
        last: standing.last,
        count: 0,
        head: standing.head.text(),
        ended_ms: now_ms,
        previous,
        running: Vec::new(),
        wrong: Some(wrong),
        public: String::new(),
    };
    let previous = put(ground, &id, checkpoint)?;
    Ok(Some((id, Chain::at(standing, Some(previous)))))
}

/// A chain that goes on behind a checkpoint.
fn behind(signed: SignedCheckpoint, trail: Trail) -> (TrailId, Chain) {
    let SignedCheckpoint { says, signature } = signed;
    let id = TrailId {
        tenant: says.tenant.into(),
        trail,
    };
    let standing = Standing {
        last: says.last,
        head: Hash::parse(&says.head).unwrap_or(START),
    };
    let previous = Previous {
        first: says.first,
        signature,
    };
    let mut chain = Chain::at(standing, Some(previous));
    let running = says.running.into_iter();
    chain.running = running
        .filter_map(|(call, whose)| Some((call.parse().ok()?, whose.map(Into::into))))
        .collect();
    (id, chain)
}

/// Ends a segment that was left open.
#[expect(
    clippy::too_many_arguments,
    reason = "all of them differ by segment or by trail"
)]
fn segment(
    ground: &Ground,
    records: &Path,
    checkpoints: &Path,
    trail: Trail,
    first: u64,
    after: Option<(TrailId, Chain)>,
    now_ms: u64,
    recovered: &mut Recovered,
) -> io::Result<Option<(TrailId, Chain)>> {
    let path = layout::file(records, first, Part::Segment);
    let anchor_path = layout::file(checkpoints, first, Part::Anchor);
    let anchor = Anchor::read(&anchor_path, &ground.keys)?.ours();
    let bytes = disk::read(&path)?.unwrap_or_default();
    let read = Left::read(&bytes, ground, first);
    let tenant = match (&read.header, &anchor) {
        (Some(header), _) => header.tenant.clone(),
        (None, Some(anchor)) => anchor.tenant.clone(),
        // Not even a beginning: there is nothing to go on behind.
        (None, None) => {
            ground.disk.remove(&path)?;
            ground.disk.remove(&anchor_path)?;
            return Ok(after);
        }
    };
    let id = TrailId {
        tenant: tenant.into(),
        trail,
    };
    let least = anchor.as_ref().map_or(0, |anchor| anchor.last);
    let (mut chain, before) = match after {
        Some((_, chain)) => {
            let before = chain.previous.clone();
            (chain, before)
        }
        None => (Chain::at(read.standing, None), None),
    };
    let name = format!("{}/{first}", trail.as_str());
    let is_begun = read.standing.last >= first || least >= first;
    if !is_begun && (anchor.is_some() || read.header.is_none()) {
        // The process ended before the first record was whole.
        if bytes.len() > read.length && read.header.is_some() {
            recovered.torn(&id, &name, bytes.len() - read.length);
        }
        take_back(ground, &id, first, before.as_ref())?;
        return Ok(chain.previous.is_some().then_some((id, chain)));
    }
    let whole = anchor.as_ref().is_none_or(|anchor| read.holds(anchor));
    let standing = match (&anchor, whole || ground.stream.is_some()) {
        (Some(anchor), false) => {
            let problem = format!("segment {name} was changed or cut behind this node's back");
            recovered.alarm(&id, &path, read.standing.last + 1, problem);
            Standing {
                last: anchor.last,
                head: Hash::parse(&anchor.head).unwrap_or(START),
            }
        }
        (Some(anchor), true) if ground.stream.is_some() => Standing {
            last: anchor.last,
            head: Hash::parse(&anchor.head).unwrap_or(START),
        },
        (Some(_) | None, _) => {
            let torn = bytes.len() - read.length;
            if torn > 0 {
                ground.disk.reopen(&path)?.cut(read.length as u64)?;
                recovered.torn(&id, &name, torn);
            }
            Standing {
                // It takes a number, so that the chain goes on behind it.
                last: read.standing.last.max(first),
                ..read.standing
            }
        }
    };
    // A segment has an anchor before it has a first line.
    let wrong = anchor
        .is_none()
        .then(|| "nothing said any more how far it went: its end may be missing".to_owned());
    if let Some(wrong) = &wrong {
        let problem = format!("segment {name}: {wrong}");
        recovered.alarm(&id, &anchor_path, standing.last + 1, problem);
    }
    if !read.erased.is_empty() {
        let tenant = id.tenant.to_string();
        recovered.erased.push((tenant, read.erased));
    }
    for (call, begun) in read.calls {
        match begun {
            Some(whose) => {
                chain.running.insert(call, whose.map(Into::into));
            }
            None => {
                chain.running.remove(&call);
            }
        }
    }
    let running = chain.running.iter();
    let running =
        running.map(|(call, whose)| (call.to_string(), whose.as_deref().map(str::to_owned)));
    let checkpoint = Checkpoint {
        v: Checkpoint::FORMAT,
        tenant: id.tenant.to_string(),
        trail: trail.as_str().to_owned(),
        first,
        last: standing.last,
        count: standing.last + 1 - first,
        head: standing.head.text(),
        ended_ms: now_ms,
        previous: before,
        running: running.collect(),
        wrong,
        public: String::new(),
    };
    chain.previous = Some(put(ground, &id, checkpoint)?);
    chain.standing = standing;
    Ok(Some((id, chain)))
}

impl Recovered {
    /// A segment ended within a record, which was cut off.
    fn torn(&mut self, id: &TrailId, segment: &str, bytes: usize) {
        let what = What::TailCut {
            segment: segment.to_owned(),
            bytes: bytes as u64,
        };
        self.events.push((id.clone(), what));
    }

    /// Somebody changed the files. The node goes on, and both its log and its records say so.
    fn alarm(&mut self, id: &TrailId, path: &Path, seq: u64, problem: String) {
        tracing::error!(
            tenant = &*id.tenant,
            path = %path.display(),
            seq,
            problem,
            "audit records are not as this node left them"
        );
        let what = What::Alarm { problem, lost: 0 };
        self.events.push((id.clone(), what));
    }

    /// The calls that have no end, with whom they are about.
    pub(super) fn unfinished(&self) -> Vec<(TrailId, CallId, Option<Arc<str>>)> {
        let chains = self.chains.iter();
        let all = chains.flat_map(|(id, chain)| {
            let running = chain.running.iter();
            running.map(|(call, whose)| (id.clone(), *call, whose.clone()))
        });
        all.collect()
    }
}
