//! What came back for one HTTP request.

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::{Event, EventStream, within};

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub text: String,
}

impl Answer {
    /// Reads an answer to its end.
    pub async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = within("the answer ends", response.text())
            .await
            .expect("the answer is text");
        println!("<- {status} {text}");
        Self {
            status,
            headers,
            text,
        }
    }

    /// A header's value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("headers are text"))
    }

    /// Whether the answer is an event stream.
    pub fn is_stream(&self) -> bool {
        self.header("content-type").starts_with("text/event-stream")
    }

    /// The events of an answer that is a stream.
    pub fn events(&self) -> Vec<Event> {
        EventStream::parse_all(&self.text)
    }

    /// The one JSON-RPC message of the answer, or the last of its stream.
    pub fn message(&self) -> Value {
        if self.is_stream() {
            let events = self.events();
            let last = events.last().expect("the stream says something");
            return last.json();
        }
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {:?}", self.text))
    }

    /// The result in it.
    pub fn result(&self) -> Value {
        let message = self.message();
        let result = message.get("result").cloned();
        result.unwrap_or_else(|| panic!("no result in {message}"))
    }

    /// The error code in it.
    pub fn code(&self) -> i64 {
        let message = self.message();
        let code = message["error"]["code"].as_i64();
        code.unwrap_or_else(|| panic!("no error in {message}"))
    }

    /// The text of the first content block of a tool's result.
    pub fn tool_text(&self) -> String {
        let result = self.result();
        let text = result["content"][0]["text"].as_str();
        text.unwrap_or_else(|| panic!("no text in {result}"))
            .to_owned()
    }
}
