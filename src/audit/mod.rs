//! The record of what happened: who called what, whether they might, and how it ended.
//!
//! [`Audit`] is the handle. [`Audit::begin`] records a call before it is dispatched and gives a
//! [`Begun`], whose end is recorded whatever happens to it; [`Audit::note`] records everything else.
//! What is recorded is redacted first ([`redact`]), what is personal is sealed under a key of its
//! subject (`vault`), and one writer makes it durable, a group at a time (`writer`). Records of a tenant
//! are two chains, of calls and of everything else (`chain`), cut into segments (`segment`) that
//! checkpoints prove whole (`checkpoint`). [`archive`] reads them: it verifies, queries and exports.
//!
//! It does not decide anything about a call, and it does not log: logs are for operators, and may be
//! lost.
//!
//! Invariants:
//! - Unless the configuration lets calls go on without, nothing is dispatched before the record of its
//!   beginning is on disk.
//! - Every beginning gets one end: by whoever ran it, by dropping its [`Begun`], or at the next start.
//! - Nothing personal is written in clear, and nothing at all before redaction.
//! - A record that could not be made durable is as if it had never been staged.
//!
//! Concurrency: recording builds the text of a record on the caller's thread and hands it to the
//! writer's. Queues are bounded in bytes; only ends of calls that have begun pass the bound.

pub mod archive;
mod begun;
mod boxes;
mod chain;
mod chains;
mod checkpoint;
mod config;
mod disk;
mod entry;
mod event;
mod layout;
mod left;
mod line;
mod lock;
mod queue;
mod recover;
pub mod redact;
mod retention;
mod segment;
mod shared;
#[cfg(test)]
mod tests;
mod vault;
mod writer;

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

pub use begun::Begun;
pub use config::{Config, Keep, OnFailure, Payloads, Places, Retention, Sink};
pub use event::{Begin, CallId, Decision, End, Ending, Event, NotACallId, Party, What};
pub use layout::Trail;
pub use lock::OpenError;
pub use shared::Unavailable;
pub use writer::EraseError;

use crate::runtime::clock::Clock;
use crate::runtime::seal::ClusterKeys;
use crate::telemetry::metrics::Metrics;
use chain::Keys;
use chains::{Chains, Ends};
use disk::{Disk, LocalDisk, Stream};
use entry::{Desk, Open};
use lock::Lock;
use queue::{Haste, Room};
use redact::Redactor;
use segment::Ground;
use shared::Shared;
use vault::Vault;
use writer::{Answer, Job, Writer};

/// Records what happens. Cloning shares the writer.
#[derive(Clone, Debug)]
pub struct Audit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    on_failure: OnFailure,
    patience: Duration,
    retention: Retention,
}

impl Audit {
    /// Ends what an earlier process left open, and begins to record. Blocks while it reads that.
    ///
    /// # Errors
    /// When the places cannot be used, or rules of redaction.
    pub fn open(
        config: &Config,
        keys: &ClusterKeys,
        clock: &Clock,
        metrics: &Metrics,
        node: &str,
    ) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(LocalDisk), config, keys, clock, metrics, node)
    }

    fn open_on(
        disk: Arc<dyn Disk>,
        config: &Config,
        keys: &ClusterKeys,
        clock: &Clock,
        metrics: &Metrics,
        node: &str,
    ) -> Result<Self, OpenError> {
        let places = &config.places;
        let redactor = Redactor::new(&config.rules, keys)?;
        let lock = Lock::take(&places.checkpoints)?;
        let derived = Arc::new(Keys::of(keys));
        let mut vault = Vault::new(&places.vault, keys, derived.clone(), disk.clone());
        let ground = Ground {
            disk,
            keys: derived.clone(),
            node: node.into(),
            records: places.records.clone(),
            checkpoints: places.checkpoints.clone(),
            vault: places.vault.clone(),
            stream: match config.sink {
                Sink::Directory => None,
                Sink::Stdout => Some(Stream::Stdout),
                Sink::Stderr => Some(Stream::Stderr),
            },
        };
        let desk = Desk {
            keys: derived,
            redactor,
            node: node.into(),
            payload_max: match config.payloads {
                Payloads::Redacted => Some(config.payload_max),
                Payloads::Off => None,
            },
        };
        let shared = Arc::new(Shared::new(desk, clock, metrics));
        let on_disk = |source| OpenError::Disk {
            place: places.records.clone(),
            source,
        };
        let recovered = recover::recover(&ground, shared.moment().at_ms).map_err(on_disk)?;
        for (tenant, references) in &recovered.erased {
            vault.destroy_left(tenant, references).map_err(on_disk)?;
        }
        let unfinished = recovered.unfinished();
        let ends = Ends {
            size: config.segment_size,
            age: config.segment_age,
        };
        let mut writer = Writer {
            chains: Chains::new(ground, vault, recovered.chains, ends),
            shared: shared.clone(),
            on_failure: config.on_failure,
            retention: config.retention.clone(),
            spool: VecDeque::new(),
            spooled_bytes: 0,
            lost: 0,
            kept_ms: 0,
            looked_ms: 0,
        };
        writer
            .begin(recovered.events, unfinished)
            .map_err(on_disk)?;
        let run = move || {
            writer.run();
            // Given back last: a successor must find everything written.
            drop(lock);
        };
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(run)
            .map_err(on_disk)?;
        Ok(Self(Arc::new(Inner {
            shared,
            on_failure: config.on_failure,
            patience: config.patience,
            retention: config.retention.clone(),
        })))
    }

    /// Records that a call begins. The answer is there when it may be dispatched.
    ///
    /// # Errors
    /// When the record could not be made durable in time: the call must not be dispatched.
    ///
    /// # Cancel safety
    /// Dropped while waiting there is no call; if there is a record already, its end says so.
    pub fn begin(
        &self,
        begin: &Begin<'_>,
    ) -> impl Future<Output = Result<Begun, Unavailable>> + Send + use<> {
        let inner = &*self.0;
        let shared = &inner.shared;
        let call = shared.calls.next();
        let moment = shared.moment();
        let entry = shared.desk.begin(call, begin, moment);
        let open = Open {
            tenant: begin.party.caller.tenant.clone(),
            user: begin.party.caller.user.clone(),
            target: begin.target.map(Into::into),
            began_us: moment.up_us,
        };
        let begun = Begun::new(shared.clone(), call, open);
        let (written, durable) = oneshot::channel();
        let waits = match inner.on_failure {
            OnFailure::Closed => {
                let answer = Answer::Call(begun, written);
                Waits::For(shared.submit(entry, answer, Haste::Now, Room::Bounded))
            }
            OnFailure::Open => Waits::Not(self.go_on(entry, begun)),
        };
        let patience = inner.patience;
        async move {
            match waits {
                Waits::Not(begun) => Ok(begun),
                Waits::For(sent) => {
                    sent?;
                    let durable = tokio::time::timeout(patience, durable).await;
                    durable.map_or(Err(Unavailable), |it| it.unwrap_or(Err(Unavailable)))
                }
            }
        }
    }

    /// The call goes on, and its record is written when it can be.
    fn go_on(&self, entry: entry::Entry, begun: Begun) -> Begun {
        let shared = &self.0.shared;
        if shared
            .submit(entry, Answer::Nobody, Haste::Soon, Room::Bounded)
            .is_ok()
        {
            return begun.armed();
        }
        // A beginning that is lost needs no end.
        shared.metrics.audit_lost(1);
        begun
    }

    /// Records that something happened. The answer is there when the record is durable; who does not
    /// wait for it has recorded it all the same.
    ///
    /// # Errors
    /// When it cannot be written now. Unless too much waits, it is written as soon as it can be.
    pub fn note(
        &self,
        event: &Event,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send + use<> {
        let shared = &self.0.shared;
        let entry = shared.desk.event(event, shared.moment());
        let (told, durable) = oneshot::channel();
        let sent = shared.submit(entry, Answer::Told(told), Haste::Now, Room::Bounded);
        if sent.is_err() {
            shared.metrics.audit_lost(1);
        }
        async move {
            sent?;
            durable.await.unwrap_or(Err(Unavailable))
        }
    }

    /// Makes everything personal about a user unreadable, in all records there are. Gives what records
    /// call them; nothing if there is no record of them.
    ///
    /// # Errors
    /// See [`EraseError`]. It may be tried again.
    pub async fn erase(&self, tenant: &str, user: &str) -> Result<Option<Arc<str>>, EraseError> {
        let (answer, erased) = oneshot::channel();
        self.0.shared.ask(Job::Erase {
            tenant: tenant.into(),
            user: user.into(),
            answer,
        })?;
        erased.await.unwrap_or(Err(Unavailable.into()))
    }

    /// Whether there is a legal hold, so that nobody of that tenant can be erased.
    #[must_use]
    pub fn is_held(&self, tenant: &str) -> bool {
        self.0.retention.is_held(tenant)
    }

    /// Deletes what is too old, as happens by itself a few times a day.
    pub async fn retain(&self) {
        let (done, retained) = oneshot::channel();
        if self.0.shared.ask(Job::Retain(done)).is_ok() {
            let _writer_is_gone = retained.await;
        }
    }

    /// Whether records can be written, as far as is known.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.0.shared.is_well()
    }

    /// Whether calls are refused while records cannot be written.
    #[must_use]
    pub fn is_fail_closed(&self) -> bool {
        self.0.on_failure == OnFailure::Closed
    }

    /// Tells the metrics how many records wait; to be said before a rendering.
    pub fn measure(&self) {
        let shared = &self.0.shared;
        shared.metrics.audit_waiting(shared.queue.len());
        shared.metrics.audit_up(shared.is_well());
    }

    /// Takes out of a text what must not be stored, for whoever else stores or shows one.
    #[must_use]
    pub fn redactor(&self) -> &Redactor {
        &self.0.shared.desk.redactor
    }

    /// Writes what waits, gives calls without an end one, proves all segments whole, and stops. What
    /// is recorded later is refused.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.0.shared.ask(Job::Close(done)).is_ok() {
            let _writer_is_gone = closed.await;
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // As by closing; nobody waits for it.
        let (done, _closed) = oneshot::channel();
        let _closed_already = self.shared.ask(Job::Close(done));
    }
}

/// Whether a call waits for its record.
enum Waits {
    For(Result<(), Unavailable>),
    Not(Begun),
}
