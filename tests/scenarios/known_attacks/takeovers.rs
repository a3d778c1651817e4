//! Sessions and streams that somebody else asks for, by ids that are good.

use serde_json::{Value, json};

use super::{VERSION, asked, person};
use crate::world::asserted::{VARIABLE, client_of};
use crate::world::server::Store;
use crate::world::{
    Answer, Event, EventStream, HttpSse, NOTHING, Session, Switchboard, Told as _, command,
    eventually,
};

/// A server that asks who calls, and puts on record what happens.
async fn recording() -> Switchboard {
    let config = format!(
        "[cluster]\nkeys = [{:?}]\n{}[audit]\nsink = \"file:./audit\"\n\
         checkpoints = \"./checkpoints\"\nvault = \"./vault\"\n",
        "0a1b2c3d".repeat(8),
        asked()
    );
    let setup = Switchboard::with().store(Store::Embedded).config(&config);
    setup.variable(VARIABLE.0, VARIABLE.1).start().await
}

/// The records of ids that were presented by somebody who never had them: what of, and by whom.
async fn on_record(server: &Switchboard, count: usize) -> Vec<[String; 3]> {
    let words = ["audit", "query", "--kind", "foreign_id_refused"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    eventually("it is on record", async || {
        let asked = command::run_with(server.directory(), &words, &[VARIABLE]).await;
        let records = asked.out.lines().map(serde_json::from_str::<Value>);
        let records = records.map(|record| record.expect("a record on a line"));
        let found = records.map(|it| [text(&it["what"]), text(&it["tenant"]), text(&it["user"])]);
        let found = found.collect::<Vec<_>>();
        (found.len() >= count).then_some(found)
    })
    .await
}

async fn session(server: &Switchboard, who: Value) -> Session {
    Session::through(client_of(who), &server.url("/mcp"), VERSION, json!({})).await
}

/// A session of Alice's, and what the stream of a call told her there.
async fn with_a_stream(server: &Switchboard) -> (Session, Vec<Event>) {
    let owned = session(server, person("t1", "alice")).await;
    let (_, stream) = owned
        .stream_tool("countdown", json!({"from": 3, "interval_ms": 10}))
        .await;
    let told = stream.rest().await;
    (owned, told)
}

fn shape(answer: &Answer) -> (u16, String, Vec<String>) {
    let names = answer.headers.keys().map(ToString::to_string);
    (answer.status, answer.text.clone(), names.collect())
}

/// Ours: a session belongs to its principal. Others are told what is told of an invented one, and that
/// they asked is on record.
#[tokio::test]
async fn no_session_is_taken_over_by_somebody_who_knows_its_id() {
    let server = recording().await;
    let (owned, told) = with_a_stream(&server).await;
    let thieves = [("t1", "mallory"), ("t2", "alice")];
    for (tenant, name) in thieves {
        let http = client_of(person(tenant, name));
        let stolen = owned.presented_by(http.clone(), &server.url("/mcp"));
        let mut invented = owned.presented_by(http, &server.url("/mcp"));
        invented.id = "A".repeat(owned.id.len());
        let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
        let event = Some(told[0].id());
        for (found, expected) in [
            (stolen.send(&ping).await, invented.send(&ping).await),
            (
                Answer::read(stolen.get(None).await).await,
                Answer::read(invented.get(None).await).await,
            ),
            (
                Answer::read(stolen.get(event).await).await,
                Answer::read(invented.get(event).await).await,
            ),
            (stolen.delete().await, invented.delete().await),
        ] {
            assert_eq!(found.status, 404);
            assert_eq!(shape(&found), shape(&expected));
        }
    }
    // Its owner has noticed nothing.
    let again = owned.listen(Some(told[0].id())).await.rest().await;
    assert_eq!(again, told[1..]);

    let records = on_record(&server, 16).await;
    for (tenant, name) in thieves {
        let expected = ["session", tenant, &format!("proxy {name}")];
        let of = records.iter().filter(|record| **record == expected);
        assert_eq!(of.count(), 8, "{records:?}");
    }
    assert_eq!(records.len(), 16);
}

/// basic/transports (2025-11-25), resumability: an event id is good in its own session.
#[tokio::test]
async fn no_stream_is_read_by_an_event_id_of_somebody_else() {
    let server = recording().await;
    let (_owned, told) = with_a_stream(&server).await;
    let thief = session(&server, person("t2", "mallory")).await;
    for event in [told[0].id(), told.last().unwrap().id(), "invented"] {
        let stolen = thief.get(Some(event)).await;
        assert_eq!(stolen.status(), 200);
        assert_eq!(
            EventStream::of(stolen).rest().await,
            <[Event; 0]>::default()
        );
    }
    // One of a stream of their own that never told so much is a mistake, and nothing else.
    let (_, own) = thief
        .stream_tool("countdown", json!({"from": 1, "interval_ms": 10}))
        .await;
    let own = own.rest().await;
    let (name, _) = own[0].id().rsplit_once('_').unwrap();
    let never_told = thief.listen(Some(&format!("{name}_99"))).await;
    assert_eq!(never_told.rest().await.answers(), NOTHING);
    // And this is the last that is on record.
    let gone = thief.get(Some("gone")).await;
    assert_eq!(gone.status(), 200);

    let records = on_record(&server, 4).await;
    assert_eq!(records, [["event", "t2", "proxy mallory"]; 4]);
}

/// 2024-11-05 basic/transports: whoever knows where messages are posted is not who reads the stream.
#[tokio::test]
async fn no_message_reaches_a_stream_of_somebody_else() {
    let server = recording().await;
    let alice = client_of(person("t1", "alice"));
    let mut owned = HttpSse::connect_through(alice, &server.url("")).await;
    let initialize = json!({"protocolVersion": "2024-11-05", "capabilities": {},
        "clientInfo": {"name": "scenario", "version": "1"}});
    owned.call("initialize", initialize).await;
    let ping = json!({"jsonrpc": "2.0", "id": 77, "method": "ping"}).to_string();
    for who in [person("t1", "mallory"), person("t2", "alice")] {
        let posted = client_of(who).post(&owned.url);
        let posted = posted.header("content-type", "application/json");
        let posted = Answer::read(posted.body(ping.clone()).send().await.unwrap()).await;
        assert_eq!(posted.status, 404);
    }
    // What its owner hears next is what it asked for.
    let answered = owned.call("ping", json!({})).await;
    assert_ne!(answered["id"], 77);
    let records = on_record(&server, 2).await;
    assert_eq!(
        records,
        [
            ["session", "t1", "proxy mallory"],
            ["session", "t2", "proxy alice"]
        ]
    );
}
