//! What a gateway is told: its upstreams, and how each is reached, shared, limited and shown.
//!
//! Plain values. What can be written for them, and every complaint about it, is in `config/`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::client::oauth;
use crate::protocol::version::ProtocolVersion;

/// One MCP server behind the gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamConfig {
    /// Its name in the configuration, in logs and in metrics.
    pub name: String,
    /// Where it is.
    pub reach: Reach,
    /// With [`Reach::Url`]: what lets us in there, beside headers that never change.
    pub auth: Option<oauth::Config>,
    /// What its names begin with for clients; empty where names pass unchanged, which only an
    /// endpoint's sole upstream can have.
    pub prefix: String,
    /// Who shares a session with it.
    pub isolation: Isolation,
    /// With [`Isolation::Handle`]: the argument of its tools that names a session.
    pub handle: String,
    /// The one revision it is spoken to in; otherwise it is asked.
    pub version: Option<ProtocolVersion>,
    /// What it is answered when it asks for roots outside of any call.
    pub roots: Vec<RootConfig>,
    /// What is shown of it, and how.
    pub show: Show,
    /// What happens when a definition changes that was seen before.
    pub pin: Pin,
    /// Definitions that were accepted, by the upstream's own name of the tool: each a hash as a change
    /// is warned of with, which stands before what was seen first.
    pub pins: BTreeMap<String, String>,
    /// Tools that are trusted to do no harm when called again with the same arguments: patterns of
    /// the upstream's own names, with `*`.
    pub idempotent: Vec<String>,
    /// How much of it is used at once.
    pub bulkhead: BulkheadConfig,
    /// When it is left alone for a while.
    pub breaker: BreakerConfig,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// Largest message taken from it, in bytes.
    pub message_max: usize,
    /// For how long its lists are good where it does not say itself and announces no changes.
    pub list_ttl: Duration,
}

/// Where an upstream is.
#[derive(Clone, Debug, PartialEq)]
pub enum Reach {
    /// At a URL: Streamable HTTP of either era, or HTTP+SSE, whichever it answers.
    Url {
        /// The URL.
        url: String,
        /// Sent with every request. Values may be secrets.
        headers: Vec<(String, Secret)>,
    },
    /// In a process of its own, started by us, on its standard input and output.
    Command(CommandConfig),
    /// In this process: the built-in set of this name, or a server of the program.
    InProcess(String),
}

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A program that speaks MCP on its standard input and output.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandConfig {
    /// The program and its arguments; no shell in between.
    pub command: Vec<String>,
    /// Variables it gets besides the few that every program needs. Values may be secrets.
    pub environment: BTreeMap<String, Secret>,
    /// Where it runs; otherwise where we do.
    pub directory: Option<PathBuf>,
    /// Most processes of it at once.
    pub children_max: usize,
    /// Processes that are started before anybody needs them, and replaced when they are taken.
    pub warm: usize,
    /// Most memory one may map, in bytes.
    pub memory_max: Option<u64>,
    /// Most open files of one.
    pub files_max: Option<u64>,
}

/// Who shares a session with an upstream. Nothing is ever shared by two principals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// All requests of one principal whose clients can be asked the same.
    Shared,
    /// All requests of one session of a client; of a client without sessions, one request.
    Session,
    /// All calls of tools that carry one handle, which the first of them was given.
    Handle,
    /// Nobody: each request has a session of its own.
    Request,
}

/// A place an upstream may work in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootConfig {
    /// Its URI; `file:` usually.
    pub uri: String,
    /// A name for people.
    pub name: Option<String>,
}

/// What is shown of an upstream, and how. Patterns and names are the upstream's own, `*` stands for
/// anything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Show {
    /// Only these tools and prompts, if given.
    pub allow: Option<Vec<String>>,
    /// None of these.
    pub deny: Vec<String>,
    /// Other names: the upstream's name, then what stands for it (the prefix still comes before).
    pub rename: BTreeMap<String, String>,
    /// Other texts, by the upstream's name of the tool.
    pub tools: BTreeMap<String, ToolShown>,
}

/// How one tool is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolShown {
    /// Instead of its own title.
    pub title: Option<String>,
    /// Instead of its own description.
    pub description: Option<String>,
}

/// What happens when a definition differs from the one that was seen first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// It is said in the log; the new one is shown.
    Warn,
    /// The entry is not shown any more, and is unknown to whoever calls it.
    Hide,
    /// The entry says that it is blocked instead of what it is, and calls of it are refused with
    /// the same reason.
    Block,
}

impl Pin {
    /// As it is configured.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Hide => "hide",
            Self::Block => "block",
        }
    }
}

/// How much of an upstream is used at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkheadConfig {
    /// Requests that run at once.
    pub running_max: usize,
    /// Requests that wait for one to end.
    pub waiting_max: usize,
    /// How long one waits.
    pub wait_max: Duration,
}

/// When an upstream is left alone for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerConfig {
    /// From this share of failed requests on, of those in the window.
    pub failure_rate: f64,
    /// A request that takes longer than this counts as failed, though its result is passed on.
    pub slow_call: Option<Duration>,
    /// How far back is looked.
    pub window: Duration,
    /// Requests there must be in the window before it judges.
    pub calls_min: u32,
    /// For how long it is left alone.
    pub open_for: Duration,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands and both sides agreed on a revision.
    pub connect: Duration,
    /// Until a list has come.
    pub list: Duration,
    /// Between two looks whether it still answers.
    pub ping: Duration,
    /// How long an unused session or process with it is kept.
    pub idle: Duration,
    /// How long a parked call waits for its client.
    pub parked: Duration,
}

/// How an endpoint shows its upstreams.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointConfig {
    /// The endpoint's name.
    pub name: String,
    /// Who it says it is; otherwise the only upstream, or this program.
    pub title: Option<String>,
    /// The version it says it has.
    pub version: Option<String>,
    /// What stands between a prefix and a name.
    pub separator: String,
    /// Its upstreams, in the order in which lists are merged.
    pub upstreams: Vec<String>,
    /// What clients are told of an endpoint that will be gone; its `instructions` begin with it.
    pub deprecated: Option<String>,
}

/// What a gateway is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The upstreams, each once however many endpoints use it.
    pub upstreams: Vec<UpstreamConfig>,
    /// The endpoints that have upstreams.
    pub endpoints: Vec<EndpointConfig>,
    /// How many gateways a request may pass one after the other.
    pub hops_max: usize,
}
