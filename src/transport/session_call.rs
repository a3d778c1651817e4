//! One call of a session, from its request to the text of its answer, on whatever transport.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::config::Context;
use super::exchange;
use super::reply::{Envelope, Refused, WireStatus};
use super::session_line::SessionLine;
use crate::protocol::jsonrpc::Request;
use crate::protocol::meta::MetaHead;
use crate::protocol::raw::RawJson;
use crate::protocol::version::Era;
use crate::service::{Call, CallContext, Deadline, Ongoing, ServiceError, Visit};
use crate::session::handle::Entered;
use crate::session::{SessionHandle, dispatch};

/// A running call: its answer, or nothing when it was cancelled.
pub type Answering = BoxFuture<'static, Option<(WireStatus, String)>>;

/// Starts to answer a request that has entered its session.
///
/// # Errors
/// [`Refused::Params`] for a progress token that is none.
pub fn start(
    context: &Context,
    session: &SessionHandle,
    request: Request,
    entered: Entered,
    line: &Arc<SessionLine>,
    visit: &Visit,
) -> Result<Answering, Refused> {
    let config = &context.config;
    let token = MetaHead::of(&request.params)
        .ok()
        .map(|meta| meta.progress_token())
        .transpose()
        .map_err(|error| Refused::Params(error.to_string()))?
        .flatten()
        .filter(|_| line.may_tell_progress());
    let negotiated = session.negotiated();
    let deadline = Deadline::after(config.deadline_of(&request.method));
    let envelope = Envelope {
        version: negotiated.version,
        method: request.method.clone(),
        // Only results of the stateless era say who we are.
        server_info: RawJson::empty_object(),
        event_max: config.event_max,
    };
    let call = Call {
        method: request.method.clone(),
        params: request.params,
        context: CallContext {
            caller: visit.caller.clone(),
            origin: visit.origin.clone(),
            credential: visit.credential.clone(),
            endpoint: negotiated.endpoint.clone(),
            session: Some(session.id().key()),
            version: negotiated.version,
            client: negotiated.client.clone(),
            progress_token: token,
            cancel: entered.cancel.clone(),
            deadline: deadline.clone(),
            outlet: line.clone(),
            ongoing: Ongoing::default(),
        },
    };
    let answering = dispatch::answer(session, call);
    let metrics = context.metrics.clone();
    let line = line.clone();
    let (id, method) = (request.id, request.method);
    Ok(Box::pin(async move {
        let cancel = entered.cancel.clone();
        let era = Era::Session;
        let outcome = exchange::bounded(answering, cancel, deadline, method, era, metrics).await;
        // Whatever was asked and is waited for no more.
        line.withdraw_questions().await;
        // Left before the answer is written, so that the client may use the id again at once.
        drop(entered);
        match outcome {
            Err(ServiceError::Cancelled) => None,
            outcome => Some(envelope.answer(&id, &outcome)),
        }
    }))
}
