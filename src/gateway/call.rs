//! One call of a client, from its name to its reply.
//!
//! It is sent once. It is sent a second time when the first surely did not run (the upstream could not
//! be reached, or had forgotten our session), or when the configuration says that the tool may be called
//! twice.
//!
//! # Cancel safety
//! Dropped, it cancels what runs at the upstream.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::bridge::capability_set::CapabilitySet;
use super::bridge::errors::{Failure, unavailable};
use super::bridge::extensions;
use super::bridge::inner_loop;
use super::bridge::parked_call::{Binding, ParkedCalls, State, Ticket};
use super::bridge::url_first;
use super::config::Isolation;
use super::elsewhere::{Away, Why};
use super::envelope::Envelope;
use super::handle::{self, Named, Opened};
use super::path;
use super::route::Route;
use super::talk::{About, Ending, Served, Talk, tell_failure};
use super::upstream::Upstream;
use super::upstream::breaker::Permit;
use super::upstream::bulkhead::Place;
use super::upstream::line::{Lease, Line};
use super::upstream::pool::{Key, NoLine, Unit, Until};
use super::{Gateway, in_process};
use crate::client::ClientError;
use crate::protocol::input::InputResponses;
use crate::protocol::logging::LogLevel;
use crate::protocol::method::Method;
use crate::protocol::params::ParamsHead;
use crate::protocol::raw::RawJson;
use crate::protocol::tool::ToolResult;
use crate::protocol::version::{Era, ProtocolVersion};
use crate::runtime::sabotage;
use crate::service::{Call, CallContext, Reply, ReplyKind, ServiceError};
use crate::telemetry::labels::UpstreamEnd;

/// How often a call is sent at most.
const ATTEMPTS: u32 = 2;

/// Answers a call. What most calls do not come to is boxed: the rest of a call then fits into little
/// memory, which is moved several times.
pub(super) async fn serve(gateway: Gateway, call: Call) -> Result<Reply, ServiceError> {
    answer(&gateway, &call, true).await
}

/// Answers a call that another node sent here, because this one holds what it is about.
pub(super) async fn serve_here(gateway: &Gateway, call: &Call) -> Result<Reply, ServiceError> {
    answer(gateway, call, false).await
}

async fn answer(
    gateway: &Gateway,
    call: &Call,
    may_be_sent_on: bool,
) -> Result<Reply, ServiceError> {
    let route = route(gateway, call).await?;
    if let Some(refusal) = &route.refusal {
        return Ok(Reply::tool(
            &ToolResult::error(refusal),
            call.context.version,
        ));
    }
    let path = gateway.0.hop.after(&call.params)?;
    if let Some(service) = route.upstream.here() {
        return Box::pin(in_process::call(service, &route, call)).await;
    }
    let context = &call.context;
    let upstream = &route.upstream;
    if route.named == Some(Named::Unknown) {
        return Ok(handle::unknown(upstream, context));
    }
    if may_be_sent_on && let Some(answered) = at_another_node(gateway, &route, call).await {
        return answered;
    }
    first_start(upstream, context).await?;
    if context.version.era() == Era::Stateless {
        let responses = InputResponses::of(&call.params);
        let responses =
            responses.map_err(|error| ServiceError::InvalidParams(error.to_string()))?;
        if let Some(state) = &responses.state
            && let Some(resumed) = Box::pin(resume(gateway, &route, call, &responses, state)).await
        {
            return resumed;
        }
    }
    let mut envelope = Envelope::of(&call.method, &call.params, &route);
    path::bring(&mut envelope, &path);
    envelope.capabilities = extensions::declared(
        &context.client.capabilities,
        context.version,
        route.passes_all,
    );
    envelope.wants_progress = context.progress_token.is_some();
    envelope.log_level = LogLevel::ALL
        .into_iter()
        .find(|level| context.outlet.wants_log(*level));
    if let Some(params) = &route.header_params {
        let arguments = ParamsHead::of(&call.params).arguments;
        let arguments = arguments.map(|text| RawJson::from_valid(text.to_owned()));
        let headers = params.headers_of(arguments.as_ref()).into_iter();
        envelope.argument_headers = headers
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
    }
    for attempt in 1..=ATTEMPTS {
        let (permit, place) = admitted(&route, context).await?;
        let (lease, opened) = match lease(gateway, &route, call).await {
            Ok(leased) => leased,
            Err(NotLeased::Gone) => return Ok(handle::unknown(upstream, context)),
            Err(NotLeased::Failed { failure, is_busy }) => {
                upstream.requests.ended(failure.label());
                permit.ended(Instant::now(), failure.ended());
                drop(place);
                let has_time = !context.deadline.remaining().is_zero();
                let may_be_sent_again = failure.may_be_sent_again() && !is_busy && has_time;
                if attempt < ATTEMPTS && may_be_sent_again && upstream.is_up() {
                    continue;
                }
                return told(&route, call, None, failure);
            }
        };
        let about = about(&route, call, lease.version());
        let line = Lease::line(&lease);
        // Its rounds, if there are any, go the same way.
        let rounds = (about.version.era() == Era::Stateless).then(|| Lease::again(&lease));
        let conversation = Line::begin(lease, &envelope);
        let talk = Talk::new(about.clone(), conversation, Some(place), Some(permit));
        let talk = talk.in_new_session(opened);
        let binding = || Binding::of(context, &call.method, &call.params);
        let ending = match talk.serve(context).await {
            Served::Done(ending) => ending?,
            Served::Asks(talk, questions) => {
                return gateway.0.parked.park(*talk, &questions, &binding(), None);
            }
        };
        match ending {
            Ending::Reply(reply) => {
                let asks =
                    reply.kind == ReplyKind::InputRequired && context.version.era() == Era::Session;
                return match &rounds {
                    Some(line) if asks => {
                        let rounds = inner_loop::Rounds {
                            about: &about,
                            line,
                            envelope: &envelope,
                        };
                        Box::pin(rounds.to_the_end(reply, call)).await
                    }
                    _ => Ok(reply),
                };
            }
            Ending::UrlsFirst(urls) => {
                return url_first::ask(gateway, &urls, &about, call, &binding());
            }
            Ending::Again(failure) => {
                match &failure {
                    // Its program is gone, and it may not have been noticed yet.
                    Failure::NotSent { .. } if !line.connection().is_http() => line.end(),
                    Failure::OtherEra(_) => {
                        upstream.doubt_era();
                        line.end();
                    }
                    _nothing_is_wrong_with_it => {}
                }
                if attempt == ATTEMPTS {
                    return told(&route, call, Some(about.version), failure);
                }
            }
        }
    }
    Err(ServiceError::Internal)
}

/// Goes on with a call whose client was asked; `None` when this is none.
async fn resume(
    gateway: &Gateway,
    route: &Route,
    call: &Call,
    responses: &InputResponses,
    state: &str,
) -> Option<Result<Reply, ServiceError>> {
    let binding = Binding::of(&call.context, &call.method, &call.params);
    match gateway.0.parked.open(state, &binding) {
        // An upstream of the stateless era has states of its own.
        None if route.upstream.last_era() == Some(Era::Stateless) => None,
        None => Some(Err(ServiceError::InvalidRequestState)),
        Some(Err(error)) => Some(Err(error)),
        Some(Ok(State::Visit { count, .. })) => url_first::refused(responses, count, call),
        Some(Ok(State::Parked(ticket))) => {
            let holder = ticket.node;
            if gateway.0.elsewhere.is_here(holder) {
                let parked = &gateway.0.parked;
                return Some(go_on(parked, &call.context, &binding, ticket, responses).await);
            }
            let served = gateway.0.elsewhere.serve(holder, call, Why::NamesIt).await;
            Some(match served {
                Away::Served(outcome) => outcome,
                Away::Nowhere => Err(ServiceError::InvalidRequestState),
            })
        }
    }
}

/// Has the node that holds the session with the upstream serve the call; `None` when that is this one, or
/// there is none yet.
async fn at_another_node(
    gateway: &Gateway,
    route: &Route,
    call: &Call,
) -> Option<Result<Reply, ServiceError>> {
    let (elsewhere, holders) = (&gateway.0.elsewhere, &gateway.0.holders);
    let (upstream, context) = (&route.upstream, &call.context);
    if let Some(Named::Session(handle)) = route.named
        && !elsewhere.is_here(handle.node)
    {
        let served = elsewhere.serve(handle.node, call, Why::NamesIt).await;
        return Some(match served {
            Away::Served(outcome) => outcome,
            Away::Nowhere => Ok(handle::unknown(upstream, context)),
        });
    }
    let session = context.session.as_ref();
    let is_kept = upstream.config.isolation == Isolation::Session && upstream.has_sessions();
    let session = session.filter(|_| is_kept)?;
    // Whom we took for the holder may know better, once.
    for _ in 0..ATTEMPTS {
        let Ok(holder) = holders.of(session).await else {
            break;
        };
        if elsewhere.is_here(holder) {
            return None;
        }
        match elsewhere.serve(holder, call, Why::HoldsLines).await {
            Away::Served(outcome) => return Some(outcome),
            Away::Nowhere => holders.forget(session),
        }
    }
    let why = "cannot be asked: the store does not say which node holds this session of it";
    Some(Err(unavailable(
        upstream.name(),
        why,
        Duration::from_secs(1),
    )))
}

/// Serves the next round of a parked call of this node.
async fn go_on(
    parked: &ParkedCalls,
    context: &CallContext,
    binding: &Binding,
    ticket: Ticket,
    responses: &InputResponses,
) -> Result<Reply, ServiceError> {
    let mut talk = parked.take(&ticket).await?;
    if !talk.answer(&responses.answers) {
        let missing = talk.questions();
        return parked.park(talk, &missing, binding, Some(ticket));
    }
    let about = talk.about.clone();
    match talk.serve(context).await {
        Served::Asks(talk, questions) => parked.park(*talk, &questions, binding, Some(ticket)),
        Served::Done(ending) => match ending? {
            Ending::Reply(reply) => Ok(reply),
            // Something has run already: neither is it made again.
            Ending::UrlsFirst(_) => Err(ServiceError::OutcomeUnknown(
                format!("upstream `{}` wants to begin anew", about.upstream.name()).into(),
            )),
            Ending::Again(failure) => told_to(&about, failure, context),
        },
    }
}

/// Where `call` goes. What upstreams have that were just started is not known yet: they are waited
/// for before a name is unknown.
async fn route(gateway: &Gateway, call: &Call) -> Result<Route, ServiceError> {
    let unknown = match Route::of(gateway, call) {
        Ok(route) => return Ok(route),
        Err(unknown) => unknown,
    };
    let shown = gateway.shown();
    let starting = shown.upstreams.iter().filter(|it| it.is_starting());
    let starting = starting
        .map(|upstream| started(upstream))
        .collect::<Vec<_>>();
    if starting.is_empty() {
        return Err(unknown);
    }
    tokio::select! {
        _ = join_all(starting) => Route::of(gateway, call),
        () = call.context.cancel.cancelled() => Err(ServiceError::Cancelled),
    }
}

/// Waits until an upstream that was just started was reached, or found unreachable.
async fn started(upstream: &Upstream) {
    let timeouts = &upstream.config.timeouts;
    let limit = timeouts.connect + timeouts.list;
    let _late = tokio::time::timeout(limit, upstream.started()).await;
}

/// Waits until an upstream that was just started can be asked.
async fn first_start(upstream: &Upstream, context: &CallContext) -> Result<(), ServiceError> {
    if upstream.era().is_some() || !upstream.is_starting() {
        return Ok(());
    }
    tokio::select! {
        () = started(upstream) => Ok(()),
        () = context.deadline.passed() => Ok(()),
        () = context.cancel.cancelled() => Err(ServiceError::Cancelled),
    }
}

/// Leave to ask, and a place.
async fn admitted(route: &Route, context: &CallContext) -> Result<(Permit, Place), ServiceError> {
    let upstream = &route.upstream;
    let place = tokio::select! {
        biased;
        place = upstream.bulkhead.enter() => place,
        () = context.deadline.passed() => {
            let why = "had no place free before the call's deadline";
            return Err(unavailable(upstream.name(), why, Duration::from_secs(1)));
        }
        () = context.cancel.cancelled() => return Err(ServiceError::Cancelled),
    };
    let kept_away = |why: String, retry_after| {
        upstream.requests.ended(UpstreamEnd::KeptAway);
        unavailable(upstream.name(), why, retry_after)
    };
    let place = place.map_err(|full| kept_away(full.to_string(), Duration::from_secs(1)))?;
    let permit = upstream.breaker.admit(Instant::now());
    let permit = permit.map_err(|refused| kept_away(refused.to_string(), refused.retry_after))?;
    Ok((permit, place))
}

/// Why there is no line for a call.
#[derive(Debug)]
enum NotLeased {
    /// It names a session that is not there.
    Gone,
    /// The upstream could not be asked.
    Failed {
        /// Why.
        failure: Failure,
        /// Whether all lines that may be used were in use for as long as a call waits.
        is_busy: bool,
    },
}

impl From<Failure> for NotLeased {
    fn from(failure: Failure) -> Self {
        Self::Failed {
            failure,
            is_busy: false,
        }
    }
}

/// The right to use a line to the upstream; with the session, if one is opened for the call that further
/// calls may name.
async fn lease(
    gateway: &Gateway,
    route: &Route,
    call: &Call,
) -> Result<(Lease, Option<Opened>), NotLeased> {
    let (upstream, context) = (&route.upstream, &call.context);
    let refused = |error| Failure::from(ClientError::Credential(error));
    upstream.take_credential(context).map_err(refused)?;
    let config = &upstream.config;
    let handles = &gateway.0.handles;
    let may_be_asked = call.method.may_require_input();
    let now = tokio::time::Instant::now();
    let until = Until {
        opened: now + config.timeouts.connect,
        free: now + config.bulkhead.wait_max,
    };
    let capabilities = CapabilitySet::of(&context.client.capabilities, context.version);
    let handle = match route.named {
        Some(Named::Session(handle)) => Some(handle),
        Some(Named::Nothing) => Some(handles.next(capabilities)),
        Some(Named::Unknown) => return Err(NotLeased::Gone),
        None => None,
    };
    let key = Key {
        principal: context.principal().clone(),
        capabilities: handle.map_or(capabilities, |handle| handle.capabilities),
        unit: handle.map_or_else(|| unit(route, call), |handle| Unit::Handle(handle.number)),
    };
    let is_new = !matches!(route.named, Some(Named::Session(_)));
    let line = async {
        if is_new {
            upstream.line(key, may_be_asked, until).await
        } else {
            upstream.kept_line(&key, may_be_asked, until).await
        }
    };
    let line = tokio::select! {
        biased;
        line = line => line,
        () = context.deadline.passed() => return Err(Failure::late().into()),
        () = context.cancel.cancelled() => {
            return Err(Failure::not_sent("was not asked any more").into());
        }
    };
    let lease = line.map_err(|no_line| not_leased(upstream, no_line))?;
    // It may be another upstream than the one that was listed.
    let opened = handle.filter(|_| is_new && lease.version().era() == Era::Session);
    let opened = opened.map(|handle| {
        let text = handles.text(handle, context, upstream.name());
        Opened::new(Lease::line(&lease), &config.handle, text)
    });
    Ok((lease, opened))
}

/// Who shares the line of a call that names none.
fn unit(route: &Route, call: &Call) -> Unit {
    static REQUEST: AtomicU64 = AtomicU64::new(0);
    let upstream = &route.upstream;
    let alone = || Unit::Request(REQUEST.fetch_add(1, Ordering::Relaxed));
    match upstream.config.isolation {
        Isolation::Shared => Unit::Shared,
        Isolation::Session => (call.context.session.clone()).map_or_else(alone, Unit::Session),
        // A tool that cannot be told a session, of an upstream that has some.
        Isolation::Handle
            if call.method == Method::ToolsCall && upstream.last_era() != Some(Era::Stateless) =>
        {
            alone()
        }
        Isolation::Handle => Unit::Shared,
        Isolation::Request => alone(),
    }
}

fn not_leased(upstream: &Upstream, no_line: NoLine) -> NotLeased {
    let busy = |why| NotLeased::Failed {
        failure: Failure::not_sent(why),
        is_busy: true,
    };
    match no_line {
        NoLine::Gone => NotLeased::Gone,
        NoLine::Failed(error) => {
            upstream.nudge();
            upstream.may_be_another(&error);
            Failure::of_opening(&error).into()
        }
        NoLine::Late => {
            upstream.nudge();
            Failure::late().into()
        }
        NoLine::Busy => busy("has all its processes in use"),
        NoLine::Taken => busy("is busy with another call of the same session"),
        NoLine::Full => busy(
            "keeps as many sessions as it may: go on in one of them, or wait until one ends unused",
        ),
    }
}

fn about(route: &Route, call: &Call, version: ProtocolVersion) -> About {
    About {
        upstream: route.upstream.clone(),
        method: call.method.clone(),
        uri: (call.method == Method::ResourcesRead).then(|| call.subject()),
        naming: route.naming.clone(),
        wraps: route.wraps,
        may_be_called_twice: route.is_idempotent || sabotage::is(sabotage::Bug::BlindRetry),
        version,
    }
}

fn told(
    route: &Route,
    call: &Call,
    version: Option<ProtocolVersion>,
    failure: Failure,
) -> Result<Reply, ServiceError> {
    let version = version.unwrap_or(call.context.version);
    told_to(&about(route, call, version), failure, &call.context)
}

fn told_to(about: &About, failure: Failure, context: &CallContext) -> Result<Reply, ServiceError> {
    match tell_failure(about, failure, context)? {
        Ending::Reply(reply) => Ok(reply),
        Ending::UrlsFirst(_) | Ending::Again(_) => Err(ServiceError::Internal),
    }
}
