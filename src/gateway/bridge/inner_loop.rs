//! The inner loop: an upstream of the stateless era asks a client that has a session.
//!
//! The upstream ends its request with questions. The client is asked each of them, at once, on the
//! stream of its own request; then the upstream is asked again with the answers. The client sees one
//! request and one result.
//!
//! A round is put whole or not at all: what one client cannot be asked is found out before another
//! question was put.
//!
//! Spec: 2026-07-28 basic/patterns/mrtr; client/elicitation, sampling, roots (session era).

use std::time::Duration;

use serde_json::json;

use super::capability_set::CapabilitySet;
use super::errors::Failure;
use super::questions::{Question, Round, input_responses};
use crate::gateway::envelope::Envelope;
use crate::gateway::talk::{About, Ending, Served, Talk, tell_failure};
use crate::gateway::upstream::line::{Lease, Line};
use crate::protocol::client_request::ClientRequestKind as Kind;
use crate::protocol::method::Method;
use crate::protocol::notification::ServerNotification;
use crate::protocol::raw::RawJson;
use crate::protocol::tool::ToolResult;
use crate::service::{AskError, Call, CallContext, Reply, ReplyKind, ServiceError};

/// Most rounds, as the official SDK's own bridge has it.
const ROUNDS_MAX: u32 = 8;
/// Pause before a round that answers nothing; doubled each time.
const BREATH: Duration = Duration::from_millis(250);
const BREATH_MAX: Duration = Duration::from_secs(10);

/// What each round is made of.
#[derive(Debug)]
pub(in crate::gateway) struct Rounds<'a> {
    /// The request.
    pub(in crate::gateway) about: &'a About,
    /// Where it goes.
    pub(in crate::gateway) line: &'a Lease,
    /// As it was sent first.
    pub(in crate::gateway) envelope: &'a Envelope,
}

impl Rounds<'_> {
    /// From a first result that asks to one that does not.
    pub(in crate::gateway) async fn to_the_end(
        &self,
        mut reply: Reply,
        call: &Call,
    ) -> Result<Reply, ServiceError> {
        let context = &call.context;
        let mut breath = BREATH;
        let mut visits = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let round = match Round::of(&reply.members) {
                Ok(round) => round,
                Err(broken) => return self.told(Failure::from(broken), context),
            };
            let capabilities = CapabilitySet::of(&context.client.capabilities, context.version);
            let crossing = self.about.crossing(context.version);
            let questions = match round.questions(capabilities, &crossing) {
                Ok(questions) => questions,
                Err(unaskable) => return self.refused(call, &unaskable.to_string()),
            };
            visits.extend(
                questions
                    .iter()
                    .filter_map(|(_, it)| it.elicitation_id.clone()),
            );
            let responses = if questions.is_empty() {
                tokio::select! {
                    () = tokio::time::sleep(breath) => {}
                    // The next round is told so.
                    () = context.deadline.passed() => {}
                    () = context.cancel.cancelled() => return Err(ServiceError::Cancelled),
                }
                breath = (breath * 2).min(BREATH_MAX);
                None
            } else {
                match ask(&questions, context).await {
                    Ok(responses) => Some(responses),
                    Err(why) if context.cancel.is_cancelled() => {
                        tracing::debug!(why, "a call was cancelled while its client was asked");
                        return Err(ServiceError::Cancelled);
                    }
                    Err(why) => return self.refused(call, &why),
                }
            };
            let responses = responses.as_ref().map(RawJson::as_str);
            let state = round.state.as_ref().map(RawJson::as_str);
            let envelope = self.envelope.next_round(responses, state);
            let conversation = Line::begin(Lease::again(self.line), &envelope);
            let talk = Talk::new(self.about.clone(), conversation, None, None);
            reply = match talk.serve(context).await {
                Served::Done(ending) => match ending? {
                    Ending::Reply(reply) => reply,
                    // The client was asked already: it is not asked again behind its back.
                    Ending::Again(failure) => return self.told(failure, context),
                    Ending::UrlsFirst(_) => return Err(ServiceError::Internal),
                },
                Served::Asks(..) => return Err(ServiceError::Internal),
            };
            if reply.kind != ReplyKind::InputRequired {
                // The upstream does not say so itself: its revision has no word for it.
                for id in visits {
                    let params = RawJson::of(&json!({"elicitationId": id}));
                    let method = ServerNotification::VISIT_OVER;
                    context
                        .outlet
                        .notify(ServerNotification { method, params })
                        .await;
                }
                return Ok(reply);
            }
        }
        let what = format!("it asked for input more than {ROUNDS_MAX} times");
        self.told(Failure::Broke(what), context)
    }

    fn told(&self, failure: Failure, context: &CallContext) -> Result<Reply, ServiceError> {
        match tell_failure(self.about, failure, context)? {
            Ending::Reply(reply) => Ok(reply),
            Ending::UrlsFirst(_) | Ending::Again(_) => Err(ServiceError::Internal),
        }
    }

    /// The call cannot go on, because its client does not answer.
    fn refused(&self, call: &Call, why: &str) -> Result<Reply, ServiceError> {
        let upstream = self.about.upstream.name();
        let what = format!("upstream `{upstream}` needs an answer that it does not get: {why}");
        if call.method == Method::ToolsCall {
            return Ok(Reply::tool(&ToolResult::error(what), call.context.version));
        }
        Err(ServiceError::Upstream(
            crate::protocol::jsonrpc::ResponseError {
                code: crate::protocol::error_code::ErrorCode::INTERNAL_ERROR.0,
                message: what,
                data: None,
            },
        ))
    }
}

/// Puts all questions of a round, and gives their answers as `inputResponses`.
async fn ask(questions: &[(String, Question)], context: &CallContext) -> Result<RawJson, String> {
    let _standing_still = context.deadline.pause();
    let asking = questions.iter().map(|(key, question)| async move {
        let answered = context.outlet.ask(question.request.clone()).await;
        let answer = match answered {
            Ok(answer) => question.answer(&answer).map_err(|unfit| unfit.to_string()),
            // A form can be left; for the others there is no way to say no but to stop here.
            Err(error) => match question.request.kind {
                Kind::ElicitForm | Kind::ElicitUrl if !matches!(error, AskError::Impossible(_)) => {
                    Ok(RawJson::from_valid(r#"{"action":"cancel"}"#))
                }
                _ => Err(error.to_string()),
            },
        };
        answer.map(|answer| (key.as_str(), answer))
    });
    let answers = futures_util::future::try_join_all(asking).await?;
    Ok(input_responses(
        answers.iter().map(|(key, answer)| (*key, answer)),
    ))
}
