//! Clients without sessions are asked by upstreams with sessions: the upstream's call waits while the
//! client makes up its mind (2026-07-28 basic/patterns/mrtr; client/elicitation of 2025-11-25).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use switchboard::server::{Context, Field, Form, NoArguments, Server, ServerBuilder, Tool};
use switchboard::{Host, Hosted};

use crate::world::redis::Redis;
use crate::world::{Answer, Stateless, Told as _, eventually, within};

/// What happened at the upstream.
#[derive(Debug, Default)]
struct Seen {
    begun: AtomicU32,
    ended: AtomicU32,
    cancelled: AtomicU32,
}

/// An upstream that asks twice and counts how often it was called.
fn upstream(seen: &Arc<Seen>) -> ServerBuilder {
    let seen = seen.clone();
    let tool = Tool::new("order", move |ctx: Context, NoArguments {}| {
        let seen = seen.clone();
        async move {
            seen.begun.fetch_add(1, Ordering::SeqCst);
            let _cancelled = OnDrop(seen.clone());
            let what = Form::new("What?").field("what", Field::string());
            let what = ctx
                .elicit("what", what)
                .await?
                .text("what")
                .map(str::to_owned);
            ctx.progress(1.0, Some(2.0), Some("half")).await;
            let size = Form::new("How many?").field("size", Field::string());
            let size = ctx
                .elicit("size", size)
                .await?
                .text("size")
                .map(str::to_owned);
            seen.ended.fetch_add(1, Ordering::SeqCst);
            Ok(format!(
                "{} x {}",
                size.unwrap_or_default(),
                what.unwrap_or_default()
            ))
        }
    });
    Server::builder("shop", "1").tool(tool)
}

/// Notes that a call was dropped before its end.
struct OnDrop(Arc<Seen>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.cancelled.fetch_add(1, Ordering::SeqCst);
    }
}

async fn start(host: Host) -> Hosted {
    let started = within("it starts", host.start()).await;
    started.expect("it can start")
}

async fn shop(seen: &Arc<Seen>) -> Hosted {
    let toml = "server.listen = '127.0.0.1:0'\nstore.url = 'memory:'";
    start(Host::new(upstream(seen)).config(toml)).await
}

/// A gateway before an upstream that is spoken to with sessions.
async fn gateway(upstream: &Hosted, toml: &str) -> Hosted {
    gateway_where(upstream, toml, "").await
}

/// The same, with more to say about the upstream.
async fn gateway_where(upstream: &Hosted, toml: &str, more: &str) -> Hosted {
    let keys = "0123456789abcdef".repeat(4);
    let toml = format!(
        "server.listen = '127.0.0.1:0'\ncluster.keys = ['{keys}']\n{toml}\n\
         [upstreams.shop]\nurl = '{}'\nversion = '2025-11-25'\nprefix = ''\ntimeouts.parked = '2s'\n{more}",
        upstream.url()
    );
    start(Host::configured().config(toml)).await
}

fn client(gateway: &Hosted) -> Stateless {
    Stateless::new(&gateway.url()).with(json!({"elicitation": {"form": {}}}))
}

async fn ask(client: &Stateless) -> Answer {
    client.tool("order", json!({})).await
}

/// Answers the one question of a round.
async fn reply(client: &Stateless, asked: &Value, content: Value) -> Answer {
    let key = asked["inputRequests"].as_object().expect("questions");
    let key = key.keys().next().expect("a question");
    let params = json!({"name": "order", "arguments": {}, "requestState": asked["requestState"],
        "inputResponses": {key: {"action": "accept", "content": content}}});
    client.call("tools/call", params).await
}

fn asks(answer: &Answer) -> Value {
    let result = answer.result();
    assert_eq!(result["resultType"], "input_required", "{result}");
    result
}

#[tokio::test]
async fn the_call_that_asked_is_the_call_that_ends() {
    let seen = Arc::<Seen>::default();
    let shop = shop(&seen).await;
    let gateway = gateway(&shop, "store.url = 'memory:'").await;
    let client = client(&gateway);

    let first = asks(&ask(&client).await);
    let second = asks(&reply(&client, &first, json!({"what": "tea"})).await);
    assert_ne!(first["requestState"], second["requestState"]);
    let done = reply(&client, &second, json!({"size": "2"})).await;

    assert_eq!(done.tool_text(), "2 x tea");
    assert_eq!(seen.begun.load(Ordering::SeqCst), 1, "it was called once");
    // A state is good once, and a call that has ended is never made again.
    for stale in [&first, &second] {
        let again = reply(&client, stale, json!({"size": "3"})).await;
        assert_eq!((again.status, again.code()), (200, -32602));
    }
    assert_eq!(seen.begun.load(Ordering::SeqCst), 1);
}

/// Ours: what its user is waited for is no load of the upstream, and no fault of it.
#[tokio::test]
async fn a_call_that_waits_for_its_client_takes_no_place() {
    let seen = Arc::<Seen>::default();
    let shop = shop(&seen).await;
    let one_at_a_time = "max_running = 1\nmax_wait = '1s'\nbreaker.slow_call = '1s'";
    let gateway = gateway_where(&shop, "store.url = 'memory:'", one_at_a_time).await;
    let client = client(&gateway);

    let first = asks(&ask(&client).await);
    asks(&ask(&client).await);
    asks(&reply(&client, &first, json!({"what": "tea"})).await);
    asks(&ask(&client).await);
    assert_eq!(seen.ended.load(Ordering::SeqCst), 0, "all of them wait");
}

/// basic/utilities/progress: what happened meanwhile is told in one, the latest of it.
#[tokio::test]
async fn the_latest_progress_is_told_when_the_client_is_back() {
    let tool = Tool::new("order", |ctx: Context, NoArguments {}| async move {
        let what = Form::new("What?").field("what", Field::string());
        let work = async {
            for step in 1..=3 {
                ctx.progress(f64::from(step), Some(4.0), None).await;
            }
        };
        let (answer, ()) = futures_util::join!(ctx.elicit("what", what), work);
        answer?;
        ctx.progress(4.0, Some(4.0), None).await;
        Ok("done")
    });
    let toml = "server.listen = '127.0.0.1:0'\nstore.url = 'memory:'";
    let shop = Server::builder("shop", "1").tool(tool);
    let shop = start(Host::new(shop).config(toml)).await;
    let gateway = gateway(&shop, "store.url = 'memory:'").await;
    let client = client(&gateway);
    let order = |more: Value| {
        let mut params = json!({"name": "order", "arguments": {}, "_meta": {"progressToken": "p"}});
        let more = more.as_object().expect("an object").clone();
        params.as_object_mut().expect("an object").extend(more);
        params
    };

    let first = client.call("tools/call", order(json!({}))).await;
    let (asked, first) = (first.result(), first.told());
    let answers = json!({"requestState": asked["requestState"],
        "inputResponses": {"g1": {"action": "accept", "content": {"what": "tea"}}}});
    let second = client.call("tools/call", order(answers)).await.told();

    let steps = [first.steps(), second.steps()].concat();
    assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{steps:?}");
    assert!(
        second.steps().starts_with(&[3]) || first.steps().ends_with(&[3]),
        "{steps:?}"
    );
    assert_eq!(second.steps().last(), Some(&4));
}

#[tokio::test]
async fn the_answer_may_come_to_any_node() {
    let (redis, seen) = (Redis::start().await, Arc::<Seen>::default());
    let shop = shop(&seen).await;
    let store = format!("store.url = '{}'", redis.url());
    let nodes = [gateway(&shop, &store).await, gateway(&shop, &store).await];
    let [here, there] = [client(&nodes[0]), client(&nodes[1])];

    let first = asks(&ask(&here).await);
    let second = asks(&reply(&there, &first, json!({"what": "tea"})).await);
    let done = reply(&there, &second, json!({"size": "2"})).await;
    assert_eq!(done.tool_text(), "2 x tea");
    assert_eq!(seen.begun.load(Ordering::SeqCst), 1, "it was called once");

    let waiting = asks(&ask(&here).await);
    let [first, other] = nodes;
    within("the holder stops", first.stop()).await.unwrap();
    let lost = eventually("the holder is known to be gone", async || {
        let answer = reply(&there, &waiting, json!({"what": "tea"})).await;
        (answer.code() == -32602).then_some(answer)
    })
    .await;
    assert_eq!(lost.code(), -32602, "it is not called again");
    assert_eq!(seen.begun.load(Ordering::SeqCst), 2);
    within("the other stops", other.stop()).await.unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_come_back_costs_the_upstream_nothing_for_long() {
    let seen = Arc::<Seen>::default();
    let shop = shop(&seen).await;
    let gateway = gateway(&shop, "store.url = 'memory:'").await;
    let client = client(&gateway);

    let asked = asks(&ask(&client).await);
    eventually("the upstream hears that nobody answers", async || {
        (seen.cancelled.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    let late = reply(&client, &asked, json!({"what": "tea"})).await;
    assert_eq!(late.code(), -32602);
    assert_eq!(seen.begun.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_state_is_for_its_call_alone() {
    let seen = Arc::<Seen>::default();
    let shop = shop(&seen).await;
    let gateway = gateway(&shop, "store.url = 'memory:'").await;
    let client = client(&gateway);

    let asked = asks(&ask(&client).await);
    let state = asked["requestState"].as_str().unwrap();
    let mut bent = state.to_owned();
    bent.replace_range(4..5, if &state[4..5] == "A" { "B" } else { "A" });
    for (arguments, state) in [(json!({"x": 1}), state), (json!({}), &*bent)] {
        let params = json!({"name": "order", "arguments": arguments, "requestState": state,
            "inputResponses": {"g1": {"action": "accept", "content": {"what": "tea"}}}});
        let refused = client.call("tools/call", params).await;
        assert_eq!(refused.code(), -32602);
    }
    // None of that has done anything to the call.
    let second = asks(&reply(&client, &asked, json!({"what": "tea"})).await);
    let done = reply(&client, &second, json!({"size": "1"})).await;
    assert_eq!(done.tool_text(), "1 x tea");
}
