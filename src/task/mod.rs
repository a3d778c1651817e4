//! Tasks: calls whose client gets a handle now and the result later, in both generations.
//!
//! [`TaskService`] stands before the service that answers an endpoint's calls. It lets tool calls
//! become tasks where tool and client agree, answers `tasks/*`, and tells status changes; all
//! else goes through. The generations differ in who decides and in how a task is written:
//!
//! | | 2025-11-25 | 2026-07-28, extension `io.modelcontextprotocol/tasks` |
//! |---|---|---|
//! | who decides | the client, by `task` in its call | the server, by the tool's [`TaskUse`] |
//! | the result | `tasks/result` waits for it | in `tasks/get` |
//! | questions | requests on the stream of `tasks/result` | in `tasks/get`, answered by `tasks/update` |
//! | status changes | `notifications/tasks/status` on the standing stream | `notifications/tasks` on a listen stream |
//!
//! A task lives for its `ttl`, counted from its creation: its work must end within that time, and
//! whatever state it is in, it is gone after it. Its record is in the store before its id leaves,
//! so a finished result survives this process. Work that ran when a process died ends as *outcome
//! unknown*: it is never run again.
//!
//! Any node answers for a task. One that does not run it reads the record, and ends a task whose
//! runner lives no more; what must reach the runner goes by letter, and is answered once the record
//! shows it. Status changes are announced on every node. Only questions of 2025-11-25 need the runner
//! itself: they are carried by a `tasks/result` that waits there. Places are counted per node.
//!
//! It does not run tools, and the library ([`crate::server`]) does not know tasks beyond what a
//! tool says of itself.
//!
//! Invariants:
//! - A task id is good for its principal, endpoint and generation only; anything else is an
//!   unknown task, and costs no store read.
//! - No call of a client that did not declare the extension becomes a task.
//!
//! Spec: 2025-11-25 basic/utilities/tasks; extension tasks (SEP-2663).

mod elsewhere;
mod listed;
mod live;
mod outlet;
mod places;
mod record;
mod requests;
mod run;
mod wire;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use futures_util::future::BoxFuture;
use serde::Deserialize;

use crate::identity::{Caller, Mint};
use crate::node::Node;
use crate::protocol::capabilities::ClientCapability;
use crate::protocol::jsonrpc::ResponseError;
use crate::protocol::method::Method;
use crate::protocol::notification::ServerNotification;
use crate::protocol::param_headers::HeaderParams;
use crate::protocol::params::{ParamsHead, string_of};
use crate::protocol::raw;
use crate::protocol::subscription::{Change, SubscriptionFilter};
use crate::protocol::tool::TaskSupport;
use crate::protocol::version::{Era, ProtocolVersion};
use crate::runtime::clock::Clock;
use crate::runtime::seal::ClusterKeys;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::tasks::Tasks;
use crate::service::changes::{Announced, CatalogDigest, Changes, Elsewhere, PassOn, Watch};
use crate::service::{
    Call, CallFuture, Canonical, Description, EntryKind, Sees, Service, ServiceError, SessionKey,
    TaskUse,
};
use crate::store::{Store, StoreError};
use crate::telemetry::events::{Event as _, StoreFailed};
use crate::telemetry::labels::StoreOperation;
use crate::telemetry::metrics::Metrics;
use listed::Listed;
use live::Live;
use places::Places;
use run::Candidate;

/// Bounds and times of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a task lives if its client does not say.
    pub ttl: Duration,
    /// How long a task may live at most, whatever its client says.
    pub ttl_max: Duration,
    /// How often clients are told to ask.
    pub poll_interval: Duration,
    /// Running tasks on this node.
    pub max: usize,
    /// Running tasks of one principal.
    pub max_per_principal: usize,
    /// Ended tasks that are kept.
    pub max_kept: usize,
    /// Bytes of their results.
    pub max_kept_bytes: usize,
    /// Bytes of one result.
    pub result_max: usize,
}

/// Shortest life of a task: below that nobody could fetch its result.
const TTL_LEAST: Duration = Duration::from_secs(1);

/// What tasks need of the process.
#[derive(Clone)]
pub struct Parts {
    /// Where records are kept.
    pub store: Arc<dyn Store>,
    /// What ids are made with.
    pub keys: ClusterKeys,
    /// By which clock they expire.
    pub clock: Clock,
    /// Where they run.
    pub tasks: Tasks,
    /// How far the process is on its way out.
    pub shutdown: Shutdown,
    /// This node among the others.
    pub node: Node,
    /// Where they are counted.
    pub metrics: Metrics,
    /// How the error of a call is written, which a failed task shows.
    pub error_on_the_wire: fn(&ServiceError, ProtocolVersion) -> ResponseError,
    /// Bounds and times.
    pub config: Config,
}

/// See the module docs. Cloning shares it.
#[derive(Clone)]
pub struct TaskService(Arc<Shared>);

struct Shared {
    inner: Arc<dyn Service>,
    endpoint: Arc<str>,
    store: Arc<dyn Store>,
    listed: Listed,
    clock: Clock,
    tasks: Tasks,
    shutdown: Shutdown,
    node: Node,
    metrics: Metrics,
    error_on_the_wire: fn(&ServiceError, ProtocolVersion) -> ResponseError,
    config: Config,
    places: Places,
    /// Ids of the two generations, which mean nothing to each other.
    session_era: Mint,
    stateless_era: Mint,
    /// The tasks that run here; as many as there are places.
    live: DashMap<Arc<str>, Arc<Live>>,
    changes: Changes,
}

impl TaskService {
    /// Puts tasks before `inner`, which answers at `endpoint`.
    #[must_use]
    pub fn before(inner: Arc<dyn Service>, endpoint: Arc<str>, parts: Parts) -> Self {
        let Parts {
            store,
            keys,
            clock,
            tasks,
            shutdown,
            node,
            metrics,
            error_on_the_wire,
            config,
        } = parts;
        Self(Arc::new(Shared {
            inner,
            endpoint,
            listed: Listed {
                store: store.clone(),
                clock: clock.clone(),
            },
            places: Places::new(clock.clone(), config),
            store,
            clock,
            tasks,
            shutdown,
            node,
            metrics,
            error_on_the_wire,
            config,
            session_era: Mint::new(keys.mac("task-id session era")),
            stateless_era: Mint::new(keys.mac("task-id stateless era")),
            live: DashMap::new(),
            changes: Changes::default(),
        }))
    }
}

impl Shared {
    const fn mint(&self, era: Era) -> &Mint {
        match era {
            Era::Session => &self.session_era,
            Era::Stateless => &self.stateless_era,
        }
    }

    fn poll_interval_ms(&self) -> u64 {
        u64::try_from(self.config.poll_interval.as_millis()).unwrap_or(u64::MAX)
    }

    /// What a client is told when the store could not do something, which is counted and logged.
    fn store_failed(&self, operation: StoreOperation, error: StoreError) -> ServiceError {
        StoreFailed { operation, error }.emit(&self.metrics);
        overloaded("the task store is unavailable")
    }

    fn offers_tasks(&self, caller: &Caller) -> bool {
        self.inner.describe(caller).capabilities.tasks
    }

    /// A tool call of a client that can follow a task, if its tool allows one.
    fn call_tool(self: &Arc<Self>, call: Call) -> CallFuture {
        match call.context.version {
            ProtocolVersion::V2026_07_28 if call.context.client.capabilities.tasks => {
                let ttl = self.config.ttl;
                let Some(TaskUse { support, start }) = self.task_use(&call) else {
                    return self.inner.call(call);
                };
                match support {
                    TaskSupport::Forbidden => self.inner.call(call),
                    TaskSupport::Optional => {
                        Box::pin(self.clone().run(Candidate::new(call, ttl), start))
                    }
                    TaskSupport::Required => {
                        Box::pin(self.clone().begin(Candidate::new(call, ttl)))
                    }
                }
            }
            ProtocolVersion::V2025_11_25 => match self.wanted_ttl(&call) {
                Ok(None) => self.inner.call(call),
                Ok(Some(ttl)) => match self.task_use(&call).map(|task| task.support) {
                    // The service says what is wrong.
                    None => self.inner.call(call),
                    Some(TaskSupport::Forbidden) => {
                        let tool = tool_of(&call).unwrap_or_default().into_owned();
                        let error = ServiceError::NoTasks(tool);
                        Box::pin(std::future::ready(Err(error)))
                    }
                    Some(TaskSupport::Optional | TaskSupport::Required) => {
                        Box::pin(self.clone().begin(Candidate::new(call, ttl)))
                    }
                },
                Err(error) => Box::pin(std::future::ready(Err(error))),
            },
            ProtocolVersion::V2026_07_28
            | ProtocolVersion::V2024_11_05
            | ProtocolVersion::V2025_03_26
            | ProtocolVersion::V2025_06_18 => self.inner.call(call),
        }
    }

    fn task_use(&self, call: &Call) -> Option<TaskUse> {
        self.inner.task_use(&call.context.caller, &tool_of(call)?)
    }

    /// How long the task shall live that a session asks for; `None` when it asks for none, or asks
    /// a server that offers none.
    fn wanted_ttl(&self, call: &Call) -> Result<Option<Duration>, ServiceError> {
        #[derive(Deserialize)]
        struct Wanted {
            #[serde(default)]
            ttl: Option<f64>,
        }
        let invalid =
            |error: &dyn fmt::Display| ServiceError::InvalidParams(format!("`task`: {error}"));
        let Some(task) = ParamsHead::of(&call.params).task else {
            return Ok(None);
        };
        if !self.offers_tasks(&call.context.caller) {
            return Ok(None);
        }
        let wanted: Wanted = raw::decode(task).map_err(|error| invalid(&error))?;
        let ttl = match wanted.ttl {
            None => self.config.ttl,
            Some(millis) if millis.is_finite() && millis >= 0.0 => {
                Duration::try_from_secs_f64(millis / 1_000.0).unwrap_or(Duration::MAX)
            }
            Some(_) => return Err(invalid(&"`ttl` must be a number of milliseconds")),
        };
        let least = TTL_LEAST.min(self.config.ttl_max);
        Ok(Some(ttl.clamp(least, self.config.ttl_max)))
    }
}

impl Service for TaskService {
    fn describe(&self, caller: &Caller) -> Arc<Description> {
        self.0.inner.describe(caller)
    }

    fn call(&self, call: Call) -> CallFuture {
        match call.method {
            Method::ToolsCall => self.0.call_tool(call),
            Method::TasksGet
            | Method::TasksUpdate
            | Method::TasksCancel
            | Method::TasksResult
            | Method::TasksList
                if self.0.offers_tasks(&call.context.caller) =>
            {
                Box::pin(requests::answer(self.0.clone(), call))
            }
            _ => self.0.inner.call(call),
        }
    }

    fn header_params(&self, caller: &Caller, tool: &str) -> Option<Arc<HeaderParams>> {
        self.0.inner.header_params(caller, tool)
    }

    fn task_use(&self, caller: &Caller, tool: &str) -> Option<TaskUse> {
        self.0.inner.task_use(caller, tool)
    }

    fn is_idempotent(&self, caller: &Caller, tool: &str) -> bool {
        self.0.inner.is_idempotent(caller, tool)
    }

    fn catalog_digest(&self, caller: &Caller, sees: Sees<'_>) -> CatalogDigest {
        self.0.inner.catalog_digest(caller, sees)
    }

    fn canonical(&self, kind: EntryKind, shown: &str) -> Option<Canonical> {
        self.0.inner.canonical(kind, shown)
    }

    fn lists(&self, caller: &Caller, kind: EntryKind, shown: &str) -> bool {
        self.0.inner.lists(caller, kind, shown)
    }

    fn watch(
        &self,
        caller: &Arc<Caller>,
        mut filter: SubscriptionFilter,
    ) -> BoxFuture<'static, Result<Watch, ServiceError>> {
        if !self.0.offers_tasks(caller) {
            return self.0.inner.watch(caller, filter);
        }
        let ids = std::mem::take(&mut filter.task_ids);
        let of = filter.tasks_of.take();
        let inner = self.0.inner.watch(caller, filter);
        let (shared, caller) = (self.0.clone(), caller.clone());
        Box::pin(async move {
            let mut watch = inner.await?;
            let mut known = std::collections::BTreeSet::new();
            for id in ids {
                if shared
                    .find(&caller.principal, Era::Stateless, &id)
                    .await
                    .is_ok()
                {
                    known.insert(id);
                }
            }
            if !known.is_empty() || of.is_some() {
                shared.changes.watch_tasks(&mut watch, known, of);
            }
            Ok(watch)
        })
    }

    fn tell(
        &self,
        caller: &Caller,
        version: ProtocolVersion,
        change: &Change,
    ) -> BoxFuture<'static, Option<ServerNotification>> {
        let Change::Task(id) = change else {
            return self.0.inner.tell(caller, version, change);
        };
        let (shared, principal, id) = (self.0.clone(), caller.principal.clone(), id.clone());
        Box::pin(async move {
            // Gone meanwhile, there is nothing to tell.
            let record = shared.find(&principal, version.era(), &id).await.ok()?;
            Some(wire::Wire::of(version, shared.poll_interval_ms()).notification(&id, &record))
        })
    }

    fn let_go(&self, session: &SessionKey) {
        self.0.inner.let_go(session);
    }

    fn pass_on_to(&self, pass_on: PassOn) {
        self.0.changes.pass_on_to(pass_on.clone());
        self.0.inner.pass_on_to(pass_on);
    }

    fn hear(&self, elsewhere: &Elsewhere) {
        self.0.changes.hear(elsewhere);
        let of_a_task = matches!(
            elsewhere,
            Elsewhere::Announced(Announced {
                change: Change::Task(_),
                ..
            })
        );
        if !of_a_task {
            self.0.inner.hear(elsewhere);
        }
    }
}

impl fmt::Debug for TaskService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskService")
            .field("endpoint", &self.0.endpoint)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

fn tool_of(call: &Call) -> Option<Cow<'_, str>> {
    string_of(ParamsHead::of(&call.params).name)
}

const fn overloaded(what: &'static str) -> ServiceError {
    ServiceError::Overloaded {
        what,
        retry_after: Duration::from_secs(1),
    }
}

/// What a request about tasks needs of a stateless client.
const fn needs() -> ServiceError {
    ServiceError::MissingCapability(ClientCapability::Tasks)
}
