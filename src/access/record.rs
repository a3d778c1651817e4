//! What goes on record at the door and behind it.
//!
//! Every call of something with a name, and of methods we do not know, is two records: before it is
//! dispatched, and when it has ended. Lists, pings and questions after one's own tasks are none. Beside
//! them stand who came in for the first time, who was turned away, whose stream was ended, and who was
//! asked for more scopes.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;

use super::asked::Named;
use crate::audit::{Audit, Begin, Begun, Decision as Decided, End, Ending, Event, Party, What};
use crate::auth::challenge::Challenge;
use crate::identity::{Caller, Origin, Principal};
use crate::policy::access::{Decision, RuleId};
use crate::protocol::trace;
use crate::runtime::clock::Clock;
use crate::runtime::per_second::PerSecond;
use crate::runtime::seal;
use crate::service::{Call, Canonical, Reply, ServiceError, Visit};

/// Principals that are known to have come in, and challenges that wait for a grant. After that many all
/// are forgotten at once: at worst something is recorded a second time.
const REMEMBERED_MAX: usize = 10_000;
/// Records of strangers who were turned away, in a second. Whoever knocks a thousand times a second
/// says nothing new, and must not fill the disk; the metric counts them all.
const STRANGERS_PER_SECOND: u64 = 100;
/// When to try again while nothing can be recorded.
const SOON: Duration = Duration::from_secs(1);

/// The record, if there is one. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    audit: Option<Audit>,
    clock: Clock,
    /// Who came in before.
    known: DashMap<Principal, ()>,
    /// The challenges that may still be followed by a grant, by who was asked and for what.
    challenged: DashMap<(Principal, String), String>,
    strangers: PerSecond,
}

impl Recorder {
    /// Records in `audit`; nothing, without one.
    #[must_use]
    pub fn new(audit: Option<Audit>, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            audit,
            clock,
            known: DashMap::new(),
            challenged: DashMap::new(),
            strangers: PerSecond::new(STRANGERS_PER_SECOND),
        }))
    }

    /// Whether anything is recorded.
    pub(super) fn is_on(&self) -> bool {
        self.0.audit.is_some()
    }

    /// Somebody came in.
    pub(super) fn admitted(&self, caller: &Caller, endpoint: &str, from: impl FnOnce() -> Origin) {
        let inner = &*self.0;
        if inner.audit.is_none() || inner.known.contains_key(&caller.principal) {
            return;
        }
        if inner.known.len() >= REMEMBERED_MAX {
            inner.known.clear();
        }
        inner.known.insert(caller.principal.clone(), ());
        self.note(&Event {
            tenant: caller.tenant.clone(),
            subject: Some(caller.user.clone()),
            from: Some(Arc::new(from())),
            session: None,
            key: caller.proof.key().cloned(),
            what: What::AuthenticationSucceeded {
                endpoint: endpoint.to_owned(),
                proof: caller.proof.as_str().to_owned(),
            },
        });
    }

    /// Somebody was turned away.
    pub(super) fn turned_away(&self, endpoint: &str, reason: &str) {
        if self.0.audit.is_some() && self.0.strangers.has_one(self.0.clock.now()) {
            let what = What::AuthenticationFailed {
                endpoint: endpoint.to_owned(),
                reason: reason.to_owned(),
            };
            self.note(&Event::of(Caller::DEFAULT_TENANT, what));
        }
    }

    /// A stream was ended, since what its visitor came in by is not accepted any more. Of whom nothing is
    /// to be kept nothing is said.
    pub(super) fn lapsed(&self, visit: &Visit, endpoint: &str, reason: &str, is_erased: bool) {
        let what = What::AuthenticationFailed {
            endpoint: endpoint.to_owned(),
            reason: format!("a stream was ended: {reason}"),
        };
        let about_nobody = Event::of(&visit.caller.tenant, what);
        self.note(&if is_erased {
            about_nobody
        } else {
            Event {
                subject: Some(visit.caller.user.clone()),
                from: Some(visit.origin.clone()),
                key: visit.caller.proof.key().cloned(),
                ..about_nobody
            }
        });
    }

    /// A call needs scopes that its caller's credential has not.
    pub(super) fn challenged(&self, call: &Call, about: &Canonical, challenge: &Challenge) {
        let inner = &*self.0;
        if inner.audit.is_none() {
            return;
        }
        if inner.challenged.len() >= REMEMBERED_MAX {
            inner.challenged.clear();
        }
        let random: [u8; 8] = seal::random();
        let correlation = format!("{:016x}", u64::from_be_bytes(random));
        let key = (call.context.principal().clone(), about.name.clone());
        inner.challenged.insert(key, correlation.clone());
        let scopes = challenge.scopes.iter().map(ToString::to_string).collect();
        self.note(&Event::by(
            party(call),
            What::StepUp {
                correlation,
                scopes,
                is_granted: false,
            },
        ));
    }

    /// A call is allowed: perhaps one that was not, before its caller came back with more scopes.
    pub(super) fn allowed(&self, call: &Call, about: &Canonical) {
        let inner = &*self.0;
        if inner.challenged.is_empty() {
            return;
        }
        let key = (call.context.principal().clone(), about.name.clone());
        if let Some((_, correlation)) = inner.challenged.remove(&key) {
            let scopes = call.context.caller.scopes.iter();
            self.note(&Event::by(
                party(call),
                What::StepUp {
                    correlation,
                    scopes: scopes.map(ToString::to_string).collect(),
                    is_granted: true,
                },
            ));
        }
    }

    /// The beginning of a call is on record when this returns, or it must not be dispatched.
    pub(super) async fn begin(
        &self,
        call: &Call,
        about: Option<&Named>,
        decision: &Decision,
        policy: &str,
    ) -> Result<Option<Begun>, ServiceError> {
        let Some(audit) = &self.0.audit else {
            return Ok(None);
        };
        let params = call.params.raw();
        let trace = params.and_then(|params| trace::id(params.as_str()));
        let begun = audit.begin(&Begin {
            party: party(call),
            trace: trace.as_deref(),
            method: call.method.as_str(),
            target: about.map(|about| about.canonical.name.as_str()),
            is_target_given: about.is_some_and(|about| about.is_given),
            upstream: about.map(|about| &*about.canonical.server),
            decision: Decided {
                is_allowed: matches!(decision, Decision::Allowed { .. }),
                rule: decision.rule().map(RuleId::as_str),
                policy: Some(policy),
            },
            input: params,
            bytes: params.map_or(0, |params| params.as_str().len()),
        });
        let begun = begun.await.map_err(|_| ServiceError::Overloaded {
            what: "the call cannot be put on record",
            retry_after: SOON,
        })?;
        Ok(Some(begun))
    }

    /// How the call ended. Nobody waits until that is on record: it has happened.
    pub(super) fn end(begun: Begun, outcome: &Result<Reply, ServiceError>) {
        let text;
        let end = match outcome {
            Ok(reply) => End {
                ending: if reply.is_tool_error {
                    Ending::ToolError
                } else {
                    Ending::Ok
                },
                output: Some(&reply.members),
                bytes: reply.members.as_str().len(),
                ..End::of(Ending::Ok)
            },
            Err(error) => {
                text = error.to_string();
                End {
                    error: Some(&text),
                    ..End::of(ending_of(error))
                }
            }
        };
        drop(begun.end(&end));
    }

    /// It was not allowed. That nobody could write that down lets nothing happen.
    pub(super) async fn denied(
        &self,
        call: &Call,
        about: Option<&Named>,
        decision: &Decision,
        policy: &str,
        why: &str,
    ) {
        if let Ok(Some(begun)) = self.begin(call, about, decision, policy).await {
            drop(begun.end(&End {
                error: Some(why),
                ..End::of(Ending::Denied)
            }));
        }
    }

    fn note(&self, event: &Event) {
        if let Some(audit) = &self.0.audit {
            drop(audit.note(event));
        }
    }
}

fn party(call: &Call) -> Party<'_> {
    let context = &call.context;
    Party {
        caller: &context.caller,
        session: context.session.as_ref().map(|session| &*session.0),
        origin: &context.origin,
    }
}

const fn ending_of(error: &ServiceError) -> Ending {
    match error {
        ServiceError::Cancelled => Ending::Cancelled,
        ServiceError::DeadlineExceeded => Ending::Timeout,
        ServiceError::OutcomeUnknown(_) => Ending::Unknown,
        ServiceError::Limited { .. } | ServiceError::Denied(_) | ServiceError::NeedsScopes(_) => {
            Ending::Denied
        }
        ServiceError::MethodNotFound(_)
        | ServiceError::UnknownTool(_)
        | ServiceError::UnknownPrompt(_)
        | ServiceError::ResourceNotFound { .. }
        | ServiceError::NotATask(_)
        | ServiceError::NoTasks(_)
        | ServiceError::UnknownTask
        | ServiceError::InvalidParams(_)
        | ServiceError::InvalidRequestState
        | ServiceError::MissingCapability(_)
        | ServiceError::Overloaded { .. }
        | ServiceError::Unavailable { .. }
        | ServiceError::Upstream(_)
        | ServiceError::Application { .. }
        | ServiceError::ResultTooLarge { .. }
        | ServiceError::Internal => Ending::Error,
    }
}
