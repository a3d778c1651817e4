//! The closed sets that label values come from.
//!
//! A label is an enum here, never a text from outside, so that the number of time series has a
//! bound that can be read off: the product of the sets' sizes. [`UpstreamName`] alone is open; the
//! configuration bounds it.

use crate::protocol::method::Method;
use crate::protocol::version::Era;

/// A closed set of label values.
pub trait Label: Sized {
    /// The label's key.
    const KEY: &'static str;
    /// How many values there are.
    const COUNT: usize;

    /// The value as it is written; a good label is also a good log field.
    fn text(&self) -> &'static str;
    /// Its place in the set, below [`Label::COUNT`].
    fn index(&self) -> usize;
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident = $key:literal {
        $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
        }

        impl Label for $name {
            const KEY: &'static str = $key;
            const COUNT: usize = Self::ALL.len();

            fn text(&self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            fn index(&self) -> usize {
                *self as usize
            }
        }
    };
}

label! {
    /// How a request ended.
    Outcome = "outcome" {
        /// With a result.
        Ok = "ok",
        /// With a result that says the tool failed.
        ToolError = "tool_error",
        /// With a JSON-RPC error.
        Error = "error",
        /// With a question back to the client (stateless era).
        InputRequired = "input_required",
        /// Its client cancelled it or went away.
        Cancelled = "cancelled",
        /// Its deadline passed.
        Deadline = "deadline",
        /// It was never begun: shed, rejected or denied.
        Refused = "refused",
    }
}

label! {
    /// What came of reading the configuration again.
    ReloadOutcome = "outcome" {
        /// The gateway was told something new.
        Applied = "applied",
        /// Nothing that takes effect now is new.
        Unchanged = "unchanged",
        /// It is wrong, and the one before stays.
        Refused = "refused",
    }
}

/// The name of an upstream, from the configuration, which has at most 200 of them.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamName;

impl UpstreamName {
    /// The label's key.
    pub const KEY: &str = "upstream";

    /// The label of one.
    pub(super) fn label(name: &str) -> metrics::Label {
        metrics::Label::new(Self::KEY, name.to_owned())
    }
}

label! {
    /// How a request to an upstream ended.
    UpstreamEnd = "end" {
        /// It was answered, with a result or an error of the protocol.
        Answered = "answered",
        /// It was kept away: by the breaker, or for want of a place or a process.
        KeptAway = "kept_away",
        /// Nothing was sent, or nothing ran.
        NotSent = "not_sent",
        /// The upstream turned it away below the protocol.
        Refused = "refused",
        /// Nobody knows: no answer in time, or the connection broke.
        Unknown = "unknown",
        /// The upstream broke the protocol.
        Broke = "broke",
        /// The answer was larger than what is taken.
        TooLarge = "too_large",
        /// Its client left.
        Cancelled = "cancelled",
    }
}

label! {
    /// How a task ended.
    TaskEnd = "end" {
        /// With a result.
        Completed = "completed",
        /// Without one.
        Failed = "failed",
        /// Its client cancelled it.
        Cancelled = "cancelled",
    }
}

label! {
    /// What a stream is for.
    StreamKind = "kind" {
        /// The standing stream of a session.
        Standing = "standing",
        /// A call that became a stream.
        Call = "call",
        /// A resumed stream: it replays, then follows.
        Replay = "replay",
        /// A stateless subscription.
        Listen = "listen",
        /// The one stream of an HTTP+SSE session.
        Sse = "sse",
    }
}

label! {
    /// Why a session ended.
    CloseReason = "reason" {
        /// Its client said so.
        Deleted = "deleted",
        /// Nobody used it for the idle time.
        Idle = "idle",
        /// It reached its greatest age.
        Expired = "expired",
        /// Its connection ended, and with it the session (HTTP+SSE, stdio).
        Disconnected = "disconnected",
        /// Its record is gone from the store.
        Lost = "lost",
        /// Everything about its user was erased.
        Erased = "erased",
        /// It kept failing after being restored.
        Failed = "failed",
        /// The process stopped and its store ends with it.
        Stopped = "stopped",
    }
}

label! {
    /// Why something was refused.
    Refusal = "reason" {
        /// The `Host` header is missing, repeated or not on the list.
        Host = "host",
        /// The `Origin` is not on the list.
        Origin = "origin",
        /// Not HTTP, JSON or JSON-RPC as it must be.
        Malformed = "malformed",
        /// A media type or content coding we do not take.
        MediaType = "media_type",
        /// The body is over the limit.
        BodySize = "body_size",
        /// A header, the header block or the URI is over the limit.
        HeaderSize = "header_size",
        /// Header or body came too slowly.
        Slow = "slow",
        /// Too many connections from one address.
        Connections = "connections",
        /// Too many sessions on this node.
        Sessions = "sessions",
        /// Too many sessions of one principal.
        PrincipalSessions = "principal_sessions",
        /// Too many running calls in one session.
        Calls = "calls",
        /// Too many open streams.
        Streams = "streams",
        /// No credential, or one that is not accepted.
        Credential = "credential",
        /// No such session, or not this caller's.
        UnknownSession = "unknown_session",
        /// A protocol version we do not serve, or not here.
        Version = "version",
        /// The store is needed and away.
        Store = "store",
        /// The process is stopping.
        Stopping = "stopping",
    }
}

label! {
    /// Why a limit refused a call.
    LimitReason = "reason" {
        /// As many had passed as may.
        Rate = "rate",
        /// As many ran as may.
        Running = "running",
        /// The store that nodes share was away.
        StoreAway = "store_away",
        /// This node counted as much as it can.
        Full = "full",
    }
}

label! {
    /// What came of asking the store for the tokens of limits.
    AskEnd = "end" {
        /// It answered.
        Answered = "answered",
        /// It did not; the limits did as they say for that.
        Failed = "failed",
    }
}

label! {
    /// What the store was asked to do.
    StoreOperation = "operation" {
        /// Write the record of a new scope.
        Create = "create",
        /// Read a record.
        Read = "read",
        /// Overwrite a record.
        CompareAndSet = "compare_and_set",
        /// Move expiries on.
        Touch = "touch",
        /// Remove a scope.
        Remove = "remove",
        /// Claim a single thing.
        Claim = "claim",
        /// Ask who owns a single thing.
        Ownership = "ownership",
        /// Append to an event log.
        Append = "append",
        /// Read an event log.
        ReadLog = "read_log",
        /// Put a message into an inbox.
        Post = "post",
        /// Take messages from an inbox.
        Receive = "receive",
        /// Drop what has expired.
        Sweep = "sweep",
        /// Write out what is buffered.
        Flush = "flush",
    }
}

impl Label for Era {
    const KEY: &'static str = "era";
    const COUNT: usize = 2;

    fn text(&self) -> &'static str {
        self.label()
    }

    fn index(&self) -> usize {
        match self {
            Self::Session => 0,
            Self::Stateless => 1,
        }
    }
}

impl Label for Method {
    const KEY: &'static str = "method";
    const COUNT: usize = Self::KNOWN.len() + 1;

    fn text(&self) -> &'static str {
        self.label()
    }

    fn index(&self) -> usize {
        match self {
            Self::Initialize => 0,
            Self::Ping => 1,
            Self::Discover => 2,
            Self::Listen => 3,
            Self::ToolsList => 4,
            Self::ToolsCall => 5,
            Self::ResourcesList => 6,
            Self::ResourceTemplatesList => 7,
            Self::ResourcesRead => 8,
            Self::ResourcesSubscribe => 9,
            Self::ResourcesUnsubscribe => 10,
            Self::PromptsList => 11,
            Self::PromptsGet => 12,
            Self::Complete => 13,
            Self::SetLevel => 14,
            Self::TasksGet => 15,
            Self::TasksUpdate => 16,
            Self::TasksCancel => 17,
            Self::TasksResult => 18,
            Self::TasksList => 19,
            Self::Other(_) => 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_a_closed_set<L: Label>(all: &[L]) {
        assert_eq!(all.len(), L::COUNT, "{}", L::KEY);
        for (place, value) in all.iter().enumerate() {
            assert_eq!(value.index(), place, "{} {}", L::KEY, value.text());
            let twins = all.iter().filter(|other| other.text() == value.text());
            assert_eq!(twins.count(), 1, "{} {}", L::KEY, value.text());
        }
    }

    #[test]
    fn every_label_value_has_its_own_place_and_text() {
        is_a_closed_set(Outcome::ALL);
        is_a_closed_set(TaskEnd::ALL);
        is_a_closed_set(StreamKind::ALL);
        is_a_closed_set(CloseReason::ALL);
        is_a_closed_set(Refusal::ALL);
        is_a_closed_set(LimitReason::ALL);
        is_a_closed_set(AskEnd::ALL);
        is_a_closed_set(StoreOperation::ALL);
        is_a_closed_set(&[Era::Session, Era::Stateless]);
        let mut methods = Method::KNOWN.to_vec();
        methods.push(Method::parse("no/such"));
        is_a_closed_set(&methods);
    }
}
