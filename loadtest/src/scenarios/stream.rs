//! `stream`: what one event of a stream costs, and how long it takes to arrive.
//!
//! A call of the demonstration tool `stream` answers with an event stream: progress notifications,
//! each with the wall clock in microseconds, then the result. In the session era each event is also
//! kept for resumption; in the stateless era it is not. The floor says events of that form and
//! length and keeps nothing: a task makes them and a channel of 64 takes them to the body, as it
//! must be wherever a tool makes them. Beside it stands the same without task and channel.
//!
//! - Flood: events as fast as they are taken, for the CPU per event.
//! - Paced: events at a fixed rate, for the time from making to reading, and for the CPU when each
//!   event leaves by itself.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::task::JoinSet;

use crate::comparison::{self, Run};
use crate::event_stream::EventStream;
use crate::failure::Failure;
use crate::findings::{Failures, Findings, to_json};
use crate::floor;
use crate::http_client::Connection;
use crate::mcp::{self, Wrong};
use crate::options::Common;
use crate::server_process::ServerProcess;
use crate::tally::Tally;

const BODY: &str = "bare body";
const FLOOR: &str = "floor";
const SESSION: &str = "session era";
const STATELESS: &str = "stateless era";
const SUBJECTS: [(&str, Source); 4] = [
    (BODY, Source::BareBody),
    (FLOOR, Source::Floor),
    (SESSION, Source::Session),
    (STATELESS, Source::Stateless),
];
/// What an event is found by: the start of its time.
const MARK: &[u8] = b"\"message\":\"";
/// How long a run may take beyond its schedule.
const PATIENCE: Duration = Duration::from_secs(120);

/// What `stream` takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Streams at once in a flood [default: 8]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    flood_streams: Option<u32>,
    /// Events of each stream of a flood [default: 50000, with --quick 500]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    flood_events: Option<u32>,
    /// Streams at once when paced [default: 64, with --quick 4]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    streams: Option<u32>,
    /// Events per second and stream when paced [default: 50]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: Option<u32>,
    /// How long paced streams run [default: 4, with --quick 0.3]
    #[arg(long, value_parser = super::seconds)]
    seconds: Option<Duration>,
}

/// Who says the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The bare server, where the HTTP worker makes them.
    BareBody,
    /// The bare server, where a task makes them.
    Floor,
    /// The tool, called in a session.
    Session,
    /// The tool, called without one.
    Stateless,
}

impl Source {
    const fn is_bare(self) -> bool {
        matches!(self, Self::BareBody | Self::Floor)
    }
}

/// How much a run streams.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) streams: u32,
    pub(super) events: u32,
    pub(super) interval_us: u32,
}

/// Runs the scenario.
pub(crate) async fn measure(common: &Common, args: &Args) -> Result<Findings, Failure> {
    let machine = common.machine();
    let flood = Load {
        streams: args.flood_streams.unwrap_or(8),
        events: common.sized(args.flood_events, 50_000, 500),
        interval_us: 0,
    };
    let seconds = common.sized(
        args.seconds,
        Duration::from_secs(4),
        Duration::from_millis(300),
    );
    let rate = args.rate.unwrap_or(50);
    let length_us = u32::try_from(seconds.as_micros()).unwrap_or(u32::MAX);
    let interval_us = 1_000_000 / rate;
    let paced = Load {
        streams: common.sized(args.streams, 64, 4),
        events: (length_us / interval_us).max(1),
        interval_us,
    };
    let binary = common.switchboard()?;
    let workers = common.workers();
    let switchboard = ServerProcess::switchboard(&binary, common.store, workers, &[]).await?;
    let floor = ServerProcess::floor(1, workers).await?;
    let mut flooded = Vec::new();
    let mut at_pace = Vec::new();
    for round in 1..=common.rounds() {
        for (label, source) in SUBJECTS {
            let server = if source.is_bare() {
                &floor
            } else {
                &switchboard
            };
            flooded.push(run(server, label, source, flood, round).await?);
            at_pace.push(run(server, label, source, paced, round).await?);
        }
    }
    let mut failures = Failures::default();
    for run in flooded.iter().chain(&at_pace) {
        failures.add(run.failures(), run.first_failure());
    }
    let labels = SUBJECTS.map(|(label, _)| label);
    let flood_medians = comparison::summaries(&labels, FLOOR, &flooded);
    let paced_medians = comparison::summaries(&labels, FLOOR, &at_pace);
    Ok(Findings {
        scenario: "stream",
        question: "What does an event of a stream cost, and how long is it on its way?",
        settings: json!({
            "store": common.store,
            "rounds": common.rounds(),
            "flood_streams": flood.streams,
            "flood_events": flood.events,
            "paced_streams": paced.streams,
            "paced_events_per_second": rate,
            "paced_seconds": seconds.as_secs_f64(),
            "workers": workers,
        }),
        machine,
        tables: vec![
            comparison::table("flood", "event", &flood_medians),
            comparison::table("paced", "event", &paced_medians),
        ],
        charts: vec![
            comparison::chart("event of a flood", &flood_medians),
            comparison::chart("event at a pace", &paced_medians),
            comparison::latency_chart(
                "From making an event to reading it, at a pace",
                at_pace.iter().filter(|run| run.round() == common.rounds()),
            ),
        ],
        medians: json!({"flood": flood_medians, "paced": paced_medians}),
        runs: json!({"flood": to_json(&flooded), "paced": to_json(&at_pace)}),
        failures,
    })
}

/// One run of streams from `source`, under the name `label`.
pub(super) async fn run(
    server: &ServerProcess,
    label: &'static str,
    source: Source,
    load: Load,
    round: u16,
) -> Result<Run, Failure> {
    let wrong = |wrong: Wrong| Failure::Handshake {
        server: server.name(),
        what: wrong.to_string(),
    };
    let address = server.address();
    let mut requests = Vec::new();
    for _ in 0..load.streams {
        let (events, interval) = (load.events, load.interval_us);
        requests.push(match source {
            Source::BareBody | Source::Floor => {
                let made = if source == Source::BareBody {
                    floor::EVENTS
                } else {
                    floor::FED_EVENTS
                };
                let path = format!("{made}?count={events}&interval_us={interval}");
                mcp::get_events(address, &path, "")
            }
            Source::Session => {
                let opened = async {
                    let mut connection = Connection::open(address).await?;
                    mcp::initialize(address, &mut connection).await
                };
                let id = opened.await.map_err(wrong)?;
                mcp::stream_call(address, Some(&id), events, interval)
            }
            Source::Stateless => mcp::stream_call(address, None, events, interval),
        });
    }
    let tally = Rc::new(Tally::new());
    let watch = server.start_watch()?;
    let mut reading = JoinSet::new();
    for request in requests {
        let tally = tally.clone();
        reading.spawn_local(async move {
            match read(address, &request, !source.is_bare(), &tally).await {
                Ok(seen) if seen == load.events => {}
                Ok(seen) => tally.failed(|| format!("{seen} of {} events came", load.events)),
                Err(wrong) => tally.failed(|| wrong.to_string()),
            }
        });
    }
    let ended = async { while reading.join_next().await.is_some() {} };
    tokio::time::timeout(PATIENCE, ended)
        .await
        .map_err(|_| Failure::Stuck(server.name()))?;
    Ok(Run::new(label, round, &tally, watch.stop()?))
}

/// Reads a stream to its end and counts its events.
async fn read(
    address: std::net::SocketAddr,
    request: &[u8],
    has_result: bool,
    tally: &Tally,
) -> Result<u32, Wrong> {
    let mut stream = EventStream::open(address, request).await?;
    let mut seen = 0;
    let mut rest = Vec::new();
    let mut last = Vec::new();
    while let Some(piece) = stream.piece().await? {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        rest.extend_from_slice(&piece);
        // Only whole lines are looked at.
        let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else {
            continue;
        };
        for line in rest[..end].split(|byte| *byte == b'\n') {
            if let Some(made) = time_in(line) {
                seen += 1;
                tally.done(now.saturating_sub(made));
            } else if line.starts_with(b"data: {") {
                last = line[b"data: ".len()..].to_vec();
            }
        }
        rest.drain(..=end);
    }
    if has_result && !mcp::is_good_result(&last) {
        let what = String::from_utf8_lossy(&last);
        return Err(Wrong::Answer(format!("the stream ended with {what:.200}")));
    }
    Ok(seen)
}

/// When the event of that line was made.
fn time_in(line: &[u8]) -> Option<Duration> {
    let at = line
        .windows(MARK.len())
        .rposition(|window| window == MARK)?;
    let digits = line[at + MARK.len()..].split(|byte| *byte == b'"').next()?;
    let micros = str::from_utf8(digits).ok()?.parse().ok()?;
    Some(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_an_event_is_found() {
        let line = br#"data: {"params":{"progress":1,"message":"1700000000000001"}}"#;
        assert_eq!(
            time_in(line),
            Some(Duration::from_micros(1_700_000_000_000_001))
        );
        assert_eq!(time_in(b"id: abc_1"), None);
    }
}
