//! How calls end on record: each as its client was told, whatever came of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::{Store, Switchboard};

const KEY: &str = "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f";

/// Calls are soon out of time, and what is counted may be called once.
const CONFIG: &str = "[audit]\nsink = \"file:./audit\"\n\
     [calls]\ndeadline = \"300ms\"\n\
     [limits]\nper_user_tool = { stream = \"1/day\" }";

/// What is called in turn, and how that ends.
fn calls() -> [(&'static str, Value, &'static str); 7] {
    [
        ("echo", json!({"text": "a"}), "ok"),
        ("nothing_of_this_name", json!({}), "error"),
        ("echo", json!({"text": 1}), "tool_error"),
        (
            "countdown",
            json!({"from": 3, "interval_ms": 60_000}),
            "timeout",
        ),
        ("stream", json!({"count": 0}), "ok"),
        ("stream", json!({"count": 0}), "denied"),
        ("echo", json!({"text": "b"}), "ok"),
    ]
}

/// Trail of `calls` of the default tenant, one record after the other.
fn records(node: &Switchboard) -> Vec<Value> {
    let directory = node.directory().join("audit/t-default/calls");
    let segments = std::fs::read_dir(directory).expect("calls were recorded");
    let mut files: Vec<_> = segments.map(|file| file.unwrap().path()).collect();
    files.sort();
    let texts = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap());
    let lines = texts.collect::<String>();
    let records = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    records.collect()
}

/// Every call that has not exactly one end, or another one than `told`, in the order in which they began.
fn wrong_ends(records: &[Value], told: &[&str]) -> Vec<String> {
    let of_kind = |kind: &'static str| records.iter().filter(move |record| record["kind"] == kind);
    let name = |record: &Value| record["call"].as_str().unwrap().to_owned();
    let mut ends = BTreeMap::<String, Vec<&str>>::new();
    for end in of_kind("end") {
        let outcome = end["outcome"].as_str().unwrap();
        ends.entry(name(end)).or_default().push(outcome);
    }
    let begun: Vec<_> = of_kind("begin").map(name).collect();
    let count = (begun.len() != told.len())
        .then(|| format!("{} calls began, and {} were told", begun.len(), told.len()));
    let wrong = begun.iter().zip(told).filter_map(|(call, told)| {
        let ended = ends.get(call).map_or(&[][..], Vec::as_slice);
        (ended != [*told]).then(|| {
            format!("call {call} has the ends {ended:?}, and its client was told {told:?}")
        })
    });
    count.into_iter().chain(wrong).collect()
}

/// Ours: also what fails ends, once, and as what it was.
#[tokio::test]
async fn each_call_that_began_has_one_end_on_record_and_it_is_what_was_told() {
    let setup = Switchboard::with().store(Store::Embedded).config(CONFIG);
    let setup = setup.variable("SWITCHBOARD_CLUSTER_KEY", KEY);
    let mut node = setup.may_have_a_bug().start().await;
    let (session, stateless) = (node.session("2025-11-25").await, node.stateless());
    let mut told = Vec::new();

    for (tool, arguments, outcome) in calls() {
        stateless.tool(tool, arguments).await;
        told.push(outcome);
    }
    for (tool, arguments, outcome) in calls() {
        session.tool(tool, arguments).await;
        // There was one of these already.
        told.push(if tool == "stream" { "denied" } else { outcome });
    }
    assert!(node.stop().await.success());

    let wrong = wrong_ends(&records(&node), &told);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_missing_a_second_and_a_wrong_end_are_found() {
    let begin = |call: &str| json!({"kind": "begin", "call": call});
    let end = |call: &str, outcome: &str| json!({"kind": "end", "call": call, "outcome": outcome});
    let whole = [begin("1"), end("1", "ok"), begin("2"), end("2", "error")];
    let told = ["ok", "error"];
    assert!(wrong_ends(&whole, &told).is_empty());
    let (missing, of_nothing) = (&whole[..3], &whole[..2]);
    let twice = [&whole[..], &[end("1", "ok")]].concat();
    let wrong = [&whole[..3], &[end("2", "unknown")]].concat();
    for broken in [missing, of_nothing, &twice, &wrong] {
        assert_eq!(wrong_ends(broken, &told).len(), 1, "{broken:?}");
    }
}
