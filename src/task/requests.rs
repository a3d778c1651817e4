//! Answering `tasks/get`, `tasks/update`, `tasks/cancel`, `tasks/result` and `tasks/list`.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;

use super::elsewhere::Wish;
use super::live::Next;
use super::record::{End, Finished, Record};
use super::wire::{self, Wire};
use super::{Live, Shared, live, needs};
use crate::identity::Principal;
use crate::node::Incarnation;
use crate::protocol::input::InputResponses;
use crate::protocol::jsonrpc::Params;
use crate::protocol::method::Method;
use crate::protocol::params::{ParamsHead, string_of};
use crate::protocol::raw::RawJson;
use crate::protocol::version::{Era, ProtocolVersion};
use crate::service::{AskError, Call, Reply, ServiceError};
use crate::store::CasOutcome;
use crate::telemetry::labels::StoreOperation;

/// Tasks on a page of a list.
const PAGE: usize = 100;

/// Answers a request about tasks.
pub(super) async fn answer(shared: Arc<Shared>, call: Call) -> Result<Reply, ServiceError> {
    let context = &call.context;
    if !call.method.exists_in(context.version) {
        return Err(ServiceError::MethodNotFound(call.method.to_string()));
    }
    if context.version.era() == Era::Stateless && !context.client.capabilities.tasks {
        return Err(needs());
    }
    match call.method {
        Method::TasksGet => shared.get(&call).await,
        Method::TasksUpdate => shared.update(&call).await,
        Method::TasksCancel => shared.cancel(&call).await,
        Method::TasksResult => shared.result(&call).await,
        Method::TasksList => shared.list(&call).await,
        _ => Err(ServiceError::MethodNotFound(call.method.to_string())),
    }
}

impl Shared {
    /// The task of that id as it stands, if it is this principal's.
    pub(super) async fn find(
        &self,
        principal: &Principal,
        era: Era,
        id: &str,
    ) -> Result<Record, ServiceError> {
        if !self.mint(era).verify(id, principal, &self.endpoint) {
            return Err(ServiceError::UnknownTask);
        }
        if let Some(live) = self.live.get(id) {
            let record = live.seen();
            return if record.expires() > self.clock.now() {
                Ok(record)
            } else {
                Err(ServiceError::UnknownTask)
            };
        }
        let failed = |operation| move |error| self.store_failed(operation, error);
        let scope = live::scope(id);
        let mut read = self
            .store
            .read(&scope)
            .await
            .map_err(failed(StoreOperation::Read))?;
        loop {
            let Some(stored) = read else {
                return Err(ServiceError::UnknownTask);
            };
            let mut record = Record::decode(&stored.value).map_err(|error| {
                tracing::error!(%error, "task record refused");
                ServiceError::UnknownTask
            })?;
            let runner = Incarnation(record.runner);
            if record.end().is_some() || runner == self.node.incarnation() {
                return Ok(record);
            }
            let lives = self.node.lives(runner).await;
            if lives.map_err(failed(StoreOperation::Read))? {
                return Ok(record);
            }
            // Its process is gone. Nobody knows how far it came, so it is never run again.
            let lost = ServiceError::OutcomeUnknown("the node that ran it is gone".into());
            let version = match era {
                Era::Session => ProtocolVersion::NEWEST_WITH_SESSIONS,
                Era::Stateless => ProtocolVersion::NEWEST,
            };
            let end = End::Error((self.error_on_the_wire)(&lost, version));
            record.finish(self.clock.now(), end);
            let writing = self
                .store
                .compare_and_set(&scope, stored.version, record.encode());
            read = match writing
                .await
                .map_err(failed(StoreOperation::CompareAndSet))?
            {
                CasOutcome::Written(_) => {
                    self.changes.announce_task(id, None);
                    return Ok(record);
                }
                CasOutcome::Lost(stored) => Some(stored),
                CasOutcome::Gone => None,
            };
        }
    }

    async fn found(&self, call: &Call) -> Result<(String, Record), ServiceError> {
        let id = task_id(&call.params)?;
        let context = &call.context;
        let record = self
            .find(context.principal(), context.version.era(), &id)
            .await?;
        Ok((id, record))
    }

    fn wire(&self, call: &Call) -> Wire {
        Wire::of(call.context.version, self.poll_interval_ms())
    }

    async fn get(&self, call: &Call) -> Result<Reply, ServiceError> {
        let (id, record) = self.found(call).await?;
        Ok(Reply::complete(self.wire(call).whole(&id, &record)))
    }

    /// Takes answers; keys that are unknown or answered already are ignored.
    async fn update(&self, call: &Call) -> Result<Reply, ServiceError> {
        let (id, record) = self.found(call).await?;
        let InputResponses { mut answers, .. } = InputResponses::of(&call.params)
            .map_err(|error| ServiceError::InvalidParams(error.to_string()))?;
        if let Some(live) = self.running(&id) {
            if live.answer(answers) {
                live.kept().await;
            }
            return Ok(Reply::complete(RawJson::empty_object()));
        }
        answers.retain(|key, _| record.questions().contains_key(key));
        if !answers.is_empty() {
            let keys = answers.keys().cloned().collect::<Vec<_>>();
            let taken = |record: &Record| {
                let open = record.questions();
                keys.iter().all(|key| !open.contains_key(key))
            };
            self.tell_runner(call, &id, &record, Wish::Answer(answers), taken)
                .await?;
        }
        Ok(Reply::complete(RawJson::empty_object()))
    }

    /// Cancels: the task has ended before the answer leaves, and stays so.
    async fn cancel(&self, call: &Call) -> Result<Reply, ServiceError> {
        let (id, record) = self.found(call).await?;
        let mut ended = record.end().is_some();
        match self.running(&id) {
            _ if ended => {}
            Some(live) => {
                ended = !live.finish(End::Cancelled);
                if !ended {
                    live.cancel.cancel();
                }
                live.kept().await;
            }
            None => {
                let telling = self.tell_runner(call, &id, &record, Wish::Cancel, |_| false);
                ended = telling.await?.end() != Some(&End::Cancelled);
            }
        }
        match call.context.version.era() {
            Era::Stateless => Ok(Reply::complete(RawJson::empty_object())),
            Era::Session if ended => Err(ServiceError::InvalidParams(
                "the task has ended and cannot be cancelled".into(),
            )),
            Era::Session => {
                let (id, record) = self.found(call).await?;
                Ok(Reply::complete(self.wire(call).task(&id, &record)))
            }
        }
    }

    /// Waits for the end and answers what the call would have been answered. Meanwhile questions
    /// and notifications of the task go this way.
    async fn result(&self, call: &Call) -> Result<Reply, ServiceError> {
        let (id, record) = self.found(call).await?;
        let end = match (record.end(), self.running(&id)) {
            (Some(end), _) => end.clone(),
            (None, Some(live)) => self.wait_for_end(call, &live).await?,
            // It runs elsewhere, or ended between the two looks.
            (None, None) => {
                let ended = self.wait_for(call, &id, |record| record.end().is_some());
                let end = ended.await?.end().cloned();
                end.ok_or(ServiceError::UnknownTask)?
            }
        };
        match end {
            End::Result(Finished {
                members,
                meta,
                is_tool_error,
            }) => Ok(Reply {
                meta: Some(wire::related_result(&id, meta.as_ref())),
                is_tool_error,
                ..Reply::complete(members)
            }),
            End::Error(error) => Err(ServiceError::Application {
                code: error.code,
                message: error.message,
                data: error.data,
            }),
            End::Cancelled => Err(ServiceError::InvalidParams(
                "the task was cancelled and has no result".into(),
            )),
        }
    }

    /// Waits for the end of a task that runs here, and until it is in the store: nobody hears of an
    /// end that a crash could take back.
    async fn wait_for_end(&self, call: &Call, live: &Arc<Live>) -> Result<End, ServiceError> {
        let context = &call.context;
        let carrier = live.carry_for(context.client.clone(), context.outlet.clone());
        let end = loop {
            let next = tokio::select! {
                next = carrier.next() => next,
                () = context.cancel.cancelled() => return Err(ServiceError::Cancelled),
            };
            let question = match next {
                Next::Ended(end) => break end,
                Next::Carry(question) => question,
            };
            let _waiting = context.deadline.pause();
            let request = question.request();
            let kind = request.kind;
            tokio::select! {
                answer = context.outlet.ask(request) => match answer {
                    // This way is closed; another one may be open.
                    Err(AskError::Impossible(_)) => return Err(ServiceError::Cancelled),
                    answer => question.answered(answer),
                },
                // Dropped without an answer, the question waits for who carries it now.
                () = carrier.relieved(kind) => {}
                () = context.cancel.cancelled() => return Err(ServiceError::Cancelled),
            }
        };
        live.kept().await;
        // Another node may have taken this one for dead, and written another end before.
        Ok(live.seen().end().cloned().unwrap_or(end))
    }

    /// The tasks this session made. A cursor is the id of the last task of a page.
    async fn list(&self, call: &Call) -> Result<Reply, ServiceError> {
        #[derive(Deserialize)]
        struct ListParams {
            #[serde(default)]
            cursor: Option<String>,
        }
        let ListParams { cursor } = call
            .params
            .decode()
            .map_err(|error| ServiceError::InvalidParams(error.to_string()))?;
        let Some(session) = &call.context.session else {
            return Err(ServiceError::MethodNotFound(call.method.to_string()));
        };
        let ids = self.listed.ids(session).await;
        let ids = ids.map_err(|error| self.store_failed(StoreOperation::Read, error))?;
        let start = match cursor {
            None => 0,
            Some(cursor) => ids
                .iter()
                .position(|id| *id == cursor)
                .map(|at| at + 1)
                .ok_or_else(|| ServiceError::InvalidParams("unknown cursor".into()))?,
        };
        let page = &ids[start..ids.len().min(start + PAGE)];
        let mut tasks = Vec::with_capacity(page.len());
        for id in page {
            match self.find(call.context.principal(), Era::Session, id).await {
                Ok(record) => tasks.push(self.wire(call).task(id, &record)),
                Err(ServiceError::UnknownTask) => {}
                Err(error) => return Err(error),
            }
        }
        let mut members = RawJson::empty_object().with_member("tasks", &RawJson::of(&tasks));
        if let Some(last) = page.last().filter(|_| start + PAGE < ids.len()) {
            members = members.with_member("nextCursor", &RawJson::of(last));
        }
        Ok(Reply::complete(members))
    }

    pub(super) fn running(&self, id: &str) -> Option<Arc<Live>> {
        self.live.get(id).map(|live| live.clone())
    }
}

fn task_id(params: &Params) -> Result<String, ServiceError> {
    string_of(ParamsHead::of(params).task_id)
        .map(Cow::into_owned)
        .ok_or_else(|| ServiceError::InvalidParams("`taskId` must be a string".into()))
}
