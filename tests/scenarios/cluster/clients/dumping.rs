//! What a node tells again of every stream that a crowd saw, read from where its log begins as a
//! client would: each event, once, in order. Ask one that did not run the calls.
//!
//! What Redis itself has of them is read by [`super::super::kept`].

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use futures_util::{StreamExt as _, stream};

use super::super::checker::{Dump, Log};
use super::super::history::Op;
use super::super::http::Connection;
use super::super::kept::StreamOf;
use super::super::requests;
use super::{AT_ONCE, Crowd};
use crate::world::within;

impl Crowd {
    /// Reads all streams again at a node. The crowd should have left: whoever asks for a standing
    /// stream takes it over. `begins` has the number before the first event that a log still has;
    /// nothing, if a rule dropped all of it.
    pub async fn dump(&self, node: SocketAddr, begins: impl Fn(&StreamOf) -> Option<u64>) -> Dump {
        let sessions: BTreeMap<&str, &str> = (self.members.iter())
            .map(|member| (member.name.as_str(), member.session.as_str()))
            .collect();
        let mut seen: BTreeMap<StreamOf, u64> = BTreeMap::new();
        for record in self.shared.history.records() {
            if let (Op::Event, Some(stream), Some(number)) =
                (record.op, record.stream, record.event_id)
            {
                let last = seen.entry((record.session, stream)).or_default();
                *last = number.max(*last);
            }
        }
        let reading = stream::iter(seen).map(|(of, last)| {
            let (id, begins) = (sessions[of.0.as_str()], begins(&of));
            async move {
                let events = match begins {
                    None => BTreeSet::new(),
                    Some(first) => {
                        let again = replay(node, id, &of.1, first..last);
                        let read = within("a stream is told again", again);
                        read.await.unwrap_or_default()
                    }
                };
                let trimmed = begins != Some(0);
                (of, Log { events, trimmed })
            }
        });
        reading.buffer_unordered(AT_ONCE).collect().await
    }
}

/// The numbers of a stream's events, of those after `range.start` up to `range.end`.
///
/// # Panics
/// When one comes twice or out of order.
async fn replay(
    node: SocketAddr,
    session: &str,
    stream: &str,
    range: Range<u64>,
) -> io::Result<BTreeSet<u64>> {
    let mut events = BTreeSet::new();
    if range.is_empty() {
        return Ok(events);
    }
    let mut connection = Connection::open(node).await?;
    let start = format!("{stream}_{}", range.start);
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
        let after = events.last().copied().unwrap_or(range.start);
        assert_eq!(
            number,
            after + 1,
            "stream {stream}: each event once, in order"
        );
        events.insert(number);
        // A standing stream goes on for ever.
        if number >= range.end {
            break;
        }
    }
    Ok(events)
}
