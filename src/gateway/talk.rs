//! One request of a client that an upstream works on: what the upstream says goes to the client, what
//! it asks is asked, and what it answers becomes the reply.
//!
//! A client with a session is asked there and then. A client without gets the questions as the answer
//! to its request and calls again; until then the [`Talk`] is parked ([`super::bridge::parked_call`]),
//! with the upstream's request held open. So a talk does not belong to one request of the client: each
//! [`Talk::serve`] is for one, and gives the talk back if it is to go on.
//!
//! # Cancel safety
//! [`Talk::serve`] dropped, the talk is dropped, and with it the request at the upstream is cancelled.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::oneshot;

use super::bridge::capability_set::CapabilitySet;
use super::bridge::errors::{self, Answered, Failure};
use super::bridge::questions::Question;
use super::bridge::{Crossing, results};
use super::handle::Opened;
use super::naming::Naming;
use super::upstream::Upstream;
use super::upstream::breaker::{Ended, Permit};
use super::upstream::bulkhead::Place;
use super::upstream::conversation::{Asked, Conversation, Next, Said};
use crate::client::ClientError;
use crate::protocol::client_request::ClientRequest;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::jsonrpc::{Notification, RequestId, ResponseError};
use crate::protocol::logging::LogLevel;
use crate::protocol::method::Method;
use crate::protocol::notification::ServerNotification;
use crate::protocol::raw::{self, RawJson};
use crate::protocol::version::{Era, ProtocolVersion};
use crate::runtime::ratelimited::warn_ratelimited;
use crate::runtime::tasks::TaskKind;
use crate::service::{AskError, CallContext, Reply, ServiceError};
use crate::telemetry::labels::UpstreamEnd;

/// How long further questions are waited for before the client is asked: an upstream that asks
/// several things at once sends several messages.
const GATHER: Duration = Duration::from_millis(25);
/// Most questions of one call: as many as its rounds have room for.
const QUESTIONS_MAX: usize = 320;
/// How long an answer is held back for the roots that were asked for beside it. No user has to be
/// waited for: a client knows its roots.
const ROOTS: Duration = Duration::from_secs(2);
/// How long an upstream may take over what it is told when its call is given up.
const FAREWELL: Duration = Duration::from_secs(2);

/// What is known of the request, whoever it is served for.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// Who works on it.
    pub(super) upstream: Arc<Upstream>,
    /// What is asked.
    pub(super) method: Method,
    /// The URI the client asked for.
    pub(super) uri: Option<String>,
    /// How the upstream's names are shown.
    pub(super) naming: Arc<Naming>,
    /// Whether the client was shown a wrapped output schema.
    pub(super) wraps: bool,
    /// Whether it may be called twice.
    pub(super) may_be_called_twice: bool,
    /// The revision the upstream speaks.
    pub(super) version: ProtocolVersion,
}

impl About {
    /// What lies between the upstream and a client of `version`.
    pub(super) fn crossing(&self, version: ProtocolVersion) -> Crossing<'_> {
        Crossing {
            upstream: self.version,
            client: version,
            naming: &self.naming,
        }
    }

    /// What a client is asked, when the upstream asks this.
    fn question(&self, asked: &Asked, call: &CallContext) -> Result<Question, ResponseError> {
        let method = asked.question.method.as_str();
        let params = asked.question.params.raw();
        let params = params.cloned().unwrap_or_else(RawJson::empty_object);
        let capabilities = CapabilitySet::of(&call.client.capabilities, call.version);
        let crossing = self.crossing(call.version);
        Question::put(method, &params, capabilities, &crossing)
            .map_err(|unaskable| unaskable.to_error())
    }
}

/// See the module docs.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) about: About,
    conversation: Conversation,
    /// Questions that were put to a client without a session, by their key.
    open: BTreeMap<String, (Asked, Question)>,
    /// Questions that were not put yet.
    queued: VecDeque<Asked>,
    /// Counts questions, and those that were given a key.
    asked: usize,
    keys: usize,
    /// The last progress that was told.
    progress: Option<f64>,
    /// The last progress that came while no client was there to be told.
    untold: Option<Notification>,
    /// Both kept until the upstream answers, or asks: a user may take long, which is not its load and
    /// not its fault.
    place: Option<Place>,
    permit: Option<Permit>,
    /// The session that was opened for it, if its client is to be told.
    opened: Option<Opened>,
}

/// How serving ended.
#[derive(Debug)]
pub(super) enum Served {
    /// The request is answered.
    Done(Result<Ending, ServiceError>),
    /// The client is to be asked these, and calls again.
    Asks(Box<Talk>, Vec<(String, ClientRequest)>),
}

/// What an upstream answered.
#[derive(Debug)]
pub(super) enum Ending {
    /// What the client gets.
    Reply(Reply),
    /// Its user must be sent to these URLs before the call is made again.
    UrlsFirst(Vec<RawJson>),
    /// Nothing ran: it may be sent again.
    Again(Failure),
}

impl Talk {
    pub(super) fn new(
        about: About,
        conversation: Conversation,
        place: Option<Place>,
        permit: Option<Permit>,
    ) -> Self {
        Self {
            about,
            conversation,
            open: BTreeMap::new(),
            queued: VecDeque::new(),
            asked: 0,
            keys: 0,
            progress: None,
            untold: None,
            place,
            permit,
            opened: None,
        }
    }

    /// The same in a session that was opened for it, of which its client is told with the result.
    pub(super) fn in_new_session(self, opened: Option<Opened>) -> Self {
        Self { opened, ..self }
    }

    /// Serves one request of the client, until it is answered or the client must be asked.
    pub(super) async fn serve(mut self, call: &CallContext) -> Served {
        let is_stateless = call.version.era() == Era::Stateless;
        let mut asking: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
        // Questions that were withdrawn stop being asked when this is dropped.
        let mut withdrawals: Vec<(RequestId, oneshot::Sender<()>)> = Vec::new();
        let mut asks_for_roots = false;
        if let Some(progress) = self.untold.take() {
            self.tell(progress, call).await;
        }
        loop {
            if is_stateless && !self.queued.is_empty() {
                self.gather().await;
                let put = self.put(call);
                if !put.is_empty() {
                    return Served::Asks(Box::new(self), put);
                }
            }
            let next = tokio::select! {
                biased;
                () = call.cancel.cancelled() => {
                    self.about.upstream.requests.ended(UpstreamEnd::Cancelled);
                    self.give_up();
                    return Served::Done(Err(ServiceError::Cancelled));
                }
                // Before what is said: an upstream that never stops talking is late all the same.
                () = call.deadline.passed() => {
                    let late = Failure::TimedOut(call.deadline.elapsed());
                    self.report(late.ended());
                    self.about.upstream.requests.ended(late.label());
                    // There is no time left to send it again, whoever may.
                    let ending = tell_failure(&self.about, late, call);
                    self.give_up();
                    return Served::Done(ending);
                }
                next = self.conversation.next() => next,
                Some(()) = asking.next(), if !asking.is_empty() => continue,
            };
            match next {
                Next::Said(Said::Told(told)) => self.tell(told, call).await,
                Next::Said(Said::Withdrawn(id)) => {
                    self.withdraw(&id);
                    withdrawals.retain(|(asked, _)| *asked != id);
                }
                Next::Said(Said::Asked(asked)) if self.asked >= QUESTIONS_MAX => {
                    refuse(
                        asked,
                        ErrorCode::INTERNAL_ERROR.0,
                        "too many questions in one call",
                    );
                }
                Next::Said(Said::Asked(asked)) if is_stateless => self.queue(asked),
                Next::Said(Said::Asked(asked)) => {
                    self.is_asked();
                    asks_for_roots |= asked.question.method.as_str() == "roots/list";
                    let (withdraw, withdrawn) = oneshot::channel();
                    withdrawals.push((asked.question.id.clone(), withdraw));
                    match self.about.question(&asked, call) {
                        Ok(question) => {
                            asking.push(Box::pin(ask(call, asked, question, withdrawn)));
                        }
                        Err(refusal) => answer(asked, Err(refusal)),
                    }
                }
                Next::Ended(ended) => {
                    if asks_for_roots {
                        // A program asks when it starts, and answers a first call meanwhile.
                        let answered = async { while asking.next().await.is_some() {} };
                        let _late = tokio::time::timeout(ROOTS, answered).await;
                    }
                    let ending = self.end(ended, call);
                    return Served::Done(ending);
                }
            }
        }
    }

    /// Waits a moment for further questions.
    async fn gather(&mut self) {
        let more = async {
            loop {
                match self.conversation.next().await {
                    Next::Said(Said::Asked(asked)) if self.asked < QUESTIONS_MAX => {
                        self.queue(asked);
                    }
                    other => return other,
                }
            }
        };
        if let Ok(other) = tokio::time::timeout(GATHER, more).await {
            self.conversation.put_back(other);
        }
    }

    /// Makes questions of what is queued; what the client cannot be asked is refused.
    fn put(&mut self, call: &CallContext) -> Vec<(String, ClientRequest)> {
        for asked in std::mem::take(&mut self.queued) {
            match self.about.question(&asked, call) {
                Ok(question) => {
                    self.keys += 1;
                    self.open
                        .insert(format!("g{}", self.keys), (asked, question));
                }
                Err(refusal) => answer(asked, Err(refusal)),
            }
        }
        self.questions()
    }

    /// What the client is asked.
    pub(super) fn questions(&self) -> Vec<(String, ClientRequest)> {
        let open = self.open.iter();
        open.map(|(key, (_, question))| (key.clone(), question.request.clone()))
            .collect()
    }

    /// Takes the client's answers. Those to unknown keys are ignored. Returns whether there is none
    /// missing.
    pub(super) fn answer(&mut self, answers: &BTreeMap<String, RawJson>) -> bool {
        for (key, given) in answers {
            // What does not fit the question is asked for again.
            let fitting = self
                .open
                .get(key)
                .map(|(_, question)| question.answer(given));
            if let Some(Ok(fitting)) = fitting
                && let Some((asked, _)) = self.open.remove(key)
            {
                answer(asked, Ok(fitting));
            }
        }
        self.open.is_empty()
    }

    /// Goes on while no client is there: questions are queued, the latest progress and the end are
    /// kept. Returns when there is something to say to the next request.
    pub(super) async fn wait(&mut self) {
        loop {
            match self.conversation.next().await {
                Next::Said(Said::Asked(asked)) if self.asked < QUESTIONS_MAX => self.queue(asked),
                Next::Said(Said::Asked(asked)) => {
                    refuse(
                        asked,
                        ErrorCode::INTERNAL_ERROR.0,
                        "too many questions in one call",
                    );
                }
                Next::Said(Said::Withdrawn(id)) => self.withdraw(&id),
                Next::Said(Said::Told(told)) if *told.method == *ServerNotification::PROGRESS => {
                    self.untold = Some(told);
                }
                // Log lines nobody is there to read.
                Next::Said(Said::Told(_)) => {}
                ended @ Next::Ended(_) => {
                    self.conversation.put_back(ended);
                    return;
                }
            }
        }
    }

    fn queue(&mut self, asked: Asked) {
        self.is_asked();
        self.queued.push_back(asked);
    }

    /// From here on it waits for a user, as far as anybody can tell.
    fn is_asked(&mut self) {
        self.asked += 1;
        drop(self.place.take());
        self.report(Ended::Answered);
    }

    fn withdraw(&mut self, id: &RequestId) {
        self.queued.retain(|asked| asked.question.id != *id);
        self.open.retain(|_, (asked, _)| asked.question.id != *id);
    }

    async fn tell(&mut self, told: Notification, call: &CallContext) {
        let notification = match &*told.method {
            ServerNotification::PROGRESS => self.progress(&told, call),
            "notifications/message" => log_line(&told, call),
            // No other revision knows it.
            ServerNotification::VISIT_OVER if call.version == ProtocolVersion::V2025_11_25 => {
                told.params.raw().map(|params| ServerNotification {
                    method: ServerNotification::VISIT_OVER,
                    params: params.clone(),
                })
            }
            _other => None,
        };
        if let Some(notification) = notification {
            tokio::select! {
                () = call.outlet.notify(notification) => {}
                // A client that reads slowly hears no more of it, but how the call ended.
                () = call.deadline.passed() => {}
                () = call.cancel.cancelled() => {}
            }
        }
    }

    /// Progress under the client's own token; nothing when it wants none, or has heard of more.
    fn progress(&mut self, told: &Notification, call: &CallContext) -> Option<ServerNotification> {
        let token = call.progress_token.as_ref()?;
        let mut params = String::from("{");
        let mut amount = None;
        for (key, value) in told.params.raw()?.entries() {
            match &*key {
                "progressToken" => continue,
                "progress" => amount = value.parse::<f64>().ok(),
                // 2024-11-05 knows no words.
                "message" if call.version < ProtocolVersion::V2025_03_26 => continue,
                _other => {}
            }
            push(&mut params, &key, value);
        }
        let amount = amount?;
        if self.progress.is_some_and(|before| amount <= before) {
            return None;
        }
        self.progress = Some(amount);
        push(&mut params, "progressToken", RawJson::of(token).as_str());
        params.push('}');
        Some(ServerNotification {
            method: ServerNotification::PROGRESS,
            params: RawJson::from_valid(params),
        })
    }

    fn end(
        &mut self,
        ended: Result<RawJson, ClientError>,
        call: &CallContext,
    ) -> Result<Ending, ServiceError> {
        let result = match ended {
            Ok(result) => result,
            Err(error) => {
                if !matches!(error, ClientError::Answered { .. }) {
                    let upstream = self.about.upstream.name();
                    warn_ratelimited!(
                        "an upstream gave no result",
                        upstream,
                        error = error.for_log()
                    );
                }
                let failure = Failure::of_request(&error, self.about.version.era());
                self.about.upstream.may_be_gone(&error);
                self.report(failure.ended());
                return self.failed(failure, call);
            }
        };
        let crossing = self.about.crossing(call.version);
        match results::reply(&self.about.method, &result, &crossing, self.about.wraps) {
            Ok(reply) => {
                self.report(Ended::Answered);
                self.about.upstream.requests.ended(UpstreamEnd::Answered);
                Ok(Ending::Reply(match self.opened.take() {
                    Some(opened) => opened.tell(reply),
                    None => reply,
                }))
            }
            Err(broken) => {
                let upstream = self.about.upstream.name();
                warn_ratelimited!("an upstream broke the protocol", upstream, %broken);
                let failure = Failure::from(broken);
                self.report(failure.ended());
                self.failed(failure, call)
            }
        }
    }

    fn report(&mut self, ended: Ended) {
        if let Some(permit) = self.permit.take() {
            permit.ended(Instant::now(), ended);
        }
    }

    fn failed(&self, failure: Failure, call: &CallContext) -> Result<Ending, ServiceError> {
        self.about.upstream.requests.ended(failure.label());
        let is_trusted = self.about.may_be_called_twice && self.asked == 0;
        if failure.may_be_sent_again() || (is_trusted && failure.is_unknown()) {
            return Ok(Ending::Again(failure));
        }
        tell_failure(&self.about, failure, call)
    }

    /// Answers what is still asked as if its user had gone away, and cancels the request.
    pub(super) fn give_up(mut self) {
        for (_, (asked, question)) in std::mem::take(&mut self.open) {
            answer(asked, question.unanswered());
        }
        for asked in std::mem::take(&mut self.queued) {
            refuse(asked, ErrorCode::INTERNAL_ERROR.0, "the client is gone");
        }
        let tasks = self.about.upstream.tasks().clone();
        // What was answered is delivered only while the conversation goes on.
        tasks.spawn(TaskKind::Upkeep, async move {
            let delivered = async { while let Next::Said(_) = self.conversation.next().await {} };
            let _cut = tokio::time::timeout(FAREWELL, delivered).await;
        });
    }
}

/// What the client is told of a failure.
pub(super) fn tell_failure(
    about: &About,
    failure: Failure,
    call: &CallContext,
) -> Result<Ending, ServiceError> {
    let crossing = about.crossing(call.version);
    let asked = errors::Asked {
        upstream: about.upstream.name(),
        method: &about.method,
        uri: about.uri.as_deref(),
    };
    match failure.told(&asked, &crossing, about.upstream.config.breaker.open_for) {
        Answered::Outcome(outcome) => outcome.map(Ending::Reply),
        Answered::UrlsFirst(urls) => Ok(Ending::UrlsFirst(urls)),
    }
}

/// Puts a question to a client with a session, and hands its answer to the upstream.
async fn ask(
    call: &CallContext,
    asked: Asked,
    question: Question,
    withdrawn: oneshot::Receiver<()>,
) {
    let _standing_still = call.deadline.pause();
    let answered = tokio::select! {
        answered = call.outlet.ask(question.request.clone()) => answered,
        // Its sender was dropped: the upstream took the question back.
        _ = withdrawn => return,
    };
    let given = match answered {
        Ok(given) => question.answer(&given).map_err(|unfit| ResponseError {
            code: ErrorCode::INVALID_PARAMS.0,
            message: unfit.to_string(),
            data: None,
        }),
        Err(AskError::Refused(error)) => Err(error),
        Err(AskError::TimedOut | AskError::Impossible(_)) => question.unanswered(),
    };
    answer(asked, given);
}

/// Answers the upstream, which may be gone.
fn answer(asked: Asked, given: Result<RawJson, ResponseError>) {
    let _gone = asked.answer.send(given);
}

fn refuse(asked: Asked, code: i64, message: &str) {
    let error = ResponseError {
        code,
        message: message.to_owned(),
        data: None,
    };
    answer(asked, Err(error));
}

/// A log line as the client takes it, if it wants lines of its level.
fn log_line(told: &Notification, call: &CallContext) -> Option<ServerNotification> {
    let params = told.params.raw()?;
    let level = params.entries().into_iter().find(|(key, _)| key == "level");
    let level = level.and_then(|(_, level)| raw::string(level));
    let level = LogLevel::parse(&level?)?;
    call.outlet.wants_log(level).then(|| ServerNotification {
        method: "notifications/message",
        params: params.clone(),
    })
}

fn push(out: &mut String, key: &str, value: &str) {
    if out.len() > 1 {
        out.push(',');
    }
    crate::protocol::encode::push_string(out, key);
    out.push(':');
    out.push_str(value);
}
