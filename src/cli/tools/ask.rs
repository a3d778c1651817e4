//! Putting a server's questions to the person at the terminal, and only there.
//!
//! One question at a time. Without a terminal nobody can answer, so a form is declined and a
//! model's turn refused, with a line that says so. Standard input is read on a thread of its own:
//! a person who never answers must not keep the program.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::{Mutex, oneshot};

use super::form::{self, Entry, Field};
use super::notices::Notices;
use super::show;
use crate::client::{Asked, Question, Refusal};
use crate::protocol::raw::RawJson;

/// What is typed to say no, and to leave.
const DECLINE: &str = ":decline";
const CANCEL: &str = ":cancel";

/// The person. Cloning shares them.
#[derive(Clone, Debug)]
pub(super) struct Terminal {
    notices: Notices,
    turn: Arc<Mutex<()>>,
}

/// What was typed.
enum Typed {
    Line(String),
    Decline,
    Cancel,
}

impl Terminal {
    pub(super) fn new(notices: Notices) -> Self {
        Self {
            notices,
            turn: Arc::default(),
        }
    }

    /// Puts a form, or a page to open.
    pub(super) async fn elicit(self, question: Question) -> Result<RawJson, Refusal> {
        let params = question.params.to_value();
        let message = show::plain(params["message"].as_str().unwrap_or("a question"));
        if !is_somebody_there() {
            let message = show::one_line(&message);
            self.notices.say(&format!(
                "the server asks: {message} (declined: standard input is no terminal)"
            ));
            return Ok(RawJson::of(&json!({"action": "decline"})));
        }
        let _turn = self.turn.lock().await;
        self.notices.say(&format!("The server asks: {message}"));
        let answer = match question.asked {
            Asked::Url => self.page(&params).await,
            Asked::Form | Asked::Sampling | Asked::Roots => self.fill_in(&params).await,
        };
        let answer = match answer {
            Ok(content) => json!({"action": "accept", "content": content}),
            Err(action) => json!({"action": action}),
        };
        Ok(RawJson::of(&answer))
    }

    /// Has the person speak for the model.
    pub(super) async fn sample(self, question: Question) -> Result<RawJson, Refusal> {
        let params = question.params.to_value();
        if !is_somebody_there() {
            self.notices.say(
                "the server asks for a model's answer (declined: standard input is no terminal)",
            );
            return Err(Refusal::by_user());
        }
        let _turn = self.turn.lock().await;
        self.notices.say("The server asks for a model's answer to:");
        if let Some(system) = params["systemPrompt"].as_str() {
            self.notices
                .say(&show::plain(&format!("  (system) {system}")));
        }
        for message in params["messages"].as_array().into_iter().flatten() {
            let role = message["role"].as_str().unwrap_or("user");
            let blocks = match &message["content"] {
                Value::Array(blocks) => blocks.iter().map(show::block).collect(),
                one => vec![show::block(one)],
            };
            let said = blocks.join("\n");
            self.notices
                .say(&show::plain(&format!("  ({role}) {said}")));
        }
        self.notices.say(&format!(
            "Type the answer; a line with only a dot ends it, {DECLINE} refuses."
        ));
        let mut lines = Vec::new();
        loop {
            match self.line("> ").await {
                Typed::Line(line) if line == "." => break,
                Typed::Line(line) => lines.push(line),
                Typed::Decline | Typed::Cancel => return Err(Refusal::by_user()),
            }
        }
        Ok(RawJson::of(&json!({
            "role": "assistant",
            "content": {"type": "text", "text": lines.join("\n")},
            "model": "a person",
            "stopReason": "endTurn",
        })))
    }

    /// Asks for consent to open a page. `Err` is the action that says no.
    async fn page(&self, params: &Value) -> Result<Map<String, Value>, &'static str> {
        let url = show::one_line(params["url"].as_str().unwrap_or("?"));
        self.notices.say(&format!("  Open this page: {url}"));
        match self.line("  Have you opened it? [y/N] ").await {
            Typed::Line(line) if form::is_yes(&line) => Ok(Map::new()),
            Typed::Line(_) | Typed::Decline => Err("decline"),
            Typed::Cancel => Err("cancel"),
        }
    }

    /// Asks for every field. `Err` is the action that says no.
    async fn fill_in(&self, params: &Value) -> Result<Map<String, Value>, &'static str> {
        let fields = form::fields(&params["requestedSchema"]);
        self.notices
            .say(&format!("  ({DECLINE} says no, {CANCEL} leaves)"));
        let mut content = Map::new();
        if fields.is_empty() {
            return match self.line("  Agree? [y/N] ").await {
                Typed::Line(line) if form::is_yes(&line) => Ok(content),
                Typed::Line(_) | Typed::Decline => Err("decline"),
                Typed::Cancel => Err("cancel"),
            };
        }
        for field in fields {
            self.field(&field, &mut content).await?;
        }
        Ok(content)
    }

    async fn field(
        &self,
        field: &Field,
        content: &mut Map<String, Value>,
    ) -> Result<(), &'static str> {
        for line in field.about() {
            self.notices.say(&format!("  {}", show::one_line(&line)));
        }
        loop {
            let line = match self
                .line(&format!("  {}: ", show::one_line(&field.key)))
                .await
            {
                Typed::Line(line) => line,
                Typed::Decline => return Err("decline"),
                Typed::Cancel => return Err("cancel"),
            };
            match field.read(&line) {
                Entry::Value(value) => {
                    content.insert(field.key.clone(), value);
                    return Ok(());
                }
                Entry::Nothing => return Ok(()),
                Entry::Wrong(problem) => {
                    self.notices.say(&format!("  {}", show::one_line(&problem)));
                }
            }
        }
    }

    async fn line(&self, prompt: &str) -> Typed {
        self.notices.clear();
        let mut err = io::stderr();
        let _gone = err.write_all(prompt.as_bytes()).and_then(|()| err.flush());
        match next_line().await {
            None => Typed::Cancel,
            Some(line) if line.trim() == DECLINE => Typed::Decline,
            Some(line) if line.trim() == CANCEL => Typed::Cancel,
            Some(line) => Typed::Line(line.trim_end_matches(['\n', '\r']).to_owned()),
        }
    }
}

fn is_somebody_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// The next line of standard input; `None` at its end.
async fn next_line() -> Option<String> {
    let (typed, line) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line);
        let line = read.ok().filter(|count| *count > 0).map(|_| line);
        let _nobody_waits = typed.send(line);
    });
    line.await.ok().flatten()
}
