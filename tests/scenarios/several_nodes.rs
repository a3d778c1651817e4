//! Nodes that share a Redis: whichever one a client reaches, it is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use switchboard::builtin::demo::demo;
use switchboard::runtime::clock::Clock;
use switchboard::server::{Context, NoArguments, Resource, Server, ServerBuilder, Tool, ToolError};
use switchboard::service::ServiceError;
use switchboard::{Host, Hosted};
use tokio::sync::Semaphore;

use crate::world::redis::Redis;
use crate::world::{
    EventStream, FaultProxy, HttpSse, NOTHING, Session, Stateless, Told as _, eventually, within,
};

const URI: &str = "news://today";

/// A server that counts how often its tool ran, at whichever node.
fn counting(runs: &Arc<AtomicU32>) -> ServerBuilder {
    let runs = runs.clone();
    let tool = Tool::new("count", move |_, NoArguments {}| {
        let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
        async move { Ok(format!("run {run}")) }
    });
    let news = Resource::fixed(URI, "today", "Nothing happened.");
    Server::builder("counts", "1").tool(tool).resource(news)
}

async fn node(redis: &Redis, server: ServerBuilder) -> Hosted {
    node_with(&format!("store.url = '{}'", redis.url()), server).await
}

async fn node_with(toml: &str, server: ServerBuilder) -> Hosted {
    let keys = "0123456789abcdef".repeat(4);
    let toml = format!("server.listen = '127.0.0.1:0'\ncluster.keys = ['{keys}']\n{toml}");
    let started = within("the node starts", Host::new(server).config(toml).start()).await;
    started.expect("the node can start")
}

fn origin(node: &Hosted) -> String {
    format!("http://{}", node.address())
}

fn message(id: u64, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// basic/transports (2024-11-05), HTTP with SSE: the stream stays where it is, messages come anywhere.
#[tokio::test]
async fn messages_of_http_sse_are_taken_at_any_node() {
    let (redis, runs) = (Redis::start().await, Arc::default());
    let here = node(&redis, counting(&runs)).await;
    let there = node(&redis, counting(&runs)).await;
    let mut client = HttpSse::connect_at(&origin(&here)).await;
    let at_home = client.url.clone();
    let away = at_home.replace(&origin(&here), &origin(&there));

    client.url.clone_from(&away);
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "scenario", "version": "1"}});
    client.accepted(&message(1, "initialize", params)).await;
    assert_eq!(client.stream.message().await["id"], 1);
    for id in 2..12 {
        let url = if id % 2 == 0 { &at_home } else { &away };
        client.url.clone_from(url);
        let call = message(id, "tools/call", json!({"name": "count", "arguments": {}}));
        client.accepted(&call).await;
        assert_eq!(client.stream.message().await["id"], id);
    }
    assert_eq!(runs.load(Ordering::SeqCst), 10);

    client.url = away.replace("sessionId=", "sessionId=A");
    let forged = client
        .post(message(12, "ping", json!({})).to_string())
        .await;
    assert_eq!(forged.status, 404);
    here.stop().await.unwrap();
    client.url = away;
    // Until it renews its lease the other node does not know who stopped.
    eventually("the stream is gone", async || {
        let ping = message(13, "ping", json!({})).to_string();
        (client.post(ping).await.status == 404).then_some(())
    })
    .await;
}

/// Ours: one run, whichever node is asked.
#[tokio::test]
async fn a_key_is_known_at_every_node() {
    let (redis, runs) = (Redis::start().await, Arc::default());
    let nodes = [
        node(&redis, counting(&runs)).await,
        node(&redis, counting(&runs)).await,
    ];
    for _ in 0..3 {
        for node in &nodes {
            let params = json!({"name": "count", "arguments": {},
                "_meta": {"switchboard/idempotencyKey": "key"}});
            let answer = Stateless::new(&node.url()).call("tools/call", params).await;
            assert_eq!(answer.tool_text(), "run 1");
        }
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

/// Ours: what was cut off nobody knows, wherever that was asked for.
#[tokio::test]
async fn a_call_with_a_key_that_is_cancelled_at_another_node_is_unknown() {
    let (redis, runs) = (Redis::start().await, Arc::new(AtomicU32::new(0)));
    let endless = || {
        let runs = runs.clone();
        let tool = Tool::new("wait", move |_, NoArguments {}| {
            runs.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<Result<String, ToolError>>()
        });
        Server::builder("endless", "1").tool(tool)
    };
    let here = node(&redis, endless()).await;
    let there = node(&redis, endless()).await;
    let client = Session::open(&here.url(), "2025-11-25", json!({})).await;
    let params = json!({"name": "wait", "arguments": {},
        "_meta": {"switchboard/idempotencyKey": "key"}});
    let call = client.post(&message(7, "tools/call", params.clone())).await;
    let running = EventStream::of(call);

    let client = client.elsewhere(&there.url());
    let cancelled = json!({"requestId": 7});
    client.notify("notifications/cancelled", cancelled).await;

    assert_eq!(running.rest().await.answers(), NOTHING);
    let again = client.call("tools/call", params).await.message();
    assert_eq!(again["error"]["data"]["outcome"], "unknown");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

/// Ours: what ended nothing is not in the way of a retry, also where that could not be written down.
#[tokio::test]
async fn a_key_that_its_node_could_not_give_back_is_good_at_another() {
    let redis = Redis::start().await;
    let link = Arc::new(FaultProxy::before(redis.address()).await);
    let stalling = link.clone();
    let full = Tool::new("book", move |_, NoArguments {}| {
        stalling.stall();
        let refused = ServiceError::Overloaded {
            what: "every seat is taken",
            retry_after: Duration::from_secs(1),
        };
        async { Err::<String, _>(ToolError::from(refused)) }
    });
    let free = Tool::new("book", |_, NoArguments {}| async { Ok("booked") });
    // It lives, however long its link is silent.
    let toml = format!(
        "store.url = 'redis://{}'\ncluster.lease = '1m'",
        link.address()
    );
    let here = node_with(&toml, Server::builder("full", "1").tool(full)).await;
    let there = node(&redis, Server::builder("free", "1").tool(free)).await;
    let params = json!({"name": "book", "arguments": {},
        "_meta": {"switchboard/idempotencyKey": "key"}});

    let client = Stateless::new(&here.url());
    let refused = client.call("tools/call", params.clone()).await.message();
    assert!(refused["error"].is_object(), "{refused}");
    // What was on its way is lost.
    link.reset();
    link.resume();

    let client = Stateless::new(&there.url());
    let again = within("it is answered", client.call("tools/call", params)).await;
    assert_eq!(again.tool_text(), "booked");
}

/// Ours: "one reader, the newest" holds per node; nobody is told less for that.
#[tokio::test]
async fn a_stream_that_is_read_at_two_nodes_is_told_whole_at_both() {
    let (redis, gate) = (Redis::start().await, Arc::new(Semaphore::new(2)));
    let steps = || {
        let gate = gate.clone();
        let tool = Tool::new("steps", move |ctx: Context, NoArguments {}| {
            let gate = gate.clone();
            async move {
                for step in 1..=4_u32 {
                    gate.acquire().await.expect("it is open").forget();
                    ctx.progress(step.into(), None, None).await;
                }
                Ok("done")
            }
        });
        Server::builder("steps", "1").tool(tool)
    };
    let (here, there) = (node(&redis, steps()).await, node(&redis, steps()).await);
    let client = Session::open(&here.url(), "2025-11-25", json!({})).await;
    let (id, mut stream) = client.stream_tool("steps", json!({})).await;
    let priming = stream.priming().await;
    stream.until_step(2).await;
    drop(stream);

    let near = client.listen(Some(priming.id())).await;
    let far = client.elsewhere(&there.url());
    let far = far.listen(Some(priming.id())).await;
    gate.add_permits(2);

    for reader in [near, far] {
        let told = reader.rest().await;
        assert_eq!(told.steps(), [1, 2, 3, 4]);
        assert_eq!(told.answers().len(), 1);
        assert_eq!(told.answers()[0]["id"], id);
    }
}

/// 2026-07-28 basic/patterns/subscriptions: an update at one node, a listener at another.
#[tokio::test]
async fn an_update_is_told_on_the_streams_of_every_node() {
    let (redis, runs) = (Redis::start().await, Arc::default());
    let here = node(&redis, counting(&runs)).await;
    let there = node(&redis, counting(&runs)).await;
    let client = Stateless::new(&there.url());
    let filter = json!({"notifications": {"resourceSubscriptions": [URI]}});
    let (_, mut stream) = client.stream("subscriptions/listen", filter).await;
    let first = stream.message().await;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");

    let server = here.server("main").expect("it is served");
    server.handle().resource_updated(URI);
    let update = stream.message().await;
    assert_eq!(update["method"], "notifications/resources/updated");
    assert_eq!(update["params"]["uri"], URI);
}

/// Ours: what every node sees by itself is told by each to its own, and carried by none.
#[tokio::test]
async fn the_clock_of_every_node_costs_the_store_nothing() {
    const NOTICES: u64 = 5;
    let redis = Redis::start().await;
    let nodes = [(); 2].map(|()| node(&redis, demo(&Clock::system())));
    let nodes = futures_util::future::join_all(nodes).await;
    let client = Stateless::new(&nodes[0].url());
    let filter = json!({"notifications": {"resourceSubscriptions": ["clock://now"]}});
    let (_, mut stream) = client.stream("subscriptions/listen", filter).await;
    let first = stream.message().await;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");

    let (began, before) = (Instant::now(), letters(&redis).await);
    for _ in 0..NOTICES {
        let update = stream.message().await;
        assert_eq!(update["method"], "notifications/resources/updated");
    }

    let sent = letters(&redis).await - before;
    println!("{NOTICES} notices in {:?}, {sent} letters", began.elapsed());
    assert!(sent < NOTICES, "{sent} letters");
}

/// How many letters nodes have sent each other: where no call is a stream, nothing else is added to
/// anything.
async fn letters(redis: &Redis) -> u64 {
    let counts = redis.command_counts().await;
    counts.get("xadd").copied().unwrap_or_default()
}
