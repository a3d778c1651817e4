//! Who asks for what they never had: put on record, and told nothing.
//!
//! To us a session of somebody else looks like an invented one, since the MAC of its id is wrong for
//! who asks. Both are recorded alike, so that the time it takes tells nobody which it was. A session
//! or a stream that was theirs and has ended is none of it.

use super::event_log::StreamName;
use super::handle::SessionHandle;
use super::sessions::Sessions;
use crate::audit::{Event, Party, What};
use crate::service::Visit;

/// Records in a second: who tries a thousand ids a second says nothing new, and must not fill the
/// disk. `mcp_refused_total{reason="unknown_session"}` counts them all.
pub(super) const PER_SECOND_MAX: u64 = 100;

impl Sessions {
    /// A session that was asked for at this endpoint is not there.
    pub fn not_found(&self, id: &str, visit: &Visit, endpoint: &str) {
        if (self.0.mint)
            .verify(id, &visit.caller.principal, endpoint)
            .is_none()
        {
            self.never_had("session", id, visit, endpoint);
        }
    }

    /// An event of this session that was asked for is not there; `stream` is what it names, if it names
    /// anything.
    pub fn event_not_found(
        &self,
        session: &SessionHandle,
        stream: Option<&StreamName>,
        visit: &Visit,
    ) {
        if !stream.is_some_and(|stream| stream.is_of(session.id())) {
            let endpoint = &session.negotiated().endpoint;
            self.never_had("event", session.id().as_str(), visit, endpoint);
        }
    }

    /// `what` is a session or an event; `session` the id that was presented with it.
    fn never_had(&self, what: &str, session: &str, visit: &Visit, endpoint: &str) {
        let shared = &self.0;
        if !shared.strangers.has_one(shared.clock.now()) {
            return;
        }
        tracing::info!(
            what,
            endpoint,
            "an id was presented by somebody who never had it"
        );
        let Some(audit) = &shared.audit else { return };
        let party = Party {
            caller: &visit.caller,
            session: Some(session),
            origin: &visit.origin,
        };
        let what = What::ForeignIdRefused {
            endpoint: endpoint.to_owned(),
            what: what.to_owned(),
        };
        drop(audit.note(&Event::by(party, what)));
    }
}
