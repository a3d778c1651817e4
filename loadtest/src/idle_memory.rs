//! What a server occupies with sessions that do nothing, each with its standing stream.

use std::rc::Rc;

use serde::Serialize;

use crate::comparison::median;
use crate::echo_call::Subject;
use crate::failure::Failure;
use crate::findings::{Bar, Chart, Table};
use crate::held_sessions::{HeldSessions, settle};
use crate::memory::Memory;
use crate::server_process::ServerProcess;
use crate::tally::Tally;

/// Sessions opened before the first is counted, so that what a server makes once is there.
pub(crate) const WARM_UP: u32 = 200;
/// Connections over which the sessions to be held are opened.
const OPENING_CONNECTIONS: usize = 16;

/// What was held in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Held {
    subject: &'static str,
    round: u16,
    sessions: usize,
    before: Memory,
    with_sessions: Memory,
    with_streams: Memory,
    bytes_per_session: f64,
    bytes_per_stream: f64,
    bytes_together: f64,
}

/// Holds sessions as `subject` has them, under the name `label`; on the floor, streams that say
/// nothing. They are held until what is given back is dropped.
pub(crate) async fn hold(
    server: &ServerProcess,
    label: &'static str,
    subject: Subject,
    sessions: u32,
    (round, quick): (u16, bool),
    tally: &Rc<Tally>,
) -> Result<(Held, HeldSessions), Failure> {
    tally.count(false);
    let lanes = OPENING_CONNECTIONS;
    drop(HeldSessions::open(server, subject, WARM_UP.min(sessions), lanes, tally).await);
    settle(quick).await;
    let before = server.memory()?;
    let mut held = HeldSessions::open(server, subject, sessions, lanes, tally).await;
    settle(quick).await;
    let with_sessions = server.memory()?;
    held.open_streams(server, tally).await;
    settle(quick).await;
    let with_streams = server.memory()?;
    let memory = Held {
        subject: label,
        round,
        sessions: held.count(),
        before,
        with_sessions,
        with_streams,
        bytes_per_session: with_sessions.each_since(before, sessions),
        bytes_per_stream: with_streams.each_since(with_sessions, sessions),
        bytes_together: with_streams.each_since(before, sessions),
    };
    Ok((memory, held))
}

/// The medians of one server's rounds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    subject: &'static str,
    bytes_per_session: f64,
    bytes_per_stream: f64,
    bytes_together: f64,
}

/// The medians of each subject, in that order.
pub(crate) fn summaries(subjects: &[&'static str], held: &[Held]) -> Vec<Summary> {
    let medians = |subject: &&'static str| {
        let of = |value: fn(&Held) -> f64| {
            let own = held.iter().filter(|held| held.subject == *subject);
            median(own.map(value).collect())
        };
        Some(Summary {
            subject,
            bytes_per_session: of(|held| held.bytes_per_session)?,
            bytes_per_stream: of(|held| held.bytes_per_stream)?,
            bytes_together: of(|held| held.bytes_together)?,
        })
    };
    subjects.iter().filter_map(medians).collect()
}

/// The medians as a table and as bars.
pub(crate) fn show(medians: &[Summary]) -> (Table, Chart) {
    let kib = |bytes: f64| bytes / 1024.0;
    let columns = ["KiB/session", "KiB/stream", "KiB together"].map(str::to_owned);
    let mut table = Table::new("resident memory of the server", columns);
    let mut bars = Vec::new();
    for row in medians {
        let cells = [
            row.bytes_per_session,
            row.bytes_per_stream,
            row.bytes_together,
        ];
        table.row(row.subject, cells.map(|bytes| format!("{:.2}", kib(bytes))));
        bars.push(Bar {
            label: row.subject.to_owned(),
            value: kib(row.bytes_together),
            note: format!("of which stream {:.2}", kib(row.bytes_per_stream)),
        });
    }
    let title = "Memory of the server per idle session with its stream".to_owned();
    let unit = "KiB";
    (table, Chart::Bars { title, unit, bars })
}
