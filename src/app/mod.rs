//! The composition root: what the process is made of, the order in which it starts, and the order
//! in which it stops. Nowhere else is either written.
//!
//! Start: log, store, keys, services, sessions, listeners, then ready. Whatever fails says so in
//! one sentence and leaves nothing behind.
//!
//! Stop ([`Running::stop`]), so that behind a proxy nobody notices:
//!
//! 1. not ready; streams are told, and end; each answer from here on ends its connection;
//! 2. `accepting`: connections on their way are let in, then connecting is refused;
//! 3. `calls` finish within the grace; what arrives over open connections is served;
//! 4. `connections` end by their next answer; those without a next request are closed;
//! 5. `listeners` close, and what still runs is cut;
//! 6. `checkpoints` are written, `upstreams` are let go, and the `lease` of this node is given back.
//!
//! Each step has a deadline and reports whether it finished or was cut.
//!
//! [`Host`] is the way in, for the program of this package and for anybody else's: what is served,
//! and where the settings come from. It serves HTTP ([`Host::serve`]) or standard input and output
//! ([`Host::stdio`]) for the life of a process, or beside other work ([`Host::start`]).

mod counted;
mod doors;
mod error;
mod host;
mod hosted;
pub mod keys;
mod listeners;
mod listening_socket;
mod own;
mod parts;
mod process;
mod reload;
mod sources;
mod store;
#[cfg(test)]
mod tests;
mod upstreams;
mod welcome;

use counted::Counted;
use doors::Doors;
pub use error::StartError;
pub use host::Host;
pub use hosted::Hosted;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::access::{Access, Present};
use crate::admin::Admin;
use crate::admin::socket::{self, AdminSocket, SocketFile};
use crate::audit::{self, Audit};
use crate::config::settings::StoreKind;
use crate::config::{self, Environment, Overrides, Settings};
use crate::gateway::Gateways;
use crate::identity::Caller;
use crate::keyring::Keyring;
use crate::node::{self, Node};
use crate::once::{self, Calls, OnceService};
use crate::policy::access::ADMIN;
use crate::runtime::arbiters::Arbiters;
use crate::runtime::clock::Clock;
use crate::runtime::ratelimited;
use crate::runtime::seal::{self, ClusterKeys};
use crate::runtime::shutdown::{Phase, Shutdown, StepEnd};
use crate::runtime::tasks::{TaskKind, Tasks};
use crate::server::Server;
use crate::service::Service;
use crate::session::{Parts, Sessions};
use crate::spread::Spread;
use crate::store::Incarnation;
use crate::task::{self, TaskService};
use crate::telemetry::events::{Cautioned, Draining, Event as _, Started, Stopped};
use crate::telemetry::metrics::Metrics;
use crate::transport::{self, Context, Endpoint, stdio};
use listeners::{Listeners, Serving};
use own::Own;
use process::{Opened, Orders, run, standard_input};
use reload::Reload;
use sources::Sources;
use store::OpenedStore;
use welcome::Welcome;

/// How long each step of stopping that should take no time may take.
const STEP: Duration = Duration::from_secs(5);

/// How long a connection may wait for a next request when the process drains. One that is in use has
/// it long before and ends by the answer; on the others hardly anything can be on its way when they
/// are closed.
const UNUSED: Duration = Duration::from_secs(1);

/// Serves HTTP until told to stop.
fn serve(sources: Sources, own: Own) -> Result<(), StartError> {
    let settings = sources.settings()?;
    write_log(&settings);
    run(|tasks, opened| async move {
        let started = Running::start(settings, sources, own, tasks, &opened, Orders::Signals);
        let mut running = started.await?;
        running.started();
        running.welcome();
        let ended = running.until_told_to_stop().await;
        let file = running.stop().await;
        ended.map(|()| file)
    })
    // Goes last: whoever waits for that finds nothing of us left.
    .map(drop)
}

/// Serves standard input and output until the input ends or it is told to stop.
fn stdio(sources: Sources, own: Own) -> Result<(), StartError> {
    let mut settings = sources.settings()?;
    // Such a session lives with its pipes; a client may start several processes in one directory.
    settings.store.kind = StoreKind::Memory;
    if let Some(audit) = &settings.audit {
        if audit.sink == audit::Sink::Stdout {
            return Err(audit::OpenError::StdoutTaken.into());
        }
        if settings.cluster.keys.is_none() {
            return Err(audit::OpenError::Keyless.into());
        }
    }
    write_log(&settings);
    run(|tasks, opened| async move {
        let reload = Reload::new(sources, &settings, false);
        let assembled = Assembled::build(&settings, own, tasks, &opened)?;
        assembled.reload_with(reload);
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
            Orders::Signals.to_stop().await;
            shutdown.advance(Phase::Draining);
        });
        let (input, output) = (standard_input(), tokio::io::stdout());
        let served = stdio::serve(context, endpoint, Arc::new(owner()), input, output);
        let result = served.await.map_err(StartError::Stdio);
        assembled.shutdown.advance(Phase::Stopping);
        let _cut = tokio::time::timeout(STEP, tasks.idle()).await;
        if let Some(audit) = &assembled.audit {
            let _left_to_the_next = tokio::time::timeout(STEP, audit.close()).await;
        }
        result
    })
}

/// Who holds the other end of our standard input: whoever started this process, and could do as well
/// whatever it can do.
fn owner() -> Caller {
    Caller {
        roles: [ADMIN.into()].into(),
        ..Caller::local()
    }
}

/// Serves one service to `caller` on a pair of byte streams in this process, until `input` ends.
/// The same parts as on standard input and output, in the default configuration; it starts no log
/// and keeps no state.
///
/// # Errors
/// [`StartError`].
pub fn piped<I, O>(
    service: Arc<dyn Service>,
    caller: Caller,
    input: I,
    output: O,
) -> Result<(), StartError>
where
    I: AsyncRead + Unpin + 'static,
    O: AsyncWrite + Unpin + Send + 'static,
{
    let overrides = Overrides {
        store: Some("memory:".into()),
        ..Overrides::default()
    };
    let mut settings = config::load(None, &Environment::of(&[]), &overrides)
        .expect("invariant: the default configuration is right");
    settings.server.workers = 1;
    run(|tasks, opened| async move {
        let endpoint = Endpoint {
            name: "main".into(),
            path: "/mcp".into(),
            access: Access::open(),
            service,
        };
        let metrics = Metrics::new();
        let assembled = Assembled::around(&settings, tasks.clone(), metrics, &opened, |_| {
            Ok(vec![endpoint])
        })?;
        let context = assembled.context(&settings);
        let endpoint = assembled.endpoints[0].clone();
        let served = stdio::serve(context, endpoint, Arc::new(caller), input, output).await;
        assembled.shutdown.advance(Phase::Stopping);
        let _cut = tokio::time::timeout(STEP, tasks.idle()).await;
        served.map_err(StartError::Stdio)
    })
}

/// Writes the log of a process that is ours. One that something else has set up is left alone.
fn write_log(settings: &Settings) {
    let _theirs = crate::telemetry::tracing::install(settings.log.format, &settings.log.filter);
}

/// Everything but the listeners.
struct Assembled {
    clock: Clock,
    tasks: Tasks,
    shutdown: Shutdown,
    metrics: Metrics,
    opened: OpenedStore,
    keys: ClusterKeys,
    keyring: Keyring,
    rules: Present,
    node: Node,
    sessions: Sessions,
    servers: Vec<(String, Server)>,
    gateways: Option<Gateways>,
    audit: Option<Audit>,
    counted: Counted,
    endpoints: Vec<Endpoint>,
}

impl Assembled {
    fn build(
        settings: &Settings,
        mut own: Own,
        tasks: Tasks,
        to_close: &Opened,
    ) -> Result<Self, StartError> {
        let metrics = Metrics::new();
        // In a process that has a recorder already, tools count there and we count here.
        let _ours = metrics.install();
        let mut servers = Vec::new();
        let mut gateways = None;
        let assembled = Self::around(settings, tasks, metrics, to_close, |ground| {
            let after = settings.tasks.after;
            let mut endpoints = Vec::new();
            let all = upstreams::start(settings, ground)?;
            for endpoint in &settings.endpoints {
                let gateway = all.as_ref().and_then(|all| all.gateway(&endpoint.name));
                let service: Arc<dyn Service> = if let Some(gateway) = gateway {
                    Arc::new(gateway)
                } else {
                    let server = own.server(endpoint, after, &ground.clock, &ground.keys)?;
                    ground.tasks.spawn(TaskKind::Upkeep, server.background());
                    servers.push((endpoint.name.clone(), server.clone()));
                    Arc::new(server)
                };
                endpoints.push(Endpoint {
                    name: endpoint.name.as_str().into(),
                    path: endpoint.path.clone(),
                    access: Access::open(),
                    service,
                });
            }
            gateways = all;
            Ok(endpoints)
        })?;
        if let Some(gateways) = &gateways {
            let (tasks, gateways) = (assembled.tasks.clone(), gateways.clone());
            tasks.spawn(TaskKind::Upkeep, upstreams::upkeep(gateways));
        }
        Ok(Self {
            servers,
            gateways,
            ..assembled
        })
    }

    /// Everything that there is once per server rather than once per process, around what answers.
    fn around(
        settings: &Settings,
        tasks: Tasks,
        metrics: Metrics,
        to_close: &Opened,
        answering: impl FnOnce(&task::Parts) -> Result<Vec<Endpoint>, StartError>,
    ) -> Result<Self, StartError> {
        let clock = Clock::system();
        let shutdown = Shutdown::default();
        for caution in &settings.cautions {
            Cautioned { caution }.emit(&metrics);
        }
        #[cfg(all(feature = "sabotage", not(test)))]
        if let Some(bug) = settings.sabotage {
            tracing::error!(bug = bug.name(), "this process has a deliberate bug");
            crate::runtime::sabotage::choose(bug);
        }
        let opened = OpenedStore::open(settings, &clock, &tasks)?;
        to_close.is(&opened);
        let keys = match &settings.cluster.keys {
            Some(keys) => keys.clone(),
            None => opened.kept_keys()?,
        };
        let store = opened.as_store();
        let incarnation = Incarnation(u64::from_be_bytes(seal::random()));
        let audit = settings.audit.as_ref().map(|config| {
            let node = format!("{:016x}", incarnation.0);
            Audit::open(config, &keys, &clock, &metrics, &node)
        });
        let audit = audit.transpose()?;
        let node = if opened.is_shared() {
            Node::new(node::Parts {
                store: store.clone(),
                incarnation,
                lease: settings.cluster.lease,
                clock: clock.clone(),
                fingerprints: keys.fingerprints(),
            })
        } else {
            Node::alone(incarnation)
        };
        let task_parts = task::Parts {
            store: store.clone(),
            keys: keys.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
            node: node.clone(),
            metrics: metrics.clone(),
            error_on_the_wire: transport::reply::error_object,
            config: settings.tasks.config,
        };
        let calls = Calls::listen(once::Parts {
            store: store.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            node: node.clone(),
            metrics: metrics.clone(),
            error_on_the_wire: transport::reply::error_object,
        });
        let keyring = Keyring::new(store.clone(), &keys, clock.clone());
        let counted = Counted::of(&opened, settings, &clock, &metrics);
        let audited = audit.as_ref();
        let mut doors = Doors::new(settings, &keyring, &clock, &tasks, audited, counted.clone());
        // Tasks stand before whatever answers.
        let mut with_tasks = Vec::new();
        let mut endpoints = answering(&task_parts)?;
        for endpoint in &mut endpoints {
            doors.hang(endpoint)?;
            let (service, name) = (endpoint.service.clone(), endpoint.name.clone());
            let service = TaskService::before(service, name, task_parts.clone());
            with_tasks.push(service.clone());
            // A call that is made once may become a task: then its handle is what came of it.
            let service = OnceService::before(Arc::new(service), calls.clone());
            endpoint.service = Arc::new(doors.guard(endpoint, Arc::new(service)));
        }
        let rules = doors.rules.clone();
        TaskService::listen(&node, &with_tasks);
        let services = endpoints
            .iter()
            .map(|endpoint| (endpoint.name.clone(), endpoint.service.clone()))
            .collect::<HashMap<_, _>>();
        let sessions = Sessions::start(Parts {
            audit: audit.clone(),
            services,
            store: store.clone(),
            keys: keys.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            arbiters: Arbiters::start(settings.server.workers),
            shutdown: shutdown.clone(),
            node: node.clone(),
            metrics: metrics.clone(),
            config: parts::session_config(settings),
        });
        let upkeep = upkeep(sessions.clone(), metrics.clone(), counted.clone());
        tasks.spawn(TaskKind::Upkeep, upkeep);
        Ok(Self {
            clock,
            tasks,
            shutdown,
            metrics,
            opened,
            keys,
            rules,
            keyring,
            counted,
            node,
            sessions,
            servers: Vec::new(),
            gateways: None,
            audit,
            endpoints,
        })
    }

    /// Takes over new configurations from now on.
    fn reload_with(&self, reload: Reload) {
        if let Some(gateways) = self.gateways.clone() {
            let changing = upstreams::change(gateways, reload.told(), self.clock_and_keys());
            self.tasks.spawn(TaskKind::Upkeep, changing);
        }
        let reload = reload.telling(self.rules.clone(), self.audit.clone());
        let reload = reload.run(self.shutdown.clone(), self.metrics.clone());
        self.tasks.spawn(TaskKind::Upkeep, reload);
    }

    fn clock_and_keys(&self) -> (Clock, ClusterKeys) {
        (self.clock.clone(), self.keys.clone())
    }

    fn context(&self, settings: &Settings) -> Context {
        Context {
            config: Arc::new(parts::transport_config(settings)),
            sessions: self.sessions.clone(),
            node: self.node.clone(),
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
    socket: Option<AdminSocket>,
    orders: Orders,
}

impl Running {
    /// Starts everything, in order.
    async fn start(
        settings: Settings,
        sources: Sources,
        own: Own,
        tasks: Tasks,
        to_close: &Opened,
        orders: Orders,
    ) -> Result<Self, StartError> {
        let reload = Reload::new(sources, &settings, matches!(orders, Orders::Signals));
        let assembled = Assembled::build(&settings, own, tasks, to_close)?;
        let named = assembled.endpoints.iter();
        let named = named.map(|endpoint| (&endpoint.name, &endpoint.service));
        Spread::start(&assembled.node, &assembled.tasks, named);
        let context = assembled.context(&settings);
        let pipes = parts::pipes(&settings, &context, &assembled.endpoints, &assembled.keys);
        // The lease is held before the first request, so that its session may have a stream.
        assembled.node.start().await.map_err(StartError::Serve)?;
        let admin = Admin {
            shutdown: assembled.shutdown.clone(),
            store: assembled.opened.as_store(),
            node: assembled.node.clone(),
            sessions: assembled.sessions.clone(),
            metrics: assembled.metrics.clone(),
            keyring: assembled.keyring.clone(),
            gateways: assembled.gateways.clone(),
            audit: assembled.audit.clone(),
            tokens: assembled.counted.tokens.clone(),
            permits: assembled.counted.permits.clone(),
            clock: assembled.clock.clone(),
        };
        let listeners = Listeners::open(&Serving {
            settings: &settings,
            context: &context,
            endpoints: &assembled.endpoints,
            pipes: pipes.as_ref(),
            admin: &admin,
            shown: reload.shown(),
            tasks: &assembled.tasks,
        })?;
        assembled.opened.name_holder(listeners.address());
        let socket = match orders {
            Orders::Signals => {
                let directory = settings.store.data_directory();
                let path = socket::path(directory, listeners.address().port());
                admin_socket(path, admin, &assembled.tasks)
            }
            // A server inside a program is that program's business, like its signals.
            Orders::Token(_) => None,
        };
        process::caution_about_descriptors(&settings, &assembled.metrics);
        assembled.reload_with(reload);
        Ok(Self {
            assembled,
            settings,
            listeners,
            socket,
            orders,
        })
    }

    /// Ready: says so to operators.
    fn started(&self) {
        let paths = self
            .settings
            .endpoints
            .iter()
            .map(|endpoint| endpoint.path.as_str())
            .collect::<Vec<_>>();
        Started {
            listen: Some(self.listeners.address()),
            admin: self.listeners.admin_address(),
            store: &self.assembled.opened.as_store().describe(),
            endpoints: &paths,
        }
        .emit(&self.assembled.metrics);
    }

    /// Says so to whoever started the process.
    fn welcome(&self) {
        let welcome = Welcome {
            settings: &self.settings,
            servers: &self.assembled.servers,
            address: self.listeners.address(),
            admin_address: self.listeners.admin_address(),
            store: &self.assembled.opened.as_store().describe(),
        };
        // Nobody reading it is no reason to fail.
        let _unread = welcome.write(&mut io::stdout().lock());
    }

    /// Waits to be told, or for a listener to fail.
    async fn until_told_to_stop(&mut self) -> Result<(), StartError> {
        tokio::select! {
            () = self.orders.to_stop() => Ok(()),
            () = self.assembled.shutdown.asked() => Ok(()),
            error = self.listeners.failed() => Err(error),
        }
    }

    /// Stops, in order. What is given back is to be dropped when nothing else is left.
    async fn stop(self) -> Option<SocketFile> {
        let started = Instant::now();
        let listeners = self.listeners;
        let Assembled {
            tasks,
            shutdown,
            metrics,
            opened,
            node,
            sessions,
            gateways,
            audit,
            ..
        } = self.assembled;
        let drain = self.settings.server.timeouts.drain;
        Draining {
            deadline: drain,
            sessions: sessions.live(),
            tasks: tasks.running(),
        }
        .emit(&metrics);
        let report = |step, cut| {
            let end = StepEnd { step, cut };
            end.emit(&metrics);
            shutdown.report(end);
        };
        let hurry = self.orders.to_hurry();
        let patience = async {
            tokio::select! {
                () = tokio::time::sleep(drain) => {}
                () = hurry => {}
            }
        };
        tokio::pin!(patience);
        // Not ready; streams and listens are told and end; answers end their connections.
        shutdown.advance(Phase::Draining);
        let closed = tokio::time::timeout(STEP, listeners.stop_accepting()).await;
        report("accepting", closed.is_err().then_some(1));
        let finished = tokio::select! {
            () = tasks.idle() => true,
            () = &mut patience => false,
        };
        report("calls", (!finished).then(|| tasks.running()));
        let ended = async {
            let _unused = tokio::time::timeout(UNUSED, listeners.connections_ended()).await;
            // What came over them meanwhile.
            tasks.idle().await;
        };
        let drained = tokio::select! {
            () = ended, if finished => true,
            () = &mut patience, if finished => false,
            else => false,
        };
        report("connections", (!drained).then(|| listeners.connections()));
        // What still runs is cut.
        shutdown.advance(Phase::Stopping);
        let closed = tokio::time::timeout(STEP, listeners.close(drained)).await;
        report(
            "listeners",
            closed.is_err().then(|| listeners.connections()),
        );
        // Checkpoints and logs are written.
        let flushed = tokio::time::timeout(STEP, sessions.flush()).await;
        let complete = matches!(flushed, Ok(Ok(())));
        report("checkpoints", (!complete).then(|| sessions.live()));
        if let Some(gateways) = &gateways {
            let ended = tokio::time::timeout(STEP, gateways.stop()).await;
            report("upstreams", ended.is_err().then_some(1));
        }
        // Whatever ended is recorded by now.
        if let Some(audit) = &audit {
            let closed = tokio::time::timeout(STEP, audit.close()).await;
            report("audit", closed.is_err().then_some(1));
        }
        // What this node held may be taken over at once.
        let retired = tokio::time::timeout(STEP, node.retire()).await;
        report("lease", retired.is_err().then_some(1));
        sessions.let_go();
        drop(opened);
        ratelimited::tell_rest();
        Stopped {
            took: started.elapsed(),
        }
        .emit(&metrics);
        // Whoever asked for this is told that it is over.
        shutdown.advance(Phase::Stopped);
        match self.socket {
            Some(socket) => Some(socket.close(STEP).await),
            None => None,
        }
    }
}

/// Serves the admin socket. A node without one serves all the same.
fn admin_socket(path: PathBuf, admin: Admin, tasks: &Tasks) -> Option<AdminSocket> {
    let shown = path.display().to_string();
    match AdminSocket::open(path, admin) {
        Ok((socket, server)) => {
            tasks.spawn(TaskKind::Upkeep, async move {
                if let Err(error) = server.await {
                    tracing::warn!(%error, "the admin socket failed");
                }
            });
            Some(socket)
        }
        Err(error) => {
            tracing::warn!(%error, path = shown, "there is no admin socket");
            None
        }
    }
}

/// Keeps the registry alive, the measurements folded, the limits swept and the warnings counted, for
/// the life of the process.
async fn upkeep(sessions: Sessions, metrics: Metrics, counted: Counted) {
    let mut interval = tokio::time::interval(Duration::from_secs(1));
    loop {
        interval.tick().await;
        sessions.revive_registry();
        metrics.upkeep();
        counted.upkeep();
        ratelimited::tell_overdue();
    }
}
