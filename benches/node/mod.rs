//! Sessions in a process of their own: what the benches of `session` stand on.
//!
//! Clock and store are the bench's own; the server behind the sessions offers nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::SystemRunner;
use switchboard::identity::Caller;
use switchboard::protocol::version::ProtocolVersion;
use switchboard::runtime::arbiters::Arbiters;
use switchboard::runtime::clock::Clock;
use switchboard::runtime::seal::ClusterKeys;
use switchboard::runtime::shutdown::Shutdown;
use switchboard::runtime::tasks::Tasks;
use switchboard::server::Server;
use switchboard::service::{Client, Service};
use switchboard::session::{Config, NewSession, Parts, SessionHandle, Sessions};
use switchboard::store::{Incarnation, Store};
use switchboard::telemetry::metrics::Metrics;
use tokio::runtime::Runtime;

/// The endpoint every session is opened at.
pub(crate) const ENDPOINT: &str = "main";

/// Longer than any bench runs.
const FOR_EVER: Duration = Duration::from_secs(1_000_000_000);

/// The sessions of one node, and what they run on.
pub(crate) struct Node {
    /// Where benches wait.
    pub(crate) runtime: Runtime,
    /// What is benched.
    pub(crate) sessions: Sessions,
    /// The arbiters the actors live on belong to it.
    _system: SystemRunner,
}

impl Node {
    /// A node whose sessions are passivated after being unused for so long.
    pub(crate) fn start(clock: &Clock, store: Arc<dyn Store>, passivate_after: Duration) -> Self {
        let runtime = Runtime::new().expect("a runtime can be built");
        let system = actix::System::new();
        let keys = ClusterKeys::generate();
        let server = Server::builder("bench", "0").build(&keys);
        let service: Arc<dyn Service> = Arc::new(server.expect("an empty server is well-formed"));
        let parts = Parts {
            audit: None,
            services: HashMap::from([(ENDPOINT.into(), service)]),
            store,
            keys,
            clock: clock.clone(),
            tasks: Tasks::on(runtime.handle().clone()),
            arbiters: Arbiters::start(1),
            shutdown: Shutdown::default(),
            node: switchboard::node::Node::alone(Incarnation(1)),
            metrics: Metrics::new(),
            config: Config {
                idle_ttl: FOR_EVER,
                absolute_ttl: FOR_EVER,
                passivate_after,
                ..Config::default()
            },
        };
        let sessions = system.block_on(async { Sessions::start(parts) });
        Self {
            runtime,
            sessions,
            _system: system,
        }
    }

    /// Opens `count` sessions.
    pub(crate) fn open(&self, count: usize) -> Vec<SessionHandle> {
        let open = || NewSession {
            version: ProtocolVersion::V2025_11_25,
            client: Client::unknown(),
            caller: Arc::new(Caller::local()),
            endpoint: ENDPOINT.into(),
        };
        let all = (0..count).map(|_| self.sessions.open(open()));
        self.runtime
            .block_on(futures_util::future::try_join_all(all))
            .expect("there is room for the bench's sessions")
    }
}
