//! Every metric: the catalogue, and the handle that counts.
//!
//! [`CATALOGUE`] lists each metric once, with help, unit and label set; nothing can be counted
//! that is not in it. [`Metrics`] is a cheap clone of one recorder, handed to every part, so that
//! two servers in one process (tests) do not share their counts. A series is registered when it
//! first moves and its handle kept in a table, because looking a key up in the recorder costs more
//! than the call being counted; after that, counting a request is two atomic additions, a clock
//! reading and a push, well under 100 ns (`counting_a_request_is_cheap` prints it).
//!
//! Whoever holds a [`Gauged`] is counted while it lives, so a gauge cannot leak upwards.
//!
//! It does not serve `/metrics`; that route renders [`Metrics::render`].
//!
//! Concurrency: no locks on the counting path. Durations pile up in the recorder until
//! [`Metrics::upkeep`] or a rendering folds them; call upkeep every few seconds.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use super::labels::{
    AskEnd, CloseReason, Label, LimitReason, Outcome, Refusal, ReloadOutcome, StoreOperation,
    StreamKind, TaskEnd, UpstreamEnd, UpstreamName,
};
use crate::protocol::method::Method;
use crate::protocol::version::Era;

/// What a metric's value means over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution over [`DURATION_BUCKETS`].
    Histogram,
}

/// One line of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it counts, for whoever reads `/metrics`.
    pub help: &'static str,
    /// What its value means over time.
    pub kind: Kind,
    /// What is counted.
    pub unit: Unit,
    /// The keys of its labels.
    pub labels: &'static [&'static str],
}

macro_rules! catalogue {
    ($($id:ident = $kind:ident $name:literal in $unit:ident by [$($label:ty),*]: $help:literal;)+) => {
        $(const $id: Metric = Metric {
            name: $name,
            help: $help,
            kind: Kind::$kind,
            unit: Unit::$unit,
            labels: &[$(<$label>::KEY),*],
        };)+

        /// Every metric there is.
        pub const CATALOGUE: &[Metric] = &[$($id),+];
    };
}

catalogue! {
    ACTIVE_SESSIONS = Gauge "mcp_active_sessions" in Count by []:
        "Sessions whose home is this node. Scale on this.";
    SESSIONS_OPENED = Counter "mcp_sessions_opened_total" in Count by []:
        "Sessions opened by a handshake.";
    SESSIONS_CLOSED = Counter "mcp_sessions_closed_total" in Count by [CloseReason]:
        "Sessions that ended.";
    SESSIONS_RESTORED = Counter "mcp_sessions_restored_total" in Count by []:
        "Sessions brought back from their checkpoint.";
    SESSION_PANICS = Counter "mcp_session_panics_total" in Count by []:
        "Session actors that died of a panic and were rebuilt.";
    REQUESTS = Counter "mcp_requests_total" in Count by [Method, Era, Outcome]:
        "Requests answered.";
    REQUEST_DURATION = Histogram "mcp_request_duration_seconds" in Seconds by [Method, Era]:
        "From the whole request read to its answer ready, questions to the client included.";
    RUNNING_CALLS = Gauge "mcp_running_calls" in Count by []:
        "Requests begun and not yet answered.";
    RUNNING_TASKS = Gauge "mcp_running_tasks" in Count by []:
        "Calls that go on as tasks on this node.";
    TASKS_ENDED = Counter "mcp_tasks_ended_total" in Count by [TaskEnd]:
        "Tasks that ran on this node and ended.";
    OPEN_STREAMS = Gauge "mcp_open_streams" in Count by [StreamKind]:
        "Open event streams.";
    CONNECTIONS = Gauge "mcp_connections" in Count by []:
        "Open client connections.";
    REFUSED = Counter "mcp_refused_total" in Count by [Refusal]:
        "What was shed, rejected or denied before it began.";
    LIMITED = Counter "mcp_limited_total" in Count by [LimitReason]:
        "Calls that a limit refused.";
    LIMIT_KEYS = Gauge "mcp_limit_keys" in Count by []:
        "Buckets that this node counts, one for each limit and whom it counts apart.";
    LIMIT_STORE_ASKS = Counter "mcp_limit_store_asks_total" in Count by [AskEnd]:
        "Times the store was asked for tokens of shared limits; one answer serves several calls.";
    STORE_ERRORS = Counter "mcp_store_errors_total" in Count by [StoreOperation]:
        "Store operations that failed.";
    STORE_UP = Gauge "mcp_store_up" in Count by []:
        "1 while the store answers and takes writes, 0 while it does not.";
    KEY_STRANGERS = Gauge "mcp_cluster_key_strangers" in Count by []:
        "Other nodes on the store that do not know this node's cluster key: its sessions are unknown there.";
    CONFIG_RELOADS = Counter "mcp_config_reloads_total" in Count by [ReloadOutcome]:
        "Times the configuration was read again while the process ran.";
    UPSTREAM_UP = Gauge "mcp_upstream_up" in Count by [UpstreamName]:
        "1 while the upstream answers, 0 while it does not.";
    UPSTREAM_LEFT_ALONE = Gauge "mcp_upstream_left_alone" in Count by [UpstreamName]:
        "1 while the upstream's breaker keeps requests away from it.";
    UPSTREAM_LINES = Gauge "mcp_upstream_lines" in Count by [UpstreamName]:
        "Sessions and processes with the upstream that requests of clients use.";
    UPSTREAM_RUNNING = Gauge "mcp_upstream_running_requests" in Count by [UpstreamName]:
        "Requests that run at the upstream.";
    UPSTREAM_WAITING = Gauge "mcp_upstream_waiting_requests" in Count by [UpstreamName]:
        "Requests that wait for a place at the upstream.";
    UPSTREAM_REQUESTS = Counter "mcp_upstream_requests_total" in Count by [UpstreamName, UpstreamEnd]:
        "Requests of clients to the upstream that ended.";
    PARKED_CALLS = Gauge "mcp_parked_calls" in Count by []:
        "Calls of upstreams that wait for a client without a session to answer.";
    AUDIT_RECORDS = Counter "mcp_audit_records_total" in Count by []:
        "Audit records made durable.";
    AUDIT_FAILURES = Counter "mcp_audit_failures_total" in Count by []:
        "Groups of audit records of which not all could be written.";
    AUDIT_LOST = Counter "mcp_audit_lost_total" in Count by []:
        "Audit records lost because too many waited to be written.";
    AUDIT_WAITING = Gauge "mcp_audit_waiting" in Count by []:
        "Audit records that wait to be written.";
    AUDIT_UP = Gauge "mcp_audit_up" in Count by []:
        "1 while audit records can be written, 0 while they cannot.";
    READY = Gauge "mcp_ready" in Count by []:
        "1 while /ready says so, 0 while it does not.";
}

/// Upper bounds of the duration buckets, in seconds: from a call answered in memory (fractions of
/// a millisecond) to one that asks a person and waits for the answer (minutes).
pub const DURATION_BUCKETS: [f64; 14] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0, 600.0,
];

/// The handle that counts. Cloning shares the counts.
#[derive(Clone)]
pub struct Metrics(Arc<Tables>);

struct Tables {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    active_sessions: Gauge,
    sessions_opened: Counter,
    sessions_closed: Cells<Counter>,
    sessions_restored: Counter,
    session_panics: Counter,
    requests: Cells<Counter>,
    durations: Cells<Histogram>,
    running_calls: Gauge,
    running_tasks: Gauge,
    tasks_ended: Cells<Counter>,
    open_streams: Cells<Gauge>,
    connections: Gauge,
    refused: Cells<Counter>,
    limited: Cells<Counter>,
    limit_keys: Gauge,
    limit_store_asks: Cells<Counter>,
    store_errors: Cells<Counter>,
    store_up: Gauge,
    key_strangers: Gauge,
    config_reloads: Cells<Counter>,
    parked_calls: Gauge,
    audit_records: Counter,
    audit_failures: Counter,
    audit_lost: Counter,
    audit_waiting: Gauge,
    audit_up: Gauge,
    ready: Gauge,
}

/// The handles of one metric's series, each made when first needed.
type Cells<T> = Box<[OnceLock<T>]>;

/// Counted in a gauge for as long as it lives.
#[must_use = "dropping it counts down again"]
pub struct Gauged(Gauge);

impl Gauged {
    fn new(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl Drop for Gauged {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl fmt::Debug for Gauged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauged")
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A recorder of its own, with every metric described and nothing counted.
    #[must_use]
    pub fn new() -> Self {
        let recorder = Arc::new(build_recorder().expect("invariant: there are buckets"));
        for metric in CATALOGUE {
            describe(&recorder, metric);
        }
        Self(Arc::new(Tables {
            handle: recorder.handle(),
            active_sessions: gauge(&recorder, &ACTIVE_SESSIONS, vec![]),
            sessions_opened: counter(&recorder, &SESSIONS_OPENED, vec![]),
            sessions_closed: cells(CloseReason::COUNT),
            sessions_restored: counter(&recorder, &SESSIONS_RESTORED, vec![]),
            session_panics: counter(&recorder, &SESSION_PANICS, vec![]),
            requests: cells(Method::COUNT * Era::COUNT * Outcome::COUNT),
            durations: cells(Method::COUNT * Era::COUNT),
            running_calls: gauge(&recorder, &RUNNING_CALLS, vec![]),
            running_tasks: gauge(&recorder, &RUNNING_TASKS, vec![]),
            tasks_ended: cells(TaskEnd::COUNT),
            open_streams: cells(StreamKind::COUNT),
            connections: gauge(&recorder, &CONNECTIONS, vec![]),
            refused: cells(Refusal::COUNT),
            limited: cells(LimitReason::COUNT),
            limit_keys: gauge(&recorder, &LIMIT_KEYS, vec![]),
            limit_store_asks: cells(AskEnd::COUNT),
            store_errors: cells(StoreOperation::COUNT),
            store_up: gauge(&recorder, &STORE_UP, vec![]),
            key_strangers: gauge(&recorder, &KEY_STRANGERS, vec![]),
            config_reloads: cells(ReloadOutcome::COUNT),
            parked_calls: gauge(&recorder, &PARKED_CALLS, vec![]),
            audit_records: counter(&recorder, &AUDIT_RECORDS, vec![]),
            audit_failures: counter(&recorder, &AUDIT_FAILURES, vec![]),
            audit_lost: counter(&recorder, &AUDIT_LOST, vec![]),
            audit_waiting: gauge(&recorder, &AUDIT_WAITING, vec![]),
            audit_up: gauge(&recorder, &AUDIT_UP, vec![]),
            ready: gauge(&recorder, &READY, vec![]),
            recorder,
        }))
    }

    /// Makes the same recorder the process's own, so that what tools count through the `metrics`
    /// facade is rendered too. `false`: the process has one already.
    #[must_use]
    pub fn install(&self) -> bool {
        metrics::set_global_recorder(Arc::clone(&self.0.recorder)).is_ok()
    }

    /// Everything counted, in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.handle.render()
    }

    /// Folds recorded durations into their buckets; to be called every few seconds.
    pub fn upkeep(&self) {
        self.0.handle.run_upkeep();
    }

    /// A request was answered.
    pub fn request(&self, method: &Method, era: Era, outcome: Outcome, took: Duration) {
        let tables = &*self.0;
        let place = method.index() * Era::COUNT + era.index();
        tables.requests[place * Outcome::COUNT + outcome.index()]
            .get_or_init(|| {
                let labels = vec![label(method), label(&era), label(&outcome)];
                counter(&tables.recorder, &REQUESTS, labels)
            })
            .increment(1);
        tables.durations[place]
            .get_or_init(|| {
                let labels = vec![label(method), label(&era)];
                let key = Key::from_parts(REQUEST_DURATION.name, labels);
                tables.recorder.register_histogram(&key, &METADATA)
            })
            .record(took.as_secs_f64());
    }

    /// Counts a running request for as long as the answer lives.
    pub fn running_call(&self) -> Gauged {
        Gauged::new(&self.0.running_calls)
    }

    /// Counts a running task for as long as the answer lives.
    pub fn running_task(&self) -> Gauged {
        Gauged::new(&self.0.running_tasks)
    }

    /// A task ended.
    pub fn task_ended(&self, end: TaskEnd) {
        let tables = &*self.0;
        tables.tasks_ended[end.index()]
            .get_or_init(|| counter(&tables.recorder, &TASKS_ENDED, vec![label(&end)]))
            .increment(1);
    }

    /// Counts a session at its home for as long as the answer lives.
    pub fn active_session(&self) -> Gauged {
        Gauged::new(&self.0.active_sessions)
    }

    /// Counts an open stream for as long as the answer lives.
    pub fn open_stream(&self, kind: StreamKind) -> Gauged {
        let tables = &*self.0;
        Gauged::new(
            tables.open_streams[kind.index()]
                .get_or_init(|| gauge(&tables.recorder, &OPEN_STREAMS, vec![label(&kind)])),
        )
    }

    /// Counts an open connection for as long as the answer lives.
    pub fn connection(&self) -> Gauged {
        Gauged::new(&self.0.connections)
    }

    /// Something was refused. [`super::events::Refused`] also says so in the log.
    pub fn refused(&self, reason: Refusal) {
        let tables = &*self.0;
        tables.refused[reason.index()]
            .get_or_init(|| counter(&tables.recorder, &REFUSED, vec![label(&reason)]))
            .increment(1);
    }

    /// A limit refused a call.
    pub fn limited(&self, reason: LimitReason) {
        let tables = &*self.0;
        tables.limited[reason.index()]
            .get_or_init(|| counter(&tables.recorder, &LIMITED, vec![label(&reason)]))
            .increment(1);
    }

    /// How many buckets limits are counted with; to be said every few seconds.
    pub fn limit_keys(&self, keys: usize) {
        #[expect(clippy::cast_precision_loss, reason = "there are at most 200,000")]
        self.0.limit_keys.set(keys as f64);
    }

    /// The store was asked for tokens of limits.
    pub fn limit_store_ask(&self, end: AskEnd) {
        let tables = &*self.0;
        tables.limit_store_asks[end.index()]
            .get_or_init(|| counter(&tables.recorder, &LIMIT_STORE_ASKS, vec![label(&end)]))
            .increment(1);
    }

    pub(super) fn session_opened(&self) {
        self.0.sessions_opened.increment(1);
    }

    pub(super) fn session_closed(&self, reason: CloseReason) {
        let tables = &*self.0;
        tables.sessions_closed[reason.index()]
            .get_or_init(|| counter(&tables.recorder, &SESSIONS_CLOSED, vec![label(&reason)]))
            .increment(1);
    }

    pub(super) fn session_restored(&self) {
        self.0.sessions_restored.increment(1);
    }

    pub(super) fn session_panicked(&self) {
        self.0.session_panics.increment(1);
    }

    pub(super) fn store_error(&self, operation: StoreOperation) {
        let tables = &*self.0;
        tables.store_errors[operation.index()]
            .get_or_init(|| counter(&tables.recorder, &STORE_ERRORS, vec![label(&operation)]))
            .increment(1);
    }

    pub(super) fn config_reload(&self, outcome: ReloadOutcome) {
        let tables = &*self.0;
        tables.config_reloads[outcome.index()]
            .get_or_init(|| counter(&tables.recorder, &CONFIG_RELOADS, vec![label(&outcome)]))
            .increment(1);
    }

    /// Whether the store answers and takes writes; to be said before a rendering.
    pub fn store_up(&self, up: bool) {
        self.0.store_up.set(if up { 1.0 } else { 0.0 });
    }

    /// How many other nodes do not know this one's key; to be said before a rendering.
    pub fn key_strangers(&self, nodes: usize) {
        #[expect(clippy::cast_precision_loss, reason = "there are few nodes")]
        self.0.key_strangers.set(nodes as f64);
    }

    /// How an upstream is; to be said before a rendering.
    pub fn upstream(&self, name: &str, is: UpstreamIs) {
        let recorder = &self.0.recorder;
        let set = |metric: &Metric, value: usize| {
            #[expect(clippy::cast_precision_loss, reason = "there are few of each")]
            gauge(recorder, metric, vec![UpstreamName::label(name)]).set(value as f64);
        };
        set(&UPSTREAM_UP, is.up.into());
        set(&UPSTREAM_LEFT_ALONE, is.left_alone.into());
        set(&UPSTREAM_LINES, is.lines);
        set(&UPSTREAM_RUNNING, is.running);
        set(&UPSTREAM_WAITING, is.waiting);
    }

    /// A counter of how requests to an upstream end.
    #[must_use]
    pub fn upstream_requests(&self, name: &str) -> UpstreamRequests {
        let recorder = &self.0.recorder;
        let of = |end: &UpstreamEnd| {
            let labels = vec![UpstreamName::label(name), label(end)];
            counter(recorder, &UPSTREAM_REQUESTS, labels)
        };
        UpstreamRequests(UpstreamEnd::ALL.iter().map(of).collect())
    }

    /// How many calls are parked; to be said before a rendering.
    pub fn parked_calls(&self, calls: usize) {
        #[expect(clippy::cast_precision_loss, reason = "there are few")]
        self.0.parked_calls.set(calls as f64);
    }

    /// So many audit records became durable.
    pub fn audit_records(&self, records: u64) {
        self.0.audit_records.increment(records);
    }

    /// Not all of a group of audit records could be written.
    pub fn audit_failure(&self) {
        self.0.audit_failures.increment(1);
    }

    /// So many audit records are lost.
    pub fn audit_lost(&self, records: u64) {
        self.0.audit_lost.increment(records);
    }

    /// How many audit records wait; to be said before a rendering.
    pub fn audit_waiting(&self, records: usize) {
        #[expect(clippy::cast_precision_loss, reason = "there are few")]
        self.0.audit_waiting.set(records as f64);
    }

    /// Whether audit records can be written; to be said before a rendering.
    pub fn audit_up(&self, up: bool) {
        self.0.audit_up.set(if up { 1.0 } else { 0.0 });
    }

    /// Whether the node takes traffic; to be said before a rendering.
    pub fn ready(&self, ready: bool) {
        self.0.ready.set(if ready { 1.0 } else { 0.0 });
    }
}

/// How an upstream is.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamIs {
    /// It answers.
    pub up: bool,
    /// Its breaker keeps requests away.
    pub left_alone: bool,
    /// Sessions and processes with it.
    pub lines: usize,
    /// Requests that run there.
    pub running: usize,
    /// Requests that wait for a place.
    pub waiting: usize,
}

/// Counts how requests to one upstream end. Cloning shares the counts.
#[derive(Clone)]
pub struct UpstreamRequests(Arc<[Counter]>);

impl UpstreamRequests {
    /// One has ended.
    pub fn ended(&self, end: UpstreamEnd) {
        self.0[end.index()].increment(1);
    }
}

impl fmt::Debug for UpstreamRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamRequests").finish_non_exhaustive()
    }
}

static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

fn build_recorder() -> Result<PrometheusRecorder, BuildError> {
    let durations = Matcher::Full(REQUEST_DURATION.name.to_owned());
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(durations, &DURATION_BUCKETS)?
        .build_recorder())
}

fn describe(recorder: &PrometheusRecorder, metric: &Metric) {
    let name = KeyName::from_const_str(metric.name);
    let (unit, help) = (Some(metric.unit), metric.help.into());
    match metric.kind {
        Kind::Counter => recorder.describe_counter(name, unit, help),
        Kind::Gauge => recorder.describe_gauge(name, unit, help),
        Kind::Histogram => recorder.describe_histogram(name, unit, help),
    }
}

fn counter(recorder: &PrometheusRecorder, metric: &Metric, labels: Vec<metrics::Label>) -> Counter {
    recorder.register_counter(&Key::from_parts(metric.name, labels), &METADATA)
}

fn gauge(recorder: &PrometheusRecorder, metric: &Metric, labels: Vec<metrics::Label>) -> Gauge {
    recorder.register_gauge(&Key::from_parts(metric.name, labels), &METADATA)
}

fn label<L: Label>(value: &L) -> metrics::Label {
    metrics::Label::from_static_parts(L::KEY, value.text())
}

fn cells<T>(count: usize) -> Cells<T> {
    (0..count).map(|_| OnceLock::new()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn every_name_follows_the_template() {
        for metric in CATALOGUE {
            let name = metric.name;
            assert!(name.starts_with("mcp_"), "{name}");
            assert_eq!(
                name.ends_with("_total"),
                metric.kind == Kind::Counter,
                "{name}"
            );
            assert_eq!(
                name.ends_with("_seconds"),
                metric.unit == Unit::Seconds,
                "{name}"
            );
            assert!(metric.help.ends_with('.'), "{name}");
            let twins = CATALOGUE.iter().filter(|other| other.name == name);
            assert_eq!(twins.count(), 1, "{name}");
        }
    }

    #[test]
    fn what_is_counted_is_rendered_with_its_labels() {
        let metrics = Metrics::new();
        let session = metrics.active_session();
        let _stream = metrics.open_stream(StreamKind::Standing);
        metrics.refused(Refusal::Host);
        let took = Duration::from_micros(300);
        metrics.request(&Method::ToolsCall, Era::Session, Outcome::Ok, took);
        metrics.request(&Method::parse("x"), Era::Stateless, Outcome::Error, took);

        let text = metrics.render();
        for line in [
            "# TYPE mcp_active_sessions gauge",
            "mcp_active_sessions 1",
            "mcp_sessions_opened_total 0",
            r#"mcp_open_streams{kind="standing"} 1"#,
            r#"mcp_refused_total{reason="host"} 1"#,
            r#"mcp_requests_total{method="tools/call",era="session",outcome="ok"} 1"#,
            r#"mcp_requests_total{method="other",era="stateless",outcome="error"} 1"#,
            r#"mcp_request_duration_seconds_bucket{method="tools/call",era="session",le="0.00025"} 0"#,
            r#"mcp_request_duration_seconds_bucket{method="tools/call",era="session",le="0.0005"} 1"#,
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line}\nis not in\n{text}"
            );
        }
        drop(session);
        assert!(metrics.render().contains("mcp_active_sessions 0"));
    }

    #[test]
    fn two_servers_in_one_process_count_apart() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.refused(Refusal::Calls);
        assert!(one.render().contains("mcp_refused_total{"));
        assert!(!other.render().contains("mcp_refused_total{"));
    }

    /// The bound is loose because tests run unoptimised and side by side; the number is printed.
    #[test]
    fn counting_a_request_is_cheap() {
        const ROUNDS: u32 = 100_000;
        let metrics = Metrics::new();
        let took = Duration::from_micros(10);
        let started = Instant::now();
        for _ in 0..ROUNDS {
            metrics.request(&Method::ToolsCall, Era::Session, Outcome::Ok, took);
        }
        let each = started.elapsed() / ROUNDS;
        println!("counting a request: {each:?}");
        assert!(each < Duration::from_micros(20), "{each:?}");
    }
}
