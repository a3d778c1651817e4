//! Switchboard is a production server and gateway for the Model Context Protocol (MCP). One endpoint
//! serves every published revision at once, to clients that open sessions and to clients that do
//! not; each session is an actor whose state outlives the process.
//!
//! This page is the architecture. Rules of the protocol, each with the scenario that holds it, are
//! in `docs/protocol.md`; how to run it is in `README.md`.
//!
//! # The life of a request
//!
//! ```text
//! socket ── transport ─────────────────── session era: session ──┐
//!           head, host, origin            stateless era ─────────┴── guard ── service ── reply
//!           caller, body, JSON, era                                           (server)
//! ```
//!
//! 1. [`transport::middleware`] looks at the head: sizes, path, `Host`, `Origin`, CORS.
//! 2. [`access::Access`] says who calls, by what the request presents ([`auth`]), or asks for a proof.
//!    [`transport::streamable_http::endpoint`] reads the body within limits and times, pre-scans it
//!    ([`protocol::prescan`]), which finds the envelope too; `params` stay the bytes that came.
//! 3. [`protocol::era`] decides by what the message carries: a version in its `_meta` makes it one of
//!    the stateless era, anything else belongs to a session. Headers only cross-check.
//! 4. Session era: [`session::Sessions::find`] finds the session in this node's index (or checks the
//!    id's MAC and restores it from the store), and the call enters its in-flight table. Stateless
//!    era: no session, no store.
//! 5. [`access::Guard`] holds the call against the rules: may its caller do that, how often, and is it
//!    on record ([`policy`], [`audit`]). Then a [`service::Service`] answers: the library, [`server::Server`], or a gateway,
//!    [`gateway::Gateway`], which asks an upstream; and before it
//!    [`task::TaskService`], which lets a call go on as a task, and [`once::OnceService`], which lets
//!    one with an idempotency key be made once.
//! 6. [`transport::exchange`] runs the call where it arrived. If it ends within the grace and alone,
//!    the answer is one JSON object. When it says something first, or takes longer, it moves to the
//!    main runtime and the answer becomes an event stream.
//! 7. [`transport::reply`] is the one place where outcomes become statuses and codes.
//!
//! HTTP+SSE and stdio differ in step 2 only: [`transport::http_sse`], [`transport::stdio`].
//!
//! # The life of a session
//!
//! `initialize` mints an id, writes a checkpoint, and only then answers. The session now lives here:
//! one [`session::actor::Session`] on a pool of arbiters, one [`session::SessionHandle`] in the
//! index. Ordinary calls use the handle and never wait for the actor; the actor does what must
//! happen one at a time. Unused for a minute, the session leaves this process; the next call brings
//! it back from the store. It ends by DELETE, when unused for its TTL, or when too old.
//!
//! A call that becomes a stream is *durable*: each event is in the session's event log before it
//! leaves, so a client that lost its connection resumes after the last event it saw, also after a
//! crash of this process. A call that was running then ends with an honest "outcome unknown", once;
//! one of a tool that its server trusts to be idempotent is made again instead, once.
//!
//! # Many nodes
//!
//! Nodes that share a store need no sticky routing. A session is *at home* on the node that made it
//! or holds its standing stream, which counts it; wherever else a call of it lands it is a *guest*: a
//! record that was read once, from then on as fast as at home. What must exist once in the cluster
//! (the standing stream, the stream of a running call) has an owner under an epoch in the store,
//! which grows with each takeover; whatever an earlier owner still writes is refused.
//!
//! [`node`] renews this process's lease and carries letters between nodes: a session ended, it
//! changed, its client cancels or answers, its stream is elsewhere now. Who may have missed a letter
//! checks all it keeps. A lease only says who is worth waiting for; it proves nothing.
//!
//! A client may come back to the stream of a running call on any node. That node reads the event log
//! and is woken by a letter when there is more; the node that runs the call lets its own connection
//! go. If that node is gone, whoever reads the stream ends it with "outcome unknown", under a new
//! epoch; should the node wake up, its next append is refused, and it cancels the call. Both sides
//! are state machines without a runtime: [`session`]'s `gate` writes, its `tail` reads; a simulation
//! lives through thousands of stories with them, each with its own faults.
//!
//! # Upstreams
//!
//! A gateway's upstreams are MCP servers of any revision. An actor keeps what each offers; calls have
//! lines of their own to it, pooled by principal and by what their clients can be asked, under a
//! breaker and a bulkhead. A client without a session that an upstream with one asks something gets
//! the question as its answer, and the upstream's request waits (*parked*) until the client calls
//! again; the other way round the client is asked and the upstream called again. A session that is kept
//! for a conversation, because its client has one or names it by a handle, is at one node. A call that
//! lands on another node than the one that holds what it is about is served by that one. Programs that
//! are upstreams run under a guard ([`runtime::guard`]) that leaves nothing of them behind.
//!
//! # When something dies
//!
//! When an actor panics, its drop guard tells the [`session::registry::Registry`], which builds a new
//! one from the checkpoint. When the registry dies, [`app`] starts another over the same index.
//!
//! # Where work runs
//!
//! HTTP workers serve exchanges. Session actors and the registry live on arbiters of their own.
//! Store work, and every call that outlives its exchange, runs on the main runtime
//! ([`runtime::tasks`]), because a graceful stop of actix-web drops what lives on its workers.
//!
//! # The map
//!
//! | module | what it is responsible for |
//! |---|---|
//! | [`runtime`] | time, tasks, arbiters, queues, keys, stopping; nothing of MCP |
//! | [`protocol`] | the protocol as plain values: no I/O, no async |
//! | [`identity`] | who is calling, as a value in every key |
//! | [`telemetry`] | the metrics catalogue, events for operators, logs |
//! | [`egress`] | the guard on the way out: what others name is asked only where it is public |
//! | [`store`] | state that outlives the process: records, event logs, inboxes |
//! | [`auth`] | proofs of who is calling: API keys, access tokens, certificates, a proxy's word |
//! | [`client`] | a client of MCP servers, for the command line and for tests |
//! | [`node`] | this process among the others that share its store |
//! | [`keyring`] | the API keys there are |
//! | [`policy`] | who may call what, and how often; allow-lists and sizes |
//! | [`audit`] | the record of what happened: redacted, chained, durable |
//! | [`service`] | the seam: request in, result out |
//! | [`session`] | session actors, the registry, event logs, replay |
//! | [`task`] | calls that go on as tasks, in both generations |
//! | [`once`] | calls that are made once, by their idempotency key |
//! | [`spread`] | changes announced here, told on the other nodes |
//! | [`server`] | the library: tools, resources, prompts out of async functions |
//! | [`access`] | who comes in at an endpoint, and the guard that holds each call against the rules |
//! | [`gateway`] | many MCP servers behind one endpoint, each in its own revision |
//! | [`builtin`] | the demonstration and conformance sets, written with the library |
//! | [`transport`] | Streamable HTTP of both eras, HTTP+SSE, stdio |
//! | [`admin`] | health, readiness, metrics; the socket of the command line |
//! | [`config`] | what can be written, and what the parts get from it |
//! | [`app`] | the composition root: order of starting and stopping; [`Host`] is the way in |
//! | [`testing`] | a client without a socket, for tests of servers built with the library |
//! | [`cli`] | the command line |
//!
//! # Who may import whom
//!
//! A module imports only from rows above its own; `tests/tidy.rs` holds this table and checks it.
//!
//! | row | modules |
//! |---|---|
//! | 0 | `runtime`, `protocol` (not each other) |
//! | 1 | `telemetry`, `identity`, `egress` |
//! | 2 | `store`, `auth`, `client` (not each other) |
//! | 3 | `node`, `keyring`, `policy`, `audit`, `service` (not each other) |
//! | 4 | `access`, `session`, `server`, `gateway`, `task`, `once`, `spread` (never each other: they meet in `service`) |
//! | 5 | `builtin`, `transport`, `admin` (transport never imports `store`) |
//! | 6 | `config` |
//! | 7 | `app`, then `testing`, then `cli`, then `main` |
//!
//! # Invariants
//!
//! - Nothing of the stateless era reaches for a session or an event log, nor for the store, but where
//!   its client wants something kept (a task, an idempotency key): every request is complete in
//!   itself, so any node can answer it.
//! - No event that carries an id leaves before it is in the store. While one could not be stored, later
//!   ones leave without an id, until the log is claimed anew: a log with a hole would let a client skip
//!   what it never got.
//! - Nothing with side effects is run again silently. A call ends in exactly one outcome, and
//!   *unknown* is one.
//! - A session belongs to its principal and its endpoint; to anybody else it does not exist, and
//!   nothing tells the difference.
//! - Every queue, map, body and line has a bound, and meeting it has an answer.
//! - A URL that somebody else named is asked through [`egress`] only, which connects to no address it
//!   has not checked: this process reaches what others must not.
//! - What a caller is let in by reaches no upstream. At most it is exchanged, at who issued it.
//! - What a client sent is never re-serialized: `params` go on as the bytes that came.

pub mod access;
pub mod admin;
pub mod app;
pub mod audit;
pub mod auth;
pub mod builtin;
pub mod cli;
pub mod client;
pub mod config;
pub mod egress;
pub mod gateway;
pub mod identity;
pub mod keyring;
pub mod node;
pub mod once;
pub mod policy;
pub mod protocol;
pub mod runtime;
pub mod server;
pub mod service;
pub mod session;
pub mod spread;
pub mod store;
pub mod task;
pub mod telemetry;
pub mod testing;
pub mod transport;

pub use app::{Host, Hosted};

/// What most servers need, to be taken together.
pub mod prelude {
    pub use crate::app::{Host, Hosted};
    pub use crate::identity::{Caller, Principal};
    pub use crate::protocol::capabilities::ClientCapability;
    pub use crate::protocol::content::Content;
    pub use crate::protocol::icon::Icon;
    pub use crate::protocol::logging::LogLevel;
    pub use crate::protocol::tool::{ToolAnnotations, ToolResult};
    pub use crate::server::{
        Arguments, Completer, Context, Elicited, Field, Form, Handle, Next, NoArguments, Prompt,
        Resource, ResourceTemplate, SampleRequest, Server, ServerBuilder, Structured, TaskUse,
        Tool, ToolError, Typed, with,
    };
    pub use crate::service::{CacheHints, Call, Reply, ServiceError};
}
