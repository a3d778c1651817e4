//! The composition root: what the process is made of, the order in which it starts, and the order
//! in which it stops. Nowhere else is either written.
//!
//! Start: log, store, keys, services, sessions, listeners, then ready. Whatever fails says so in
//! one sentence and leaves nothing behind.
//!
//! Stop ([`stop`]): not ready; streams are told; calls finish within the grace; listeners close;
//! checkpoints are written; what still runs is cut. Each step has a deadline and reports whether it
//! finished or was cut.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use tokio::io::AsyncWriteExt as _;

use crate::admin::{self, Admin};
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
use crate::session::{self, Parts, Sessions};
use crate::store::embedded::{EmbeddedStore, OpenError};
use crate::store::memory::MemoryStore;
use crate::store::{Bounds, Incarnation, Store};
use crate::task::{self, TaskService};
use crate::telemetry::events::{Cautioned, Draining, Event as _, Started, StopStep, Stopped};
use crate::telemetry::metrics::Metrics;
use crate::transport::http::Doorkeeper;
use crate::transport::http_sse::Pipes;
use crate::transport::{self, Context, Endpoint, http, middleware, stdio};

/// Connections that may wait to be accepted: a whole node's clients coming back at once.
const BACKLOG: u32 = 4_096;
/// How long each step of stopping that should take no time may take.
const STEP: Duration = Duration::from_secs(5);

/// Why the process could not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The main runtime could not be built.
    #[error("failed to start the runtime")]
    Runtime(#[source] io::Error),
    /// The store could not be opened; the text is the whole sentence.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The address could not be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// The cluster key of the data directory could not be kept.
    #[error("cannot keep the cluster key in {path}")]
    Key {
        /// Where it should be.
        path: String,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// A running listener failed.
    #[error("serving failed")]
    Serve(#[source] io::Error),
    /// Standard input or output failed.
    #[error("standard input or output failed")]
    Stdio(#[source] io::Error),
}

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

/// Standard input, read on a thread of its own: a read that nobody ends must not hold up stopping.
fn standard_input() -> impl tokio::io::AsyncRead {
    use std::io::Read as _;
    /// What one read takes; more waits in the pipe.
    const READ: usize = 64 * 1024;
    let (input, mut sink) = tokio::io::simplex(READ);
    let runtime = tokio::runtime::Handle::current();
    std::thread::spawn(move || {
        let mut buffer = vec![0; READ];
        while let Ok(count @ 1..) = io::stdin().lock().read(&mut buffer) {
            let written = runtime.block_on(sink.write_all(&buffer[..count]));
            if written.is_err() {
                break;
            }
        }
        // The end of the input, and an input that cannot be read, end the pipe alike. Nobody left
        // to read it is no reason to say anything.
        let _unread = runtime.block_on(sink.shutdown());
    });
    input
}

/// Runs `main` inside an actix system, with the main runtime beside it.
fn run<T, F>(main: impl FnOnce(Tasks) -> F) -> Result<T, StartError>
where
    F: Future<Output = Result<T, StartError>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("main")
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    let tasks = Tasks::on(runtime.handle().clone());
    let result = actix_web::rt::System::new().block_on(main(tasks));
    // What was not waited for by now is cut.
    runtime.shutdown_timeout(STEP);
    result
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
            config: session_config(settings),
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
            config: Arc::new(transport_config(settings)),
            sessions: self.sessions.clone(),
            tasks: self.tasks.clone(),
            metrics: self.metrics.clone(),
            shutdown: self.shutdown.clone(),
            streams: Arc::new(tokio::sync::Semaphore::new(settings.streams.max)),
        }
    }
}

/// A server that takes traffic.
pub struct Running {
    assembled: Assembled,
    settings: Settings,
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    listeners: Vec<ServerHandle>,
    failed: tokio::sync::mpsc::Receiver<io::Error>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Starts everything, in order.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(settings: Settings, tasks: Tasks) -> Result<Self, StartError> {
        let assembled = Assembled::build(&settings, tasks)?;
        let context = assembled.context(&settings);
        let admin = Admin {
            shutdown: assembled.shutdown.clone(),
            sessions: assembled.sessions.clone(),
            metrics: assembled.metrics.clone(),
        };
        let (failures, failed) = tokio::sync::mpsc::channel(2);
        let mut listeners = Vec::new();
        let mut listen = |address, with_endpoints, with_admin| {
            let pipes = pipes(&settings, &assembled.endpoints);
            let endpoints = assembled.endpoints.clone();
            let (context, admin) = (context.clone(), admin.clone());
            let doorkeeper = Doorkeeper::new(context.config.clone(), context.metrics.clone());
            let app_context = context.clone();
            let server = HttpServer::new(move || {
                App::new()
                    .wrap(from_fn(middleware::guard))
                    .app_data(web::Data::new(app_context.clone()))
                    .configure(|app| {
                        if with_endpoints {
                            http::routes(app, &app_context, &endpoints, pipes.as_ref());
                        }
                        if with_admin {
                            admin::routes(app, &admin);
                        }
                    })
                    .default_service(web::to(http::nothing_here))
            });
            let config = &context.config;
            let server = server
                .workers(settings.server.workers)
                .backlog(BACKLOG)
                .client_request_timeout(config.header_read)
                .keep_alive(config.keep_alive)
                .on_connect(move |connection, extensions| {
                    doorkeeper.connected(connection, extensions);
                })
                .disable_signals()
                .shutdown_timeout(STEP.as_secs())
                .bind(address)
                .map_err(|source| StartError::Listen { address, source })?;
            let bound = server.addrs().first().copied().unwrap_or(address);
            let server = server.run();
            listeners.push(server.handle());
            let failures = failures.clone();
            assembled.tasks.spawn(TaskKind::Upkeep, async move {
                if let Err(error) = server.await {
                    let _told = failures.send(error).await;
                }
            });
            Ok::<_, StartError>(bound)
        };
        let admin_listen = settings.admin_listen;
        let address = listen(settings.server.listen, true, admin_listen.is_none())?;
        let admin_address = match admin_listen {
            Some(address) => Some(listen(address, false, true)?),
            None => None,
        };
        assembled.opened.name_holder(address);
        caution_about_descriptors(&settings, &assembled.metrics);
        Ok(Self {
            assembled,
            settings,
            address,
            admin_address,
            listeners,
            failed,
        })
    }

    /// The address of the main listener.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
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
            listen: Some(self.address),
            admin: self.admin_address,
            store: &store,
            endpoints: &paths,
        }
        .emit(&self.assembled.metrics);
        // Nobody reading it is no reason to fail.
        let _unread = self.write_welcome(&mut io::stdout().lock(), &store);
    }

    fn write_welcome(&self, out: &mut impl io::Write, store: &str) -> io::Result<()> {
        let base = format!("http://{}", self.address);
        let url = self.settings.server.public_url.as_ref().unwrap_or(&base);
        writeln!(out, "switchboard {}", env!("CARGO_PKG_VERSION"))?;
        for endpoint in &self.settings.endpoints {
            let tools = match endpoint.builtin {
                Some(BuiltinSet::Demo) => "demonstration tools",
                Some(BuiltinSet::Conformance) => "conformance tools",
                None => "nothing yet",
            };
            writeln!(
                out,
                "  serving  {base}{}  ({tools}; every MCP revision)",
                endpoint.path
            )?;
        }
        if let Some(http_sse) = &self.settings.server.http_sse {
            writeln!(
                out,
                "  and      {base}{}  (HTTP+SSE, for clients of 2024-11-05)",
                http_sse.path
            )?;
        }
        let admin = self.admin_address.unwrap_or(self.address);
        writeln!(out, "  admin    http://{admin}/health  /ready  /metrics")?;
        writeln!(out, "  store    {store}")?;
        if self.address.ip().is_loopback() {
            writeln!(out, "  auth     none: only this machine can connect")?;
        } else {
            writeln!(
                out,
                "  auth     NONE: everybody who reaches {} can call",
                self.address
            )?;
        }
        let path = self
            .settings
            .main_endpoint()
            .map_or("/mcp", |endpoint| &endpoint.path);
        writeln!(out, "\nFor your client's configuration:")?;
        writeln!(
            out,
            r#"  {{"mcpServers": {{"switchboard": {{"type": "http", "url": "{url}{path}"}}}}}}"#
        )?;
        out.flush()
    }

    /// Waits for SIGTERM or SIGINT, or for a listener to fail.
    async fn until_told_to_stop(&mut self) -> Result<(), StartError> {
        tokio::select! {
            () = told_to_stop() => Ok(()),
            failed = self.failed.recv() => match failed {
                Some(error) => Err(StartError::Serve(error)),
                None => Ok(()),
            },
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
        let closing = self.listeners.iter().map(|listener| listener.stop(drained));
        let closed = tokio::time::timeout(STEP, futures_util::future::join_all(closing)).await;
        report("listeners", closed.is_err().then_some(self.listeners.len()));
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

/// Resolves at SIGTERM or SIGINT (Ctrl-C).
async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        // Without handlers the signals still end the process, only not in order.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
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

/// The store, in the form this module needs of it.
#[derive(Clone)]
enum OpenedStore {
    Memory(Arc<MemoryStore>),
    Embedded(Arc<EmbeddedStore>, std::path::PathBuf),
}

impl OpenedStore {
    fn open(settings: &Settings, clock: &Clock) -> Result<Self, StartError> {
        let bounds = Bounds {
            // Without identities everybody is one principal, so its bound is that of the store,
            // where the records of tasks count too.
            scopes: settings.sessions.max_per_principal,
            ..settings.store.bounds
        };
        Ok(match &settings.store.kind {
            StoreKind::Memory => Self::Memory(Arc::new(MemoryStore::new(clock.clone(), bounds))),
            StoreKind::Embedded { directory } => Self::Embedded(
                Arc::new(EmbeddedStore::open(directory, clock.clone(), bounds)?),
                directory.clone(),
            ),
        })
    }

    fn as_store(&self) -> Arc<dyn Store> {
        match self {
            Self::Memory(store) => store.clone(),
            Self::Embedded(store, _) => store.clone(),
        }
    }

    /// The cluster keys of a process nobody gave any: kept beside the sessions they are for.
    fn kept_keys(&self) -> Result<ClusterKeys, StartError> {
        match self {
            Self::Memory(_) => Ok(ClusterKeys::generate()),
            Self::Embedded(_, directory) => {
                let path = directory.join("cluster.key");
                keep_key(&path).map_err(|source| StartError::Key {
                    path: path.display().to_string(),
                    source,
                })
            }
        }
    }

    fn name_holder(&self, address: SocketAddr) {
        if let Self::Embedded(store, _) = self
            && let Err(error) = store.name_holder(&format!("listening on {address}"))
        {
            tracing::warn!(%error, "the lock file could not be written");
        }
    }
}

/// Reads the key file, or makes it: readable by its owner alone, and never half written.
fn keep_key(path: &std::path::Path) -> io::Result<ClusterKeys> {
    use std::os::unix::fs::OpenOptionsExt as _;
    match std::fs::read_to_string(path) {
        Ok(text) => ClusterKeys::from_hex(&[text.trim()])
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let keys = ClusterKeys::generate();
            let fresh = path.with_extension("key.new");
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&fresh)?;
            writeln!(file, "{}", keys.signing_key_hex())?;
            file.sync_all()?;
            std::fs::rename(&fresh, path)?;
            Ok(keys)
        }
        Err(error) => Err(error),
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

/// Says so if this process may not open as many files as it may hold sessions with a stream each.
/// It serves all the same: most deployments never get there.
fn caution_about_descriptors(settings: &Settings, metrics: &Metrics) {
    /// What the process itself needs: store, listeners, event queues, logs.
    const OWN_FILES: usize = 1_000;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let allowed = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    let wanted = settings.sessions.max + OWN_FILES;
    if let Some(allowed) = allowed.filter(|allowed| *allowed < wanted) {
        let caution = format!(
            "this process may open {allowed} files; {wanted} are advised for {} sessions with a \
             stream each (ulimit -n)",
            settings.sessions.max
        );
        Cautioned { caution: &caution }.emit(metrics);
    }
}

fn pipes(settings: &Settings, endpoints: &[Endpoint]) -> Option<Pipes> {
    let http_sse = settings.server.http_sse.as_ref()?;
    endpoints.get(http_sse.endpoint).cloned().map(Pipes::new)
}

fn session_config(settings: &Settings) -> session::Config {
    session::Config {
        max: settings.sessions.max,
        calls_per_session: settings.sessions.calls_per_session,
        idle_ttl: settings.sessions.idle_ttl,
        absolute_ttl: settings.sessions.absolute_ttl,
        passivate_after: settings.sessions.passivate_after,
        question_timeout: settings.calls.question,
        retry: settings.streams.retry,
        unacknowledged: settings.streams.unacknowledged,
    }
}

fn transport_config(settings: &Settings) -> transport::Config {
    let server = &settings.server;
    transport::Config {
        http_sse: server.http_sse.as_ref().map(|paths| transport::HttpSse {
            stream_path: paths.path.clone(),
            message_path: paths.messages_path.clone(),
        }),
        hosts: server.hosts.clone(),
        origins: server.origins.clone(),
        cors: server.cors.clone(),
        body_max: server.limits.body,
        header_block_max: server.limits.header_block,
        header_field_max: server.limits.header_field,
        header_count_max: server.limits.header_count,
        uri_max: server.limits.uri,
        json: crate::protocol::prescan::Limits {
            depth: server.limits.json_depth,
            members: server.limits.json_members,
        },
        event_max: server.limits.event,
        line_max: server.limits.line,
        connections_per_address: server.limits.connections_per_address,
        streams_max: settings.streams.max,
        header_read: server.timeouts.header_read,
        body_idle: server.timeouts.body_idle,
        body_total: server.timeouts.body_total,
        write_stall: server.timeouts.write_stall,
        keep_alive: server.timeouts.keep_alive,
        grace: settings.calls.grace,
        call_deadline: settings.calls.deadline,
        list_deadline: settings.calls.list_deadline,
        task_deadline: settings.tasks.config.ttl_max,
        heartbeat: settings.streams.heartbeat,
        stateless_heartbeat: settings.streams.stateless_heartbeat,
    }
}
