//! What is kept of a call that is made once: of which arguments it is, who runs it, how it ended.
//!
//! Stored as one byte of format version, then JSON. A version we do not know is refused, not
//! guessed.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::jsonrpc::ResponseError;
use crate::protocol::raw::RawJson;
use crate::service::{Reply, ReplyKind, ServiceError};

const FORMAT: u8 = 1;
/// Bytes of a result that is kept: a day of large ones would fill any store.
const RESULT_MAX: usize = 256 * 1024;

/// See the module docs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// Of its arguments.
    pub(super) digest: String,
    /// Which run of which node runs it.
    pub(super) runner: u64,
    pub(super) end: Option<End>,
}

/// How the call ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    /// With a result, in the form of the revision that asked for it.
    Result {
        members: RawJson,
        meta: Option<RawJson>,
        is_tool_error: bool,
        /// It goes on as a task, and this is its handle.
        is_task: bool,
    },
    /// With an error.
    Error(ResponseError),
    /// With a result of so many bytes, which was not kept.
    TooLarge(usize),
    /// Nobody knows.
    Unknown,
}

impl End {
    /// What is kept of an outcome; `None` for one after which the call may be made again.
    pub(super) fn of(
        outcome: &Result<Reply, ServiceError>,
        on_the_wire: impl Fn(&ServiceError) -> ResponseError,
    ) -> Option<Self> {
        let reply = match outcome {
            Err(ServiceError::Cancelled) => return Some(Self::Unknown),
            Err(error) if error.is_retryable() => return None,
            Err(error) => return Some(Self::Error(on_the_wire(error))),
            Ok(reply) => reply,
        };
        let is_task = match reply.kind {
            ReplyKind::InputRequired => return None,
            ReplyKind::Complete => false,
            ReplyKind::Task => true,
        };
        let meta = reply.meta.as_ref().map_or(0, |meta| meta.as_str().len());
        let bytes = reply.members.as_str().len() + meta;
        if bytes > RESULT_MAX {
            return Some(Self::TooLarge(bytes));
        }
        Some(Self::Result {
            members: reply.members.clone(),
            meta: reply.meta.clone(),
            is_tool_error: reply.is_tool_error,
            is_task,
        })
    }

    /// The same outcome again.
    pub(super) fn into_outcome(self) -> Result<Reply, ServiceError> {
        match self {
            Self::Result {
                members,
                meta,
                is_tool_error,
                is_task,
            } => Ok(Reply {
                kind: if is_task {
                    ReplyKind::Task
                } else {
                    ReplyKind::Complete
                },
                meta,
                is_tool_error,
                ..Reply::complete(members)
            }),
            Self::Error(ResponseError {
                code,
                message,
                data,
            }) => Err(ServiceError::Application {
                code,
                message,
                data,
            }),
            Self::TooLarge(bytes) => Err(ServiceError::Application {
                code: ErrorCode::INTERNAL_ERROR.0,
                message: format!(
                    "this call has ended; its result of {bytes} bytes was not kept, since at most \
                     {RESULT_MAX} are for an idempotency key"
                ),
                data: Some(RawJson::of(&json!({"outcome": "not_kept"}))),
            }),
            Self::Unknown => Err(ServiceError::OutcomeUnknown(
                "it was cancelled, or the node that ran it is gone".into(),
            )),
        }
    }
}

impl Record {
    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = vec![FORMAT];
        serde_json::to_writer(&mut bytes, self).expect("invariant: our values serialize");
        bytes.into()
    }

    /// `None` for what another release wrote, or what was altered.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&FORMAT, json) = bytes.split_first()? else {
            return None;
        };
        serde_json::from_slice(json).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn on_the_wire(error: &ServiceError) -> ResponseError {
        ResponseError {
            code: -32603,
            message: error.to_string(),
            data: None,
        }
    }

    fn end(outcome: &Result<Reply, ServiceError>) -> Option<End> {
        let end = End::of(outcome, on_the_wire);
        let record = Record {
            digest: "d".into(),
            runner: 1,
            end: end.clone(),
        };
        assert_eq!(Record::decode(&record.encode()), Some(record));
        end
    }

    #[test]
    fn an_outcome_comes_back_as_it_was() {
        let reply = Reply {
            meta: Some(RawJson::from_valid(r#"{"a":1}"#)),
            is_tool_error: true,
            kind: ReplyKind::Task,
            ..Reply::complete(RawJson::from_valid(r#"{"content":[]}"#))
        };
        let again = end(&Ok(reply.clone())).unwrap().into_outcome().unwrap();
        assert_eq!(again.members, reply.members);
        assert_eq!(again.meta, reply.meta);
        assert_eq!((again.kind, again.is_tool_error), (ReplyKind::Task, true));
        let error = end(&Err(ServiceError::DeadlineExceeded)).unwrap();
        let again = error.into_outcome().unwrap_err();
        assert_eq!(
            again.to_string(),
            ServiceError::DeadlineExceeded.to_string()
        );
    }

    #[test]
    fn what_ended_nothing_is_not_kept() {
        let overloaded = ServiceError::Overloaded {
            what: "x",
            retry_after: Duration::ZERO,
        };
        assert_eq!(end(&Err(overloaded)), None);
        let unavailable = ServiceError::Unavailable {
            upstream: "x".into(),
            why: "cannot be reached".into(),
            retry_after: Duration::ZERO,
        };
        assert_eq!(end(&Err(unavailable)), None);
        assert_eq!(end(&Ok(Reply::input_required(&[], None))), None);
        assert_eq!(end(&Err(ServiceError::Cancelled)), Some(End::Unknown));
    }

    #[test]
    fn a_large_result_is_known_to_have_been() {
        let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(RESULT_MAX));
        let end = end(&Ok(Reply::complete(RawJson::from_valid(text)))).unwrap();
        let error = end.into_outcome().unwrap_err();
        assert!(error.to_string().contains("not kept"), "{error}");
    }
}
