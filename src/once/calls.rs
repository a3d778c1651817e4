//! The keys of this node: which calls run under one here, who waits for them, and what the store
//! holds of all.
//!
//! Whoever waits for a call of another node asks its runner to be told, and looks at the record when
//! it was, when letters may have been lost, and when a node is gone. A node that is asked of a call
//! that it does not run, though the record says so, hands it to the one that asks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use dashmap::{DashMap, Entry};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::kept::Kept;
use super::record::{End, Record};
use crate::node::{Heard, Incarnation, Node, Tenure, Topic};
use crate::protocol::canonical;
use crate::protocol::jsonrpc::ResponseError;
use crate::protocol::params::{ParamsHead, string_of};
use crate::protocol::version::ProtocolVersion;
use crate::runtime::clock::{Clock, Timestamp};
use crate::runtime::ratelimited::warn_ratelimited;
use crate::runtime::seal;
use crate::runtime::tasks::{TaskKind, Tasks};
use crate::service::{Call, ServiceError};
use crate::store::{CasOutcome, Scope, Store, StoreError, Version};
use crate::telemetry::events::{Event as _, StoreFailed};
use crate::telemetry::labels::StoreOperation;
use crate::telemetry::metrics::Metrics;

/// How long a key is kept, from its first use.
const KEY_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// Time between two attempts to write an end; doubled each time.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// What calls that are made once need of the process.
#[derive(Clone)]
pub struct Parts {
    /// Where keys are kept.
    pub store: Arc<dyn Store>,
    /// By which clock they expire.
    pub clock: Clock,
    /// Where calls run.
    pub tasks: Tasks,
    /// This node among the others.
    pub node: Node,
    /// Where failures of the store are counted.
    pub metrics: Metrics,
    /// How the error of a call is written.
    pub error_on_the_wire: fn(&ServiceError, ProtocolVersion) -> ResponseError,
}

/// See the module docs.
pub struct Calls {
    parts: Parts,
    /// Calls that are somebody's here, and the nodes that want to be told when they are nobody's. As
    /// many as calls.
    entered: DashMap<Arc<str>, Vec<Incarnation>>,
    /// Those who wait here.
    waiting: DashMap<Arc<str>, Vec<oneshot::Sender<()>>>,
    kept: Kept,
}

/// One key: where its record is, and the arguments it was used with.
#[derive(Clone)]
pub(super) struct Name {
    scope: Arc<str>,
    digest: String,
}

/// How a call stands.
pub(super) enum Standing {
    /// It is ours to run.
    Ours,
    /// It has ended.
    Ended(End),
    /// That run of that node runs it.
    Runs(Incarnation),
    /// It was written or removed a moment ago.
    Moved,
}

/// A call that is this caller's to look for and to run: all others with the same key at this node
/// wait until it is dropped.
pub(super) struct Claimed {
    /// Held until the call is nobody's any more.
    _entered: Entered,
    name: Name,
    version: Version,
    expires: Timestamp,
    /// In which it became this caller's.
    tenure: Option<Tenure>,
}

/// What came of writing an end.
enum Written {
    /// It stands, or need not any more.
    Ours,
    /// Another stands.
    First(End),
    /// The store did not take it, or did not say.
    Not,
}

/// A key that is in somebody's hands here. Dropped, all who wait for it look again.
struct Entered {
    calls: Arc<Calls>,
    scope: Arc<str>,
}

/// A wait for the end of a call.
pub(super) struct Wait<'a> {
    calls: &'a Calls,
    scope: Arc<str>,
    ended: oneshot::Receiver<()>,
}

/// What nodes tell each other.
#[derive(Debug, Serialize, Deserialize)]
enum Letter {
    /// The sender waits for the end of this call.
    Waits(Arc<str>),
    /// This call is nobody's here any more.
    Ended(Arc<str>),
}

impl Name {
    pub(super) fn of(call: &Call, key: &str) -> Self {
        let head = ParamsHead::of(&call.params);
        let tool = string_of(head.name).unwrap_or_default();
        let parts = [
            call.context.principal().key(),
            &call.context.endpoint,
            &tool,
            key,
        ];
        let name = seal::digest(&parts.map(str::as_bytes));
        let arguments = canonical::arguments(head.arguments);
        // A call and a task are answered differently.
        let as_task = if head.task.is_some() { "task" } else { "" };
        let digest = seal::digest(&[arguments.as_bytes(), as_task.as_bytes()]);
        Self {
            scope: format!("once:{}", URL_SAFE_NO_PAD.encode(name)).into(),
            digest: URL_SAFE_NO_PAD.encode(digest),
        }
    }

    fn scope(&self) -> Scope {
        Scope(self.scope.clone())
    }
}

impl Calls {
    /// No calls yet. Before the node starts, and once.
    #[must_use]
    pub fn listen(parts: Parts) -> Arc<Self> {
        let node = parts.node.clone();
        let calls = Arc::new(Self {
            parts,
            entered: DashMap::new(),
            waiting: DashMap::new(),
            kept: Kept::default(),
        });
        let hearing = Arc::downgrade(&calls);
        let listener = move |heard| {
            if let Some(calls) = hearing.upgrade() {
                calls.hear(heard);
            }
        };
        node.listen(Topic::Calls, Box::new(listener));
        calls
    }

    pub(super) fn node(&self) -> &Node {
        &self.parts.node
    }

    pub(super) const fn tasks(&self) -> &Tasks {
        &self.parts.tasks
    }

    pub(super) fn on_the_wire(&self, error: &ServiceError, to: ProtocolVersion) -> ResponseError {
        (self.parts.error_on_the_wire)(error, to)
    }

    /// Hears of the end of a call from now on.
    pub(super) fn wait(&self, name: &Name) -> Wait<'_> {
        let (tell, ended) = oneshot::channel();
        let scope = name.scope.clone();
        self.waiting.entry(scope.clone()).or_default().push(tell);
        Wait {
            calls: self,
            scope,
            ended,
        }
    }

    /// Asks the node that runs a call to tell of its end.
    pub(super) fn ask_to_be_told(&self, name: &Name, runner: Incarnation) {
        self.tell(runner, &Letter::Waits(name.scope.clone()));
    }

    /// Makes a call this caller's, unless it is somebody else's here.
    pub(super) fn enter(self: &Arc<Self>, name: &Name) -> Option<Claimed> {
        match self.entered.entry(name.scope.clone()) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(vacant) => drop(vacant.insert(Vec::new())),
        }
        Some(Claimed {
            _entered: Entered {
                calls: self.clone(),
                scope: name.scope.clone(),
            },
            name: name.clone(),
            version: Version(0),
            expires: self.parts.clock.now().after(KEY_TTL),
            tenure: self.parts.node.tenure(),
        })
    }

    /// How the call stands in the store; if nobody has it, it is ours from now on.
    pub(super) async fn look(&self, claimed: &mut Claimed) -> Result<Standing, ServiceError> {
        let store = &self.parts.store;
        let scope = claimed.name.scope();
        let Some(stored) = store.read(&scope).await.map_err(self.failed())? else {
            return self.begin(claimed).await;
        };
        let Some(record) = Record::decode(&stored.value) else {
            tracing::error!("the record of an idempotency key was refused");
            return Ok(Standing::Ended(End::Unknown));
        };
        if record.digest != claimed.name.digest {
            return Err(ServiceError::InvalidParams(
                "this idempotency key was used with other arguments".into(),
            ));
        }
        if let Some(end) = record.end {
            return Ok(Standing::Ended(end));
        }
        let runner = Incarnation(record.runner);
        let end = if runner == self.own() {
            // It does not run here: the store kept what it did not say it had, or did not remove
            // what it was told to, or its client left in between. So nothing was run under it that
            // ended anything.
            None
        } else if self.parts.node.lives(runner).await.map_err(self.failed())? {
            return Ok(Standing::Runs(runner));
        } else {
            // Nobody knows how far it came, so it is never run again.
            Some(End::Unknown)
        };
        let record = Record { end, ..record };
        let writing = store.compare_and_set(&scope, stored.version, record.encode());
        Ok(match (writing.await.map_err(self.failed())?, record.end) {
            (CasOutcome::Written(_), Some(end)) => Standing::Ended(end),
            (CasOutcome::Written(version), None) => {
                (claimed.version, claimed.expires) = (version, stored.expires);
                Standing::Ours
            }
            (CasOutcome::Lost(_) | CasOutcome::Gone, _) => Standing::Moved,
        })
    }

    /// Writes that this node runs the call.
    async fn begin(&self, claimed: &mut Claimed) -> Result<Standing, ServiceError> {
        if !self.kept.has_room(self.parts.clock.now()) {
            return Err(overloaded("as many idempotency keys are kept as may"));
        }
        let (store, scope) = (&self.parts.store, claimed.name.scope());
        let record = self.record(claimed, None).encode();
        let creating = store.create(&scope, record.clone(), claimed.expires);
        if !creating.await.map_err(self.failed())? {
            return Ok(Standing::Moved);
        }
        let stored = store.read(&scope).await.map_err(self.failed())?;
        // Whoever took this node for dead meanwhile has written how the call ended.
        let stored = stored.filter(|stored| stored.value == record);
        Ok(stored.map_or(Standing::Moved, |stored| {
            claimed.version = stored.version;
            Standing::Ours
        }))
    }

    /// Keeps how a call ended. `Some`: another node took this one for dead and wrote this end first.
    ///
    /// When the store does not take it, it is tried again; beside, if nobody can have taken this node
    /// for dead meanwhile. Otherwise whoever waits is told nothing that might not be true elsewhere.
    pub(super) async fn keep(self: &Arc<Self>, claimed: Claimed, end: End) -> Option<End> {
        let record = self.record(&claimed, Some(end)).encode();
        self.kept.add(claimed.expires, record.len());
        let mut retry = RETRY_FIRST;
        loop {
            match self.write(&claimed, &record).await {
                Written::Ours => return None,
                Written::First(end) => return Some(end),
                Written::Not if self.parts.node.is_still_in(claimed.tenure) => break,
                Written::Not => {}
            }
            if self.parts.clock.now() >= claimed.expires {
                return None;
            }
            retry = self.rest(retry).await;
        }
        let calls = self.clone();
        self.parts.tasks.spawn(TaskKind::Upkeep, async move {
            while calls.parts.clock.now() < claimed.expires {
                retry = calls.rest(retry).await;
                if !matches!(calls.write(&claimed, &record).await, Written::Not) {
                    return;
                }
            }
        });
        None
    }

    /// Waits until the store is tried again, and gives the next wait.
    async fn rest(&self, wait: Duration) -> Duration {
        tokio::time::sleep(wait).await;
        (wait * 2).min(RETRY_MAX)
    }

    async fn write(&self, claimed: &Claimed, record: &Bytes) -> Written {
        let (scope, version) = (claimed.name.scope(), claimed.version);
        let writing = self
            .parts
            .store
            .compare_and_set(&scope, version, record.clone());
        match writing.await {
            Ok(CasOutcome::Lost(other)) if other.value != *record => {
                let first = Record::decode(&other.value).and_then(|other| other.end);
                first.map_or(Written::Ours, Written::First)
            }
            // Also when the key's time is over.
            Ok(CasOutcome::Written(_) | CasOutcome::Lost(_) | CasOutcome::Gone) => Written::Ours,
            Err(error) => {
                self.say_failed(StoreOperation::CompareAndSet, error);
                Written::Not
            }
        }
    }

    /// Lets a call be made again: nothing has ended.
    pub(super) async fn release(&self, claimed: Claimed) {
        // Left behind, it is found again by this node, or when another asks for it.
        if let Err(error) = self.parts.store.remove(&claimed.name.scope()).await {
            self.say_failed(StoreOperation::Remove, error);
        }
        drop(claimed);
    }

    fn record(&self, claimed: &Claimed, end: Option<End>) -> Record {
        Record {
            digest: claimed.name.digest.clone(),
            runner: self.own().0,
            end,
        }
    }

    /// What a client is told when the store could not say how its call stands: nothing was run.
    fn failed(&self) -> impl Fn(StoreError) -> ServiceError {
        |error| {
            self.say_failed(StoreOperation::Read, error);
            overloaded("the store of idempotency keys is unavailable")
        }
    }

    fn say_failed(&self, operation: StoreOperation, error: StoreError) {
        StoreFailed { operation, error }.emit(&self.parts.metrics);
    }

    fn hear(self: &Arc<Self>, heard: Heard) {
        let Heard::Letter { from, body } = heard else {
            // The end of anything may have been missed.
            let waiting = self.waiting.iter().map(|it| it.key().clone());
            let waiting = waiting.collect::<Vec<_>>();
            for scope in &waiting {
                self.wake(scope);
            }
            return;
        };
        match serde_json::from_slice(&body) {
            Ok(Letter::Ended(scope)) => self.wake(&scope),
            Ok(Letter::Waits(scope)) => self.is_waited_for(scope, from),
            Err(error) => warn_ratelimited!("a letter about a call was not understood", %error),
        }
    }

    /// Another node waits for the end of a call.
    fn is_waited_for(self: &Arc<Self>, scope: Arc<str>, by: Incarnation) {
        match self.entered.entry(scope.clone()) {
            Entry::Occupied(mut nodes) if !nodes.get().contains(&by) => nodes.get_mut().push(by),
            Entry::Occupied(_) => {}
            Entry::Vacant(vacant) => {
                drop(vacant.insert(vec![by]));
                let entered = Entered {
                    calls: self.clone(),
                    scope,
                };
                let handing = async move { entered.hand_over(by).await };
                self.parts.tasks.spawn(TaskKind::Store, handing);
            }
        }
    }

    fn own(&self) -> Incarnation {
        self.parts.node.incarnation()
    }

    fn tell(&self, to: Incarnation, letter: &Letter) {
        let letter = serde_json::to_vec(letter).expect("invariant: our values serialize");
        self.parts.node.tell(to, Topic::Calls, letter.into());
    }

    fn wake(&self, scope: &str) {
        let waiting = self.waiting.remove(scope).map(|(_, waiting)| waiting);
        for tell in waiting.into_iter().flatten() {
            // Who gave up waiting needs no telling.
            let _gone = tell.send(());
        }
    }
}

impl Wait<'_> {
    pub(super) async fn ended(mut self) {
        drop((&mut self.ended).await);
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.ended.close();
        self.calls.waiting.remove_if_mut(&self.scope, |_, waiting| {
            waiting.retain(|tell| !tell.is_closed());
            waiting.is_empty()
        });
    }
}

impl Entered {
    /// Gives a call that is nobody's here to another node, if by its record it is this node's.
    async fn hand_over(self, to: Incarnation) {
        let (calls, scope) = (&self.calls, Scope(self.scope.clone()));
        let store = &calls.parts.store;
        let handing = async {
            let Some(stored) = store.read(&scope).await? else {
                return Ok(());
            };
            let record = Record::decode(&stored.value);
            let runner = calls.own().0;
            if let Some(record) = record.filter(|it| it.end.is_none() && it.runner == runner) {
                let runner = to.0;
                let record = Record { runner, ..record }.encode();
                let writing = store.compare_and_set(&scope, stored.version, record);
                // Who waits looks again, whatever came of it.
                let _moved = writing.await?;
            }
            Ok(())
        };
        if let Err(error) = handing.await {
            calls.say_failed(StoreOperation::CompareAndSet, error);
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let Self { calls, scope } = self;
        let nodes = calls.entered.remove(scope).map(|(_, nodes)| nodes);
        for node in nodes.into_iter().flatten() {
            calls.tell(node, &Letter::Ended(scope.clone()));
        }
        calls.wake(scope);
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

const fn overloaded(what: &'static str) -> ServiceError {
    ServiceError::Overloaded {
        what,
        retry_after: Duration::from_secs(1),
    }
}
