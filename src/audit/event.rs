//! What happens and is recorded: how a call begins and ends, and everything else.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::chain::{hex, push_hex};
use crate::identity::{Caller, Origin};
use crate::protocol::raw::RawJson;
use crate::runtime::seal;

/// Which call: joins its two records. Unlike any other of any run of any node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    run: u64,
    count: u64,
}

/// Makes the ids of one run.
#[derive(Debug)]
pub(super) struct CallIds {
    run: u64,
    count: AtomicU64,
}

impl CallIds {
    pub(super) fn new() -> Self {
        Self {
            run: u64::from_be_bytes(seal::random()),
            count: AtomicU64::new(0),
        }
    }

    pub(super) fn next(&self) -> CallId {
        CallId {
            run: self.run,
            count: self.count.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl CallId {
    /// As it is written.
    pub(super) fn push(self, out: &mut String) {
        push_hex(out, &self.run.to_be_bytes());
        out.push('-');
        let count = hex(&self.count.to_be_bytes());
        let count = count.trim_start_matches('0');
        out.push_str(if count.is_empty() { "0" } else { count });
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.push(&mut text);
        f.write_str(&text)
    }
}

/// A text is no call id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a call id looks like 0123456789abcdef-1f")]
pub struct NotACallId;

impl FromStr for CallId {
    type Err = NotACallId;

    fn from_str(text: &str) -> Result<Self, NotACallId> {
        let (run, count) = text.split_once('-').ok_or(NotACallId)?;
        let number = |text: &str| u64::from_str_radix(text, 16).map_err(|_| NotACallId);
        Ok(Self {
            run: number(run)?,
            count: number(count)?,
        })
    }
}

/// Who did something, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Party<'a> {
    /// Who.
    pub caller: &'a Caller,
    /// The session, if there is one: only a keyed hash of it is recorded.
    pub session: Option<&'a str>,
    /// From where.
    pub origin: &'a Arc<Origin>,
}

/// A call that is about to be dispatched.
#[derive(Clone, Copy, Debug)]
pub struct Begin<'a> {
    /// Who calls.
    pub party: Party<'a>,
    /// The id of the trace it belongs to.
    pub trace: Option<&'a str>,
    /// The method.
    pub method: &'a str,
    /// What it is about: a tool's name, a resource's URI.
    pub target: Option<&'a str>,
    /// Whether a server gave it that name. What a client chose may name a person, and is sealed.
    pub is_target_given: bool,
    /// Where it goes, if that is known already.
    pub upstream: Option<&'a str>,
    /// Why it may.
    pub decision: Decision<'a>,
    /// Its arguments.
    pub input: Option<&'a RawJson>,
    /// Bytes of the request.
    pub bytes: usize,
}

/// What the policy said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decision<'a> {
    /// Whether the call is allowed. Where nothing is asked, everything is.
    pub is_allowed: bool,
    /// The rule that decided.
    pub rule: Option<&'a str>,
    /// The version of the policy.
    pub policy: Option<&'a str>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// In one word.
    pub ending: Ending,
    /// The code of its error.
    pub code: Option<i64>,
    /// Its result.
    pub output: Option<&'a RawJson>,
    /// What the error says.
    pub error: Option<&'a str>,
    /// Where it went, if that was not known before.
    pub upstream: Option<&'a str>,
    /// Bytes of the answer.
    pub bytes: usize,
}

impl End<'_> {
    /// An end of which nothing more is known.
    #[must_use]
    pub const fn of(ending: Ending) -> Self {
        Self {
            ending,
            code: None,
            output: None,
            error: None,
            upstream: None,
            bytes: 0,
        }
    }
}

/// How a call ended, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a result.
    Ok,
    /// With a result that says the tool failed.
    ToolError,
    /// With an error.
    Error,
    /// Its client cancelled it or went away.
    Cancelled,
    /// Its deadline passed.
    Timeout,
    /// It was not allowed.
    Denied,
    /// Nobody knows.
    Unknown,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Ok,
        Self::ToolError,
        Self::Error,
        Self::Cancelled,
        Self::Timeout,
        Self::Denied,
        Self::Unknown,
    ];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ToolError => "tool_error",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
            Self::Timeout => "timeout",
            Self::Denied => "denied",
            Self::Unknown => "unknown",
        }
    }
}

/// Something that happened besides calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose records it belongs to.
    pub tenant: Arc<str>,
    /// Whom it is about: what is personal about it is sealed under their key.
    pub subject: Option<Arc<str>>,
    /// From where.
    pub from: Option<Arc<Origin>>,
    /// The session, if there is one: only a keyed hash of it is recorded.
    pub session: Option<String>,
    /// Which API key it was done with, if it was one.
    pub key: Option<Arc<str>>,
    /// What.
    pub what: What,
}

impl Event {
    /// Something about nobody in particular.
    #[must_use]
    pub fn of(tenant: &str, what: What) -> Self {
        Self {
            tenant: tenant.into(),
            subject: None,
            from: None,
            session: None,
            key: None,
            what,
        }
    }

    /// Something a caller did.
    #[must_use]
    pub fn by(party: Party<'_>, what: What) -> Self {
        Self {
            tenant: party.caller.tenant.clone(),
            subject: Some(party.caller.user.clone()),
            from: Some(party.origin.clone()),
            session: party.session.map(str::to_owned),
            key: party.caller.proof.key().cloned(),
            what,
        }
    }
}

/// What happened. The texts are words of ours and stand in clear: none of them names a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A credential was not accepted.
    AuthenticationFailed {
        /// Where.
        endpoint: String,
        /// Why, in a word.
        reason: String,
    },
    /// A credential was accepted for the first time.
    AuthenticationSucceeded {
        /// Where.
        endpoint: String,
        /// What kind of proof it is.
        proof: String,
    },
    /// More scopes were asked for than the credential has.
    StepUp {
        /// Joins the challenge and the later grant.
        correlation: String,
        /// The scopes that are needed.
        scopes: Vec<String>,
        /// Whether they were granted by now.
        is_granted: bool,
    },
    /// The policy was asked about something that is no call.
    PermissionDecided {
        /// The method.
        method: String,
        /// What it is about.
        target: String,
        /// Whether it is allowed.
        is_allowed: bool,
        /// The rule that decided.
        rule: String,
        /// The version of the policy.
        policy: String,
    },
    /// Another policy holds.
    PolicyChanged {
        /// Its version.
        version: String,
        /// The version before.
        previous: String,
    },
    /// An API key was made.
    KeyCreated {
        /// Which.
        key: String,
        /// What it may be used as.
        roles: Vec<String>,
    },
    /// An API key was revoked.
    KeyRevoked {
        /// Which.
        key: String,
    },
    /// A session was opened.
    SessionOpened {
        /// Where.
        endpoint: String,
    },
    /// A session ended.
    SessionClosed {
        /// Why, in a word.
        reason: String,
    },
    /// An id was presented by somebody who never had what it names: of somebody else, or invented.
    ForeignIdRefused {
        /// Where.
        endpoint: String,
        /// Of what: a session, or an event of its streams.
        what: String,
    },
    /// Another node carries on a session.
    SessionTakenOver {
        /// Under which epoch.
        epoch: u64,
    },
    /// The definition of a tool is another than before.
    PinChanged {
        /// Whose tool.
        upstream: String,
        /// Which.
        item: String,
        /// The hash before.
        previous: String,
        /// The hash now.
        current: String,
        /// What is done about it.
        policy: String,
    },
    /// Records were given out.
    Exported {
        /// Whose, as the records name them; empty for the bundle about controls.
        reference: String,
        /// How many.
        records: u64,
    },
    /// What is personal about somebody was made unreadable.
    Erased {
        /// Whose, as the records name them; nobody can find out who that was any more.
        reference: String,
    },
    /// Records grew too old.
    RetentionRun {
        /// Segments that were deleted, as class and first record.
        segments: Vec<String>,
        /// Days whose payloads were made unreadable, counted from 1970.
        payload_days: Vec<u64>,
    },
    /// A segment ended within a record when this process started.
    TailCut {
        /// Its class and first record.
        segment: String,
        /// Bytes that were cut off.
        bytes: u64,
    },
    /// Something is wrong with the records themselves.
    Alarm {
        /// What.
        problem: String,
        /// How many records it cost.
        lost: u64,
    },
}

impl What {
    /// What the kinds of these records are called.
    pub const KINDS: [&'static str; 17] = [
        "authentication_failed",
        "authentication_succeeded",
        "step_up",
        "permission_decided",
        "policy_changed",
        "key_created",
        "key_revoked",
        "session_opened",
        "session_closed",
        "foreign_id_refused",
        "session_taken_over",
        "pin_changed",
        "exported",
        "erased",
        "retention_run",
        "tail_cut",
        "alarm",
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_record_has_its_name_in_the_list() {
        let wrong = serde_json::from_str::<What>(r#"{"kind":"none"}"#).unwrap_err();
        let wrong = wrong.to_string();
        let known = wrong.split_once("expected one of ").unwrap().1;
        let known: Vec<_> = known.split('`').skip(1).step_by(2).collect();
        assert_eq!(known, What::KINDS);
    }

    #[test]
    fn a_call_id_reads_as_it_is_written() {
        let ids = CallIds::new();
        let (first, second) = (ids.next(), ids.next());
        assert_ne!(first, second);
        assert_eq!(first.to_string().parse(), Ok(first));
        for wrong in ["", "1", "x-1", "1-", "1-2-3"] {
            assert_eq!(wrong.parse::<CallId>(), Err(NotACallId), "{wrong}");
        }
    }
}
