//! From a call to a task, and the task to its end.
//!
//! A call that may become a task begins as a call. When its time is over, or when its handler
//! says so, its record is written, the client gets the handle, and the very same run goes on on
//! the main runtime. A call that is a task from its beginning is written before it begins.
//!
//! In the stateless era a run that asks ends with its questions, as it does for a client
//! ([`crate::server`]): here the task puts them, waits, and runs the call again with the answers.
//!
//! Invariants:
//! - The record is in the store before its id leaves.
//! - A call that could not be written goes on as a call, unless its client insists on a task.
//! - The first end is the end, whatever the run still brings.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::OptionFuture;
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::live::{self, Live};
use super::outlet::{TaskOutlet, Wishes};
use super::record::{End, Finished, Record};
use super::wire::Wire;
use super::{Shared, overloaded};
use crate::protocol::jsonrpc::{Params, ProgressToken, RequestId};
use crate::protocol::method::Method;
use crate::protocol::raw::{self, RawJson};
use crate::protocol::version::Era;
use crate::runtime::shutdown::Phase;
use crate::runtime::tasks::TaskKind;
use crate::service::{Call, CallContext, CallFuture, Reply, ReplyKind, ServiceError, TaskStart};
use crate::store::{CasOutcome, StoreError, Version};
use crate::telemetry::events::{Event as _, StoreFailed};
use crate::telemetry::labels::{StoreOperation, TaskEnd};

/// What a message that shows a task has besides the result, at most: its status message above all.
const TASK_BYTES: usize = 8 * 1024;
/// How long a cancelled run may take to end by itself before it is dropped where it stands.
const CANCELLED_MAX: Duration = Duration::from_secs(10);
/// The same when the process stops: a moment to end by itself, and less than stopping takes.
const STOPPED_MAX: Duration = Duration::from_secs(1);
/// Time between two attempts to write an end; doubled each time.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// A call that may become a task.
pub(super) struct Candidate {
    call: Prepared,
    /// The token of the client's request; it means nothing any more once the call is a task.
    request_cancel: CancellationToken,
    outlet: Arc<TaskOutlet>,
    wishes: Wishes,
    ttl: Duration,
}

/// A call that can be made again with other params.
struct Prepared {
    method: Method,
    params: Params,
    context: CallContext,
}

impl Prepared {
    fn again(&self, params: Params) -> Call {
        Call {
            method: self.method.clone(),
            params,
            context: self.context.clone(),
        }
    }
}

impl Candidate {
    pub(super) fn new(call: Call, ttl: Duration) -> Self {
        let Call {
            method,
            params,
            mut context,
        } = call;
        let wants_progress = context.progress_token.is_some();
        let (outlet, wishes) = TaskOutlet::around(context.outlet, wants_progress);
        context.outlet = outlet.clone();
        // A task tells its progress as its status, whether or not the client asked for progress.
        context
            .progress_token
            .get_or_insert_with(|| ProgressToken(RequestId::String("".into())));
        let request_cancel = std::mem::take(&mut context.cancel);
        Self {
            call: Prepared {
                method,
                params,
                context,
            },
            request_cancel,
            outlet,
            wishes,
            ttl,
        }
    }
}

impl Shared {
    /// Runs a call that is a task from its beginning, because its client or its tool insists.
    pub(super) async fn begin(
        self: Arc<Self>,
        candidate: Candidate,
    ) -> Result<Reply, ServiceError> {
        let (live, version) = self.open(&candidate).await?;
        candidate.outlet.become_this(live.clone());
        let running = self.start(&candidate.call);
        Ok(self.go_on(candidate.call, running, live, version))
    }

    /// Runs a call until it ends or becomes a task.
    pub(super) async fn run(
        self: Arc<Self>,
        mut candidate: Candidate,
        start: TaskStart,
    ) -> Result<Reply, ServiceError> {
        if start == TaskStart::AtOnce {
            match self.open(&candidate).await {
                Ok((live, version)) => {
                    candidate.outlet.become_this(live.clone());
                    let running = self.start(&candidate.call);
                    return Ok(self.go_on(candidate.call, running, live, version));
                }
                Err(ServiceError::Overloaded { what, .. }) => {
                    tracing::debug!(what, "a call that could be a task goes on as a call");
                }
                Err(error) => return Err(error),
            }
        }
        let cancel = candidate.call.context.cancel.clone();
        let mut running = self.start(&candidate.call);
        let mut timer = match start {
            TaskStart::After(time) => OptionFuture::from(Some(Box::pin(tokio::time::sleep(time)))),
            TaskStart::AtOnce | TaskStart::OnDemand => OptionFuture::default(),
        };
        loop {
            let wish: Option<oneshot::Sender<bool>> = tokio::select! {
                // What has ended needs no task any more.
                biased;
                outcome = &mut running => return outcome,
                () = candidate.request_cancel.cancelled(), if !cancel.is_cancelled() => {
                    cancel.cancel();
                    continue;
                }
                Some(wish) = candidate.wishes.recv() => Some(wish),
                Some(()) = &mut timer => None,
            };
            timer = OptionFuture::default();
            let opened = if cancel.is_cancelled() {
                Err(ServiceError::Cancelled)
            } else {
                self.open(&candidate).await
            };
            let became = opened.is_ok();
            if let Ok((live, version)) = opened {
                candidate.outlet.become_this(live.clone());
                answer(wish, became);
                return Ok(self.go_on(candidate.call, running, live, version));
            }
            // It goes on as a call; nothing is lost but the handle.
            answer(wish, became);
        }
    }

    fn start(&self, call: &Prepared) -> CallFuture {
        self.inner.call(call.again(call.params.clone()))
    }

    /// Writes the record of a new task.
    async fn open(&self, candidate: &Candidate) -> Result<(Arc<Live>, Version), ServiceError> {
        let context = &candidate.call.context;
        let place = self.places.take(context.principal()).map_err(overloaded)?;
        let ttl_ms = u64::try_from(candidate.ttl.as_millis()).unwrap_or(u64::MAX);
        let record = Record::begin(self.node.incarnation().0, self.clock.now(), ttl_ms);
        let id: Arc<str> = self
            .mint(context.version.era())
            .mint(context.principal(), &self.endpoint)
            .into();
        let expires = record.expires();
        let written = async {
            let scope = live::scope(&id);
            self.store.create(&scope, record.encode(), expires).await?;
            let version = self.store.read(&scope).await?.map(|record| record.version);
            if let Some(session) = &context.session {
                self.listed.add(session, &id, expires).await?;
            }
            Ok::<_, StoreError>(version)
        };
        let version = match written.await {
            Ok(Some(version)) => version,
            Ok(None) => return Err(overloaded("the task store lost the task")),
            Err(error) => {
                let refused = self.store_failed(StoreOperation::Create, error);
                // Nobody knows its id; if it cannot be removed now, its time will end too.
                drop(self.store.remove(&live::scope(&id)).await);
                return Err(refused);
            }
        };
        let live = Live::new(id.clone(), record, self.clock.clone(), place);
        self.live.insert(id, live.clone());
        Ok((live, version))
    }

    /// Lets the run go on as a task; the answer is its handle.
    fn go_on(
        self: Arc<Self>,
        call: Prepared,
        running: CallFuture,
        live: Arc<Live>,
        version: Version,
    ) -> Reply {
        let record = live.record();
        let ttl = record.expires().since(self.clock.now());
        call.context.deadline.restart(ttl);
        call.context.ongoing.goes_on();
        let wire = Wire::of(call.context.version, self.poll_interval_ms());
        let task = wire.task(live.id(), &record);
        let reply = match wire.era {
            Era::Stateless => Reply {
                kind: ReplyKind::Task,
                ..Reply::complete(task)
            },
            Era::Session => Reply::complete(RawJson::empty_object().with_member("task", &task)),
        };
        let tasks = self.tasks.clone();
        tasks.spawn(TaskKind::Call, async move {
            let counted = self.metrics.running_task();
            let session = call.context.session.clone();
            let work = AssertUnwindSafe(self.work(&call, running, &live, ttl)).catch_unwind();
            let of = session.as_ref().map(|session| &session.0);
            tokio::join!(
                async {
                    let end = work
                        .await
                        .unwrap_or_else(|_| self.error_end(&ServiceError::Internal, &call.context));
                    live.finish(end);
                },
                self.keep(&live, version, of),
            );
            self.live.remove(live.id());
            let record = live.record();
            self.places.keep(record.expires(), record.result_bytes());
            self.metrics.task_ended(match record.end() {
                Some(End::Result(_)) => TaskEnd::Completed,
                Some(End::Cancelled) => TaskEnd::Cancelled,
                Some(End::Error(_)) | None => TaskEnd::Failed,
            });
            drop(counted);
        });
        reply
    }

    /// The work of a task: how it ended.
    async fn work(&self, call: &Prepared, running: CallFuture, live: &Live, ttl: Duration) -> End {
        let cancel = &call.context.cancel;
        let mut rounds = std::pin::pin!(self.rounds(call, running, live));
        let outcome = tokio::select! {
            biased;
            outcome = &mut rounds => outcome,
            () = tokio::time::sleep(ttl) => {
                cancel.cancel();
                Err(ServiceError::DeadlineExceeded)
            }
            () = async {
                live.cancel.cancelled().await;
                cancel.cancel();
                tokio::time::sleep(CANCELLED_MAX).await;
            } => Err(ServiceError::Cancelled),
            () = self.shutdown.reached(Phase::Stopping) => {
                cancel.cancel();
                let ending = tokio::time::timeout(STOPPED_MAX, &mut rounds).await;
                let unknown = ServiceError::OutcomeUnknown("the node that ran it stopped".into());
                // Nobody but the stop cancelled it.
                ending.ok().and_then(Result::ok).ok_or(unknown)
            }
        };
        // Tells whatever the call left behind that nobody waits any more.
        cancel.cancel();
        // What is cancelled has ended so, whatever its work still returns.
        let outcome = if live.cancel.is_cancelled() {
            Err(ServiceError::Cancelled)
        } else {
            outcome
        };
        call.context.ongoing.ended(&outcome);
        match outcome {
            Ok(reply) if bytes_of(&reply) > self.config.result_max => {
                let too_large = ServiceError::ResultTooLarge {
                    bytes: bytes_of(&reply),
                    max: self.config.result_max,
                };
                self.error_end(&too_large, &call.context)
            }
            Ok(reply) => End::Result(Finished::from(reply)),
            Err(ServiceError::Cancelled) => End::Cancelled,
            Err(error) => self.error_end(&error, &call.context),
        }
    }

    pub(super) fn error_end(&self, error: &ServiceError, context: &CallContext) -> End {
        End::Error((self.error_on_the_wire)(error, context.version))
    }

    /// Runs the call again and again with the answers to what it asks, until it asks no more.
    async fn rounds(
        &self,
        call: &Prepared,
        mut running: CallFuture,
        live: &Live,
    ) -> Result<Reply, ServiceError> {
        loop {
            let reply = running.await?;
            if reply.kind != ReplyKind::InputRequired {
                return Ok(reply);
            }
            let round: Round = reply.members.decode().map_err(|_| ServiceError::Internal)?;
            let asked = round.input_requests.into_iter().collect();
            let open = live.ask_all(asked).ok_or(ServiceError::Cancelled)?;
            let mut answers = BTreeMap::new();
            for (key, answer) in open {
                let answer = answer.await.map_err(|_| ServiceError::Cancelled)?;
                answers.insert(key, answer);
            }
            let params = with_answers(&call.params, &answers, round.request_state.as_deref())?;
            running = self.inner.call(call.again(params));
        }
    }

    /// Writes each change of the task to the store, shows it and announces it, until the end is
    /// written.
    async fn keep(&self, live: &Live, mut version: Version, session: Option<&Arc<str>>) {
        let mut changes = live.changes();
        let mut seen = 0;
        // Somebody who waits for the task comes and goes without changing it.
        while !(live.is_shown() && live.record().end().is_some()) {
            // The sender lives in `live`, so it cannot be gone.
            drop(changes.wait_for(|change| *change > seen).await);
            seen = *changes.borrow_and_update();
            if !live.is_shown() {
                let (kept, record) = self.write(live, &mut version).await;
                live.show(record);
                if let Kept::Gone(end) = kept {
                    live.cancel.cancel();
                    live.finish(end);
                    break;
                }
                self.changes.announce_task(live.id(), session);
            }
            live.keep(seen);
        }
        live.keep(u64::MAX);
    }

    /// Writes the record as it now stands, and says how it stands.
    async fn write(&self, live: &Live, version: &mut Version) -> (Kept, Record) {
        let scope = live::scope(live.id());
        let mut retry = RETRY_FIRST;
        loop {
            let record = live.record();
            match self
                .store
                .compare_and_set(&scope, *version, record.encode())
                .await
            {
                Ok(CasOutcome::Written(written)) => {
                    *version = written;
                    return (Kept::Written, record);
                }
                Ok(CasOutcome::Lost(standing)) => {
                    *version = standing.version;
                    match Record::decode(&standing.value) {
                        // Written before; only the store's answer was lost.
                        Ok(standing) if standing == record => return (Kept::Written, record),
                        // Another node took this one for dead, and the first end is the end.
                        Ok(standing) if standing.end().is_some() => {
                            let end = standing.end().cloned().unwrap_or(End::Cancelled);
                            return (Kept::Gone(end), standing);
                        }
                        Ok(standing) if standing.runner == record.runner => {}
                        Ok(_) | Err(_) => return (Kept::Gone(End::Cancelled), record),
                    }
                }
                Ok(CasOutcome::Gone) => return (Kept::Gone(End::Cancelled), record),
                Err(error) => {
                    let operation = StoreOperation::CompareAndSet;
                    StoreFailed { operation, error }.emit(&self.metrics);
                    // Anything but the end is written with the next change; the end is the last.
                    if record.end().is_none() || self.clock.now() >= record.expires() {
                        return (Kept::Not, record);
                    }
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(RETRY_MAX);
                }
            }
        }
    }
}

/// Bytes of a result as it stands in a task.
fn bytes_of(reply: &Reply) -> usize {
    let meta = reply.meta.as_ref().map_or(0, |meta| meta.as_str().len());
    reply.members.as_str().len() + meta + TASK_BYTES
}

enum Kept {
    Written,
    Not,
    /// Its time is over, or it has ended without this run.
    Gone(End),
}

fn answer(wish: Option<oneshot::Sender<bool>>, became: bool) {
    if let Some(wish) = wish {
        // Whoever wished may have gone on without.
        let _unheard = wish.send(became);
    }
}

/// What a round of questions holds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Round {
    #[serde(default)]
    input_requests: BTreeMap<String, RawJson>,
    #[serde(default)]
    request_state: Option<String>,
}

/// The params of a retry: the same call, with the answers and the state of its last round.
fn with_answers(
    params: &Params,
    answers: &BTreeMap<String, RawJson>,
    state: Option<&str>,
) -> Result<Params, ServiceError> {
    let text = params.raw().map_or("{}", RawJson::as_str);
    // As they came, so that no number loses digits: the state is bound to the arguments.
    let mut members: BTreeMap<String, RawJson> =
        raw::decode(text).map_err(|_| ServiceError::Internal)?;
    members.insert("inputResponses".into(), RawJson::of(answers));
    match state {
        Some(state) => members.insert("requestState".into(), RawJson::of(state)),
        None => members.remove("requestState"),
    };
    Ok(Params::new(RawJson::of(&members)))
}
