//! A primary that freezes, is replaced by sentinels, and wakes: nothing that was acknowledged is
//! lost, and nobody who was replaced is listened to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::super::clients::Crowd;
use super::super::history::{Op, Outcome};
use super::super::http::Connection;
use super::super::judging::judged;
use super::super::requests::{self, Tool};
use super::steady::Steady;
use crate::world::redis::Watched;
use crate::world::{Cluster, eventually, within};

const WORK: Tool = Tool::Append {
    hold_ms: 1_000,
    events: 5,
};

/// Between two sessions that are opened while the store fails over.
const PAUSE: Duration = Duration::from_millis(50);

/// What a node answers to a request that must be answered.
async fn ask(node: std::net::SocketAddr, request: &[u8]) -> (u16, Option<String>) {
    let asking = async {
        let mut connection = Connection::open(node).await?;
        connection.send(request).await
    };
    let head = within("an answer", asking).await.expect("it answers");
    (head.status, head.session)
}

/// Opens sessions until it is over; those that were acknowledged.
async fn open_sessions(node: std::net::SocketAddr, over: &AtomicBool) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    while !over.load(Ordering::Relaxed) {
        match ask(node, &requests::initialize()).await {
            (200, Some(session)) => acknowledged.push(session),
            (503, _) => refused += 1,
            other => panic!("unexpected {other:?}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    println!("{} sessions opened, {refused} refused", acknowledged.len());
    acknowledged
}

/// Ours: with `[store] replicas = 1` and two replicas of which one is promoted.
#[tokio::test]
async fn what_was_acknowledged_outlives_the_primary() {
    let watched = Watched::with(2).await;
    let url = watched.url();
    let Watched {
        primary,
        replicas,
        sentinels,
    } = watched;
    let cluster = Cluster::with(3).redis(primary).store_url(&url).ledger();
    let cluster = cluster.config("[store]\nreplicas = 1").start().await;
    let mut crowd = Crowd::gather(cluster.nginx.address(), 40).await;
    crowd.subscribe().await;
    crowd.listen().await;
    for _ in 0..4 {
        crowd.call_each(Tool::Echo).await;
    }
    let steady = Steady::at(cluster[0].address());

    let over = AtomicBool::new(false);
    let failing = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (old, began) = (cluster.redis.address().port(), Instant::now());
        cluster.redis.freeze().await;
        eventually("a replica is the primary", || async {
            (sentinels[0].primary_port().await != old).then_some(())
        })
        .await;
        println!("a replica was promoted after {:?}", began.elapsed());
        eventually("sessions are opened again", || async {
            let answer = ask(cluster[1].address(), &requests::initialize()).await;
            (answer.0 == 200).then_some(())
        })
        .await;
        println!("sessions were opened again after {:?}", began.elapsed());
        cluster.redis.wake().await;
        eventually("the old primary follows", || async {
            let role = cluster.redis.info_value("replication", "role").await;
            (role == "slave").then_some(())
        })
        .await;
        println!("the old primary followed after {:?}", began.elapsed());
        over.store(true, Ordering::Relaxed);
    };
    let opening = open_sessions(cluster[0].address(), &over);
    let during = async { tokio::join!(opening, failing) };
    let (calls, (opened, ())) = crowd.call_while(20, WORK, during).await;
    calls.all_ended().await;
    crowd.all_listen().await;
    crowd.call_each(WORK).await;
    crowd.leave().await;
    steady.end("meanwhile").await;

    for node in cluster.nodes() {
        for session in &opened {
            let call = requests::call(session, 1, "late", "late", Tool::Echo);
            let (status, _) = ask(node.address(), &call).await;
            assert_eq!(status, 200, "a session that was acknowledged");
        }
    }
    let promoted = sentinels[0].primary_port().await;
    let promoted = (replicas.iter()).find(|replica| replica.address().port() == promoted);
    let promoted = promoted.expect("a replica was promoted");
    cluster.redis.in_step_with(promoted).await;
    let (history, executed) = judged(&mut crowd, &cluster, 1).await;
    let answers = history.iter().filter(|it| it.op == Op::Answer);
    let not_well: Vec<_> = answers.filter(|it| it.outcome != Outcome::Ok).collect();
    println!("{} calls were executed", executed.len());
    assert!(
        not_well.is_empty(),
        "calls of known sessions go on: {not_well:#?}"
    );
    let lost = (history.iter()).filter(|it| it.op == Op::Attach && it.outcome == Outcome::Fail);
    assert_eq!(lost.count(), 0, "no session is lost");
}
