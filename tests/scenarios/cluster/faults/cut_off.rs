//! A node that loses its store for longer than its lease while clients stay connected to it, and
//! others go on at a node that has the store: no stream is told two ends, and once it is taken over,
//! its old owner writes nothing.
//!
//! What a call says meanwhile its own connection gets, but for how it ended: that waits until its node
//! knows whether it may still say so (docs/nodes.md).

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;

use super::super::checker::{assert_none, store};
use super::super::clients::Crowd;
use super::super::history::{Op, Outcome};
use super::super::judging::judged;
use super::super::kept::{Change, Kept, changes};
use super::super::requests::Tool;
use super::super::together::asks_at_the_first;
use crate::world::cluster::LEASE;
use crate::world::fault_proxy::Towards;
use crate::world::{Cluster, Event, NOTHING, Told as _, eventually, within};

const VERSION: &str = "2025-11-25";
const WORK: Tool = Tool::Append {
    hold_ms: 1_000,
    events: 5,
};

/// How the road between a node and its store is cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Silence both ways.
    Silent,
    /// What the node says does not arrive.
    Unheard,
    /// What the node says is done, and it does not hear of it.
    Unanswered,
    /// Nobody is there.
    Refused,
}

impl Cut {
    async fn begin(self, cluster: &mut Cluster) {
        let link = cluster[0].link.as_mut().expect("there is a link");
        match self {
            Self::Silent => link.stall(),
            Self::Unheard => link.stall_towards(Towards::Server),
            Self::Unanswered => link.stall_towards(Towards::Client),
            Self::Refused => {
                link.refuse().await;
                link.reset();
            }
        }
    }
}

/// Mends the road, and waits until the node goes it again.
async fn mend(cluster: &mut Cluster) {
    let link = cluster[0].link.as_mut().expect("there is a link");
    link.heal().await;
    eventually("it has its store again", || async {
        (cluster[0].metric("mcp_store_up").await == 1.0).then_some(())
    })
    .await;
}

/// The stream of an event, as the store names it.
fn stream_of(event: &Event) -> &str {
    let (stream, _) = event.id().rsplit_once('_').expect("an event id of ours");
    stream
}

/// The number of an event within its stream.
fn number_of(event: &Event) -> u64 {
    let (_, number) = event.id().rsplit_once('_').expect("an event id of ours");
    number.parse().expect("events are numbered")
}

/// Two owned the stream, one after the other, and what its reader was told last is its end.
fn assert_succeeded_once(changes: &[Change], told: &[Event]) {
    let last = told.last().expect("something was told");
    let written = changes.iter().filter(|((_, it), _)| it == stream_of(last));
    let written: Vec<_> = written.filter_map(|(_, change)| *change).collect();
    let mut owners: Vec<_> = written.iter().map(|it| (it.epoch, it.owner)).collect();
    owners.dedup();
    assert_eq!(owners.len(), 2, "one takeover: {owners:?}");
    let end = written.last().expect("it was written");
    assert_eq!((end.ended, end.last), (true, number_of(last)));
}

/// A call that waits for an answer while its node is cut off and superseded.
async fn says_nothing_more(cut: Cut) {
    let mut cluster = Cluster::with(2).proxied().journal().start().await;
    let (there, id, mut stream) = asks_at_the_first(&cluster).await;
    let standing = there.elsewhere(&cluster[0].url("/mcp")).listen(None).await;
    let priming = stream.priming().await;
    let question = stream.message().await;

    cut.begin(&mut cluster).await;
    let taken_over = there.listen(Some(priming.id())).await.rest().await;
    let moved = there.listen(None).await;
    mend(&mut cluster).await;
    let content = json!({"action": "accept", "content": {"name": "Ada"}});
    there.answer(&question, content).await;

    let told = within("the stream of the call ends", stream.rest()).await;
    assert_eq!(told.answers(), NOTHING, "its epoch is over");
    let told = within("the standing stream ends", standing.rest()).await;
    assert_eq!(told.answers(), NOTHING);
    drop(moved);
    let answers = taken_over.answers();
    assert_eq!((answers.len(), &answers[0]["id"]), (1, &json!(id)));
    assert_eq!(answers[0]["error"]["data"]["outcome"], "unknown");
    let again = there.listen(Some(priming.id())).await.rest().await;
    assert_eq!(again, taken_over, "the end is the end");
    let nameless = BTreeMap::new();
    let changes = changes(&cluster.redis, &nameless).await;
    let kept = Kept::of(&cluster.redis, &nameless).await;
    assert_none(&store::violations(&[], &kept, &changes));
    assert_succeeded_once(&changes, &taken_over);
}

/// Ours: half-open connections.
#[tokio::test]
async fn a_node_that_hears_nothing_of_its_store_is_superseded() {
    says_nothing_more(Cut::Silent).await;
}

/// Ours: one way.
#[tokio::test]
async fn a_node_that_its_store_does_not_hear_is_superseded() {
    says_nothing_more(Cut::Unheard).await;
}

/// Ours: the other way.
#[tokio::test]
async fn a_node_that_does_not_hear_its_store_is_superseded() {
    says_nothing_more(Cut::Unanswered).await;
}

/// Ours: a firewall that refuses.
#[tokio::test]
async fn a_node_that_its_store_refuses_is_superseded() {
    says_nothing_more(Cut::Refused).await;
}

/// A call that goes on saying things until after it was taken over, and a crowd that stays.
async fn ends_once_for_those_who_stayed(cut: Cut) {
    let mut cluster = Cluster::with(2).proxied().ledger().journal().start().await;
    let mut crowd = Crowd::gather(cluster[0].address(), 20).await;
    crowd.subscribe().await;
    crowd.listen().await;
    let here = cluster[0].server.session(VERSION).await;
    let there = here.elsewhere(&cluster[1].url("/mcp"));
    let arguments = json!({"call": "patient", "mark": "m", "hold_ms": 10_000, "events": 40});
    let (_, mut stream) = here.stream_tool("ledger_append", arguments).await;
    let first = stream.until_step(1).await;

    let during = async {
        cut.begin(&mut cluster).await;
        let began = Instant::now();
        let taken_over = there.listen(Some(first[0].id())).await.rest().await;
        println!(
            "taken over after {:?}; a lease is {LEASE:?}",
            began.elapsed()
        );
        // As long again, so that every call of the crowd that ran then has ended.
        tokio::time::sleep(LEASE).await;
        mend(&mut cluster).await;
        taken_over
    };
    let (calls, taken_over) = crowd.call_while(10, WORK, during).await;
    let told = within("the stream of the call ends", stream.rest()).await;
    calls.all_ended().await;
    crowd.call_each(WORK).await;

    let unknown = taken_over.answers();
    assert_eq!(unknown.len(), 1, "who came back is told one end");
    assert_eq!(unknown[0]["error"]["data"]["outcome"], "unknown");
    let without_id = told.iter().filter(|event| event.id.is_none());
    assert!(without_id.count() > 0, "who stayed hears how far it is");
    assert_eq!(told.answers(), NOTHING, "and no other end");
    let again = there.listen(Some(first[0].id())).await.rest().await;
    assert_eq!(again, taken_over, "the end is the end");
    let changes = changes(&cluster.redis, &BTreeMap::new()).await;
    assert_succeeded_once(&changes, &taken_over);
    let (history, executed) = judged(&mut crowd, &cluster, 1).await;
    let not_well = (history.iter()).filter(|it| it.op == Op::Answer && it.outcome != Outcome::Ok);
    assert_eq!(not_well.count(), 0, "nobody of those who stayed notices");
    let runs = executed.iter().filter(|run| run.call == "patient");
    assert_eq!(runs.count(), 1);
}

/// Ours: what needs no store goes on, without event ids.
#[tokio::test]
async fn a_call_of_a_node_that_is_cut_off_has_no_second_end_for_the_client_that_stayed() {
    ends_once_for_those_who_stayed(Cut::Silent).await;
}

/// Ours: what was stored, and not acknowledged, is told nobody twice.
#[tokio::test]
async fn a_call_whose_writes_are_not_answered_has_no_second_end_for_the_client_that_stayed() {
    ends_once_for_those_who_stayed(Cut::Unanswered).await;
}
