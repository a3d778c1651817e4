//! The audit of a node that runs: what commands have it do, what is gone with a person, and what goes on
//! record besides calls.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::api_keys::id_of;
use crate::world::cluster::KEY;
use crate::world::command::{Ended, run, run_with};
use crate::world::redis::{Redis, Reply};
use crate::world::server::{CONFIG, Store, binary};
use crate::world::{
    Cluster, Session, Stateless, Switchboard, eventually, http_client_bearing, within,
};

const VERSION: &str = "2025-11-25";
const AUDIT: &str = "[audit]\nsink = \"file:./audit\"\n";
/// Found nowhere by chance.
const NAME: &str = "ann-unmistakable";

/// A node over a Redis, which asks for API keys and records.
async fn node(redis: &Redis) -> Switchboard {
    let config = format!("cluster.keys = [{KEY:?}]\n{AUDIT}[auth.api_keys]\n");
    let setup = Switchboard::with().store_url(&redis.url()).config(&config);
    setup.start().await
}

/// What a command says that finds this node.
async fn said(node: &Switchboard, redis: &Redis, words: &[&str]) -> Ended {
    let url = redis.url();
    let rest = ["--listen", node.authority(), "--store", &url];
    let ended = run(node.directory(), &[words, &rest].concat()).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    ended
}

/// A new key of somebody.
async fn key_of(node: &Switchboard, redis: &Redis, owner: &str) -> String {
    let words = ["key", "create", "--role", "admin", "--owner", owner];
    let made = said(node, redis, &words).await;
    made.out.trim().to_owned()
}

/// How many records an export about somebody has.
async fn exported(node: &Switchboard, redis: &Redis, user: &str) -> usize {
    let export = said(node, redis, &["audit", "export", "--subject", user]).await;
    let document: Value = serde_json::from_str(&export.out).unwrap();
    document["records"].as_array().unwrap().len()
}

/// The keys in Redis which have that in their name or anywhere inside.
async fn kept_with(redis: &Redis, text: &str) -> Vec<String> {
    const LOOK: &str = r"
local function has(value)
  if type(value) ~= 'table' then return string.find(value, ARGV[1], 1, true) ~= nil end
  for _, part in ipairs(value) do
    if has(part) then return true end
  end
  return false
end
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind, inside = redis.call('TYPE', key).ok, nil
  if kind == 'string' then inside = redis.call('GET', key)
  elseif kind == 'hash' then inside = redis.call('HGETALL', key)
  elseif kind == 'list' then inside = redis.call('LRANGE', key, 0, -1)
  elseif kind == 'set' then inside = redis.call('SMEMBERS', key)
  elseif kind == 'zset' then inside = redis.call('ZRANGE', key, 0, -1)
  elseif kind == 'stream' then inside = redis.call('XRANGE', key, '-', '+')
  end
  if has(key) or has(inside) then found[#found + 1] = key end
end
return found";
    let found = redis.cli(&["EVAL", LOOK, "0", text]).await;
    found.list().iter().map(Reply::text).collect()
}

/// The files below a directory which have that in their name or anywhere inside.
fn files_with(directory: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            let mut windows = bytes.windows(text.len());
            let name = path.display().to_string();
            if name.contains(text) || windows.any(|window| window == text.as_bytes()) {
                found.push(name);
            }
        }
    }
    found
}

/// Ours: exports and erasures go through the node that runs, and nothing it keeps names the person
/// any more.
#[tokio::test]
async fn who_is_erased_while_the_node_runs_is_named_nowhere_and_let_in_no_more() {
    let redis = Redis::start().await;
    let node = node(&redis).await;
    let user = format!("owner {NAME}");
    let (key, bobs) = (
        key_of(&node, &redis, NAME).await,
        key_of(&node, &redis, "bob").await,
    );
    let open = async |key: &str| {
        let http = http_client_bearing(key);
        Session::through(http, &node.url("/mcp"), VERSION, json!({})).await
    };
    let (session, other) = (open(&key).await, open(&bobs).await);
    let hello = json!({"text": "hello"});
    session.tool("echo", hello.clone()).await.tool_text();
    other.tool("echo", hello.clone()).await.tool_text();
    // What a client chooses to call things may name them, too.
    let uri = format!("notes://{NAME}");
    session.call("resources/read", json!({"uri": uri})).await;
    session.tool(NAME, json!({})).await;
    session.call("prompts/get", json!({"name": NAME})).await;
    let found = said(&node, &redis, &["audit", "query", "--tool", &uri]).await;
    assert_eq!(found.out.lines().count(), 1, "{}", found.out);
    assert_eq!(files_with(node.directory(), NAME), [""; 0]);
    let records = exported(&node, &redis, &user).await;
    assert!(records > 4, "the calls, and what else was noted: {records}");
    assert!(!kept_with(&redis, NAME).await.is_empty());

    let erased = said(&node, &redis, &["audit", "erase", "--subject", &user]).await;

    assert!(erased.out.contains("ended: 1 sessions, 1 API keys\n"));
    assert!(erased.out.contains("erased: "));
    assert!(erased.err.contains("goes by itself"), "{}", erased.err);
    assert_eq!(kept_with(&redis, NAME).await, [""; 0]);
    assert_eq!(files_with(node.directory(), NAME), [""; 0]);
    assert_eq!(exported(&node, &redis, &user).await, 0);
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    assert_eq!(session.send(&ping).await.status, 401);
    assert_eq!(other.tool("echo", hello).await.tool_text(), "hello");
    said(&node, &redis, &["audit", "verify"]).await;
}

/// Ours: where no node runs the command does what can be done, and says so.
#[tokio::test]
async fn who_is_erased_while_no_node_runs_is_let_in_no_more() {
    let config = format!("{AUDIT}[auth.api_keys]\n");
    let setup = Switchboard::with().store(Store::Embedded).config(&config);
    let mut node = setup.start().await;
    let said = async |node: &Switchboard, words: &[&str]| {
        let rest = ["--listen", node.authority(), "--store", "embedded:./data"];
        let ended = run(node.directory(), &[words, &rest].concat()).await;
        assert_eq!(ended.code, 0, "{}", ended.err);
        ended
    };
    let words = ["key", "create", "--role", "admin", "--owner", NAME];
    let key = said(&node, &words).await.out.trim().to_owned();
    let hello = json!({"text": "hello"});
    let client =
        |node: &Switchboard| Stateless::through(http_client_bearing(&key), &node.url("/mcp"));
    client(&node).tool("echo", hello.clone()).await.tool_text();
    node.stop().await;

    let user = format!("owner {NAME}");
    let erased = said(&node, &["audit", "erase", "--subject", &user]).await;

    assert!(erased.out.contains("ended: 0 sessions, 1 API keys\n"));
    assert!(erased.out.contains("erased: "));
    said(&node, &["audit", "verify"]).await;
    node.start_again().await;
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let client = client(&node);
    let refused = client.send(client.request(&message)).await;
    assert_eq!(refused.status, 401);
}

/// Ours: what is done to a copy, an archived one say, is done to nothing else.
#[tokio::test]
async fn who_is_erased_from_a_copy_is_still_in_the_records_of_the_node() {
    const COPY: [&str; 6] = [
        "--dir",
        "copy/audit",
        "--checkpoints",
        "copy/checkpoints",
        "--vault",
        "copy/vault",
    ];
    let redis = Redis::start().await;
    let places = "checkpoints = \"checkpoints\"\nvault = \"vault\"\n";
    let config = format!("cluster.keys = [{KEY:?}]\n{AUDIT}{places}[auth.api_keys]\n");
    let setup = Switchboard::with().store_url(&redis.url()).config(&config);
    let node = setup.start().await;
    let key = key_of(&node, &redis, NAME).await;
    let client = Stateless::through(http_client_bearing(&key), &node.url("/mcp"));
    let hello = json!({"text": "hello"});
    client.tool("echo", hello.clone()).await.tool_text();
    let copy = node.directory().join("copy");
    fs::create_dir(&copy).unwrap();
    let mut cp = Command::new("cp");
    cp.current_dir(node.directory()).arg("-a");
    let copied = cp.args(["audit", "checkpoints", "vault"]).arg(&copy);
    assert!(copied.status().await.unwrap().success());
    let user = format!("owner {NAME}");
    let erase = async |places: &[&str]| {
        let url = redis.url();
        let words = ["audit", "erase", "--subject", &user, "--store", &url];
        let words = [&words[..], &["--listen", node.authority()], places].concat();
        run(node.directory(), &words).await
    };
    let all = |at: usize, other: &'static str| {
        let mut places = COPY;
        places[at] = other;
        places
    };

    for (places, code, told) in [
        (&COPY[..2], 2, "--dir, --checkpoints and --vault"),
        (&COPY[..4], 2, "--dir, --checkpoints and --vault"),
        (&COPY[4..], 2, "--dir, --checkpoints and --vault"),
        (&all(3, "checkpoints"), 1, "writes its audit records"),
        (&all(5, "copy/valut"), 1, "there is no directory copy/valut"),
    ] {
        let refused = erase(places).await;
        assert_eq!(refused.code, code, "{places:?}: {refused:?}");
        assert!(refused.err.contains(told), "{places:?}: {refused:?}");
    }
    let erased = erase(&COPY).await;

    assert_eq!(erased.code, 0, "{erased:?}");
    assert!(erased.out.starts_with("erased: "), "{erased:?}");
    let asked = ["audit", "export", "--subject", &user];
    let left = said(&node, &redis, &[&asked, &COPY[..]].concat()).await;
    let left: Value = serde_json::from_str(&left.out).unwrap();
    assert_eq!(left["records"], json!([]));
    assert!(exported(&node, &redis, &user).await > 0);
    assert_eq!(client.tool("echo", hello).await.tool_text(), "hello");
    said(&node, &redis, &["audit", "verify"]).await;
}

const HELD: &str = "[audit.retention]\nlegal_hold = [\"default\"]\n";

/// Nothing of a person goes by an order that is given with the configuration `now`, at a node that was
/// started with `at_start`.
async fn assert_kept(at_start: &str, now: &str) {
    let redis = Redis::start().await;
    let setup = Switchboard::with().store_url(&redis.url()).config(at_start);
    let node = setup.start().await;
    let key = key_of(&node, &redis, NAME).await;
    let client = Stateless::through(http_client_bearing(&key), &node.url("/mcp"));
    let hello = json!({"text": "hello"});
    client.tool("echo", hello.clone()).await.tool_text();

    fs::write(node.directory().join(CONFIG), now).unwrap();
    let (user, url) = (format!("owner {NAME}"), redis.url());
    let words = ["audit", "erase", "--subject", &user, "--store", &url];
    let words = [&words[..], &["--listen", node.authority()]].concat();
    let erased = run(node.directory(), &words).await;

    assert_eq!(erased.code, 1, "{erased:?}");
    assert!(erased.err.contains("legal hold"), "{}", erased.err);
    assert_eq!(client.tool("echo", hello).await.tool_text(), "hello");
}

/// Ours: with a legal hold nothing of a person goes, not even what lets them in.
#[tokio::test]
async fn a_legal_hold_keeps_everything_of_a_person() {
    let free = format!("cluster.keys = [{KEY:?}]\n{AUDIT}[auth.api_keys]\n");
    let held = format!("{free}{HELD}");
    assert_kept(&held, &held).await;
}

/// Ours: what cannot be undone is not done against the configuration as it is now.
#[tokio::test]
async fn a_legal_hold_that_was_written_after_the_start_is_obeyed() {
    let free = format!("cluster.keys = [{KEY:?}]\n{AUDIT}[auth.api_keys]\n");
    assert_kept(&free, &format!("{free}{HELD}")).await;
}

/// Ours: records that went to standard output are verified where they were put.
#[tokio::test]
async fn records_on_standard_output_can_be_kept_elsewhere_and_verified() {
    let directory = TempDir::new().unwrap();
    let config = format!("cluster.keys = [{KEY:?}]\n[audit]\nsink = \"stdout\"\n");
    fs::write(directory.path().join(CONFIG), config).unwrap();
    let mut node = Command::new(binary())
        .args(["serve", "--builtin", "demo", "--listen", "127.0.0.1:0"])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
    let mut line = async || within("a line", lines.next_line()).await.unwrap();
    let url = loop {
        let said = line().await.expect("it serves");
        if let Some(url) = said.trim().strip_prefix("serving  ") {
            break url.split_whitespace().next().unwrap().to_owned();
        }
    };
    let client = Stateless::new(&url);
    let answer = client.tool("echo", json!({"text": "hello"})).await;
    assert_eq!(answer.tool_text(), "hello");
    let pid = node.id().unwrap().to_string();
    let told = Command::new("kill").arg(&pid).status().await;
    assert!(told.unwrap().success());
    let mut segments: Vec<(String, String)> = Vec::new();
    while let Some(said) = line().await {
        let record = serde_json::from_str::<Value>(&said).unwrap_or_default();
        if record["v"] != 1 {
            // It also welcomes whoever started it.
            continue;
        }
        // A segment's first line says of which trail it is.
        let trail = match record["trail"].as_str() {
            Some(trail) => trail.to_owned(),
            None if ["begin", "end"].iter().any(|it| record["kind"] == *it) => "calls".into(),
            None => "security".into(),
        };
        match segments.iter_mut().find(|(of, _)| *of == trail) {
            Some((_, text)) => *text += &(said + "\n"),
            None => segments.push((trail, said + "\n")),
        }
    }
    within("it ends", node.wait()).await.unwrap();
    for (trail, text) in segments {
        let place = directory.path().join("kept/t-default").join(trail);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("00000000000000000001.jsonl"), text).unwrap();
    }

    let verified = run(directory.path(), &["audit", "verify", "--dir", "kept"]).await;
    assert_eq!(verified.code, 0, "{verified:?}");
    let asked = ["audit", "query", "--dir", "kept", "--tool", "echo"];
    let found = run(directory.path(), &asked).await;
    assert!(found.out.contains(r#""outcome":"ok""#), "{found:?}");
    let refused = run(directory.path(), &["audit", "query"]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
}

/// Ours: `$(switchboard key create …)` holds the key alone.
#[tokio::test]
async fn a_key_is_alone_on_standard_output_wherever_records_go() {
    let directory = TempDir::new().unwrap();
    let config = format!("cluster.keys = [{KEY:?}]\n[audit]\nsink = \"stdout\"\n[auth.api_keys]\n");
    fs::write(directory.path().join(CONFIG), config).unwrap();
    let words = ["key", "create", "--role", "admin", "--owner", "ci"];
    let made = run(directory.path(), &words).await;
    assert_eq!(made.code, 0, "{made:?}");
    let lines: Vec<_> = made.out.lines().collect();
    assert!(
        lines.len() == 1 && lines[0].starts_with("mcpk_"),
        "{made:?}"
    );
    assert!(made.err.contains(r#""kind":"key_created""#), "{made:?}");
}

/// What a node of a cluster has on record about takeovers.
async fn takeovers(cluster: &Cluster, node: usize) -> Vec<Value> {
    let url = cluster.redis.url();
    let asked = ["audit", "query", "--kind", "session_taken_over"];
    let asked = [&asked[..], &["--store", &url]].concat();
    let key = [("SWITCHBOARD_CLUSTER_KEY", KEY)];
    let found = run_with(cluster[node].server.directory(), &asked, &key).await;
    assert_eq!(found.code, 0, "{}", found.err);
    let lines = found.out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// W1: who has what another had of a session says so, under a greater epoch each time.
#[tokio::test]
async fn a_standing_stream_and_a_call_that_are_taken_over_are_on_record() {
    let mut cluster = Cluster::with(2).config(AUDIT).start().await;
    let here = cluster[0].server.session(VERSION).await;
    let there = here.elsewhere(&cluster[1].url("/mcp"));
    let mut standing = here.listen(None).await;
    standing.priming().await;
    let again = there.listen(None).await;
    standing.rest().await;
    eventually("that is on record", async || {
        (takeovers(&cluster, 1).await.len() == 1).then_some(())
    })
    .await;
    drop(again);
    let mut back = here.listen(None).await;
    back.priming().await;
    let arguments = json!({"from": 1_000, "interval_ms": 20});
    let (_, mut call) = here.stream_tool("countdown", arguments).await;
    let priming = call.priming().await;
    call.until_step(2).await;

    cluster[0].kill_hard().await;
    let told = there.listen(Some(priming.id())).await.rest().await;

    assert_eq!(
        told.last().unwrap().json()["error"]["data"]["outcome"],
        "unknown"
    );
    eventually("that is on record, too", async || {
        (takeovers(&cluster, 1).await.len() == 2).then_some(())
    })
    .await;
    let [taken] = &takeovers(&cluster, 0).await[..] else {
        panic!("the stream was taken back once")
    };
    let first = &takeovers(&cluster, 1).await[0];
    assert_eq!(taken["session"], first["session"]);
    assert!(taken["epoch"].as_u64() > first["epoch"].as_u64());
}

/// Ours: who has two keys is one user, and after a theft it matters which of them was used.
#[tokio::test]
async fn a_call_is_on_record_with_the_key_it_was_made_with() {
    let redis = Redis::start().await;
    let node = node(&redis).await;
    let (one, other) = (
        key_of(&node, &redis, "ci").await,
        key_of(&node, &redis, "ci").await,
    );
    for key in [&one, &other] {
        let client = Stateless::through(http_client_bearing(key), &node.url("/mcp"));
        client
            .tool("echo", json!({"text": "hello"}))
            .await
            .tool_text();
    }

    let found = async |kind: &str| {
        let asked = ["audit", "query", "--user", "owner ci", "--kind", kind];
        let found = said(&node, &redis, &asked).await;
        assert!(!found.out.contains(&one) && !found.out.contains(&other));
        let records = found.out.lines().map(serde_json::from_str::<Value>);
        let keys = records.map(|record| record.expect("a line is a record")["key"].clone());
        keys.collect::<Vec<_>>()
    };
    assert_eq!(found("call").await, [id_of(&one), id_of(&other)]);
    // Both are one principal, who came in for the first time once.
    assert_eq!(found("authentication_succeeded").await, [id_of(&one)]);
}

/// W3C Trace Context: whoever looks for what a trace did finds its calls on record.
#[tokio::test]
async fn a_call_is_on_record_with_the_trace_it_belongs_to() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let config = format!("cluster.keys = [{KEY:?}]\n{AUDIT}");
    let node = Switchboard::with().config(&config).start().await;
    let client = node.stateless();
    let good = format!("00-{TRACE}-b7ad6b7169203331-01");
    let tailed = format!("{good}-more");
    let nonsense = json!({"traceparent": tailed, "tracestate": "of=it"});
    for (in_header, meta) in [
        (Some(&good), json!({})),
        // A header is not hidden by what is no trace.
        (Some(&good), nonsense),
        (Some(&tailed), json!({})),
        (None, json!({})),
    ] {
        let echo = json!({"name": "echo", "arguments": {"text": "hello"}, "_meta": meta});
        let mut request = client.request(&client.message("tools/call", echo));
        if let Some(parent) = in_header {
            request = request.header("traceparent", parent);
        }
        assert_eq!(client.send(request).await.tool_text(), "hello");
    }

    let begun = eventually("all calls are on record", async || {
        let found = run(node.directory(), &["audit", "query", "--kind", "call"]).await;
        let records = found.out.lines().map(serde_json::from_str::<Value>);
        let calls = records.map(|record| record.expect("a line is a record"));
        let begun: Vec<_> = calls
            .filter(|call| call["method"] == "tools/call")
            .collect();
        (begun.len() == 4).then_some(begun)
    })
    .await;
    let traces: Vec<_> = begun.iter().map(|call| call["trace"].as_str()).collect();
    assert_eq!(traces, [Some(TRACE), Some(TRACE), None, None]);
}
