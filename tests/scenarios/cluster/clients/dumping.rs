//! What the store holds of every stream that a crowd saw, read from its start as a client would:
//! each event again, once, in order.
//!
//! It asks a node and not the store, so that it holds whatever the store's keys are; ask one that
//! did not run the calls.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;

use futures_util::{StreamExt as _, stream};

use super::super::checker::{Dump, Log};
use super::super::history::Op;
use super::super::http::Connection;
use super::super::requests;
use super::{AT_ONCE, Crowd};
use crate::world::within;

impl Crowd {
    /// Reads all streams again at a node. The crowd should have left: whoever asks for a standing
    /// stream takes it over.
    pub async fn dump(&self, node: SocketAddr) -> Dump {
        let sessions: BTreeMap<&str, &str> = (self.members.iter())
            .map(|member| (member.name.as_str(), member.session.as_str()))
            .collect();
        let mut seen: BTreeMap<(String, String), u64> = BTreeMap::new();
        for record in self.shared.history.records() {
            if let (Op::Event, Some(stream), Some(number)) =
                (record.op, record.stream, record.event_id)
            {
                let last = seen.entry((record.session, stream)).or_default();
                *last = number.max(*last);
            }
        }
        let reading = stream::iter(seen).map(|((session, stream), last)| {
            let id = sessions[session.as_str()];
            async move {
                let read = within("a stream is told again", replay(node, id, &stream, last));
                let events = read.await.unwrap_or_default();
                let log = Log {
                    events,
                    trimmed: false,
                };
                ((session, stream), log)
            }
        });
        reading.buffer_unordered(AT_ONCE).collect().await
    }
}

/// The numbers of a stream's events up to `last`, read from its start.
///
/// # Panics
/// When one comes twice or out of order.
async fn replay(
    node: SocketAddr,
    session: &str,
    stream: &str,
    last: u64,
) -> io::Result<BTreeSet<u64>> {
    let mut events = BTreeSet::new();
    if last == 0 {
        return Ok(events);
    }
    let mut connection = Connection::open(node).await?;
    let start = format!("{stream}_0");
    let head = connection
        .send(&requests::listen(session, Some(&start)))
        .await?;
    if head.status != 200 {
        println!("-- stream {stream} is not told again: {}", head.status);
        return Ok(events);
    }
    while let Some(event) = connection.event().await? {
        let number =
            (event.id.as_deref()).and_then(|id| id.rsplit_once('_')?.1.parse::<u64>().ok());
        let Some(number) = number else { continue };
        let after = events.last().copied().unwrap_or(0);
        assert_eq!(
            number,
            after + 1,
            "stream {stream}: each event once, in order"
        );
        events.insert(number);
        // A standing stream goes on for ever.
        if number >= last {
            break;
        }
    }
    Ok(events)
}
