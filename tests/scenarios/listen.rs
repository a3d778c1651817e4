//! Subscriptions of the stateless era: acknowledged first, under the id of their request, and only
//! what was asked for.
//!
//! Spec: 2026-07-28 basic/patterns/subscriptions.

use serde_json::{Value, json};

use crate::world::{Answer, EventStream, Stateless, Switchboard, eventually, within};

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
const LISTENING: &str = r#"mcp_open_streams{kind="listen"}"#;

/// The set whose lists can be made to change.
async fn changing() -> Switchboard {
    let setup = Switchboard::with().builtin("conformance");
    setup
        .config("[streams]\nheartbeat = \"100ms\"")
        .start()
        .await
}

/// Opens a stream under this id and reads its acknowledgement. Returns what is honoured.
async fn listen(client: &Stateless, id: Value, filter: Value) -> (EventStream, Value) {
    let mut message = client.message("subscriptions/listen", json!({"notifications": filter}));
    message["id"] = id.clone();
    let response = within("the stream begins", client.request(&message).send()).await;
    let response = response.expect("the server answers");
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(headers["x-accel-buffering"], "no");
    assert_eq!(headers.get("mcp-session-id"), None);
    let mut stream = EventStream::of(response);
    let first = stream.next().await.expect("the stream says something");
    assert_eq!(
        (&first.id, first.retry),
        (&None, None),
        "nothing to come back to"
    );
    assert_eq!(first.method(), "notifications/subscriptions/acknowledged");
    let params = first.json()["params"].take();
    assert_eq!(params["_meta"][SUBSCRIPTION], id);
    (stream, params["notifications"].clone())
}

async fn change_tools(client: &Stateless) {
    let answer = client.tool("test_trigger_tool_change", json!({})).await;
    assert_eq!(answer.tool_text(), "The list of tools changed");
}

async fn change_prompts(client: &Stateless) {
    let answer = client.tool("test_trigger_prompt_change", json!({})).await;
    assert_eq!(answer.tool_text(), "The list of prompts changed");
}

/// The next message is this notification of the subscription with this id.
async fn tells(stream: &mut EventStream, method: &str, id: &Value) {
    let message = stream.message().await;
    assert_eq!(message["method"], method);
    assert_eq!(&message["params"]["_meta"][SUBSCRIPTION], id);
    assert_eq!(message.get("id"), None, "a notification has none");
}

/// The stream ends with the result of its request, and then for good.
async fn ends_with_its_result(stream: EventStream, id: &Value) {
    let events = stream.rest().await;
    let last = events.last().expect("there is a last message").json();
    assert_eq!(&last["id"], id);
    assert_eq!(last["result"]["resultType"], "complete");
    assert_eq!(&last["result"]["_meta"][SUBSCRIPTION], id);
    assert_eq!(last["result"].get("ttlMs"), None);
}

/// Acknowledgement; ids keep their JSON type.
#[tokio::test]
async fn a_subscription_speaks_under_the_id_of_its_request() {
    let server = changing().await;
    let client = server.stateless();
    let filter = json!({"toolsListChanged": true});

    for id in [
        json!(7),
        json!("7"),
        json!(""),
        json!(-9_007_199_254_740_991_i64),
    ] {
        let (mut stream, honoured) = listen(&client, id.clone(), filter.clone()).await;
        assert_eq!(honoured, filter);

        change_tools(&client).await;

        tells(&mut stream, "notifications/tools/list_changed", &id).await;
    }
}

/// Filters: nothing that was not asked for is told.
#[tokio::test]
async fn only_what_was_asked_for_is_told() {
    let server = changing().await;
    let client = server.stateless();
    let id = json!("prompts only");
    let filter = json!({"promptsListChanged": true, "toolsListChanged": false});
    let (mut stream, honoured) = listen(&client, id.clone(), filter).await;
    assert_eq!(honoured, json!({"promptsListChanged": true}));

    change_tools(&client).await;
    change_prompts(&client).await;

    tells(&mut stream, "notifications/prompts/list_changed", &id).await;
}

/// Filters: what cannot be honoured is left out of the acknowledgement.
#[tokio::test]
async fn what_is_not_supported_is_not_acknowledged() {
    let server = changing().await;
    let filter = json!({"toolsListChanged": true, "sunrise": true});

    let (_stream, honoured) = listen(&server.stateless(), json!(1), filter).await;

    assert_eq!(honoured, json!({"toolsListChanged": true}));
}

/// Resource subscriptions.
#[tokio::test]
async fn a_watched_resource_is_told_each_time_it_changes() {
    let server = Switchboard::start().await;
    let id = json!(3);
    let filter = json!({"resourceSubscriptions": ["clock://now"]});

    let (mut stream, honoured) = listen(&server.stateless(), id.clone(), filter.clone()).await;

    assert_eq!(honoured, filter);
    for _ in 0..2 {
        let message = stream.message().await;
        assert_eq!(message["method"], "notifications/resources/updated");
        assert_eq!(message["params"]["uri"], "clock://now");
        assert_eq!(message["params"]["_meta"][SUBSCRIPTION], id);
    }
}

/// Listening: `notifications` is required, and everything in it has its type.
#[tokio::test]
async fn a_filter_that_cannot_be_read_is_an_invalid_parameter() {
    let server = Switchboard::start().await;
    let client = server.stateless();

    for params in [
        json!({}),
        json!({"notifications": null}),
        json!({"notifications": []}),
        json!({"notifications": "all"}),
        json!({"notifications": {"toolsListChanged": "yes"}}),
        json!({"notifications": {"toolsListChanged": 1}}),
        json!({"notifications": {"resourceSubscriptions": "clock://now"}}),
        json!({"notifications": {"resourceSubscriptions": [1]}}),
    ] {
        let answer = client.call("subscriptions/listen", params.clone()).await;
        assert_eq!((answer.status, answer.code()), (200, -32602), "{params}");
        assert!(!answer.is_stream(), "{params}");
    }
    assert_eq!(server.metric(LISTENING).await, 0.0);
}

/// Listening: a stream that can never say anything ends at once.
#[tokio::test]
async fn a_filter_that_asks_for_nothing_ends_with_its_result() {
    let server = Switchboard::start().await;
    let client = server.stateless();

    for filter in [
        json!({}),
        json!({"toolsListChanged": false}),
        json!({"sunrise": true}),
    ] {
        let id = json!("nothing");
        let (stream, honoured) = listen(&client, id.clone(), filter).await;
        assert_eq!(honoured, json!({}));
        ends_with_its_result(stream, &id).await;
    }
}

/// Several subscriptions: each has its own filter, id and end.
#[tokio::test]
async fn two_subscriptions_go_their_own_ways() {
    let server = changing().await;
    let client = server.stateless();
    let (one, other) = (json!(1), json!("1"));
    let (mut first, _) = listen(&client, one.clone(), json!({"toolsListChanged": true})).await;
    let (mut second, _) = listen(&client, other.clone(), json!({"promptsListChanged": true})).await;

    for _ in 0..3 {
        change_tools(&client).await;
        change_prompts(&client).await;
        tells(&mut first, "notifications/tools/list_changed", &one).await;
        tells(&mut second, "notifications/prompts/list_changed", &other).await;
    }
    drop(first);
    eventually("the closed one is gone", || async {
        (server.metric(LISTENING).await == 1.0).then_some(())
    })
    .await;

    for _ in 0..10 {
        change_prompts(&client).await;
        tells(&mut second, "notifications/prompts/list_changed", &other).await;
    }
}

/// The same id on two connections: subscriptions are told apart by their streams.
#[tokio::test]
async fn two_clients_may_listen_under_the_same_id() {
    let server = changing().await;
    let (one, other) = (server.stateless(), server.stateless());
    let id = json!(1);
    let (mut first, _) = listen(&one, id.clone(), json!({"toolsListChanged": true})).await;
    let (mut second, _) = listen(&other, id.clone(), json!({"promptsListChanged": true})).await;

    change_tools(&one).await;
    change_prompts(&one).await;

    tells(&mut first, "notifications/tools/list_changed", &id).await;
    tells(&mut second, "notifications/prompts/list_changed", &id).await;
}

/// Many changes: notices may be gathered, but the last change is never missed.
#[tokio::test]
async fn after_many_changes_the_last_is_still_told() {
    let server = changing().await;
    let client = server.stateless();
    let id = json!("busy");
    let filter = json!({"toolsListChanged": true, "promptsListChanged": true});
    let (mut stream, _) = listen(&client, id.clone(), filter).await;

    for _ in 0..100 {
        change_tools(&client).await;
    }
    change_prompts(&client).await;

    let mut told = 0;
    loop {
        let message = stream.message().await;
        assert_eq!(message["params"]["_meta"][SUBSCRIPTION], id);
        if message["method"] == "notifications/prompts/list_changed" {
            break;
        }
        assert_eq!(message["method"], "notifications/tools/list_changed");
        told += 1;
    }
    // A change of the list is two here: a tool comes and goes.
    assert!((1..=200).contains(&told), "{told}");
}

/// server/utilities/logging, basic/utilities/progress: those belong to their request's stream.
#[tokio::test]
async fn progress_and_log_lines_never_travel_on_a_subscription() {
    let server = changing().await;
    let client = server.stateless();
    let id = json!(1);
    let (mut stream, _) = listen(&client, id.clone(), json!({"toolsListChanged": true})).await;

    for tool in ["test_tool_with_progress", "test_tool_with_logging"] {
        let meta = json!({"progressToken": 1, "io.modelcontextprotocol/logLevel": "debug"});
        let params = json!({"name": tool, "arguments": {}, "_meta": meta});
        let message = client.message("tools/call", params);
        let answer = client.send(client.request(&message)).await;
        assert!(answer.events().len() > 1, "{tool} tells something");
    }
    change_tools(&client).await;

    tells(&mut stream, "notifications/tools/list_changed", &id).await;
}

/// The end of a subscription: a server that stops says so.
#[tokio::test]
async fn a_server_that_stops_closes_subscriptions_with_their_result() {
    let mut server = changing().await;
    let client = server.stateless();
    let filter = json!({"toolsListChanged": true});
    let (first, _) = listen(&client, json!(1), filter.clone()).await;
    let (second, _) = listen(&client, json!("2"), filter).await;

    let status = server.stop().await;

    assert!(status.success(), "{status}");
    ends_with_its_result(first, &json!(1)).await;
    ends_with_its_result(second, &json!("2")).await;
}

/// The end of a subscription: closing the stream is enough.
#[tokio::test]
async fn a_closed_stream_is_forgotten() {
    let server = changing().await;
    let client = server.stateless();
    let (stream, _) = listen(&client, json!(1), json!({"toolsListChanged": true})).await;
    assert_eq!(server.metric(LISTENING).await, 1.0);

    drop(stream);

    eventually("the stream is forgotten", || async {
        (server.metric(LISTENING).await == 0.0).then_some(())
    })
    .await;
}

/// A silent subscription shows that it lives.
#[tokio::test]
async fn a_silent_subscription_sends_comments() {
    let server = changing().await;
    let filter = json!({"promptsListChanged": true});
    let (mut stream, _) = listen(&server.stateless(), json!(1), filter).await;

    for _ in 0..3 {
        stream.heartbeat().await;
    }
}

/// RFC 9110 section 15.6.4: too many streams are refused before anything is promised.
#[tokio::test]
async fn a_subscription_too_many_is_refused_with_a_time_to_come_back() {
    let config = "[streams]\nmax = 1\nheartbeat = \"100ms\"";
    let setup = Switchboard::with().builtin("conformance").config(config);
    let server = setup.start().await;
    let client = server.stateless();
    let filter = json!({"toolsListChanged": true});
    let (mut first, _) = listen(&client, json!(1), filter.clone()).await;

    let params = json!({"notifications": filter});
    let answer = client.call("subscriptions/listen", params.clone()).await;

    assert_eq!((answer.status, answer.code()), (503, -32603));
    assert!(!answer.is_stream());
    let after: u64 = answer.header("retry-after").parse().expect("it is seconds");
    assert!(after >= 1);
    change_tools(&client).await;
    tells(&mut first, "notifications/tools/list_changed", &json!(1)).await;

    drop(first);
    let message = client.message("subscriptions/listen", params);
    eventually("there is room again", || async {
        let response = within("the answer begins", client.request(&message).send()).await;
        let response = response.expect("the server answers");
        if response.status() == 200 {
            return Some(());
        }
        assert_eq!(Answer::read(response).await.code(), -32603);
        None
    })
    .await;
}
