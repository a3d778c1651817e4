//! What another release wrote, or nobody could have: refused, told, and nobody else's business.

use std::fmt::Write as _;

use serde_json::json;

use crate::cluster::together::asks_at_the_first;
use crate::world::redis::Reply;
use crate::world::{Cluster, Session, Told as _, eventually};

const VERSION: &str = "2025-11-25";

/// How a session's record is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    /// The store's own form of a value, of a later release.
    Form,
    /// The checkpoint's format, of a later release; the value is whole.
    Format,
    /// The second half is missing.
    Cut,
    /// A bit is another one.
    Flipped,
    /// Something else stands there.
    OtherType,
    /// The record is missing among its things.
    Missing,
}

const DAMAGES: [Damage; 6] = [
    Damage::Form,
    Damage::Format,
    Damage::Cut,
    Damage::Flipped,
    Damage::OtherType,
    Damage::Missing,
];

/// The form and the checksum before every value.
const HEADER: usize = 5;

/// Bytes as a string of a script.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("'");
    for byte in bytes {
        write!(text, "\\{byte:03}").expect("memory can be written");
    }
    text.push('\'');
    text
}

/// A value as the store writes it.
fn framed(value: &[u8]) -> Vec<u8> {
    let mut written = vec![1];
    written.extend(crc32fast::hash(value).to_be_bytes());
    written.extend(value);
    written
}

async fn key_of(cluster: &Cluster, session: &Session) -> String {
    let pattern = format!("*:s:{}", session.id);
    let found = cluster.redis.cli(&["KEYS", &pattern]).await;
    found.list()[0].text()
}

async fn write(cluster: &Cluster, key: &str, bytes: &[u8]) {
    let script = format!("return redis.call('HSET', KEYS[1], 'r', {})", quoted(bytes));
    let reply = cluster.redis.cli(&["EVAL", &script, "1", key]).await;
    assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
}

async fn damage(cluster: &Cluster, session: &Session, how: Damage) {
    let key = key_of(cluster, session).await;
    let Reply::Text(mut value) = cluster.redis.cli(&["HGET", &key, "r"]).await else {
        panic!("there is a record");
    };
    match how {
        Damage::Form => value[0] = 2,
        Damage::Format => {
            value[HEADER] = 200;
            value = framed(&value[HEADER..]);
        }
        Damage::Cut => value.truncate(value.len() / 2),
        Damage::Flipped => value[HEADER + 20] ^= 1,
        Damage::OtherType => {
            cluster.redis.cli(&["DEL", &key]).await;
            cluster.redis.cli(&["SET", &key, "x"]).await;
            return;
        }
        Damage::Missing => {
            cluster.redis.cli(&["HDEL", &key, "r"]).await;
            return;
        }
    }
    write(cluster, &key, &value).await;
}

/// Ours: to a node that does not know it yet, such a session does not exist; the others do.
#[tokio::test]
async fn a_session_that_cannot_be_read_is_gone_and_hurts_no_other() {
    let cluster = Cluster::of(2).await;
    let whole = cluster[0].server.session(VERSION).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let there = whole.elsewhere(&cluster[1].url("/mcp"));
    for how in DAMAGES {
        let session = cluster[0].server.session(VERSION).await;
        damage(&cluster, &session, how).await;

        let elsewhere = session.elsewhere(&cluster[1].url("/mcp"));
        assert_eq!(elsewhere.send(&ping).await.status, 404, "{how:?}");
        assert_eq!(elsewhere.get(None).await.status(), 404, "{how:?}");
        assert_eq!(there.send(&ping).await.status, 200, "{how:?}: another");
        assert!(cluster[1].server.is_healthy().await, "{how:?}");
        let next = cluster[1].server.session(VERSION).await;
        assert_eq!(next.send(&ping).await.status, 200, "{how:?}: a new one");
        let ready = crate::world::get(cluster[1].url("/ready")).await;
        assert!(ready.expect("it answers").status().is_success(), "{how:?}");
    }
    let line = r#"mcp_store_errors_total{operation="read"}"#;
    let counted = cluster[1].metric(line).await;
    println!("{counted} reads were counted as errors");
    assert!(counted >= 4.0, "it is told");
}

/// Ours: during an upgrade two releases share a store, and each keeps to what it understands.
#[tokio::test]
async fn two_releases_share_a_store_and_harm_nothing_of_each_other() {
    let other_release = [("SWITCHBOARD_SABOTAGE", "other_formats")];
    let cluster = Cluster::with(2).variables_of(1, &other_release);
    let cluster = cluster.start().await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let subscribe = json!({
        "jsonrpc": "2.0", "id": 2, "method": "resources/subscribe",
        "params": {"uri": "clock://now"},
    });
    for (home, other) in [(0, 1), (1, 0)] {
        let here = cluster[home].server.session(VERSION).await;
        let there = here.elsewhere(&cluster[other].url("/mcp"));
        let standing = here.listen(None).await;

        assert_eq!(there.send(&ping).await.status, 404);
        assert_eq!(there.get(None).await.status(), 404);

        // What the session changes is told to the other node, which cannot read that either.
        assert_eq!(here.send(&subscribe).await.result(), json!({}));
        let (id, stream) = (here.stream_tool("countdown", json!({"from": 3}))).await;
        assert_eq!(stream.rest().await.answers()[0]["id"], id);
        assert_eq!(here.delete().await.status, 204);
        standing.rest().await;
        assert_eq!(here.send(&ping).await.status, 404);
    }
    for node in cluster.nodes() {
        assert!(node.server.is_healthy().await);
    }
}

/// Ours: a node of a later release may say what this one does not understand.
#[tokio::test]
async fn a_letter_that_cannot_be_read_keeps_no_other_from_being_read() {
    let cluster = Cluster::of(2).await;
    let (there, id, mut stream) = asks_at_the_first(&cluster).await;
    let question = stream.message().await;
    // A later format, an unknown topic, half a letter, nothing, and not even a value of the store.
    let mut unknown_topic = vec![1, 99];
    unknown_topic.extend([0; 8]);
    let mut letters = [&[9, 0, 0, 0][..], &unknown_topic, &[1, 0, 0], &[]]
        .map(framed)
        .to_vec();
    letters.push(b"no value".to_vec());
    letters.push(Vec::new());

    let inboxes = eventually("both nodes have an inbox", || async {
        let found = cluster.redis.cli(&["KEYS", "sb:1:{n*}:i"]).await;
        (found.list().len() == 2).then(|| found.list().to_vec())
    })
    .await;
    for inbox in &inboxes {
        for letter in &letters {
            // The number after the newest, which is what the next letter has.
            let script = format!(
                "local info = redis.call('XINFO', 'STREAM', KEYS[1])
                 for i = 1, #info, 2 do if info[i] == 'last-generated-id' then
                   local next = string.format('%.0f-0', tonumber(string.match(info[i+1], '^%d+')) + 1)
                   return redis.call('XADD', KEYS[1], next, 'm', {})
                 end end",
                quoted(letter)
            );
            let inbox = inbox.text();
            let reply = cluster.redis.cli(&["EVAL", &script, "1", &inbox]).await;
            assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
        }
    }
    let content = json!({"action": "accept", "content": {"name": "Ada"}});
    there.answer(&question, content).await;

    let told = stream.rest().await;
    assert_eq!(told.answers()[0]["id"], id);
    assert_eq!(
        told.answers()[0]["result"]["content"][0]["text"],
        "Hello, Ada!"
    );
}
