//! One request, as those who answer it see it.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::credential::CallerToken;
use super::deadline::Deadline;
use super::ongoing::Ongoing;
use super::outlet::Outlet;
use crate::identity::{Caller, Origin, Principal};
use crate::protocol::capabilities::ClientCapabilities;
use crate::protocol::jsonrpc::{Params, ProgressToken};
use crate::protocol::lifecycle::Implementation;
use crate::protocol::method::Method;
use crate::protocol::params;
use crate::protocol::version::ProtocolVersion;

/// A request and its surroundings.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub method: Method,
    /// With what, as it came.
    pub params: Params,
    /// By whom, until when, and how to reach them.
    pub context: CallContext,
}

impl Call {
    /// What it is about: the name of the tool or prompt, the URI of the resource; empty for
    /// methods that name nothing.
    #[must_use]
    pub fn subject(&self) -> String {
        params::subject(&self.params)
    }
}

/// The surroundings of a call. Cloning shares them.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// Whose call it is, and what they proved.
    pub caller: Arc<Caller>,
    /// Where it comes from.
    pub origin: Arc<Origin>,
    /// The access token it came with, where upstreams may be asked in its caller's name.
    pub credential: Option<Arc<CallerToken>>,
    /// The name of the endpoint it came in by.
    pub endpoint: Arc<str>,
    /// The session it belongs to; none in the stateless era.
    pub session: Option<SessionKey>,
    /// The revision it is spoken in.
    pub version: ProtocolVersion,
    /// What the client can do and says it is.
    pub client: Arc<Client>,
    /// Set when the client wants to hear of progress.
    pub progress_token: Option<ProgressToken>,
    /// Fires when nobody wants the answer any more.
    pub cancel: CancellationToken,
    /// When the call is given up.
    pub deadline: Deadline,
    /// The way to the client while the call runs.
    pub outlet: Arc<dyn Outlet>,
    /// What is held while its work goes on.
    pub ongoing: Ongoing,
}

impl CallContext {
    /// Whose state the call may touch.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.caller.principal
    }
}

/// Names a session, for state that is kept per session. A secret of its client, so never logged.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionKey(pub Arc<str>);

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey([redacted])")
    }
}

/// The other side of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// What it declared.
    pub capabilities: ClientCapabilities,
    /// Who it says it is, for display.
    pub info: Option<Implementation>,
}

impl Client {
    /// A client that declared nothing.
    #[must_use]
    pub const fn unknown() -> Self {
        Self {
            capabilities: ClientCapabilities {
                raw: crate::protocol::raw::RawJson::empty_object(),
                elicitation_form: false,
                elicitation_url: false,
                sampling: false,
                sampling_tools: false,
                sampling_context: false,
                roots: false,
                tasks: false,
                apps: false,
            },
            info: None,
        }
    }
}
