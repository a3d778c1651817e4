//! What the parts need: plain values that are right by themselves and fit together.
//!
//! `app` turns these into each part's own `Config`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::change::Written;
use crate::audit;
use crate::auth::proxy;
use crate::auth::token::IssuerConfig;
use crate::gateway;
use crate::policy::origin::{HostPolicy, OriginPolicy};
use crate::policy::{Limits, Policy};
#[cfg(feature = "sabotage")]
use crate::runtime::sabotage::Bug;
use crate::runtime::seal::ClusterKeys;
use crate::store::{Bounds, redis};
use crate::task;
use crate::telemetry::tracing::{Filter, LogFormat};
use crate::transport::tls;

/// A whole configuration, resolved.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen, whom to answer, and what a request may cost.
    pub server: ServerSettings,
    /// The life and the number of sessions.
    pub sessions: SessionSettings,
    /// How long calls may take.
    pub calls: CallSettings,
    /// Calls that go on as tasks.
    pub tasks: TaskSettings,
    /// Event streams.
    pub streams: StreamSettings,
    /// Where state is kept, and how much of it.
    pub store: StoreSettings,
    /// What all nodes share.
    pub cluster: ClusterSettings,
    /// The served paths, in the order of their names; at least one.
    pub endpoints: Vec<EndpointSettings>,
    /// The proofs that are accepted.
    pub auth: AuthSettings,
    /// The upstreams, and the endpoints that have some.
    pub gateway: gateway::config::Config,
    /// Who may call what, and how often.
    pub policy: PolicySettings,
    /// The record of what happened, if there is to be one.
    pub audit: Option<audit::Config>,
    /// A listener of its own for `/health`, `/ready` and `/metrics`.
    pub admin_listen: Option<SocketAddr>,
    /// Whether that one speaks TLS too.
    pub admin_tls: bool,
    /// Log lines.
    pub log: LogSettings,
    /// What is allowed but should be said loudly at start.
    pub cautions: Vec<String>,
    /// All of it as it was written, to tell what a later configuration changes.
    pub(super) written: Written,
    /// The deliberate bug this process is to have.
    #[cfg(feature = "sabotage")]
    pub sabotage: Option<Bug>,
}

/// See [`Settings::policy`].
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySettings {
    /// Who may call what. Without any role all is left to `admin`; everybody may do everything where
    /// nobody is authenticated either.
    pub access: Policy,
    /// How often.
    pub limits: Limits,
}

/// See [`Settings::server`].
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The listening address.
    pub listen: SocketAddr,
    /// The URL clients use, without a trailing slash.
    pub public_url: Option<String>,
    /// Which `Host` may pass.
    pub hosts: HostPolicy,
    /// Which `Origin` may pass.
    pub origins: OriginPolicy,
    /// Which origins may read answers; `None`: no CORS headers at all.
    pub cors: Option<OriginPolicy>,
    /// HTTP+SSE, if it is served.
    pub http_sse: Option<HttpSseSettings>,
    /// TLS, if it is spoken.
    pub tls: Option<TlsSettings>,
    /// Threads that serve requests.
    pub workers: usize,
    /// What a request, an answer or an address may cost.
    pub limits: LimitSettings,
    /// How long a client may keep us waiting.
    pub timeouts: TimeoutSettings,
}

/// See [`ServerSettings::tls`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// How it is spoken.
    pub config: tls::Config,
    /// The files of the certificate and its key: when they hold something else, that is shown.
    pub files: Vec<PathBuf>,
}

/// Where HTTP+SSE is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSseSettings {
    /// Where its stream is opened.
    pub path: String,
    /// Where its messages are posted.
    pub messages_path: String,
    /// The place in [`Settings::endpoints`] of the endpoint it serves.
    pub endpoint: usize,
}

/// What a request, an answer or an address may cost; sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// The body of a request.
    pub body: usize,
    /// All header fields of a request together.
    pub header_block: usize,
    /// One header field.
    pub header_field: usize,
    /// Header fields of a request.
    pub header_count: usize,
    /// The request target.
    pub uri: usize,
    /// Nesting of a JSON message.
    pub json_depth: usize,
    /// Members of all objects and arrays of a JSON message.
    pub json_members: usize,
    /// Connections from one address other than loopback.
    pub connections_per_address: usize,
    /// One event of a stream, one result.
    pub event: usize,
    /// One line on standard input or output.
    pub line: usize,
}

/// How long a client may keep us waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutSettings {
    /// From the first byte of a request to the end of its headers.
    pub header_read: Duration,
    /// Between two pieces of a body.
    pub body_idle: Duration,
    /// For a whole body.
    pub body_total: Duration,
    /// How long a client may leave what we write unread.
    pub write_stall: Duration,
    /// Between two requests of a connection.
    pub keep_alive: Duration,
    /// For what still runs, when the process is told to stop.
    pub drain: Duration,
}

/// See [`Settings::sessions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// Sessions whose home is this node.
    pub max: usize,
    /// Sessions of one principal, live or only in the store.
    pub max_per_principal: usize,
    /// How long an unused session is kept.
    pub idle_ttl: Duration,
    /// How long any session is kept.
    pub absolute_ttl: Duration,
    /// How long a session without a socket or a call stays in memory.
    pub passivate_after: Duration,
    /// Calls running in one session at a time.
    pub calls_per_session: usize,
}

/// See [`Settings::calls`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallSettings {
    /// How long a call may take before its answer becomes a stream.
    pub grace: Duration,
    /// For a call, without the time spent waiting for its client's answers.
    pub deadline: Duration,
    /// For a client's answer to one question.
    pub question: Duration,
    /// For a list.
    pub list_deadline: Duration,
}

/// See [`Settings::tasks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskSettings {
    /// When calls of any tool become tasks; `None`: only calls of tools that say so.
    pub after: Option<Duration>,
    /// Bounds and times.
    pub config: task::Config,
}

/// See [`Settings::streams`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// Open streams on this node.
    pub max: usize,
    /// How often a silent stream shows that it lives.
    pub heartbeat: Duration,
    /// The same for stateless streams while a call runs.
    pub stateless_heartbeat: Duration,
    /// How soon a client whose stream broke should come back.
    pub retry: Duration,
    /// Events on their way to the store before progress waits.
    pub unacknowledged: usize,
}

/// See [`Settings::store`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Which store.
    pub kind: StoreKind,
    /// Bounds of its event logs and inboxes.
    pub bounds: Bounds,
}

impl StoreSettings {
    /// Where this node has its files, relative to the working directory.
    #[must_use]
    pub fn data_directory(&self) -> &Path {
        match &self.kind {
            StoreKind::Embedded { directory } => directory,
            StoreKind::Memory | StoreKind::Redis(_) => Path::new(super::defaults::DATA_DIRECTORY),
        }
    }
}

/// A store, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// In this process; ends with it.
    Memory,
    /// In a directory.
    Embedded {
        /// Which, relative to the working directory.
        directory: PathBuf,
    },
    /// In Redis, shared by many nodes.
    Redis(Box<redis::Config>),
}

/// See [`Settings::cluster`].
#[derive(Clone, Debug)]
pub struct ClusterSettings {
    /// The configured keys; without, the store's directory keeps one, or the process makes one. Always
    /// there with a store that nodes share.
    pub keys: Option<ClusterKeys>,
    /// How long a node that is not heard of counts as living.
    pub lease: Duration,
}

/// A served path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSettings {
    /// Its name.
    pub name: String,
    /// Its canonical path.
    pub path: String,
    /// What it serves.
    pub serves: Serves,
    /// What lets a caller in; nothing is asked if there is none.
    pub ways: Vec<Way>,
}

/// See [`Settings::auth`].
#[derive(Clone, Debug, Default)]
pub struct AuthSettings {
    /// API keys, if they are accepted.
    pub api_keys: Option<ApiKeySettings>,
    /// Issuers of access tokens.
    pub oidc: Vec<OidcSettings>,
    /// Proxies that say who calls.
    pub proxy: Option<proxy::Config>,
    /// Whether client certificates say who calls.
    pub certificates: bool,
}

/// API keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeySettings {
    /// How long a key is good that names no other time.
    pub life: Duration,
}

/// An issuer of access tokens.
#[derive(Clone, Debug)]
pub struct OidcSettings {
    /// Its name in the configuration.
    pub name: String,
    /// How its tokens are checked.
    pub config: IssuerConfig,
    /// The scopes that clients are told to ask for first.
    pub scopes: BTreeSet<String>,
}

/// A kind of proof that lets a caller in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// An API key.
    ApiKeys,
    /// An access token of the issuer with that name.
    Oidc(String),
    /// The word of a proxy.
    Proxy,
    /// A client certificate.
    Certificates,
}

/// What an endpoint serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// A set of built-in tools.
    Builtin(BuiltinSet),
    /// Tools of the program's own.
    Own,
    /// Upstreams: those that [`Settings::gateway`] names for it.
    Upstreams,
    /// Nothing.
    Nothing,
}

/// A set of built-in tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuiltinSet {
    /// The demonstration tools.
    Demo,
    /// What the conformance suite asks for.
    Conformance,
}

impl BuiltinSet {
    /// Its name, as it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Conformance => "conformance",
        }
    }
}

/// See [`Settings::log`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// How a line is written.
    pub format: LogFormat,
    /// Which lines are written.
    pub filter: Filter,
}

impl Settings {
    /// The endpoint for a transport that has no paths: `main`, or else the only one, or else the
    /// first.
    #[must_use]
    pub fn main_endpoint(&self) -> Option<&EndpointSettings> {
        let named = self
            .endpoints
            .iter()
            .find(|endpoint| endpoint.name == super::defaults::ENDPOINT_NAME);
        named.or(self.endpoints.first())
    }
}
