//! API keys: made on the command line, presented with each request, rotated and revoked.

use serde_json::{Value, json};

use crate::world::redis::Redis;
use crate::world::server::Store;
use crate::world::{
    Answer, HttpSse, Session, Stateless, Switchboard, command, eventually, http_client,
    http_client_bearing,
};

const KEYS: &str = "[auth.api_keys]";
const VERSION: &str = "2025-11-25";

/// What `switchboard key …` says for the server that runs.
pub(crate) async fn key(server: &Switchboard, words: &[&str]) -> command::Ended {
    let store = format!("embedded:{}", server.directory().join("data").display());
    let rest = ["--listen", server.authority(), "--store", &store];
    command::run(server.directory(), &[&["key"], words, &rest[..]].concat()).await
}

/// A key of `owner`.
pub(crate) async fn key_of(server: &Switchboard, owner: &str) -> String {
    let made = key(server, &["create", "--owner", owner, "--role", "admin"]).await;
    assert_eq!(made.code, 0, "{}", made.err);
    // Alone on its line, so that `$(...)` gives it.
    made.out.strip_suffix('\n').unwrap().to_owned()
}

pub(crate) fn id_of(key: &str) -> &str {
    key.split('_').nth(1).unwrap()
}

async fn server() -> Switchboard {
    let setup = Switchboard::with().store(Store::Embedded).config(KEYS);
    setup.start().await
}

pub(crate) fn client(server: &Switchboard, key: &str) -> Stateless {
    Stateless::through(http_client_bearing(key), &server.url("/mcp"))
}

pub(crate) async fn session(server: &Switchboard, key: &str) -> Session {
    let http = http_client_bearing(key);
    Session::through(http, &server.url("/mcp"), VERSION, json!({})).await
}

/// A refusal that says what would do, and nothing of what was wrong.
fn assert_challenged(answer: &Answer, error: &str) {
    assert_eq!(answer.status, 401, "{}", answer.text);
    let challenge = format!("Bearer {error}realm=\"switchboard\"");
    assert_eq!(answer.header("www-authenticate"), challenge);
}

const INVALID: &str = "error=\"invalid_token\", ";

#[tokio::test]
async fn a_key_opens_every_way_in() {
    let server = server().await;
    let key = key_of(&server, "ci").await;
    let hello = json!({"text": "hello"});
    let client = client(&server, &key);
    assert_eq!(
        client.tool("echo", hello.clone()).await.tool_text(),
        "hello"
    );
    let session = session(&server, &key).await;
    assert_eq!(
        session.tool("echo", hello.clone()).await.tool_text(),
        "hello"
    );
    let http = http_client_bearing(&key);
    let mut pipe = HttpSse::connect_through(http, &server.url("")).await;
    let initialize = json!({"protocolVersion": "2024-11-05", "capabilities": {},
        "clientInfo": {"name": "scenario", "version": "1"}});
    pipe.call("initialize", initialize).await;
    assert_eq!(
        pipe.tool("echo", hello.clone()).await["result"]["content"][0]["text"],
        "hello"
    );
    // And in the header of its own.
    let message = client.message("tools/call", json!({"name": "echo", "arguments": hello}));
    let anonymous = Stateless::new(&server.url("/mcp"));
    let request = anonymous.request(&message).header("x-api-key", &key);
    assert_eq!(anonymous.send(request).await.tool_text(), "hello");
}

#[tokio::test]
async fn without_a_key_nobody_comes_in_anywhere() {
    let server = server().await;
    let url = server.url("/mcp");
    let key = key_of(&server, "ci").await;
    let session = session(&server, &key).await;
    let nobody = session.presented_by(http_client(), &url);
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    assert_challenged(&nobody.send(&ping).await, "");
    assert_challenged(&Answer::read(nobody.get(None).await).await, "");
    assert_challenged(&nobody.delete().await, "");
    assert_challenged(
        &Session::initialize(&http_client(), &url, VERSION, json!({})).await,
        "",
    );
    let stateless = Stateless::new(&url);
    for method in [
        "server/discover",
        "tools/list",
        "subscriptions/listen",
        "no/method",
    ] {
        let request = stateless.request(&stateless.message(method, json!({})));
        assert_challenged(&stateless.send(request).await, "");
    }
    let http = http_client();
    for request in [
        http.get(server.url("/sse"))
            .header("accept", "text/event-stream"),
        http.post(server.url("/messages?sessionId=x")).body("{}"),
        http.post(&url).body("not even JSON"),
        // A query string is no place for a credential.
        http.post(format!("{url}?access_token={key}")).body("{}"),
    ] {
        assert_challenged(&Answer::read(request.send().await.unwrap()).await, "");
    }
    // The session of the one with the key noticed nothing.
    assert_eq!(session.call("ping", json!({})).await.result(), json!({}));
    // Operators' pages are not behind it.
    assert!(server.is_healthy().await);
    let refused = server
        .metric("mcp_refused_total{reason=\"credential\"}")
        .await;
    assert!(refused >= 12.0, "{refused}");
}

#[tokio::test]
async fn a_wrong_key_is_told_nothing() {
    let server = server().await;
    let good = key_of(&server, "ci").await;
    let revoked = key_of(&server, "ci").await;
    assert_eq!(key(&server, &["revoke", id_of(&revoked)]).await.code, 0);
    let bound = key(
        &server,
        &["create", "--owner", "far", "--from", "10.0.0.0/8"],
    )
    .await
    .out;
    let later = key(
        &server,
        &["create", "--owner", "later", "--begins-in", "1d"],
    )
    .await
    .out;
    let mut bodies = std::collections::BTreeSet::new();
    let other_secret = {
        let another = key_of(&server, "ci").await;
        assert_eq!(key(&server, &["revoke", id_of(&another)]).await.code, 0);
        another
    };
    for wrong in [
        "a.b.c",
        "mcpk_",
        &good[..good.len() - 1],
        &good.replace("mcpk_", "mcpk_0"),
        &revoked,
        &other_secret,
        bound.trim(),
        later.trim(),
    ] {
        let client = client(&server, wrong);
        let message = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {
            "_meta": client.meta()}});
        let answer = client.send(client.request(&message)).await;
        assert_challenged(&answer, INVALID);
        bodies.insert(answer.text);
    }
    assert_eq!(bodies.len(), 1, "all are refused alike: {bodies:?}");
    assert_eq!(
        client(&server, &good)
            .call("tools/list", json!({}))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_request_that_presents_two_things_is_wrong_itself() {
    let server = server().await;
    let key = key_of(&server, "ci").await;
    let bearer = format!("Bearer {key}");
    let anonymous = Stateless::new(&server.url("/mcp"));
    let message = anonymous.message("tools/list", json!({}));
    for headers in [
        &[("authorization", bearer.as_str()), ("x-api-key", &key)][..],
        &[("authorization", &bearer), ("authorization", &bearer)],
        &[("x-api-key", &key), ("x-api-key", &key)],
        &[("authorization", "Basic YTpi")],
        &[("authorization", "Bearer")],
        &[("authorization", "Bearer a b")],
    ] {
        let request = anonymous.request(&message);
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        let answer = anonymous.send(request).await;
        assert_eq!(answer.status, 400, "{headers:?} {}", answer.text);
        assert!(!answer.text.contains(&key));
    }
}

#[tokio::test]
async fn a_session_belongs_to_the_owner_whichever_key_is_used() {
    let server = server().await;
    let (first, next) = (key_of(&server, "ci").await, key_of(&server, "ci").await);
    let stranger = key_of(&server, "stranger").await;
    let session = session(&server, &first).await;
    let url = server.url("/mcp");
    // Rotated, with both keys good for a while.
    let rotated = session.presented_by(http_client_bearing(&next), &url);
    assert_eq!(rotated.call("ping", json!({})).await.result(), json!({}));
    assert_eq!(key(&server, &["revoke", id_of(&first)]).await.code, 0);
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    assert_challenged(&session.send(&ping).await, INVALID);
    assert_eq!(rotated.call("ping", json!({})).await.result(), json!({}));
    // To anybody else it is what an invented one is.
    let theirs = session.presented_by(http_client_bearing(&stranger), &url);
    let mut invented = session.presented_by(http_client_bearing(&stranger), &url);
    invented.id = "A".repeat(43);
    let told = [theirs.send(&ping).await, invented.send(&ping).await];
    for answer in &told {
        assert_eq!(answer.status, 404);
    }
    assert_eq!(told[0].text, told[1].text);
    let taken = theirs.get(Some("x")).await;
    assert_eq!(taken.status(), 404);
    assert_eq!(theirs.delete().await.status, 404);
    assert_eq!(rotated.call("ping", json!({})).await.result(), json!({}));
}

#[tokio::test]
async fn an_endpoint_may_ask_for_nothing_beside_one_that_does() {
    let server = Switchboard::with().store(Store::Embedded).config(
        "[auth.api_keys]\n\
         [endpoints.main]\nbuiltin = \"demo\"\n\
         [endpoints.open]\npath = \"/open\"\nbuiltin = \"demo\"\nauth = [\"none\"]",
    );
    let server = server.start().await;
    let key = key_of(&server, "ci").await;
    let open = Session::open(&server.url("/open"), VERSION, json!({})).await;
    assert_eq!(open.call("ping", json!({})).await.result(), json!({}));
    // What was opened where nothing is asked is good there alone.
    let http = http_client_bearing(&key);
    let replayed = open.presented_by(http, &server.url("/mcp"));
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    assert_eq!(replayed.send(&ping).await.status, 404);
    let mine = session(&server, &key).await;
    let replayed = mine.presented_by(http_client(), &server.url("/open"));
    assert_eq!(replayed.send(&ping).await.status, 404);
}

#[tokio::test]
async fn keys_are_made_and_listed_whether_or_not_a_node_runs() {
    let mut server = server().await;
    let before = key_of(&server, "ci").await;
    server.stop().await;
    let between = key_of(&server, "ci").await;
    let refused = key(&server, &["create", "--owner", "ci"]).await;
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("2 keys that are good"),
        "{}",
        refused.err
    );
    let listed = key(&server, &["list", "--json"]).await;
    assert!(!listed.out.contains(before.split('_').nth(2).unwrap()));
    let records: Vec<Value> = (listed.out.lines())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ids: Vec<_> = records
        .iter()
        .map(|record| record["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [id_of(&before), id_of(&between)]);
    assert_eq!(records[0]["roles"], json!(["admin"]));
    assert_eq!(key(&server, &["revoke", id_of(&before)]).await.code, 0);
    assert_eq!(key(&server, &["revoke", "0000000000000000"]).await.code, 1);
    server.start_again().await;
    let listed = client(&server, &between)
        .call("tools/list", json!({}))
        .await;
    assert_eq!(listed.status, 200);
    let (http, url) = (http_client_bearing(&before), server.url("/mcp"));
    let refused = Session::initialize(&http, &url, VERSION, json!({})).await;
    assert_challenged(&refused, INVALID);
}

/// Ours: a role that nobody wrote down is a slip, and how long a key is good is said as people say it.
#[tokio::test]
async fn a_key_has_roles_that_there_are_and_a_time_that_can_be_read() {
    let config = format!("{KEYS}\n[roles.analyst]\nallow = [{{ tools = [\"**\"] }}]");
    let setup = Switchboard::with().store(Store::Embedded).config(&config);
    let server = setup.start().await;
    let refused = key(&server, &["create", "--owner", "ci", "--role", "analist"]).await;
    assert_eq!((refused.code, refused.out.as_str()), (2, ""));
    assert!(
        refused.err.contains("no role \"analist\""),
        "{}",
        refused.err
    );
    for (role, life, told) in [
        ("analyst", "1s", "good for 1 second;"),
        ("admin", "90d", "good for 90 days;"),
    ] {
        let words = ["create", "--owner", role, "--role", role, "--life", life];
        let made = key(&server, &words).await;
        assert_eq!(made.code, 0, "{}", made.err);
        assert!(made.err.contains(told), "{}", made.err);
    }
}

#[tokio::test]
async fn a_key_revoked_at_one_node_is_soon_refused_at_the_other() {
    let redis = Redis::start().await;
    let url = redis.url();
    let node = || {
        let setup = Switchboard::with().config(KEYS).store_url(&url);
        setup
            .variable("SWITCHBOARD_CLUSTER_KEY", &"0a1b2c3d".repeat(8))
            .start()
    };
    let (here, there) = tokio::join!(node(), node());
    let at = |words: Vec<&'static str>| {
        let (directory, authority) = (here.directory(), here.authority());
        let url = url.clone();
        async move {
            let rest = ["--listen", authority, "--store", &url];
            let words = [&["key"], &words[..], &rest[..]].concat();
            command::run_with(
                directory,
                &words,
                &[("SWITCHBOARD_CLUSTER_KEY", &"0a1b2c3d".repeat(8))],
            )
            .await
        }
    };
    let made = at(vec!["create", "--owner", "ci", "--role", "admin"]).await;
    let key = made.out.trim().to_owned();
    for server in [&here, &there] {
        let listed = client(server, &key).call("tools/list", json!({})).await;
        assert_eq!(listed.status, 200);
    }
    let id: &'static str = id_of(&key).to_owned().leak();
    assert_eq!(at(vec!["revoke", id]).await.code, 0);
    let began = std::time::Instant::now();
    let client = client(&there, &key);
    eventually("the other node refuses it", async || {
        let request = client.request(&client.message("tools/list", json!({})));
        (client.send(request).await.status == 401).then_some(())
    })
    .await;
    println!("refused elsewhere after {:?}", began.elapsed());
}
