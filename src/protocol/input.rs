//! The pieces of a multi round-trip request: questions out, answers in.
//!
//! Spec: 2026-07-28 basic/patterns/mrtr.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::jsonrpc::Params;
use super::parts::Part;
use super::raw::{self, RawJson};

/// Most questions in one round.
pub const QUESTIONS_MAX: usize = 32;
/// Longest `requestState` we issue or read, in bytes: it travels in every retry.
pub const STATE_BYTES_MAX: usize = 8 * 1024;

/// What a retry carries besides the original params.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputResponses {
    /// Answers by the key of their question.
    pub answers: BTreeMap<String, RawJson>,
    /// The state we issued, byte for byte.
    pub state: Option<String>,
}

/// Why a retry cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// `inputResponses` is no object of objects.
    #[error("`inputResponses` must be an object of objects")]
    Answers,
    /// `requestState` is no string, or too long to be ours.
    #[error("invalid or expired requestState")]
    State,
}

impl InputResponses {
    /// Reads them from a request's params.
    ///
    /// # Errors
    /// [`InputError`].
    pub fn of(params: &Params) -> Result<Self, InputError> {
        let answers = match params.part(Part::InputResponses) {
            None => BTreeMap::new(),
            Some(answers) => raw::decode::<BTreeMap<String, RawJson>>(answers)
                .map_err(|_| InputError::Answers)?,
        };
        if answers.values().any(|answer| !answer.is_object()) {
            return Err(InputError::Answers);
        }
        let state = params
            .part(Part::RequestState)
            .map(|state| raw::string(state).ok_or(InputError::State))
            .transpose()?
            .map(Cow::into_owned);
        if state
            .as_ref()
            .is_some_and(|state| state.len() > STATE_BYTES_MAX)
        {
            return Err(InputError::State);
        }
        Ok(Self { answers, state })
    }
}
