//! URLs first: an upstream of 2025-11-25 refuses a call until its user has been somewhere.
//!
//! That revision has an error for it; the stateless era asks instead. The client is asked to send its user
//! to each URL, and when all were accepted its next request is the call itself, made anew: the upstream
//! refused the first, so nothing has run.
//!
//! Nothing is kept here: the state only says that this was asked.
//!
//! Spec: client/elicitation, URL elicitation required (2025-11-25); 2026-07-28 basic/patterns/mrtr.

use serde::Deserialize;

use super::capability_set::CapabilitySet;
use super::parked_call::Binding;
use super::questions::Question;
use crate::gateway::Gateway;
use crate::gateway::talk::About;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::input::InputResponses;
use crate::protocol::jsonrpc::ResponseError;
use crate::protocol::method::Method;
use crate::protocol::raw::RawJson;
use crate::protocol::tool::ToolResult;
use crate::service::{Call, Reply, ServiceError};

/// What the client is told.
pub(in crate::gateway) fn ask(
    gateway: &Gateway,
    urls: &[RawJson],
    about: &About,
    call: &Call,
    binding: &Binding,
) -> Result<Reply, ServiceError> {
    let context = &call.context;
    let capabilities = CapabilitySet::of(&context.client.capabilities, context.version);
    let crossing = about.crossing(context.version);
    let mut questions = Vec::new();
    for (at, url) in urls.iter().enumerate() {
        let question = Question::put("elicitation/create", url, capabilities, &crossing);
        let question = question.map_err(|unaskable| match unaskable.missing() {
            Some(capability) => ServiceError::MissingCapability(capability),
            None => ServiceError::InvalidParams(unaskable.to_string()),
        })?;
        questions.push((format!("u{}", at + 1), question.request));
    }
    let state = gateway.0.parked.seal_visit(questions.len(), binding);
    Ok(Reply::input_required(&questions, Some(state)))
}

/// Why a call is not made after all; nothing when its user was at all places.
pub(in crate::gateway) fn refused(
    responses: &InputResponses,
    count: usize,
    call: &Call,
) -> Option<Result<Reply, ServiceError>> {
    #[derive(Deserialize)]
    struct Answer {
        action: String,
    }
    let accepted = (1..=count).all(|at| {
        let answer = responses.answers.get(&format!("u{at}"));
        let answer = answer.and_then(|answer| answer.decode::<Answer>().ok());
        answer.is_some_and(|answer| answer.action == "accept")
    });
    if accepted {
        return None;
    }
    let what = "the user did not go where this tool needs them to have been".to_owned();
    Some(if call.method == Method::ToolsCall {
        Ok(Reply::tool(&ToolResult::error(what), call.context.version))
    } else {
        Err(ServiceError::Upstream(ResponseError {
            code: ErrorCode::INTERNAL_ERROR.0,
            message: what,
            data: None,
        }))
    })
}
