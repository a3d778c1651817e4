//! Our client over HTTP+SSE: found by itself, spoken in every revision of the era, and never more
//! trusted than it should be.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::client::{Builder, Client, ClientError, Limits, Refusal, Request, Speak};
use switchboard::protocol::raw::RawJson;
use switchboard::protocol::version::ProtocolVersion;
use switchboard::runtime::tasks::Tasks;

use crate::world::scripted::{Script, Scripted};
use crate::world::{SESSION_ERA, Switchboard, eventually, within};

fn builder() -> Builder {
    Client::builder(Tasks::on(tokio::runtime::Handle::current()))
}

fn call(tool: &str, arguments: &Value) -> Request {
    Request::call(tool, Some(&RawJson::of(arguments)))
}

fn text(result: &RawJson) -> String {
    let result: Value = serde_json::from_str(result.as_str()).unwrap();
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

/// A server that soon notices when a client has left.
async fn attentive() -> Switchboard {
    let setup = Switchboard::with();
    setup
        .config("[streams]\nheartbeat = \"100ms\"")
        .start()
        .await
}

async fn connect(builder: Builder, server: &Switchboard) -> Client {
    let url = server.url("/sse");
    within("it connects", builder.http(&url)).await.unwrap()
}

async fn no_session_is_left(server: &Switchboard) {
    eventually("no session is left", async || {
        (server.metric("mcp_active_sessions").await == 0.0).then_some(())
    })
    .await;
}

/// basic/transports (2024-11-05), HTTP with SSE; basic/lifecycle (each revision), negotiation.
#[tokio::test]
async fn every_revision_of_the_era_is_spoken_over_http_sse() {
    let server = attentive().await;
    for version in SESSION_ERA {
        let told = Arc::new(Mutex::new(Vec::new()));
        let steps = told.clone();
        let pinned = Speak::Version(ProtocolVersion::parse(version).unwrap());
        let builder = builder()
            .speak(pinned)
            .on_notice(move |notice| steps.lock().unwrap().push(notice.method))
            .on_elicitation(|_| async {
                let answer = json!({"action": "accept", "content": {"name": "Ada"}});
                Ok::<_, Refusal>(RawJson::of(&answer))
            });
        let client = connect(builder, &server).await;
        assert_eq!(client.version().as_str(), version);

        let counted = client.request(call("countdown", &json!({"from": 3, "interval_ms": 1})));
        let counted = within("it counts", counted).await.unwrap();
        assert_eq!(text(&counted), "counted down from 3: liftoff");
        let progress = told.lock().unwrap().clone();
        assert_eq!(progress, ["notifications/progress"; 3]);

        // Forms came with 2025-06-18.
        if version >= "2025-06-18" {
            let greeted = client.request(call("ask_name", &json!({})));
            let greeted = within("it asks", greeted).await.unwrap();
            assert_eq!(text(&greeted), "Hello, Ada!");
        }
        within("it ends", client.close()).await;
        no_session_is_left(&server).await;
    }
}

/// 2026-07-28 basic/versioning, clients of both eras: what it refuses says what it is.
#[tokio::test]
async fn a_server_that_has_only_http_sse_is_found_by_itself() {
    let server = attentive().await;
    let client = connect(builder(), &server).await;
    assert_eq!(client.version().as_str(), "2025-11-25");
    let said = client.request(call("echo", &json!({"text": "hello"})));
    assert_eq!(text(&within("it answers", said).await.unwrap()), "hello");
    drop(client);
    no_session_is_left(&server).await;
}

/// basic/utilities/cancellation.
#[tokio::test]
async fn a_call_that_is_given_up_is_cancelled_over_http_sse() {
    let server = Switchboard::start().await;
    let client = connect(builder(), &server).await;
    let running = async || server.metric("mcp_running_calls").await;
    let long = client.request(call("countdown", &json!({"from": 100_000})));
    let begun = eventually("it runs", async || (running().await == 1.0).then_some(()));
    tokio::select! {
        ended = long => panic!("{ended:?}"),
        () = begun => {}
    }
    eventually("it ends", async || (running().await == 0.0).then_some(())).await;
    let said = client.request(call("echo", &json!({"text": "still here"})));
    assert_eq!(
        text(&within("it answers", said).await.unwrap()),
        "still here"
    );
}

#[tokio::test]
async fn a_stream_that_ends_in_a_call_leaves_its_outcome_unknown() {
    let mut server = Switchboard::start().await;
    let client = connect(builder(), &server).await;
    let long = call("countdown", &json!({"from": 100_000}));
    let crash = async {
        eventually("it runs", async || {
            (server.metric("mcp_running_calls").await == 1.0).then_some(())
        })
        .await;
        server.crash().await;
    };
    let (ended, ()) = tokio::join!(within("it ends", client.request(long)), crash);
    let error = ended.unwrap_err();
    assert!(
        matches!(&error, ClientError::OutcomeUnknown { method, .. } if method == "tools/call"),
        "{error}"
    );
    let later = client.request(call("echo", &json!({"text": "hello"})));
    let error = within("it fails", later).await.unwrap_err();
    assert!(matches!(error, ClientError::Closed(_)), "{error}");
}

#[tokio::test]
async fn an_event_beyond_the_limit_ends_the_connection() {
    let server = attentive().await;
    let limits = Limits {
        message: 10_000,
        ..Limits::default()
    };
    let client = connect(builder().limits(limits), &server).await;
    let much = call("echo", &json!({"text": "x".repeat(20_000)}));
    let error = within("it fails", client.request(much)).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Overlong { max: 10_000 }),
        "{error}"
    );
    let later = client.request(call("echo", &json!({"text": "hello"})));
    let error = within("it fails", later).await.unwrap_err();
    assert!(matches!(error, ClientError::Closed(_)), "{error}");
    no_session_is_left(&server).await;
}

/// Connects to a server that refuses every POST and answers a GET with this.
async fn refused(stream: Script) -> (ClientError, Scripted) {
    let server = Scripted::start(move |request| match &*request.verb {
        "GET" => stream.clone(),
        _ => Script::Bare(405),
    })
    .await;
    let client = builder()
        .timeout(Duration::from_millis(500))
        .http(&server.url);
    let error = within("it fails", client).await.unwrap_err();
    (error, server)
}

#[tokio::test]
async fn a_stream_that_does_not_say_where_to_post_is_refused() {
    for (stream, says) in [
        ("data: {}\n\n", "does not say first where to post"),
        ("event: endpoint\ndata: http://[\n\n", "no URL"),
        ("", "ended before"),
    ] {
        let (error, server) = refused(Script::Stream(stream.into())).await;
        assert!(matches!(error, ClientError::Protocol(_)), "{error}");
        assert!(error.to_string().contains(says), "{stream:?}: {error}");
        assert_eq!(server.heard(|heard| heard.verb == "POST").len(), 2);
    }
}

/// Credentials are for one server.
#[tokio::test]
async fn nothing_is_posted_to_another_server() {
    let other = Scripted::start(|_| Script::Bare(202)).await;
    let stream = format!("event: endpoint\ndata: {}\n\n", other.url);
    let (error, _server) = refused(Script::Stream(stream)).await;
    assert!(error.to_string().contains("another server"), "{error}");
    assert!(other.heard(|_| true).is_empty());
}

/// Where there is no stream either, what is told is how the handshake was refused.
#[tokio::test]
async fn a_server_that_speaks_neither_transport_is_told_by_its_refusal() {
    for no_stream in [Script::Bare(400), Script::Bare(503), Script::Nothing] {
        let (error, _server) = refused(no_stream).await;
        assert!(
            matches!(error, ClientError::Status { status: 405, .. }),
            "{error}"
        );
    }
}
