//! The chains of this node: one a tenant and trail, each with its open segment.
//!
//! Files that are open have a bound ([`OPEN_MAX`]): the segment that was not written to for longest
//! closes its own and opens them again when it is needed. So tenants may be many.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::boxes::Envelope;
use super::checkpoint::Previous;
use super::entry::{self, About, Marks};
use super::event::CallId;
use super::layout::TrailId;
use super::line::FORMAT;
use super::segment::{Ground, Segment, Standing, is_anothers};
use super::vault::Vault;
use crate::runtime::calendar;
use crate::runtime::clock::Timestamp;

/// Segments whose files are open: 128 × 2 files.
const OPEN_MAX: usize = 128;
/// Chains of one node: two a tenant, 20,000 × about 1 KiB = 20 MiB. Tenants are configured, so whoever
/// reaches this has a use for several nodes.
const CHAINS_MAX: usize = 20_000;

pub(super) const DAY_MS: u64 = 86_400_000;

/// One chain.
#[derive(Debug)]
pub(super) struct Chain {
    /// Where it stands while it has no segment.
    pub(super) standing: Standing,
    pub(super) previous: Option<Previous>,
    pub(super) segment: Option<Segment>,
    /// Calls that have begun and not ended, with whom they are about.
    pub(super) running: HashMap<CallId, Option<Arc<str>>>,
    used: u64,
    /// Whether something is staged in its segment.
    is_touched: bool,
}

impl Chain {
    pub(super) fn at(standing: Standing, previous: Option<Previous>) -> Self {
        Self {
            standing,
            previous,
            segment: None,
            running: HashMap::new(),
            used: 0,
            is_touched: false,
        }
    }

    /// Ends its segment, if it has one.
    fn end(&mut self, ground: &Ground) -> io::Result<()> {
        if let Some(segment) = &mut self.segment {
            if !segment.is_begun() {
                segment.take_back(ground, self.previous.as_ref())?;
                self.segment = None;
                return Ok(());
            }
            let running = self.running.iter();
            let running = running
                .map(|(call, whose)| (call.to_string(), whose.as_deref().map(str::to_owned)));
            let standing = segment.standing();
            let previous = segment.end(ground, self.previous.clone(), running.collect())?;
            self.previous = Some(previous);
            self.standing = standing;
            self.segment = None;
        }
        Ok(())
    }
}

/// When segments end by themselves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) size: u64,
    pub(super) age: Duration,
}

impl Ends {
    fn is_met(&self, segment: &Segment, now_ms: u64) -> bool {
        let age = Timestamp(now_ms).since(Timestamp(segment.opened_ms));
        segment.is_over() || segment.size() >= self.size || (age >= self.age && !segment.is_empty())
    }
}

/// See the module docs.
#[derive(Debug)]
pub(super) struct Chains {
    pub(super) ground: Ground,
    pub(super) vault: Vault,
    pub(super) all: HashMap<TrailId, Chain>,
    ends: Ends,
    /// Trails with something staged.
    touched: Vec<TrailId>,
    uses: u64,
    second: Second,
}

/// The last second that was written, since most records share it.
#[derive(Debug, Default)]
struct Second {
    of: u64,
    text: String,
}

impl Second {
    /// The time in UTC with milliseconds.
    fn push(&mut self, out: &mut String, at_ms: u64) {
        let second = at_ms / 1_000;
        if self.of != second || self.text.is_empty() {
            let text = calendar::rfc3339(Timestamp(at_ms));
            text.trim_end_matches('Z').clone_into(&mut self.text);
            self.of = second;
        }
        out.push_str(&self.text);
        out.push('.');
        let millis = at_ms % 1_000;
        for digit in [millis / 100, millis / 10 % 10, millis % 10] {
            out.push(char::from(b'0' + u8::try_from(digit).unwrap_or(0)));
        }
        out.push('Z');
    }
}

impl Chains {
    pub(super) fn new(
        ground: Ground,
        vault: Vault,
        all: HashMap<TrailId, Chain>,
        ends: Ends,
    ) -> Self {
        Self {
            ground,
            vault,
            all,
            ends,
            touched: Vec::new(),
            uses: 0,
            second: Second::default(),
        }
    }

    /// Stages a record in the segment it belongs to, which is begun if need be. Gives whom it is
    /// about, as records call them.
    ///
    /// # Errors
    /// The disk's; the record is not staged then.
    pub(super) fn stage(
        &mut self,
        entry: &entry::Entry,
        now_ms: u64,
    ) -> io::Result<Option<Arc<str>>> {
        let envelope = self.sealed(entry)?;
        self.open(&entry.id, now_ms)?;
        let chain = self.all.get_mut(&entry.id);
        let segment = chain.and_then(|chain| chain.segment.as_mut());
        let segment = segment.expect("invariant: it was opened");
        let second = &mut self.second;
        segment.stage(entry.moment.at_ms, envelope.boxes(), |out, number| {
            push(out, "{\"v\":", FORMAT);
            push(out, ",\"seq\":", number);
            out.push_str(",\"at\":\"");
            second.push(out, entry.moment.at_ms);
            push(out, "\",\"up_us\":", entry.moment.up_us);
            out.push(',');
            out.push_str(&entry.fields);
            envelope.push(out);
        });
        Ok(envelope.reference)
    }

    /// Remembers what a durable record says of the calls that run.
    pub(super) fn mark(&mut self, entry: &entry::Entry, reference: Option<Arc<str>>) {
        let Some(chain) = self.all.get_mut(&entry.id) else {
            return;
        };
        match entry.marks {
            Marks::Nothing => {}
            Marks::Begins(call) => {
                chain.running.insert(call, reference);
            }
            Marks::Ends(call) => {
                chain.running.remove(&call);
            }
        }
    }

    /// Forgets whose the running calls of somebody are who was erased.
    pub(super) fn forget(&mut self, reference: &str) {
        let chains = self.all.values_mut();
        for whose in chains.flat_map(|chain| chain.running.values_mut()) {
            if whose.as_deref() == Some(reference) {
                *whose = None;
            }
        }
    }

    /// Whether it ends a call whose user was erased while it ran. To seal it would make them known again.
    fn is_of_nobody(&self, entry: &entry::Entry) -> bool {
        let Marks::Ends(call) = entry.marks else {
            return false;
        };
        let chain = self.all.get(&entry.id);
        chain.is_some_and(|chain| chain.running.get(&call) == Some(&None))
    }

    fn sealed(&mut self, entry: &entry::Entry) -> io::Result<Envelope> {
        let user = match &entry.about {
            About::Nobody => return Ok(Envelope::default()),
            About::Reference(reference) => return Ok(Envelope::about(reference.clone())),
            About::User(_) if self.is_of_nobody(entry) => return Ok(Envelope::default()),
            About::User(user) => user,
        };
        let day = entry.moment.at_ms / DAY_MS;
        let payload = entry.payload.as_deref().map(|text| (day, text));
        let tenant = &entry.id.tenant;
        self.vault.seal(tenant, user, entry.who.as_ref(), payload)
    }

    /// Sees to it that a trail has a segment that may be written to.
    fn open(&mut self, id: &TrailId, now_ms: u64) -> io::Result<()> {
        self.uses += 1;
        let many = self.all.len();
        let chain = match self.all.entry(id.clone()) {
            Entry::Occupied(chain) => chain.into_mut(),
            Entry::Vacant(_) if many >= CHAINS_MAX => {
                let tenants = CHAINS_MAX / 2;
                return Err(io::Error::other(format!("more than {tenants} tenants")));
            }
            Entry::Vacant(place) => {
                let start = Standing {
                    last: 0,
                    head: super::chain::START,
                };
                place.insert(Chain::at(start, None))
            }
        };
        chain.used = self.uses;
        // A segment with staged records must not end before they are written.
        if chain.is_touched {
            return Ok(());
        }
        if let Some(segment) = &chain.segment
            && self.ends.is_met(segment, now_ms)
        {
            chain.end(&self.ground)?;
        }
        if chain.segment.is_none() {
            let (segment, begun) = Segment::begin(&self.ground, id, chain.standing, now_ms);
            let is_ours = !begun.as_ref().is_err_and(is_anothers);
            chain.segment = is_ours.then_some(segment);
            begun?;
        }
        chain.is_touched = true;
        self.touched.push(id.clone());
        Ok(())
    }

    /// Writes everything staged, trail by trail. Says which trails failed, and how.
    pub(super) fn flush(&mut self) -> HashMap<TrailId, io::Error> {
        let mut failed = HashMap::new();
        for id in self.touched.drain(..) {
            let Some(chain) = self.all.get_mut(&id) else {
                continue;
            };
            chain.is_touched = false;
            if let Some(segment) = &mut chain.segment
                && let Err(error) = segment.flush(&self.ground)
            {
                failed.insert(id, error);
            }
        }
        self.close_files();
        failed
    }

    /// Closes the files of segments not written to for long, when too many are open.
    fn close_files(&mut self) {
        let has_files = |chain: &&mut Chain| {
            let segment = chain.segment.as_ref();
            segment.is_some_and(Segment::has_files)
        };
        let mut open: Vec<_> = self.all.values_mut().filter(has_files).collect();
        if open.len() <= OPEN_MAX {
            return;
        }
        open.sort_unstable_by_key(|chain| chain.used);
        let many = open.len() - OPEN_MAX / 2;
        for chain in open.into_iter().take(many) {
            if let Some(segment) = &mut chain.segment {
                segment.close_files();
            }
        }
    }

    /// Ends the segments whose files somebody removed, so that the next records go where they are found.
    /// Gives the trail, the first record and how many there were. Nothing may be staged.
    pub(super) fn end_removed(&mut self) -> Vec<(TrailId, u64, u64)> {
        let mut ended = Vec::new();
        for (id, chain) in &mut self.all {
            let Some((first, count)) = chain.segment.as_ref().and_then(Segment::removed) else {
                continue;
            };
            match chain.end(&self.ground) {
                Ok(()) => ended.push((id.clone(), first, count)),
                Err(error) => {
                    tracing::error!(%error, "an audit segment that was removed could not be ended");
                }
            }
        }
        ended
    }

    /// Ends segments that are old enough, or all of them.
    ///
    /// # Errors
    /// The first of the disk's; the others were tried.
    pub(super) fn end(&mut self, all: bool, now_ms: u64) -> io::Result<()> {
        let mut first = Ok(());
        for chain in self.all.values_mut() {
            let segment = chain.segment.as_ref();
            if segment.is_some_and(|segment| all || self.ends.is_met(segment, now_ms)) {
                let ended = chain.end(&self.ground);
                first = first.and(ended);
            }
        }
        first
    }
}

fn push(out: &mut String, name: &str, number: u64) {
    out.push_str(name);
    out.push_str(itoa::Buffer::new().format(number));
}
