//! Nodes of one process that share a store, each with the same server behind tasks and changes.

mod changes;
mod once_only;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::identity::Caller;
use crate::node::{Node, sharing};
use crate::once::{self, Calls, OnceService};
use crate::protocol::capabilities::ClientCapabilities;
use crate::protocol::jsonrpc::{Params, ResponseError};
use crate::protocol::method::Method;
use crate::protocol::raw::RawJson;
use crate::protocol::version::ProtocolVersion;
use crate::runtime::clock::Clock;
use crate::runtime::seal::ClusterKeys;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::tasks::Tasks;
use crate::server::{Server, ServerBuilder};
use crate::service::{
    Call, CallContext, Client, Deadline, Ongoing, Quiet, Reply, Service, ServiceError, SessionKey,
};
use crate::spread::Spread;
use crate::store::Store;
use crate::task::{self, TaskService};
use crate::telemetry::metrics::Metrics;

/// Far above what anything here takes; reaching it is a fault.
const PATIENCE: Duration = Duration::from_secs(30);

/// One node.
struct One {
    node: Node,
    server: Server,
    service: Arc<dyn Service>,
}

/// Nodes that know of each other, each with a server of its own.
async fn nodes<const N: usize>(server: impl Fn(usize) -> ServerBuilder) -> [One; N] {
    let (store, keys) = (sharing::store(), ClusterKeys::generate());
    let nodes = std::array::from_fn(|at| One::build(&store, &keys, at, server(at)));
    sharing::start(&nodes.each_ref().map(|one| &one.node)).await;
    nodes
}

impl One {
    fn build(store: &Arc<dyn Store>, keys: &ClusterKeys, at: usize, server: ServerBuilder) -> Self {
        let tasks = Tasks::on(tokio::runtime::Handle::current());
        let node = sharing::node(store, at as u64);
        let server = server.build(keys).expect("the server can be built");
        let parts = task::Parts {
            store: store.clone(),
            keys: keys.clone(),
            clock: Clock::system(),
            tasks: tasks.clone(),
            shutdown: Shutdown::default(),
            node: node.clone(),
            metrics: Metrics::new(),
            error_on_the_wire,
            config: task::Config {
                ttl: Duration::from_secs(60),
                ttl_max: Duration::from_secs(60),
                poll_interval: Duration::from_secs(1),
                max: 100,
                max_per_principal: 100,
                max_kept: 100,
                max_kept_bytes: 1 << 20,
                result_max: 1 << 20,
            },
        };
        let name: Arc<str> = "main".into();
        let with_tasks = TaskService::before(Arc::new(server.clone()), name.clone(), parts);
        TaskService::listen(&node, [&with_tasks]);
        let calls = Calls::listen(once::Parts {
            store: store.clone(),
            clock: Clock::system(),
            tasks: tasks.clone(),
            node: node.clone(),
            metrics: Metrics::new(),
            error_on_the_wire,
        });
        let service: Arc<dyn Service> = Arc::new(OnceService::before(Arc::new(with_tasks), calls));
        Spread::start(&node, &tasks, [(&name, &service)]);
        Self {
            node,
            server,
            service,
        }
    }

    /// A call of somebody who can follow tasks and be asked.
    async fn call(
        &self,
        version: ProtocolVersion,
        method: Method,
        params: Value,
    ) -> Result<Value, ServiceError> {
        let cancel = CancellationToken::new();
        self.call_until(cancel, version, method, params).await
    }

    /// The same, which can be cancelled.
    async fn call_until(
        &self,
        cancel: CancellationToken,
        version: ProtocolVersion,
        method: Method,
        params: Value,
    ) -> Result<Value, ServiceError> {
        let capabilities = json!({
            "elicitation": {},
            "extensions": {"io.modelcontextprotocol/tasks": {}}
        });
        let capabilities = ClientCapabilities::parse(RawJson::of(&capabilities));
        let context = CallContext {
            caller: Arc::new(Caller::local()),
            origin: Arc::default(),
            credential: None,
            endpoint: "main".into(),
            session: (version == ProtocolVersion::V2025_11_25).then(|| SessionKey("s".into())),
            version,
            client: Arc::new(Client {
                capabilities: capabilities.expect("these can be read"),
                info: None,
            }),
            progress_token: None,
            cancel,
            deadline: Deadline::after(PATIENCE),
            outlet: Arc::new(Quiet),
            ongoing: Ongoing::default(),
        };
        let call = self.service.call(Call {
            method,
            params: Params::new(RawJson::of(&params)),
            context,
        });
        let answered = within("the call is answered", call).await;
        answered.map(|Reply { members, .. }| members.to_value())
    }

    /// The same, answered.
    async fn ask(&self, version: ProtocolVersion, method: Method, params: Value) -> Value {
        let answered = self.call(version, method, params).await;
        answered.expect("the call has a result")
    }
}

fn error_on_the_wire(error: &ServiceError, _: ProtocolVersion) -> ResponseError {
    ResponseError {
        code: -32603,
        message: error.to_string(),
        data: None,
    }
}

/// What comes of `future`, which must not take long.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, future).await;
    outcome.unwrap_or_else(|_| panic!("not in time: {what}"))
}
