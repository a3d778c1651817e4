//! What clients did and saw, one record after the other, to be judged when the story is over.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Records of one story; more would be a loop gone wild.
const RECORDS_MAX: usize = 5_000_000;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A session was opened.
    Open,
    /// A stream was opened, or with an event id, resumed after it.
    Attach,
    /// An event came.
    Event,
    /// A call was sent.
    Call,
    /// A call ended, as far as its client will ever know.
    Answer,
    /// A session was deleted.
    Delete,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As wanted.
    Ok,
    /// Refused, or with an error: it did not happen, or its maker says it failed.
    Fail,
    /// Nobody can say whether it happened.
    Unknown,
}

/// One thing that a client did or saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When, since the story began.
    pub t: Duration,
    /// Which process answered, if it said so.
    pub node: Option<u32>,
    /// What.
    pub op: Op,
    /// The client's own name for the call.
    pub call: Option<String>,
    /// The client's own name for the session.
    pub session: String,
    /// The stream, as its event ids name it.
    pub stream: Option<String>,
    /// Its number within the stream; for [`Op::Attach`] the last one seen before, for [`Op::Answer`] that
    /// of the event it was, if it was one.
    pub event_id: Option<u64>,
    /// The mark of a session that was in what came.
    pub mark: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
}

impl Record {
    /// Something of a session that went well.
    pub fn of(session: &str, op: Op) -> Self {
        Self {
            t: Duration::ZERO,
            node: None,
            op,
            call: None,
            session: session.to_owned(),
            stream: None,
            event_id: None,
            mark: None,
            outcome: Outcome::Ok,
        }
    }

    /// At that time.
    pub fn at(mut self, t: Duration) -> Self {
        self.t = t;
        self
    }

    /// Of a call.
    pub fn call(mut self, call: &str) -> Self {
        self.call = Some(call.to_owned());
        self
    }

    /// On a stream, at the place that an event id as it is written says.
    pub fn event_id(mut self, id: &str) -> Self {
        let (stream, number) = id.rsplit_once('_').expect("an event id of ours");
        self.stream = Some(stream.to_owned());
        self.event_id = Some(number.parse().expect("events are numbered"));
        self
    }

    /// On a stream, before anything came.
    pub fn stream(mut self, stream: &str) -> Self {
        self.stream = Some(stream.to_owned());
        self
    }

    /// With a session's mark in it.
    pub fn mark(mut self, mark: &str) -> Self {
        self.mark = Some(mark.to_owned());
        self
    }

    /// From this process.
    pub fn node(mut self, node: u32) -> Self {
        self.node = Some(node);
        self
    }

    /// With another end.
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }
}

/// All records of a story, as they are made.
#[derive(Debug)]
pub struct History {
    began: Instant,
    records: Mutex<Vec<Record>>,
}

impl History {
    /// An empty one, beginning now.
    pub fn begin() -> Self {
        Self {
            began: Instant::now(),
            records: Mutex::default(),
        }
    }

    /// Adds a record, made now.
    pub fn add(&self, record: Record) {
        let t = self.began.elapsed();
        let mut records = self.records.lock().unwrap();
        assert!(records.len() < RECORDS_MAX, "the story never ends");
        records.push(record.at(t));
    }

    /// What was recorded so far.
    pub fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap().clone()
    }

    /// Since it began.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }
}
