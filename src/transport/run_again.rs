//! A call whose node is gone, made again by the node where its client came back.

use bytestring::ByteString;
use futures_util::FutureExt as _;

use super::config::Context;
use super::exchange::Line as _;
use super::reply;
use super::session_call;
use super::session_line::SessionLine;
use crate::protocol::jsonrpc::RequestId;
use crate::runtime::tasks::TaskKind;
use crate::service::Visit;
use crate::session::stand_in::{Again, StandIn};

/// What starts calls here.
pub(super) struct Successor(pub(super) Context);

impl StandIn for Successor {
    fn unknown(&self, request: &RequestId) -> ByteString {
        reply::outcome_unknown(request)
    }

    fn run_again(&self, call: Again) {
        let Self(context) = self;
        let Again {
            session,
            request,
            entered,
            stream,
        } = call;
        tracing::info!(
            session = session.id().log_name(),
            "a call whose node is gone is made again"
        );
        let line = SessionLine::going_on(session.clone(), stream, context.tasks.clone());
        // Refused: it was well formed where it came in, so this node sees it otherwise. Its stream,
        // dropped with the line, is left to its readers, who end it.
        let visit = Visit::of(session.caller());
        let Ok(answer) = session_call::start(context, &session, request, entered, &line, &visit)
        else {
            return;
        };
        let last = answer.map(reply::last_message);
        context
            .tasks
            .spawn(TaskKind::Call, line.carry(Box::pin(last)));
    }
}
