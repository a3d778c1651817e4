//! A record on its way to the writer: written once, as text, by whoever records.
//!
//! What stands in clear is in `fields`; who did it and what went in and out is sealed by the writer,
//! which knows the keys.

use std::fmt::Write as _;
use std::sync::Arc;

use super::chain::Keys;
use super::event::{Begin, CallId, Decision, End, Event, Party};
use super::layout::{Trail, TrailId};
use super::redact::{Redactor, Report};
use crate::identity::{Origin, Principal};
use crate::protocol::encode;

/// Letters of any text in clear: names and versions are short, and strangers choose some of them.
const TEXT_MAX: usize = 256;
/// Letters of a resource's URI, or an error's text.
const LONG_TEXT_MAX: usize = 2_048;
/// Bytes an entry takes besides its texts; most of what it says of who did it is shared.
const OVERHEAD: usize = 256;

/// When something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// In milliseconds since 1970.
    pub(super) at_ms: u64,
    /// In microseconds since the process began; never steps back.
    pub(super) up_us: u64,
}

/// What a record means for the calls that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marks {
    Nothing,
    Begins(CallId),
    Ends(CallId),
}

/// Whom a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum About {
    Nobody,
    /// A user of the tenant, under whose key things are sealed.
    User(Arc<str>),
    /// Somebody by their reference: nothing can be sealed for them.
    Reference(Arc<str>),
}

/// See the module docs.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: TrailId,
    pub(super) moment: Moment,
    pub(super) marks: Marks,
    pub(super) about: About,
    /// Members of the record in clear, without braces.
    pub(super) fields: String,
    pub(super) who: Option<Who>,
    pub(super) payload: Option<String>,
}

/// What is personal about who did something: sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Who {
    user: Arc<str>,
    principal: Option<Principal>,
    from: Option<Arc<Origin>>,
    /// What they asked for, where they chose what it is called.
    target: Option<String>,
}

impl Who {
    /// As a JSON object.
    pub(super) fn text(&self) -> String {
        let mut who = Members(String::with_capacity(192));
        // Whole, since they are erased by it; it came in a header, which has a bound.
        who.whole_text("user", &self.user);
        if let Some(principal) = &self.principal {
            who.whole_text("principal", principal.key());
        }
        if let Some(from) = &self.from {
            let address = from.address.map(|address| address.to_string());
            who.optional("address", address.as_deref());
            who.optional("user_agent", from.user_agent.as_deref());
        }
        if let Some(target) = &self.target {
            who.whole_text("target", target);
        }
        format!("{{{}}}", who.done())
    }
}

impl Entry {
    /// Bytes it keeps in memory while it waits.
    pub(super) fn weight(&self) -> usize {
        let target = self.who.as_ref().and_then(|who| who.target.as_ref());
        let texts = [target, self.payload.as_ref()].into_iter().flatten();
        OVERHEAD + self.fields.len() + texts.map(String::len).sum::<usize>()
    }
}

/// Members being written.
#[derive(Debug)]
pub(super) struct Members(String);

impl Members {
    pub(super) fn begin(kind: &str) -> Self {
        let mut members = Self(String::with_capacity(512));
        members.text("kind", kind);
        members
    }

    fn name(&mut self, name: &str) {
        let comma = if self.0.is_empty() { "\"" } else { ",\"" };
        self.0.push_str(comma);
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.whole_text(name, cut(text, TEXT_MAX));
    }

    /// A text that was cut before, if need be.
    fn whole_text(&mut self, name: &str, text: &str) {
        self.name(name);
        encode::push_string(&mut self.0, text);
    }

    fn optional(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    fn number(&mut self, name: &str, number: impl itoa::Integer) {
        self.name(name);
        self.0.push_str(itoa::Buffer::new().format(number));
    }

    pub(super) fn call(&mut self, call: CallId) {
        self.name("call");
        self.0.push('"');
        call.push(&mut self.0);
        self.0.push('"');
    }

    fn flag(&mut self, name: &str, flag: bool) {
        self.name(name);
        self.0.push_str(if flag { "true" } else { "false" });
    }

    fn report(&mut self, report: &Report) {
        if !report.is_empty() {
            self.name("redacted");
            write!(self.0, "{{{report}}}").expect("invariant: writing to memory does not fail");
        }
    }

    pub(super) fn done(self) -> String {
        self.0
    }
}

/// At most so many bytes of a text.
fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// What every record is made with.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) keys: Arc<Keys>,
    pub(super) redactor: Redactor,
    pub(super) node: Arc<str>,
    /// Whether inputs and outputs are kept, and how much of each.
    pub(super) payload_max: Option<usize>,
}

impl Desk {
    /// The record of a call that begins.
    pub(super) fn begin(&self, call: CallId, begin: &Begin<'_>, moment: Moment) -> Entry {
        let caller = begin.party.caller;
        let tenant = &*caller.tenant;
        let mut report = Report::default();
        let mut members = Members::begin("begin");
        members.call(call);
        self.place(&mut members, &begin.party);
        members.optional("trace", begin.trace);
        members.text("method", begin.method);
        let tool = begin.target;
        let mut who = Who {
            user: caller.user.clone(),
            principal: Some(caller.principal.clone()),
            from: Some(begin.party.origin.clone()),
            target: None,
        };
        if let Some(target) = begin.target {
            let target = self
                .redactor
                .text(tenant, tool, cut(target, LONG_TEXT_MAX), &mut report);
            if begin.is_target_given {
                members.whole_text("target", &target);
            } else {
                who.target = Some(target.into_owned());
            }
        }
        members.optional("upstream", begin.upstream);
        decision(&mut members, &begin.decision);
        members.number("bytes", begin.bytes);
        let payload = self.payload_max.and_then(|most| {
            let input = begin.input?;
            let clean = self
                .redactor
                .document(tenant, tool, input, most, &mut report);
            Some(format!(r#"{{"input":{clean}}}"#))
        });
        members.report(&report);
        Entry {
            id: TrailId {
                tenant: caller.tenant.clone(),
                trail: Trail::Calls,
            },
            moment,
            marks: Marks::Begins(call),
            about: About::User(caller.user.clone()),
            fields: members.done(),
            who: Some(who),
            payload,
        }
    }

    /// The record of a call that ended.
    pub(super) fn end(&self, call: CallId, of: &Open, end: &End<'_>, moment: Moment) -> Entry {
        let tool = of.target.as_deref();
        let mut report = Report::default();
        let mut members = Members::begin("end");
        members.call(call);
        members.text("node", &self.node);
        members.text("outcome", end.ending.as_str());
        if let Some(code) = end.code {
            members.number("code", code);
        }
        members.number("took_us", moment.up_us.saturating_sub(of.began_us));
        members.optional("upstream", end.upstream);
        members.number("bytes", end.bytes);
        let payload = self
            .payload_max
            .and_then(|most| self.answer(&of.tenant, tool, end, most, &mut report));
        members.report(&report);
        Entry {
            id: TrailId {
                tenant: of.tenant.clone(),
                trail: Trail::Calls,
            },
            moment,
            marks: Marks::Ends(call),
            about: About::User(of.user.clone()),
            fields: members.done(),
            who: None,
            payload,
        }
    }

    /// The record of something else.
    pub(super) fn event(&self, event: &Event, moment: Moment) -> Entry {
        let whole = serde_json::to_string(&event.what).expect("invariant: our values serialize");
        // Without its braces.
        let mut members = Members(whole[1..whole.len() - 1].to_owned());
        members.text("node", &self.node);
        if let Some(session) = &event.session {
            members.text("session", &self.keys.session(session));
        }
        members.optional("key", event.key.as_deref());
        let who = event.subject.as_ref().map(|user| Who {
            user: user.clone(),
            principal: None,
            from: event.from.clone(),
            target: None,
        });
        Entry {
            id: TrailId {
                tenant: event.tenant.clone(),
                trail: Trail::Security,
            },
            moment,
            marks: Marks::Nothing,
            about: event.subject.clone().map_or(About::Nobody, About::User),
            fields: members.done(),
            who,
            payload: None,
        }
    }

    /// A call's result and its error's text, as far as there are any.
    fn answer(
        &self,
        tenant: &str,
        tool: Option<&str>,
        end: &End<'_>,
        most: usize,
        report: &mut Report,
    ) -> Option<String> {
        let mut answer = String::new();
        if let Some(output) = end.output {
            answer.push_str("{\"output\":");
            answer.push_str(&self.redactor.document(tenant, tool, output, most, report));
        }
        if let Some(error) = end.error {
            answer.push_str(if answer.is_empty() { "{" } else { "," });
            answer.push_str("\"error\":");
            let error = self
                .redactor
                .text(tenant, tool, cut(error, LONG_TEXT_MAX), report);
            encode::push_string(&mut answer, &error);
        }
        (!answer.is_empty()).then(|| answer + "}")
    }

    fn place(&self, members: &mut Members, party: &Party<'_>) {
        members.text("node", &self.node);
        members.text("tenant", &party.caller.tenant);
        members.optional("client", party.caller.client.as_deref());
        members.text("proof", party.caller.proof.as_str());
        members.optional("key", party.caller.proof.key().map(|key| &**key));
        if let Some(session) = party.session {
            members.text("session", &self.keys.session(session));
        }
    }
}

/// What the end of a call has to know of its beginning.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) tenant: Arc<str>,
    pub(super) user: Arc<str>,
    pub(super) target: Option<Box<str>>,
    pub(super) began_us: u64,
}

fn decision(members: &mut Members, decision: &Decision<'_>) {
    members.flag("allowed", decision.is_allowed);
    members.optional("rule", decision.rule);
    members.optional("policy", decision.policy);
}
