//! `churn`: does memory come back when sessions are opened and abandoned?
//!
//! Clients that crash, or that never heard of DELETE: each opens a session, makes a call, and is
//! gone; every fourth also opens its standing stream and drops it without a word. The server has
//! short times, so that sessions expire while others come. At the end it must have no session left,
//! and about the memory it began with.

use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use crate::comparison::Used;
use crate::descriptors;
use crate::echo_call::{EchoCall, Subject};
use crate::event_stream::EventStream;
use crate::failure::Failure;
use crate::findings::{Chart, Failures, Findings, Line, Table};
use crate::http_client::Connection;
use crate::mcp::{self, Wrong};
use crate::options::Common;
use crate::pace;
use crate::server_process::ServerProcess;
use crate::tally::Tally;

/// Sessions end after two seconds without use, and leave this process after one. A stream whose
/// client is gone is use until the second heartbeat cannot be written, so those are short too.
const TIMES: [(&str, &str); 5] = [
    ("SESSIONS_IDLE_TTL", "2s"),
    ("SESSIONS_PASSIVATE_AFTER", "1s"),
    ("STREAMS_HEARTBEAT", "1s"),
    ("SESSIONS_MAX", "1000000"),
    ("SESSIONS_MAX_PER_PRINCIPAL", "1000000"),
];
/// Connections over which sessions come.
const LANES: usize = 32;
/// One in so many opens its standing stream.
const WITH_STREAM: u32 = 4;
/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_millis(250);
/// How long the server may take to forget all sessions, and the allocator to give memory back.
const FORGETTING: Duration = Duration::from_secs(60);
const GIVING_BACK: Duration = Duration::from_secs(10);
/// The share of the sessions that is opened before the start is noted: what a server makes once,
/// and keeps, is there then.
const WARM_UP: u32 = 50;

/// What `churn` takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Sessions to open and abandon [default: 200000, with --quick 200]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    sessions: Option<u32>,
    /// Over how long [default: 150, with --quick 0.5]
    #[arg(long, value_parser = super::seconds)]
    seconds: Option<Duration>,
}

/// The server's memory at one time.
#[derive(Clone, Copy, Debug, Serialize)]
struct Sample {
    seconds: f64,
    mib: f64,
    sessions: f64,
}

/// Runs the scenario.
pub(crate) async fn measure(common: &Common, args: &Args) -> Result<Findings, Failure> {
    let machine = common.machine();
    let sessions = common.sized(args.sessions, 200_000, 200);
    let seconds = common.sized(
        args.seconds,
        Duration::from_secs(150),
        Duration::from_millis(500),
    );
    let per_second = f64::from(sessions) / seconds.as_secs_f64();
    descriptors::allow(LANES as u64 * 3).map_err(Failure::own("cautioning"))?;
    let binary = common.switchboard()?;
    let server =
        ServerProcess::switchboard(&binary, common.store, common.workers(), &TIMES).await?;
    let tally = Rc::new(Tally::new());
    let fresh = server.memory()?.mib();
    abandon(&server, sessions.div_ceil(WARM_UP), per_second, &tally).await;
    let _forgot = forgotten(&server).await?;
    rest(common).await;

    tally.count(false);
    let start = server.memory()?.mib();
    let mut samples = Vec::new();
    let began = Instant::now();
    let watch = server.start_watch()?;
    let used: Used = {
        let load = async {
            tally.count(true);
            abandon(&server, sessions, per_second, &tally).await;
            watch.stop()
        };
        tokio::pin!(load);
        loop {
            tokio::select! {
                used = &mut load => break used?,
                sample = sample(&server, began) => samples.push(sample?),
            }
        }
    };
    let forgot_after = forgotten(&server).await?;
    let left = metric(&server).await?;
    let end = loop {
        samples.push(sample(&server, began).await?);
        let now = server.memory()?.mib();
        let waited = began.elapsed().saturating_sub(used.wall + forgot_after);
        if now <= start || common.quick || waited > GIVING_BACK {
            break now;
        }
    };
    let peak = samples
        .iter()
        .map(|sample| sample.mib)
        .fold(start, f64::max);
    let most = samples
        .iter()
        .map(|sample| sample.sessions)
        .fold(0.0, f64::max);

    let mut failures = Failures::default();
    failures.add(tally.failures(), tally.first_failure().as_ref());
    if left > 0.0 {
        failures.add(1, Some(&format!("{left} sessions were never forgotten")));
    }
    let cpu_us = used.server_cpu.as_secs_f64() * 1e6 / f64::from(sessions);
    let columns = [
        "fresh MiB",
        "start MiB",
        "peak MiB",
        "end MiB",
        "most at once",
        "left",
        "CPU µs/session",
        "failed",
    ];
    let mut table = Table::new("abandoned sessions", columns.map(str::to_owned));
    table.row(
        &format!("{sessions} in {:.0} s", used.wall.as_secs_f64()),
        [
            format!("{fresh:.1}"),
            format!("{start:.1}"),
            format!("{peak:.1}"),
            format!("{end:.1}"),
            format!("{most:.0}"),
            format!("{left:.0}"),
            format!("{cpu_us:.0}"),
            tally.failures().to_string(),
        ],
    );
    let line = |label: &str, value: fn(&Sample) -> f64| Line {
        label: label.to_owned(),
        points: samples
            .iter()
            .map(|sample| (sample.seconds, value(sample)))
            .collect(),
    };
    let charts = vec![
        Chart::Lines {
            title: "Memory of the server while sessions come and are abandoned".to_owned(),
            x: "seconds",
            y: "resident MiB",
            lines: vec![line("memory", |sample| sample.mib)],
        },
        Chart::Lines {
            title: "Live sessions".to_owned(),
            x: "seconds",
            y: "sessions",
            lines: vec![line("mcp_active_sessions", |sample| sample.sessions)],
        },
    ];
    Ok(Findings {
        scenario: "churn",
        question: "Does memory come back when clients open sessions and never end them?",
        settings: json!({
            "store": common.store,
            "sessions": sessions,
            "sessions_per_second": per_second,
            "idle_ttl": TIMES[0].1,
            "passivate_after": TIMES[1].1,
            "workers": common.workers(),
        }),
        machine,
        tables: vec![table],
        charts,
        medians: json!({
            "fresh_mib": fresh,
            "start_mib": start,
            "peak_mib": peak,
            "end_mib": end,
            "most_sessions": most,
            "sessions_left": left,
            "forgot_after_seconds": forgot_after.as_secs_f64(),
            "cpu_us_per_session": cpu_us,
        }),
        runs: json!(samples),
        failures,
    })
}

/// Opens sessions at a rate and abandons them.
async fn abandon(server: &ServerProcess, sessions: u32, per_second: f64, tally: &Rc<Tally>) {
    let (lanes, keeper) = pace::lanes(sessions, per_second, LANES);
    let mut abandoning = JoinSet::new();
    let address = server.address();
    for mut lane in lanes {
        let tally = tally.clone();
        abandoning.spawn_local(async move {
            let mut connection = match Connection::open(address).await {
                Ok(connection) => connection,
                Err(broken) => return tally.failed(|| broken.to_string()),
            };
            while let Some(due) = lane.recv().await {
                let lived = async {
                    let id = mcp::initialize(address, &mut connection).await?;
                    EchoCall::begin_in(Subject::Session, Some(&id), address, &mut connection)
                        .await?;
                    if (due.number / u32::try_from(LANES).unwrap_or(1)).is_multiple_of(WITH_STREAM)
                    {
                        let request = mcp::get_events(address, "/mcp", &mcp::session_headers(&id));
                        drop(EventStream::open(address, &request).await?);
                    }
                    Ok::<_, Wrong>(())
                };
                match lived.await {
                    Ok(()) => tally.done(due.at.elapsed()),
                    Err(wrong) => return tally.failed(|| wrong.to_string()),
                }
            }
        });
    }
    while abandoning.join_next().await.is_some() {}
    drop(keeper.join());
}

/// Waits until the server has no session any more, or for too long; answers how long.
async fn forgotten(server: &ServerProcess) -> Result<Duration, Failure> {
    let began = Instant::now();
    while metric(server).await? > 0.0 && began.elapsed() < FORGETTING {
        tokio::time::sleep(SAMPLE).await;
    }
    Ok(began.elapsed())
}

async fn rest(common: &Common) {
    if !common.quick {
        tokio::time::sleep(GIVING_BACK / 2).await;
    }
}

async fn sample(server: &ServerProcess, began: Instant) -> Result<Sample, Failure> {
    tokio::time::sleep(SAMPLE).await;
    Ok(Sample {
        seconds: began.elapsed().as_secs_f64(),
        mib: server.memory()?.mib(),
        sessions: metric(server).await?,
    })
}

async fn metric(server: &ServerProcess) -> Result<f64, Failure> {
    let live = server.metric("mcp_active_sessions").await;
    live.map_err(|broken| Failure::Handshake {
        server: server.name(),
        what: broken.to_string(),
    })
}
