//! `gateway`: what it costs to stand between a client and its server.
//!
//! One server with the demonstration tools, called directly and through gateways, each hop of either
//! era. What counts is the CPU of the process that is called, and of that only: of a gateway what
//! the gateway itself uses, not what its upstream does. All are up for the whole scenario and runs
//! alternate between them, with the floor among them.
//!
//! - Calls: an echo in a closed loop, as `calls` has it.
//! - Memory: sessions that do nothing, as `sessions` has them. Behind the gateway they share one
//!   session with the upstream.
//! - Streams: progress as fast as it is taken, as `stream` has it.

use std::rc::Rc;
use std::time::Duration;

use serde_json::json;

use super::calls;
use super::sessions::BOUNDS;
use super::stream::{self, Source};
use crate::comparison::{self, Run};
use crate::descriptors;
use crate::echo_call::Subject;
use crate::failure::Failure;
use crate::findings::{Failures, Findings};
use crate::idle_memory;
use crate::mcp::{SESSION_VERSION, STATELESS_VERSION};
use crate::options::Common;
use crate::server_process::ServerProcess;
use crate::tally::Tally;

/// What `gateway` takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// How long each run of calls is measured [default: 3, with --quick 0.3]
    #[arg(long, value_parser = super::seconds)]
    seconds: Option<Duration>,
    /// Kept-alive connections, each with one call at a time [default: 64]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: Option<u16>,
    /// Sessions to hold; 0 leaves that out [default: 10000, with --quick 50]
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    sessions: Option<u32>,
    /// Streams at once [default: 8]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    streams: Option<u32>,
    /// Events of each stream; 0 leaves that out [default: 20000, with --quick 500]
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    events: Option<u32>,
    /// Whom to measure [default: all]; without the floor there are no ratios.
    #[arg(long, value_enum, value_delimiter = ',')]
    subjects: Vec<Way>,
}

/// The way a call takes: its hops and their eras.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
enum Way {
    /// To the bare server.
    Floor,
    /// To the upstream itself, in a session.
    Session,
    /// To the upstream itself, without one.
    Stateless,
    /// Through the gateway, both hops in sessions.
    SessionSession,
    /// Through the gateway, no hop in a session.
    StatelessStateless,
    /// Through the gateway, only the client has a session.
    SessionStateless,
    /// Through the gateway, only the gateway has a session.
    StatelessSession,
}

impl Way {
    const ALL: [Self; 7] = [
        Self::Floor,
        Self::Session,
        Self::Stateless,
        Self::SessionSession,
        Self::StatelessStateless,
        Self::SessionStateless,
        Self::StatelessSession,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Session => "direct: session",
            Self::Stateless => "direct: stateless",
            Self::SessionSession => "session → session",
            Self::StatelessStateless => "stateless → stateless",
            Self::SessionStateless => "session → stateless",
            Self::StatelessSession => "stateless → session",
        }
    }

    /// How the client calls.
    const fn caller(self) -> Subject {
        match self {
            Self::Floor => Subject::Floor,
            Self::Session | Self::SessionSession | Self::SessionStateless => Subject::Session,
            Self::Stateless | Self::StatelessStateless | Self::StatelessSession => {
                Subject::Stateless
            }
        }
    }

    /// Who says the events the client asks for.
    const fn source(self) -> Source {
        match self.caller() {
            Subject::Floor => Source::Floor,
            Subject::Session => Source::Session,
            Subject::Stateless => Source::Stateless,
        }
    }
}

/// The servers of the scenario. A gateway speaks one revision with the upstream, so there are two.
struct Servers {
    floor: ServerProcess,
    upstream: ServerProcess,
    to_session: ServerProcess,
    to_stateless: ServerProcess,
}

impl Servers {
    async fn start(common: &Common) -> Result<Self, Failure> {
        let (binary, workers) = (common.switchboard()?, common.workers());
        let upstream = ServerProcess::switchboard(&binary, common.store, workers, &BOUNDS).await?;
        let gateway = async |version| {
            let store = common.store;
            ServerProcess::gateway(&binary, store, workers, &BOUNDS, (&upstream, version)).await
        };
        let to_session = gateway(SESSION_VERSION).await?;
        let to_stateless = gateway(STATELESS_VERSION).await?;
        let (_connection, call) = calls::connect(Subject::Session, &upstream).await?;
        let floor = ServerProcess::floor(call.answer_bytes(), workers).await?;
        Ok(Self {
            floor,
            upstream,
            to_session,
            to_stateless,
        })
    }

    /// The process that is called, and measured.
    const fn called(&self, way: Way) -> &ServerProcess {
        match way {
            Way::Floor => &self.floor,
            Way::Session | Way::Stateless => &self.upstream,
            Way::SessionSession | Way::StatelessSession => &self.to_session,
            Way::StatelessStateless | Way::SessionStateless => &self.to_stateless,
        }
    }
}

/// Runs the scenario.
pub(crate) async fn measure(common: &Common, args: &Args) -> Result<Findings, Failure> {
    let machine = common.machine();
    let mut ways = args.subjects.clone();
    if ways.is_empty() {
        ways.extend(Way::ALL);
    }
    ways.sort_unstable();
    ways.dedup();
    let labels = Way::ALL.map(Way::label);
    let (whole, quick) = (Duration::from_secs(3), Duration::from_millis(300));
    let seconds = common.sized(args.seconds, whole, quick);
    let connections = args.connections.unwrap_or(64);
    let sessions = common.sized(args.sessions, 10_000, 50);
    let flood = stream::Load {
        streams: args.streams.unwrap_or(8),
        events: common.sized(args.events, 20_000, 500),
        interval_us: 0,
    };
    descriptors::allow(sessions.into()).map_err(Failure::own("cautioning"))?;

    let servers = Servers::start(common).await?;
    let mut failures = Failures::default();
    let mut called = Vec::new();
    let mut flooded = Vec::new();
    for round in 1..=common.rounds() {
        for way in &ways {
            let (server, label) = (servers.called(*way), way.label());
            let load = calls::Load {
                seconds,
                connections,
                round,
            };
            called.push(calls::run(load, label, way.caller(), server).await?);
            if flood.events > 0 {
                flooded.push(stream::run(server, label, way.source(), flood, round).await?);
            }
        }
    }
    for run in called.iter().chain(&flooded) {
        failures.add(Run::failures(run), run.first_failure());
    }
    let mut held = Vec::new();
    let with_sessions = ways.iter().filter(|_| sessions > 0);
    for way in with_sessions.filter(|way| way.caller() == Subject::Session) {
        let (server, label, at) = (servers.called(*way), way.label(), (1, common.quick));
        let tally = Rc::new(Tally::new());
        let (memory, mut holding) =
            idle_memory::hold(server, label, way.caller(), sessions, at, &tally).await?;
        holding.drop_streams().await;
        failures.add(tally.failures(), tally.first_failure().as_ref());
        held.push(memory);
    }
    let calls_of = comparison::summaries(&labels, Way::Floor.label(), &called);
    let flood_of = comparison::summaries(&labels, Way::Floor.label(), &flooded);
    let memory_of = idle_memory::summaries(&labels, &held);
    let (memory_table, memory_chart) = idle_memory::show(&memory_of);
    Ok(Findings {
        scenario: "gateway",
        question: "What does the gateway itself cost, beside its upstream called directly?",
        settings: json!({
            "store": common.store,
            "rounds": common.rounds(),
            "seconds": seconds.as_secs_f64(),
            "connections": connections,
            "sessions": sessions,
            "streams": flood.streams,
            "events": flood.events,
            "workers": common.workers(),
        }),
        machine,
        tables: vec![
            comparison::table("calls", "call", &calls_of),
            memory_table,
            comparison::table("flood", "event", &flood_of),
        ],
        charts: vec![
            comparison::chart("call", &calls_of),
            memory_chart,
            comparison::chart("event of a flood", &flood_of),
        ],
        medians: json!({"calls": calls_of, "memory": memory_of, "flood": flood_of}),
        runs: json!({"calls": called, "memory": held, "flood": flooded}),
        failures,
    })
}
