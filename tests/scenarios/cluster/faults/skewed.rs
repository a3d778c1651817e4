//! Nodes whose clocks are wrong, by minutes and by years: they share sessions, and none ends what
//! another one opened.

use serde_json::json;

use super::super::clients::Crowd;
use super::super::history::{Op, Outcome};
use super::super::requests::Tool;
use crate::world::cluster::LEASE;
use crate::world::{Cluster, Told as _, get};

const VERSION: &str = "2025-11-25";

/// The library that tells a process another time (`tests/run` installs it).
fn library() -> String {
    let directories = std::fs::read_dir("/usr/lib").expect("there are libraries");
    let mut files = directories
        .filter_map(Result::ok)
        .map(|directory| directory.path().join("faketime/libfaketimeMT.so.1"));
    let found = files.find(|file| file.exists());
    let found = found.expect("libfaketime is missing: `tests/run` installs it");
    found.display().to_string()
}

/// The year in which a node answers.
async fn year(cluster: &Cluster, node: usize) -> String {
    let answer = get(cluster[node].url("/health")).await;
    let answer = answer.expect("it answers");
    let date = answer.headers()["date"].to_str().expect("a date is text");
    let year = date.split(' ').nth(3).expect("a date has a year");
    year.to_owned()
}

/// Ours: right, five minutes late and early, ten years ahead.
#[tokio::test]
async fn nodes_with_wrong_clocks_share_sessions() {
    let library = library();
    let mut setup = Cluster::with(4).ledger();
    for (node, time) in [(1, "+5m"), (2, "-5m"), (3, "+10y")] {
        setup = setup.variables_of(
            node,
            &[
                ("LD_PRELOAD", &library),
                ("FAKETIME", time),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ],
        );
    }
    // Shorter than any clock is wrong, longer than the story.
    let cluster = setup.config("[sessions]\nidle_ttl = \"2m\"").start().await;
    assert_ne!(year(&cluster, 0).await, year(&cluster, 3).await);
    let mut crowds = Vec::new();
    for node in cluster.nodes() {
        let mut crowd = Crowd::gather(node.address(), 10).await;
        crowd.listen().await;
        crowds.push(crowd);
    }

    // Long enough for leases, sweeps and doubts.
    for _ in 0..3 {
        for crowd in &crowds {
            for node in cluster.nodes() {
                crowd.lead_to(node.address());
                crowd.call_each(Tool::Echo).await;
            }
        }
        tokio::time::sleep(LEASE).await;
    }

    for crowd in &mut crowds {
        assert_eq!(crowd.listening(), 10, "no stream broke");
        crowd.leave().await;
        let history = crowd.history().records();
        let ends = history.iter().filter(|it| it.op == Op::Answer);
        assert!(ends.clone().all(|it| it.outcome == Outcome::Ok));
        assert_eq!(ends.count(), 10 * 3 * cluster.nodes().len());
    }
    // What runs on one is resumed and ended on the others.
    for here in cluster.nodes() {
        let session = here.server.session(VERSION).await;
        let arguments = json!({"call": here.url("/"), "hold_ms": 500, "events": 5});
        let (id, mut stream) = session.stream_tool("ledger_append", arguments).await;
        let first = stream.until_step(1).await;
        drop(stream);
        for there in cluster.nodes() {
            let there = session.elsewhere(&there.url("/mcp"));
            let told = there.listen(Some(first[0].id())).await.rest().await;
            assert_eq!(told.answers()[0]["id"], id);
            assert!(told.answers()[0].get("result").is_some());
        }
    }
}
