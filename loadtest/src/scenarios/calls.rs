//! `calls`: what one echo call costs in each era, beside the floor.
//!
//! Each run drives one server over kept-alive connections in a closed loop: a connection sends its
//! next request when it has the answer to its last. So calls per second and latency describe this
//! load, not what a server does at a rate it does not choose; a server that stalls is asked less.
//! CPU per call does not suffer from that.
//!
//! The servers are processes of their own and all up for the whole scenario; runs alternate between
//! them, so that whatever else the machine does meets all alike.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, LocalSet};

use crate::cpu;
use crate::echo_call::{EchoCall, Subject, Wrong};
use crate::failure::Failure;
use crate::http_client::Connection;
use crate::latency::Latencies;
use crate::report::{Machine, Report, Run, Settings};
use crate::server_process::{ServerProcess, Store};

/// How long the first calls of a run may take, and the last ones after its end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Most seconds of a run that are not measured.
const WARM_UP_MAX: Duration = Duration::from_millis(500);

/// What `calls` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The server's binary [default: `switchboard` beside this program]
    #[arg(long, value_name = "PATH")]
    switchboard: Option<PathBuf>,
    /// Where Switchboard keeps state.
    #[arg(long, value_enum, default_value = "memory")]
    store: Store,
    /// Runs of each server.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// How long each run is measured.
    #[arg(long, default_value = "3", value_parser = seconds)]
    seconds: Duration,
    /// Kept-alive connections, each with one call at a time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// HTTP workers of every server [default: as many as there are cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// Whom to measure; without the floor there are no ratios.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Subject::ALL)]
    subjects: Vec<Subject>,
    /// Also write everything as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The compiler's version, for the JSON.
    #[arg(long, value_name = "TEXT")]
    rustc: Option<String>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=60.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("between 0.1 and 60 seconds".to_owned())
    }
}

/// Runs the scenario, prints its table, and fails if any call did.
pub(crate) fn main(args: &Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::own("building a runtime"))?;
    let report = LocalSet::new().block_on(&runtime, measure(args))?;
    report.print().map_err(Failure::own("printing"))?;
    if let Some(path) = &args.json {
        report
            .write_json(path)
            .map_err(Failure::own("writing the JSON"))?;
    }
    report.verdict()
}

/// The servers of the scenario. Both eras are served by one process.
struct Servers {
    floor: ServerProcess,
    switchboard: ServerProcess,
}

impl Servers {
    async fn start(args: &Args, workers: u16) -> Result<Self, Failure> {
        let binary = match &args.switchboard {
            Some(path) => path.clone(),
            None => beside_this_program()?,
        };
        let switchboard = ServerProcess::switchboard(&binary, args.store, workers).await?;
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

fn beside_this_program() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(Failure::own("finding this program"))?;
    Ok(own
        .parent()
        .unwrap_or_else(|| Path::new("."))
        .join("switchboard"))
}

async fn measure(args: &Args) -> Result<Report, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let workers = args
        .workers
        .unwrap_or_else(|| u16::try_from(cores).unwrap_or(u16::MAX).min(256));
    let servers = Servers::start(args, workers).await?;
    let mut subjects = args.subjects.clone();
    subjects.sort_unstable();
    subjects.dedup();
    let mut runs = Vec::new();
    for round in 1..=args.rounds {
        for subject in &subjects {
            runs.push(run(args, *subject, servers.of(*subject), round).await?);
        }
    }
    let settings = Settings {
        scenario: "calls",
        store: args.store,
        rounds: args.rounds,
        seconds: args.seconds.as_secs_f64(),
        connections: args.connections,
        workers,
    };
    let machine = Machine::this(cores, args.rustc.clone());
    Ok(Report::new(settings, machine, runs))
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    WarmingUp,
    Measured,
    Over,
}

/// What the connections of a run share; all of them are on one thread.
struct Tally {
    phase: Cell<Phase>,
    calls: Cell<u64>,
    failures: Cell<u64>,
    first_failure: RefCell<Option<String>>,
    latencies: RefCell<Latencies>,
}

impl Tally {
    fn new() -> Self {
        Self {
            phase: Cell::new(Phase::WarmingUp),
            calls: Cell::new(0),
            failures: Cell::new(0),
            first_failure: RefCell::new(None),
            latencies: RefCell::new(Latencies::new()),
        }
    }

    fn answered(&self, took: Duration) {
        if self.phase.get() == Phase::Measured {
            self.calls.set(self.calls.get() + 1);
            self.latencies.borrow_mut().add(took);
        }
    }

    /// Failures count in every phase.
    fn failed(&self, why: impl FnOnce() -> String) {
        self.failures.set(self.failures.get() + 1);
        self.first_failure.borrow_mut().get_or_insert_with(why);
    }
}

async fn connect(
    subject: Subject,
    server: &ServerProcess,
) -> Result<(Connection, EchoCall), Failure> {
    let address = server.address();
    let begun = async {
        let mut connection = Connection::open(address).await?;
        let call = EchoCall::begin(subject, address, &mut connection).await?;
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

async fn run(
    args: &Args,
    subject: Subject,
    server: &ServerProcess,
    round: u16,
) -> Result<Run, Failure> {
    let tally = Rc::new(Tally::new());
    let mut connections = JoinSet::new();
    for _ in 0..args.connections {
        let (connection, call) = connect(subject, server).await?;
        connections.spawn_local(keep_calling(connection, call, tally.clone()));
    }
    tokio::time::sleep(WARM_UP_MAX.min(args.seconds / 4)).await;

    let client_before = own_cpu()?;
    let (started, before) = (Instant::now(), server.cpu()?);
    tally.phase.set(Phase::Measured);
    tokio::time::sleep(args.seconds).await;
    tally.phase.set(Phase::Over);
    let (took, used) = (started.elapsed(), server.cpu()?.saturating_sub(before));
    let client_used = own_cpu()?.saturating_sub(client_before);

    let ended = async { while connections.join_next().await.is_some() {} };
    tokio::time::timeout(PATIENCE, ended)
        .await
        .map_err(|_| Failure::Stuck(server.name()))?;
    let latencies = tally.latencies.borrow();
    Ok(Run::new(
        subject,
        round,
        tally.calls.get(),
        took,
        used,
        client_used,
        &latencies,
    )
    .with_failures(tally.failures.get(), tally.first_failure.take()))
}

fn own_cpu() -> Result<Duration, Failure> {
    cpu::used_by(std::process::id()).map_err(Failure::own("reading this program's CPU time"))
}

async fn keep_calling(mut connection: Connection, mut call: EchoCall, tally: Rc<Tally>) {
    let mut sent = Instant::now();
    while tally.phase.get() != Phase::Over {
        let outcome = connection.exchange(call.next_request()).await;
        let now = Instant::now();
        match outcome {
            Ok(answer) if call.is_right(&answer) => tally.answered(now - sent),
            Ok(answer) => tally.failed(|| {
                let body = String::from_utf8_lossy(answer.body);
                format!("status {}, body {body:.200}", answer.status)
            }),
            Err(broken) => return tally.failed(|| broken.to_string()),
        }
        sent = now;
    }
    if let Err(broken) = call.end(&mut connection).await {
        tally.failed(|| format!("while ending the session: {broken}"));
    }
}
