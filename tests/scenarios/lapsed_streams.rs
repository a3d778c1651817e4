//! Streams that were opened with a key that is not good any more: they end, and nothing else does.

use serde_json::{Value, json};

use crate::api_keys::{client, id_of, key, key_of, session};
use crate::world::server::Store;
use crate::world::{
    Event, EventStream, HttpSse, Session, Stateless, Switchboard, eventually, http_client_bearing,
};

/// Keys, a record of who comes in, and streams that say soon that they live.
const CONFIG: &str =
    "[auth.api_keys]\n[audit]\nsink = \"file:./audit\"\n[streams]\nheartbeat = \"100ms\"";

async fn server() -> Switchboard {
    let setup = Switchboard::with().store(Store::Embedded).config(CONFIG);
    setup.keeps_log().start().await
}

/// A stream of the stateless era, acknowledged, and the id of its request.
async fn subscription(client: &Stateless) -> (Value, EventStream) {
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let (id, mut stream) = client.stream("subscriptions/listen", filter).await;
    let first = stream.message().await;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    (id, stream)
}

/// The standing stream of a session, which has begun.
async fn standing(session: &Session) -> EventStream {
    let mut stream = session.listen(None).await;
    stream.priming().await;
    stream
}

/// Opens a session of HTTP+SSE.
async fn pipe(server: &Switchboard, key: &str) -> HttpSse {
    let http = http_client_bearing(key);
    let mut pipe = HttpSse::connect_through(http, &server.url("")).await;
    let initialize = json!({"protocolVersion": "2024-11-05", "capabilities": {},
        "clientInfo": {"name": "scenario", "version": "1"}});
    pipe.call("initialize", initialize).await;
    pipe
}

/// The last message of a stream, when it has ended.
async fn last(stream: EventStream) -> Option<Value> {
    let events = stream.rest().await;
    let mut messages = events.iter().filter(|event| event.data.is_some());
    messages.next_back().map(Event::json)
}

/// Trust: Z3. What a revoked key has opened does not go on: the standing stream of a session, a
/// subscription, a session of HTTP+SSE. The session is still its owner's, and their other key's streams
/// go on. A call that runs ends by itself.
#[tokio::test]
async fn streams_of_a_revoked_key_end_and_those_of_its_owners_other_key_go_on() {
    let server = server().await;
    let (good, bad) = (key_of(&server, "ci").await, key_of(&server, "ci").await);
    let (mine, theirs) = (session(&server, &good).await, session(&server, &bad).await);
    let mut standing_stream = standing(&mine).await;
    let (_, mut subscribed) = subscription(&client(&server, &good)).await;
    let mut piped = pipe(&server, &good).await;

    let ended_standing = standing(&theirs).await;
    let (id, ended_subscribed) = subscription(&client(&server, &bad)).await;
    let ended_piped = pipe(&server, &bad).await;
    let countdown = json!({"from": 12, "interval_ms": 1_000});
    let (call, calling) = theirs.stream_tool("countdown", countdown).await;

    assert_eq!(key(&server, &["revoke", id_of(&bad)]).await.code, 0);
    let (_, closing, _, answer) = tokio::join!(
        ended_standing.rest(),
        last(ended_subscribed),
        ended_piped.stream.rest(),
        last(calling),
    );
    let closing = closing.expect("a subscription ends with its result");
    assert_eq!(closing["id"], id);
    assert_eq!(closing["result"]["resultType"], "complete");
    let answer = answer.expect("the call ends");
    assert_eq!(answer["id"], call);
    assert_eq!(answer["result"].get("isError"), None, "{answer}");

    // The others did not notice.
    for stream in [&mut standing_stream, &mut subscribed, &mut piped.stream] {
        stream.heartbeat().await;
    }
    let hello = json!({"text": "hello"});
    let said = piped.tool("echo", hello.clone()).await;
    assert_eq!(said["result"]["content"][0]["text"], "hello");
    // The session is there for who has another key of the same owner, and for nobody else.
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    assert_eq!(theirs.send(&ping).await.status, 401);
    let url = server.url("/mcp");
    let resumed = theirs.presented_by(http_client_bearing(&good), &url);
    standing(&resumed).await.heartbeat().await;
    assert_eq!(resumed.tool("echo", hello).await.tool_text(), "hello");

    assert!(server.log().contains("a stream was ended"));
    eventually("each end is on record", async || {
        let trail = server.directory().join("audit/t-default/security");
        let segments = std::fs::read_dir(trail).expect("something was recorded");
        let texts = segments.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        let texts = texts.collect::<String>();
        let records = texts.lines().map(serde_json::from_str::<Value>);
        let ends = records.map(Result::unwrap).filter(|record| {
            record["reason"] == "a stream was ended: the key is revoked"
                && record["key"] == id_of(&bad)
        });
        (ends.count() == 3).then_some(())
    })
    .await;
}

/// Ours: a key ends by itself, and then its streams do.
#[tokio::test]
async fn streams_of_a_key_that_has_expired_end() {
    let server = server().await;
    let words = ["create", "--owner", "ci", "--role", "admin", "--life", "3s"];
    let short = key(&server, &words).await.out;
    let (id, subscribed) = subscription(&client(&server, short.trim())).await;
    let standing_stream = standing(&session(&server, short.trim()).await).await;
    let (closing, _) = tokio::join!(last(subscribed), standing_stream.rest());
    assert_eq!(closing.expect("it ends with its result")["id"], id);
}
