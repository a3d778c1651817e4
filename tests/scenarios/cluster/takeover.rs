//! Nodes that die: their sessions go on elsewhere, and what ran there ends once and honestly.

use std::time::{Duration, Instant};

use super::clients::Crowd;
use super::history::{Op, Outcome, Record};
use super::judging::judged;
use super::requests::Tool;
use crate::world::cluster::LEASE;
use crate::world::{Cluster, Redis};

/// Works long enough to be running when its node dies.
const WORK: Tool = Tool::Append {
    hold_ms: 2_000,
    events: 10,
};

/// How many calls there were, and how they ended.
fn tally(history: &[Record]) -> [usize; 4] {
    let count =
        |wanted: &dyn Fn(&Record) -> bool| history.iter().filter(|record| wanted(record)).count();
    let ended = |outcome| count(&|it| it.op == Op::Answer && it.outcome == outcome);
    [
        count(&|it| it.op == Op::Call),
        ended(Outcome::Ok),
        ended(Outcome::Fail),
        ended(Outcome::Unknown),
    ]
}

/// Ours: a node dies among others, with streams open and calls running.
#[tokio::test]
async fn a_thousand_sessions_outlive_a_node() {
    let mut cluster = Cluster::with(3).ledger().journal().start().await;
    let mut crowd = Crowd::gather(cluster.nginx.address(), 1_000).await;
    crowd.subscribe().await;
    crowd.listen().await;
    let dying = cluster[0].server.pid();

    let traffic = async {
        let calls = crowd.call_at_rate(50, Duration::from_secs(15), WORK).await;
        calls.all_ended().await;
    };
    let death = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let open = crowd.listening();
        let (began, died) = (Instant::now(), crowd.history().now());
        cluster[0].kill_hard().await;
        crowd.all_listen_again(open).await;
        println!("all streams were open again after {:?}", began.elapsed());
        died
    };
    let ((), died) = tokio::join!(traffic, death);
    crowd.call_each(Tool::Echo).await;

    let (history, executed) = judged(&mut crowd, &cluster, 1).await;
    let [calls, well, failed, unknown] = tally(&history);
    println!("{calls} calls: {well} ended well, {failed} failed, {unknown} are unknown");
    let lost = (history.iter()).filter(|it| it.op == Op::Attach && it.outcome == Outcome::Fail);
    assert_eq!(lost.count(), 0, "no session is lost");
    assert_eq!(failed, 0, "nothing is refused");
    // How many ran there is a matter of how busy the machine is; that no other did is not.
    for call in history.iter().filter(|it| it.outcome == Outcome::Unknown) {
        let run = (executed.iter()).find(|run| Some(&run.call) == call.call.as_ref());
        assert!(run.is_none_or(|run| run.owner == dying), "{run:?}");
        assert!(call.t >= died, "unknown before anything broke: {call:?}");
    }
    let ends = history.iter().filter(|it| it.outcome == Outcome::Unknown);
    if let Some(last) = ends.map(|it| it.t).max() {
        let after = last.saturating_sub(died);
        println!("the last of its calls ended after {after:?}; a lease is {LEASE:?}");
    }
}

/// Ours: what left with an id had been stored before, however far away the store is.
#[tokio::test]
async fn what_a_dead_node_said_is_told_again_though_its_store_was_far_away() {
    let mut cluster = Cluster::with(2).proxied().ledger().journal().start().await;
    let mut crowd = Crowd::gather(cluster[0].address(), 50).await;
    crowd.subscribe().await;
    crowd.listen().await;
    let link = cluster[0].link.as_ref().expect("there is a link");
    link.delay(Duration::from_millis(50));

    let calls = crowd.call_at_rate(50, Duration::from_secs(3), WORK).await;
    cluster[0].kill_hard().await;
    crowd.lead_to(cluster[1].address());
    calls.all_ended().await;
    crowd.all_listen().await;
    crowd.call_each(Tool::Echo).await;

    let (history, _) = judged(&mut crowd, &cluster, 1).await;
    let [calls, well, failed, unknown] = tally(&history);
    println!("{calls} calls: {well} ended well, {failed} failed, {unknown} are unknown");
    assert!(unknown > 0, "none ran when the node died");
}

/// Ours: a node that dies leaves everything to one that never saw any of it.
#[tokio::test]
async fn ten_thousand_sessions_and_their_streams_move_to_another_node() {
    const SESSIONS: usize = 10_000;
    let redis = Redis::start().await;
    let before = redis.used_memory().await;
    let mut cluster = Cluster::with(2).redis(redis).ledger().start().await;
    let began = Instant::now();
    let mut crowd = Crowd::gather(cluster[0].address(), SESSIONS).await;
    println!("{SESSIONS} sessions opened in {:?}", began.elapsed());
    let bytes = (cluster.redis.used_memory().await - before) / SESSIONS as u64;
    println!("{bytes} bytes of Redis for each");
    crowd.listen().await;

    crowd.lead_to(cluster[1].address());
    let began = Instant::now();
    cluster[0].kill_hard().await;
    crowd.all_listen_again(SESSIONS).await;
    println!("all streams are open elsewhere after {:?}", began.elapsed());
    crowd.call_each(Tool::Echo).await;
    println!("all have been served after {:?}", began.elapsed());

    let [calls, well, ..] = tally(&crowd.history().records());
    assert_eq!((calls, well), (SESSIONS, SESSIONS));
    assert_eq!(crowd.listening(), SESSIONS);
}
