//! How often, over real sockets: what counts as a call, and for how long.

use serde_json::json;
use tempfile::TempDir;

use crate::permissions::{Office, RULES, assert_limited, of};
use crate::world::eventually;

/// Ours: a task runs as long as its work does, and so does its place and its record, whenever its handle
/// was returned.
#[tokio::test]
async fn a_task_keeps_its_place_and_its_record_open_until_it_has_ended() {
    const EXTENSION: &str = "io.modelcontextprotocol/tasks";
    let records = TempDir::new().expect("a temporary directory can be made");
    let place = |name: &str| records.path().join(name).display().to_string();
    let audit = format!(
        "[cluster]\nkeys = [\"{}\"]\n[audit]\nsink = \"file:{}\"\ncheckpoints = {:?}\nvault = {:?}\n",
        "5a17".repeat(16),
        place("records"),
        place("checkpoints"),
        place("vault"),
    );
    let limits = format!("{RULES}\n[limits]\nconcurrent.per_user = 1\n{audit}");
    let office = Office::with(&limits, "").await;
    let client = office.client(of("analysts"));
    let client = client.with(json!({"extensions": {EXTENSION: {}}}));
    let written = || {
        let calls = records
            .path()
            .join("records/t-default/calls/00000000000000000001.jsonl");
        std::fs::read_to_string(calls).expect("calls are on record")
    };

    let task = client.tool("count", json!({})).await.result();

    assert_eq!(task["resultType"], "task", "{task}");
    assert_limited(
        &client.tool("search", json!({})).await,
        "concurrent.per_user",
    );
    assert!(written().contains("\"target\":\"count\""));
    assert!(!written().contains("\"outcome\":\"cancelled\""));

    let cancelled = client.call("tasks/cancel", json!({"taskId": task["taskId"]}));
    assert_eq!(cancelled.await.status, 200);

    eventually("the place is free", async || {
        (client.tool("search", json!({})).await.status == 200).then_some(())
    })
    .await;
    eventually("how it ended is on record", async || {
        let ends = written().matches("\"outcome\":\"cancelled\"").count();
        (ends == 1).then_some(())
    })
    .await;
}
