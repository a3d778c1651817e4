//! Paths on which it could be forgotten whose something is: whatever one was given is tried by others,
//! on each of them, and whatever is kept is kept for each apart.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use switchboard::server::{
    Context, Field, Form, NoArguments, Resource, Server, ServerBuilder, TaskUse, Tool,
};

use super::{VERSION, asked, asking, finds, gateway, person};
use crate::world::asserted::{VARIABLE, client_of};
use crate::world::own::Own;
use crate::world::redis::Redis;
use crate::world::{Answer, Session, Stateless, Switchboard, Told as _, eventually};

const EXTENSION: &str = "io.modelcontextprotocol/tasks";
const KEY: &str = "switchboard/idempotencyKey";

/// Something of each kind that is given to one caller alone.
fn office() -> ServerBuilder {
    let runs = Arc::new(AtomicU32::new(0));
    let count = Tool::new("count", move |_, NoArguments {}| {
        let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
        async move { Ok(format!("run {run}")) }
    });
    let wait = Tool::new("wait", |ctx: Context, NoArguments {}| async move {
        ctx.cancelled().await;
        Ok("never")
    });
    let ask = Tool::new("ask", |ctx: Context, NoArguments {}| async move {
        let form = Form::new("Sure?").field("sure", Field::boolean());
        let answer = ctx.elicit("confirm", form).await?;
        Ok(format!("accepted: {}", answer.accepted().is_some()))
    });
    Server::builder("office", "1")
        .page_size(1)
        .tool(count)
        .tool(wait.task(TaskUse::optional()))
        .tool(ask)
        .resource(Resource::fixed("note://1", "one", "a note"))
        .resource(Resource::fixed("note://2", "two", "a note"))
}

/// The one who was given things, and those who are nearly them.
fn people() -> (Value, [Value; 3]) {
    let mut other_program = person("t1", "alice");
    other_program["client_id"] = json!("another program");
    let others = [person("t2", "alice"), person("t1", "bob"), other_program];
    (person("t1", "alice"), others)
}

fn stateless(server: &Own, who: &Value) -> Stateless {
    let declared = json!({"elicitation": {}, "extensions": {EXTENSION: {}}});
    Stateless::through(client_of(who.clone()), &server.0.url()).with(declared)
}

async fn session(server: &Own, who: &Value) -> Session {
    let http = client_of(who.clone());
    Session::through(http, &server.0.url(), VERSION, json!({})).await
}

/// Another text of the same kind, which nobody was given.
fn bent(given: &str) -> String {
    let other = if &given[9..10] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &given[..9], &given[10..])
}

fn text(value: &Value) -> String {
    value.as_str().expect("it is given as text").to_owned()
}

/// Asks with what was given to somebody else, and with what was given to nobody: both are told the same.
async fn is_nothing<F: Future<Output = Answer>>(
    what: &str,
    given: &str,
    ask: impl Fn(String) -> F,
) {
    let invented = bent(given);
    let told = ask(given.to_owned()).await;
    let expected = ask(invented.clone()).await;
    assert_eq!(told.status, expected.status, "{what}");
    let error = |answer: &Answer| answer.message()["error"].to_string();
    assert_ne!(error(&told), "null", "{what}");
    assert_eq!(
        error(&told).replace(given, &invented),
        error(&expected),
        "{what}"
    );
}

/// S2: what belongs to somebody else is what does not exist, whichever way it is asked for.
#[tokio::test]
async fn nothing_that_one_caller_was_given_is_anything_to_another() {
    let server = asking(office()).await;
    let (alice, others) = people();
    let (client, in_session) = (stateless(&server, &alice), session(&server, &alice).await);
    let tools = client.call("tools/list", json!({})).await.result();
    let tools = text(&tools["nextCursor"]);
    let resources = client.call("resources/list", json!({})).await.result();
    let resources = text(&resources["nextCursor"]);
    let wait = json!({"name": "wait", "arguments": {}, "task": {"ttl": 60_000}});
    let begun = in_session.call("tools/call", wait).await.result();
    let of_session = text(&begun["task"]["taskId"]);
    let of_stateless = {
        let tasked = stateless(&server, &alice);
        let begun = tasked.tool("wait", json!({})).await.result();
        // Without a task it would never end.
        text(&begun["taskId"])
    };
    let asked = client.tool("ask", json!({})).await.result();
    let state = text(&asked["requestState"]);
    let questions = asked["inputRequests"].as_object().expect("a question");
    let question = questions.keys().next().expect("a question").clone();
    let round = |state: String| {
        json!({"name": "ask", "arguments": {}, "requestState": state,
            "inputResponses": {&question: {"action": "accept", "content": {"sure": true}}}})
    };

    for who in &others {
        let (client, in_session) = (stateless(&server, who), session(&server, who).await);
        for (method, cursor) in [("tools/list", &tools), ("resources/list", &resources)] {
            is_nothing(method, cursor, |it| {
                client.call(method, json!({"cursor": it}))
            })
            .await;
            is_nothing(method, cursor, |it| {
                in_session.call(method, json!({"cursor": it}))
            })
            .await;
        }
        for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
            is_nothing(method, &of_stateless, |it| {
                client.call(method, json!({"taskId": it, "inputResponses": {}}))
            })
            .await;
        }
        for method in ["tasks/get", "tasks/cancel", "tasks/result"] {
            is_nothing(method, &of_session, |it| {
                in_session.call(method, json!({"taskId": it}))
            })
            .await;
        }
        is_nothing("a state", &state, |it| client.call("tools/call", round(it))).await;
        let listed = in_session.call("tasks/list", json!({})).await.result();
        assert_eq!(listed["tasks"], json!([]));
        let filter = json!({"notifications": {"taskIds": [of_stateless]}});
        let (_, mut stream) = client.stream("subscriptions/listen", filter).await;
        let acknowledged = stream.message().await;
        assert!(
            !acknowledged.to_string().contains(&of_stateless),
            "{acknowledged}"
        );
    }

    // Everything is still there for whom it was meant.
    for (method, cursor) in [("tools/list", &tools), ("resources/list", &resources)] {
        let page = client.call(method, json!({"cursor": cursor})).await;
        assert!(page.result().is_object());
    }
    let task = client
        .call("tasks/get", json!({"taskId": of_stateless}))
        .await;
    assert_eq!(task.result()["status"], "working");
    let task = in_session
        .call("tasks/get", json!({"taskId": of_session}))
        .await;
    assert_eq!(task.result()["status"], "working");
    let ended = client.call("tools/call", round(state)).await;
    assert_eq!(ended.tool_text(), "accepted: true");
}

/// D3: an idempotency key is its principal's; nobody is given what another's call brought.
#[tokio::test]
async fn no_outcome_is_given_to_another_who_knows_its_key() {
    let server = asking(office()).await;
    let (alice, others) = people();
    let params = json!({"name": "count", "arguments": {}, "_meta": {KEY: "a key"}});
    for (run, who) in (1..).zip([alice].iter().chain(&others)) {
        for _ in 0..2 {
            let made = stateless(&server, who)
                .call("tools/call", params.clone())
                .await;
            assert_eq!(made.tool_text(), format!("run {run}"), "{who}");
        }
    }
}

/// Ours: a session at an upstream that clients name is its principal's.
#[tokio::test]
async fn no_handle_leads_another_into_a_session_at_an_upstream() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/faulty.py");
    let command = json!(["python3", script, "session"]);
    let upstream = format!("[upstreams.it]\ncommand = {command}\nisolation = \"handle\"\n");
    let gateway = gateway(&upstream).await;
    let (alice, others) = people();
    let client = |who: &Value| Stateless::through(client_of(who.clone()), &gateway.url("/mcp"));
    finds(&client(&alice), "it.count").await;
    let begun = client(&alice).tool("it.count", json!({})).await.result();
    let handle = text(&begun["_meta"]["switchboard/handle"]);
    for who in &others {
        let called = async |handle: &str| {
            let arguments = json!({"session": handle});
            let result = client(who).tool("it.count", arguments).await.result();
            assert_eq!(result["isError"], true, "{result}");
            result.to_string()
        };
        let invented = bent(&handle);
        let told = called(&handle).await.replace(&handle, &invented);
        assert_eq!(told, called(&invented).await);
    }
    let counted = client(&alice)
        .tool("it.count", json!({"session": handle}))
        .await;
    assert_eq!(counted.tool_text(), "2");
}

/// What kinds of keys there are in Redis that hold something of a caller's, and how many of each.
async fn kept(redis: &Redis) -> BTreeMap<&'static str, usize> {
    let keys = redis.cli(&["KEYS", "*"]).await;
    let mut kinds = BTreeMap::new();
    for key in keys.list() {
        let key = key.text();
        // After the layout and the slot: what the key is of.
        let name = key.splitn(4, ':').nth(3).unwrap_or_default();
        let kind = match name.split_once(':') {
            _ if key.contains("{nodes}") || key.ends_with(":i") || key.ends_with(":g") => continue,
            _ if key.contains("{b") => "a bucket",
            Some(("s", scope)) if scope.starts_with("once:") => "an outcome",
            Some(("s", scope)) if scope.starts_with("tasks-of:") => "a list of tasks",
            Some(("s", scope)) if scope.starts_with("task:") => "a task",
            Some(("s", scope)) if scope.len() == 43 => "a session",
            Some(("l", _)) => "a log",
            Some(("e", _)) => "logs that ended",
            _ => panic!("{key} is of no kind that is known here"),
        };
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

/// One life of a caller, in which something of each kind is kept.
async fn lives(server: &Switchboard, tenant: &str) {
    let (http, url) = (client_of(person(tenant, "alice")), server.url("/mcp"));
    let session = Session::through(http.clone(), &url, VERSION, json!({})).await;
    let count = json!({"from": 2, "interval_ms": 10});
    let (_, stream) = session.stream_tool("countdown", count.clone()).await;
    assert_eq!(stream.rest().await.answers().len(), 1);
    let task = json!({"name": "countdown", "arguments": count, "task": {"ttl": 600_000}});
    let task = session.call("tools/call", task).await.result();
    let task = json!({"taskId": task["task"]["taskId"]});
    session.call("tasks/result", task).await.result();
    let echo = json!({"name": "echo", "arguments": {"text": "a"}, "_meta": {KEY: "a key"}});
    let client = Stateless::through(http, &url);
    assert_eq!(client.call("tools/call", echo).await.tool_text(), "a");
}

/// S1: keys carry whose they are. A second tenant with the same names and numbers leaves as many new ones
/// of each kind as the first.
#[tokio::test]
async fn no_key_of_the_store_is_of_two_tenants() {
    let redis = Redis::start().await;
    let config = format!(
        "{}[cluster]\nkeys = [{:?}]\n[limits]\nper_user = \"1000/h\"\nper_tenant = \"1000/h\"\n\
         per_tool = {{ echo = \"1000/h\", countdown = \"1000/h\" }}\n",
        asked(),
        "0a1b2c3d".repeat(8),
    );
    let setup = Switchboard::with().config(&config).store_url(&redis.url());
    let server = setup.variable(VARIABLE.0, VARIABLE.1).start().await;

    lives(&server, "t1").await;
    let kinds = 7;
    let first = eventually("something of each kind is kept", async || {
        let kept = kept(&redis).await;
        println!("-- {kept:?}");
        (kept.len() == kinds && kept["a bucket"] == 4).then_some(kept)
    })
    .await;
    lives(&server, "t2").await;

    let twice = first.iter().map(|(kind, count)| (*kind, 2 * count));
    let twice = twice.collect::<BTreeMap<_, _>>();
    eventually("as much is kept again", async || {
        let kept = kept(&redis).await;
        println!("-- {kept:?}");
        (kept == twice).then_some(())
    })
    .await;
}
