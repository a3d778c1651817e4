//! The rig on one node, with what one node promises: a crowd whose links and server break. And that
//! the checker is not blind.

use std::time::Duration;

use serde_json::json;

use super::checker::{assert_promises_kept, violations};
use super::clients::Crowd;
use super::history::{Op, Outcome, Record};
use super::judging::judge;
use super::ledger;
use super::requests::Tool;
use crate::world::cluster::Node;
use crate::world::server::{Setup, example};
use crate::world::{Cluster, FaultProxy, Stateless, Store, Switchboard};

/// Works long enough to be cut off in the middle.
const WORK: Tool = Tool::Append {
    hold_ms: 500,
    events: 5,
};

fn ledger_server() -> Setup {
    let server = Switchboard::with().program(example("ledger"));
    server.store(Store::Embedded).same_port()
}

fn executed(server: &Switchboard) -> Vec<ledger::Execution> {
    ledger::read(&server.directory().join("ledger.jsonl"))
}

fn ended(history: &[Record], outcome: Outcome) -> usize {
    let answers = history.iter().filter(|record| record.op == Op::Answer);
    answers.filter(|record| record.outcome == outcome).count()
}

/// Ours: a client that loses its connection loses nothing else.
#[tokio::test]
async fn a_crowd_on_a_breaking_link_gets_every_answer_once() {
    let server = ledger_server().start().await;
    let link = FaultProxy::before(server.address()).await;
    let mut crowd = Crowd::gather(link.address(), 20).await;
    crowd.subscribe().await;
    crowd.listen().await;

    let calling = crowd.call_at_rate(100, Duration::from_secs(3), WORK);
    let breaking = async {
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(600)).await;
            link.reset();
        }
    };
    let (calls, ()) = tokio::join!(calling, breaking);
    calls.all_ended().await;
    crowd.all_listen().await;
    crowd.leave().await;

    let (history, ledger) = (crowd.history().records(), executed(&server));
    let dump = crowd.dump(server.address(), |_| Some(0)).await;
    assert_promises_kept(&history, &ledger, &dump);
    let (known, unknown) = (
        ended(&history, Outcome::Ok),
        ended(&history, Outcome::Unknown),
    );
    println!("{known} calls ended well, of {unknown} nothing is known");
    assert_eq!((known + unknown, ended(&history, Outcome::Fail)), (300, 0));
    let resumed = |record: &&Record| record.op == Op::Attach && record.event_id.is_some();
    assert!(history.iter().filter(resumed).count() > 20, "it was broken");
}

/// Ours: with a store that lasts, a crash costs what runs, and each of that says so once.
#[tokio::test]
async fn a_crowd_outlives_its_server() {
    let mut server = ledger_server().start().await;
    let mut crowd = Crowd::gather(server.address(), 20).await;
    crowd.listen().await;

    let calls = crowd.call_at_rate(50, Duration::from_secs(1), WORK).await;
    server.crash().await;
    server.start_again().await;
    calls.all_ended().await;
    crowd.all_listen().await;
    crowd.call_each(Tool::Echo).await;
    crowd.leave().await;

    let (history, ledger) = (crowd.history().records(), executed(&server));
    let dump = crowd.dump(server.address(), |_| Some(0)).await;
    assert_promises_kept(&history, &ledger, &dump);
    let unknown = ended(&history, Outcome::Unknown);
    assert!((1..=50).contains(&unknown), "{unknown} calls ran then");
    assert_eq!(ended(&history, Outcome::Ok), 50 - unknown + 20);
}

/// Ours: nodes are reached through nginx and one by one, and obey one by one.
#[tokio::test]
async fn a_cluster_is_many_nodes_behind_one_address() {
    let mut cluster = Cluster::with(3).apart().start().await;
    let anywhere = Stateless::new(&cluster.url("/mcp"));
    let at = |node: &Node| Stateless::new(&node.url("/mcp"));
    let line = r#"mcp_requests_total{method="tools/call",era="stateless",outcome="ok"}"#;
    for _ in 0..6 {
        anywhere
            .tool("echo", json!({"text": "a"}))
            .await
            .tool_text();
    }
    for node in cluster.nodes() {
        assert_eq!(node.metric(line).await, 2.0, "round robin");
    }

    cluster[0].kill_hard().await;
    for _ in 0..6 {
        anywhere
            .tool("echo", json!({"text": "b"}))
            .await
            .tool_text();
    }
    let address = cluster[0].address();
    cluster[0].restart().await;
    assert_eq!((cluster[0].address(), cluster[0].incarnation), (address, 2));
    at(&cluster[0])
        .tool("echo", json!({"text": "c"}))
        .await
        .tool_text();

    cluster[1].pause().await;
    let sleeper = at(&cluster[1]);
    let asleep = sleeper.tool("echo", json!({"text": "d"}));
    let early = tokio::time::timeout(Duration::from_millis(200), asleep).await;
    assert!(early.is_err(), "it sleeps");
    cluster[1].wake().await;
    sleeper.tool("echo", json!({"text": "e"})).await.tool_text();

    cluster[2].term().await;
    assert!(!cluster[2].server.is_running());
    assert_eq!(cluster.metric("mcp_active_sessions").await, 0.0);
}

/// Ours: the checker is not blind to what a crowd writes.
#[tokio::test]
async fn a_crowd_at_a_server_that_forgets_is_told_apart() {
    let mut server = (ledger_server().store(Store::Memory)).start().await;
    let crowd = Crowd::gather(server.address(), 4).await;

    let calls = crowd.call_at_rate(20, Duration::from_secs(1), WORK).await;
    server.crash().await;
    server.start_again().await;
    calls.all_ended().await;

    let history = crowd.history().records();
    let dump = crowd.dump(server.address(), |_| Some(0)).await;
    let found = violations(&history, &executed(&server), &dump);
    for rule in ["D1", "O2"] {
        let broken = found.iter().any(|sentence| sentence.starts_with(rule));
        assert!(broken, "{rule} is broken and not found: {found:#?}");
    }
}

/// Ours: nor to what stands in Redis, whoever wrote it.
#[tokio::test]
async fn a_store_that_was_tampered_with_is_told_apart() {
    let cluster = Cluster::with(2).ledger().journal().start().await;
    let mut crowd = Crowd::gather(cluster[0].address(), 4).await;
    crowd.listen().await;
    crowd.call_each(WORK).await;
    // A hole in a log, a session that never ends, a key of nobody, and an epoch that came back.
    let tamper = r"
        local logs = redis.call('KEYS', '*:l:*')
        local second = redis.call('XRANGE', logs[1], '-', '+', 'COUNT', 2)[2][1]
        redis.call('XDEL', logs[1], second)
        local sessions = redis.call('KEYS', '*:s:*')
        redis.call('PERSIST', sessions[1])
        redis.call('SET', 'sb:1:{p00}:other', '', 'EX', 60)
        local packed = redis.call('HGET', sessions[2], 't:s')
        local thing = cmsgpack.unpack(string.sub(packed, 2))
        for _, epoch in ipairs({thing.epoch + 1, thing.epoch}) do
          thing.epoch = epoch
          redis.call('HSET', sessions[2], 't:s', string.char(1) .. cmsgpack.pack(thing))
        end
        return #logs";
    let logs = cluster.redis.cli(&["EVAL", tamper, "0"]).await;
    assert_eq!(logs.number(), 4);

    let (_, _, found) = judge(&mut crowd, &cluster, 1).await;

    for broken in [
        "where its record counts",
        "stays for ever",
        "is in no layout",
        "an earlier epoch came back",
    ] {
        let is_found = found.iter().any(|sentence| sentence.contains(broken));
        assert!(is_found, "not found: {broken}: {found:#?}");
    }
}
