//! Rounds of parked calls that land on another node than the one that holds the call.
//!
//! The node at which the client is ([`Elsewhere::go_on`]) writes to the one that holds the call; that
//! one serves the round as if the client were there, and writes back what is said and how it ends. If
//! it dies meanwhile the outcome is unknown; if it had died before, the state is.
//!
//! A letter may arrive twice, so each round has a number and is served once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_util::sync::CancellationToken;

use super::parked_call::{Binding, ParkedCalls, Ticket};
use crate::gateway::call;
use crate::identity::Principal;
use crate::node::{Heard, Incarnation, Node, Topic};
use crate::protocol::capabilities::ClientCapabilities;
use crate::protocol::client_request::ClientRequest;
use crate::protocol::input::InputResponses;
use crate::protocol::jsonrpc::{ProgressToken, ResponseError};
use crate::protocol::lifecycle::Implementation;
use crate::protocol::logging::LogLevel;
use crate::protocol::notification::ServerNotification;
use crate::protocol::raw::RawJson;
use crate::protocol::version::ProtocolVersion;
use crate::runtime::seal;
use crate::runtime::tasks::{TaskKind, Tasks};
use crate::service::{
    AskError, CacheHints, CallContext, Client, Deadline, Outlet, Reply, ReplyKind, ServiceError,
};

/// Messages of one round that may wait for their client.
const SAID_MAX: usize = 1_024;
/// How often it is looked whether the other node still lives.
const LOOK: Duration = Duration::from_millis(500);
/// Rounds that are remembered, so that one whose letter came twice is served once.
const SERVED_MAX: usize = 10_000;

/// What nodes write.
#[derive(Serialize, Deserialize)]
enum Letter {
    /// Serve this round.
    GoOn(Box<Round>),
    /// Its client is gone.
    Cancel { number: u64 },
    /// Something was said.
    Said {
        number: u64,
        method: String,
        params: RawJson,
    },
    /// It has ended.
    Ended { number: u64, outcome: Outcome },
}

/// A round, with what serving it needs of its client.
#[derive(Serialize, Deserialize)]
struct Round {
    number: u64,
    ticket: Ticket,
    binding: Binding,
    answers: BTreeMap<String, RawJson>,
    principal: Principal,
    endpoint: Arc<str>,
    version: String,
    capabilities: RawJson,
    info: Option<Implementation>,
    progress: Option<ProgressToken>,
    log_level: Option<LogLevel>,
    time_left_ms: u64,
}

/// How a round ended.
#[derive(Serialize, Deserialize)]
enum Outcome {
    Reply {
        asks: bool,
        members: RawJson,
        meta: Option<RawJson>,
        is_tool_error: bool,
    },
    Error(ResponseError),
    /// The state is not known.
    Unknown,
}

enum Back {
    Said(ServerNotification),
    Ended(Box<Outcome>),
}

/// See the module docs. Cloning shares it.
#[derive(Clone)]
pub(in crate::gateway) struct Elsewhere(Arc<Inner>);

struct Inner {
    node: Node,
    tasks: Tasks,
    parked: ParkedCalls,
    error_on_the_wire: fn(&ServiceError, ProtocolVersion) -> ResponseError,
    /// Rounds of clients of this node that are served elsewhere.
    waiting: Mutex<HashMap<u64, mpsc::Sender<Back>>>,
    /// Rounds of clients of other nodes that are served here.
    serving: Mutex<Serving>,
}

#[derive(Default)]
struct Serving {
    running: HashMap<u64, CancellationToken>,
    served: VecDeque<u64>,
}

impl std::fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elsewhere").finish_non_exhaustive()
    }
}

impl Elsewhere {
    /// Hears what other nodes write.
    pub(in crate::gateway) fn listen(
        node: &Node,
        tasks: &Tasks,
        parked: &ParkedCalls,
        error_on_the_wire: fn(&ServiceError, ProtocolVersion) -> ResponseError,
    ) -> Self {
        let elsewhere = Self(Arc::new(Inner {
            node: node.clone(),
            tasks: tasks.clone(),
            parked: parked.clone(),
            error_on_the_wire,
            waiting: Mutex::default(),
            serving: Mutex::default(),
        }));
        let listener = Arc::downgrade(&elsewhere.0);
        node.listen(
            Topic::ParkedCalls,
            Box::new(move |heard| {
                if let (Heard::Letter { from, body }, Some(inner)) = (heard, listener.upgrade()) {
                    Self(inner).read(from, &body);
                }
            }),
        );
        elsewhere
    }

    /// Lets the node that holds a call serve its next round.
    pub(in crate::gateway) async fn go_on(
        &self,
        context: &CallContext,
        binding: &Binding,
        ticket: Ticket,
        responses: &InputResponses,
    ) -> Result<Reply, ServiceError> {
        let inner = &self.0;
        let holder = Incarnation(ticket.node);
        if !inner.node.seems_alive(holder) {
            return Err(ServiceError::InvalidRequestState);
        }
        let number = u64::from_be_bytes(seal::random());
        let (back, mut backs) = mpsc::channel(SAID_MAX);
        lock(&inner.waiting).insert(number, back);
        let _forget = Forget { inner, number };
        self.tell(
            holder,
            &Letter::GoOn(Box::new(Round {
                number,
                ticket,
                binding: binding.clone(),
                answers: responses.answers.clone(),
                principal: context.principal.clone(),
                endpoint: context.endpoint.clone(),
                version: context.version.as_str().to_owned(),
                capabilities: context.client.capabilities.raw.clone(),
                info: context.client.info.clone(),
                progress: context.progress_token.clone(),
                log_level: LogLevel::ALL
                    .into_iter()
                    .find(|level| context.outlet.wants_log(*level)),
                time_left_ms: u64::try_from(context.deadline.remaining().as_millis())
                    .unwrap_or(u64::MAX),
            })),
        );
        let mut leaving = Leaving {
            elsewhere: self,
            holder,
            number: Some(number),
        };
        loop {
            let back = tokio::select! {
                back = backs.recv() => back,
                () = context.cancel.cancelled() => return Err(ServiceError::Cancelled),
                () = tokio::time::sleep(LOOK) => {
                    if inner.node.seems_alive(holder) {
                        continue;
                    }
                    leaving.number = None;
                    return Err(ServiceError::OutcomeUnknown(
                        "the node that holds this call is gone".into(),
                    ));
                }
            };
            match back {
                Some(Back::Said(notification)) => context.outlet.notify(notification).await,
                Some(Back::Ended(outcome)) => {
                    leaving.number = None;
                    return outcome.into_result();
                }
                None => return Err(ServiceError::Internal),
            }
        }
    }

    fn tell(&self, to: Incarnation, letter: &Letter) {
        let body = serde_json::to_vec(letter).expect("invariant: letters serialize");
        self.0.node.tell(to, Topic::ParkedCalls, Bytes::from(body));
    }

    fn read(self, from: Incarnation, body: &Bytes) {
        let Ok(letter) = serde_json::from_slice::<Letter>(body) else {
            tracing::warn!("a letter about a parked call cannot be read");
            return;
        };
        match letter {
            Letter::GoOn(round) => self.serve(from, *round),
            Letter::Cancel { number } => {
                if let Some(cancel) = lock(&self.0.serving).running.get(&number) {
                    cancel.cancel();
                }
            }
            Letter::Said {
                number,
                method,
                params,
            } => {
                let method = match &*method {
                    ServerNotification::PROGRESS => ServerNotification::PROGRESS,
                    _ => "notifications/message",
                };
                self.back(number, Back::Said(ServerNotification { method, params }));
            }
            Letter::Ended { number, outcome } => {
                self.back(number, Back::Ended(Box::new(outcome)));
            }
        }
    }

    fn back(&self, number: u64, back: Back) {
        let waiting = lock(&self.0.waiting).get(&number).cloned();
        if let Some(waiting) = waiting {
            // How it ended has to arrive, also at a client that is slow to read what was said.
            if let Err(TrySendError::Full(back @ Back::Ended(_))) = waiting.try_send(back) {
                self.0.tasks.spawn(TaskKind::Upkeep, async move {
                    let _gone = waiting.send(back).await;
                });
            }
        }
    }

    fn serve(self, from: Incarnation, round: Round) {
        let cancel = CancellationToken::new();
        let number = round.number;
        {
            let mut serving = lock(&self.0.serving);
            if serving.running.contains_key(&number) || serving.served.contains(&number) {
                return;
            }
            serving.running.insert(number, cancel.clone());
        }
        let tasks = self.0.tasks.clone();
        tasks.spawn(TaskKind::Call, async move {
            let outcome = self.outcome(from, round, cancel).await;
            self.tell(from, &Letter::Ended { number, outcome });
            let mut serving = lock(&self.0.serving);
            serving.running.remove(&number);
            serving.served.push_back(number);
            if serving.served.len() > SERVED_MAX {
                serving.served.pop_front();
            }
        });
    }

    async fn outcome(&self, from: Incarnation, round: Round, cancel: CancellationToken) -> Outcome {
        let Ok(capabilities) = ClientCapabilities::parse(round.capabilities) else {
            return Outcome::Unknown;
        };
        let Some(version) = ProtocolVersion::parse(&round.version) else {
            return Outcome::Unknown;
        };
        let context = CallContext {
            principal: round.principal,
            endpoint: round.endpoint,
            session: None,
            version,
            client: Arc::new(Client {
                capabilities,
                info: round.info,
            }),
            progress_token: round.progress,
            cancel,
            deadline: Deadline::after(Duration::from_millis(round.time_left_ms)),
            outlet: Arc::new(There {
                elsewhere: self.clone(),
                to: from,
                number: round.number,
                log_level: round.log_level,
            }),
        };
        let responses = InputResponses {
            answers: round.answers,
            state: None,
        };
        let parked = &self.0.parked;
        let ended = call::go_on(parked, &context, &round.binding, round.ticket, &responses).await;
        match ended {
            Ok(reply) => Outcome::Reply {
                asks: reply.kind == ReplyKind::InputRequired,
                members: reply.members,
                meta: reply.meta,
                is_tool_error: reply.is_tool_error,
            },
            Err(ServiceError::InvalidRequestState) => Outcome::Unknown,
            Err(error) => Outcome::Error((self.0.error_on_the_wire)(&error, version)),
        }
    }
}

impl Outcome {
    fn into_result(self) -> Result<Reply, ServiceError> {
        match self {
            Self::Reply {
                asks,
                members,
                meta,
                is_tool_error,
            } => Ok(Reply {
                kind: if asks {
                    ReplyKind::InputRequired
                } else {
                    ReplyKind::Complete
                },
                members,
                meta,
                cache: CacheHints::default(),
                is_tool_error,
            }),
            Self::Error(error) => Err(ServiceError::Upstream(error)),
            Self::Unknown => Err(ServiceError::InvalidRequestState),
        }
    }
}

/// The way to a client of another node.
struct There {
    elsewhere: Elsewhere,
    to: Incarnation,
    number: u64,
    log_level: Option<LogLevel>,
}

impl std::fmt::Debug for There {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("There").finish_non_exhaustive()
    }
}

impl Outlet for There {
    fn notify(&self, notification: ServerNotification) -> BoxFuture<'_, ()> {
        let letter = Letter::Said {
            number: self.number,
            method: notification.method.to_owned(),
            params: notification.params,
        };
        self.elsewhere.tell(self.to, &letter);
        Box::pin(std::future::ready(()))
    }

    fn wants_log(&self, level: LogLevel) -> bool {
        self.log_level.is_some_and(|least| level >= least)
    }

    fn ask(&self, _: ClientRequest) -> BoxFuture<'_, Result<RawJson, AskError>> {
        let what = "this client is asked by the end of its request";
        Box::pin(std::future::ready(Err(AskError::Impossible(what))))
    }

    fn release_connection(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A round whose client is here.
struct Leaving<'a> {
    elsewhere: &'a Elsewhere,
    holder: Incarnation,
    number: Option<u64>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.elsewhere.tell(self.holder, &Letter::Cancel { number });
        }
    }
}

struct Forget<'a> {
    inner: &'a Inner,
    number: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.inner.waiting).remove(&self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
