//! Asking the client's model, and what it says.
//!
//! Spec: client/sampling (all revisions; tools from 2025-11-25).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::protocol::client_request::{ClientRequest, ClientRequestKind};
use crate::protocol::content::{Content, Role};
use crate::protocol::prompt::PromptMessage;
use crate::protocol::raw::RawJson;

/// Tokens asked for when nobody says how many: a few paragraphs.
const TOKENS_DEFAULT: u32 = 1_000;

/// A question to the client's model.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[must_use]
pub struct SampleRequest {
    messages: Vec<PromptMessage>,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_preferences: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<Vec<Value>>,
}

impl SampleRequest {
    /// A question in one user message.
    pub fn new(text: impl Into<String>) -> Self {
        Self::conversation(vec![PromptMessage::user(Content::text(text))])
    }

    /// A conversation to go on with.
    pub const fn conversation(messages: Vec<PromptMessage>) -> Self {
        Self {
            messages,
            max_tokens: TOKENS_DEFAULT,
            system_prompt: None,
            temperature: None,
            stop_sequences: Vec::new(),
            model_preferences: None,
            tools: None,
        }
    }

    /// Longest answer.
    pub const fn max_tokens(mut self, tokens: u32) -> Self {
        self.max_tokens = tokens;
        self
    }

    /// What the model is told before anything else.
    pub fn system_prompt(mut self, prompt: impl Into<String>) -> Self {
        self.system_prompt = Some(prompt.into());
        self
    }

    /// How freely the model chooses.
    pub const fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Where the model stops.
    pub fn stop_sequences(mut self, sequences: Vec<String>) -> Self {
        self.stop_sequences = sequences;
        self
    }

    /// Which model would be liked, as the protocol writes it.
    pub fn model_preferences(mut self, preferences: Value) -> Self {
        self.model_preferences = Some(preferences);
        self
    }

    /// Tools the model may ask for, as the protocol writes them; from 2025-11-25, for clients
    /// that declared `sampling.tools`.
    pub fn tools(mut self, tools: Vec<Value>) -> Self {
        self.tools = Some(tools);
        self
    }

    pub(super) fn to_client_request(&self) -> ClientRequest {
        ClientRequest {
            kind: if self.tools.is_some() {
                ClientRequestKind::SampleWithTools
            } else {
                ClientRequestKind::Sample
            },
            params: RawJson::of(self),
        }
    }
}

/// What the client's model said.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampled {
    /// As whom it spoke.
    pub role: Role,
    /// What it said.
    pub content: Vec<SampledBlock>,
    /// Which model it was.
    pub model: String,
    /// Why it stopped.
    pub stop_reason: Option<String>,
}

/// A part of what a model said.
#[derive(Clone, Debug, PartialEq)]
pub enum SampledBlock {
    /// Content.
    Content(Content),
    /// It wants a tool called.
    ToolUse {
        /// Its own id for the use.
        id: String,
        /// Which tool.
        name: String,
        /// With what.
        input: Value,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    role: Role,
    content: Value,
    model: String,
    #[serde(default)]
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct ToolUse {
    id: String,
    name: String,
    input: Value,
}

impl Sampled {
    /// The words, without anything that is not text.
    #[must_use]
    pub fn text(&self) -> String {
        self.content
            .iter()
            .filter_map(|block| match block {
                SampledBlock::Content(content) => content.as_text(),
                SampledBlock::ToolUse { .. } => None,
            })
            .collect()
    }

    pub(super) fn read(answer: &RawJson) -> Result<Self, String> {
        let answer: Answer = answer.decode().map_err(|error| error.to_string())?;
        let blocks = match answer.content {
            Value::Array(blocks) => blocks,
            one => vec![one],
        };
        let content = blocks
            .into_iter()
            .map(|block| match block.get("type").and_then(Value::as_str) {
                Some("tool_use") => serde_json::from_value(block)
                    .map(|ToolUse { id, name, input }| SampledBlock::ToolUse { id, name, input }),
                Some(_) | None => serde_json::from_value(block).map(SampledBlock::Content),
            })
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            role: answer.role,
            content,
            model: answer.model,
            stop_reason: answer.stop_reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_block_and_many_are_read_alike() {
        let text = json!({"type": "text", "text": "a"});
        let tool = json!({"type": "tool_use", "id": "1", "name": "t", "input": {}});
        for (content, blocks) in [
            (text.clone(), Some(1)),
            (json!([text, tool]), Some(2)),
            (json!({"type": "unknown"}), None),
            (json!("a"), None),
        ] {
            let answer = json!({"role": "assistant", "content": content, "model": "m"});
            let read = Sampled::read(&RawJson::of(&answer)).ok();
            assert_eq!(read.as_ref().map(|read| read.content.len()), blocks);
            assert!(read.is_none_or(|read| read.text() == "a"));
        }
    }
}
