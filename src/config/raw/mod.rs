//! The configuration as it is written: one struct per table, one field per key.
//!
//! These types are the only list of keys there is. The key tree that unknown keys are checked
//! against, the environment variables and the JSON Schema (`switchboard schema`) all derive from
//! them; doc comments become the schema's descriptions. Each value is checked by itself here;
//! what concerns two keys is checked in `resolve.rs`.

mod audit;
mod auth;
mod gateway;
mod policy;
mod upstream_auth;

pub use audit::{
    Audit, OnFailure as AuditOnFailure, Payloads, RedactedTool, Redaction, Retention,
    TenantRetention,
};
pub use auth::{ApiKeys, Auth, Oidc, Proxy};
pub use gateway::{
    Breaker, Gateway, Isolation, Pin, Root, Set, Tool, Upstream, UpstreamLimits, UpstreamTimeouts,
};
pub use upstream_auth::{AuthKind, UpstreamAuth};

pub use policy::{
    AnyOf, Binding, CallLimits, OnFailure, RateLimit, Role, RoleLimits, Rule, Running, Scalar,
};

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::config::defaults;
use crate::config::values::{ByteSize, Period};

/// The configuration of Switchboard.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Switchboard configuration")]
pub struct Raw {
    /// Where to listen, whom to answer, and what a request may cost.
    pub server: Server,
    /// The life and the number of sessions.
    pub sessions: Sessions,
    /// How long calls may take.
    pub calls: Calls,
    /// Calls that go on as tasks.
    pub tasks: Tasks,
    /// Event streams and their replay.
    pub streams: Streams,
    /// Where state that outlives the process is kept.
    pub store: Store,
    /// What all nodes share.
    pub cluster: Cluster,
    /// The served paths, each under a name of your choice. Without any, `/mcp` serves all upstreams,
    /// or the demonstration tools if there are none.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// The proofs of who is calling that are accepted. Without any, nobody is asked.
    pub auth: Auth,
    /// MCP servers behind the gateway, each under a name of your choice.
    pub upstreams: BTreeMap<String, Upstream>,
    /// The gateway as a whole.
    pub gateway: Gateway,
    /// What callers may do, by role, each under a name of your choice. `admin` is built in: it may do
    /// everything.
    pub roles: BTreeMap<String, Role>,
    /// Who has which role, besides those that an API key or a proxy gives.
    pub bindings: Vec<Binding>,
    /// Scopes that imply narrower ones: a scope, then those that come with it.
    pub scopes: BTreeMap<String, Vec<String>>,
    /// How often who may call what: as `"600/min"` (or `/s`, `/h`, `/day`), which is 600 at once and
    /// 600 per minute, or as `{ rate = "600/min", burst = 20 }`.
    pub limits: CallLimits,
    /// The record of what happened.
    pub audit: Audit,
    /// Where operators look.
    pub admin: Admin,
    /// Log lines, on standard error.
    pub log: Log,
}

/// Where to listen, whom to answer, and what a request may cost.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// The address and port to listen on. Port 0 lets the system choose one.
    pub listen: String,
    /// The URL under which clients reach this server, if it is not the listening address.
    pub public_url: Option<String>,
    /// Listen beyond loopback although nobody is authenticated: whoever reaches the port may use
    /// everything behind it.
    pub allow_unauthenticated: bool,
    /// Host names a request may carry: `name` (any port), `name:port`, `*.name`, or `*` for all.
    /// Default: the loopback names, the host of `listen` and that of `public_url`.
    pub allowed_hosts: Option<Vec<String>>,
    /// Origins whose pages may send requests: `https://app.example`, `http://localhost:*`, `null`,
    /// or `*` for all. Default: the allowed hosts over http and https.
    pub allowed_origins: Option<Vec<String>>,
    /// Origins whose pages may also read answers (CORS). They need not be among
    /// `allowed_origins`.
    pub cors_origins: Vec<String>,
    /// Also serve the HTTP+SSE transport of 2024-11-05, on `sse_path` and `messages_path`, for the
    /// endpoint `main` or the only one. Default: whether there is such an endpoint.
    pub http_sse: Option<bool>,
    /// HTTP+SSE: where its stream is opened.
    pub sse_path: String,
    /// HTTP+SSE: where its messages are posted.
    pub messages_path: String,
    /// Threads that serve requests. Default: one per core.
    pub workers: Option<NonZeroUsize>,
    /// TLS, which is spoken if there is a certificate.
    pub tls: Tls,
    /// What a request, an answer or an address may cost.
    pub limits: Limits,
    /// How long a client may keep us waiting.
    pub timeouts: Timeouts,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: defaults::LISTEN.to_owned(),
            public_url: None,
            allow_unauthenticated: false,
            allowed_hosts: None,
            allowed_origins: None,
            cors_origins: Vec::new(),
            http_sse: None,
            sse_path: defaults::SSE_PATH.to_owned(),
            messages_path: defaults::MESSAGES_PATH.to_owned(),
            workers: None,
            tls: Tls::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        }
    }
}

/// TLS, which is spoken if there is a certificate.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The file with the certificate that is shown, and those that lead to its authority, in PEM. When
    /// it changes, the new one is shown to whoever connects from then on.
    pub certificate: Option<String>,
    /// The file with its private key, in PEM, which not everybody on the machine may read.
    pub key: Option<String>,
    /// The file with the authorities that sign client certificates, in PEM.
    pub client_ca: Option<String>,
    /// Whether clients show a certificate: `off`, nobody is asked; `optional`, who has one shows it;
    /// `required`, who has none does not get through.
    pub client_certificates: ClientCertificates,
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// Nobody is asked.
    #[default]
    Off,
    /// Who has one shows it.
    Optional,
    /// Who has none does not get through.
    Required,
}

/// What a request, an answer or an address may cost.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The body of a request.
    pub body: ByteSize,
    /// All header fields of a request together.
    pub header_block: ByteSize,
    /// One header field.
    pub header_field: ByteSize,
    /// Header fields of a request.
    pub header_count: NonZeroUsize,
    /// The request target.
    pub uri: ByteSize,
    /// Nesting of a JSON message.
    pub json_depth: NonZeroUsize,
    /// Members of all objects and arrays of a JSON message.
    pub json_members: NonZeroUsize,
    /// Connections from one address; loopback is exempt.
    pub connections_per_address: NonZeroUsize,
    /// One event of a stream, one result.
    pub event: ByteSize,
    /// One line on standard input or output.
    pub line: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: defaults::BODY,
            header_block: defaults::HEADER_BLOCK,
            header_field: defaults::HEADER_FIELD,
            header_count: count(defaults::HEADER_COUNT),
            uri: defaults::URI,
            json_depth: count(defaults::JSON_DEPTH),
            json_members: count(defaults::JSON_MEMBERS),
            connections_per_address: count(defaults::CONNECTIONS_PER_ADDRESS),
            event: defaults::EVENT,
            line: defaults::LINE,
        }
    }
}

/// How long a client may keep us waiting.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// From the first byte of a request to the end of its headers.
    pub header_read: Period,
    /// Between two pieces of a body.
    pub body_idle: Period,
    /// For a whole body.
    pub body_total: Period,
    /// How long a client may leave what we write unread.
    pub write_stall: Period,
    /// Between two requests of a connection.
    pub keep_alive: Period,
    /// For what still runs, when the process is told to stop.
    pub drain: Period,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header_read: defaults::HEADER_READ,
            body_idle: defaults::BODY_IDLE,
            body_total: defaults::BODY_TOTAL,
            write_stall: defaults::WRITE_STALL,
            keep_alive: defaults::KEEP_ALIVE,
            drain: defaults::DRAIN,
        }
    }
}

/// The life and the number of sessions.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sessions {
    /// Sessions whose home is this node.
    pub max: NonZeroUsize,
    /// Sessions of one principal, live or only in the store; its tasks count too. Without
    /// authentication everybody is one principal.
    pub max_per_principal: NonZeroUsize,
    /// How long an unused session is kept. An open stream and a running call are use.
    pub idle_ttl: Period,
    /// How long any session is kept.
    pub absolute_ttl: Period,
    /// How long a session without a socket or a call stays in memory.
    pub passivate_after: Period,
    /// Calls running in one session at a time.
    pub calls_per_session: NonZeroUsize,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            max: count(defaults::SESSIONS),
            max_per_principal: count(defaults::SESSIONS_PER_PRINCIPAL),
            idle_ttl: defaults::IDLE_TTL,
            absolute_ttl: defaults::ABSOLUTE_TTL,
            passivate_after: defaults::PASSIVATE_AFTER,
            calls_per_session: count(defaults::CALLS_PER_SESSION),
        }
    }
}

/// How long calls may take.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Calls {
    /// How long a call may take before its answer becomes a stream.
    pub grace: Period,
    /// For a call, without the time spent waiting for its client's answers.
    pub deadline: Period,
    /// For a client's answer to one question.
    pub question: Period,
    /// For a list.
    pub list_deadline: Period,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            grace: defaults::GRACE,
            deadline: defaults::DEADLINE,
            question: defaults::QUESTION,
            list_deadline: defaults::LIST_DEADLINE,
        }
    }
}

/// Calls that go on as tasks: their client gets a handle now and the result later.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tasks {
    /// Calls of any tool become tasks when they take longer than this, for clients that can follow
    /// a task. Default: only calls of tools that say so.
    pub after: Option<Period>,
    /// How long a task lives, from its beginning, if its client does not say: its work must end
    /// within that time, and whatever state it is in, it is gone after it.
    pub ttl: Period,
    /// How long a task may live, whatever its client says.
    pub ttl_max: Period,
    /// How often a client is told to ask how its task stands.
    pub poll_interval: Period,
    /// Running tasks on this node.
    pub max: NonZeroUsize,
    /// Running tasks of one principal.
    pub max_per_principal: NonZeroUsize,
    /// Ended tasks that are kept until their time is over; with as many, no new task begins.
    pub max_kept: NonZeroUsize,
    /// Bytes of their results; with as many, no new task begins.
    pub max_kept_bytes: ByteSize,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            after: None,
            ttl: defaults::TASK_TTL,
            ttl_max: defaults::TASK_TTL_MAX,
            poll_interval: defaults::TASK_POLL_INTERVAL,
            max: count(defaults::TASKS),
            max_per_principal: count(defaults::TASKS_PER_PRINCIPAL),
            max_kept: count(defaults::TASKS_KEPT),
            max_kept_bytes: defaults::TASK_BYTES_KEPT,
        }
    }
}

/// Event streams and their replay.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Streams {
    /// Open streams on this node.
    pub max: NonZeroUsize,
    /// How often a silent stream shows that it lives.
    pub heartbeat: Period,
    /// The same for stateless streams while a call runs.
    pub stateless_heartbeat: Period,
    /// How soon a client whose stream broke should come back.
    pub retry: Period,
    /// Events on their way to the store before progress waits.
    pub unacknowledged: NonZeroUsize,
    /// Events one stream can replay.
    pub log_entries: NonZeroUsize,
    /// Bytes one stream can replay.
    pub log_bytes: ByteSize,
    /// Bytes all streams of a session can replay.
    pub session_log_bytes: ByteSize,
    /// Bytes all streams of this node can replay; the oldest ended streams go first.
    pub node_log_bytes: ByteSize,
    /// How long a stream can be replayed after it ended.
    pub ended_log_age: Period,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            max: count(defaults::STREAMS),
            heartbeat: defaults::HEARTBEAT,
            stateless_heartbeat: defaults::STATELESS_HEARTBEAT,
            retry: defaults::RETRY,
            unacknowledged: count(defaults::UNACKNOWLEDGED),
            log_entries: count(defaults::LOG_ENTRIES),
            log_bytes: defaults::LOG_BYTES,
            session_log_bytes: defaults::SESSION_LOG_BYTES,
            node_log_bytes: defaults::NODE_LOG_BYTES,
            ended_log_age: defaults::ENDED_LOG_AGE,
        }
    }
}

/// Where state that outlives the process is kept.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// `embedded:DIRECTORY` (relative to the working directory), `memory:` to keep nothing, or a
    /// Redis: `redis://HOST:PORT/DATABASE`, `redis+sentinel://HOST:PORT,HOST:PORT/PRIMARY`,
    /// `redis+cluster://HOST:PORT,HOST:PORT`, each with `rediss` for encrypted connections.
    pub url: String,
    /// Redis: the ACL user.
    pub user: Option<String>,
    /// Redis: its password, as `env:NAME` or `file:PATH`.
    pub password: Option<SecretText>,
    /// Redis: the certificates that sign its own, as `file:PATH` of a PEM file. Default: those the
    /// system trusts.
    pub ca: Option<String>,
    /// Redis: how many replicas must have a session, a claim or an event before it counts. 0 waits for
    /// none, and a failover may lose the latest.
    pub replicas: usize,
    /// Redis: how long any operation may take.
    pub timeout: Period,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: defaults::STORE.to_owned(),
            user: None,
            password: None,
            ca: None,
            replicas: 0,
            timeout: defaults::STORE_TIMEOUT,
        }
    }
}

/// What all nodes share.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// Secrets of 32 random bytes in hexadecimal: the first signs, the others still verify. Each is
    /// `env:NAME`, `file:PATH`, or the digits themselves. Default: made once and kept with the
    /// embedded store; needed with Redis.
    pub keys: Vec<SecretText>,
    /// How long a node that is not heard of counts as living; then others take over what it owned.
    pub lease: Period,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            lease: defaults::LEASE,
        }
    }
}

/// A served path.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Endpoint {
    /// The path.
    pub path: String,
    /// The built-in tools it serves.
    pub builtin: Option<Builtin>,
    /// Or the upstreams behind it, in the order in which their lists are merged.
    pub upstreams: Option<Vec<String>>,
    /// The proofs accepted here, by their names under `[auth]`: `api_keys`, `proxy`,
    /// `certificates`, and the names of issuers. `["none"]` asks nobody.
    /// Default: all there are.
    pub auth: Option<Vec<String>>,
    /// With `upstreams`: what stands between a prefix and a name. `__` is for clients that allow
    /// only letters, digits, `_` and `-` in the name of a tool.
    pub separator: Separator,
    /// With `upstreams`: who it says it is. Default: its only upstream, or this program.
    pub title: Option<String>,
    /// With `upstreams`: the version it says it has.
    pub version: Option<String>,
    /// With `upstreams`: what clients are told first of an endpoint that will be gone.
    pub deprecated: Option<String>,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            path: defaults::ENDPOINT_PATH.to_owned(),
            builtin: None,
            upstreams: None,
            auth: None,
            separator: Separator::Dot,
            title: None,
            version: None,
            deprecated: None,
        }
    }
}

/// What stands between an upstream's prefix and a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Separator {
    /// `.`
    #[serde(rename = ".")]
    Dot,
    /// `__`
    #[serde(rename = "__")]
    Underscores,
}

impl Separator {
    /// As it stands between the two.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Dot => ".",
            Self::Underscores => "__",
        }
    }
}

/// A set of built-in tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Builtin {
    /// The demonstration tools.
    Demo,
    /// What the protocol's conformance suite asks for.
    Conformance,
    /// Nothing.
    None,
}

/// Where operators look.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// An address and port of its own for `/health`, `/ready` and `/metrics`. Default: they are
    /// served beside the endpoints.
    pub listen: Option<String>,
    /// With `listen`: speak TLS there too, with the certificate of `server.tls`. Nobody is asked for a
    /// client certificate.
    pub tls: bool,
}

/// Log lines, on standard error.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How a line is written: for people, or as one JSON object.
    pub format: LogFormat,
    /// Which lines are written: a level (error, warn, info, debug, trace), or `MODULE=LEVEL`
    /// separated by commas.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: defaults::LOG_FILTER.to_owned(),
        }
    }
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// A text that may be a secret, so it is never shown.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SecretText(pub(in crate::config) String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[redacted]")
    }
}

fn count(default: usize) -> NonZeroUsize {
    NonZeroUsize::new(default).expect("invariant: no default is zero")
}
