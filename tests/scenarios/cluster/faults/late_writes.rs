//! A node that dies while its store does not answer: what it had sent arrives when another has
//! taken over, and is refused.

use std::time::Duration;

use super::super::clients::Crowd;
use super::super::history::{Op, Outcome};
use super::super::judging::judged;
use super::super::requests::Tool;
use crate::world::Cluster;

const WORK: Tool = Tool::Append {
    hold_ms: 2_000,
    events: 20,
};

/// Ours: killed between store and send.
#[tokio::test]
async fn what_a_dead_node_wrote_last_does_not_count_once_it_is_succeeded() {
    let mut cluster = Cluster::with(2).proxied().ledger().journal().start().await;
    let mut crowd = Crowd::gather(cluster[0].address(), 30).await;
    crowd.subscribe().await;
    crowd.listen().await;

    let calls = crowd.call_at_rate(30, Duration::from_secs(2), WORK).await;
    cluster[0].link.as_ref().expect("there is a link").stall();
    // Long enough for every running call to have written something that is not there yet.
    tokio::time::sleep(Duration::from_millis(300)).await;
    cluster[0].kill_hard().await;
    crowd.lead_to(cluster[1].address());
    calls.all_ended().await;
    crowd.all_listen().await;
    cluster[0].link.as_ref().expect("there is a link").resume();
    crowd.call_each(WORK).await;

    let (history, _) = judged(&mut crowd, &cluster, 1).await;
    let ended = history.iter().filter(|it| it.op == Op::Answer);
    let unknown = ended.filter(|it| it.outcome == Outcome::Unknown).count();
    println!("of {unknown} calls the outcome is unknown");
    assert!(unknown > 0, "none ran when the node died");
}
