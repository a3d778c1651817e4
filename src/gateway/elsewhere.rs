//! Calls that another node has to serve, because it holds what they are about: a parked call, or a
//! session with an upstream.
//!
//! ```text
//! the client's node                    the one that holds it
//!   serve ── Serve ─────────────────▶ the call is served as if its client were there
//!  client ◀────────── Said, Asks ────
//!         ── Answers ───────────────▶
//!         ◀────────────────── Ended ── its end
//! ```
//!
//! A call goes to another node once: where it comes in by a letter it is served, or not at all. If the
//! holder dies while it serves, the outcome is unknown; if the client's node does, the call is cancelled.
//!
//! A letter may arrive twice and in any order, so each call has a number and is served once.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::holders::Holders;
use super::{Gateway, call};
use crate::identity::Caller;
use crate::node::{Heard, Incarnation, Node, Topic};
use crate::protocol::capabilities::ClientCapabilities;
use crate::protocol::client_request::ClientRequest;
use crate::protocol::jsonrpc::{Params, ProgressToken, ResponseError};
use crate::protocol::lifecycle::Implementation;
use crate::protocol::logging::LogLevel;
use crate::protocol::method::Method;
use crate::protocol::notification::ServerNotification;
use crate::protocol::raw::RawJson;
use crate::protocol::version::ProtocolVersion;
use crate::runtime::ratelimited::warn_ratelimited;
use crate::runtime::seal;
use crate::runtime::tasks::{TaskKind, Tasks};
use crate::service::{
    AskError, CacheHints, Call, CallContext, Client, Deadline, Ongoing, Outlet, Reply, ReplyKind,
    ServiceError, SessionKey,
};
use crate::store::StoreResult;

/// Messages of one call that may wait for their client.
const SAID_MAX: usize = 1_024;
/// How often it is looked whether the other node still lives.
const LOOK: Duration = Duration::from_millis(500);
/// Calls that are remembered, so that one whose letter came twice is served once.
const SERVED_MAX: usize = 10_000;

/// What nodes write.
#[derive(Serialize, Deserialize)]
enum Letter {
    /// Serve this call.
    Serve(Box<Sent>),
    /// Its client is gone.
    Cancel { number: u64 },
    /// Something was said.
    Said {
        number: u64,
        method: String,
        params: RawJson,
    },
    /// The client is asked something.
    Asks {
        number: u64,
        question: u64,
        request: ClientRequest,
    },
    /// That question is withdrawn.
    Withdraws { number: u64, question: u64 },
    /// What the client answered.
    Answers { question: u64, answer: Answer },
    /// It has ended.
    Ended { number: u64, outcome: Outcome },
}

/// A call, with what serving it needs of its client.
#[derive(Serialize, Deserialize)]
struct Sent {
    number: u64,
    why: Why,
    method: String,
    params: RawJson,
    caller: Arc<Caller>,
    endpoint: Arc<str>,
    session: Option<Arc<str>>,
    version: String,
    capabilities: RawJson,
    info: Option<Implementation>,
    progress: Option<ProgressToken>,
    log_level: Option<LogLevel>,
    time_left_ms: u64,
}

/// Why a call is another node's to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Why {
    /// It names what that node holds.
    NamesIt,
    /// That node holds the lines of its client's session.
    HoldsLines,
}

/// What a client answered.
#[derive(Serialize, Deserialize)]
enum Answer {
    Given(RawJson),
    Refused(ResponseError),
    TimedOut,
    Impossible,
}

/// How a call ended.
#[derive(Serialize, Deserialize)]
enum Outcome {
    Reply {
        asks: bool,
        members: RawJson,
        meta: Option<RawJson>,
        cache_ms: u64,
        cache_public: bool,
        is_tool_error: bool,
    },
    Error(ResponseError),
    /// It did not run: its upstream cannot be asked now.
    Unavailable {
        upstream: String,
        why: String,
        retry_after_ms: u64,
    },
    /// It did not run: its state is not known.
    UnknownState,
    /// It did not run: what it is about is not there.
    NotThere,
}

/// What comes back.
enum Back {
    Said(ServerNotification),
    Asks(u64, ClientRequest),
    Withdraws(u64),
    Ended(Box<Outcome>),
}

/// What became of a call that was sent to another node.
#[derive(Debug)]
pub(super) enum Away {
    /// It was served there.
    Served(Result<Reply, ServiceError>),
    /// It did not run: that node is gone, or does not have what it is about.
    Nowhere,
}

/// Finds the gateway of an endpoint.
pub(super) type Find = Box<dyn Fn(&str) -> Option<Gateway> + Send + Sync>;

/// See the module docs. Cloning shares it.
#[derive(Clone)]
pub(super) struct Elsewhere(Arc<Inner>);

struct Inner {
    node: Node,
    tasks: Tasks,
    find: Find,
    holders: Arc<Holders>,
    error_on_the_wire: fn(&ServiceError, ProtocolVersion) -> ResponseError,
    /// Calls of clients of this node that are served elsewhere; as many as this node lets in.
    waiting: Mutex<HashMap<u64, mpsc::Sender<Back>>>,
    /// Calls of clients of other nodes that are served here; as many as those let in.
    serving: Mutex<Serving>,
    /// Questions of theirs that are open; bounded for each by its [talk](super::talk).
    asked: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    questions: AtomicU64,
}

#[derive(Default)]
struct Serving {
    running: HashMap<u64, CancellationToken>,
    served: VecDeque<u64>,
}

impl Serving {
    fn note(&mut self, number: u64) {
        self.served.push_back(number);
        if self.served.len() > SERVED_MAX {
            self.served.pop_front();
        }
    }
}

impl std::fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elsewhere").finish_non_exhaustive()
    }
}

impl Elsewhere {
    /// Hears what other nodes write.
    pub(super) fn listen(
        node: &Node,
        tasks: &Tasks,
        find: Find,
        holders: &Arc<Holders>,
        error_on_the_wire: fn(&ServiceError, ProtocolVersion) -> ResponseError,
    ) -> Self {
        let elsewhere = Self(Arc::new(Inner {
            node: node.clone(),
            tasks: tasks.clone(),
            find,
            holders: holders.clone(),
            error_on_the_wire,
            waiting: Mutex::default(),
            serving: Mutex::default(),
            asked: Mutex::default(),
            questions: AtomicU64::new(0),
        }));
        let listener = Arc::downgrade(&elsewhere.0);
        node.listen(
            Topic::Upstreams,
            Box::new(move |heard| match (heard, listener.upgrade()) {
                (Heard::Letter { from, body }, Some(inner)) => Self(inner).read(from, &body),
                (Heard::Doubt, Some(inner)) => inner.holders.doubt(),
                (_, None) => {}
            }),
        );
        elsewhere
    }

    /// Whether that is this node.
    pub(super) fn is_here(&self, node: Incarnation) -> bool {
        self.0.node.incarnation() == node
    }

    /// Lets `holder` serve a call.
    pub(super) async fn serve(&self, holder: Incarnation, call: &Call, why: Why) -> Away {
        match self.0.is_gone(holder).await {
            Ok(false) => {}
            Ok(true) => return Away::Nowhere,
            Err(_) => {
                return Away::Served(Err(ServiceError::Overloaded {
                    what: "the store does not say which nodes live",
                    retry_after: Duration::from_secs(1),
                }));
            }
        }
        let number = u64::from_be_bytes(seal::random());
        let (back, backs) = mpsc::channel(SAID_MAX);
        lock(&self.0.waiting).insert(number, back);
        self.tell(
            holder,
            &Letter::Serve(Box::new(Sent::of(call, number, why))),
        );
        let mut waits = Waits {
            elsewhere: self,
            holder,
            number,
            has_ended: false,
        };
        let outcome = waits.until_the_end(backs, &call.context).await;
        match outcome {
            Ok(Outcome::NotThere) => Away::Nowhere,
            Ok(outcome) => Away::Served(outcome.into_result()),
            Err(error) => Away::Served(Err(error)),
        }
    }

    fn tell(&self, to: Incarnation, letter: &Letter) {
        let body = serde_json::to_vec(letter).expect("invariant: letters serialize");
        self.0.node.tell(to, Topic::Upstreams, Bytes::from(body));
    }

    fn read(self, from: Incarnation, body: &Bytes) {
        let letter = match serde_json::from_slice::<Letter>(body) {
            Ok(letter) => letter,
            Err(error) => {
                warn_ratelimited!("a letter about a call was not understood", %error);
                return;
            }
        };
        match letter {
            Letter::Serve(sent) => self.serve_for(from, *sent),
            Letter::Cancel { number } => {
                let mut serving = lock(&self.0.serving);
                match serving.running.get(&number) {
                    Some(cancel) => cancel.cancel(),
                    // It may have overtaken the call itself.
                    None => serving.note(number),
                }
            }
            Letter::Said {
                number,
                method,
                params,
            } => {
                let told = [ServerNotification::PROGRESS, ServerNotification::VISIT_OVER];
                let method = told.into_iter().find(|told| *told == method);
                let method = method.unwrap_or("notifications/message");
                self.back(number, Back::Said(ServerNotification { method, params }));
            }
            Letter::Asks {
                number,
                question,
                request,
            } => self.back(number, Back::Asks(question, request)),
            Letter::Withdraws { number, question } => {
                self.back(number, Back::Withdraws(question));
            }
            Letter::Answers { question, answer } => {
                if let Some(asked) = lock(&self.0.asked).remove(&question) {
                    // Whoever asked may be gone by now.
                    let _gone = asked.send(answer);
                }
            }
            Letter::Ended { number, outcome } => {
                self.back(number, Back::Ended(Box::new(outcome)));
            }
        }
    }

    fn back(&self, number: u64, back: Back) {
        let waiting = lock(&self.0.waiting).get(&number).cloned();
        if let Some(waiting) = waiting {
            match waiting.try_send(back) {
                Ok(()) | Err(TrySendError::Closed(_) | TrySendError::Full(Back::Said(_))) => {}
                // The rest has to arrive, also at a client that is slow to read what was said.
                Err(TrySendError::Full(back)) => {
                    self.0.tasks.spawn(TaskKind::Upkeep, async move {
                        let _gone = waiting.send(back).await;
                    });
                }
            }
        }
    }

    /// Serves a call of a client of another node.
    fn serve_for(self, from: Incarnation, sent: Sent) {
        let cancel = CancellationToken::new();
        let number = sent.number;
        {
            let mut serving = lock(&self.0.serving);
            if serving.running.contains_key(&number) || serving.served.contains(&number) {
                return;
            }
            serving.running.insert(number, cancel.clone());
        }
        let tasks = self.0.tasks.clone();
        tasks.spawn(TaskKind::Call, async move {
            let outcome = tokio::select! {
                outcome = self.outcome(from, sent, cancel.clone()) => outcome,
                never = self.0.cancel_when_gone(from, &cancel) => match never {},
            };
            self.tell(from, &Letter::Ended { number, outcome });
            let mut serving = lock(&self.0.serving);
            serving.running.remove(&number);
            serving.note(number);
        });
    }

    async fn outcome(&self, from: Incarnation, sent: Sent, cancel: CancellationToken) -> Outcome {
        let Some(gateway) = (self.0.find)(&sent.endpoint) else {
            return Outcome::NotThere;
        };
        let session = sent.session.clone().map(SessionKey);
        if let (Why::HoldsLines, Some(session)) = (sent.why, &session) {
            let holder = self.0.holders.of(session).await;
            if !holder.is_ok_and(|holder| self.is_here(holder)) {
                return Outcome::NotThere;
            }
        }
        let capabilities = ClientCapabilities::parse(sent.capabilities);
        let version = ProtocolVersion::parse(&sent.version);
        let (Ok(capabilities), Some(version)) = (capabilities, version) else {
            return Outcome::NotThere;
        };
        let outlet = There {
            elsewhere: self.clone(),
            to: from,
            number: sent.number,
            log_level: sent.log_level,
            has_session: session.is_some(),
        };
        let context = CallContext {
            caller: sent.caller,
            // The node where it came in has it on record.
            origin: Arc::default(),
            credential: None,
            endpoint: sent.endpoint,
            session,
            version,
            client: Arc::new(Client {
                capabilities,
                info: sent.info,
            }),
            progress_token: sent.progress,
            cancel,
            deadline: Deadline::after(Duration::from_millis(sent.time_left_ms)),
            outlet: Arc::new(outlet),
            ongoing: Ongoing::default(),
        };
        let call = Call {
            method: Method::parse(&sent.method),
            params: Params::new(sent.params),
            context,
        };
        match call::serve_here(&gateway, &call).await {
            Ok(reply) => Outcome::Reply {
                asks: reply.kind == ReplyKind::InputRequired,
                members: reply.members,
                meta: reply.meta,
                cache_ms: reply.cache.ttl_ms,
                cache_public: reply.cache.public,
                is_tool_error: reply.is_tool_error,
            },
            Err(ServiceError::InvalidRequestState) => Outcome::UnknownState,
            Err(ServiceError::Unavailable {
                upstream,
                why,
                retry_after,
            }) => Outcome::Unavailable {
                upstream,
                why: why.into_owned(),
                retry_after_ms: milliseconds(retry_after),
            },
            Err(error) => Outcome::Error((self.0.error_on_the_wire)(&error, version)),
        }
    }
}

impl Inner {
    /// Whether another run of a node is there no more. One that began just now is.
    async fn is_gone(&self, node: Incarnation) -> StoreResult<bool> {
        Ok(!self.node.seems_alive(node) && !self.node.lives(node).await?)
    }

    /// Cancels a call whose client's node is gone.
    async fn cancel_when_gone(&self, node: Incarnation, cancel: &CancellationToken) -> Infallible {
        while self.is_gone(node).await != Ok(true) {
            tokio::time::sleep(LOOK).await;
        }
        cancel.cancel();
        std::future::pending().await
    }
}

impl Sent {
    fn of(call: &Call, number: u64, why: Why) -> Self {
        let context = &call.context;
        let params = call.params.raw().cloned();
        Self {
            number,
            why,
            method: call.method.as_str().to_owned(),
            params: params.unwrap_or_else(RawJson::empty_object),
            caller: context.caller.clone(),
            endpoint: context.endpoint.clone(),
            session: context.session.as_ref().map(|session| session.0.clone()),
            version: context.version.as_str().to_owned(),
            capabilities: context.client.capabilities.raw.clone(),
            info: context.client.info.clone(),
            progress: context.progress_token.clone(),
            log_level: LogLevel::ALL
                .into_iter()
                .find(|level| context.outlet.wants_log(*level)),
            time_left_ms: milliseconds(context.deadline.remaining()),
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
                cache_ms,
                cache_public,
                is_tool_error,
            } => Ok(Reply {
                kind: if asks {
                    ReplyKind::InputRequired
                } else {
                    ReplyKind::Complete
                },
                members,
                meta,
                cache: CacheHints {
                    ttl_ms: cache_ms,
                    public: cache_public,
                },
                is_tool_error,
            }),
            Self::Error(error) => Err(ServiceError::Upstream(error)),
            Self::Unavailable {
                upstream,
                why,
                retry_after_ms,
            } => Err(ServiceError::Unavailable {
                upstream,
                why: why.into(),
                retry_after: Duration::from_millis(retry_after_ms),
            }),
            Self::UnknownState | Self::NotThere => Err(ServiceError::InvalidRequestState),
        }
    }
}

/// A call whose client is here. Dropped before its end, the call is cancelled.
struct Waits<'a> {
    elsewhere: &'a Elsewhere,
    holder: Incarnation,
    number: u64,
    has_ended: bool,
}

impl Waits<'_> {
    /// Hands on what is said and asked there until the call has ended.
    async fn until_the_end(
        &mut self,
        mut backs: mpsc::Receiver<Back>,
        context: &CallContext,
    ) -> Result<Outcome, ServiceError> {
        let elsewhere = self.elsewhere;
        let mut asking: FuturesUnordered<BoxFuture<'_, Option<(u64, Answer)>>> =
            FuturesUnordered::new();
        // Questions that are withdrawn stop being asked when theirs is dropped.
        let mut open: HashMap<u64, oneshot::Sender<()>> = HashMap::new();
        loop {
            let back = tokio::select! {
                back = backs.recv() => back,
                () = context.cancel.cancelled() => return Err(ServiceError::Cancelled),
                Some(answered) = asking.next(), if !asking.is_empty() => {
                    if let Some((question, answer)) = answered {
                        open.remove(&question);
                        elsewhere.tell(self.holder, &Letter::Answers { question, answer });
                    }
                    continue;
                }
                () = tokio::time::sleep(LOOK) => {
                    if elsewhere.0.is_gone(self.holder).await != Ok(true) {
                        continue;
                    }
                    self.has_ended = true;
                    return Err(ServiceError::OutcomeUnknown(
                        "the node that served this call is gone".into(),
                    ));
                }
            };
            match back {
                Some(Back::Said(notification)) => context.outlet.notify(notification).await,
                Some(Back::Asks(question, request)) => {
                    let (withdraw, withdrawn) = oneshot::channel();
                    open.insert(question, withdraw);
                    asking.push(Box::pin(ask(context, question, request, withdrawn)));
                }
                Some(Back::Withdraws(question)) => drop(open.remove(&question)),
                Some(Back::Ended(outcome)) => {
                    self.has_ended = true;
                    return Ok(*outcome);
                }
                None => return Err(ServiceError::Internal),
            }
        }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let number = self.number;
        lock(&self.elsewhere.0.waiting).remove(&number);
        if !self.has_ended {
            self.elsewhere.tell(self.holder, &Letter::Cancel { number });
        }
    }
}

/// Puts a question of another node to a client of this one; nothing when it was withdrawn.
async fn ask(
    context: &CallContext,
    question: u64,
    request: ClientRequest,
    withdrawn: oneshot::Receiver<()>,
) -> Option<(u64, Answer)> {
    let _standing_still = context.deadline.pause();
    let answered = tokio::select! {
        answered = context.outlet.ask(request) => answered,
        _ = withdrawn => return None,
    };
    let answer = match answered {
        Ok(answer) => Answer::Given(answer),
        Err(AskError::Refused(error)) => Answer::Refused(error),
        Err(AskError::TimedOut) => Answer::TimedOut,
        Err(AskError::Impossible(_)) => Answer::Impossible,
    };
    Some((question, answer))
}

/// The way to a client of another node.
struct There {
    elsewhere: Elsewhere,
    to: Incarnation,
    number: u64,
    log_level: Option<LogLevel>,
    has_session: bool,
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

    fn ask(&self, request: ClientRequest) -> BoxFuture<'_, Result<RawJson, AskError>> {
        if !self.has_session {
            let what = "this client is asked by the end of its request";
            return Box::pin(std::future::ready(Err(AskError::Impossible(what))));
        }
        let inner = &self.elsewhere.0;
        let question = inner.questions.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        lock(&inner.asked).insert(question, answer);
        let number = self.number;
        let letter = Letter::Asks {
            number,
            question,
            request,
        };
        self.elsewhere.tell(self.to, &letter);
        let withdraws = Withdraws {
            there: self,
            question,
        };
        Box::pin(async move {
            let _withdraws = withdraws;
            match answered.await {
                Ok(Answer::Given(answer)) => Ok(answer),
                Ok(Answer::Refused(error)) => Err(AskError::Refused(error)),
                Ok(Answer::TimedOut) => Err(AskError::TimedOut),
                Ok(Answer::Impossible) | Err(_) => Err(AskError::Impossible(
                    "the client cannot be reached at its node",
                )),
            }
        })
    }

    fn release_connection(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A question to a client of another node. Dropped before it was answered, it is withdrawn.
struct Withdraws<'a> {
    there: &'a There,
    question: u64,
}

impl Drop for Withdraws<'_> {
    fn drop(&mut self) {
        let There {
            elsewhere,
            to,
            number,
            ..
        } = self.there;
        let (number, question) = (*number, self.question);
        if lock(&elsewhere.0.asked).remove(&question).is_some() {
            elsewhere.tell(*to, &Letter::Withdraws { number, question });
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
