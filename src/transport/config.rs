//! What an operator can set about the ways in.

use std::sync::Arc;
use std::time::Duration;

use crate::access::Access;
use crate::node::Node;
use crate::policy::origin::{HostPolicy, OriginPolicy};
use crate::protocol::method::Method;
use crate::protocol::prescan;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::tasks::Tasks;
use crate::service::Service;
use crate::session::Sessions;
use crate::telemetry::metrics::Metrics;

/// One served path with what answers there.
#[derive(Clone)]
pub struct Endpoint {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Its path.
    pub path: String,
    /// Who may come in.
    pub access: Access,
    /// Who answers.
    pub service: Arc<dyn Service>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The two paths of the HTTP+SSE transport.
#[derive(Clone, Debug)]
pub struct HttpSse {
    /// Where the stream is opened.
    pub stream_path: String,
    /// Where messages are posted.
    pub message_path: String,
}

/// Bounds, times and allow-lists.
#[derive(Clone, Debug)]
pub struct Config {
    /// HTTP+SSE beside the first endpoint, if it is on.
    pub http_sse: Option<HttpSse>,
    /// Whether we are known by an https URL, and speak TLS ourselves.
    pub is_https_only: bool,
    /// `Host` values we answer to.
    pub hosts: HostPolicy,
    /// `Origin` values we answer to.
    pub origins: OriginPolicy,
    /// Origins whose pages may read our answers; without it there is no CORS.
    pub cors: Option<OriginPolicy>,
    /// Bytes of a request body.
    pub body_max: usize,
    /// Bytes of all header fields together.
    pub header_block_max: usize,
    /// Bytes of one header field.
    pub header_field_max: usize,
    /// Number of header fields.
    pub header_count_max: usize,
    /// Bytes of the request target.
    pub uri_max: usize,
    /// What the pre-scan lets through.
    pub json: prescan::Limits,
    /// Bytes of one result or event.
    pub event_max: usize,
    /// Bytes of one line on stdio.
    pub line_max: usize,
    /// Connections of one address that is not loopback.
    pub connections_per_address: usize,
    /// Open event streams.
    pub streams_max: usize,
    /// Time until the headers are there.
    pub header_read: Duration,
    /// Time between two pieces of a body.
    pub body_idle: Duration,
    /// Time until the body is there.
    pub body_total: Duration,
    /// Time without progress until a stalled connection is cut.
    pub write_stall: Duration,
    /// Time a connection may idle between requests.
    pub keep_alive: Duration,
    /// How long an answer stays a plain object before it becomes a stream.
    pub grace: Duration,
    /// How long a call may take.
    pub call_deadline: Duration,
    /// How long any task may take.
    pub task_deadline: Duration,
    /// How long a list or a completion may take.
    pub list_deadline: Duration,
    /// Time between two heartbeats on a stream.
    pub heartbeat: Duration,
    /// The same on a stateless stream while a call runs: a client that closed is noticed only by
    /// writing to it, and closing is how it cancels.
    pub stateless_heartbeat: Duration,
}

impl Config {
    /// How long a call of this method may take.
    #[must_use]
    pub const fn deadline_of(&self, method: &Method) -> Duration {
        match method {
            Method::ToolsCall | Method::ResourcesRead | Method::PromptsGet | Method::Other(_) => {
                self.call_deadline
            }
            Method::Initialize
            | Method::Ping
            | Method::Discover
            | Method::Listen
            | Method::ToolsList
            | Method::ResourcesList
            | Method::ResourceTemplatesList
            | Method::ResourcesSubscribe
            | Method::ResourcesUnsubscribe
            | Method::PromptsList
            | Method::Complete
            | Method::SetLevel
            | Method::TasksGet
            | Method::TasksUpdate
            | Method::TasksCancel
            | Method::TasksList => self.list_deadline,
            // It waits for a task, which ends by itself.
            Method::TasksResult => self.task_deadline,
        }
    }
}

/// What every handler needs.
#[derive(Clone, Debug)]
pub struct Context {
    /// Bounds, times and allow-lists.
    pub config: Arc<Config>,
    /// The sessions of this node.
    pub sessions: Sessions,
    /// This node among the others.
    pub node: Node,
    /// The main runtime.
    pub tasks: Tasks,
    /// Where to count.
    pub metrics: Metrics,
    /// How far the process is on its way out.
    pub shutdown: Shutdown,
    /// Places for open streams.
    pub streams: Arc<tokio::sync::Semaphore>,
}
