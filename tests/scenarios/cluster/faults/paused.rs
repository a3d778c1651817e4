//! A node that is stopped in the middle of everything, superseded, and woken.

use std::time::Duration;

use serde_json::json;

use super::super::clients::Crowd;
use super::super::judging::judged;
use super::super::requests::Tool;
use crate::world::{Cluster, FaultProxy, NOTHING, Told as _, long, within};

const VERSION: &str = "2025-11-25";
const WORK: Tool = Tool::Append {
    hold_ms: 3_000,
    events: 10,
};

/// Clients are led away from a node that sleeps, but for one, which waits on a stream of it.
async fn is_superseded_while_it_sleeps(sleep: Duration) {
    let cluster = Cluster::with(2).ledger().journal().start().await;
    let road = FaultProxy::before(cluster[0].address()).await;
    let mut crowd = Crowd::gather(road.address(), 30).await;
    crowd.subscribe().await;
    crowd.listen().await;
    let patient = cluster[0].server.session(VERSION).await;
    let arguments = json!({"call": "patient", "mark": "m", "hold_ms": 4_000, "events": 20});
    let (_, mut stream) = patient.stream_tool("ledger_append", arguments).await;
    let first = stream.until_step(1).await;
    let standing = patient.listen(None).await;

    let traffic = crowd.call_at_rate(20, Duration::from_secs(2), WORK).await;
    cluster[0].pause().await;
    let asleep = std::time::Instant::now();
    crowd.lead_to(cluster[1].address());
    // Also for who was just about to take it.
    road.lead_to(cluster[1].address());
    road.reset();
    crowd.all_listen().await;
    let there = patient.elsewhere(&cluster[1].url("/mcp"));
    let taken_over = there.listen(Some(first[0].id())).await.rest().await;
    let moved = there.listen(None).await;
    traffic.all_ended().await;
    crowd.call_each(WORK).await;
    tokio::time::sleep(sleep.saturating_sub(asleep.elapsed())).await;
    println!("slept for {:?}", asleep.elapsed());
    cluster[0].wake().await;

    // It finds out by itself that it is not wanted any more.
    let told = within("the stream of the call ends", stream.rest()).await;
    assert_eq!(told.answers(), NOTHING, "its epoch is over");
    let told = within("the standing stream ends", standing.rest()).await;
    assert_eq!(told.answers(), NOTHING);
    drop(moved);
    let again = there.listen(Some(first[0].id())).await.rest().await;
    assert_eq!(again, taken_over, "the end is the end");
    assert_eq!(taken_over.answers().len(), 1);
    crowd.lead_to_any(&[cluster[0].address(), cluster[1].address()]);
    crowd.call_each(Tool::Echo).await;
    let (_, executed) = judged(&mut crowd, &cluster, 0).await;
    let runs = executed.iter().filter(|run| run.call == "patient");
    assert_eq!(runs.count(), 1);
}

/// Ours: longer than a lease.
#[tokio::test]
async fn a_node_that_slept_for_five_seconds_closes_what_moved() {
    is_superseded_while_it_sleeps(Duration::from_secs(5)).await;
}

/// Ours: longer than most timeouts. Two minutes in a long run.
#[tokio::test]
async fn a_node_that_slept_for_long_closes_what_moved() {
    let sleep = if long() { 120 } else { 30 };
    is_superseded_while_it_sleeps(Duration::from_secs(sleep)).await;
}
