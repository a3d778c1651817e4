//! Testing a server without a port: a client in the same process, over memory.
//!
//! [`client`] takes a server built with [`crate::server`] and connects to it through the very parts
//! that serve standard input and output, so that what passes here passes there: validation,
//! sessions, rounds, progress, log lines, subscriptions. Everything the server said is kept for
//! assertions.
//!
//! ```
//! use serde::Deserialize;
//! use serde_json::json;
//! use switchboard::runtime::seal::ClusterKeys;
//! use switchboard::server::{Field, Form, Server, Tool};
//! use switchboard::testing;
//!
//! #[derive(Deserialize, schemars::JsonSchema)]
//! struct Order {
//!     item: String,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder("shop", "1.0.0")
//!     .tool(Tool::new("order", |ctx, Order { item }| async move {
//!         ctx.progress(1.0, Some(2.0), Some("asking")).await;
//!         let form = Form::new(format!("Order {item}?")).field("sure", Field::boolean());
//!         match ctx.elicit("confirm", form).await?.accepted() {
//!             Some(answer) if answer["sure"] == true => Ok(format!("ordered: {item}")),
//!             _ => Ok("nothing was ordered".to_owned()),
//!         }
//!     }))
//!     .build(&ClusterKeys::generate())?;
//!
//! // The same test in both eras.
//! for era in testing::ERAS {
//!     let desk = testing::client(server.clone())
//!         .era(era)
//!         .answers("confirm", json!({"sure": true}))
//!         .connect()
//!         .await?;
//!     let result = desk.call("order", json!({"item": "tea"})).await?;
//!     assert_eq!(result.text(), "ordered: tea");
//!     assert_eq!(desk.asked().len(), 1);
//!     assert_eq!(desk.progress()[0].message.as_deref(), Some("asking"));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! In the stateless era a handler that asks runs again from its start, so the example reports its
//! progress twice there: a test in both eras finds handlers that do not expect that.
//!
//! It does not go through HTTP: statuses and headers are ours to test, not yours.
//!
//! Concurrency: each client is served by threads of its own, which end when it is dropped. It needs
//! a tokio runtime around it; time must not be paused there, because the server's clock is not.

mod answers;
mod heard;

pub use heard::{Asked, LogLine, Progress, ToolResult};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::AbortHandle;

use crate::app;
use crate::client::{Client, ClientError, Notice, Refusal, Request, Speak};
use crate::identity::{Caller, Principal};
use crate::protocol::logging::LogLevel;
use crate::protocol::raw::RawJson;
use crate::protocol::subscription::SubscriptionFilter;
use crate::protocol::version::{Era, ProtocolVersion};
use crate::runtime::tasks::{TaskKind, Tasks};
use crate::service::Service;
use answers::Answers;
use heard::Heard;

/// Both eras, for tests that run in each.
pub const ERAS: [Era; 2] = [Era::Session, Era::Stateless];

/// Bytes between client and server in memory; more waits, as in a pipe.
const PIPE: usize = 64 * 1024;
/// How long a call may take, and how long something that must come is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of `server`, to be put together.
pub fn client(server: impl Service) -> Builder {
    Builder {
        service: Arc::new(server),
        speak: Speak::Era(Era::Stateless),
        caller: Caller::local(),
        follows_tasks: false,
        answers: Answers::default(),
        timeout: PATIENCE,
    }
}

/// A client being put together. It can be asked what it has answers for, and nothing else.
#[must_use]
pub struct Builder {
    service: Arc<dyn Service>,
    speak: Speak,
    caller: Caller,
    follows_tasks: bool,
    answers: Answers,
    timeout: Duration,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("speak", &self.speak)
            .field("caller", &self.caller)
            .field("answers", &self.answers)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Speaks the newest revision of an era; the stateless one by default.
    pub const fn era(mut self, era: Era) -> Self {
        self.speak = Speak::Era(era);
        self
    }

    /// Speaks this revision.
    pub const fn version(mut self, version: ProtocolVersion) -> Self {
        self.speak = Speak::Version(version);
        self
    }

    /// Who calls, with a role perhaps.
    pub fn caller(mut self, caller: Caller) -> Self {
        self.caller = caller;
        self
    }

    /// Who calls, when nothing else of them matters.
    pub fn principal(self, principal: Principal) -> Self {
        self.caller(Caller::of(principal))
    }

    /// Takes tasks for answers, and follows them to their results. In the stateless era only: in the
    /// session era a client asks for a task, which this one never does.
    pub const fn follows_tasks(mut self) -> Self {
        self.follows_tasks = true;
        self
    }

    /// Fills in the form that the handler calls `key` with `content`.
    ///
    /// In the session era forms have no keys on the wire: there the first answer that was not used
    /// yet and whose fields are all in the form is taken.
    pub fn answers(mut self, key: impl Into<String>, content: Value) -> Self {
        let answer = json!({"action": "accept", "content": content});
        self.answers.form(key.into(), answer);
        self
    }

    /// Declines the form that the handler calls `key`; in the session era, a form that nothing else
    /// fits.
    pub fn declines(mut self, key: impl Into<String>) -> Self {
        self.answers.form(key.into(), json!({"action": "decline"}));
        self
    }

    /// Leaves the form that the handler calls `key`; otherwise as [`Builder::declines`].
    pub fn cancels(mut self, key: impl Into<String>) -> Self {
        self.answers.form(key.into(), json!({"action": "cancel"}));
        self
    }

    /// Answers every turn of the model with this text.
    pub fn samples(mut self, text: impl Into<String>) -> Self {
        self.answers.sampling = Some(json!({
            "role": "assistant",
            "content": {"type": "text", "text": text.into()},
            "model": "test",
            "stopReason": "endTurn",
        }));
        self
    }

    /// Works in these places.
    pub fn roots<I: IntoIterator<Item = S>, S: AsRef<str>>(mut self, uris: I) -> Self {
        let roots = uris.into_iter().map(|uri| json!({"uri": uri.as_ref()}));
        self.answers.roots = Some(json!({"roots": roots.collect::<Vec<_>>()}));
        self
    }

    /// How long a call may take, instead of half a minute.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// [`ClientError`] when the handshake fails.
    pub async fn connect(self) -> Result<TestClient, ClientError> {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let (service, caller) = (self.service, self.caller);
        std::thread::spawn(move || {
            let (input, output) = tokio::io::split(theirs);
            if let Err(error) = app::piped(service, caller, input, output) {
                tracing::error!(%error, "the server under test could not be served");
            }
        });
        let tasks = Tasks::on(tokio::runtime::Handle::current());
        let heard = Arc::new(Heard::default());
        let mut builder = Client::builder(tasks.clone())
            .speak(self.speak)
            .timeout(self.timeout)
            .log_level(LogLevel::Debug);
        if self.follows_tasks {
            builder = builder.follows_tasks();
        }
        let listening = heard.clone();
        builder = builder.on_notice(move |notice| listening.notice(notice));
        let (forms, sampling, roots) = self.answers.offered();
        let answers = Arc::new(self.answers);
        let answer = || {
            let (answers, heard) = (answers.clone(), heard.clone());
            move |question| {
                let answer = answers.to(&question);
                heard.asked(question, answer.as_ref());
                let answer = answer.map(|answer| RawJson::of(&answer));
                std::future::ready(answer.ok_or_else(|| Refusal {
                    code: -32603,
                    message: "the test has no answer to this".into(),
                }))
            }
        };
        if forms {
            builder = builder.on_elicitation(answer()).opens_urls();
        }
        if sampling {
            builder = builder.on_sampling(answer());
        }
        if roots {
            builder = builder.on_roots(answer());
        }
        let (input, output) = tokio::io::split(ours);
        let client = builder.pipe(input, output).await?;
        Ok(TestClient {
            client,
            heard,
            tasks,
            listening: Vec::new(),
        })
    }
}

/// A connected client. Dropped, it leaves.
#[derive(Debug)]
pub struct TestClient {
    client: Client,
    heard: Arc<Heard>,
    tasks: Tasks,
    /// Listen requests of the stateless era: each holds the connection while it runs.
    listening: Vec<AbortHandle>,
}

impl TestClient {
    /// Calls a tool.
    ///
    /// # Errors
    /// [`ClientError`] when it has no result; a tool that failed has one.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<ToolResult, ClientError> {
        let request = Request::call(tool, Some(&RawJson::of(&arguments)));
        let result = self.client.request(request).await?;
        Ok(ToolResult(result.to_value()))
    }

    /// Sends any request and gives its result.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn request(&self, method: &str, params: Value) -> Result<Value, ClientError> {
        let result = self.client.request(Request::new(method, &params)).await?;
        Ok(result.to_value())
    }

    /// Every tool, as the server describes it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tools(&self) -> Result<Vec<Value>, ClientError> {
        let tools = self.client.tools().await?;
        Ok(tools.iter().map(RawJson::to_value).collect())
    }

    /// Asks to hear of changes. In the session era lists are announced anyway, and resources are
    /// subscribed to; in the stateless era this is a listen request, and it is being served when
    /// this returns. A subscription of the session era takes effect a moment after its answer: wait
    /// for [`crate::server::Handle::is_watched`] before changing the resource.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn listen(&mut self, filter: SubscriptionFilter) -> Result<(), ClientError> {
        if self.client.version().era() == Era::Session {
            for uri in &filter.resource_subscriptions {
                let subscribe = Request::new("resources/subscribe", &json!({"uri": uri}));
                self.client.request(subscribe).await?;
            }
            return Ok(());
        }
        let params = json!({"notifications": filter});
        let (client, request) = (
            self.client.clone(),
            Request::new("subscriptions/listen", &params),
        );
        let listening = self.tasks.spawn(TaskKind::Upkeep, async move {
            if let Err(error) = client.request(request).await {
                tracing::debug!(%error, "a listen request ended");
            }
        });
        self.listening.push(listening.abort_handle());
        self.heard("notifications/subscriptions/acknowledged")
            .await
            .map(|_| ())
    }

    /// The next notice of this method that was not taken yet; waited for.
    ///
    /// # Errors
    /// [`ClientError::TimedOut`] when none comes.
    pub async fn heard(&self, method: &str) -> Result<Notice, ClientError> {
        tokio::time::timeout(PATIENCE, self.heard.next(method))
            .await
            .map_err(|_| ClientError::TimedOut(PATIENCE))
    }

    /// The progress that was reported, in order.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        self.heard.progress()
    }

    /// The log lines that were sent, in order, from `debug` on.
    #[must_use]
    pub fn logs(&self) -> Vec<LogLine> {
        self.heard.logs()
    }

    /// What the server asked, in order, with what was answered.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.heard.all_asked()
    }

    /// The client underneath.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for TestClient {
    fn drop(&mut self) {
        for listening in &self.listening {
            listening.abort();
        }
    }
}
