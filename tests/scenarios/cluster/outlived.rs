//! Calls that outlive their store's absence, or their own node: a client that comes back elsewhere
//! hears what came of them.

use serde_json::json;

use super::together::asks_at_the_first;
use crate::world::reading::{NOTHING, Told as _};
use crate::world::{Cluster, Event, Redis, Stateless, eventually, get};

const VERSION: &str = "2025-11-25";

/// Two nodes that notice soon that their store is away, and long before anybody is taken for dead.
async fn patient() -> Cluster {
    let lease = [("SWITCHBOARD_CLUSTER_LEASE", "30s")];
    let cluster = Cluster::with(2).redis(Redis::start().await);
    let cluster = cluster.variables_of(0, &lease).variables_of(1, &lease);
    let cluster = cluster.config("[store]\ntimeout = '500ms'");
    cluster.start().await
}

/// Lets the store go on, until both have noticed.
async fn wake(cluster: &Cluster) {
    cluster.redis.wake().await;
    for node in cluster.nodes() {
        eventually("it is ready again", || async {
            let ready = get(node.url("/ready")).await.ok()?;
            ready.status().is_success().then_some(())
        })
        .await;
    }
}

fn has_no_id(event: &Event) -> bool {
    event.is_message() && event.id.is_none()
}

/// Ours: the store is away for a while, the call is not.
#[tokio::test]
async fn events_have_ids_again_when_the_store_is_back() {
    let cluster = patient().await;
    let session = cluster[0].server.session(VERSION).await;
    let arguments = json!({"count": 300, "interval_us": 50_000});
    let (id, mut stream) = session.stream_tool("stream", arguments).await;
    stream.until_step(3).await;
    cluster.redis.freeze().await;
    stream.until(has_no_id).await;
    wake(&cluster).await;
    let seen = stream.until(|event| event.id.is_some()).await;
    drop(stream);

    let last = seen.last().expect("it goes on");
    let elsewhere = session.elsewhere(&cluster[1].url("/mcp"));
    let rest = elsewhere.listen(Some(last.id())).await.rest().await;

    let step = last.step().expect("it is progress");
    let expected: Vec<u64> = (step + 1..=300).collect();
    assert_eq!(rest.steps(), expected, "nothing twice, and no gap");
    let answers = rest.answers();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0]["id"], id);
    assert_eq!(answers[0]["result"]["content"][0]["text"], "done");
}

/// Ours: so is a standing stream.
#[tokio::test]
async fn notices_have_ids_again_when_the_store_is_back() {
    let cluster = patient().await;
    let session = cluster[0].server.session(VERSION).await;
    let clock = json!({"uri": "clock://now"});
    session.call("resources/subscribe", clock).await;
    let mut stream = session.listen(None).await;
    let is_notice = |event: &Event| event.is_message() && event.id.is_some();
    stream.until(is_notice).await;
    cluster.redis.freeze().await;
    stream.until(has_no_id).await;
    wake(&cluster).await;
    let seen = stream.until(is_notice).await;
    drop(stream);

    let last = seen.last().expect("it goes on").id();
    let elsewhere = session.elsewhere(&cluster[1].url("/mcp"));
    let mut again = elsewhere.listen(Some(last)).await;
    let next = again.until(is_notice).await;
    assert_ne!(next[0].id(), last);
}

/// Ours: one outcome, wherever and however often it is heard.
#[tokio::test]
async fn a_call_that_ends_while_the_store_is_away_is_heard_as_it_ended() {
    let cluster = patient().await;
    let session = cluster[0].server.session(VERSION).await;
    let arguments = json!({"count": 60, "interval_us": 50_000});
    let (_, mut stream) = session.stream_tool("stream", arguments).await;
    let before = stream.until_step(3).await;
    cluster.redis.freeze().await;
    let meanwhile = stream.rest().await;
    wake(&cluster).await;
    let heard = meanwhile.answers();
    assert_eq!(heard.len(), 1, "its connection gets everything");
    assert_eq!(meanwhile.last().map(has_no_id), Some(true));

    let elsewhere = session.elsewhere(&cluster[1].url("/mcp"));
    let last = before.last().expect("it has begun").id();
    for _ in 0..2 {
        let told = elsewhere.listen(Some(last)).await.rest().await;
        assert_eq!(told.answers(), heard);
    }
}

/// Ours: what does no harm twice is made again, once, on the stream it had.
#[tokio::test]
async fn a_call_of_an_idempotent_tool_is_made_again_at_another_node() {
    let mut cluster = Cluster::with(2).start().await;
    let session = cluster[0].server.session(VERSION).await;
    let arguments = json!({"count": 40, "interval_us": 50_000});
    let (id, mut stream) = session.stream_tool("stream", arguments).await;
    let mut seen = stream.until_step(3).await;
    cluster[0].kill_hard().await;
    seen.extend(stream.rest().await);
    assert_eq!(seen.answers(), NOTHING, "the call was cut");

    let last = seen.last().expect("it has begun").id();
    let elsewhere = session.elsewhere(&cluster[1].url("/mcp"));
    let resumed = elsewhere.listen(Some(last)).await.rest().await;

    let answers = resumed.answers();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0]["id"], id);
    assert_eq!(answers[0]["result"]["content"][0]["text"], "done");
    let again = elsewhere.listen(Some(last)).await.rest().await;
    assert_eq!(again, resumed, "once");
}

/// Ours: what was accepted arrives, however long that takes.
#[tokio::test]
async fn an_answer_given_elsewhere_while_the_store_is_away_arrives() {
    let cluster = patient().await;
    let (there, id, mut stream) = asks_at_the_first(&cluster).await;
    stream.priming().await;
    let question = stream.message().await;
    // The other node knows the session.
    there.tool("echo", json!({"text": "here"})).await;
    cluster.redis.freeze().await;
    let content = json!({"action": "accept", "content": {"name": "Ada"}});
    there.answer(&question, content).await;
    eventually("the store is found to be away", || async {
        (cluster[1].metric("mcp_store_up").await == 0.0).then_some(())
    })
    .await;
    wake(&cluster).await;

    let answers = stream.rest().await.answers();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0]["id"], id);
    assert!(answers[0].to_string().contains("Ada"));
}

/// Ours: one key, one end, whoever asks and wherever.
#[tokio::test]
async fn a_key_whose_node_slept_has_one_end() {
    let cluster = Cluster::with(2).start().await;
    let [here, there] = [0, 1].map(|node| Stateless::new(&cluster[node].url("/mcp")));
    let params = json!({"name": "countdown", "arguments": {"from": 100, "interval_ms": 50},
        "_meta": {"switchboard/idempotencyKey": "key"}});
    let mut told_of = params.clone();
    told_of["_meta"]["progressToken"] = json!("p");
    let (_, mut stream) = here.stream("tools/call", told_of).await;
    // It runs: its key is kept.
    stream.message().await;
    cluster[0].pause().await;
    let elsewhere = there.call("tools/call", params.clone()).await;
    cluster[0].wake().await;
    let first = stream.rest().await.answers();
    let error = &elsewhere.message()["error"];
    assert_eq!(error["data"]["outcome"], "unknown");
    assert_eq!(first.len(), 1);
    assert_eq!(first[0]["error"], *error);
    let again = here.call("tools/call", params).await;
    assert_eq!(again.message()["error"], *error);
}
