//! A store that is slow, silent, cut, full, read-only, locked or loading: what needs no store does
//! not notice, what needs it says so soon and says when to come back, and it is over when it is over.

use std::time::{Duration, Instant};

use serde_json::json;

use super::super::clients::Crowd;
use super::super::history::{Op, Outcome};
use super::super::http::{Connection, Head};
use super::super::requests::{self, Tool};
use super::steady::Steady;
use super::trouble::{Lasting, Trouble};
use crate::world::{Cluster, Redis, Session, eventually, get, long, within};

/// How long a trouble lasts after it was noticed.
const TROUBLE: Duration = Duration::from_secs(4);
/// Connections that a node may make at once: one for each that it keeps, and one over.
const AT_ONCE: usize = 7;
/// And then in a second.
const A_SECOND: usize = 10;
/// Between two rounds of requests that need the store.
const ROUND: Duration = Duration::from_millis(250);
/// What only reads.
const UNKNOWN: &str = "a session unknown here";

/// One request and the time it took, which is bounded by the patience of any client.
async fn ask(cluster: &Cluster, request: &[u8]) -> (Head, Duration) {
    let began = Instant::now();
    let asking = async {
        let mut connection = Connection::open(cluster[0].address()).await?;
        connection.send(request).await
    };
    let head = within("an answer", asking).await.expect("it answers");
    (head, began.elapsed())
}

/// Tells the story of one trouble at the first of two nodes.
async fn is_survived(trouble: Trouble, time: Duration) {
    let redis = Redis::with().config("loading-process-events-interval-bytes 1024");
    let redis = redis.start().await;
    let mut cluster = (Cluster::with(2).redis(redis).proxied().ledger().start()).await;
    let crowd = Crowd::gather(cluster[0].address(), 10).await;
    crowd.call_each(Tool::Echo).await;
    // Two sessions that the first node has never met: one to be called, one to be attached.
    let mut unmet = Vec::new();
    for _ in 0..2 {
        unmet.push(cluster[1].server.session("2025-11-25").await);
    }
    let steady = Steady::at(cluster[0].address());
    tokio::time::sleep(TROUBLE / 2).await;
    steady.end("before").await;

    let lasting = Lasting::begin(trouble, &cluster).await;
    let steady = Steady::at(cluster[0].address());
    let link = cluster[0].link.as_ref().expect("there is a link");
    let (began, connected) = (Instant::now(), link.accepted());
    while began.elapsed() < time {
        state_waits(&cluster, &unmet, trouble).await;
        crowd.call_each(Tool::Echo).await;
        tokio::time::sleep(ROUND).await;
    }
    if let Some(reason) = trouble.reason() {
        cluster[0].says_of_itself(reason).await;
        assert_eq!(get(cluster[0].url("/ready")).await.unwrap().status(), 503);
    }
    let (made, time) = (link.accepted() - connected, began.elapsed());
    println!("{trouble:?}: {made} connections to the store in {time:?}");
    let bound = AT_ONCE + A_SECOND * usize::try_from(time.as_secs() + 1).expect("it is short");
    assert!(made <= bound, "a spin: {made} connections in {time:?}");
    steady.end("meanwhile").await;

    lasting.end(&mut cluster).await;
    let mended = Instant::now();
    cluster[0].is_ready().await;
    println!("ready again {:?} after it was mended", mended.elapsed());
    works_again(&cluster, &crowd, &unmet).await;
}

/// What needs the store does not hang, and says when to come back.
async fn state_waits(cluster: &Cluster, unmet: &[Session], trouble: Trouble) {
    let [called, attached] = unmet else {
        panic!("there are two");
    };
    for (what, request) in [
        ("opening", requests::initialize()),
        (UNKNOWN, requests::call(&called.id, 1, "c", "m", Tool::Echo)),
        ("a stream", requests::listen(&attached.id, None)),
    ] {
        let (head, time) = ask(cluster, &request).await;
        println!("{trouble:?}: {what}: {} after {time:?}", head.status);
        // What is there now and then may also work, and so may reading what cannot be written.
        let may_work = match trouble {
            Trouble::Slow | Trouble::Reset | Trouble::Loading => true,
            Trouble::Full | Trouble::ReadOnly | Trouble::Unsaved | Trouble::Alone => {
                what == UNKNOWN
            }
            Trouble::Stalled | Trouble::Locked => false,
        };
        assert!(
            head.status == 503 || (may_work && head.status == 200),
            "{trouble:?}: {what}: {}",
            head.status
        );
        if head.status == 503 {
            assert!(head.retry_after.is_some(), "{trouble:?}: {what}: no time");
        }
    }
}

/// Everything that waited, and everything that went on.
async fn works_again(cluster: &Cluster, crowd: &Crowd, unmet: &[Session]) {
    eventually("a session is opened", || async {
        (ask(cluster, &requests::initialize()).await.0.status == 200).then_some(())
    })
    .await;
    for session in unmet {
        let here = session.elsewhere(&cluster[0].url("/mcp"));
        let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
        eventually("a session is found", || async {
            (here.send(&ping).await.status == 200).then_some(())
        })
        .await;
        eventually("a stream is attached", || async {
            (here.get(None).await.status() == 200).then_some(())
        })
        .await;
    }
    crowd.call_each(Tool::Echo).await;
    let history = crowd.history().records();
    for answer in history.iter().filter(|record| record.op == Op::Answer) {
        assert_eq!(answer.outcome, Outcome::Ok, "{answer:?}");
        assert_eq!(answer.mark.as_deref(), Some(answer.session.as_str()));
    }
}

/// Ours: a second each way.
#[tokio::test]
async fn a_slow_store_delays_what_needs_it_and_nothing_else() {
    is_survived(Trouble::Slow, TROUBLE).await;
}

/// Ours: half-open connections. Two minutes in a long run.
#[tokio::test]
async fn a_silent_store_delays_nothing_that_does_not_need_it() {
    let time = if long() {
        Duration::from_secs(120)
    } else {
        TROUBLE
    };
    is_survived(Trouble::Stalled, time).await;
}

/// Ours: RST, fifty times a second.
#[tokio::test]
async fn a_store_whose_connections_break_is_not_stormed() {
    is_survived(Trouble::Reset, TROUBLE).await;
}

/// Ours: `maxmemory` with `noeviction`.
#[tokio::test]
async fn a_full_store_refuses_what_is_new() {
    is_survived(Trouble::Full, TROUBLE).await;
}

/// Ours: a primary that became a replica.
#[tokio::test]
async fn a_store_that_cannot_be_written_refuses_what_is_new() {
    is_survived(Trouble::ReadOnly, TROUBLE).await;
}

/// Ours: the password was changed.
#[tokio::test]
async fn a_store_that_lets_nobody_in_is_waited_for() {
    is_survived(Trouble::Locked, TROUBLE).await;
}

/// Ours: a server that has just been started.
#[tokio::test]
async fn a_store_that_is_loading_is_waited_for() {
    is_survived(Trouble::Loading, TROUBLE).await;
}
