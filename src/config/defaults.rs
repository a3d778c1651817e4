//! What holds when nothing is said, each bound followed by what it can cost.

use std::num::NonZeroU32;

use super::values::{ByteSize, Period};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Loopback: nobody else can reach a process without authentication.
pub const LISTEN: &str = "127.0.0.1:8000";
/// Beside the working directory, so that a restart finds its sessions again.
pub const STORE: &str = "embedded:./switchboard-data";
/// Where a node with another store has its files.
pub const DATA_DIRECTORY: &str = "./switchboard-data";
/// For any operation of a Redis store: a hundred times what a slow one takes.
pub const STORE_TIMEOUT: Period = Period::from_secs(2);
/// Less is not told from a busy machine.
pub const STORE_TIMEOUT_MIN: Period = Period::from_millis(50);
/// How long a node that is not heard of counts as living: renewed three times meanwhile, so one
/// renewal may be lost and one late.
pub const LEASE: Period = Period::from_secs(6);
/// The least lease: less than a slow store's answer would make nodes take over from the living.
pub const LEASE_MIN: Period = Period::from_secs(1);
/// The path of an endpoint that names none.
pub const ENDPOINT_PATH: &str = "/mcp";
/// The name of the endpoint that exists when none is configured.
pub const ENDPOINT_NAME: &str = "main";
/// HTTP+SSE: where its stream is opened.
pub const SSE_PATH: &str = "/sse";
/// HTTP+SSE: where its messages are posted.
pub const MESSAGES_PATH: &str = "/messages";
/// The header in which a proxy says who calls.
pub const PROXY_HEADER: &str = "X-Switchboard-Identity";
/// The claim that names a tenant.
pub const TENANT_CLAIM: &str = "tenant";
/// The claim that names the program which acts for a caller: RFC 8693, section 4.3.
pub const CLIENT_CLAIM: &str = "client_id";
/// The claim that lists scopes: RFC 8693, section 4.2.
pub const SCOPE_CLAIM: &str = "scope";
/// Log lines an operator can act on.
pub const LOG_FILTER: &str = "info,actix_server=warn,actix_http=off";

/// One request held whole in memory. 256 at once on one session: 1 GiB at the very worst, and
/// `BODY_TOTAL` ends it.
pub const BODY: ByteSize = ByteSize::new(4 * MIB);
/// All headers of one request together.
pub const HEADER_BLOCK: ByteSize = ByteSize::new(16 * KIB);
/// One header field: a large token fits.
pub const HEADER_FIELD: ByteSize = ByteSize::new(8 * KIB);
/// Header fields of one request.
pub const HEADER_COUNT: usize = 64;
/// The most header fields the HTTP parser below us has room for.
pub const HEADER_COUNT_MAX: usize = 96;
/// The most the HTTP parser below us buffers of a request's head.
pub const HEADER_BLOCK_MAX: usize = 128 * KIB;
/// The request target.
pub const URI: ByteSize = ByteSize::new(8 * KIB);
/// Nesting of a message. A level costs a stack frame in every decoder behind us.
pub const JSON_DEPTH: usize = 64;
/// The most our JSON decoder goes into.
pub const JSON_DEPTH_MAX: usize = 127;
/// Members of all objects and arrays of a message: 200,000 x about 100 bytes as decoded values
/// = 20 MB.
pub const JSON_MEMBERS: usize = 200_000;
/// Connections from one address, loopback not counted: 1,000 x about 10 KiB = 10 MiB.
pub const CONNECTIONS_PER_ADDRESS: usize = 1_000;
/// One event of a stream, one result.
pub const EVENT: ByteSize = ByteSize::new(10 * MIB);
/// One line on standard input or output.
pub const LINE: ByteSize = ByteSize::new(10 * MIB);
/// The least room for an event or line: our own longest error answers fit.
pub const EVENT_MIN: usize = 4 * KIB;

/// From the first byte of a request to the end of its headers.
pub const HEADER_READ: Period = Period::from_secs(5);
/// The HTTP layer below us takes the time from a clock that ticks twice a second: less than this
/// and a request could be late before it came.
pub const CONNECTION_TIME_MIN: Period = Period::from_secs(1);
/// Between two pieces of a body.
pub const BODY_IDLE: Period = Period::from_secs(10);
/// For a whole body.
pub const BODY_TOTAL: Period = Period::from_secs(30);
/// How long a client may leave what we write unread.
pub const WRITE_STALL: Period = Period::from_secs(30);
/// Between two requests of a connection.
pub const KEEP_ALIVE: Period = Period::from_secs(75);
/// For what runs, when the process is told to stop.
pub const DRAIN: Period = Period::from_secs(30);

/// Sessions whose home is this node: 20,000 x 14.5 KiB with a standing stream = 290 MiB, 25 without.
pub const SESSIONS: usize = 20_000;
/// Sessions of one principal, live or only in the store: 100,000 x 2 KiB = 200 MiB.
pub const SESSIONS_PER_PRINCIPAL: usize = 100_000;
/// Since the last use; an open stream and a running call are use.
pub const IDLE_TTL: Period = Period::from_secs(3_600);
/// Since the handshake.
pub const ABSOLUTE_TTL: Period = Period::from_secs(86_400);
/// Without a socket or a call, until only the store remembers it.
pub const PASSIVATE_AFTER: Period = Period::from_secs(60);
/// Running calls of one session: 256 x about 2 KiB = 512 KiB.
pub const CALLS_PER_SESSION: usize = 256;

/// How long a call may take and still be answered as a plain JSON object.
pub const GRACE: Period = Period::from_millis(250);
/// For a call, the waiting for its client's answers not counted.
pub const DEADLINE: Period = Period::from_secs(600);
/// For a client's answer to one question.
pub const QUESTION: Period = Period::from_secs(600);
/// For a list.
pub const LIST_DEADLINE: Period = Period::from_secs(10);

/// How long a task lives if its client does not say.
pub const TASK_TTL: Period = Period::from_secs(3_600);
/// How long a task may live.
pub const TASK_TTL_MAX: Period = Period::from_secs(86_400);
/// How often a client is told to ask how its task stands.
pub const TASK_POLL_INTERVAL: Period = Period::from_secs(1);
/// Running tasks: 10,000 x about 3 KiB = 30 MiB, what their tools hold not counted.
pub const TASKS: usize = 10_000;
/// Running tasks of one principal.
pub const TASKS_PER_PRINCIPAL: usize = 256;
/// Ended tasks that are kept: 50,000 x about 1 KiB = 50 MiB.
pub const TASKS_KEPT: usize = 50_000;
/// Bytes of their results; the whole cost of large ones.
pub const TASK_BYTES_KEPT: ByteSize = ByteSize::new(256 * MIB);

/// Open streams: as many as sessions, 20,000 x 13 KiB = 260 MiB (within the sessions' 290).
pub const STREAMS: usize = 20_000;
/// How far an issuer's clock may be from ours.
pub const TOKEN_LEEWAY: Period = Period::from_secs(30);
/// How long an issuer's keys outlive it.
pub const TOKEN_KEYS_MAX_STALE: Period = Period::from_secs(60 * 60);
/// A key that is used for longer than a quarter of a year is likely to be forgotten somewhere.
pub const API_KEY_LIFE: Period = Period::from_secs(90 * 24 * 60 * 60);

/// Comment lines on a silent stream, so that proxies keep it.
pub const HEARTBEAT: Period = Period::from_secs(15);
/// The same while a stateless call runs: only writing shows that its client is gone, and that
/// cancels the call.
pub const STATELESS_HEARTBEAT: Period = Period::from_millis(500);
/// What a stream tells its client about when to come back.
pub const RETRY: Period = Period::from_secs(1);
/// Events appended and not yet stored, before progress waits: 64 x about 1 KiB = 64 KiB a stream.
pub const UNACKNOWLEDGED: usize = 64;
/// Events a stream can replay.
pub const LOG_ENTRIES: usize = 1_000;
/// Bytes a stream can replay.
pub const LOG_BYTES: ByteSize = ByteSize::new(MIB);
/// Bytes all streams of a session can replay.
pub const SESSION_LOG_BYTES: ByteSize = ByteSize::new(4 * MIB);
/// Bytes all streams of a node can replay; the whole cost of event logs.
pub const NODE_LOG_BYTES: ByteSize = ByteSize::new(256 * MIB);
/// How long a stream can be replayed after it ended.
pub const ENDED_LOG_AGE: Period = Period::from_secs(600);

/// Gateways a request may pass: chains are two or three long, and a loop is found by its path first.
pub const HOPS: usize = 8;
/// Each hop adds a name of up to 64 bytes to a request's metadata: 64 x 64 = 4 KiB.
pub const HOPS_MAX: usize = 64;
/// Upstreams behind one process: 200 x (an actor, 256 requests, lists of some 100 KiB) = 50 MiB.
pub const UPSTREAMS_MAX: usize = 200;
/// A prefix: half of the 64 characters that clients allow a name is left for the name.
pub const PREFIX_BYTES_MAX: usize = 32;
/// Requests that run at one upstream: 256 x about 4 KiB = 1 MiB.
pub const UPSTREAM_RUNNING: usize = 256;
/// Requests that wait for one of them: as much again.
pub const UPSTREAM_WAITING: usize = 256;
/// How long one waits: less than a person's patience.
pub const UPSTREAM_WAIT: Period = Period::from_secs(10);
/// The argument that names a session with an upstream: a word that models know.
pub const HANDLE: &str = "session";
/// Processes of one upstream: 8 x about 100 MiB of a Node program = 800 MiB.
pub const CHILDREN: usize = 8;
/// How long lists are good of which nothing is known: seldom enough to cost nothing, and often enough
/// for a person who has just changed something.
pub const LIST_TTL: Period = Period::from_secs(5);
/// Every second request failed.
pub const BREAKER_FAILURE_RATE: f64 = 0.5;
/// How far back the breaker looks.
pub const BREAKER_WINDOW: Period = Period::from_secs(30);
/// Fewer requests say nothing about an upstream.
pub const BREAKER_CALLS: NonZeroU32 = NonZeroU32::new(10).expect("invariant: ten is not zero");
/// For how long an upstream is left alone before it is tried again.
pub const BREAKER_OPEN: Period = Period::from_secs(10);
/// A handshake; a program may have to be fetched first (`npx`), and then asks for more.
pub const UPSTREAM_CONNECT: Period = Period::from_secs(10);
/// A list, which all clients of the endpoint wait for.
pub const UPSTREAM_LIST: Period = Period::from_secs(10);
/// Two requests a minute tell whether an upstream lives.
pub const UPSTREAM_PING: Period = Period::from_secs(30);
/// As long as a person who thinks between two calls.
pub const UPSTREAM_IDLE: Period = Period::from_secs(300);
/// A person's answer, as `QUESTION`.
pub const UPSTREAM_PARKED: Period = Period::from_secs(600);
/// One message, as `EVENT`: what we took could not be passed on otherwise.
pub const UPSTREAM_MESSAGE: ByteSize = ByteSize::new(10 * MIB);

/// How long a call waits for its audit record: a disk that takes longer is not well.
pub const AUDIT_PATIENCE: Period = Period::from_secs(5);
/// A file of audit records, read whole when it is verified: 64 MiB of memory.
pub const AUDIT_SEGMENT_SIZE: ByteSize = ByteSize::new(64 * MIB);
/// Records are deleted by whole files, so what is kept for days should not lie in one for longer.
pub const AUDIT_SEGMENT_AGE: Period = Period::from_secs(86_400);
/// Arguments or a result of one call: 16 KiB x 2 x 1,000 calls a second = 32 MiB a second at the worst.
pub const AUDIT_PAYLOAD: ByteSize = ByteSize::new(16 * KIB);
/// What is known of calls: a year and the month in which it is looked at.
pub const AUDIT_METADATA: Period = Period::from_secs(400 * 86_400);
/// Arguments and results.
pub const AUDIT_PAYLOADS: Period = Period::from_secs(30 * 86_400);
/// Everything else that happened: two years.
pub const AUDIT_SECURITY: Period = Period::from_secs(730 * 86_400);

// The defaults keep the rules that `resolve` holds a file to.
const _: () = {
    assert!(HEADER_FIELD.get() <= HEADER_BLOCK.get() && URI.get() <= HEADER_BLOCK.get());
    assert!(HEADER_COUNT <= HEADER_COUNT_MAX && HEADER_BLOCK.get() <= HEADER_BLOCK_MAX);
    assert!(JSON_DEPTH <= JSON_DEPTH_MAX);
    assert!(CONNECTION_TIME_MIN.get().as_secs() <= HEADER_READ.get().as_secs());
    assert!(CONNECTION_TIME_MIN.get().as_secs() <= KEEP_ALIVE.get().as_secs());
    assert!(LOG_BYTES.get() <= SESSION_LOG_BYTES.get());
    assert!(SESSION_LOG_BYTES.get() <= NODE_LOG_BYTES.get());
    assert!(STORE_TIMEOUT_MIN.get().as_millis() <= STORE_TIMEOUT.get().as_millis());
    assert!(LEASE_MIN.get().as_secs() <= LEASE.get().as_secs());
    assert!(UNACKNOWLEDGED <= LOG_ENTRIES);
    assert!(TASK_TTL.get().as_secs() <= TASK_TTL_MAX.get().as_secs());
    assert!(TASKS_PER_PRINCIPAL <= TASKS);
    assert!(EVENT.get() >= EVENT_MIN && LINE.get() >= EVENT_MIN);
    assert!(AUDIT_PAYLOADS.get().as_secs() <= AUDIT_METADATA.get().as_secs());
    assert!(UPSTREAM_MESSAGE.get() >= EVENT_MIN && HOPS <= HOPS_MAX);
};
