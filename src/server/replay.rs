//! What a call of the stateless era carries from one round to the next.
//!
//! Such a call cannot wait for its client: it ends with its questions, and the client calls again
//! with answers. The handler then runs again from its start, and [`Replay`] gives it the answers it
//! already has. What must survive travels with the client as `requestState`, sealed by [`Rounds`]:
//! the answers so far and the results of work that is done once. Nothing stays on a node.
//!
//! Invariants:
//! - A state opens only for the principal, endpoint, method, name and arguments it was sealed for,
//!   and not after its time.
//! - Only answers to questions the handler put are carried; anything else a client sends is
//!   dropped, so a state cannot be made to grow by sending more.
//! - An answer that was carried wins over one sent again: what was done once may rest on it.
//!
//! Spec: 2026-07-28 basic/patterns/mrtr.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use serde::{Deserialize, Serialize};

use crate::protocol::canonical;
use crate::protocol::capabilities::ClientCapability;
use crate::protocol::client_request::ClientRequest;
use crate::protocol::input::{InputError, InputResponses, QUESTIONS_MAX, STATE_BYTES_MAX};
use crate::protocol::jsonrpc::Params;
use crate::protocol::method::Method;
use crate::protocol::params::{ParamsHead, string_of};
use crate::protocol::raw::RawJson;
use crate::runtime::clock::{Clock, Timestamp};
use crate::runtime::seal::{self, Seal};
use crate::service::{CallContext, Reply, ServiceError};

/// How long a client may take for one round: as long as a question may stay open in a session.
const STATE_TTL: Duration = Duration::from_secs(10 * 60);
/// Most rounds of questions in one call; where the official clients stop too.
const ROUNDS_MAX: u32 = 10;

/// One run of a handler: what it may know already, and what it asks.
#[derive(Debug, Default)]
pub(super) struct Replay {
    memory: Mutex<Memory>,
    /// Wakes the runner when a question is put from another task than the handler's own.
    runner: AtomicWaker,
}

#[derive(Debug, Default)]
struct Memory {
    rounds: u32,
    answers: BTreeMap<String, RawJson>,
    offered: BTreeMap<String, RawJson>,
    done: BTreeMap<String, RawJson>,
    questions: Vec<(String, ClientRequest)>,
    end: Option<ServiceError>,
    /// Pieces of work running inside `once`; a call does not end in the middle of one.
    busy: usize,
}

/// What a state holds under its seal.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    expires_ms: u64,
    rounds: u32,
    answers: BTreeMap<String, RawJson>,
    done: BTreeMap<String, RawJson>,
}

/// Why a call cannot go into another round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RoundError {
    /// It asked too often.
    #[error("this call asked more than 10 rounds of questions")]
    TooManyRounds,
    /// Its answers do not fit into a state.
    #[error("the answers to this call's questions are too large to carry")]
    TooLarge,
}

impl Replay {
    /// The answer to a question, if there is one.
    pub(super) fn answer(&self, key: &str) -> Option<RawJson> {
        let memory = self.lock();
        memory
            .answers
            .get(key)
            .or_else(|| memory.offered.get(key))
            .cloned()
    }

    /// Keeps the answer to a question: it could be read.
    pub(super) fn accept(&self, key: &str) {
        let mut memory = self.lock();
        if let Some(answer) = memory.offered.remove(key) {
            memory.answers.entry(key.to_owned()).or_insert(answer);
        }
    }

    /// Drops the answer that [`Replay::answer`] gave: it could not be read.
    pub(super) fn discard(&self, key: &str) {
        let mut memory = self.lock();
        if memory.answers.remove(key).is_none() {
            memory.offered.remove(key);
        }
    }

    /// Puts a question for the next round. The same key is asked once.
    pub(super) fn ask(&self, key: &str, request: ClientRequest) {
        let mut memory = self.lock();
        if memory.questions.iter().all(|(asked, _)| asked != key) {
            memory.questions.push((key.to_owned(), request));
        }
        drop(memory);
        self.runner.wake();
    }

    /// Ends the call: a question cannot be put to this client.
    pub(super) fn refuse(&self, missing: ClientCapability) {
        self.end(ServiceError::MissingCapability(missing));
    }

    /// Ends the call with an error, whatever its handler makes of it.
    pub(super) fn end(&self, error: ServiceError) {
        self.lock().end.get_or_insert(error);
        self.runner.wake();
    }

    /// The result of work done in an earlier round, or in this one.
    pub(super) fn done(&self, key: &str) -> Option<RawJson> {
        self.lock().done.get(key).cloned()
    }

    /// Keeps the result of work so that it is not done again.
    pub(super) fn keep(&self, key: &str, result: RawJson) {
        self.lock().done.insert(key.to_owned(), result);
    }

    /// Marks that work has begun that must not be cut in the middle.
    pub(super) fn begin_work(&self) -> Work<'_> {
        self.lock().busy += 1;
        Work(self)
    }

    /// Why the handler must not be polled again, if so.
    pub(super) fn ended(&self) -> Option<ServiceError> {
        self.lock().end.clone()
    }

    /// Whether the round is over: there are questions, and nothing runs that must not be cut.
    pub(super) fn has_questions(&self) -> bool {
        let memory = self.lock();
        memory.busy == 0 && !memory.questions.is_empty()
    }

    /// Whether the client's answers went into what the handler made.
    pub(super) fn was_answered(&self) -> bool {
        !self.lock().answers.is_empty()
    }

    pub(super) fn set_runner(&self, waker: &Waker) {
        self.runner.register(waker);
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work that runs inside `once`.
pub(super) struct Work<'a>(&'a Replay);

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.0.lock().busy -= 1;
        self.0.runner.wake();
    }
}

/// Opens and seals what travels between rounds.
#[derive(Debug)]
pub(super) struct Rounds {
    pub(super) seal: Seal,
    pub(super) clock: Clock,
}

impl Rounds {
    /// Reads what a retry carries.
    pub(super) fn open(
        &self,
        context: &CallContext,
        method: &Method,
        params: &Params,
    ) -> Result<Replay, ServiceError> {
        let InputResponses { answers, state } =
            InputResponses::of(params).map_err(|error| match error {
                InputError::Answers => ServiceError::InvalidParams(error.to_string()),
                InputError::State => ServiceError::InvalidRequestState,
            })?;
        let mut memory = Memory {
            offered: answers,
            ..Memory::default()
        };
        if let Some(state) = state {
            let opened = self
                .seal
                .open(&binding(context, method, params), &state)
                .map_err(|_| ServiceError::InvalidRequestState)?;
            let state: State =
                serde_json::from_slice(&opened).map_err(|_| ServiceError::InvalidRequestState)?;
            if Timestamp(state.expires_ms) < self.clock.now() {
                return Err(ServiceError::InvalidRequestState);
            }
            memory.rounds = state.rounds;
            memory.answers = state.answers;
            memory.done = state.done;
        }
        Ok(Replay {
            memory: Mutex::new(memory),
            runner: AtomicWaker::new(),
        })
    }

    /// Ends a round with its questions. Questions beyond the bound are put in a later round.
    pub(super) fn close(
        &self,
        replay: &Replay,
        context: &CallContext,
        method: &Method,
        params: &Params,
    ) -> Result<Reply, RoundError> {
        let mut memory = replay.lock();
        if memory.rounds >= ROUNDS_MAX {
            return Err(RoundError::TooManyRounds);
        }
        // A task keeps its own states, for as long as it lives.
        let time = if context.outlet.is_task() {
            STATE_TTL.max(context.deadline.remaining())
        } else {
            STATE_TTL
        };
        let state = State {
            expires_ms: self.clock.now().after(time).0,
            rounds: memory.rounds + 1,
            answers: std::mem::take(&mut memory.answers),
            done: std::mem::take(&mut memory.done),
        };
        let mut questions = std::mem::take(&mut memory.questions);
        drop(memory);
        questions.truncate(QUESTIONS_MAX);
        let contents = RawJson::of(&state);
        let sealed = self.seal.seal(
            &binding(context, method, params),
            contents.as_str().as_bytes(),
        );
        if sealed.len() > STATE_BYTES_MAX {
            return Err(RoundError::TooLarge);
        }
        Ok(Reply::input_required(&questions, Some(sealed)))
    }
}

/// What a state is bound to: whose call it is, of what, with which arguments.
fn binding(context: &CallContext, method: &Method, params: &Params) -> [u8; 32] {
    let head = ParamsHead::of(params);
    let subject = string_of(head.name.or(head.uri)).unwrap_or_default();
    let arguments = canonical::arguments(head.arguments);
    seal::digest(&[
        context.principal().key().as_bytes(),
        context.endpoint.as_bytes(),
        method.as_str().as_bytes(),
        subject.as_bytes(),
        arguments.as_bytes(),
    ])
}
