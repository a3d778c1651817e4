//! A client of MCP servers of every revision: for the command line, for tests, for whatever else
//! calls somebody's tools.
//!
//! [`Client::builder`] says who the client is and who answers a server's questions; then
//! [`Builder::http`], [`Builder::program`] or [`Builder::pipe`] connects. A connected [`Client`]
//! is the same in both eras: a question of the server reaches the same handler whether it came as a
//! request (session era) or as a round of its own (stateless era).
//!
//! ```no_run
//! # async fn example() -> Result<(), switchboard::client::ClientError> {
//! use switchboard::client::{Client, Request};
//! use switchboard::runtime::tasks::Tasks;
//!
//! let tasks = Tasks::on(tokio::runtime::Handle::current());
//! let client = Client::builder(tasks).http("http://127.0.0.1:8000/mcp").await?;
//! for tool in client.tools().await? {
//!     println!("{}", tool.as_str());
//! }
//! let echo = Request::new("tools/call", &serde_json::json!({"name": "echo", "arguments": {"text": "hello"}}));
//! println!("{}", client.request(echo).await?.as_str());
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! It prints nothing, ends no process, and does not decide what a failed call means: see
//! [`ClientError`].
//!
//! Invariants:
//! - A request is sent once. Only a connection that never came about, a refusal that says the
//!   request was not looked at (`-32020`), and the rounds of the stateless era send another.
//! - A capability is declared exactly when there is a handler for it.
//! - What is kept of what a server says is bounded ([`Limits`]); so are rounds, pages, questions at
//!   once and attempts to resume.
//! - Results are the bytes the server sent.
//! - A program that was started ends with its client, and with it all that it started ([`Program`]).
//!
//! Concurrency: a client is shared by cloning. Dropping a request's future cancels the request at
//! the server. Over pipes two tasks serve the connection, over HTTP+SSE one; over HTTP each request
//! serves its own.
//!
//! Spec: all revisions; basic/lifecycle, basic/transports, 2026-07-28 basic/versioning.

mod agent;
mod builder;
mod child;
mod child_log;
mod connected;
mod connection;
mod connector;
mod credential;
mod door;
mod environment;
mod error;
mod host;
mod http;
mod http_sse;
mod incoming;
mod limits;
mod lists;
mod message;
pub mod oauth;
mod overlong;
mod patience;
mod pipe;
mod probe;
mod program;
mod road;
mod rounds;
mod sse;
mod standing;
mod tasks;
mod waiting;

pub use builder::{Builder, Speak};
pub use connected::Client;
pub use connection::{Connection, Hears, Introduction};
pub use connector::{Connector, HttpEndpoint, Started};
pub use credential::{Credentials, TurnedAway};
pub use environment::Environment;
pub use error::ClientError;
pub use host::{Answerer, Asked, Listener, Notice, Question, Refusal};
pub use http::Outgoing;
pub use limits::Limits;
pub use message::Request;
pub use program::{Program, StandardError};
