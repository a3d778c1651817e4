//! What can be written for the gateway: its upstreams, and what holds for all of them.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretText, UpstreamAuth, count};
use crate::config::defaults;
use crate::config::values::{ByteSize, Period};

/// The gateway as a whole.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gateway {
    /// How many gateways a request may pass one after the other, this one included.
    pub max_hops: NonZeroUsize,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            max_hops: count(defaults::HOPS),
        }
    }
}

/// An MCP server behind the gateway: at a URL, in a process of its own, or in this process.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    /// Its URL: Streamable HTTP of either era, or HTTP+SSE.
    pub url: Option<String>,
    /// Or the program to start, and its arguments: it speaks on its standard input and output.
    /// There is no shell in between.
    #[schemars(length(min = 1))]
    pub command: Option<Vec<String>>,
    /// Or a set of built-in tools, served in this process.
    pub builtin: Option<Set>,
    /// With `url`: what is sent with every request. Each value is itself, or `env:NAME` or
    /// `file:PATH` where it is; `text:` before it if it looks like one of these and is not.
    pub headers: BTreeMap<String, SecretText>,
    /// With `url`: what lets us in there, beside `headers`.
    pub auth: UpstreamAuth,
    /// With `command`: variables the program gets besides the few that every program needs. Values
    /// as in `headers`.
    pub env: BTreeMap<String, SecretText>,
    /// With `command`: the directory it runs in. Default: ours.
    pub cwd: Option<PathBuf>,
    /// What its names begin with for clients: lower-case letters, digits and `-`. Default: its own
    /// name, with `-` for `_`. Empty: its names pass unchanged, as the only upstream of an endpoint.
    pub prefix: Option<String>,
    /// Who shares a session with it. Nothing is ever shared by two principals. Default: `shared`;
    /// `request` with `server.allow_unauthenticated`, where nobody is told apart.
    pub isolation: Option<Isolation>,
    /// With `isolation = "handle"`: the argument that is added to its tools, by which a call names the
    /// session it goes on in. Default: `session`.
    pub handle: Option<String>,
    /// The one revision it is spoken to in. Default: it is asked.
    pub version: Option<String>,
    /// What it is answered when it asks for roots outside of any call: URIs, or
    /// `{ uri = "...", name = "..." }`.
    pub roots: Vec<Root>,
    /// Only these tools and prompts are shown: its own names, with `*` for anything. Default: all.
    pub allow: Option<Vec<String>>,
    /// These are not shown.
    pub deny: Vec<String>,
    /// Other names: its own name, then what stands for it. The prefix still comes before.
    pub rename: BTreeMap<String, String>,
    /// Other texts, by its own names of the tools.
    pub tools: BTreeMap<String, Tool>,
    /// What happens when a definition differs from the one that was seen first.
    pub pin: Pin,
    /// Definitions that are accepted: its own name of the tool, then the hash that the log warns of when
    /// it changed. It stands before what was seen first.
    pub pins: BTreeMap<String, String>,
    /// Tools that do no harm when they are called again with the same arguments: its own names, with
    /// `*` for anything.
    pub idempotent: Vec<String>,
    /// Requests that run at once.
    pub max_running: NonZeroUsize,
    /// Requests that wait for one of them to end; more are refused.
    pub max_waiting: usize,
    /// How long one waits.
    pub max_wait: Period,
    /// With `command`: processes of it at once.
    pub max_children: NonZeroUsize,
    /// With `command`: processes that are started before anybody needs them.
    pub warm: usize,
    /// How long its lists are good, where it says nothing about that and announces no changes.
    pub list_ttl: Period,
    /// When it is left alone for a while.
    pub breaker: Breaker,
    /// How long it may keep us waiting.
    pub timeouts: UpstreamTimeouts,
    /// What its messages and processes may cost.
    pub limits: UpstreamLimits,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            url: None,
            command: None,
            builtin: None,
            headers: BTreeMap::new(),
            auth: UpstreamAuth::default(),
            env: BTreeMap::new(),
            cwd: None,
            prefix: None,
            isolation: None,
            handle: None,
            version: None,
            roots: Vec::new(),
            allow: None,
            deny: Vec::new(),
            rename: BTreeMap::new(),
            tools: BTreeMap::new(),
            pin: Pin::Warn,
            pins: BTreeMap::new(),
            idempotent: Vec::new(),
            max_running: count(defaults::UPSTREAM_RUNNING),
            max_waiting: defaults::UPSTREAM_WAITING,
            max_wait: defaults::UPSTREAM_WAIT,
            max_children: count(defaults::CHILDREN),
            warm: 0,
            list_ttl: defaults::LIST_TTL,
            breaker: Breaker::default(),
            timeouts: UpstreamTimeouts::default(),
            limits: UpstreamLimits::default(),
        }
    }
}

/// A set of built-in tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Set {
    /// The demonstration tools.
    Demo,
    /// What the protocol's conformance suite asks for.
    Conformance,
}

/// Who shares a session with an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// All requests of one principal whose clients can be asked the same.
    Shared,
    /// All requests of one session of a client.
    Session,
    /// All calls of tools that carry one handle. The first opens a session and is told its handle.
    Handle,
    /// Nobody: each request has a session of its own.
    Request,
}

/// A place an upstream may work in. That it is one of the two is checked before it gets here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Root {
    /// Its URI.
    Uri(String),
    /// Its URI, and a name for people.
    Named {
        /// Its URI.
        uri: String,
        /// A name for people.
        name: Option<String>,
    },
}

/// How one tool is shown.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tool {
    /// Instead of its own title.
    pub title: Option<String>,
    /// Instead of its own description.
    pub description: Option<String>,
}

/// What happens when a definition differs from the one that was seen first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pin {
    /// It is said in the log; the new one is shown.
    Warn,
    /// The entry is not shown any more.
    Hide,
    /// The entry says that it is blocked instead of what it is, and calls of it are refused.
    Block,
}

/// When an upstream is left alone for a while.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Breaker {
    /// From this share of failed requests on: more than 0, at most 1.
    pub failure_rate: f64,
    /// Requests that take longer count as failed, though their results are passed on. Default: none
    /// do.
    pub slow_call: Option<Period>,
    /// How far back is looked.
    pub window: Period,
    /// Requests there must be in that time before it judges.
    pub min_calls: NonZeroU32,
    /// For how long it is left alone.
    pub open_for: Period,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failure_rate: defaults::BREAKER_FAILURE_RATE,
            slow_call: None,
            window: defaults::BREAKER_WINDOW,
            min_calls: defaults::BREAKER_CALLS,
            open_for: defaults::BREAKER_OPEN,
        }
    }
}

/// How long an upstream may keep us waiting.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamTimeouts {
    /// Until a connection stands, or a program runs, and both sides agreed on a revision.
    pub connect: Period,
    /// Until a list has come.
    pub list: Period,
    /// Between two looks whether it still answers.
    pub ping: Period,
    /// How long an unused session or process with it is kept.
    pub idle: Period,
    /// How long a call that asked its client something waits for the answer.
    pub parked: Period,
}

impl Default for UpstreamTimeouts {
    fn default() -> Self {
        Self {
            connect: defaults::UPSTREAM_CONNECT,
            list: defaults::UPSTREAM_LIST,
            ping: defaults::UPSTREAM_PING,
            idle: defaults::UPSTREAM_IDLE,
            parked: defaults::UPSTREAM_PARKED,
        }
    }
}

/// What an upstream's messages and processes may cost.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamLimits {
    /// One message from it.
    pub message: ByteSize,
    /// With `command`: what one process may map. Default: what the system allows.
    pub memory: Option<ByteSize>,
    /// With `command`: files one process may have open. Default: what the system allows.
    pub files: Option<NonZeroUsize>,
}

impl Default for UpstreamLimits {
    fn default() -> Self {
        Self {
            message: defaults::UPSTREAM_MESSAGE,
            memory: None,
            files: None,
        }
    }
}
