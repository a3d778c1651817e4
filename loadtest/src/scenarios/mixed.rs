//! `mixed`: a day in the life, for soaking.
//!
//! A population of sessions holds its standing streams open. Meanwhile workers do what clients do,
//! each drawing its next deed by lot: calls in sessions, calls without, streams, sessions that come
//! and go. Any answer but the right one is a failure; memory and rate are drawn over time, so that
//! hours of it show what minutes do not.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use crate::comparison::{self, Run};
use crate::descriptors;
use crate::echo_call::{EchoCall, Subject};
use crate::event_stream::EventStream;
use crate::failure::Failure;
use crate::findings::{Chart, Failures, Findings, Line, Table, to_json};
use crate::held_sessions::{HeldSessions, settle};
use crate::http_client::Connection;
use crate::mcp::{self, Wrong};
use crate::options::Common;
use crate::server_process::ServerProcess;
use crate::tally::Tally;

/// Clients at work.
const WORKERS: u64 = 32;
/// Connections over which the population is opened.
const OPENING_CONNECTIONS: usize = 16;
/// Points of the charts: enough to see a trend, also after a night.
const SAMPLES: u32 = 200;
/// Events of one streamed answer.
const EVENTS: u32 = 20;

/// What a client may do, and how many of a hundred times.
const DEEDS: [(Deed, u64); 4] = [
    (Deed::SessionCall, 55),
    (Deed::StatelessCall, 30),
    (Deed::Stream, 5),
    (Deed::Visit, 10),
];

/// See [`DEEDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    SessionCall,
    StatelessCall,
    Stream,
    Visit,
}

impl Deed {
    const fn label(self) -> &'static str {
        match self {
            Self::SessionCall => "call in a session",
            Self::StatelessCall => "call without",
            Self::Stream => "stream of 20",
            Self::Visit => "session come and gone",
        }
    }
}

/// What `mixed` takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// How long [default: 30, with --quick 0.5]
    #[arg(long, value_parser = super::seconds)]
    seconds: Option<Duration>,
    /// Sessions that hold a stream open meanwhile [default: 500, with --quick 10]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sessions: Option<u32>,
}

/// How it stood at one time.
#[derive(Clone, Copy, Debug, Serialize)]
struct Sample {
    seconds: f64,
    mib: f64,
    deeds_per_second: f64,
}

/// Runs the scenario.
pub(crate) async fn measure(common: &Common, args: &Args) -> Result<Findings, Failure> {
    let machine = common.machine();
    let seconds = common.sized(
        args.seconds,
        Duration::from_secs(30),
        Duration::from_millis(500),
    );
    let sessions = common.sized(args.sessions, 500, 10);
    descriptors::allow(u64::from(sessions) + WORKERS * 3).map_err(Failure::own("cautioning"))?;
    let binary = common.switchboard()?;
    let server = ServerProcess::switchboard(&binary, common.store, common.workers(), &[]).await?;
    let held_tally = Rc::new(Tally::new());
    let lanes = OPENING_CONNECTIONS;
    let mut held =
        HeldSessions::open(&server, Subject::Session, sessions, lanes, &held_tally).await;
    held.open_streams(&server, &held_tally).await;
    settle(common.quick).await;

    let tallies: Rc<BTreeMap<Deed, Tally>> = Rc::new(
        DEEDS
            .iter()
            .map(|(deed, _)| (*deed, Tally::new()))
            .collect(),
    );
    let start = server.memory()?.mib();
    let over = Rc::new(RefCell::new(false));
    let watch = server.start_watch()?;
    let began = Instant::now();
    let mut working = JoinSet::new();
    for seed in 1..=WORKERS {
        let (tallies, over) = (tallies.clone(), over.clone());
        working.spawn_local(work(server.address(), Lot(seed), tallies, over));
    }
    let mut samples: Vec<Sample> = Vec::new();
    let (mut before, mut looked) = (0, began);
    while began.elapsed() < seconds {
        tokio::time::sleep(seconds / SAMPLES).await;
        let done: u64 = tallies.values().map(Tally::total).sum();
        let fresh = u32::try_from(done - before).unwrap_or(u32::MAX);
        samples.push(Sample {
            seconds: began.elapsed().as_secs_f64(),
            mib: server.memory()?.mib(),
            deeds_per_second: f64::from(fresh) / looked.elapsed().as_secs_f64(),
        });
        (before, looked) = (done, Instant::now());
    }
    *over.borrow_mut() = true;
    let used = watch.stop()?;
    while working.join_next().await.is_some() {}
    held.drop_streams().await;
    let end = server.memory()?.mib();

    let runs: Vec<Run> = tallies
        .iter()
        .map(|(deed, tally)| Run::new(deed.label(), 1, tally, used))
        .collect();
    let mut failures = Failures::default();
    failures.add(held_tally.failures(), held_tally.first_failure().as_ref());
    for run in &runs {
        failures.add(run.failures(), run.first_failure());
    }
    let medians = comparison::summaries(&DEEDS.map(|(deed, _)| deed.label()), "", &runs);
    let done: u64 = tallies.values().map(Tally::total).sum();
    let each = f64::from(u32::try_from(done).unwrap_or(u32::MAX)).max(1.0);
    let cpu_us = used.server_cpu.as_secs_f64() * 1e6 / each;
    let mut whole = Table::new(
        "all together",
        ["deeds/s", "CPU µs/deed", "start MiB", "end MiB"].map(str::to_owned),
    );
    whole.row(
        "mixed",
        [
            format!("{:.0}", each / used.wall.as_secs_f64()),
            format!("{cpu_us:.1}"),
            format!("{start:.1}"),
            format!("{end:.1}"),
        ],
    );
    let line = |label: &str, value: fn(&Sample) -> f64| Line {
        label: label.to_owned(),
        points: samples
            .iter()
            .map(|sample| (sample.seconds, value(sample)))
            .collect(),
    };
    let chart = |title: &str, y, line| Chart::Lines {
        title: title.to_owned(),
        x: "seconds",
        y,
        lines: vec![line],
    };
    Ok(Findings {
        scenario: "mixed",
        question: "Does everything hold at once, for as long as one likes to watch?",
        settings: json!({
            "store": common.store,
            "seconds": seconds.as_secs_f64(),
            "held_sessions": sessions,
            "clients": WORKERS,
            "workers": common.workers(),
        }),
        machine,
        tables: vec![whole, comparison::latency_table("deeds", &medians)],
        charts: vec![
            chart(
                "Deeds",
                "per second",
                line("deeds", |sample| sample.deeds_per_second),
            ),
            chart(
                "Memory of the server",
                "resident MiB",
                line("memory", |sample| sample.mib),
            ),
        ],
        medians: json!({
            "deeds": medians,
            "cpu_us_per_deed": cpu_us,
            "start_mib": start,
            "end_mib": end,
        }),
        runs: json!({"deeds": to_json(&runs), "samples": samples}),
        failures,
    })
}

/// A lot that falls the same way every time (xorshift; never 0).
#[derive(Clone, Copy, Debug)]
struct Lot(u64);

impl Lot {
    fn draw(&mut self) -> Deed {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let mut ticket = self.0 % 100;
        for (deed, share) in DEEDS {
            match ticket.checked_sub(share) {
                Some(rest) => ticket = rest,
                None => return deed,
            }
        }
        Deed::SessionCall
    }
}

async fn work(
    address: std::net::SocketAddr,
    mut lot: Lot,
    tallies: Rc<BTreeMap<Deed, Tally>>,
    over: Rc<RefCell<bool>>,
) {
    let mut client = match Client::connect(address).await {
        Ok(client) => client,
        Err(wrong) => return tallies[&Deed::SessionCall].failed(|| wrong.to_string()),
    };
    while !*over.borrow() {
        let deed = lot.draw();
        let began = Instant::now();
        let outcome = match deed {
            Deed::SessionCall => call(&mut client.connection, &mut client.in_session).await,
            Deed::StatelessCall => call(&mut client.connection, &mut client.stateless).await,
            Deed::Stream => stream(address, &client.session).await,
            Deed::Visit => visit(address, &mut client.connection).await,
        };
        match outcome {
            Ok(()) => tallies[&deed].done(began.elapsed()),
            Err(wrong) => return tallies[&deed].failed(|| wrong.to_string()),
        }
    }
}

/// One client with a session of its own.
struct Client {
    connection: Connection,
    session: String,
    in_session: EchoCall,
    stateless: EchoCall,
}

impl Client {
    async fn connect(address: std::net::SocketAddr) -> Result<Self, Wrong> {
        let mut connection = Connection::open(address).await?;
        let session = mcp::initialize(address, &mut connection).await?;
        let id = Some(session.as_str());
        let in_session = EchoCall::begin_in(Subject::Session, id, address, &mut connection).await?;
        let stateless = EchoCall::begin(Subject::Stateless, address, &mut connection).await?;
        Ok(Self {
            connection,
            session,
            in_session,
            stateless,
        })
    }
}

async fn call(connection: &mut Connection, call: &mut EchoCall) -> Result<(), Wrong> {
    let answer = connection.exchange(call.next_request()).await?;
    mcp::expect(call.is_right(&answer), &answer)
}

async fn stream(address: std::net::SocketAddr, session: &str) -> Result<(), Wrong> {
    let request = mcp::stream_call(address, Some(session), EVENTS, 1_000);
    let mut stream = EventStream::open(address, &request).await?;
    let mut text = Vec::new();
    while let Some(piece) = stream.piece().await? {
        text.extend_from_slice(&piece);
    }
    let is_data = |line: &&[u8]| line.starts_with(b"data: {");
    let messages = text.split(|byte| *byte == b'\n').filter(is_data).count();
    // The result comes behind the events.
    if messages == EVENTS as usize + 1 {
        return Ok(());
    }
    Err(Wrong::Answer(format!("a stream had {messages} messages")))
}

async fn visit(address: std::net::SocketAddr, connection: &mut Connection) -> Result<(), Wrong> {
    let id = mcp::initialize(address, connection).await?;
    let call = EchoCall::begin_in(Subject::Session, Some(&id), address, connection).await?;
    call.end(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_deed_is_drawn() {
        assert_eq!(DEEDS.iter().map(|(_, share)| share).sum::<u64>(), 100);
        let mut lot = Lot(1);
        let drawn: Vec<_> = (0..1_000).map(|_| lot.draw()).collect();
        assert!(DEEDS.iter().all(|(deed, _)| drawn.contains(deed)));
    }
}
