//! How a task is written in each of its two generations.
//!
//! | | 2025-11-25 | 2026-07-28, extension `io.modelcontextprotocol/tasks` |
//! |---|---|---|
//! | times | `ttl`, `pollInterval` | `ttlMs`, `pollIntervalMs` |
//! | a tool that failed | `failed` | `completed`, `isError` in the result |
//! | result, error, questions | elsewhere | inside the task |
//!
//! Spec: 2025-11-25 basic/utilities/tasks; extension tasks (SEP-2663).

use serde_json::{Map, Value, json};

use super::record::{End, Finished, Record};
use crate::protocol::meta::RELATED_TASK_KEY;
use crate::protocol::notification::ServerNotification;
use crate::protocol::raw::RawJson;
use crate::protocol::version::{Era, ProtocolVersion};
use crate::runtime::calendar::rfc3339;
use crate::service::ReplyKind;

/// A generation's way of writing tasks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire {
    pub(super) era: Era,
    pub(super) poll_interval_ms: u64,
}

impl Wire {
    pub(super) const fn of(version: ProtocolVersion, poll_interval_ms: u64) -> Self {
        Self {
            era: version.era(),
            poll_interval_ms,
        }
    }

    fn status(self, record: &Record) -> &'static str {
        match record.end() {
            None if record.questions().is_empty() => "working",
            None => "input_required",
            Some(End::Cancelled) => "cancelled",
            Some(End::Error(_)) => "failed",
            Some(End::Result(result)) => match self.era {
                Era::Session if result.is_tool_error => "failed",
                Era::Session | Era::Stateless => "completed",
            },
        }
    }

    /// The task without what came of it, an object.
    pub(super) fn task(self, id: &str, record: &Record) -> RawJson {
        RawJson::of(&self.members(id, record))
    }

    fn members(self, id: &str, record: &Record) -> Map<String, Value> {
        let (ttl, poll) = match self.era {
            Era::Session => ("ttl", "pollInterval"),
            Era::Stateless => ("ttlMs", "pollIntervalMs"),
        };
        let mut members = Map::new();
        members.insert("taskId".into(), id.into());
        members.insert("status".into(), self.status(record).into());
        if let Some(message) = record.message() {
            members.insert("statusMessage".into(), message.into());
        }
        members.insert("createdAt".into(), rfc3339(record.created()).into());
        members.insert("lastUpdatedAt".into(), rfc3339(record.updated()).into());
        members.insert(ttl.into(), record.ttl_ms.into());
        members.insert(poll.into(), self.poll_interval_ms.into());
        members
    }

    /// The task as `tasks/get` answers it: in the stateless era with its questions and with what
    /// came of it.
    pub(super) fn whole(self, id: &str, record: &Record) -> RawJson {
        let task = self.task(id, record);
        if self.era == Era::Session {
            return task;
        }
        match record.end() {
            None if record.questions().is_empty() => task,
            None => task.with_member("inputRequests", &RawJson::of(record.questions())),
            Some(End::Cancelled) => task,
            Some(End::Error(error)) => task.with_member("error", &RawJson::of(error)),
            Some(End::Result(result)) => task.with_member("result", &inlined(result)),
        }
    }

    /// The notification that says how the task stands.
    pub(super) fn notification(self, id: &str, record: &Record) -> ServerNotification {
        ServerNotification {
            method: match self.era {
                Era::Session => "notifications/tasks/status",
                Era::Stateless => "notifications/tasks",
            },
            params: self.whole(id, record),
        }
    }
}

/// A result as it stands inside a task: like any of its revision it says that it is one.
fn inlined(result: &Finished) -> RawJson {
    let result_type = RawJson::of(ReplyKind::Complete.as_str());
    let whole = result.members.with_member("resultType", &result_type);
    match &result.meta {
        None => whole,
        Some(meta) => whole.with_member("_meta", meta),
    }
}

/// The `_meta` that ties a message to its task.
pub(super) fn related(id: &str) -> Value {
    json!({RELATED_TASK_KEY: {"taskId": id}})
}

/// The `_meta` of a result that a task came to, with its own.
pub(super) fn related_result(id: &str, own: Option<&RawJson>) -> RawJson {
    let related = RawJson::of(&related(id));
    match own.and_then(RawJson::members) {
        None => related,
        Some(own) => RawJson::from_valid(format!(
            "{{{own},{}}}",
            related.members().unwrap_or_default()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::jsonrpc::ResponseError;
    use crate::runtime::clock::Timestamp;

    fn wire(version: ProtocolVersion) -> Wire {
        Wire::of(version, 1_000)
    }

    fn ended(end: Option<End>) -> Record {
        let mut record = Record::begin(1, Timestamp(0), 60_000);
        if let Some(end) = end {
            record.finish(Timestamp(1_000), end);
        }
        record
    }

    fn result(is_tool_error: bool) -> End {
        End::Result(Finished {
            members: RawJson::from_valid(r#"{"content":[]}"#),
            meta: Some(RawJson::from_valid(r#"{"a":1}"#)),
            is_tool_error,
        })
    }

    #[test]
    fn each_generation_names_the_end_its_own_way() {
        let error = ResponseError {
            code: -32603,
            message: "x".into(),
            data: None,
        };
        for (end, session, stateless) in [
            (None, "working", "working"),
            (Some(result(false)), "completed", "completed"),
            (Some(result(true)), "failed", "completed"),
            (Some(End::Error(error)), "failed", "failed"),
            (Some(End::Cancelled), "cancelled", "cancelled"),
        ] {
            let record = ended(end);
            let status = |version| wire(version).task("t", &record).to_value()["status"].clone();
            assert_eq!(status(ProtocolVersion::V2025_11_25), session);
            assert_eq!(status(ProtocolVersion::V2026_07_28), stateless);
        }
    }

    #[test]
    fn the_stateless_task_holds_what_came_of_it() {
        let record = ended(Some(result(false)));
        let whole = wire(ProtocolVersion::V2026_07_28)
            .whole("t", &record)
            .to_value();
        assert_eq!(
            whole,
            json!({
                "taskId": "t", "status": "completed", "ttlMs": 60_000, "pollIntervalMs": 1_000,
                "createdAt": "1970-01-01T00:00:00Z", "lastUpdatedAt": "1970-01-01T00:00:01Z",
                "result": {"content": [], "resultType": "complete", "_meta": {"a": 1}},
            })
        );
        let older = wire(ProtocolVersion::V2025_11_25)
            .whole("t", &record)
            .to_value();
        assert_eq!(
            older,
            json!({
                "taskId": "t", "status": "completed", "ttl": 60_000, "pollInterval": 1_000,
                "createdAt": "1970-01-01T00:00:00Z", "lastUpdatedAt": "1970-01-01T00:00:01Z",
            })
        );
    }

    #[test]
    fn a_related_result_keeps_its_own_metadata() {
        let own = RawJson::from_valid(r#"{"a":1}"#);
        assert_eq!(
            related_result("t", Some(&own)).to_value(),
            json!({"a": 1, RELATED_TASK_KEY: {"taskId": "t"}})
        );
        assert_eq!(related_result("t", None).to_value(), related("t"));
    }
}
