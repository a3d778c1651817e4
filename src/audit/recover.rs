//! What a process that ended without a word left behind: torn tails, and calls without an end.
//!
//! Every segment without a checkpoint gets one. Lines behind the last whole record are cut off, which
//! is recorded, unless the anchor says that there must be more: then somebody cut or changed the file,
//! nothing is touched, and the checkpoint says what the anchor does, so that verifying finds it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::chain::{Hash, START};
use super::chains::Chain;
use super::checkpoint::{Anchor, Checkpoint, Found, Previous, SignedCheckpoint};
use super::event::{CallId, What};
use super::layout::{self, Part, Trail, TrailId};
use super::line::{FORMAT, Line, lines};
use super::segment::{Ground, Header, Standing, put};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub(super) chains: HashMap<TrailId, Chain>,
    /// What has to be recorded about it.
    pub(super) events: Vec<(TrailId, What)>,
}

/// What a record must have to be gone on behind.
#[derive(Deserialize)]
struct Record {
    v: u64,
    seq: u64,
    kind: String,
    call: Option<String>,
    subject: Option<String>,
}

/// Reads where every chain stands, and ends every segment that was left open.
///
/// # Errors
/// The disk's.
pub(super) fn recover(ground: &Ground, now_ms: u64) -> io::Result<Recovered> {
    let mut recovered = Recovered::default();
    let mut tenants = layout::tenant_directories(&ground.checkpoints)?;
    tenants.extend(layout::tenant_directories(&ground.records)?);
    for tenant in tenants {
        for trail in Trail::ALL {
            let place = |root: &Path| root.join(&tenant).join(trail.as_str());
            trail_of(
                ground,
                &place(&ground.records),
                &place(&ground.checkpoints),
                trail,
                now_ms,
                &mut recovered,
            )?;
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
) -> io::Result<()> {
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
    if let Some((id, chain)) = chain {
        recovered.chains.insert(id, chain);
    }
    Ok(())
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
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        bytes => bytes?,
    };
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
    let is_begun = read.header.is_some() || least >= first;
    if !is_begun {
        // The process ended between the anchor and the first line.
        ground.disk.remove(&path)?;
        ground.disk.remove(&anchor_path)?;
        return Ok(chain.previous.is_some().then_some((id, chain)));
    }
    let name = format!("{}/{first}", trail.as_str());
    let whole = anchor.as_ref().is_none_or(|anchor| read.holds(anchor));
    let standing = match (&anchor, whole || ground.is_stdout) {
        (Some(anchor), false) => {
            let problem = format!("segment {name} was changed or cut behind this node's back");
            let lost = 0;
            recovered
                .events
                .push((id.clone(), What::Alarm { problem, lost }));
            Standing {
                last: anchor.last,
                head: Hash::parse(&anchor.head).unwrap_or(START),
            }
        }
        (Some(anchor), true) if ground.is_stdout => Standing {
            last: anchor.last,
            head: Hash::parse(&anchor.head).unwrap_or(START),
        },
        (Some(_) | None, _) => {
            let torn = (bytes.len() - read.length) as u64;
            if torn > 0 {
                ground.disk.reopen(&path)?.cut(read.length as u64)?;
                let what = What::TailCut {
                    segment: name,
                    bytes: torn,
                };
                recovered.events.push((id.clone(), what));
            }
            read.standing
        }
    };
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
        public: String::new(),
    };
    chain.previous = Some(put(ground, &id, checkpoint)?);
    chain.standing = standing;
    Ok(Some((id, chain)))
}

/// A call, and whether it begins (with whom it is about) or ends.
type Mark = (CallId, Option<Option<String>>);

/// What there is of a segment.
struct Left {
    header: Option<Header>,
    standing: Standing,
    /// Bytes of whole records.
    length: usize,
    /// Each record's chain value, by its place behind the first.
    heads: Vec<Hash>,
    first: u64,
    calls: Vec<Mark>,
}

impl Left {
    fn read(bytes: &[u8], ground: &Ground, first: u64) -> Self {
        let mut left = Self {
            header: None,
            standing: Standing {
                last: first.saturating_sub(1),
                head: START,
            },
            length: 0,
            heads: Vec::new(),
            first,
            calls: Vec::new(),
        };
        let mut key = None;
        let (whole, _torn) = lines(bytes);
        for (range, line) in whole {
            let line = std::str::from_utf8(line).ok();
            let Some(line) = line.and_then(|line| Line::parse(line).ok()) else {
                break;
            };
            let before = left.standing.head;
            if left.header.is_none() {
                let Some(header) = line
                    .decode::<Header>()
                    .filter(|header| header.first == first)
                else {
                    break;
                };
                key = header.segment_key(&ground.keys);
                let after = Hash::parse(&header.after).unwrap_or(START);
                if !is_linked(key.as_ref(), &after, &line) {
                    break;
                }
                left.header = Some(header);
                left.standing.head = line.chain;
            } else {
                let number = left.standing.last + 1;
                let record = line.decode::<Record>();
                let record = record.filter(|record| record.v == FORMAT && record.seq == number);
                let Some(record) = record.filter(|_| is_linked(key.as_ref(), &before, &line))
                else {
                    break;
                };
                left.take(record, line.chain);
            }
            left.length = range.end;
        }
        left
    }

    fn take(&mut self, record: Record, chain: Hash) {
        self.standing = Standing {
            last: record.seq,
            head: chain,
        };
        self.heads.push(chain);
        let Some(call) = record.call.and_then(|call| call.parse().ok()) else {
            return;
        };
        match record.kind.as_str() {
            "begin" => self.calls.push((call, Some(record.subject))),
            "end" => self.calls.push((call, None)),
            _ => {}
        }
    }

    /// Whether everything is there that the anchor says must be.
    fn holds(&self, anchor: &Anchor) -> bool {
        let head = match anchor.last.checked_sub(self.first) {
            // It says only that the segment was begun.
            None => return self.header.is_some() || anchor.last < self.first,
            Some(place) => usize::try_from(place)
                .ok()
                .and_then(|place| self.heads.get(place)),
        };
        head.is_some_and(|head| head.text() == anchor.head)
    }
}

fn is_linked(key: Option<&super::chain::SegmentKey>, before: &Hash, line: &Line<'_>) -> bool {
    key.is_some_and(|key| key.link(before, line.canonical.as_bytes()) == line.chain)
}

/// Something that names the trail of what happened while recovering.
impl Recovered {
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
