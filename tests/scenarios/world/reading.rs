//! What a list of events says: its messages, its ids, how far the work was.

use serde_json::Value;

use super::{Answer, Event, EventStream};

impl EventStream {
    /// Reads up to and including the first event that `is_last`.
    pub async fn until(&mut self, is_last: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await.expect("the stream goes on");
            let last = is_last(&event);
            events.push(event);
            if last {
                return events;
            }
        }
    }

    /// Reads up to and including the progress notification of that step.
    pub async fn until_step(&mut self, step: u64) -> Vec<Event> {
        self.until(|event| event.step() == Some(step)).await
    }

    /// Reads the priming event that a stream opens with.
    pub async fn priming(&mut self) -> Event {
        let event = self.next().await.expect("the stream opens");
        assert!(event.is_priming(), "{event:?}");
        event
    }
}

impl Answer {
    /// What was told before and with the answer, if it came on a stream; otherwise nothing.
    pub fn told(&self) -> Vec<Event> {
        if self.is_stream() {
            self.events()
        } else {
            Vec::new()
        }
    }

    /// What it says of a failure: an error, or a tool that failed; otherwise nothing.
    pub fn failure(&self) -> String {
        let message = self.message();
        let text = match message.get("error") {
            Some(error) => &error["message"],
            None if message["result"]["isError"] == true => {
                &message["result"]["content"][0]["text"]
            }
            None => &Value::Null,
        };
        text.as_str().unwrap_or_default().to_owned()
    }
}

impl Event {
    /// Whether it has an id and nothing to say.
    pub fn is_priming(&self) -> bool {
        self.id.is_some() && self.data.as_deref() == Some("")
    }

    /// Whether it carries a message.
    pub fn is_message(&self) -> bool {
        self.data.as_deref().is_some_and(|data| !data.is_empty())
    }

    /// Its event id, which it must have.
    pub fn id(&self) -> &str {
        self.id
            .as_deref()
            .unwrap_or_else(|| panic!("no id: {self:?}"))
    }

    /// The step of a progress notification.
    pub fn step(&self) -> Option<u64> {
        if !self.is_message() || self.method() != "notifications/progress" {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "steps are small whole numbers, whichever way they are written"
        )]
        self.json()["params"]["progress"]
            .as_f64()
            .map(|step| step as u64)
    }
}

/// No messages at all.
pub const NOTHING: [Value; 0] = [];

/// A list of events, to be asked what was told.
pub trait Told {
    /// The messages, in order.
    fn messages(&self) -> Vec<Value>;
    /// The methods of its notifications and requests, in order.
    fn methods(&self) -> Vec<String>;
    /// The steps of its progress notifications, in order.
    fn steps(&self) -> Vec<u64>;
    /// Its answers: messages with a result or an error.
    fn answers(&self) -> Vec<Value>;
    /// The event ids, in order.
    fn ids(&self) -> Vec<String>;
}

impl Told for [Event] {
    fn messages(&self) -> Vec<Value> {
        let messages = self.iter().filter(|event| event.is_message());
        messages.map(Event::json).collect()
    }

    fn methods(&self) -> Vec<String> {
        let messages = self.messages();
        let methods = messages.iter().filter_map(|it| it["method"].as_str());
        methods.map(str::to_owned).collect()
    }

    fn steps(&self) -> Vec<u64> {
        self.iter().filter_map(Event::step).collect()
    }

    fn answers(&self) -> Vec<Value> {
        let mut messages = self.messages();
        messages.retain(|it| it.get("result").is_some() || it.get("error").is_some());
        messages
    }

    fn ids(&self) -> Vec<String> {
        self.iter().filter_map(|event| event.id.clone()).collect()
    }
}
