//! The one writer: whatever waits is written together, made durable once, and then answered.
//!
//! [`Writer::run`] is the body of a thread of its own, for all tenants. A call that begins and finds the
//! writer idle is written at once, and what comes meanwhile makes the next group ([`super::queue`]).
//!
//! What could not be written is tried again with the next group, or after [`RETRY`]: ends of calls and
//! other things that have happened already wait in a spool with a bound. A call that begins is refused
//! instead, unless the configuration lets calls go on.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::begun::Begun;
use super::chains::Chains;
use super::config::{OnFailure, Retention};
use super::entry::{Entry, Marks, Moment};
use super::event::{Event, What};
use super::layout::TrailId;
use super::queue::Queue;
use super::retention::Aged;
use super::shared::{Shared, Unavailable};
use super::{entry, retention};
use crate::identity::Caller;

/// How soon what could not be written is tried again when nothing else comes.
const RETRY: Duration = Duration::from_millis(500);
/// How often it is looked for segments and records that grew old.
const UPKEEP: Duration = Duration::from_secs(60);
/// How often it is looked whether the files that are written to, and those of keys, are still there.
const LOOK_MS: u64 = 1_000;
/// Bytes that wait for the disk to come back. With more, the oldest are lost, which is recorded.
const SPOOL_BYTES: usize = 32 << 20;

/// What the writer is asked for.
pub(super) enum Job {
    /// A record.
    Record(Box<Entry>, Answer),
    /// Destroy the key of somebody, and record it.
    Erase {
        tenant: Arc<str>,
        user: Arc<str>,
        answer: oneshot::Sender<Result<Option<Arc<str>>, EraseError>>,
    },
    /// Delete what is too old.
    Retain(oneshot::Sender<()>),
    /// Write everything, end all segments, and stop.
    Close(oneshot::Sender<()>),
}

/// Who waits for a record.
pub(super) enum Answer {
    /// Nobody.
    Nobody,
    /// Nobody, and it is not written later either: what it says is done only once it is durable.
    First,
    /// Somebody who wants to know that it is durable.
    Told(oneshot::Sender<Result<(), Unavailable>>),
    /// A call, which may go on then. What it gets records its end, whatever happens to it.
    Call(Begun, oneshot::Sender<Result<Begun, Unavailable>>),
}

/// Why somebody could not be erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// There is a legal hold.
    #[error("there is a legal hold on the records of this tenant")]
    Held,
    /// The disk.
    #[error("the key could not be destroyed")]
    Disk(#[source] io::Error),
    /// The writer is gone, or the record of the erasure could not be written.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// See the module docs.
pub(super) struct Writer {
    pub(super) chains: Chains,
    pub(super) shared: Arc<Shared>,
    pub(super) on_failure: OnFailure,
    pub(super) retention: Retention,
    pub(super) spool: VecDeque<Entry>,
    pub(super) spooled_bytes: usize,
    pub(super) lost: u64,
    pub(super) kept_ms: u64,
    pub(super) looked_ms: u64,
}

impl Writer {
    /// Writes until it is told to close.
    pub(super) fn run(mut self) {
        let shared = self.shared.clone();
        // Also when it ends by a panic: nobody may wait for what is never taken.
        let _closes = Closes(&shared.queue);
        loop {
            let patience = if self.spool.is_empty() { UPKEEP } else { RETRY };
            let group = shared.queue.take(patience);
            self.look();
            if let Some(closed) = self.group(group) {
                self.close();
                shared.queue.close();
                let _nobody_waits = closed.send(());
                return;
            }
            self.upkeep();
        }
    }

    /// Does what was asked for. Gives whom to tell when the writer is to stop.
    fn group(&mut self, jobs: Vec<Job>) -> Option<oneshot::Sender<()>> {
        let mut records: Vec<_> = self.respooled();
        let mut closing = None;
        let mut others = Vec::new();
        for job in jobs {
            match job {
                Job::Record(entry, answer) => {
                    records.push((*entry, answer));
                }
                Job::Close(closed) => closing = Some(closed),
                Job::Erase { .. } | Job::Retain(_) => others.push(job),
            }
        }
        self.write(records);
        for job in others {
            match job {
                Job::Erase {
                    tenant,
                    user,
                    answer,
                } => {
                    let _nobody_waits = answer.send(self.erase(&tenant, &user));
                }
                Job::Retain(done) => {
                    self.retain();
                    let _nobody_waits = done.send(());
                }
                Job::Record(..) | Job::Close(_) => unreachable!("invariant: told apart above"),
            }
        }
        closing
    }

    fn respooled(&mut self) -> Vec<(Entry, Answer)> {
        self.spooled_bytes = 0;
        let spool = std::mem::take(&mut self.spool).into_iter();
        spool.map(|entry| (entry, Answer::Nobody)).collect()
    }

    /// Writes records, makes them durable, answers. Says whether all of them are.
    fn write(&mut self, records: Vec<(Entry, Answer)>) -> bool {
        if records.is_empty() {
            return true;
        }
        let now_ms = self.shared.moment().at_ms;
        let mut tried = Vec::with_capacity(records.len());
        let mut unbegun = HashSet::new();
        let mut problem: Option<io::Error> = None;
        for (entry, answer) in records {
            if answer.is_given_up() {
                // Who waited is gone, and nothing was dispatched: there was no call.
                continue;
            }
            // The disk may be back just now, and no call may end before it begins.
            let is_early = matches!(entry.marks, Marks::Ends(call) if unbegun.contains(&call));
            let staged = if is_early {
                None
            } else {
                match self.chains.stage(&entry, now_ms) {
                    Ok(reference) => Some(reference),
                    Err(error) => {
                        problem.get_or_insert(error);
                        None
                    }
                }
            };
            if let (Marks::Begins(call), None) = (&entry.marks, &staged) {
                unbegun.insert(*call);
            }
            tried.push((entry, answer, staged));
        }
        let mut failed = self.chains.flush();
        let mut written = 0;
        let mut is_well = true;
        for (entry, answer, staged) in tried {
            match staged {
                Some(reference) if !failed.contains_key(&entry.id) => {
                    self.chains.mark(&entry, reference);
                    answer.durable();
                    written += 1;
                }
                Some(_) | None => {
                    is_well = false;
                    self.refuse(entry, answer);
                }
            }
        }
        self.shared.metrics.audit_records(written);
        let problem = problem.or_else(|| failed.drain().next().map(|(_, error)| error));
        self.tell(problem.as_ref());
        is_well
    }

    /// Nothing was written of a record.
    fn refuse(&mut self, entry: Entry, answer: Answer) {
        let goes_on = match (&answer, self.on_failure) {
            (Answer::First, _) => false,
            (_, OnFailure::Open) => {
                answer.durable();
                true
            }
            (_, OnFailure::Closed) => answer.refuse(),
        };
        if goes_on {
            self.owe(entry);
        }
    }

    /// Keeps a record until the disk takes it.
    fn owe(&mut self, entry: Entry) {
        self.spooled_bytes += entry.weight();
        self.spool.push_back(entry);
        while self.spooled_bytes > SPOOL_BYTES
            && let Some(oldest) = self.spool.pop_front()
        {
            self.spooled_bytes -= oldest.weight();
            self.lost += 1;
            self.shared.metrics.audit_lost(1);
        }
    }

    /// Says it when writing began to fail, and when it works again.
    fn tell(&mut self, problem: Option<&io::Error>) {
        if let Some(error) = problem {
            self.shared.metrics.audit_failure();
            if self.shared.set_well(false) {
                tracing::error!(%error, "audit records cannot be written");
                // It also tries the disk when nothing else does: a node that is not ready gets no calls.
                self.owe(self.said(Caller::DEFAULT_TENANT, alarm("could not be written", 0)));
            }
            return;
        }
        if self.shared.set_well(true) {
            let lost = std::mem::take(&mut self.lost);
            tracing::info!(lost, "audit records can be written again");
            if lost > 0 {
                self.record(Caller::DEFAULT_TENANT, alarm("were lost", lost));
            }
        }
    }

    /// Records something that the writer itself has to say.
    fn record(&mut self, tenant: &str, what: What) {
        let entry = self.said(tenant, what);
        self.write(vec![(entry, Answer::Nobody)]);
    }

    /// Records something that is about to be done; it must not be done unless this is durable.
    fn record_first(&mut self, tenant: &str, what: What) -> Result<(), Unavailable> {
        let entry = self.said(tenant, what);
        let is_durable = self.write(vec![(entry, Answer::First)]);
        is_durable.then_some(()).ok_or(Unavailable)
    }

    fn said(&self, tenant: &str, what: What) -> Entry {
        let event = Event::of(tenant, what);
        self.shared.desk.event(&event, self.shared.moment())
    }

    /// Records what recovery found, and gives every call an end.
    pub(super) fn begin(
        &mut self,
        events: Vec<(TrailId, What)>,
        unfinished: Vec<(TrailId, super::CallId, Option<Arc<str>>)>,
    ) -> io::Result<()> {
        let moment = self.shared.moment();
        let mut records: Vec<_> = unfinished
            .into_iter()
            .map(|(id, call, whose)| unknown_end(&id, call, whose, moment))
            .collect();
        for (id, what) in events {
            let event = Event::of(&id.tenant, what);
            records.push(self.shared.desk.event(&event, moment));
        }
        let records = records.into_iter().map(|entry| (entry, Answer::Nobody));
        if self.write(records.collect()) {
            Ok(())
        } else {
            Err(io::Error::other("what was left open could not be ended"))
        }
    }

    fn erase(
        &mut self,
        tenant: &Arc<str>,
        user: &Arc<str>,
    ) -> Result<Option<Arc<str>>, EraseError> {
        if self.retention.is_held(tenant) {
            return Err(EraseError::Held);
        }
        let references = self.chains.vault.references(tenant, user);
        let references = references.map_err(EraseError::Disk)?;
        for reference in &references {
            let reference = reference.to_string();
            self.record_first(tenant, What::Erased { reference })?;
        }
        let destroyed = self.chains.vault.destroy(tenant, user);
        destroyed.map_err(EraseError::Disk)?;
        for reference in &references {
            self.chains.forget(reference);
        }
        Ok(references.into_iter().next())
    }

    /// Says it when somebody removed a file that is written to, or a key's. Before a group is written:
    /// where little happens, no record follows the others into it.
    fn look(&mut self) {
        let now_ms = self.shared.moment().at_ms;
        if now_ms.saturating_sub(self.looked_ms) < LOOK_MS {
            return;
        }
        self.looked_ms = now_ms;
        for (id, first, lost) in self.chains.end_removed() {
            let segment = format!("{}/{first}", id.trail.as_str());
            tracing::error!(tenant = %id.tenant, segment, lost, "an audit segment was removed while it was written to");
            let problem = format!("segment {segment} was removed behind this node's back");
            self.record(&id.tenant, What::Alarm { problem, lost });
        }
        for (tenant, keys) in self.chains.vault.forget_lost() {
            tracing::error!(%tenant, keys, "audit keys were removed while they were used: what was sealed with them cannot be read");
            let problem = format!("keys were removed behind this node's back: {keys}");
            self.record(&tenant, What::Alarm { problem, lost: 0 });
        }
    }

    fn upkeep(&mut self) {
        let now_ms = self.shared.moment().at_ms;
        if now_ms.saturating_sub(self.kept_ms) < retention::EVERY_MS {
            return;
        }
        self.retain();
    }

    fn retain(&mut self) {
        let now_ms = self.shared.moment().at_ms;
        self.kept_ms = now_ms;
        if let Err(error) = self.chains.end(false, now_ms) {
            self.tell(Some(&error));
        }
        let (runs, problem) = retention::run(&mut self.chains, &self.retention, now_ms);
        let problem = runs.into_iter().fold(problem, |problem, aged| {
            let forgotten = self.forget(aged);
            problem.or(forgotten.err())
        });
        if let Some(error) = problem {
            tracing::error!(%error, "old audit records could not be deleted");
        }
    }

    /// Records what retention deleted, and destroys the keys of days, which that record has to precede.
    fn forget(&mut self, aged: Aged) -> io::Result<()> {
        let Aged {
            tenant,
            segments,
            payload_days,
        } = aged;
        let told = self.record_first(
            &tenant,
            What::RetentionRun {
                segments: segments.clone(),
                payload_days: payload_days.clone(),
            },
        );
        if told.is_ok() {
            return self.chains.vault.forget_days(&tenant, &payload_days);
        }
        // The segments are gone already, as signed marks say; the days stay until the next run.
        if !segments.is_empty() {
            let payload_days = Vec::new();
            let what = What::RetentionRun {
                segments,
                payload_days,
            };
            self.record(&tenant, what);
        }
        Ok(())
    }

    /// Writes what is left, ends the calls that were cut, and proves everything whole.
    fn close(&mut self) {
        let left = self.respooled();
        self.write(left);
        let moment = self.shared.moment();
        let chains = self.chains.all.iter();
        let cut = chains.flat_map(|(id, chain)| {
            let running = chain.running.iter();
            running.map(|(call, whose)| unknown_end(id, *call, whose.clone(), moment))
        });
        let cut: Vec<_> = cut.map(|entry| (entry, Answer::Nobody)).collect();
        self.write(cut);
        let lost = self.spool.len() as u64;
        if lost > 0 {
            self.shared.metrics.audit_lost(lost);
            tracing::error!(
                lost,
                "audit records are lost: nothing could be written to the end"
            );
        }
        if let Err(error) = self.chains.end(true, moment.at_ms) {
            tracing::error!(%error, "audit segments are left open; the next start ends them");
        }
    }
}

/// Closes the queue when it is dropped.
struct Closes<'a>(&'a Queue<Job>);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn alarm(what_records: &str, lost: u64) -> What {
    What::Alarm {
        problem: format!("records {what_records}"),
        lost,
    }
}

/// The end of a call of which nothing is known but that it began.
fn unknown_end(
    id: &TrailId,
    call: super::CallId,
    whose: Option<Arc<str>>,
    moment: Moment,
) -> Entry {
    let mut members = entry::Members::begin("end");
    members.call(call);
    members.text("outcome", super::Ending::Unknown.as_str());
    let about = match whose {
        Some(reference) => entry::About::Reference(reference),
        None => entry::About::Nobody,
    };
    Entry {
        id: id.clone(),
        moment,
        marks: Marks::Ends(call),
        about,
        fields: members.done(),
        who: None,
        payload: None,
    }
}

impl Answer {
    /// Whether nobody waits any more for a call's record, so that there is no call.
    fn is_given_up(&self) -> bool {
        match self {
            Self::Call(_, waiter) => waiter.is_closed(),
            Self::Nobody | Self::First | Self::Told(_) => false,
        }
    }

    /// The record is durable.
    fn durable(self) {
        match self {
            Self::Nobody | Self::First => {}
            Self::Told(waiter) => {
                let _nobody_waits = waiter.send(Ok(()));
            }
            Self::Call(begun, waiter) => {
                // Handed back when nobody waits any more: there is a record, and no call.
                if let Err(Ok(unwanted)) = waiter.send(Ok(begun.armed())) {
                    unwanted.cancelled();
                }
            }
        }
    }

    /// The record is not; whether it has to be written later.
    fn refuse(self) -> bool {
        match self {
            Self::Nobody => true,
            Self::First => false,
            Self::Told(waiter) => {
                let _nobody_waits = waiter.send(Err(Unavailable));
                true
            }
            Self::Call(_, waiter) => {
                let _nobody_waits = waiter.send(Err(Unavailable));
                false
            }
        }
    }
}
