//! How often, over real sockets: what counts as a call, and for how long.

use std::sync::Arc;

use serde_json::json;
use switchboard::server::{NoArguments, Tool};
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::permissions::{Caller, Office, RULES, of};
use crate::world::command::run_with;
use crate::world::server::Store;
use crate::world::{
    Answer, Redis, Stateless, Switchboard, eventually, http_client_bearing, within,
};

/// A call over a limit says so, and when to come again, in each era alike.
fn assert_limited(answer: &Answer, limit: &str) {
    assert_eq!(answer.status, 429, "{}", answer.text);
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    let error = &answer.message()["error"];
    let milliseconds = error["data"]["retryAfterMs"].as_u64().unwrap();
    assert!(milliseconds > 0 && seconds >= 1, "{error}");
    assert_eq!(seconds, milliseconds.div_ceil(1_000));
    let said = error["message"].as_str().unwrap();
    assert!(said.contains(&format!("`{limit}`")), "{said}");
}

/// Ours: each limit counts its own, and those beside it notice nothing.
#[tokio::test]
async fn limits_hold_for_those_they_are_about() {
    let rules = |limits: &str| format!("{RULES}\n[limits]\n{limits}");
    let other = json!({"sub": "bob", "groups": ["analysts"]});
    let elsewhere = json!({"sub": "one of analysts", "groups": ["analysts"], "tenant": "t2"});
    for (limits, limit, other_user) in [
        ("per_user = \"2/h\"", "per_user", 200),
        ("per_tool = { search = \"2/h\" }", "per_tool.search", 429),
        ("per_tenant = \"2/h\"", "per_tenant", 429),
        (
            "per_user_tool = { \"sear*\" = \"2/h\" }",
            "per_user_tool.sear*",
            200,
        ),
    ] {
        let office = Office::with(&rules(limits), "").await;
        let [session, stateless] = Caller::both(&office, of("analysts")).await;
        for caller in [&session, &stateless] {
            // Lists, handshakes and pings are free, and so is what was refused anyway.
            for _ in 0..3 {
                caller.tools().await;
                caller.tool("audit_log", json!({})).await.code();
                caller.tool("delete_record", json!({})).await.tool_text();
            }
            assert_eq!(caller.tool("search", json!({})).await.tool_text(), "found");
        }
        for caller in [&session, &stateless] {
            assert_limited(&caller.tool("search", json!({})).await, limit);
            caller.tools().await;
        }
        let theirs = office.client(other.clone()).tool("search", json!({})).await;
        assert_eq!(theirs.status, other_user, "{limits}");
        let theirs = office
            .client(elsewhere.clone())
            .tool("search", json!({}))
            .await;
        assert_eq!(theirs.status, 200, "{limits}");
    }
}

/// Ours: what is said of a role holds for those who have it, by inheritance too, and each alone.
#[tokio::test]
async fn the_limits_of_a_role_are_its_bearers() {
    let limits = "[roles.analyst]\nlimits = { per_user = \"1/h\" }";
    let office = Office::with(&RULES.replacen("[roles.analyst]", limits, 1), "").await;
    for who in [of("analysts"), of("operators")] {
        let client = office.client(who);
        let found = client.tool("search", json!({})).await;
        assert_eq!(found.tool_text(), "found");
        let refused = client.tool("search", json!({})).await;
        assert_limited(&refused, "roles.analyst.limits.per_user");
        let read = json!({"uri": "crm://accounts/7"});
        assert_eq!(
            client.call("resources/read", read).await.status,
            429,
            "reads are counted too"
        );
    }
    for _ in 0..3 {
        let found = office.client(of("admins")).tool("search", json!({})).await;
        assert_eq!(found.tool_text(), "found");
    }
}

/// Ours: a place is free again when the call that had it has ended.
#[tokio::test]
async fn calls_that_run_are_counted_until_they_end() {
    let office = Office::with(&format!("{RULES}\n[limits]\nconcurrent.per_user = 1"), "").await;
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (begun.clone(), go_on.clone());
    let slow = Tool::new("crm.get_slowly", move |_, NoArguments {}| {
        let (tell, wait) = (tell.clone(), wait.clone());
        async move {
            tell.notify_one();
            wait.notified().await;
            Ok("slow")
        }
    });
    office.handle().add_tool(slow).unwrap();
    let client = Arc::new(office.client(of("analysts")));
    let running = client.clone();
    let running = tokio::spawn(async move { running.tool("crm.get_slowly", json!({})).await });
    within("it runs", begun.notified()).await;
    let refused = client.tool("search", json!({})).await;
    assert_limited(&refused, "concurrent.per_user");
    let session = office.session(of("analysts")).await;
    assert_limited(
        &session.tool("search", json!({})).await,
        "concurrent.per_user",
    );
    let theirs = office
        .client(of("operators"))
        .tool("search", json!({}))
        .await;
    assert_eq!(theirs.tool_text(), "found");
    go_on.notify_one();
    assert_eq!(running.await.unwrap().tool_text(), "slow");
    eventually("the place is free", async || {
        (client.tool("search", json!({})).await.status == 200).then_some(())
    })
    .await;
}

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
