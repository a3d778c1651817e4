//! The bridge between revisions: what has to change in a message on its way, and how each side is
//! asked what only the other has a way to ask.
//!
//! [`results`], [`questions`] and [`errors`] are pure functions. The crossings of the eras are
//! [`parked_call`] (a client without a session, an upstream that asks), [`inner_loop`] (the other way
//! round) and [`url_first`].
//!
//! *Own* is what an upstream calls a thing, *shown* what clients see. What nobody needs to change
//! passes as the bytes it came as, unknown members included.
//!
//! It does not carry messages; the gateway's [`talk`](super::talk) does.

mod array;
pub(crate) mod capability_set;
pub(crate) mod errors;
pub(crate) mod extensions;
pub(crate) mod inner_loop;
pub(crate) mod parked_call;
pub(crate) mod questions;
pub(crate) mod results;
pub(crate) mod url_first;

use std::borrow::Cow;
use std::fmt;

use super::naming::Naming;
use crate::protocol::version::ProtocolVersion;

/// The two ends of a message's way.
#[derive(Clone, Copy)]
pub(crate) struct Crossing<'a> {
    /// What the upstream speaks.
    pub upstream: ProtocolVersion,
    /// What the client speaks.
    pub client: ProtocolVersion,
    /// How the upstream's things are named for the client.
    pub naming: &'a Naming,
}

impl Crossing<'_> {
    /// Whether URIs are other ones for the client.
    fn renames(&self) -> bool {
        self.naming.has_prefix()
    }

    /// The shown URI of an own one, if it is another.
    fn shown(&self, own: &str) -> Option<String> {
        match self.naming.shown_uri(own) {
            Cow::Owned(shown) => Some(shown),
            Cow::Borrowed(_) => None,
        }
    }
}

impl fmt::Debug for Crossing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.upstream, self.client)
    }
}

/// An upstream broke the protocol; the text completes "upstream `x` broke the protocol: …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Broken(pub(super) &'static str);
