//! What is done at a node by somebody who is let in, with a canary in each place where they might put a
//! secret or something personal. What is refused is in [`super::refused`].

use serde_json::json;

use super::canary::{Canaries, Output};
use super::house::{House, Node, ON_RECORD, TO_UPSTREAM};
use super::visitor::{Told, Visitor};

/// Told to nobody but the one who sent it.
const OWN: &[Output] = &[Output::OwnAnswers];
/// The same, also in what is kept of a stream.
const STREAM: &[Output] = &[Output::OwnAnswers, Output::Store];
/// The same, and on record: what a child gets is not searched.
const ON_RECORD_BEYOND: &[Output] = &[Output::OwnAnswers, Output::Store, Output::AuditAnswers];
/// What is in the parameters of a call, and told to nobody.
const RECORDED: &[Output] = &[Output::AuditAnswers];
/// Names that somebody made up: they are on record, since that is what was called.
const MADE_UP: &[Output] = &[
    Output::OwnAnswers,
    Output::AuditFiles,
    Output::AuditAnswers,
    Output::Store,
];
/// What a client calls itself: no secret, and on record.
const INTRODUCTION: &[Output] = &[
    Output::TextLog,
    Output::JsonLog,
    Output::AuditFiles,
    Output::AuditAnswers,
    Output::Store,
];
/// Personal: on record under the key of the person.
const AGENT: &[Output] = &[Output::AuditAnswers];
/// A tracing context goes along with a call, as it came.
const TRACE: &[Output] = &[
    Output::UpstreamHeads,
    Output::UpstreamBodies,
    Output::AuditAnswers,
    Output::OwnAnswers,
];

/// Who comes to a node.
pub struct Visits<'a> {
    /// Where canaries come from.
    pub canaries: &'a Canaries,
    /// Where the node belongs.
    pub house: &'a House,
    /// The node.
    pub node: &'a Node,
    /// What the one whose canaries these are is told.
    pub own: &'a Told,
    /// What others are told.
    pub others: &'a Told,
}

impl Visits<'_> {
    /// See [`Canaries::new_one`].
    pub(super) fn new_one(&self, name: &str, may: &'static [Output]) -> String {
        self.canaries.new_one(name, may)
    }

    /// A key of somebody, of which only its command has told.
    pub async fn key(&self, owner: &str, more: &[&str], new_keys: &mut Vec<u8>) -> String {
        let create = ["key", "create", "--tenant", "acme", "--owner", owner];
        let made = self
            .house
            .asks_node(self.node, &[&create, more].concat())
            .await;
        assert_eq!(made.code, 0, "{}", made.err);
        new_keys.extend(made.out.as_bytes());
        let key = made.out.trim().to_owned();
        let secret = key.split('_').nth(2).expect("a key has a secret");
        self.canaries
            .is("the secret of a key", secret, &[Output::NewKeys]);
        key
    }

    /// Somebody who is let in does what they may, in both eras. Gives the id of their session.
    pub async fn does_what_is_allowed(&self, key: &str) -> String {
        let agent = self.new_one("a user agent", AGENT);
        let visitor = Visitor::at(self.node, self.own)
            .bearing(key)
            .with("user-agent", &agent);
        let client = self.new_one("the name of a client", INTRODUCTION);
        let (session, id) = visitor.opens(&client).await;
        self.canaries.is("a session id", &id, STREAM);
        let level = json!({"level": "debug"});
        session.calls("logging/setLevel", level).await;
        let subscribe = json!({"uri": "crm+https://example.org/a"});
        session.calls("resources/subscribe", subscribe).await;
        for visitor in [&visitor, &session] {
            for list in ["tools/list", "prompts/list", "resources/list"] {
                visitor.calls(list, json!({})).await.result();
            }
            self.looks_up(visitor).await;
            for tool in [
                "tells",
                "fails",
                "refuses",
                "breaks",
                "garbles",
                "rare",
                "rare",
                "forbidden",
            ] {
                let told = if tool == "tells" { STREAM } else { &[] };
                let token = self.new_one("a progress token", told);
                let params = json!({"name": format!("crm.{tool}"), "arguments": {},
                    "_meta": {"progressToken": token}});
                visitor.calls("tools/call", params).await;
            }
            for tool in ["mail.send", "desk.greets"] {
                visitor.tool(tool, json!({})).await;
            }
            let answer = self.new_one("the answer to a form", ON_RECORD_BEYOND);
            let content = json!({"name": answer});
            let place = visitor.tool_that_asks("child.ask_name", content).await;
            let name = "the state of a round, or the place of a question in its stream";
            self.canaries.is(name, &place, STREAM);
            let text = self.new_one("what goes to a child", ON_RECORD_BEYOND);
            visitor.tool("child.echo", json!({"text": text})).await;
            self.reads(visitor).await;
            self.makes_up_names(visitor).await;
        }
        session.tool("crm.hangs", json!({})).await;
        self.sends_what_nobody_asked_for(&session).await;
        id
    }

    /// Arguments of every class, beside one that is of none.
    async fn looks_up(&self, visitor: &Visitor) {
        let new = |name: &str| self.new_one(name, TO_UPSTREAM);
        let email = new("an email address") + "@example.org";
        let (iban, card) = (iban(), card());
        self.canaries.is("an IBAN", &iban, TO_UPSTREAM);
        self.canaries.is("a card number", &card, TO_UPSTREAM);
        let nested = json!({"secret": new("a secret in JSON in a text")});
        let arguments = json!({
            "note": self.new_one("an argument", ON_RECORD),
            "email": email, "text": format!("to {iban}"), "paid_with": card,
            "password": new("a password"), "deep": [{"api_key": new("a deep secret")}],
            "nested": nested.to_string(),
            "link": format!("https://user:{}@example.org/", new("a password in a URL")),
            "header": format!("Authorization: Bearer {}", new("a header in a text")),
        });
        let id = self.new_one("a request id", STREAM);
        let key = self.new_one("an idempotency key", RECORDED);
        let meta = json!({"switchboard/idempotencyKey": key});
        let params = json!({"name": "crm.lookup", "arguments": arguments, "_meta": meta});
        let (visitor, message) = visitor.message(json!(id), "tools/call", params);
        let state = self.new_one("a trace state", TRACE);
        let visitor = visitor
            .with(
                "traceparent",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            )
            .with("tracestate", &format!("vendor={state}"))
            .with("cookie", &format!("id={}", self.new_one("a cookie", &[])))
            .with("x-crm-token", &self.new_one("a header of one's own", &[]))
            .with(
                "referer",
                &format!("https://example.org/?{}", self.new_one("a referer", &[])),
            );
        let answer = visitor.posts(&message.to_string()).await;
        answer.tool_text();
    }

    async fn reads(&self, visitor: &Visitor) {
        let new = |name: &str| self.new_one(name, TO_UPSTREAM);
        let uri = format!(
            "crm+https://user:{}@example.org/a?token={}",
            new("a password in a URI"),
            new("a token in a URI")
        );
        visitor
            .calls("resources/read", json!({"uri": uri}))
            .await
            .result();
        let whom = self.new_one("an argument of a prompt", ON_RECORD);
        let greet = json!({"name": "crm.greet", "arguments": {"whom": whom}});
        visitor.calls("prompts/get", greet).await.result();
        let value = self.new_one("what is to be completed", ON_RECORD);
        let complete = json!({"ref": {"type": "ref/prompt", "name": "crm.greet"},
            "argument": {"name": "whom", "value": value}});
        visitor.calls("completion/complete", complete).await;
    }

    /// What is not there.
    async fn makes_up_names(&self, visitor: &Visitor) {
        let new = |name: &str| self.new_one(name, MADE_UP);
        let secret = |name: &str| self.new_one(name, &[]);
        visitor
            .tool(&format!("crm.{}", new("an unknown tool")), json!({}))
            .await;
        let tool = new("another unknown tool");
        let password = secret("a password for an unknown tool");
        visitor.tool(&tool, json!({"password": password})).await;
        let uri = format!(
            "https://user:{}@example.org/",
            self.new_one("a password in an unknown URI", OWN)
        );
        visitor.calls("resources/read", json!({"uri": uri})).await;
        visitor
            .calls(&format!("example/{}", new("an unknown method")), json!({}))
            .await;
        let task = self.new_one("the id of an unknown task", &[]);
        visitor.calls("tasks/get", json!({"taskId": task})).await;
        let state = self.new_one("the state of an invented round", RECORDED);
        let params = json!({"name": "child.ask_name", "arguments": {}, "requestState": state});
        visitor.calls("tools/call", params).await;
        let cursor = self.new_one("an invented cursor", &[]);
        visitor.calls("tools/list", json!({"cursor": cursor})).await;
    }

    /// Notifications and answers that belong to nothing.
    async fn sends_what_nobody_asked_for(&self, session: &Visitor) {
        let reason = self.new_one("the reason of a cancellation", &[]);
        let unknown = self.new_one("an answer to nothing", &[]);
        let notice = self.new_one(
            "an unknown notification",
            &[Output::TextLog, Output::JsonLog],
        );
        for message in [
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
                "params": {"requestId": 77, "reason": reason}}),
            json!({"jsonrpc": "2.0", "id": 77, "result": {"content": unknown}}),
            json!({"jsonrpc": "2.0", "method": format!("notifications/{notice}")}),
        ] {
            session.posts(&message.to_string()).await;
        }
    }
}

fn digits(count: usize) -> String {
    let random: [u8; 24] = switchboard::runtime::seal::random();
    let digits = random
        .iter()
        .take(count)
        .map(|byte| (byte % 10 + b'0') as char);
    digits.collect()
}

/// A German one with its check digits.
fn iban() -> String {
    let account = digits(18);
    // "DE00" behind the account, with 13 for D and 14 for E.
    let number = format!("{account}131400");
    let rest = number
        .bytes()
        .fold(0, |rest, digit| (rest * 10 + u32::from(digit - b'0')) % 97);
    format!("DE{:02}{account}", 98 - rest)
}

/// One of a known issuer that passes Luhn's check.
fn card() -> String {
    let number = format!("4{}", digits(14));
    let sum: u32 = (number.bytes().rev().enumerate())
        .map(|(at, digit)| match (at % 2, u32::from(digit - b'0')) {
            (0, digit) if digit > 4 => digit * 2 - 9,
            (0, digit) => digit * 2,
            (_, digit) => digit,
        })
        .sum();
    format!("{number}{}", (10 - sum % 10) % 10)
}
