//! A line: one session with an upstream, or one connection of the stateless era to it.
//!
//! Requests are begun here ([`Line::begin`]) and give a [`Conversation`]. What the upstream says that
//! belongs to no request of ours arrives at the line's [`Desk`]: changes go to whoever watches the
//! upstream; on a pipe, where nothing says to which request a question belongs, it belongs to the one
//! call that may be asked and runs. So a line that declared anything to be asked has one such call at
//! a time ([`Line::is_one_at_a_time`]).
//!
//! Spec: basic/transports; basic/utilities/progress; client/roots.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::conversation::{Caller, Conversation};
use super::news::{List, News};
use super::subscriptions::ACKNOWLEDGED;
use crate::client::{ClientError, Connection, Hears, Outgoing};
use crate::gateway::config::RootConfig;
use crate::gateway::envelope::Envelope;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::jsonrpc::{Notification, Request, RequestId, ResponseError};
use crate::protocol::logging::LogLevel;
use crate::protocol::meta;
use crate::protocol::notification::{CancelledParams, ServerNotification};
use crate::protocol::raw::RawJson;
use crate::protocol::version::{Era, ProtocolVersion};
use crate::telemetry::events::excerpt;

/// How long `roots/list` waits for a call to which it may belong: servers ask right after the
/// handshake.
const ROOTS_WAIT: Duration = Duration::from_secs(5);
/// How long setting the log level may take.
const SET_LEVEL: Duration = Duration::from_secs(5);
/// How long requests that run may still take when a line shall close, and how often that is looked at.
const LAST_REQUESTS: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);
/// No log level was asked for.
const NO_LEVEL: u8 = u8::MAX;

/// See the module docs.
#[derive(Debug)]
pub(in crate::gateway) struct Line {
    connection: Connection,
    /// What every request says of us in `_meta`, but for capabilities: members as text.
    introduction: String,
    desk: Arc<Desk>,
    /// Whether anything was declared that we can be asked.
    can_be_asked: bool,
    one_at_a_time: Arc<Semaphore>,
    /// Requests that run.
    running: AtomicUsize,
    /// The end of the last request, in milliseconds since the line was opened.
    last_use: AtomicI64,
    opened: tokio::time::Instant,
    /// The most verbose log level asked for so far.
    level: AtomicU8,
    /// A request was given up before it was answered, and none was answered since.
    left_unanswered: AtomicBool,
    /// Fires when no further request shall use it.
    ending: CancellationToken,
    /// Told when a lease is given back.
    freed: OnceLock<Arc<Notify>>,
}

/// The right to use a line for one request.
#[derive(Debug)]
pub(in crate::gateway) struct Lease {
    line: Arc<Line>,
    alone: Option<OwnedSemaphorePermit>,
}

impl std::ops::Deref for Lease {
    type Target = Arc<Line>;

    fn deref(&self) -> &Arc<Line> {
        &self.line
    }
}

impl Lease {
    /// The line.
    pub(in crate::gateway) fn line(lease: &Self) -> Arc<Line> {
        lease.line.clone()
    }

    /// One more, for the next request of the same work: also on a line that takes no others.
    pub(in crate::gateway) fn again(lease: &Self) -> Self {
        lease.line.running.fetch_add(1, Ordering::Acquire);
        Self {
            line: lease.line.clone(),
            alone: None,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Given back before whoever waits for it is told.
        self.alone.take();
        let at = i64::try_from(self.line.opened.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.line.last_use.store(at, Ordering::Relaxed);
        self.line.running.fetch_sub(1, Ordering::Release);
        if let Some(freed) = self.line.freed.get() {
            freed.notify_waiters();
        }
    }
}

impl Line {
    /// A line over a connection whose messages come to `desk`.
    pub(super) fn new(connection: Connection, desk: Arc<Desk>, can_be_asked: bool) -> Arc<Self> {
        let mut introduction = connection.introduction().meta(connection.version());
        introduction.remove(meta::CLIENT_CAPABILITIES_KEY);
        let introduction = RawJson::of(&introduction);
        Arc::new(Self {
            connection,
            introduction: introduction.members().unwrap_or_default().to_owned(),
            desk,
            can_be_asked,
            one_at_a_time: Arc::new(Semaphore::new(1)),
            running: AtomicUsize::new(0),
            last_use: AtomicI64::new(0),
            opened: tokio::time::Instant::now(),
            level: AtomicU8::new(NO_LEVEL),
            left_unanswered: AtomicBool::new(false),
            ending: CancellationToken::new(),
            freed: OnceLock::new(),
        })
    }

    /// The revision spoken on it.
    pub(in crate::gateway) fn version(&self) -> ProtocolVersion {
        self.connection.version()
    }

    /// The connection it is.
    pub(in crate::gateway) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether it carries one call at a time that may be asked something.
    pub(super) fn is_one_at_a_time(&self) -> bool {
        self.can_be_asked && !self.connection.is_http() && self.version().era() == Era::Session
    }

    /// The right to use it for a call, unless it has one that may be asked already, or ends.
    pub(in crate::gateway) fn lease(self: &Arc<Self>, may_be_asked: bool) -> Option<Lease> {
        if self.is_ending() {
            return None;
        }
        let alone = if may_be_asked && self.is_one_at_a_time() {
            Some(self.one_at_a_time.clone().try_acquire_owned().ok()?)
        } else {
            None
        };
        self.running.fetch_add(1, Ordering::Acquire);
        Some(Lease {
            line: self.clone(),
            alone,
        })
    }

    /// Lets `freed` hear of it when a lease is given back.
    pub(super) fn tell_when_free(&self, freed: &Arc<Notify>) {
        let _first = self.freed.set(freed.clone());
    }

    /// Takes no more requests. It closes when those that run have ended.
    pub(in crate::gateway) fn end(&self) {
        self.ending.cancel();
    }

    /// Whether it takes no more requests.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_cancelled() || self.connection.is_lost()
    }

    /// Waits until it is over: the upstream closed it, or it was ended here and is not used any more.
    pub(super) async fn over(&self) {
        let ended = async {
            self.ending.cancelled().await;
            let unused = async {
                while self.unused_for().is_none() {
                    tokio::time::sleep(LOOK).await;
                }
            };
            let _cut = tokio::time::timeout(LAST_REQUESTS, unused).await;
        };
        tokio::select! {
            () = self.connection.ended() => self.ending.cancel(),
            () = ended => {}
        }
    }

    /// For how long it has not been used; `None` while it is.
    pub(super) fn unused_for(&self) -> Option<Duration> {
        if self.running.load(Ordering::Acquire) > 0 {
            return None;
        }
        let last = self.last_use.load(Ordering::Relaxed);
        let last = Duration::from_millis(u64::try_from(last).unwrap_or(0));
        Some(self.opened.elapsed().saturating_sub(last))
    }

    /// Sends a request. The conversation holds `lease` until it is dropped.
    pub(in crate::gateway) fn begin(lease: Lease, envelope: &Envelope) -> Conversation {
        let line = lease.line.clone();
        let (caller, said) = Caller::new(line.desk.clone());
        let id = line.connection.next_id();
        let seat = Seat::take(
            &line.desk,
            &id,
            caller.clone(),
            envelope.method.may_require_input(),
        );
        let version = line.version();
        let text = envelope.text(&id, &line.introduction, version);
        let headers = envelope.headers(version, line.connection.is_http());
        let (method, log_level) = (envelope.method.clone(), envelope.log_level);
        let hears = caller.clone();
        let exchange = async move {
            let (_lease, _seat) = (lease, seat);
            if let Some(level) = log_level {
                // Once per session, if at all.
                Box::pin(line.raise_level(level)).await;
            }
            let outgoing = Outgoing {
                id: &id,
                method: method.as_str(),
                text,
                headers,
            };
            let unanswered = Unanswered(&line.left_unanswered);
            let answer = line.connection.exchange(outgoing, &*hears).await;
            unanswered.withdraw();
            answer
        };
        Conversation::new(Box::pin(exchange), caller, said)
    }

    /// Whether a request was given up before it was answered, and none was since this was last asked.
    pub(super) fn left_unanswered(&self) -> bool {
        self.left_unanswered.swap(false, Ordering::Relaxed)
    }

    /// Asks a question of ours, for example for a page of a list.
    pub(in crate::gateway) async fn ask(
        self: &Arc<Self>,
        envelope: Envelope,
    ) -> Result<RawJson, ClientError> {
        let closed = || ClientError::Closed("it is being closed".to_owned());
        let lease = self.lease(false).ok_or_else(closed)?;
        let mut conversation = Self::begin(lease, &envelope);
        loop {
            match conversation.next().await {
                super::conversation::Next::Said(_) => {}
                super::conversation::Next::Ended(ended) => return ended,
            }
        }
    }

    /// Asks for log lines of this level, where that is asked once per session and was not yet.
    async fn raise_level(&self, level: LogLevel) {
        let wanted = level as u8;
        if self.version().era() == Era::Stateless || !self.desk.declares("logging") {
            return;
        }
        if self.level.fetch_min(wanted, Ordering::Relaxed) <= wanted {
            return;
        }
        let id = self.connection.next_id();
        let text = json!({
            "jsonrpc": "2.0", "id": id, "method": "logging/setLevel", "params": {"level": level}
        });
        let outgoing = Outgoing {
            id: &id,
            method: "logging/setLevel",
            text: text.to_string(),
            headers: Vec::new(),
        };
        let asked = self.connection.exchange(outgoing, &*self.desk);
        match tokio::time::timeout(SET_LEVEL, asked).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(
                error = error.for_log(),
                "an upstream's log level could not be set"
            ),
            Err(_) => tracing::debug!("an upstream did not say whether its log level is set"),
        }
    }
}

/// Marks a line when it is dropped before the answer came.
struct Unanswered<'a>(&'a AtomicBool);

impl Unanswered<'_> {
    fn withdraw(self) {
        self.0.store(false, Ordering::Relaxed);
        std::mem::forget(self);
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Where an upstream says what belongs to no request.
pub(in crate::gateway) struct Desk {
    upstream: Arc<str>,
    callers: Mutex<Callers>,
    /// A call that may be asked something has begun.
    arrived: Notify,
    /// Answers `roots/list` outside of calls.
    roots: Vec<RootConfig>,
    news: News,
    /// The capabilities the upstream declared, once it has.
    declared: OnceLock<serde_json::Value>,
}

#[derive(Default)]
struct Callers {
    by_id: HashMap<RequestId, Arc<Caller>>,
    /// The call to which a question belongs, if there is just one.
    may_be_asked: Vec<RequestId>,
}

impl Desk {
    pub(super) fn new(upstream: Arc<str>, roots: Vec<RootConfig>, news: News) -> Arc<Self> {
        Arc::new(Self {
            upstream,
            callers: Mutex::default(),
            arrived: Notify::new(),
            roots,
            news,
            declared: OnceLock::new(),
        })
    }

    /// The upstream's name.
    pub(super) fn upstream(&self) -> &str {
        &self.upstream
    }

    /// Notes what the upstream said of itself when the line was opened.
    pub(super) fn note(&self, server: Option<&RawJson>) {
        let declared = server.map(RawJson::to_value).unwrap_or_default();
        let _noted = self.declared.set(declared["capabilities"].clone());
    }

    fn declares(&self, capability: &str) -> bool {
        (self.declared.get()).is_some_and(|declared| declared[capability].is_object())
    }

    fn lock(&self) -> MutexGuard<'_, Callers> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The call to which something belongs that does not say so.
    fn only_one(&self) -> Option<Arc<Caller>> {
        let callers = self.lock();
        match (&callers.may_be_asked[..], callers.by_id.len()) {
            ([one], _) => callers.by_id.get(one).cloned(),
            (_, 1) => callers.by_id.values().next().cloned(),
            _ => None,
        }
    }

    /// The call to which a question belongs.
    fn to_be_asked(&self) -> Option<Arc<Caller>> {
        let callers = self.lock();
        match &callers.may_be_asked[..] {
            [one] => callers.by_id.get(one).cloned(),
            _none_or_several => None,
        }
    }

    /// The roots that a call's client has, or else those of the configuration. Waits a little for a
    /// call to begin. One that ends before its client could answer leaves the question to the next:
    /// programs ask when they have started, and work on a first call meanwhile.
    async fn roots(&self, question: Request) -> Result<RawJson, ResponseError> {
        let until = tokio::time::Instant::now() + ROOTS_WAIT;
        loop {
            let arrived = self.arrived.notified();
            if let Some(caller) = self.to_be_asked()
                && let Some(answered) = caller.ask_while_there(question.clone()).await
            {
                return answered;
            }
            if !self.roots.is_empty() {
                let roots = self.roots.iter().map(|root| match &root.name {
                    Some(name) => json!({"uri": root.uri, "name": name}),
                    None => json!({"uri": root.uri}),
                });
                let roots = roots.collect::<Vec<_>>();
                return Ok(RawJson::of(&json!({"roots": roots})));
            }
            if tokio::time::timeout_at(until, arrived).await.is_err() {
                return Err(ResponseError {
                    code: ErrorCode::METHOD_NOT_FOUND.0,
                    message: "no roots are configured, and no call is running that could be asked"
                        .to_owned(),
                    data: None,
                });
            }
        }
    }
}

impl Hears for Desk {
    fn name(&self) -> &str {
        &self.upstream
    }

    fn told(&self, _: Option<&RequestId>, notification: Notification) {
        match &*notification.method {
            "notifications/progress" => {
                let caller = progress_token(&notification)
                    .and_then(|token| self.lock().by_id.get(&token).cloned());
                if let Some(caller) = caller {
                    caller.tell(notification);
                }
            }
            "notifications/message" | ServerNotification::VISIT_OVER => {
                if let Some(caller) = self.only_one() {
                    caller.tell(notification);
                }
            }
            "notifications/cancelled" => {
                if let Some((question, caller)) = cancelled(&notification).zip(self.to_be_asked()) {
                    caller.withdraw(question);
                }
            }
            ACKNOWLEDGED => {
                let caller = subscription_id(&notification)
                    .and_then(|id| self.lock().by_id.get(&id).cloned());
                if let Some(caller) = caller {
                    caller.tell(notification);
                }
            }
            "notifications/tools/list_changed" => self.news.changed(List::Tools),
            "notifications/prompts/list_changed" => self.news.changed(List::Prompts),
            "notifications/resources/list_changed" => self.news.changed(List::Resources),
            "notifications/resources/updated" => {
                if let Some(uri) = updated(&notification) {
                    self.news.updated(&uri);
                }
            }
            other => {
                tracing::debug!(method = ?excerpt(other), "an upstream tells something unknown");
            }
        }
    }

    fn asked(&self, question: Request) -> BoxFuture<'_, Result<RawJson, ResponseError>> {
        Box::pin(async move {
            if question.method.as_str() == "roots/list" {
                return self.roots(question).await;
            }
            match self.to_be_asked() {
                Some(caller) => caller.ask(question).await,
                None => Err(ResponseError {
                    code: ErrorCode::INVALID_PARAMS.0,
                    message: "nothing says to which call this belongs: none runs, or several do"
                        .to_owned(),
                    data: None,
                }),
            }
        })
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk")
            .field("upstream", &self.upstream)
            .finish_non_exhaustive()
    }
}

/// A caller's place at the desk, given up when its request has ended.
struct Seat {
    desk: Arc<Desk>,
    id: RequestId,
}

impl Seat {
    fn take(desk: &Arc<Desk>, id: &RequestId, caller: Arc<Caller>, may_be_asked: bool) -> Self {
        let mut callers = desk.lock();
        callers.by_id.insert(id.clone(), caller);
        if may_be_asked {
            callers.may_be_asked.push(id.clone());
        }
        drop(callers);
        if may_be_asked {
            desk.arrived.notify_waiters();
        }
        Self {
            desk: desk.clone(),
            id: id.clone(),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut callers = self.desk.lock();
        callers.by_id.remove(&self.id);
        callers.may_be_asked.retain(|id| *id != self.id);
    }
}

fn progress_token(notification: &Notification) -> Option<RequestId> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Progress {
        progress_token: RequestId,
    }
    let progress = notification.params.decode::<Progress>().ok()?;
    Some(progress.progress_token)
}

fn subscription_id(notification: &Notification) -> Option<RequestId> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(rename = "_meta")]
        meta: Meta,
    }
    #[derive(Deserialize)]
    struct Meta {
        #[serde(rename = "io.modelcontextprotocol/subscriptionId")]
        subscription: RequestId,
    }
    let named = notification.params.decode::<Named>().ok()?;
    Some(named.meta.subscription)
}

/// Which question a `notifications/cancelled` takes back.
pub(super) fn cancelled(notification: &Notification) -> Option<RequestId> {
    let params = notification.params.decode::<CancelledParams>().ok()?;
    params.request_id
}

fn updated(notification: &Notification) -> Option<String> {
    #[derive(Deserialize)]
    struct Updated {
        uri: String,
    }
    let updated = notification.params.decode::<Updated>().ok()?;
    Some(updated.uri)
}
