//! A node that leaves so that nobody notices: behind nginx, under load, and to whoever asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use crate::world::client::post;
use crate::world::command::run;
use crate::world::nginx::lasting_address;
use crate::world::wire::{Parts, Wire, stateless_call};
use crate::world::{
    EventStream, Nginx, Session, Stateless, Store, Switchboard, Told as _, eventually, within,
};

const VERSION: &str = "2025-11-25";
/// Sessions that nobody uses again: a fast machine opens more of them than a node holds.
const SHORT_LIVED: &str = "sessions = { idle_ttl = \"2s\", passivate_after = \"1s\" }";
/// nginx as it comes names its upstream as the host; the scenarios name the address.
const BEHIND_NGINX: &str = "allowed_hosts = [\"nodes\", \"127.0.0.1\"]";

/// Ours: a rolling restart behind nginx as it comes, which connects anew for each request.
#[tokio::test]
async fn nobody_behind_nginx_notices_a_rolling_restart() {
    rolling_restart(|nginx| nginx).await;
}

/// Ours: the same when nginx keeps connections and uses them again.
#[tokio::test]
async fn nobody_behind_nginx_with_kept_connections_notices_a_rolling_restart() {
    rolling_restart(|nginx| nginx.keepalive(32)).await;
}

/// Restarts three nodes, one after the other and twice, and counts what clients see of it.
async fn rolling_restart(
    set_up: impl Fn(crate::world::nginx::Setup) -> crate::world::nginx::Setup,
) {
    let addresses = [(); 3].map(|()| lasting_address());
    let mut nodes = Vec::new();
    for address in &addresses {
        let config = format!("{SHORT_LIVED}\n[server]\nlisten = \"{address}\"\n{BEHIND_NGINX}");
        nodes.push(Switchboard::with().config(&config).start().await);
    }
    let addresses = addresses.each_ref().map(String::as_str);
    let nginx = set_up(Nginx::before(&addresses)).start().await;
    let load = Load::of(CLIENTS, &nginx.url());
    eventually("there is load on every node", async || {
        for node in &nodes {
            if node.metric(CALLED).await == 0.0 {
                return None;
            }
        }
        Some(())
    })
    .await;

    for _round in 0..2 {
        for node in &mut nodes {
            let started = Instant::now();
            assert_eq!(node.stop().await.code(), Some(0));
            let stopped = started.elapsed();
            node.start_again().await;
            // nginx stays away for ten seconds from a node that refused it. A connection that was
            // on its way meanwhile, at most one for each client, reaches the successor before that.
            eventually("nginx goes to the successor again", async || {
                (node.metric(CALLED).await > f64::from(CLIENTS)).then_some(())
            })
            .await;
            println!("stopped in {stopped:?}, back after {:?}", started.elapsed());
        }
    }

    let (calls, failures) = load.end().await;
    println!("{calls} calls; nginx says:\n{}", nginx.complaints());
    assert!(calls > 100, "there was load: {calls}");
    assert_eq!(failures, Vec::<String>::new());
}

const CLIENTS: u32 = 8;
const CALLED: &str = r#"mcp_requests_total{method="tools/call",era="stateless",outcome="ok"}"#;

/// Clients that call one after the other until told to stop: stateless calls and new sessions.
struct Load {
    over: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    clients: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn of(clients: u32, url: &str) -> Self {
        let (over, calls) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let clients = (0..clients).map(|_| {
            let (over, calls, url) = (over.clone(), calls.clone(), format!("{url}/mcp"));
            tokio::spawn(async move {
                let mut failures = Vec::new();
                let http = crate::world::http_client();
                let stateless = Stateless::new(&url);
                while !over.load(Ordering::Relaxed) {
                    let arguments = json!({"name": "echo", "arguments": {"text": "hello"}});
                    let call = stateless.message("tools/call", arguments);
                    let opening = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize",
                        "params": {"protocolVersion": VERSION, "capabilities": {},
                            "clientInfo": {"name": "load", "version": "1"}}});
                    for request in [
                        stateless.request(&call),
                        post(&http, &url).body(opening.to_string()),
                    ] {
                        calls.fetch_add(1, Ordering::Relaxed);
                        if let Err(failure) = outcome(request).await {
                            failures.push(failure);
                        }
                    }
                }
                failures
            })
        });
        let clients = clients.collect();
        Self {
            over,
            calls,
            clients,
        }
    }

    /// How many calls were made, and which failed.
    async fn end(self) -> (u64, Vec<String>) {
        self.over.store(true, Ordering::Relaxed);
        let clients = futures_util::future::join_all(self.clients);
        let failures = within("the clients end", clients).await;
        let failures = failures.into_iter().flat_map(|client| client.unwrap());
        (self.calls.load(Ordering::Relaxed), failures.collect())
    }
}

async fn outcome(request: reqwest::RequestBuilder) -> Result<(), String> {
    let response = request.send().await.map_err(|error| format!("{error:?}"))?;
    let status = response.status();
    let text = response
        .text()
        .await
        .map_err(|error| format!("{error:?}"))?;
    let message = serde_json::from_str::<Value>(&text).unwrap_or_default();
    if status == 200 && message["result"].is_object() {
        Ok(())
    } else {
        Err(format!("{status} {text}"))
    }
}

/// Ours: a call that runs when the node is told to stop ends as if it had not been.
#[tokio::test]
async fn a_call_that_runs_when_its_node_leaves_ends_well_through_nginx() {
    let (mut node, nginx) = node_behind_nginx().await;
    let client = Stateless::new(&format!("{}/mcp", nginx.url()));
    let arguments = json!({"name": "countdown", "arguments": {"from": 3, "interval_ms": 1_000},
        "_meta": {"progressToken": "p"}});
    let (id, mut call) = client.stream("tools/call", arguments).await;
    call.until_step(1).await;

    node.tell_to_stop().await;

    let rest = call.rest().await;
    assert_eq!(rest.steps(), [2, 3]);
    assert_eq!(rest.answers()[0]["id"], id);
    let text = rest.answers()[0]["result"]["content"][0]["text"].clone();
    assert!(text.as_str().unwrap().contains("liftoff"), "{text}");
    assert_eq!(node.ended().await.code(), Some(0));
}

/// 2026-07-28 basic/patterns/subscriptions, and 2025-11-25 basic/transports: `retry`, then the end.
#[tokio::test]
async fn streams_are_told_when_their_node_leaves() {
    let (mut node, nginx) = node_behind_nginx().await;
    let url = format!("{}/mcp", nginx.url());
    let filter = json!({"notifications": {"resourceSubscriptions": ["clock://now"]}});
    let (id, mut listen) = Stateless::new(&url)
        .stream("subscriptions/listen", filter)
        .await;
    listen.next().await.expect("it is acknowledged");
    let session = Session::open(&url, VERSION, json!({})).await;
    let mut standing = session.listen(None).await;
    standing.priming().await;

    node.tell_to_stop().await;

    let last = listen.rest().await.pop().expect("it has a result").json();
    assert_eq!(
        (&last["id"], &last["result"]["resultType"]),
        (&id, &json!("complete"))
    );
    let last = standing.rest().await.pop();
    let last = last.expect("it says when to come back");
    assert!(last.retry.is_some(), "{last:?}");
    assert_eq!(node.ended().await.code(), Some(0));
}

/// RFC 9112 section 9.6: a connection ends by an answer that says so. What still arrives is served,
/// a handshake too.
#[tokio::test]
async fn a_draining_node_refuses_connections_and_serves_those_it_has() {
    let mut node = Switchboard::start().await;
    let (mut question, call) = running_call(&node).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(Wire::connect(&node).await);
    }

    node.tell_to_stop().await;
    node.refuses_connections().await;

    let opening = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": VERSION, "capabilities": {},
        "clientInfo": {"name": "scenario", "version": "1"}}});
    for (mut connection, (request, status)) in open.into_iter().zip([
        (stateless_call("echo", &json!({"text": "still"})), 200),
        (Parts::post(opening.to_string()), 200),
        (Parts::of("GET", "/ready"), 503),
    ]) {
        connection.send(request.bytes()).await;
        let answer = connection.answer().await.expect("it is served");
        assert_eq!(
            (answer.status, answer.header("connection")),
            (status, "close")
        );
        assert!(connection.closed().await.is_empty());
    }

    question.answer_with_a_name().await;
    assert_eq!(call.rest().await.answers().len(), 1);
    assert_eq!(node.ended().await.code(), Some(0));
}

/// Ours: who asks a node to drain is told each step, and waits until it has ended.
#[tokio::test]
async fn the_drain_command_drains_the_node_of_its_port() {
    for store in [Store::Memory, Store::Embedded] {
        let mut node = Switchboard::with().store(store).start().await;
        let other = Switchboard::start().await;
        let (mut question, call) = running_call(&node).await;
        let url = match store {
            Store::Memory => "memory:",
            Store::Embedded => "embedded:data",
        };
        let listen = node.authority().to_owned();
        let arguments = ["drain", "--listen", &listen, "--store", url];
        let directory = node.directory().to_owned();
        let draining = run(&directory, &arguments);
        let answering = async {
            node.refuses_connections().await;
            question.answer_with_a_name().await;
            call.rest().await
        };

        let (drained, told) = tokio::join!(draining, answering);

        assert_eq!(drained.code, 0);
        let steps = drained.out.lines().collect::<Vec<_>>();
        let expected = [
            "accepting: finished",
            "calls: finished",
            "connections: finished",
            "listeners: finished",
            "checkpoints: finished",
            "lease: finished",
            "drained",
        ];
        assert_eq!(steps, expected);
        assert_eq!(told.answers().len(), 1, "the call ended first");
        assert_eq!(node.ended().await.code(), Some(0));
        assert!(other.is_healthy().await);

        let again = run(&directory, &arguments).await;
        assert_eq!(again.code, 1);
        let port = listen.rsplit(':').next().unwrap();
        let nobody = format!("no node listens on port {port} here");
        assert!(again.err.contains(&nobody), "{}", again.err);
    }
}

/// Ours: what a node that was killed leaves behind is in nobody's way.
#[tokio::test]
async fn the_socket_of_a_killed_node_is_told_from_a_running_one() {
    let address = lasting_address();
    let config = format!("[server]\nlisten = \"{address}\"");
    let mut node = Switchboard::with().config(&config).start().await;
    let directory = node.directory().to_owned();
    let arguments = [
        "drain",
        "--config",
        "switchboard.toml",
        "--store",
        "memory:",
    ];
    node.crash().await;

    let nobody = run(&directory, &arguments).await;
    assert_eq!(nobody.code, 1);
    assert!(nobody.err.contains("no node listens"), "{}", nobody.err);

    node.start_again().await;
    assert_eq!(run(&directory, &arguments).await.code, 0);
    assert_eq!(node.ended().await.code(), Some(0));
}

/// Ours: health, readiness and numbers are on the admin socket, too.
#[tokio::test]
async fn the_admin_socket_tells_what_probes_ask() {
    let node = Switchboard::start().await;
    let port = node.authority().rsplit(':').next().unwrap().to_owned();
    let path = node
        .directory()
        .join(format!("switchboard-data/{port}.sock"));
    let client = reqwest::Client::builder()
        .unix_socket(path)
        .tls_certs_only([])
        .build()
        .unwrap();

    for (page, told) in [
        ("health", r#""ok""#),
        ("ready", r#""ready""#),
        ("metrics", "mcp_ready 1"),
    ] {
        let answer = client.get(format!("http://localhost/{page}")).send().await;
        let text = answer.unwrap().text().await.unwrap();
        assert!(text.contains(told), "{text}");
    }
    let refused = client.get("http://localhost/drain").send().await.unwrap();
    assert_eq!(refused.status(), 405);
    let elsewhere = crate::world::http_client();
    let unknown = elsewhere.post(node.url("/drain")).send().await.unwrap();
    assert_eq!(
        unknown.status(),
        404,
        "not for those who come over the network"
    );
}

async fn node_behind_nginx() -> (Switchboard, Nginx) {
    let config = format!("[server]\n{BEHIND_NGINX}");
    let node = Switchboard::with().config(&config).start().await;
    let nginx = Nginx::before(&[node.authority()]).start().await;
    (node, nginx)
}

/// A call that runs until its question is answered.
async fn running_call(node: &Switchboard) -> (Question, EventStream) {
    let client = node.session_with(VERSION, json!({"elicitation": {}})).await;
    let (_, mut call) = client.stream_tool("ask_name", json!({})).await;
    let message = call.message().await;
    let answering = Wire::connect(node).await;
    let question = Question {
        session: client.id,
        message,
        answering,
    };
    (question, call)
}

/// A question of the server, and a connection on which it can still be answered when no other is
/// taken any more.
struct Question {
    session: String,
    message: Value,
    answering: Wire,
}

impl Question {
    async fn answer_with_a_name(&mut self) {
        let answer = json!({"jsonrpc": "2.0", "id": self.message["id"],
            "result": {"action": "accept", "content": {"name": "Ada"}}});
        let request = Parts::post(answer.to_string()).with("Mcp-Session-Id", &self.session);
        self.answering.send(request.bytes()).await;
        let accepted = self.answering.answer().await.expect("it is accepted");
        assert_eq!(accepted.status, 202);
    }
}
