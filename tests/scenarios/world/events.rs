//! Reading an event stream as a client does.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::Value;

use super::within;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// `event:`
    pub name: String,
    /// `id:`
    pub id: Option<String>,
    /// `retry:`
    pub retry: Option<u64>,
    /// `data:`, `None` when there was no such line.
    pub data: Option<String>,
}

impl Event {
    /// The JSON-RPC message in it.
    pub fn json(&self) -> Value {
        let data = self.data.as_deref().unwrap_or_default();
        serde_json::from_str(data).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// Its method, for notifications and requests.
    pub fn method(&self) -> String {
        self.json()["method"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

/// An open event stream.
pub struct EventStream {
    bytes: futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    buffer: String,
    /// Comments read so far: heartbeats.
    pub comments: usize,
}

impl EventStream {
    /// Reads a response as it comes.
    pub fn of(response: reqwest::Response) -> Self {
        Self {
            bytes: response.bytes_stream().boxed(),
            buffer: String::new(),
            comments: 0,
        }
    }

    /// Reads the next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Event> {
        within("the next event, or the end of the stream", self.read()).await
    }

    /// Reads the next event that is a message.
    pub async fn message(&mut self) -> Value {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if event.data.as_deref().is_some_and(|data| !data.is_empty()) {
                return event.json();
            }
        }
    }

    /// Reads to the end.
    pub async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    /// Reads to the end, which may take longer than anything else is waited for.
    pub async fn ends_within(mut self, most: Duration) {
        let began = Instant::now();
        let end = async { while self.read().await.is_some() {} };
        let ended = tokio::time::timeout(most, end).await;
        assert!(ended.is_ok(), "it goes on after {most:?}");
        println!("the stream ended after {:?}", began.elapsed());
    }

    /// Waits for the next heartbeat.
    pub async fn heartbeat(&mut self) {
        let seen = self.comments;
        while self.comments == seen {
            let ended = within("a heartbeat", self.fill()).await.is_none();
            assert!(!ended, "the stream ended before its heartbeat");
            while self.buffer.starts_with(':') {
                if self.cut().is_none() {
                    break;
                }
            }
        }
    }

    async fn read(&mut self) -> Option<Event> {
        loop {
            while let Some(block) = self.cut() {
                if let Some(event) = parse(&block) {
                    println!("<- event {event:?}");
                    return Some(event);
                }
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Option<()> {
        let piece = self.bytes.next().await?;
        // A connection that breaks ends the stream like any other end.
        let piece = piece.ok()?;
        self.buffer
            .push_str(std::str::from_utf8(&piece).expect("events are UTF-8"));
        Some(())
    }

    /// Takes one block out of the buffer, counting comments.
    fn cut(&mut self) -> Option<String> {
        let end = self.buffer.find("\n\n")?;
        let block = self.buffer[..end].to_owned();
        self.buffer.drain(..end + 2);
        self.comments += block.lines().filter(|line| line.starts_with(':')).count();
        Some(block)
    }

    /// The events of a whole text.
    pub fn parse_all(text: &str) -> Vec<Event> {
        text.split("\n\n").filter_map(parse).collect()
    }
}

fn parse(block: &str) -> Option<Event> {
    let mut event = Event::default();
    let mut said = false;
    for line in block.lines().filter(|line| !line.starts_with(':')) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        said = true;
        match field {
            "event" => value.clone_into(&mut event.name),
            "id" => event.id = Some(value.to_owned()),
            "retry" => event.retry = Some(value.parse().expect("retry is digits")),
            "data" => event.data = Some(value.to_owned()),
            other => panic!("unknown field {other:?}"),
        }
    }
    said.then_some(event)
}
