//! Answers and state of one caller that would reach another, because both are known by the same
//! number, or by the same secret.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use switchboard::server::{Context, Server, ServerBuilder, Tool};

use super::{VERSION, asking, finds, gateway, person};
use crate::world::asserted::client_of;
use crate::world::own::Own;
use crate::world::scripted::{Heard, Script, Scripted, said};
use crate::world::{Session, Stateless};

/// Calls of one story. Each caller counts its own from 1, so every id is that of many calls at once.
const CALLS: usize = 10_000;
/// Callers of each tenant, in each era.
const CALLERS: usize = 32;
const TENANTS: [&str; 2] = ["t1", "t2"];

#[derive(Deserialize, JsonSchema)]
struct Marked {
    mark: String,
}

/// Gives marks back. Some take longer than others, so that answers overtake each other.
fn marking() -> ServerBuilder {
    Server::builder("marking", "1").tool(Tool::new(
        "mark",
        |_: Context, Marked { mark }| async move {
            let sum = mark.bytes().map(u64::from).sum::<u64>();
            tokio::time::sleep(Duration::from_millis(sum % 4)).await;
            Ok(mark)
        },
    ))
}

enum Caller {
    Session(Session),
    Stateless(Stateless),
}

impl Caller {
    /// Calls again and again. Gives every answer that was not its own.
    async fn calls(&self, who: &str, tools: &[&str], count: usize) -> Vec<String> {
        let mut crossed = Vec::new();
        for number in 0..count {
            let mark = format!("{who}, call {number}");
            let (tool, arguments) = (tools[number % tools.len()], json!({"mark": mark}));
            let answer = match self {
                Self::Session(session) => session.tool(tool, arguments).await,
                Self::Stateless(client) => client.tool(tool, arguments).await,
            };
            let said = answer.tool_text();
            if said != mark {
                crossed.push(format!("{mark:?} was answered {said:?}"));
            }
        }
        crossed
    }
}

/// Both tenants call at once, in both eras, under the same names and the same ids.
async fn nothing_crosses(url: &str, tools: &[&str]) {
    let mut callers = Vec::new();
    for tenant in TENANTS {
        for number in 0..CALLERS {
            let http = client_of(person(tenant, &number.to_string()));
            let stateless = Stateless::through(http.clone(), url);
            let session = Session::through(http, url, VERSION, json!({})).await;
            callers.push((format!("{tenant}/{number}"), Caller::Session(session)));
            let who = format!("{tenant}/{number}, stateless");
            callers.push((who, Caller::Stateless(stateless)));
        }
    }
    let each = CALLS.div_ceil(callers.len());
    let calls = callers
        .iter()
        .map(|(who, caller)| caller.calls(who, tools, each));

    let crossed = join_all(calls).await.concat();

    assert!(each * callers.len() >= CALLS);
    assert_eq!(crossed, <[String; 0]>::default());
}

/// JSON-RPC 2.0: an id is unique for its client alone.
#[tokio::test]
async fn no_answer_reaches_another_client_by_its_id() {
    let server = asking(marking()).await;
    nothing_crosses(&server.0.url(), &["mark"]).await;
}

/// The same behind a gateway, whose own requests to an upstream have ids of their own.
#[tokio::test]
async fn no_answer_reaches_another_client_of_a_gateway_by_its_id() {
    let upstream = Own::start(marking()).await;
    let url = upstream.0.url();
    let gateway = gateway(&format!(
        "[upstreams.old]\nurl = {url:?}\nversion = {VERSION:?}\n\
         [upstreams.new]\nurl = {url:?}\nversion = \"2026-07-28\"\n"
    ))
    .await;
    let somebody = Stateless::through(client_of(person("t1", "0")), &gateway.url("/mcp"));
    finds(&somebody, "old.mark").await;
    finds(&somebody, "new.mark").await;
    nothing_crosses(&gateway.url("/mcp"), &["old.mark", "new.mark"]).await;
}

/// What the gateway shows the upstream of [`counting`], whoever calls.
const SECRET: &str = "of-the-service";

/// Counts the calls of each of its sessions, and lets in the one account it knows.
async fn counting() -> Scripted {
    let counts = Mutex::new(BTreeMap::<String, u32>::new());
    Scripted::start(move |heard| {
        let id = &heard.message["id"];
        if heard.header("authorization") != Some(&format!("Bearer {SECRET}")) {
            return Script::Bare(401);
        }
        let mut counts = counts.lock().unwrap();
        match (&*heard.verb, heard.method()) {
            ("POST", "initialize") => {
                let session = format!("session-{}", counts.len());
                counts.insert(session.clone(), 0);
                let body = json!({"jsonrpc": "2.0", "id": id, "result": {
                    "protocolVersion": VERSION, "capabilities": {"tools": {}},
                    "serverInfo": {"name": "counting", "version": "1"}}})
                .to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\
                     Mcp-Session-Id: {session}\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                Script::Raw((head + &body).into())
            }
            ("POST", "tools/list") => Script::tools(id, ["count"]),
            ("POST", "tools/call") => {
                let session = heard.header("mcp-session-id").unwrap_or_default();
                let count = counts.get_mut(session).expect("it is in a session");
                *count += 1;
                Script::Json(200, said(id, &count.to_string()))
            }
            ("POST", "ping") => Script::result(id, &json!({})),
            ("GET", _) => Script::Bare(405),
            ("DELETE", _) => Script::Bare(204),
            _notice => Script::Bare(202),
        }
    })
    .await
}

/// Three people take turns; each finds what they left.
async fn each_sees_their_own_count(upstream: &str) {
    let gateway = gateway(upstream).await;
    let url = gateway.url("/mcp");
    let people = [("t1", "alice"), ("t1", "bob"), ("t2", "alice")];
    let clients = people.map(|(tenant, name)| client_of(person(tenant, name)));
    finds(&Stateless::through(clients[0].clone(), &url), "it.count").await;
    let alice = Session::through(clients[0].clone(), &url, VERSION, json!({})).await;
    let callers = [
        Caller::Session(alice),
        Caller::Stateless(Stateless::through(clients[1].clone(), &url)),
        Caller::Stateless(Stateless::through(clients[2].clone(), &url)),
    ];
    for round in 1..=4 {
        for (caller, (tenant, name)) in callers.iter().zip(people) {
            let counted = match caller {
                Caller::Session(session) => session.tool("it.count", json!({})).await,
                Caller::Stateless(client) => client.tool("it.count", json!({})).await,
            };
            assert_eq!(counted.tool_text(), round.to_string(), "{tenant}/{name}");
        }
    }
}

/// Ours: who may share state at an upstream is decided by who calls, never by what the gateway shows.
#[tokio::test]
async fn no_state_at_an_upstream_is_shared_with_its_credential() {
    let upstream = counting().await;
    each_sees_their_own_count(&format!(
        "[upstreams.it]\nurl = {:?}\nversion = {VERSION:?}\n\
         auth = {{ kind = \"static\", bearer = \"text:{SECRET}\" }}\n",
        upstream.url
    ))
    .await;
    let calls = upstream.heard(|heard| heard.method() == "tools/call");
    let of = |heard: &Heard| heard.header("mcp-session-id").unwrap().to_owned();
    let sessions = calls.iter().map(of).collect::<BTreeSet<_>>();
    assert_eq!((calls.len(), sessions.len()), (12, 3));
}

/// The same of a program, which has no other account than its own.
#[tokio::test]
async fn no_state_of_a_program_is_shared_by_those_who_use_it() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/faulty.py");
    let command = json!(["python3", script, "session"]);
    each_sees_their_own_count(&format!("[upstreams.it]\ncommand = {command}\n")).await;
}
