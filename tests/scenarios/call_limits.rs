//! How often, over real sockets: what counts as a call, and for how long.

use serde_json::json;
use tempfile::TempDir;

use crate::permissions::{Office, RULES, assert_limited, of};
use crate::world::command::run_with;
use crate::world::server::Store;
use crate::world::{Redis, Stateless, Switchboard, eventually, http_client_bearing};

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

/// Ours: what a caller has left is told where the node runs, whether it counts alone or with others.
#[tokio::test]
async fn whoever_runs_a_node_is_told_how_much_of_its_limits_is_left() {
    let secret = ("SWITCHBOARD_CLUSTER_KEY", &*"0a1b2c3d".repeat(8));
    let redis = Redis::start().await;
    let config = "[auth.api_keys]\n[limits]\nper_user = \"10/h\"\nconcurrent.per_user = 3\n";
    for store in [None, Some(redis.url())] {
        let setup = Switchboard::with()
            .config(config)
            .variable(secret.0, secret.1);
        let server = match &store {
            None => setup.store(Store::Embedded),
            Some(url) => setup.store_url(url),
        };
        let server = server.start().await;
        let embedded = format!("embedded:{}", server.directory().join("data").display());
        let store = store.unwrap_or(embedded);
        let said = async |words: &[&str]| {
            let rest = ["--listen", server.authority(), "--store", &store];
            let words = [words, &rest[..]].concat();
            let ended = run_with(server.directory(), &words, &[secret]).await;
            assert_eq!(ended.code, 0, "{}", ended.err);
            ended.out
        };
        let explain = [
            "policy", "explain", "echo", "--owner", "ci", "--role", "admin",
        ];
        let key = said(&["key", "create", "--owner", "ci", "--role", "admin"]).await;
        let client = http_client_bearing(key.trim_end());
        let client = Stateless::through(client, &server.url("/mcp"));
        for _ in 0..4 {
            client.tool("echo", json!({"text": "a"})).await.tool_text();
        }

        let explained = said(&explain).await;

        let expected = "limits: per_user 10/h (6 left); \
            concurrent.per_user 3 at a time (0 running)\n";
        assert!(explained.ends_with(expected), "{explained}");
        let other = said(&[&explain[..3], &["--owner", "other", "--role", "admin"]].concat()).await;
        assert!(other.contains("(10 left)"), "{other}");
    }
}
