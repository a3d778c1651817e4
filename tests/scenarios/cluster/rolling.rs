//! Nodes that are replaced one after the other while clients with sessions work.

use std::time::Instant;

use super::clients::Crowd;
use super::history::{Op, Outcome};
use super::judging::judged;
use super::requests::Tool;
use crate::world::{Cluster, eventually, long};

const SESSIONS: usize = 60;
/// Fits the grace that a node leaves its calls.
const WORK: Tool = Tool::Append {
    hold_ms: 600,
    events: 4,
};
/// How often a second.
const RATE: u32 = 30;
const CALLED: &str = r#"mcp_requests_total{method="tools/call",era="session",outcome="ok"}"#;

async fn nobody_notices(mut cluster: Cluster) {
    let rounds = if long() { 20 } else { 2 };
    let mut crowd = Crowd::gather(cluster.nginx.address(), SESSIONS).await;
    crowd.subscribe().await;
    crowd.listen().await;
    let before = crowd.history().records().len();

    let (calls, opened) = crowd
        .call_while(RATE, WORK, async {
            let mut opened = Vec::new();
            for _round in 0..rounds {
                for node in 0..cluster.nodes().len() {
                    let began = Instant::now();
                    cluster[node].term().await;
                    let stopped = began.elapsed();
                    cluster[node].restart().await;
                    eventually("nginx goes to the successor again", || async {
                        (cluster[node].metric(CALLED).await > 0.0).then_some(())
                    })
                    .await;
                    opened.push(Crowd::gather(cluster.nginx.address(), 5).await);
                    println!("stopped in {stopped:?}, back after {:?}", began.elapsed());
                }
            }
            opened
        })
        .await;
    calls.all_ended().await;
    crowd.all_listen().await;
    crowd.call_each(Tool::Echo).await;

    for late in &opened {
        late.call_each(Tool::Echo).await;
        let history = late.history().records();
        let well = history
            .iter()
            .filter(|it| it.op == Op::Answer && it.outcome == Outcome::Ok);
        assert_eq!(well.count(), late.members().len(), "sessions survive");
    }
    let (history, executed) = judged(&mut crowd, &cluster, 1).await;
    assert!(history.len() > before);
    let ends = history.iter().filter(|it| it.op == Op::Answer);
    let not_well: Vec<_> = ends.filter(|it| it.outcome != Outcome::Ok).collect();
    println!(
        "{} executions; nginx says:\n{}",
        executed.len(),
        cluster.nginx.complaints()
    );
    assert!(not_well.is_empty(), "{not_well:#?}");
    let lost = (history.iter()).filter(|it| it.op == Op::Attach && it.outcome == Outcome::Fail);
    assert_eq!(lost.count(), 0, "no session is lost");
}

/// Ours: behind nginx as it comes, which connects anew for each request. Twenty rounds in a long run.
#[tokio::test]
async fn no_session_notices_a_rolling_restart() {
    nobody_notices(
        Cluster::with(3)
            .ledger()
            .journal()
            .nginx_as_it_comes()
            .start()
            .await,
    )
    .await;
}

/// Ours: behind nginx that keeps connections and uses them again.
#[tokio::test]
async fn no_session_notices_a_rolling_restart_behind_kept_connections() {
    nobody_notices(Cluster::with(3).ledger().journal().start().await).await;
}
