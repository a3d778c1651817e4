//! Standing in for a node that is gone: a reader of its call's stream ends it as *outcome unknown*,
//! or, where that does no harm, makes the call again.
//!
//! A call is made again only if all of this holds: the service here trusts its tool to be
//! idempotent, whatever the definition says to clients; nobody has taken its stream over before, so
//! it happens once; the client was not asked anything, because it would be asked twice; and this
//! node holds its lease. Events of the first run stay, those of the second follow them.
//!
//! It does not start the call: only the transport knows how, as [`StandIn`].

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::handle::{Entered, SessionHandle};
use super::open_stream::OpenStream;
use crate::protocol::jsonrpc::{Params, Request, RequestId};
use crate::protocol::params::ParamsHead;
use crate::protocol::raw::{self, RawJson};

/// Largest params that are noted. Larger calls are not made again; the note is kept in the store
/// for as long as the stream.
const CALL_BYTES_MAX: usize = 64 << 10;

/// Knows how calls are started and what is said of those whose outcome nobody knows.
pub trait StandIn: Send + Sync + 'static {
    /// The message for a request whose outcome nobody knows any more.
    fn unknown(&self, request: &RequestId) -> ByteString;

    /// Makes a call again, at once and without waiting.
    fn run_again(&self, call: Again);
}

/// A call to be made again.
#[derive(Debug)]
pub struct Again {
    /// Whose it is.
    pub session: SessionHandle,
    /// As it was sent.
    pub request: Request,
    /// It has entered the session here.
    pub entered: Entered,
    /// Where it goes on.
    pub stream: OpenStream,
}

/// What is noted of a stream when it begins.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Note {
    /// What it answers.
    pub(super) requests: Vec<RequestId>,
    /// The `params` of the one `tools/call` that it answers, if that may be made again. Whoever
    /// takes the stream over notes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) call: Option<RawJson>,
}

impl Note {
    /// Of the answers to these; `call` are the params if it is one `tools/call`.
    pub(super) fn of(
        session: &SessionHandle,
        requests: &[RequestId],
        call: Option<&Params>,
    ) -> Self {
        let call = call.filter(|params| session.trusts(params));
        let call = call.and_then(Params::raw);
        Self {
            requests: requests.to_vec(),
            call: call
                .filter(|raw| raw.as_str().len() <= CALL_BYTES_MAX)
                .cloned(),
        }
    }
}

impl Note {
    /// As the next owner notes it: the call is not made again.
    pub(super) fn taken_over(requests: &[RequestId]) -> Bytes {
        let note = Self {
            requests: requests.to_vec(),
            call: None,
        };
        note.to_bytes()
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

impl SessionHandle {
    /// Whether the tool of a `tools/call` is trusted to do no harm when it is called again.
    pub(super) fn trusts(&self, params: &Params) -> bool {
        let tool = ParamsHead::of(params).name.and_then(raw::string);
        let caller = self.caller();
        tool.is_some_and(|tool| self.service().is_idempotent(&caller, &tool))
    }
}

/// Whether an entry of a log asks the client something.
pub(super) fn is_question(entry: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow)]
        id: Option<&'a serde_json::value::RawValue>,
        #[serde(borrow)]
        method: Option<&'a serde_json::value::RawValue>,
    }
    // What cannot be read is taken for the worse.
    serde_json::from_slice(entry).map_or(true, |head: Head<'_>| {
        head.id.is_some() && head.method.is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_method_and_an_id_asks_the_client() {
        assert!(is_question(
            br#"{"jsonrpc":"2.0","id":"1","method":"roots/list"}"#
        ));
        assert!(!is_question(
            br#"{"jsonrpc":"2.0","method":"notifications/progress"}"#
        ));
        assert!(!is_question(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#));
        assert!(is_question(b"unreadable"));
    }
}
