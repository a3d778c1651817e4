//! What flows on a stream to a client, before a transport gives it a form.

use std::time::Duration;

use bytestring::ByteString;

use crate::runtime::queue::{self, Capacity, Weigh};

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A JSON-RPC message.
    Message {
        /// Its number in the stream's event log; without one it cannot be replayed.
        seq: Option<u64>,
        /// The message as JSON text.
        data: ByteString,
    },
    /// The start of a stream that can be resumed from its very beginning: an id and no data
    /// (2025-11-25 basic/transports, sending messages to the server).
    Priming {
        /// How long a client should wait before it comes back.
        retry: Duration,
    },
    /// The connection will be let go; the stream goes on.
    Retry {
        /// How long a client should wait before it comes back.
        retry: Duration,
    },
}

impl Weigh for Event {
    fn weight(&self) -> usize {
        match self {
            Self::Message { data, .. } => data.len(),
            Self::Priming { .. } | Self::Retry { .. } => 0,
        }
    }
}

/// Where events are written.
pub type EventSender = queue::Sender<Event>;
/// Where they are read.
pub type EventReceiver = queue::Receiver<Event>;

/// What may wait for one connection: 64 events or 1 MiB. A reader slower than that slows its
/// writer; 2,000 stalled readers hold at most 2 GiB, and in practice their few queued events.
pub const CONNECTION_CAPACITY: Capacity = Capacity {
    items: 64,
    weight: 1 << 20,
};

/// A queue between a stream and one connection.
#[must_use]
pub fn connection() -> (EventSender, EventReceiver) {
    queue::queue(CONNECTION_CAPACITY)
}
