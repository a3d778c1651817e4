//! A store that lost everything, or what was written last: lost sessions are gone for everybody,
//! and nothing of one is ever found in another.

use std::time::Instant;

use futures_util::StreamExt as _;
use serde_json::json;

use super::super::clients::Crowd;
use super::super::http::Connection;
use super::super::requests::{self, Tool};
use super::steady::Steady;
use crate::world::{Cluster, Redis, Stateless, eventually, within};

/// Sessions that the store knew.
const SESSIONS: usize = 30;

/// The status of a call of a session at one node.
async fn status(cluster: &Cluster, node: usize, session: &str) -> u16 {
    let call = requests::call(session, 9_999, "late", "late", Tool::Echo);
    let asking = async {
        let mut connection = Connection::open(cluster[node].address()).await?;
        connection.send(&call).await
    };
    let head = within("an answer", asking).await;
    head.expect("it answers").status
}

/// What all nodes say of each session, once they agree and say something final.
async fn agreed(cluster: &Cluster, crowd: &Crowd) -> Vec<u16> {
    let of_one = |session: String| async move {
        eventually("all nodes say the same of a session", || async {
            let mut said = Vec::new();
            for node in 0..cluster.nodes().len() {
                said.push(status(cluster, node, &session).await);
            }
            let same = said.iter().all(|status| *status == said[0]);
            (same && matches!(said[0], 200 | 404)).then_some(said[0])
        })
        .await
    };
    let sessions = crowd.members().iter().map(|member| member.session.clone());
    let asking = futures_util::stream::iter(sessions.map(of_one));
    asking.buffered(8).collect().await
}

/// Everybody is served anew, and sees only what is theirs.
async fn new_ones_are_served(cluster: &Cluster) {
    let mut crowd = Crowd::gather(cluster.nginx.address(), SESSIONS).await;
    crowd.listen().await;
    for _ in cluster.nodes() {
        crowd.call_each(Tool::Echo).await;
    }
    crowd.leave().await;
    let history = crowd.history().records();
    super::super::checker::assert_promises_kept(
        &history,
        &[],
        &crowd.dump(cluster[0].address(), |_| Some(0)).await,
    );
    for answer in history.iter().filter(|record| record.mark.is_some()) {
        assert_eq!(answer.mark.as_deref(), Some(answer.session.as_str()));
    }
}

/// A crowd with streams and a task, known at every node.
async fn gathered(cluster: &Cluster) -> Crowd {
    let mut crowd = Crowd::gather(cluster.nginx.address(), SESSIONS).await;
    crowd.listen().await;
    for _ in cluster.nodes() {
        crowd.call_each(Tool::Echo).await;
    }
    crowd
}

/// Ours: `FLUSHALL`, or a server without files that is started again.
async fn emptied(cluster: &mut Cluster, empty: impl AsyncFnOnce(&mut Redis)) {
    let crowd = gathered(cluster).await;
    let steady = Steady::at(cluster[0].address());

    empty(&mut cluster.redis).await;

    let began = Instant::now();
    eventually("all are gone, so that clients initialize again", || async {
        let said = agreed(cluster, &crowd).await;
        said.iter().all(|status| *status == 404).then_some(())
    })
    .await;
    println!("all nodes knew after {:?}", began.elapsed());
    steady.end("meanwhile").await;
    new_ones_are_served(cluster).await;
    let said = agreed(cluster, &crowd).await;
    assert_eq!(said, vec![404; SESSIONS], "nothing is resurrected");
}

/// Ours: everything is gone, and its server never was.
#[tokio::test]
async fn sessions_of_a_store_that_was_flushed_are_gone_everywhere() {
    let mut cluster = Cluster::with(3).ledger().start().await;
    emptied(&mut cluster, async |redis: &mut Redis| {
        redis.flushall().await;
    })
    .await;
}

/// Ours: the server crashed and keeps nothing.
#[tokio::test]
async fn sessions_of_a_store_that_begins_anew_are_gone_everywhere() {
    let mut cluster = Cluster::with(3).ledger().start().await;
    emptied(&mut cluster, async |redis: &mut Redis| {
        redis.stop_hard().await;
        redis.restart().await;
    })
    .await;
}

/// Ours: what was written last is lost; all nodes agree on what that was.
#[tokio::test]
async fn a_store_with_a_torn_file_loses_the_latest_sessions_only() {
    let redis = Redis::with().append_only().start().await;
    let mut cluster = Cluster::with(3).redis(redis).ledger().start().await;
    let crowd = gathered(&cluster).await;
    let file = cluster.redis.appended();
    let length = || std::fs::metadata(&file).expect("it is there").len();
    let before = length();
    // Only one node knows these, so that all agree on a lost one only when that one has noticed.
    let late = Crowd::gather(cluster[0].address(), SESSIONS).await;
    let steady = Steady::at(cluster[0].address());

    let after = length();
    cluster.redis.stop_hard().await;
    let torn = std::fs::OpenOptions::new().write(true).open(&file);
    let torn = torn.and_then(|file| file.set_len(before.midpoint(after)));
    torn.expect("it can be cut");
    cluster.redis.restart().await;

    let (early, said) = (
        agreed(&cluster, &crowd).await,
        agreed(&cluster, &late).await,
    );
    let lost = said.iter().filter(|status| **status == 404).count();
    println!("{lost} of {SESSIONS} late sessions are lost");
    assert_eq!(early, vec![200; SESSIONS], "what was written before");
    assert!((1..SESSIONS).contains(&lost), "{lost}");
    steady.end("meanwhile").await;
    new_ones_are_served(&cluster).await;
    assert_eq!(agreed(&cluster, &late).await, said, "it stays so");
    let answer = Stateless::new(&cluster.url("/mcp"));
    let answer = answer.tool("echo", json!({"text": "on"})).await;
    assert_eq!(answer.tool_text(), "on");
}
