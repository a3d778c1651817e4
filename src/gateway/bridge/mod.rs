//! What has to change in a message on its way between two revisions. Pure functions.
//!
//! *Own* is what an upstream calls a thing, *shown* what clients see. What nobody needs to change
//! passes as the bytes it came as, unknown members included.
//!
//! It does not carry messages, nor decide who is asked; the gateway's calls do.

pub(crate) mod capability_set;
pub(crate) mod errors;
mod object;
pub(crate) mod questions;
pub(crate) mod results;

use std::fmt;

use crate::protocol::version::ProtocolVersion;

/// The two ends of a message's way.
#[derive(Clone, Copy)]
pub(crate) struct Crossing<'a> {
    /// What the upstream speaks.
    pub upstream: ProtocolVersion,
    /// What the client speaks.
    pub client: ProtocolVersion,
    /// How own URIs are shown; none where all pass unchanged.
    pub shown_uri: Option<ShownUri<'a>>,
}

/// Finds the shown URI of an own one; none when it is the same.
pub(crate) type ShownUri<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

impl Crossing<'_> {
    fn shown(&self, own: &str) -> Option<String> {
        self.shown_uri.and_then(|shown| shown(own))
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
