//! Thousands of streams that come back at once, when the node that had them is gone.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::super::clients::Crowd;
use super::super::history::{Op, Outcome};
use super::super::requests::Tool;
use crate::world::{Cluster, long};

/// Memory that a process uses, in MiB.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    let status = status.expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let digits = line.and_then(|line| line.split_whitespace().next());
    digits
        .and_then(|it| it.parse::<u64>().ok())
        .expect("a size")
        / 1024
}

/// Ours: all at once; 2,000 of them, 6,000 in a long run.
#[tokio::test]
async fn every_stream_of_a_dead_node_comes_back_at_the_others() {
    let streams = if long() { 6_000 } else { 2_000 };
    let mut cluster = Cluster::with(3).ledger().start().await;
    let mut crowd = Crowd::gather(cluster[0].address(), streams).await;
    crowd.listen().await;
    let others = [cluster[1].address(), cluster[2].address()];
    let pids = [cluster[1].server.pid(), cluster[2].server.pid()];
    let before = pids.map(memory);

    crowd.lead_to_any(&others);
    let began = Instant::now();
    cluster[0].kill_hard().await;
    crowd.all_listen_again(streams).await;

    println!("{streams} streams were back after {:?}", began.elapsed());
    let refusals = crowd.refusals();
    let all = refusals.all.load(Ordering::Relaxed);
    let honest = refusals.with_time.load(Ordering::Relaxed);
    println!(
        "{all} tries were refused for load; MiB before {before:?}, then {:?}",
        pids.map(memory)
    );
    assert_eq!(all, honest, "each refusal says when to try again");
    crowd.call_each(Tool::Echo).await;
    let homes = cluster.metric("mcp_active_sessions").await;
    assert_eq!(
        homes,
        f64::from(u32::try_from(streams).expect("they are few"))
    );
    crowd.leave().await;
    let history = crowd.history().records();
    let lost = (history.iter()).filter(|it| it.op == Op::Attach && it.outcome == Outcome::Fail);
    assert_eq!(lost.count(), 0, "no session is lost");
    let well = history
        .iter()
        .filter(|it| it.op == Op::Answer && it.outcome == Outcome::Ok);
    assert_eq!(well.count(), streams);
}
