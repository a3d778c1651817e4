//! Nodes that share sessions: where a client goes makes no difference, and costs the store nothing.

use std::time::{Duration, Instant};

use serde_json::json;

use super::clients::Crowd;
use super::requests::Tool;
use crate::world::cluster::LEASE;
use crate::world::{Cluster, EventStream, NOTHING, Session, Told as _, eventually};

const VERSION: &str = "2025-11-25";

/// A call at the first node that asks for a name, and its session as the second node has it.
pub(super) async fn asks_at_the_first(cluster: &Cluster) -> (Session, i64, EventStream) {
    let capabilities = json!({"elicitation": {}});
    let here = (cluster[0].server.session_with(VERSION, capabilities)).await;
    let there = here.elsewhere(&cluster[1].url("/mcp"));
    let (id, stream) = here.stream_tool("ask_name", json!({})).await;
    (there, id, stream)
}

/// Ours: no sticky routing.
#[tokio::test]
async fn a_session_opened_on_one_node_is_used_on_all() {
    let cluster = Cluster::of(3).await;
    let session = cluster[0].server.session(VERSION).await;

    for node in cluster.nodes() {
        let there = session.elsewhere(&node.url("/mcp"));
        let answer = there.tool("echo", json!({"text": "here"})).await;
        assert_eq!(answer.tool_text(), "here");
        let arguments = json!({"from": 3, "interval_ms": 10});
        let (id, stream) = there.stream_tool("countdown", arguments).await;
        let told = stream.rest().await;
        assert_eq!(told.steps(), [1, 2, 3]);
        assert_eq!(told.answers()[0]["id"], id);
    }

    assert_eq!(cluster[0].metric("mcp_active_sessions").await, 1.0);
    assert_eq!(cluster.metric("mcp_active_sessions").await, 1.0, "one home");
}

/// client/elicitation (2025-11-25): the answer may arrive anywhere.
#[tokio::test]
async fn a_question_of_one_node_is_answered_at_another() {
    let cluster = Cluster::of(2).await;
    let (there, id, mut stream) = asks_at_the_first(&cluster).await;
    let question = stream.message().await;
    assert_eq!(question["method"], "elicitation/create");

    let content = json!({"action": "accept", "content": {"name": "Ada"}});
    there.answer(&question, content).await;

    let answer = stream.message().await;
    assert_eq!(answer["id"], id);
    assert_eq!(answer["result"]["content"][0]["text"], "Hello, Ada!");
}

/// Ours: a node that was away for longer than it may be does nothing twice when it wakes.
#[tokio::test]
async fn a_question_of_a_node_that_slept_ends_in_one_outcome() {
    let cluster = Cluster::of(2).await;
    let (there, id, mut stream) = asks_at_the_first(&cluster).await;
    let priming = stream.priming().await;
    let question = stream.message().await;

    cluster[0].pause().await;
    tokio::time::sleep(3 * LEASE).await;
    let content = json!({"action": "accept", "content": {"name": "Ada"}});
    there.answer(&question, content).await;
    cluster[0].wake().await;

    // Whether the sleeper still stands depends on who came meanwhile: nobody did. What it says and
    // what the log says are one and the same end.
    let told = stream.rest().await;
    let replayed = there.listen(Some(priming.id())).await.rest().await;
    assert_eq!(replayed.answers().len(), 1, "one outcome");
    assert_eq!(replayed.answers()[0]["id"], id);
    for answer in told.answers() {
        assert_eq!(answer, replayed.answers()[0]);
    }
}

/// Ours: who was taken over while it slept says nothing more, and what it does is not told twice.
#[tokio::test]
async fn a_node_that_wakes_after_a_takeover_says_nothing_more() {
    let cluster = Cluster::of(2).await;
    let (there, id, mut stream) = asks_at_the_first(&cluster).await;
    let priming = stream.priming().await;
    let question = stream.message().await;

    cluster[0].pause().await;
    let taken_over = there.listen(Some(priming.id())).await.rest().await;
    cluster[0].wake().await;
    let content = json!({"action": "accept", "content": {"name": "Ada"}});
    there.answer(&question, content).await;

    assert_eq!(taken_over.messages()[0], question);
    assert_eq!(taken_over.answers().len(), 1);
    assert_eq!(taken_over.answers()[0]["id"], id);
    assert_eq!(
        taken_over.answers()[0]["error"]["data"]["outcome"],
        "unknown"
    );
    assert_eq!(stream.rest().await.answers(), NOTHING, "its epoch is over");
    let again = there.listen(Some(priming.id())).await.rest().await;
    assert_eq!(again, taken_over, "the end is the end");
}

/// basic/transports (2025-11-25), resumability: the rest of a running call is told anywhere.
#[tokio::test]
async fn a_running_call_is_followed_at_another_node() {
    let cluster = Cluster::of(2).await;
    let here = cluster[0].server.session(VERSION).await;
    let there = here.elsewhere(&cluster[1].url("/mcp"));
    let arguments = json!({"from": 40, "interval_ms": 50});
    let (id, mut stream) = here.stream_tool("countdown", arguments).await;
    let priming = stream.priming().await;
    stream.until_step(3).await;
    drop(stream);

    let told = there.listen(Some(priming.id())).await.rest().await;

    assert_eq!(told.steps(), (1..=40).collect::<Vec<_>>());
    let answers = told.answers();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers[0]["id"], id);
    assert!(answers[0]["error"].is_null(), "{answers:?}");
}

/// Ours: who changes a session while another node ends it does not bring it back.
#[tokio::test]
async fn a_session_that_ends_while_it_changes_stays_ended() {
    let cluster = Cluster::with(2).proxied().start().await;
    let here = cluster[0].server.session(VERSION).await;
    let there = here.elsewhere(&cluster[1].url("/mcp"));
    let ping = json!({"jsonrpc": "2.0", "id": "p", "method": "ping"});
    assert_eq!(there.send(&ping).await.result(), json!({}));
    // The change is on its way to the store for longer than the end takes.
    let link = cluster[0].link.as_ref().expect("there is a link");
    link.delay(Duration::from_millis(300));
    let change = json!({
        "jsonrpc": "2.0", "id": "c", "method": "resources/subscribe",
        "params": {"uri": "clock://now"},
    });

    let (changed, ended) = tokio::join!(here.send(&change), async {
        cluster[0].server.metric("mcp_running_calls").await;
        there.delete().await
    });

    assert_eq!(ended.status, 204);
    let told = &changed.text;
    assert!(!told.contains("result"), "nothing was changed: {told}");
    assert!(!told.contains("-32601"), "there is such a change: {told}");
    for node in [&there, &here] {
        eventually("it does not exist any more", || async {
            (node.send(&ping).await.status == 404).then_some(())
        })
        .await;
    }
    assert_eq!(
        there.send(&ping).await.status,
        404,
        "nothing is resurrected"
    );
}

/// basic/transports (2025-11-25), session management: a session that is ended is ended.
#[tokio::test]
async fn a_session_deleted_at_one_node_ends_at_all() {
    let cluster = Cluster::of(3).await;
    let here = cluster[0].server.session(VERSION).await;
    let (there, third) = (
        here.elsewhere(&cluster[1].url("/mcp")),
        here.elsewhere(&cluster[2].url("/mcp")),
    );
    let ping = json!({"jsonrpc": "2.0", "id": "p", "method": "ping"});
    for node in [&here, &there, &third] {
        assert_eq!(node.send(&ping).await.result(), json!({}));
    }
    let standing = here.listen(None).await;
    let arguments = json!({"from": 1_000, "interval_ms": 20});
    let (_, mut running) = here.stream_tool("countdown", arguments).await;
    running.until_step(3).await;

    assert_eq!(there.delete().await.status, 204);

    standing.rest().await;
    assert_eq!(running.rest().await.answers(), NOTHING);
    for node in [&there, &here, &third] {
        let status = node.send(&ping).await.status;
        assert_eq!(status, 404, "it does not exist any more");
        assert_eq!(node.get(None).await.status(), 404);
    }
    eventually("no node runs it", || async {
        let running = cluster.metric("mcp_running_calls").await;
        let active = cluster.metric("mcp_active_sessions").await;
        (running == 0.0 && active == 0.0).then_some(())
    })
    .await;
    assert_eq!(here.send(&ping).await.status, 404, "nothing is resurrected");
}

/// basic/transports (2025-11-25), session management: after the answer to DELETE nobody serves it.
#[tokio::test]
async fn a_session_is_gone_everywhere_when_its_deletion_is_answered() {
    let cluster = Cluster::of(2).await;
    let ping = json!({"jsonrpc": "2.0", "id": "p", "method": "ping"});
    for _ in 0..50 {
        let here = cluster[0].server.session(VERSION).await;
        let there = here.elsewhere(&cluster[1].url("/mcp"));
        assert_eq!(there.send(&ping).await.result(), json!({}));
        assert_eq!(here.delete().await.status, 204);
        assert_eq!(there.send(&ping).await.status, 404);
    }
}

/// Ours: what nodes share is not asked for at every call.
#[tokio::test]
async fn calls_hardly_use_the_store() {
    const SESSIONS: u32 = 1_000;
    let cluster = Cluster::with(3).ledger().start().await;
    let crowd = Crowd::gather(cluster.nginx.address(), SESSIONS as usize).await;
    // Each node has met each session.
    for _ in cluster.nodes() {
        crowd.call_each(Tool::Echo).await;
    }

    let (idle, ()) = commands_per_second(&cluster, tokio::time::sleep(STRETCH)).await;
    let (calling, made) = commands_per_second(&cluster, async {
        let began = Instant::now();
        let calls = crowd.call_at_rate(SESSIONS, STRETCH, Tool::Echo).await;
        calls.all_ended().await;
        f64::from(SESSIONS) * STRETCH.as_secs_f64() / began.elapsed().as_secs_f64()
    })
    .await;

    let per_call = (calling - idle).max(0.0) / made;
    println!("{per_call:.4} store commands per call of a session, {idle:.1} a second when idle");
    assert!(per_call < 0.05, "{calling:.1} a second for {made:.0} calls");
}

/// Ours: a request that is complete in itself needs no store.
#[tokio::test]
async fn stateless_calls_do_not_use_the_store() {
    const RATE: u32 = 250;
    let cluster = Cluster::with(3).ledger().start().await;
    let nobody = Crowd::gather(cluster.nginx.address(), 0).await;
    // The first call of each node is no different, but what a start does is over then.
    nobody.call_stateless(RATE, Duration::from_secs(1)).await;

    let (idle, ()) = commands_per_second(&cluster, tokio::time::sleep(STRETCH)).await;
    let (calling, made) = commands_per_second(&cluster, async {
        let began = Instant::now();
        let made = u32::try_from(nobody.call_stateless(RATE, STRETCH).await);
        f64::from(made.expect("they are few")) / began.elapsed().as_secs_f64()
    })
    .await;

    println!(
        "{calling:.1} store commands a second at {made:.0} stateless calls, {idle:.1} at none"
    );
    // What nodes do by the clock falls into one stretch more often than into another.
    let allowance = idle / 4.0;
    assert!(calling - idle < made / 100.0 + allowance);
}

/// How long commands are counted.
const STRETCH: Duration = Duration::from_secs(10);

/// How many commands the nodes say a second while something happens, and what came of it. A rate and no
/// number: on a busy machine a stretch takes longer than it should.
async fn commands_per_second<T>(cluster: &Cluster, happens: impl Future<Output = T>) -> (f64, T) {
    let monitor = cluster.redis.monitor().await;
    let began = Instant::now();
    let value = happens.await;
    let (counts, time) = (monitor.counts(), began.elapsed());
    println!("in {time:?}: {counts:?}");
    let said = u32::try_from(counts.values().sum::<u64>()).expect("it is bounded by the time");
    (f64::from(said) / time.as_secs_f64(), value)
}
