//! Following a task to its result: a server may answer a call with "I am working on it".
//!
//! The task is asked for at the pace the server gives. Its questions are answered as they come,
//! each once. Whoever stops waiting cancels the task, because nobody else knows its id.
//!
//! Spec: the tasks extension of 2026-07-28.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::connected::Inner;
use super::error::ClientError;
use super::message::Request;
use super::rounds::Asked;
use crate::protocol::jsonrpc::ResponseError;
use crate::protocol::raw::RawJson;
use crate::runtime::tasks::TaskKind;

/// Time between two looks when the server does not say.
const LOOK: Duration = Duration::from_secs(1);
/// The least and the most a server may ask for.
const LOOK_BOUNDS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(60));
/// Most questions of one task.
const QUESTIONS_MAX: usize = 320;

/// A task as the server tells it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    #[serde(rename = "taskId")]
    id: String,
    status: Status,
    #[serde(default)]
    status_message: Option<String>,
    #[serde(default)]
    poll_interval_ms: Option<u64>,
    #[serde(default)]
    result: Option<RawJson>,
    #[serde(default)]
    error: Option<ResponseError>,
    #[serde(default)]
    input_requests: BTreeMap<String, Asked>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Working,
    InputRequired,
    Completed,
    Failed,
    Cancelled,
}

impl Inner {
    /// Waits for the task that `created` tells of.
    pub(super) async fn follow_task(
        self: &Arc<Self>,
        created: &RawJson,
    ) -> Result<RawJson, ClientError> {
        let mut task = read(created)?;
        let mut leaving = Leaving {
            inner: self,
            id: Some(task.id.clone()),
        };
        let mut answered = BTreeSet::new();
        loop {
            match task.status {
                Status::Working => {}
                Status::InputRequired => self.answer_task(&mut task, &mut answered).await?,
                Status::Completed | Status::Failed | Status::Cancelled => {
                    leaving.id = None;
                    return end_of(task);
                }
            }
            let asked_for = task.poll_interval_ms.map_or(LOOK, Duration::from_millis);
            tokio::time::sleep(asked_for.clamp(LOOK_BOUNDS.0, LOOK_BOUNDS.1)).await;
            let params = json!({"taskId": task.id});
            task = read(&self.of_task("tasks/get", &params).await?)?;
        }
    }

    async fn answer_task(
        self: &Arc<Self>,
        task: &mut Task,
        answered: &mut BTreeSet<String>,
    ) -> Result<(), ClientError> {
        let mut asked = std::mem::take(&mut task.input_requests);
        asked.retain(|key, _| !answered.contains(key));
        if asked.is_empty() {
            return Ok(());
        }
        answered.extend(asked.keys().cloned());
        if answered.len() > QUESTIONS_MAX {
            return Err(ClientError::Rounds(QUESTIONS_MAX));
        }
        let answers = RawJson::from_valid(self.answers(asked).await?);
        let params = json!({"taskId": task.id, "inputResponses": answers});
        self.of_task("tasks/update", &params).await?;
        Ok(())
    }

    async fn of_task(
        self: &Arc<Self>,
        method: &str,
        params: &serde_json::Value,
    ) -> Result<RawJson, ClientError> {
        let request = Request::new(method, params);
        let headers = if self.connection.is_http() {
            request.headers()
        } else {
            Vec::new()
        };
        self.once(&request, &[], headers).await
    }
}

fn read(result: &RawJson) -> Result<Task, ClientError> {
    result
        .decode()
        .map_err(|error| ClientError::Protocol(format!("a task: {error}")))
}

fn end_of(task: Task) -> Result<RawJson, ClientError> {
    match (task.status, task.result, task.error) {
        (Status::Completed, Some(result), _) => Ok(result),
        (Status::Failed, _, Some(error)) => Err(ClientError::Answered {
            error,
            status: None,
        }),
        (Status::Cancelled, ..) => {
            let why = task.status_message.unwrap_or_default();
            let what = format!("the task was cancelled: {why:.200}");
            Err(ClientError::Declined(what))
        }
        _incomplete => {
            let what = "a task ended without its result".to_owned();
            Err(ClientError::Protocol(what))
        }
    }
}

/// A task that somebody waits for.
struct Leaving<'a> {
    inner: &'a Arc<Inner>,
    id: Option<String>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let inner = self.inner.clone();
        let cancelling = self.inner.connection.track(async move {
            let params = json!({"taskId": id});
            if let Err(error) = inner.of_task("tasks/cancel", &params).await {
                tracing::debug!(error = error.for_log(), "a task could not be cancelled");
            }
        });
        self.inner
            .connection
            .tasks()
            .spawn(TaskKind::Upkeep, cancelling);
    }
}
