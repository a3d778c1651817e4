//! A record on its way to the writer: written once, as text, by whoever records.
//!
//! What stands in clear is in `fields`; who did it and what went in and out is sealed by the writer,
//! which knows the keys.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use super::chain::Keys;
use super::event::{Begin, CallId, Decision, End, Event, Party};
use super::layout::{Trail, TrailId};
use super::redact::{Redactor, Report};
use crate::protocol::encode;

/// Letters of any text in clear: names and versions are short, and strangers choose some of them.
const TEXT_MAX: usize = 256;
/// Letters of a resource's URI, or an error's text.
const LONG_TEXT_MAX: usize = 2_048;
/// Bytes an entry takes besides its texts.
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
    Reference(String),
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
    pub(super) who: Option<String>,
    pub(super) payload: Option<String>,
}

impl Entry {
    /// Bytes it keeps in memory while it waits.
    pub(super) fn weight(&self) -> usize {
        let sealed = [&self.who, &self.payload];
        let sealed: usize = sealed
            .iter()
            .map(|text| text.as_ref().map_or(0, String::len))
            .sum();
        OVERHEAD + self.fields.len() + sealed
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
        self.name(name);
        encode::push_string(&mut self.0, cut(text, TEXT_MAX));
    }

    fn optional(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    fn number(&mut self, name: &str, number: impl std::fmt::Display) {
        self.name(name);
        write!(self.0, "{number}").expect("invariant: writing to memory does not fail");
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

    /// As a whole object.
    fn braced(self) -> String {
        format!("{{{}}}", self.0)
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
        members.number("call", format_args!("\"{call}\""));
        self.place(&mut members, &begin.party);
        members.optional("trace", begin.trace);
        if let Some(epoch) = begin.epoch {
            members.number("epoch", epoch);
        }
        members.text("method", begin.method);
        let tool = begin.target;
        let mut who = who(&begin.party);
        if let Some(target) = begin.target {
            let target = self
                .redactor
                .text(tenant, tool, cut(target, LONG_TEXT_MAX), &mut report);
            let place = if begin.is_target_given {
                &mut members
            } else {
                &mut who
            };
            place.name("target");
            encode::push_string(&mut place.0, &target);
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
            who: Some(who.braced()),
            payload,
        }
    }

    /// The record of a call that ended.
    pub(super) fn end(&self, call: CallId, of: &Open, end: &End<'_>, moment: Moment) -> Entry {
        let tool = of.target.as_deref();
        let mut report = Report::default();
        let mut members = Members::begin("end");
        members.number("call", format_args!("\"{call}\""));
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
        let who = event.subject.as_ref().map(|user| {
            let mut who = Members(String::new());
            who.text("user", user);
            if let Some(from) = &event.from {
                origin(&mut who, from.address, from.user_agent.as_deref());
            }
            who.braced()
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

/// What is personal about who calls: sealed.
fn who(party: &Party<'_>) -> Members {
    let mut who = Members(String::with_capacity(192));
    who.text("user", &party.caller.user);
    who.text("principal", party.caller.principal.key());
    origin(&mut who, party.address, party.user_agent);
    who
}

fn origin(who: &mut Members, address: Option<IpAddr>, user_agent: Option<&str>) {
    if let Some(address) = address {
        who.number("address", format_args!("\"{address}\""));
    }
    who.optional("user_agent", user_agent);
}
