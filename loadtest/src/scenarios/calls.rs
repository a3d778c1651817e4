//! `calls`: what one echo call costs in each era, beside the floor.
//!
//! Each run drives one server over kept-alive connections in a closed loop: a connection sends its
//! next request when it has the answer to its last. So calls per second and latency describe this
//! load, not what a server does at a rate it does not choose; a server that stalls is asked less.
//! CPU per call does not suffer from that.
//!
//! The servers are processes of their own and all up for the whole scenario; runs alternate between
//! them, so that whatever else the machine does meets all alike.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::comparison::{self, Run};
use crate::echo_call::{EchoCall, Subject};
use crate::failure::Failure;
use crate::findings::{Failures, Findings, to_json};
use crate::http_client::Connection;
use crate::mcp::Wrong;
use crate::options::Common;
use crate::server_process::ServerProcess;
use crate::tally::Tally;

/// How long the first calls of a run may take, and the last ones after its end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Most seconds of a run that are not measured.
const WARM_UP_MAX: Duration = Duration::from_millis(500);

/// What `calls` takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// How long each run is measured [default: 3, with --quick 0.3]
    #[arg(long, value_parser = super::seconds)]
    seconds: Option<Duration>,
    /// Kept-alive connections, each with one call at a time [default: 64]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: Option<u16>,
    /// Whom to measure [default: all]; without the floor there are no ratios.
    #[arg(long, value_enum, value_delimiter = ',')]
    subjects: Vec<Subject>,
}

/// The servers of the scenario. Both eras are served by one process.
struct Servers {
    floor: ServerProcess,
    switchboard: ServerProcess,
}

impl Servers {
    async fn start(common: &Common) -> Result<Self, Failure> {
        let (binary, workers) = (common.switchboard()?, common.workers());
        let switchboard = ServerProcess::switchboard(&binary, common.store, workers, &[]).await?;
        let (_connection, call) = connect(Subject::Session, &switchboard).await?;
        let floor = ServerProcess::floor(call.answer_bytes(), workers).await?;
        Ok(Self { floor, switchboard })
    }

    const fn of(&self, subject: Subject) -> &ServerProcess {
        match subject {
            Subject::Floor => &self.floor,
            Subject::Session | Subject::Stateless => &self.switchboard,
        }
    }
}

/// Runs the scenario.
pub(crate) async fn measure(common: &Common, args: &Args) -> Result<Findings, Failure> {
    let machine = common.machine();
    let servers = Servers::start(common).await?;
    let mut subjects = args.subjects.clone();
    if subjects.is_empty() {
        subjects.extend(Subject::ALL);
    }
    subjects.sort_unstable();
    subjects.dedup();
    let seconds = common.sized(
        args.seconds,
        Duration::from_secs(3),
        Duration::from_millis(300),
    );
    let connections = args.connections.unwrap_or(64);
    let mut runs = Vec::new();
    for round in 1..=common.rounds() {
        for subject in &subjects {
            let server = servers.of(*subject);
            let load = Load {
                seconds,
                connections,
                round,
            };
            runs.push(run(load, subject.label(), *subject, server).await?);
        }
    }
    let labels = Subject::ALL.map(Subject::label);
    let medians = comparison::summaries(&labels, Subject::Floor.label(), &runs);
    let mut failures = Failures::default();
    for run in &runs {
        failures.add(run.failures(), run.first_failure());
    }
    Ok(Findings {
        scenario: "calls",
        question: "What does one echo call of 64 bytes cost the server?",
        settings: json!({
            "store": common.store,
            "rounds": common.rounds(),
            "seconds": seconds.as_secs_f64(),
            "connections": connections,
            "workers": common.workers(),
        }),
        machine,
        tables: vec![comparison::table("calls", "call", &medians)],
        charts: vec![comparison::chart("call", &medians)],
        medians: to_json(&medians),
        runs: to_json(&runs),
        failures,
    })
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    WarmingUp,
    Measured,
    Over,
}

/// What the connections of a run share; all of them are on one thread.
struct Shared {
    phase: Cell<Phase>,
    tally: Tally,
}

/// How one run calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) seconds: Duration,
    pub(super) connections: u16,
    pub(super) round: u16,
}

/// A connection to `server`, and the call that `subject` makes on it.
pub(super) async fn connect(
    subject: Subject,
    server: &ServerProcess,
) -> Result<(Connection, EchoCall), Failure> {
    let address = server.address();
    let begun = async {
        let mut connection = Connection::open(address).await?;
        let call =
            EchoCall::begin_as(server.credential(), subject, address, &mut connection).await?;
        Ok::<_, Wrong>((connection, call))
    };
    let begun = tokio::time::timeout(PATIENCE, begun)
        .await
        .map_err(|_| Failure::Stuck(server.name()))?;
    begun.map_err(|wrong| Failure::Handshake {
        server: server.name(),
        what: wrong.to_string(),
    })
}

/// One run of calls as `subject` makes them, under the name `label`.
pub(super) async fn run(
    load: Load,
    label: &'static str,
    subject: Subject,
    server: &ServerProcess,
) -> Result<Run, Failure> {
    let Load {
        seconds,
        connections,
        round,
    } = load;
    let shared = Rc::new(Shared {
        phase: Cell::new(Phase::WarmingUp),
        tally: Tally::new(),
    });
    shared.tally.count(false);
    let mut calling = JoinSet::new();
    for _ in 0..connections {
        let (connection, call) = connect(subject, server).await?;
        calling.spawn_local(keep_calling(connection, call, shared.clone()));
    }
    tokio::time::sleep(WARM_UP_MAX.min(seconds / 4)).await;

    let watch = server.start_watch()?;
    shared.phase.set(Phase::Measured);
    shared.tally.count(true);
    tokio::time::sleep(seconds).await;
    shared.phase.set(Phase::Over);
    shared.tally.count(false);
    let used = watch.stop()?;

    let ended = async { while calling.join_next().await.is_some() {} };
    tokio::time::timeout(PATIENCE, ended)
        .await
        .map_err(|_| Failure::Stuck(server.name()))?;
    Ok(Run::new(label, round, &shared.tally, used))
}

async fn keep_calling(mut connection: Connection, mut call: EchoCall, shared: Rc<Shared>) {
    let tally = &shared.tally;
    let mut sent = Instant::now();
    while shared.phase.get() != Phase::Over {
        let outcome = connection.exchange(call.next_request()).await;
        let now = Instant::now();
        match outcome {
            Ok(answer) if call.is_right(&answer) => tally.done(now - sent),
            Ok(answer) => tally.failed(|| answer.describe()),
            Err(broken) => return tally.failed(|| broken.to_string()),
        }
        sent = now;
    }
    if let Err(broken) = call.end(&mut connection).await {
        tally.failed(|| format!("while ending the session: {broken}"));
    }
}
