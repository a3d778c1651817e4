//! The audit of a real process when calls end badly, when it is killed, and when its disk fails: what
//! clients heard, what was executed and what is on record are held against each other.

mod books;
mod rig;

use std::fs;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::disk_faults::Fault;
use crate::world::{Answer, FaultyDisk, Stateless, eventually, get, within};
use books::Told;
use rig::{FORBIDDEN, Rig, TOOL};

const CLIENTS: usize = 32;
/// Longer than anybody waits here.
const FOREVER_MS: u64 = 60_000;

/// How a call ends.
#[derive(Clone, Copy, Debug)]
enum Act {
    Works,
    Fails,
    IsMalformed,
    AsksForNothing,
    IsForbidden,
    GoesAway,
    Cancels,
}

/// Mostly well.
const ACTS: [Act; 13] = [
    Act::Works,
    Act::Works,
    Act::Fails,
    Act::Works,
    Act::IsMalformed,
    Act::AsksForNothing,
    Act::Works,
    Act::IsForbidden,
    Act::Works,
    Act::GoesAway,
    Act::Works,
    Act::Cancels,
    Act::Works,
];

impl Act {
    /// Does it and says what its client heard.
    async fn by(self, rig: &Rig, user: &str, call: &str) -> &'static str {
        let client = rig.clerk(user);
        let work = |more: (&str, Value)| {
            let mut work = json!({"call": call});
            work[more.0] = more.1;
            work
        };
        match self {
            Self::Works => {
                let answer = client.tool(TOOL, work(("hold_ms", json!(5)))).await;
                assert!(answer.tool_text().contains(call));
                "ok"
            }
            Self::Fails => {
                let answer = client.tool(TOOL, work(("fails", json!(true)))).await;
                assert_eq!(answer.result()["isError"], true);
                "tool_error"
            }
            Self::IsMalformed => {
                let answer = client.tool(TOOL, work(("hold_ms", json!("long")))).await;
                assert_eq!(answer.result()["isError"], true);
                "tool_error"
            }
            Self::AsksForNothing => {
                let params = json!({"name": "books.none", "arguments": {"call": call}});
                let answer = client.call("prompts/get", params).await;
                assert_eq!(answer.code(), -32602);
                "error"
            }
            Self::IsForbidden => {
                let answer = client.tool(FORBIDDEN, json!({"call": call})).await;
                assert_eq!(answer.code(), -32602);
                "denied"
            }
            Self::GoesAway => {
                let arguments = work(("hold_ms", json!(FOREVER_MS)));
                tokio::select! {
                    answer = client.tool(TOOL, arguments) => panic!("{answer:?}"),
                    () = rig.has_executed(call) => "cancelled",
                }
            }
            Self::Cancels => {
                let session = rig.clerk_in_session(user).await;
                let arguments = work(("hold_ms", json!(FOREVER_MS)));
                let (id, stream) = session.stream_tool(TOOL, arguments).await;
                rig.has_executed(call).await;
                let params = json!({"requestId": id});
                session.notify("notifications/cancelled", params).await;
                stream.rest().await;
                "cancelled"
            }
        }
    }
}

/// Waits until no call runs any more, whoever has gone away.
async fn all_have_ended(rig: &Rig) {
    eventually("all calls have ended", async || {
        let running = rig.gateway.metric("mcp_running_calls").await;
        (running == 0.0).then_some(())
    })
    .await;
}

/// U4, Z2: begun before it is dispatched, ended once, as its client heard.
#[tokio::test]
async fn what_clients_heard_what_was_executed_and_what_is_on_record_agree() {
    let mut rig = Rig::start().await;

    let told = join_all((0..CLIENTS).map(async |client| {
        let user = format!("clerk-{client}");
        let mut told = Vec::new();
        for turn in 0..ACTS.len() {
            let act = ACTS[(client + turn) % ACTS.len()];
            let call = format!("call-{client}-{turn}");
            let outcome = act.by(&rig, &user, &call).await;
            told.push(Told {
                call,
                user: user.clone(),
                outcomes: vec![outcome],
            });
        }
        told
    }));
    let told = told.await.concat();

    all_have_ended(&rig).await;
    rig.restarts_whole().await;
    rig.books().await.balance(&told);
}

/// Calls one after the other until the node is gone.
async fn calls_until_it_is_killed(client: Stateless, user: &str, round: usize) -> Vec<Told> {
    let mut told = Vec::new();
    loop {
        let call = format!("call-{round}-{user}-{}", told.len());
        let arguments = json!({"call": call, "hold_ms": 20});
        let params = json!({"name": TOOL, "arguments": arguments});
        let request = client.request(&client.message("tools/call", params));
        let answered = async { request.send().await?.text().await };
        let is_well = match within("the call ends", answered).await {
            Ok(text) => text.contains(&call) && text.contains("result"),
            Err(_) => false,
        };
        told.push(Told {
            call,
            user: user.to_owned(),
            // Nobody waits until an end is on record.
            outcomes: if is_well {
                vec!["ok", "unknown"]
            } else {
                vec![]
            },
        });
        if !is_well {
            return told;
        }
    }
}

/// Fault 1: a killed node leaves nothing that was executed without a record, and no record open.
#[tokio::test]
async fn a_node_killed_under_load_again_and_again_has_all_it_dispatched_on_record() {
    const ROUNDS: usize = 5;
    const CALLS: usize = 150;
    let mut rig = Rig::start().await;
    let mut told = Vec::new();
    let mut unknown = 0;

    for round in 0..ROUNDS {
        let before = rig.executed().len();
        let clients = (0..CLIENTS).map(|client| {
            let user = format!("clerk-{client}");
            let client = rig.clerk(&user);
            tokio::spawn(async move { calls_until_it_is_killed(client, &user, round).await })
        });
        let clients = clients.collect::<Vec<_>>();
        eventually("there is load", async || {
            (rig.executed().len() > before + CALLS).then_some(())
        })
        .await;
        rig.gateway.crash().await;
        for client in clients {
            told.extend(client.await.unwrap());
        }

        rig.gateway.start_again().await;
        rig.gateway.is_ready().await;
        rig.verifies().await;
        let books = rig.books().await;
        books.balance(&told);
        let cut_off = books.ended("unknown") - unknown;
        assert!(cut_off > 0, "some were running");
        println!("round {round}: {cut_off} were cut off");
        unknown += cut_off;
    }

    rig.restarts_whole().await;
    rig.books().await.balance(&told);
}

/// Fault 1: so has one that is killed when it has begun a segment and hardly written to it.
#[tokio::test]
async fn a_node_killed_as_it_begins_to_record_begins_again() {
    const ROUNDS: usize = 10;
    let mut rig = Rig::start().await;
    let mut told = Vec::new();
    for round in 0..ROUNDS {
        let client = rig.clerk("ann");
        let calls = calls_until_it_is_killed(client, "ann", round);
        let ((), calls) = tokio::join!(
            async {
                rig.begins_a_segment().await;
                rig.gateway.crash().await;
            },
            calls,
        );
        told.extend(calls);
        rig.verifies().await;
        rig.gateway.start_again().await;
        rig.gateway.is_ready().await;
        rig.restarts_whole().await;
    }
    rig.books().await.balance(&told);
}

/// A clerk calls, and it works.
async fn works(rig: &Rig, call: &str) -> Told {
    let user = "ann";
    let answer = rig.clerk(user).tool(TOOL, json!({"call": call})).await;
    assert!(answer.tool_text().contains(call));
    Told {
        call: call.to_owned(),
        user: user.to_owned(),
        outcomes: vec!["ok"],
    }
}

/// `/ready`, as a load balancer sees it.
async fn ready(rig: &Rig) -> (u16, String) {
    let answer = get(rig.gateway.url("/ready")).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Waits until the node has seen that its disk is well again.
async fn is_ready_again(rig: &Rig) {
    eventually("it is ready", async || {
        (ready(rig).await.0 == 200).then_some(())
    })
    .await;
}

/// The problems that are on record about the records themselves.
async fn alarms(rig: &Rig) -> Vec<Value> {
    let found = rig.audit(&["query", "--kind", "alarm"]).await;
    assert_eq!(found.code, 0, "{}", found.err);
    let lines = found.out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Nobody's call is dispatched while nothing can be recorded, known here or not.
async fn are_refused(rig: &Rig, fault: Fault) {
    let before = rig.executed();
    let calls = (0..CLIENTS).map(|client| {
        let user = if client % 2 == 0 { "ann" } else { "bob" };
        let client = rig.clerk(user);
        async move { client.tool(TOOL, json!({"call": "refused"})).await }
    });
    for answer in join_all(calls).await {
        let Answer { status, .. } = answer;
        assert_eq!((status, answer.code()), (503, -32603), "{fault:?}");
        assert_eq!(answer.header("retry-after"), "1");
    }
    assert_eq!(rig.executed(), before, "{fault:?}");
    let (status, why) = ready(rig).await;
    assert_eq!(status, 503, "{fault:?}");
    assert!(why.contains("audit records cannot be written"), "{why}");
}

/// Refuses calls while the disk fails, and loses nothing by it.
async fn is_refused_until_it_heals(fault: Fault) {
    let disk = FaultyDisk::new();
    let mut rig = Rig::on(&disk, "").await;
    let mut told = vec![works(&rig, "before").await];
    let running = json!({"call": "running", "hold_ms": 500});
    let clerk = rig.clerk("ann");
    let failing = async {
        rig.has_executed("running").await;
        disk.fails(fault);
        are_refused(&rig, fault).await;
    };
    let (answer, ()) = tokio::join!(clerk.tool(TOOL, running), failing);
    assert!(answer.tool_text().contains("running"), "it had begun");
    told.push(Told {
        call: "running".into(),
        user: "ann".into(),
        outcomes: vec!["ok"],
    });

    disk.heals();
    is_ready_again(&rig).await;
    told.push(works(&rig, "after").await);

    let alarms = alarms(&rig).await;
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    assert_eq!(alarms[0]["lost"], 0);
    rig.restarts_whole().await;
    told.push(works(&rig, "later").await);
    rig.gateway.stop().await;
    rig.verifies().await;
    rig.books().await.balance(&told);
}

/// Fault 12, on a full disk.
#[tokio::test]
async fn calls_are_refused_while_the_disk_of_the_audit_is_full() {
    is_refused_until_it_heals(Fault::Full).await;
}

/// Fault 12, when the disk takes half of a record.
#[tokio::test]
async fn calls_are_refused_while_half_of_what_is_recorded_fits() {
    is_refused_until_it_heals(Fault::Short).await;
}

/// Fault 12, when nothing becomes durable.
#[tokio::test]
async fn calls_are_refused_while_nothing_recorded_becomes_durable() {
    is_refused_until_it_heals(Fault::Unsynced).await;
}

/// Fault 12, on a disk that became read-only.
#[tokio::test]
async fn calls_are_refused_while_the_disk_of_the_audit_is_read_only() {
    is_refused_until_it_heals(Fault::ReadOnly).await;
}

/// Ours: a load balancer sends nobody to a node that is not ready, and there it ends.
#[tokio::test]
async fn a_node_that_nobody_calls_sees_that_its_disk_is_well_again() {
    let disk = FaultyDisk::new();
    let rig = Rig::on(&disk, "").await;
    works(&rig, "before").await;
    disk.fails(Fault::Full);
    let arguments = json!({"call": "refused"});
    assert_eq!(rig.clerk("ann").tool(TOOL, arguments).await.status, 503);
    assert_eq!(ready(&rig).await.0, 503);

    disk.heals();

    is_ready_again(&rig).await;
    works(&rig, "after").await;
    assert_eq!(alarms(&rig).await.len(), 1);
}

/// Ours: what was moved away is missed, and is whole when it is back.
#[tokio::test]
async fn records_that_are_moved_away_and_back_are_whole() {
    let disk = FaultyDisk::new();
    let mut rig = Rig::on(&disk, "").await;
    let mut told = vec![works(&rig, "before").await];
    let (there, away) = (disk.path().join("records"), disk.path().join("away"));

    fs::rename(&there, &away).unwrap();
    told.push(works(&rig, "meanwhile").await);
    let verified = rig.audit(&["verify"]).await;
    assert_eq!(verified.code, 1, "{verified:?}");
    fs::rename(&away, &there).unwrap();

    told.push(works(&rig, "after").await);
    rig.restarts_whole().await;
    rig.books().await.balance(&told);
}

/// Ours: where calls matter more than their records, these are late and not lost.
#[tokio::test]
async fn where_calls_go_on_their_records_follow_when_the_disk_is_well() {
    for fault in [Fault::Full, Fault::Short, Fault::Unsynced, Fault::ReadOnly] {
        let disk = FaultyDisk::new();
        let mut rig = Rig::on(&disk, "on_failure = \"open\"").await;
        let mut told = vec![works(&rig, "before").await];
        disk.fails(fault);
        for turn in 0..20 {
            told.push(works(&rig, &format!("meanwhile-{turn}")).await);
        }
        assert_eq!(ready(&rig).await.0, 200, "{fault:?}: it goes on");
        assert_eq!(rig.gateway.metric("mcp_audit_up").await, 0.0, "{fault:?}");

        disk.heals();
        eventually("records are written again", async || {
            (rig.gateway.metric("mcp_audit_up").await == 1.0).then_some(())
        })
        .await;
        told.push(works(&rig, "after").await);

        let alarms = alarms(&rig).await;
        assert_eq!(alarms.len(), 1, "{fault:?}: {alarms:?}");
        assert_eq!(rig.gateway.metric("mcp_audit_lost_total").await, 0.0);
        rig.restarts_whole().await;
        rig.books().await.balance(&told);
    }
}
