//! The store in Redis, for many nodes: one server, one watched by sentinels, or a cluster.
//!
//! [`RedisStore`] turns each operation into one script, atomic and one trip, on one of a few lanes.
//!
//! ```text
//! create, read, claim, append, … ──▶ lanes (4 connections) ──▶ scripts/*.lua
//! renew, retire ───────────────────▶ a connection of their own
//! receive ─────────────────────────▶ a connection of its own
//! ```
//!
//! It does not keep the bounds of a whole store ([`Bounds::scopes`], [`Bounds::total_bytes`]): the
//! server's `maxmemory` is that bound, and everything but the 64 generations has a time to live.
//! A server that is full answers [`StoreError::Unavailable`].
//!
//! # What is promised
//!
//! - Nothing of a scope is written once its record is gone: every script looks, and what belongs to a
//!   scope goes with it or at the same time.
//! - Epochs and versions grow by at least one, and to the server's time in milliseconds. So a new
//!   owner outranks the old one even after a failover that lost the latest writes, and no version is
//!   ever given twice.
//! - A partition that was emptied is noticed ([`generations`]), as is a server that came back without
//!   its latest writes ([`leases`]).
//! - Times of records are sent and told as what is left of them, so it does not matter if a node's
//!   clock is wrong.
//!
//! What Redis acknowledged can be lost with its primary. [`Config::replicas`] narrows that.
//!
//! # Concurrency
//!
//! Lanes run on the main runtime; any operation may be polled anywhere. Leases and inboxes live on
//! the runtime that asks for them.

mod answers;
mod apart;
mod breaker;
mod buckets;
mod caution;
mod codec;
mod connection;
mod failure;
mod generations;
mod inbox;
mod keys;
mod lanes;
mod leases;
mod queue;
mod scripts;
mod url;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use deadpool_redis::redis::Value;
use futures_util::FutureExt;
use futures_util::future::{ready, try_join_all};

use crate::runtime::clock::{Clock, Timestamp};
use crate::runtime::tasks::Tasks;
use crate::store::{
    AppendOutcome, Bounds, CasOutcome, ClaimOutcome, Epoch, Health, INBOX_MESSAGE_BYTES_MAX,
    InboxPage, Incarnation, LogEntry, LogPage, Ownership, Record, Renewed, Scope, Store,
    StoreError, StoreFuture, StoreResult, Thing, Version,
};

pub use url::{Address, Config, Password, Target, Topology, UrlError};

use connection::Servers;
use keys::Partition;
use lanes::{Call, Lanes, Place};
use scripts::Script;

/// Scopes touched by one script: the server does nothing else meanwhile.
const TOUCHED_AT_ONCE: usize = 64;

/// Why a Redis store cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {target}: {problem}")]
pub struct OpenError {
    /// Which, as it describes itself.
    pub target: String,
    /// What is wrong.
    pub problem: String,
}

/// State that lives in Redis. See the module docs.
pub struct RedisStore {
    target: Target,
    bounds: Bounds,
    clock: Clock,
    lanes: Lanes,
    leases: Arc<leases::Leases>,
    inbox: Arc<inbox::Reader>,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl RedisStore {
    /// Prepares to use a Redis; connects when there is something to do.
    ///
    /// # Errors
    /// [`OpenError`] if the configuration cannot be right. A server that is away is no error.
    pub fn open(
        config: &Config,
        clock: Clock,
        bounds: Bounds,
        tasks: &Tasks,
    ) -> Result<Self, OpenError> {
        let servers = Servers::new(config).map_err(|error| OpenError {
            target: config.target.to_string(),
            problem: error.to_string(),
        })?;
        Ok(Self {
            target: config.target.clone(),
            bounds,
            clock,
            lanes: Lanes::start(servers, config.timeout, config.replicas, tasks),
            leases: Arc::default(),
            inbox: Arc::default(),
        })
    }

    /// Runs a script on a scope and reads its answer.
    fn run<T: 'static>(
        &self,
        script: &'static Script,
        scope: &Scope,
        args: Vec<Vec<u8>>,
        read: impl FnOnce(Value) -> StoreResult<T> + Send + 'static,
    ) -> StoreFuture<T> {
        self.run_in(false, script, scope, args, read)
    }

    /// The same, for what should survive the loss of a primary.
    fn run_replicated<T: 'static>(
        &self,
        script: &'static Script,
        scope: &Scope,
        args: Vec<Vec<u8>>,
        read: impl FnOnce(Value) -> StoreResult<T> + Send + 'static,
    ) -> StoreFuture<T> {
        self.run_in(true, script, scope, args, read)
    }

    fn run_in<T: 'static>(
        &self,
        replicated: bool,
        script: &'static Script,
        scope: &Scope,
        args: Vec<Vec<u8>>,
        read: impl FnOnce(Value) -> StoreResult<T> + Send + 'static,
    ) -> StoreFuture<T> {
        let partition = Partition::of(scope);
        let asked = self.lanes.ask(Call {
            script,
            place: Place::Partition(partition),
            keys: vec![partition.scope(scope)],
            args,
            replicated,
        });
        asked.map(|answer| answer.and_then(read)).boxed()
    }

    fn life(&self, expires: Timestamp) -> Vec<u8> {
        digits(millis(expires.since(self.clock.now())).max(1))
    }

    fn age(&self) -> Vec<u8> {
        digits(millis(self.bounds.ended_log_age))
    }
}

impl Store for RedisStore {
    fn describe(&self) -> String {
        self.target.to_string()
    }

    fn create(&self, scope: &Scope, value: Bytes, expires: Timestamp) -> StoreFuture<bool> {
        // The first version is not the time: nothing of an earlier scope of that name is left that
        // could take it for its own.
        let args = vec![codec::encode(&value), digits(1), self.life(expires)];
        self.run_replicated(&scripts::CREATE, scope, args, answers::done)
    }

    fn read(&self, scope: &Scope) -> StoreFuture<Option<Record>> {
        let clock = self.clock.clone();
        let read = move |answer| answers::read(answer, clock.now());
        self.run(&scripts::READ, scope, vec![], read)
    }

    fn compare_and_set(
        &self,
        scope: &Scope,
        expected: Version,
        value: Bytes,
    ) -> StoreFuture<CasOutcome> {
        let clock = self.clock.clone();
        let read = move |answer| answers::compare_and_set(answer, clock.now());
        let args = vec![digits(expected.0), codec::encode(&value)];
        self.run(&scripts::COMPARE_AND_SET, scope, args, read)
    }

    fn touch(&self, scopes: Vec<(Scope, Timestamp)>) -> StoreFuture<()> {
        let mut partitions: Vec<(Partition, Vec<_>)> = Vec::new();
        for (scope, expires) in scopes {
            let partition = Partition::of(&scope);
            let touched = (partition.scope(&scope), self.life(expires));
            match partitions.iter_mut().find(|(of, _)| *of == partition) {
                Some((_, scopes)) => scopes.push(touched),
                None => partitions.push((partition, vec![touched])),
            }
        }
        let mut asked = Vec::new();
        for (partition, touched) in partitions {
            for touched in touched.chunks(TOUCHED_AT_ONCE) {
                let (keys, args) = touched.iter().cloned().unzip();
                asked.push(self.lanes.ask(Call {
                    script: &scripts::TOUCH,
                    place: Place::Partition(partition),
                    keys,
                    args,
                    replicated: false,
                }));
            }
        }
        try_join_all(asked).map(|answers| answers.map(drop)).boxed()
    }

    fn remove(&self, scope: &Scope) -> StoreFuture<bool> {
        self.run_replicated(&scripts::REMOVE, scope, vec![], answers::done)
    }

    fn claim(
        &self,
        scope: &Scope,
        thing: &Thing,
        owner: Incarnation,
        ending: Option<Epoch>,
        note: Bytes,
    ) -> StoreFuture<ClaimOutcome> {
        let args = vec![
            name(thing),
            digits(owner.0),
            ending.map_or_else(Vec::new, |epoch| digits(epoch.0)),
            note.to_vec(),
            digits(self.bounds.scope_bytes as u64),
            self.age(),
        ];
        self.run_replicated(&scripts::CLAIM, scope, args, answers::claim)
    }

    fn ownership(&self, scope: &Scope, thing: &Thing) -> StoreFuture<Option<Ownership>> {
        let args = vec![name(thing), self.age()];
        self.run(&scripts::OWNERSHIP, scope, args, answers::ownership)
    }

    fn append(
        &self,
        scope: &Scope,
        thing: &Thing,
        epoch: Epoch,
        entries: Vec<LogEntry>,
        ends: bool,
    ) -> StoreFuture<AppendOutcome> {
        let first = entries.first().map_or(0, |entry| entry.seq);
        let follows = |(at, entry): (u64, &LogEntry)| first.checked_add(at) == Some(entry.seq);
        if !(0..).zip(&entries).all(follows) {
            let problem = "the entries of one append do not follow each other";
            return ready(Err(StoreError::Damaged(problem.into()))).boxed();
        }
        let mut args = vec![
            name(thing),
            digits(epoch.0),
            digits(ends.into()),
            digits(first),
            digits(self.bounds.log_entries as u64),
            digits(self.bounds.log_bytes as u64),
            digits(self.bounds.scope_bytes as u64),
            self.age(),
        ];
        args.extend(entries.iter().map(|entry| codec::encode(&entry.payload)));
        let read = move |answer| answers::append(answer, first);
        self.run_replicated(&scripts::APPEND, scope, args, read)
    }

    fn read_log(
        &self,
        scope: &Scope,
        thing: &Thing,
        after: u64,
        limit: usize,
        follower: Option<Incarnation>,
    ) -> StoreFuture<LogPage> {
        // No log has more; the server knows no larger numbers.
        let limit = limit.min(self.bounds.log_entries).min(u32::MAX as usize);
        let args = vec![
            name(thing),
            digits(after),
            digits(limit as u64),
            follower.map_or_else(Vec::new, |follower| digits(follower.0)),
            self.age(),
        ];
        let read = move |answer| answers::read_log(answer, after, limit);
        self.run(&scripts::READ_LOG, scope, args, read)
    }

    fn post(&self, to: Incarnation, message: Bytes) -> StoreFuture<()> {
        if message.len() > INBOX_MESSAGE_BYTES_MAX {
            let refused = Err(StoreError::Full("an inbox message is at most 64 KiB"));
            return ready(refused).boxed();
        }
        let asked = self.lanes.ask(Call {
            script: &scripts::POST,
            place: Place::Inbox(to.0),
            keys: vec![keys::inbox(to)],
            args: vec![
                codec::encode(&message),
                digits(self.bounds.inbox_messages as u64),
                digits(millis(inbox::UNREAD_MAX)),
            ],
            replicated: false,
        });
        asked.map(|answer| answer.map(drop)).boxed()
    }

    fn receive(&self, inbox: Incarnation, cursor: u64, wait: Duration) -> StoreFuture<InboxPage> {
        let (reader, shared) = (self.inbox.clone(), self.lanes.shared().clone());
        async move { reader.receive(&shared, inbox, cursor, wait).await }.boxed()
    }

    fn renew(&self, node: Incarnation, lease: Duration) -> StoreFuture<Renewed> {
        let (leases, shared) = (self.leases.clone(), self.lanes.shared().clone());
        async move { leases.renew(&shared, node, lease).await }.boxed()
    }

    fn retire(&self, node: Incarnation) -> StoreFuture<()> {
        let (leases, shared) = (self.leases.clone(), self.lanes.shared().clone());
        async move { leases.retire(&shared, node).await }.boxed()
    }

    /// Nothing to do: the server drops what has expired.
    fn sweep(&self) -> StoreFuture<Vec<Scope>> {
        ready(Ok(Vec::new())).boxed()
    }

    /// Nothing to do: what was acknowledged is with the server.
    fn flush(&self) -> StoreFuture<()> {
        ready(Ok(())).boxed()
    }

    fn health(&self) -> Health {
        self.lanes.shared().health()
    }
}

fn name(thing: &Thing) -> Vec<u8> {
    thing.0.as_bytes().to_vec()
}

fn digits(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
