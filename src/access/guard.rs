//! What stands before everything that answers: each call is held against the rules first.
//!
//! A [`Guard`] asks in this order: may this caller do that ([`crate::policy::access`]), is it within
//! its limits ([`crate::policy::limits`]), and is it on record ([`crate::audit`]). What a caller may
//! not see is in no list of theirs, and answers like what is not there; what they may see and not call
//! is answered by a tool error that says what is missing, or by a challenge if another credential
//! would do.
//!
//! It reads a call's method, name and arguments, as the service behind it will; headers have been
//! compared with the body before. It changes nothing of a call, and of an answer only lists.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::Access;
use super::asked::{Asked, Named, canonical, kind_of};
use super::lists;
use super::record::Recorder;
use super::rules::{Present, Rules};
use crate::audit::Begun;
use crate::auth::challenge::Problem;
use crate::identity::Caller;
use crate::policy::access::{ADMIN, Decision, Kind, Standing};
use crate::policy::limits::{Entered, Permit, Permits, Refused, Take, Tokens};
use crate::protocol::notification::ServerNotification;
use crate::protocol::param_headers::HeaderParams;
use crate::protocol::subscription::{Change, SubscriptionFilter};
use crate::protocol::tool::ToolResult;
use crate::protocol::version::ProtocolVersion;
use crate::runtime::clock::Clock;
use crate::service::changes::{CatalogDigest, Elsewhere, PassOn, Watch};
use crate::service::{
    Call, CallFuture, Canonical, Description, EntryKind, Held, Ongoing, Reply, Sees, Service,
    ServiceError, SessionKey, TaskUse,
};
use crate::telemetry::metrics::Metrics;

/// What a guard needs.
#[expect(missing_debug_implementations, reason = "it is taken apart at once")]
pub struct Parts {
    /// Who answers what may pass.
    pub service: Arc<dyn Service>,
    /// The name of the endpoint, which is the server of what is not an upstream's.
    pub endpoint: Arc<str>,
    /// Who may come in there: it knows what to ask for.
    pub access: Access,
    /// The rules.
    pub rules: Present,
    /// Where calls are counted.
    pub tokens: Arc<dyn Tokens>,
    /// Where running calls are counted.
    pub permits: Permits,
    /// Where calls are put on record.
    pub recorder: Recorder,
    /// The time.
    pub clock: Clock,
    /// Where refusals are counted.
    pub metrics: Metrics,
}

/// See the module docs. Cloning shares it.
#[derive(Clone)]
pub struct Guard(Arc<Parts>);

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("endpoint", &self.0.endpoint)
            .finish_non_exhaustive()
    }
}

impl Guard {
    /// Stands before `parts.service`.
    #[must_use]
    pub fn before(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    async fn serve(self, call: Call) -> Result<Reply, ServiceError> {
        let parts = &*self.0;
        let rules = parts.rules.get();
        let service = &*parts.service;
        match Asked::of(&call, service, &parts.endpoint) {
            Asked::Named(named) => self.serve_named(&rules, call, &named).await,
            Asked::List(_) if rules.policy.is_open() => service.call(call).await,
            Asked::List(kind) => {
                let caller = call.context.caller.clone();
                let reply = service.call(call).await?;
                let standing = rules.policy.standing(&caller);
                let sees = |shown: &str| self.sees(&standing, kind, shown);
                lists::seen(reply, kind, sees).ok_or(ServiceError::Internal)
            }
            Asked::Own => service.call(call).await,
            Asked::Unknown => self.serve_unknown(&rules, call).await,
        }
    }

    async fn serve_named(
        &self,
        rules: &Rules,
        call: Call,
        named: &Named,
    ) -> Result<Reply, ServiceError> {
        if !named.has_proper_arguments() {
            let problem = "arguments must be an object";
            return Err(ServiceError::InvalidParams(problem.into()));
        }
        let (recorder, version) = (&self.0.recorder, rules.policy.version());
        let caller = call.context.caller.clone();
        let standing = rules.policy.standing(&caller);
        let decision = standing.decide(&named.target());
        if let Some(answer) = self.refusal(&call, named, &decision) {
            let why = if let Decision::Refused { refusal, .. } = &decision {
                refusal.to_string()
            } else {
                decision.as_str().to_owned()
            };
            recorder
                .denied(&call, Some(named), &decision, version, &why)
                .await;
            return answer;
        }
        recorder.allowed(&call, &named.canonical);
        let permit = match self.within_limits(rules, &standing, &caller, named).await {
            Ok(permit) => permit,
            Err(error) => {
                let why = error.to_string();
                recorder
                    .denied(&call, Some(named), &decision, version, &why)
                    .await;
                return Err(error);
            }
        };
        self.dispatch(rules, call, Some(named), &decision, permit)
            .await
    }

    /// Lets the service answer, between the two records of the call.
    async fn dispatch(
        &self,
        rules: &Rules,
        mut call: Call,
        about: Option<&Named>,
        decision: &Decision,
        permit: Option<Permit>,
    ) -> Answer {
        let version = rules.policy.version();
        let begun = self.0.recorder.begin(&call, about, decision, version);
        let begun = begun.await?;
        let ongoing = if begun.is_some() || permit.is_some() {
            Ongoing::with(Box::new(Running {
                begun,
                _place: permit,
            }))
        } else {
            Ongoing::default()
        };
        call.context.ongoing = ongoing.clone();
        let outcome = self.0.service.call(call).await;
        ongoing.answered(&outcome);
        outcome
    }

    /// What no rule can be about is for who may do everything.
    async fn serve_unknown(&self, rules: &Rules, call: Call) -> Result<Reply, ServiceError> {
        let (recorder, version) = (&self.0.recorder, rules.policy.version());
        let is_admin = || {
            rules
                .policy
                .all_roles_of(&call.context.caller)
                .contains(ADMIN)
        };
        if !rules.policy.is_open() && !is_admin() {
            let decision = Decision::Hidden { rule: None };
            let error = ServiceError::MethodNotFound(call.method.to_string());
            let why = error.to_string();
            recorder.denied(&call, None, &decision, version, &why).await;
            return Err(error);
        }
        let decision = Decision::Allowed {
            rule: rules.policy.admin_rule(),
        };
        self.dispatch(rules, call, None, &decision, None).await
    }

    /// Whether a caller's lists have what clients know by that name.
    fn sees(&self, standing: &Standing<'_>, kind: EntryKind, shown: &str) -> bool {
        let kind = kind_of(kind);
        let canonical = canonical(&*self.0.service, &self.0.endpoint, kind, shown);
        standing.is_listed(kind, &canonical.name)
    }

    /// The answer to a call that may not pass.
    fn refusal(&self, call: &Call, named: &Named, decision: &Decision) -> Option<Answer> {
        Some(match decision {
            Decision::Allowed { .. } => return None,
            Decision::Hidden { .. } => Err(named.unknown()),
            Decision::Refused { refusal, .. } => match named.kind {
                Kind::Tool => {
                    let result = ToolResult::error(refusal.to_string());
                    Ok(Reply::tool(&result, call.context.version))
                }
                Kind::Resource | Kind::Prompt | Kind::Template => {
                    Err(ServiceError::Denied(refusal.to_string()))
                }
            },
            Decision::NeedsScopes { scopes, .. } => {
                let problem = Problem::InsufficientScope;
                let challenge = self.0.access.challenge(problem, scopes.clone());
                let recorder = &self.0.recorder;
                recorder.challenged(call, &named.canonical, &challenge);
                Err(ServiceError::NeedsScopes(challenge))
            }
        })
    }

    /// Counts the call; what is given stands for its place among those that run.
    async fn within_limits(
        &self,
        rules: &Rules,
        standing: &Standing<'_>,
        caller: &Caller,
        named: &Named,
    ) -> Result<Option<Permit>, ServiceError> {
        if rules.limits.is_empty() {
            return Ok(None);
        }
        let Canonical { name, server } = &named.canonical;
        let demands = rules
            .limits
            .demands(caller, standing.roles(), server, name, named.is_given);
        let permit = match self.0.permits.enter(&demands.running) {
            Entered::Permit(permit) => permit,
            Entered::Refused(refused) => return Err(self.limited(&refused)),
        };
        if !demands.rates.is_empty() {
            let now = self.0.clock.wall_micros();
            if let Take::Refused(refused) = self.0.tokens.take(&demands.rates, now).await {
                return Err(self.limited(&refused));
            }
        }
        Ok(Some(permit))
    }

    fn limited(&self, refused: &Refused) -> ServiceError {
        self.0.metrics.limited(refused.because.label());
        let retry_after = refused.retry_after().map_or(SOON, Duration::from_micros);
        ServiceError::Limited {
            what: refused.to_string(),
            retry_after,
        }
    }
}

/// A call that runs, as long as its work goes on.
#[derive(Debug)]
struct Running {
    begun: Option<Begun>,
    _place: Option<Permit>,
}

impl Held for Running {
    fn let_go(self: Box<Self>, outcome: &Answer) {
        if let Some(begun) = self.begun {
            Recorder::end(begun, outcome);
        }
    }
}

type Answer = Result<Reply, ServiceError>;

/// How soon to come again where nothing better is known: another call may end at any time.
const SOON: Duration = Duration::from_secs(1);

impl Service for Guard {
    fn describe(&self, caller: &Caller) -> Arc<Description> {
        self.0.service.describe(caller)
    }

    fn call(&self, call: Call) -> CallFuture {
        if self.0.rules.get().are_open() && !self.0.recorder.is_on() {
            return self.0.service.call(call);
        }
        Box::pin(self.clone().serve(call))
    }

    fn header_params(&self, caller: &Caller, tool: &str) -> Option<Arc<HeaderParams>> {
        let params = self.0.service.header_params(caller, tool)?;
        let policy = &self.0.rules.get().policy;
        let is_seen =
            policy.is_open() || self.sees(&policy.standing(caller), EntryKind::Tool, tool);
        is_seen.then_some(params)
    }

    fn task_use(&self, caller: &Caller, tool: &str) -> Option<TaskUse> {
        self.0.service.task_use(caller, tool)
    }

    fn is_idempotent(&self, caller: &Caller, tool: &str) -> bool {
        self.0.service.is_idempotent(caller, tool)
    }

    fn catalog_digest(&self, caller: &Caller, sees: Sees<'_>) -> CatalogDigest {
        let rules = self.0.rules.get();
        if rules.policy.is_open() {
            return self.0.service.catalog_digest(caller, sees);
        }
        let standing = rules.policy.standing(caller);
        let both = |kind, name: &str| {
            standing.is_listed(kind_of(kind), name) && sees.is_none_or(|sees| sees(kind, name))
        };
        self.0.service.catalog_digest(caller, Some(&both))
    }

    fn canonical(&self, kind: EntryKind, shown: &str) -> Option<Canonical> {
        self.0.service.canonical(kind, shown)
    }

    fn lists(&self, caller: &Caller, kind: EntryKind, shown: &str) -> bool {
        self.0.service.lists(caller, kind, shown)
    }

    fn watch(
        &self,
        caller: &Arc<Caller>,
        mut filter: SubscriptionFilter,
    ) -> BoxFuture<'static, Result<Watch, ServiceError>> {
        let rules = self.0.rules.get();
        let standing = rules.policy.standing(caller);
        filter
            .resource_subscriptions
            .retain(|uri| self.sees(&standing, EntryKind::Resource, uri));
        let watching = self.0.service.watch(caller, filter);
        let (guard, caller) = (self.clone(), caller.clone());
        Box::pin(async move {
            let watch = watching.await?;
            // Taken before anything is heard: what changes from now on differs from it.
            let mut seen = guard.catalog_digest(&caller, None);
            Ok(watch.concerning(Box::new(move |change| {
                guard.concerns(&caller, &mut seen, change)
            })))
        })
    }

    fn tell(
        &self,
        caller: &Caller,
        version: ProtocolVersion,
        change: &Change,
    ) -> BoxFuture<'static, Option<ServerNotification>> {
        self.0.service.tell(caller, version, change)
    }

    fn let_go(&self, session: &SessionKey) {
        self.0.service.let_go(session);
    }

    fn pass_on_to(&self, pass_on: PassOn) {
        self.0.service.pass_on_to(pass_on);
    }

    fn hear(&self, elsewhere: &Elsewhere) {
        self.0.service.hear(elsewhere);
    }
}

impl Guard {
    /// Whether a change is one of what the caller may see: nobody hears of hidden things. `seen` is
    /// what their lists were when they heard last.
    fn concerns(&self, caller: &Arc<Caller>, seen: &mut CatalogDigest, change: &Change) -> bool {
        // Also what changed and changed back is told, where nothing is hidden.
        if self.0.rules.get().policy.is_open() {
            return true;
        }
        let now = || self.catalog_digest(caller, None);
        let differs = |seen: &mut u64, now: u64| std::mem::replace(seen, now) != now;
        match change {
            Change::Tools => differs(&mut seen.tools, now().tools),
            Change::Prompts => differs(&mut seen.prompts, now().prompts),
            Change::Resources => differs(&mut seen.resources, now().resources),
            Change::Resource(uri) => {
                let rules = self.0.rules.get();
                self.sees(&rules.policy.standing(caller), EntryKind::Resource, uri)
            }
            Change::Task(_) => true,
        }
    }
}
