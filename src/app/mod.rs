//! The composition root: what the process is made of, the order in which it starts, and the order
//! in which it stops. Nowhere else is either written.
//!
//! Start: log, store, keys, services, sessions, listeners, then ready. Whatever fails says so in
//! one sentence and leaves nothing behind.
//!
//! Stop ([`stop`]): not ready; streams are told; calls finish within the grace; listeners close;
//! checkpoints are written; what still runs is cut. Each step has a deadline and reports whether it
//! finished or was cut.

mod error;
mod listeners;
mod parts;
mod process;
mod store;
mod welcome;

pub use error::StartError;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::admin::Admin;
use crate::builtin;
use crate::config::Settings;
use crate::config::settings::{BuiltinSet, StoreKind};
use crate::runtime::arbiters::Arbiters;
use crate::runtime::clock::Clock;
use crate::runtime::seal::{self, ClusterKeys};
use crate::runtime::shutdown::{Phase, Shutdown};
use crate::runtime::tasks::{TaskKind, Tasks};
use crate::server::Server;
use crate::service::Service;
use crate::session::{Parts, Sessions};
use crate::store::Incarnation;
use crate::task::{self, TaskService};
use crate::telemetry::events::{Cautioned, Draining, Event as _, Started, StopStep, Stopped};
use crate::telemetry::metrics::Metrics;
use crate::transport::{self, Context, Endpoint, stdio};
use listeners::{Listeners, Serving};
use process::{run, standard_input, told_to_stop};
use store::OpenedStore;
use welcome::Welcome;

/// How long each step of stopping that should take no time may take.
const STEP: Duration = Duration::from_secs(5);

/// Serves HTTP until told to stop.
///
/// # Errors
/// [`StartError`].
pub fn serve(settings: Settings) -> Result<(), StartError> {
    run(|tasks| async move {
        let mut running = Running::start(settings, tasks)?;
        running.announce();
        let ended = running.until_told_to_stop().await;
        running.stop().await;
        ended
    })
}

/// Serves standard input and output until the input ends or it is told to stop.
///
/// # Errors
/// [`StartError`].
pub fn stdio(mut settings: Settings) -> Result<(), StartError> {
    // Such a session lives with its pipes; a client may start several processes in one directory.
    settings.store.kind = StoreKind::Memory;
    run(|tasks| async move {
        let assembled = Assembled::build(&settings, tasks)?;
        let name = settings
            .main_endpoint()
            .map(|endpoint| endpoint.name.clone());
        let endpoint = assembled
            .endpoints
            .iter()
            .find(|endpoint| Some(&*endpoint.name) == name.as_deref())
            .cloned()
            .expect("invariant: there is at least one endpoint");
        let context = assembled.context(&settings);
        let tasks = assembled.tasks.clone();
        let shutdown = assembled.shutdown.clone();
        tasks.spawn(TaskKind::Upkeep, async move {
            told_to_stop().await;
            shutdown.advance(Phase::Draining);
        });
        let served = stdio::serve(context, endpoint, standard_input(), tokio::io::stdout());
        let result = served.await.map_err(StartError::Stdio);
        assembled.shutdown.advance(Phase::Stopping);
        let _cut = tokio::time::timeout(STEP, tasks.idle()).await;
        result
    })
}

/// Everything but the listeners.
struct Assembled {
    tasks: Tasks,
    shutdown: Shutdown,
    metrics: Metrics,
    opened: OpenedStore,
    sessions: Sessions,
    endpoints: Vec<Endpoint>,
}

impl Assembled {
    fn build(settings: &Settings, tasks: Tasks) -> Result<Self, StartError> {
        let clock = Clock::system();
        let shutdown = Shutdown::default();
        let metrics = Metrics::new();
        // In a process that has a recorder already, tools count there and we count here.
        let _ours = metrics.install();
        // Installed before by whoever embeds us, it is theirs to choose.
        let _theirs = crate::telemetry::tracing::install(settings.log.format, &settings.log.filter);
        for caution in &settings.cautions {
            Cautioned { caution }.emit(&metrics);
        }
        let opened = OpenedStore::open(settings, &clock)?;
        let keys = match &settings.cluster_keys {
            Some(keys) => keys.clone(),
            None => opened.kept_keys()?,
        };
        let store = opened.as_store();
        let incarnation = Incarnation(u64::from_be_bytes(seal::random()));
        let task_parts = task::Parts {
            store: store.clone(),
            keys: keys.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            incarnation,
            metrics: metrics.clone(),
            error_on_the_wire: transport::reply::error_object,
            config: settings.tasks.config,
        };
        let endpoints = settings
            .endpoints
            .iter()
            .map(|endpoint| Endpoint {
                name: endpoint.name.as_str().into(),
                path: endpoint.path.clone(),
                service: Arc::new(TaskService::before(
                    service(
                        endpoint.builtin,
                        &keys,
                        &clock,
                        &tasks,
                        settings.tasks.after,
                    ),
                    endpoint.name.as_str().into(),
                    task_parts.clone(),
                )),
            })
            .collect::<Vec<_>>();
        let services = endpoints
            .iter()
            .map(|endpoint| (endpoint.name.clone(), endpoint.service.clone()))
            .collect::<HashMap<_, _>>();
        let sessions = Sessions::start(Parts {
            services,
            store: store.clone(),
            keys,
            clock: clock.clone(),
            tasks: tasks.clone(),
            arbiters: Arbiters::start(settings.server.workers),
            shutdown: shutdown.clone(),
            incarnation,
            metrics: metrics.clone(),
            config: parts::session_config(settings),
        });
        tasks.spawn(TaskKind::Upkeep, upkeep(sessions.clone(), metrics.clone()));
        Ok(Self {
            tasks,
            shutdown,
            metrics,
            opened,
            sessions,
            endpoints,
        })
    }

    fn context(&self, settings: &Settings) -> Context {
        Context {
            config: Arc::new(parts::transport_config(settings)),
            sessions: self.sessions.clone(),
            tasks: self.tasks.clone(),
            metrics: self.metrics.clone(),
            shutdown: self.shutdown.clone(),
            streams: Arc::new(tokio::sync::Semaphore::new(settings.streams.max)),
        }
    }
}

/// A server that takes traffic.
struct Running {
    assembled: Assembled,
    settings: Settings,
    listeners: Listeners,
}

impl Running {
    /// Starts everything, in order.
    fn start(settings: Settings, tasks: Tasks) -> Result<Self, StartError> {
        let assembled = Assembled::build(&settings, tasks)?;
        let context = assembled.context(&settings);
        let listeners = Listeners::open(&Serving {
            settings: &settings,
            context: &context,
            endpoints: &assembled.endpoints,
            admin: &Admin {
                shutdown: assembled.shutdown.clone(),
                sessions: assembled.sessions.clone(),
                metrics: assembled.metrics.clone(),
            },
            tasks: &assembled.tasks,
        })?;
        assembled.opened.name_holder(listeners.address);
        process::caution_about_descriptors(&settings, &assembled.metrics);
        Ok(Self {
            assembled,
            settings,
            listeners,
        })
    }

    /// Says what is served, where, and how a client gets there.
    fn announce(&self) {
        let store = self.assembled.opened.as_store().describe();
        let paths = self
            .settings
            .endpoints
            .iter()
            .map(|endpoint| endpoint.path.as_str())
            .collect::<Vec<_>>();
        Started {
            listen: Some(self.listeners.address),
            admin: self.listeners.admin_address,
            store: &store,
            endpoints: &paths,
        }
        .emit(&self.assembled.metrics);
        let welcome = Welcome {
            settings: &self.settings,
            address: self.listeners.address,
            admin_address: self.listeners.admin_address,
            store: &store,
        };
        // Nobody reading it is no reason to fail.
        let _unread = welcome.write(&mut io::stdout().lock());
    }

    /// Waits for SIGTERM or SIGINT, or for a listener to fail.
    async fn until_told_to_stop(&mut self) -> Result<(), StartError> {
        tokio::select! {
            () = told_to_stop() => Ok(()),
            error = self.listeners.failed() => Err(error),
        }
    }

    /// Stops, in order. A second signal skips the waiting.
    async fn stop(self) {
        let started = Instant::now();
        let Assembled {
            tasks,
            shutdown,
            metrics,
            opened,
            sessions,
            ..
        } = self.assembled;
        let drain = self.settings.server.timeouts.drain;
        Draining {
            deadline: drain,
            sessions: sessions.live(),
            tasks: tasks.running(),
        }
        .emit(&metrics);
        // Not ready; no new sessions; standing streams and listens are told and end.
        shutdown.advance(Phase::Draining);
        let report = |step, cut| StopStep { step, cut }.emit(&metrics);
        // Calls finish.
        let drained = tokio::select! {
            drained = tokio::time::timeout(drain, tasks.idle()) => drained.is_ok(),
            () = told_to_stop() => false,
        };
        report("calls", (!drained).then(|| tasks.running()));
        // Connections close; what still runs on them is cut.
        shutdown.advance(Phase::Stopping);
        let closed = tokio::time::timeout(STEP, self.listeners.close(drained)).await;
        report(
            "listeners",
            closed.is_err().then_some(self.listeners.count()),
        );
        // Checkpoints and logs are written.
        let flushed = tokio::time::timeout(STEP, sessions.flush()).await;
        let complete = matches!(flushed, Ok(Ok(())));
        report("checkpoints", (!complete).then(|| sessions.live()));
        drop(opened);
        Stopped {
            took: started.elapsed(),
        }
        .emit(&metrics);
    }
}

/// Keeps the registry alive and the measurements folded, for the life of the process.
async fn upkeep(sessions: Sessions, metrics: Metrics) {
    let mut interval = tokio::time::interval(Duration::from_secs(1));
    loop {
        interval.tick().await;
        sessions.revive_registry();
        metrics.upkeep();
    }
}

/// Who answers at an endpoint.
fn service(
    builtin: Option<BuiltinSet>,
    keys: &ClusterKeys,
    clock: &Clock,
    tasks: &Tasks,
    tasks_after: Option<Duration>,
) -> Arc<dyn Service> {
    match builtin {
        Some(BuiltinSet::Demo) => {
            let demo = builtin::demo::Demo::new(keys, clock, tasks_after);
            let service = Arc::new(demo.server().clone());
            tasks.spawn(TaskKind::Upkeep, demo.run());
            service
        }
        Some(BuiltinSet::Conformance) => {
            Arc::new(builtin::conformance::conformance(keys, clock, tasks_after))
        }
        None => Arc::new(
            Server::builder("switchboard", env!("CARGO_PKG_VERSION"))
                .clock(clock.clone())
                .build(keys)
                .expect("invariant: an empty server is well-formed"),
        ),
    }
}
