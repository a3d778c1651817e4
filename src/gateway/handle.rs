//! Handles: sessions with an upstream that clients name in the calls they make.
//!
//! Some servers keep state from one call to the next, and nothing in a call of a client without sessions
//! says which calls belong together. With [`Isolation::Handle`](super::config::Isolation::Handle) tools
//! of the upstream have one more argument. A call without it opens a session, and its result tells the
//! handle; a call with it goes on in that session. A model carries it like any other argument.
//!
//! A handle is sealed, and good for its principal, its endpoint and its upstream alone. It names the node
//! that holds the session, and nothing of it is kept but the session itself. One whose session is gone
//! is refused: to begin anew silently would be to go on with other state than the caller believes.
//!
//! Spec: SEP-2567, explicit state handles.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::bridge::capability_set::CapabilitySet;
use super::upstream::Upstream;
use super::upstream::line::Line;
use crate::protocol::jsonrpc::Params;
use crate::protocol::members::Members;
use crate::protocol::params::ParamsHead;
use crate::protocol::raw::{self, RawJson};
use crate::protocol::tool::ToolResult;
use crate::runtime::seal::{self, Seal};
use crate::service::{Call, CallContext, Reply};
use crate::store::Incarnation;

/// Where a result tells the handle, for programs.
const META_KEY: &str = "switchboard/handle";

/// A session with an upstream that a client may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Handle {
    /// Who holds it.
    pub(super) node: Incarnation,
    /// Which of that node's.
    pub(super) number: u64,
    /// What the upstream was told when the session was opened; later calls do not change that.
    pub(super) capabilities: CapabilitySet,
}

/// What a call says about the session it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// Nothing: it begins one.
    Nothing,
    /// This one, which may be gone.
    Session(Handle),
    /// Something that is no handle, or somebody else's: nobody can tell which.
    Unknown,
}

/// Makes and reads handles.
#[derive(Debug)]
pub(super) struct Handles {
    seal: Seal,
    node: Incarnation,
}

impl Handles {
    pub(super) const fn new(seal: Seal, node: Incarnation) -> Self {
        Self { seal, node }
    }

    /// One for a session that this node is about to open.
    pub(super) fn next(&self, capabilities: CapabilitySet) -> Handle {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        Handle {
            node: self.node,
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            capabilities,
        }
    }

    /// What `call` says in the argument of that name.
    pub(super) fn named(&self, call: &Call, upstream: &Upstream) -> Named {
        let arguments = ParamsHead::of(&call.params).arguments.unwrap_or("{}");
        let handle = match said(arguments, &upstream.config.handle) {
            Said::Nothing => return Named::Nothing,
            Said::Text(text) => self.open(&text, &call.context, upstream.name()),
            Said::Other => None,
        };
        handle.map_or(Named::Unknown, Named::Session)
    }

    /// The handle as a client carries it.
    pub(super) fn text(&self, handle: Handle, context: &CallContext, upstream: &str) -> String {
        let mut contents = Vec::with_capacity(17);
        contents.extend(handle.node.0.to_be_bytes());
        contents.extend(handle.number.to_be_bytes());
        contents.push(handle.capabilities.bits());
        self.seal.seal(&whose(context, upstream), &contents)
    }

    fn open(&self, text: &str, context: &CallContext, upstream: &str) -> Option<Handle> {
        let contents = self.seal.open(&whose(context, upstream), text).ok()?;
        let (node, rest) = contents.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let [capabilities] = rest else { return None };
        Some(Handle {
            node: Incarnation(u64::from_be_bytes(*node)),
            number: u64::from_be_bytes(*number),
            capabilities: CapabilitySet::from_bits(*capabilities),
        })
    }
}

/// What stands where a handle may.
enum Said<'a> {
    Nothing,
    Text(Cow<'a, str>),
    Other,
}

fn said<'a>(arguments: &'a str, argument: &str) -> Said<'a> {
    let arguments = raw::entries(arguments).into_iter();
    let mut found = arguments.filter(|(key, _)| key == argument);
    let (first, second) = (found.next(), found.next());
    match (first.map(|(_, value)| value), second) {
        // Models write nothing in several ways.
        (None | Some("null"), None) => Said::Nothing,
        (Some(value), None) => match raw::string(value) {
            Some(text) if text.is_empty() => Said::Nothing,
            Some(text) => Said::Text(text),
            None => Said::Other,
        },
        (_, Some(_)) => Said::Other,
    }
}

/// Whom and what a handle is for.
fn whose(context: &CallContext, upstream: &str) -> [u8; 32] {
    seal::digest(&[
        context.principal().key().as_bytes(),
        context.endpoint.as_bytes(),
        upstream.as_bytes(),
    ])
}

/// The arguments of a call without the one that names a session.
pub(super) fn arguments_without(params: &Params, argument: &str) -> Option<String> {
    let mut arguments = Members::of(ParamsHead::of(params).arguments?)?;
    arguments.remove(argument)?;
    Some(arguments.to_string())
}

/// What a call is told whose handle names no session that is there.
pub(super) fn unknown(upstream: &Upstream, context: &CallContext) -> Reply {
    let argument = &upstream.config.handle;
    let what = format!(
        "upstream `{}` has no session of yours under this `{argument}`: one ends when it was not used \
         for {:?}, with its process, and with the node that holds it. What it held is lost. Call again \
         without `{argument}` to begin a new one.",
        upstream.name(),
        upstream.config.timeouts.idle,
    );
    Reply::tool(&ToolResult::error(what), context.version)
}

/// A session that was opened for a call. Unless its client is told of it, nobody can ever name it, and
/// it ends.
#[derive(Debug)]
pub(super) struct Opened {
    line: Arc<Line>,
    argument: String,
    text: String,
    is_told: bool,
}

impl Opened {
    /// The session on `line`, which the client may name by `text`.
    pub(super) fn new(line: Arc<Line>, argument: &str, text: String) -> Self {
        Self {
            line,
            argument: argument.to_owned(),
            text,
            is_told: false,
        }
    }

    /// Tells the client with the result of the call.
    pub(super) fn tell(mut self, reply: Reply) -> Reply {
        self.is_told = true;
        telling(reply, &self.argument, &self.text)
    }
}

/// A result that tells a handle: in words for a model, and as metadata for a program. What a tool says to
/// programs stays as it is.
fn telling(reply: Reply, argument: &str, handle: &str) -> Reply {
    let words = format!(
        "To go on where this call left off, pass `{argument}` = \"{handle}\" in the next call."
    );
    let block = json!({"type": "text", "text": words});
    let mut members = Members::of(reply.members.as_str()).unwrap_or_default();
    let content = members.get("content").unwrap_or("[]").trim_ascii();
    let before = content.strip_suffix(']').unwrap_or("[").trim_ascii_end();
    let comma = if before == "[" { "" } else { "," };
    let content = format!("{before}{comma}{block}]");
    members.set("content", content);
    let mut meta = reply.meta.as_ref().and_then(|it| Members::of(it.as_str()));
    let meta = meta.get_or_insert_default();
    meta.set(META_KEY, json!(handle).to_string());
    Reply {
        members: RawJson::from_valid(members.to_string()),
        meta: Some(RawJson::from_valid(meta.to_string())),
        ..reply
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if !self.is_told {
            self.line.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::identity::Caller;
    use crate::protocol::version::ProtocolVersion;
    use crate::runtime::seal::ClusterKeys;
    use crate::service::{Client, Deadline, Ongoing, Quiet};

    fn context(principal: &str, endpoint: &str) -> CallContext {
        CallContext {
            caller: Arc::new(Caller::known_as(principal)),
            origin: Arc::default(),
            credential: None,
            endpoint: endpoint.into(),
            session: None,
            version: ProtocolVersion::NEWEST,
            client: Arc::new(Client::unknown()),
            progress_token: None,
            cancel: CancellationToken::new(),
            deadline: Deadline::after(Duration::from_secs(1)),
            outlet: Arc::new(Quiet),
            ongoing: Ongoing::default(),
        }
    }

    #[tokio::test]
    async fn a_handle_opens_nothing_for_anybody_else_nor_anywhere_else() {
        let keys = ClusterKeys::generate();
        let node = |number| Handles::new(keys.seal("gateway handle"), Incarnation(number));
        let (here, there) = (node(7), node(8));
        let alice = context("alice", "main");
        let handle = here.next(CapabilitySet::all());
        let text = here.text(handle, &alice, "shop");
        assert_eq!(there.open(&text, &alice, "shop"), Some(handle));
        assert_eq!(handle.node, Incarnation(7));
        assert_ne!(here.next(CapabilitySet::all()), handle);
        for (context, upstream) in [
            (context("bob", "main"), "shop"),
            (context("alice", "other"), "shop"),
            (context("alice", "main"), "bank"),
        ] {
            assert_eq!(here.open(&text, &context, upstream), None);
        }
        let others = Handles::new(ClusterKeys::generate().seal("gateway handle"), here.node);
        assert_eq!(others.open(&text, &alice, "shop"), None);
    }

    #[test]
    fn what_is_no_text_names_no_session_and_begins_none() {
        for (arguments, expected) in [
            ("{}", true),
            (r#"{"session":null}"#, true),
            (r#"{"session":""}"#, true),
            (r#"{"session":true}"#, false),
            (r#"{"session":5}"#, false),
            (r#"{"session":["x"]}"#, false),
            (r#"{"session":"x"}"#, false),
        ] {
            let found = said(arguments, "session");
            let is_nothing = matches!(found, Said::Nothing);
            assert_eq!(is_nothing, expected, "{arguments}");
        }
    }

    #[test]
    fn the_argument_is_taken_out_and_the_others_stay_as_they_came() {
        for (arguments, without) in [
            (
                r#"{"n": 1.0, "session":"x", "a":[ 1 ]}"#,
                Some(r#"{"n":1.0,"a":[ 1 ]}"#),
            ),
            (r#"{"session":null}"#, Some("{}")),
            (r#"{"\u0073ession":"x"}"#, Some("{}")),
            (r#"{"n":{"session":"x"}}"#, None),
            ("null", None),
        ] {
            let params = format!(r#"{{"name":"count","arguments":{arguments}}}"#);
            let params = Params::new(RawJson::from_valid(params));
            let left = arguments_without(&params, "session");
            assert_eq!(left.as_deref(), without, "{arguments}");
        }
    }

    #[test]
    fn a_result_tells_its_handle_and_stays_what_it_was() {
        let told = |members: &str, meta: Option<&str>| {
            let reply = Reply {
                meta: meta.map(|meta| RawJson::from_valid(meta.to_owned())),
                ..Reply::complete(RawJson::from_valid(members.to_owned()))
            };
            let reply = telling(reply, "session", "h-1");
            (reply.members.to_value(), reply.meta.unwrap().to_value())
        };
        let words = "To go on where this call left off, pass `session` = \"h-1\" in the next call.";
        let block = json!({"type": "text", "text": words});
        let (members, meta) = told(r#"{"content":[ ],"structuredContent":{"n":1}}"#, None);
        assert_eq!(members["content"], json!([block]));
        assert_eq!(members["structuredContent"], json!({"n": 1}));
        assert_eq!(meta, json!({"switchboard/handle": "h-1"}));
        let first = json!({"type": "text", "text": "]"});
        let content = json!({"content": [first], "isError": true}).to_string();
        let (members, meta) = told(&content, Some(r#"{"a/b":[1]}"#));
        assert_eq!(members["content"], json!([first, block]));
        assert_eq!(members["isError"], Value::Bool(true));
        assert_eq!(meta, json!({"a/b": [1], "switchboard/handle": "h-1"}));
    }
}
