//! `sessions`: what many sessions cost, being born, being idle, and being called.
//!
//! - Birth: `initialize` in a closed loop, in memory and beside it in the embedded store and in Redis;
//!   the floor answers a request of that size with an answer of that size.
//! - Idleness: so many sessions, each with its standing stream open, and what the server occupies
//!   with them; the floor holds as many streams that say nothing.
//! - Calls: each session calls at its own rate over far fewer connections, in an open loop. Send
//!   times are fixed in advance and latency counts from them, so a server that stalls is not
//!   spared the calls that were due meanwhile.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::comparison::{self, Run};
use crate::descriptors;
use crate::echo_call::Subject;
use crate::failure::Failure;
use crate::findings::{Failures, Findings};
use crate::http_client::Connection;
use crate::idle_memory::{self, Held, WARM_UP};
use crate::mcp;
use crate::options::Common;
use crate::server_process::{ServerProcess, Store};
use crate::tally::Tally;

/// Bounds that a load of sessions would otherwise meet; nothing else is changed.
pub(super) const BOUNDS: [(&str, &str); 3] = [
    ("SESSIONS_MAX", "1000000"),
    ("SESSIONS_MAX_PER_PRINCIPAL", "1000000"),
    ("STREAMS_MAX", "1000000"),
];
/// Connections over which births are measured.
const BIRTH_CONNECTIONS: u16 = 64;

const FLOOR: &str = "floor";
const MEMORY: &str = "memory";
const EMBEDDED: &str = "embedded";
const REDIS: &str = "Redis";
const BORN: [&str; 4] = [FLOOR, MEMORY, EMBEDDED, REDIS];

/// What `sessions` takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Sessions to hold [default: 10000, with --quick 50]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sessions: Option<u32>,
    /// How long to call them [default: 60, with --quick 0.5]
    #[arg(long, value_parser = super::seconds)]
    seconds: Option<Duration>,
    /// Calls per second of each session [default: 1]
    #[arg(long)]
    rate: Option<f64>,
    /// Connections over which they call [default: 256]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: Option<u16>,
    /// Sessions born in each run [default: 30000, with --quick 200]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    births: Option<u32>,
    /// Rounds of holding; the last one is called [default: 3, with --quick 1]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    held_rounds: Option<u16>,
}

/// Runs the scenario.
pub(crate) async fn measure(common: &Common, args: &Args) -> Result<Findings, Failure> {
    let machine = common.machine();
    let sessions = common.sized(args.sessions, 10_000, 50);
    let seconds = common.sized(
        args.seconds,
        Duration::from_secs(60),
        Duration::from_millis(500),
    );
    let rate = args.rate.unwrap_or(1.0).max(0.001);
    let connections = args.connections.unwrap_or(256);
    let births = common.sized(args.births, 30_000, 200);
    let held_rounds = common.sized(args.held_rounds, 3, 1);
    let sockets = u64::from(sessions) + u64::from(connections);
    descriptors::allow(sockets).map_err(Failure::own("cautioning"))?;

    let mut failures = Failures::default();
    let mut born = Vec::new();
    for round in 1..=common.rounds() {
        for subject in BORN {
            born.push(birth(common, subject, births, round).await?);
        }
    }
    let mut held = Vec::new();
    let mut called = Vec::new();
    for round in 1..=held_rounds {
        for subject in [Subject::Floor, Subject::Session] {
            let calling = Calling {
                connections: connections.into(),
                seconds: (round == held_rounds).then_some(seconds),
                rate,
            };
            let tally = Rc::new(Tally::new());
            let (memory, run) = hold(common, subject, sessions, round, calling, &tally).await?;
            failures.add(tally.failures(), tally.first_failure().as_ref());
            held.push(memory);
            called.extend(run);
        }
    }
    for run in &born {
        failures.add(run.failures(), run.first_failure());
    }
    let births_of = comparison::summaries(&BORN, FLOOR, &born);
    let calls_of = comparison::summaries(&CALLED, CALLED[0], &called);
    let memory_of = idle_memory::summaries(&CALLED, &held);
    let (memory_table, memory_chart) = idle_memory::show(&memory_of);
    Ok(Findings {
        scenario: "sessions",
        question: "What do many sessions cost: being born, being idle with an open stream, and \
                   being called at a rate they do not choose?",
        settings: json!({
            "store": common.store,
            "rounds": common.rounds(),
            "held_rounds": held_rounds,
            "sessions": sessions,
            "seconds": seconds.as_secs_f64(),
            "calls_per_second_and_session": rate,
            "connections": connections,
            "births": births,
            "birth_connections": BIRTH_CONNECTIONS,
            "workers": common.workers(),
        }),
        machine,
        tables: vec![
            comparison::table("new sessions", "session", &births_of),
            memory_table,
            comparison::table("calls, open loop", "call", &calls_of),
        ],
        charts: vec![
            comparison::chart("new session", &births_of),
            memory_chart,
            comparison::latency_chart(
                "Latency of calls, counted from when they were due",
                called.iter(),
            ),
        ],
        medians: json!({
            "births": births_of,
            "memory": memory_of,
            "calls": calls_of,
        }),
        runs: json!({"births": born, "memory": held, "calls": called}),
        failures,
    })
}

const CALLED: [&str; 2] = ["floor", "session era"];

/// One run of births on a server of its own.
async fn birth(
    common: &Common,
    subject: &'static str,
    births: u32,
    round: u16,
) -> Result<Run, Failure> {
    let server = match subject {
        FLOOR => {
            // As long as the answer it stands for.
            let bytes = answer_bytes(common).await?;
            ServerProcess::floor(bytes, common.workers()).await?
        }
        EMBEDDED => switchboard(common, Store::Embedded).await?,
        REDIS => switchboard(common, Store::Redis).await?,
        _ => switchboard(common, Store::Memory).await?,
    };
    let warm_up = Rc::new(Tally::new());
    bear(&server, WARM_UP.min(births), &warm_up).await;
    let tally = Rc::new(Tally::new());
    let watch = server.start_watch()?;
    bear(&server, births, &tally).await;
    Ok(Run::new(subject, round, &tally, watch.stop()?))
}

async fn switchboard(common: &Common, store: Store) -> Result<ServerProcess, Failure> {
    let binary = common.switchboard()?;
    ServerProcess::switchboard(&binary, store, common.workers(), &BOUNDS).await
}

async fn answer_bytes(common: &Common) -> Result<usize, Failure> {
    let server = switchboard(common, Store::Memory).await?;
    let request = mcp::initialize_request(server.address());
    let answered = async {
        let mut connection = Connection::open(server.address()).await?;
        connection
            .exchange(&request)
            .await
            .map(|answer| answer.body.len())
    };
    answered.await.map_err(|broken| Failure::Handshake {
        server: "switchboard",
        what: broken.to_string(),
    })
}

/// Sends `births` requests to be born, as fast as they are answered.
async fn bear(server: &ServerProcess, births: u32, tally: &Rc<Tally>) {
    let left = Rc::new(Cell::new(births));
    let mut opening = JoinSet::new();
    let address = server.address();
    for _ in 0..BIRTH_CONNECTIONS {
        let (left, tally) = (left.clone(), tally.clone());
        opening.spawn_local(async move {
            let request = mcp::initialize_request(address);
            let mut connection = match Connection::open(address).await {
                Ok(connection) => connection,
                Err(broken) => return tally.failed(|| broken.to_string()),
            };
            while let Some(fewer) = left.get().checked_sub(1) {
                left.set(fewer);
                let sent = Instant::now();
                match connection.exchange(&request).await {
                    Ok(answer) if answer.status == 200 => tally.done(sent.elapsed()),
                    Ok(answer) => tally.failed(|| answer.describe()),
                    Err(broken) => return tally.failed(|| broken.to_string()),
                }
            }
        });
    }
    while opening.join_next().await.is_some() {}
}

/// How held sessions are called, if they are.
#[derive(Clone, Copy, Debug)]
struct Calling {
    connections: usize,
    seconds: Option<Duration>,
    rate: f64,
}

/// Holds sessions on a server of their own; on the floor, streams that say nothing.
async fn hold(
    common: &Common,
    subject: Subject,
    sessions: u32,
    round: u16,
    calling: Calling,
    tally: &Rc<Tally>,
) -> Result<(Held, Option<Run>), Failure> {
    let server = match subject {
        Subject::Floor => ServerProcess::floor(ANSWER_BYTES, common.workers()).await?,
        Subject::Session | Subject::Stateless => switchboard(common, common.store).await?,
    };
    let at = (round, common.quick);
    let (memory, mut held) =
        idle_memory::hold(&server, subject.label(), subject, sessions, at, tally).await?;
    let mut run = None;
    if let Some(seconds) = calling.seconds {
        let per_second = calling.rate * f64::from(sessions);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate times a time, both positive; a day of a million calls a second fits not, and nobody waits for it"
        )]
        let total = (per_second * seconds.as_secs_f64()).ceil() as u32;
        tally.count(true);
        let watch = server.start_watch()?;
        held.call_at_rate(&server, calling.connections, total, per_second, tally)
            .await;
        run = Some(Run::new(subject.label(), 1, tally, watch.stop()?));
    }
    held.drop_streams().await;
    Ok((memory, run))
}

/// About what the answer to an echo call has.
const ANSWER_BYTES: usize = 160;
