//! Sessions of the session era: actors that hold what a client and we have negotiated.
//!
//! ```text
//!             open                        first call, GET
//! initialize ------> live (home) ----------------------------> live, in use
//!                      |    ^                                     |
//!     60 s unused: passivate  restore: first call or GET          |  DELETE, TTL,
//!                      v    |                                     v  absolute age
//!                    record in the store ---------------------> closed (404)
//! ```
//!
//! One [`actor::Session`] per live session does what must happen one at a time: attaching the
//! standing stream, open questions to the client, changing state, closing. The
//! [`registry::Registry`] creates, restores, passivates and closes. Ordinary calls ask neither:
//! they find the [`SessionHandle`] in the index and enter through its in-flight table.
//!
//! It does not speak HTTP or write error codes (see `transport`), and knows nothing of tools (see
//! `service`). It serves the session era only: nothing of the stateless era may reach for it.
//!
//! Many nodes may serve one session: it is at home on one of them and a guest on the others
//! ([`letters`] says what they tell each other). A call that became a stream runs on one node
//! ([`call_stream`], decided by [`gate`]) and is read on any ([`follower`], decided by [`tail`]).
//! A call whose node is gone ends as *outcome unknown*, or is made again ([`stand_in`]).
//! A simulation lives through thousands of seeds with these two (`simulation`, in tests).
//!
//! Invariants:
//! - What was negotiated ([`record::Negotiated`]) never changes; it is in the store before the
//!   answer to `initialize` leaves.
//! - No event that carries an id leaves before it is in the store ([`gate`]).
//! - A stream has one writer at a time; an owner that is gone is overtaken under a new epoch, and
//!   the stream then ends with what is honest, once ([`tail`]).
//! - A session is bound to its principal and endpoint; to anybody else it does not exist.
//! - A deleted session cannot come back: every write needs its record.
//!
//! Concurrency: the registry and each session own their state on an arbiter thread; store work runs
//! on the main runtime and comes back as a message; nothing here waits for the store in a handler.

pub mod actor;
pub mod call_stream;
mod checkpoint;
mod clients;
mod config;
pub mod dispatch;
mod ending;
mod erasing;
pub mod event_log;
mod follower;
mod gate;
pub mod handle;
mod id;
pub mod in_flight;
mod letters;
pub mod messages;
mod now_and_then;
pub mod open_stream;
mod readers;
pub mod record;
pub mod registry;
pub mod replay;
mod sessions;
#[cfg(test)]
mod simulation;
pub mod stand_in;
mod standing_stream;
pub mod state;
mod strangers;
mod tail;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use handle::SessionHandle;
pub use id::{IdMint, SessionId};
pub use sessions::{FindError, NewSession, OpenError, Parts, Sessions};
