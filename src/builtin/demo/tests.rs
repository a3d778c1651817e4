//! The demonstration tools do what they say.

use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::identity::Caller;
use crate::protocol::capabilities::ClientCapabilities;
use crate::protocol::client_request::ClientRequest;
use crate::protocol::jsonrpc::{Params, ProgressToken, RequestId};
use crate::protocol::logging::LogLevel;
use crate::protocol::method::Method;
use crate::protocol::notification::ServerNotification;
use crate::protocol::raw::RawJson;
use crate::protocol::subscription::SubscriptionFilter;
use crate::protocol::version::ProtocolVersion;
use crate::runtime::clock::Timestamp;
use crate::runtime::seal::ClusterKeys;
use crate::service::{
    AskError, Call, CallContext, Client, Deadline, Ongoing, Outlet, Reply, Service, ServiceError,
};

#[derive(Debug, Default)]
struct Recorder {
    heard: Mutex<Vec<Value>>,
    answer: Value,
}

impl Outlet for Recorder {
    fn notify(&self, notification: ServerNotification) -> BoxFuture<'_, ()> {
        self.heard
            .lock()
            .unwrap()
            .push(notification.params.to_value());
        Box::pin(std::future::ready(()))
    }

    fn wants_log(&self, _: LogLevel) -> bool {
        false
    }

    fn ask(&self, _: ClientRequest) -> BoxFuture<'_, Result<RawJson, AskError>> {
        Box::pin(std::future::ready(Ok(RawJson::of(&self.answer))))
    }

    fn release_connection(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn served() -> Server {
    demo(&Clock::manual(Timestamp(1_785_196_800_250)))
        .build(&ClusterKeys::generate())
        .unwrap()
}

async fn call(
    outlet: &Arc<Recorder>,
    cancel: CancellationToken,
    method: &str,
    params: Value,
) -> Result<Reply, ServiceError> {
    let declared = json!({"elicitation": {}, "sampling": {}});
    let call = Call {
        method: Method::parse(method),
        params: Params::new(RawJson::of(&params)),
        context: CallContext {
            caller: Arc::new(Caller::local()),
            origin: Arc::default(),
            credential: None,
            endpoint: "main".into(),
            session: None,
            version: ProtocolVersion::V2025_11_25,
            client: Arc::new(Client {
                capabilities: ClientCapabilities::parse(RawJson::of(&declared)).unwrap(),
                info: None,
            }),
            progress_token: Some(ProgressToken(RequestId::Number(1))),
            cancel,
            deadline: Deadline::after(Duration::from_secs(600)),
            outlet: Arc::<Recorder>::clone(outlet),
            ongoing: Ongoing::default(),
        },
    };
    served().call(call).await
}

async fn tool(outlet: &Arc<Recorder>, name: &str, arguments: Value) -> String {
    let params = json!({"name": name, "arguments": arguments});
    let reply = call(outlet, CancellationToken::new(), "tools/call", params)
        .await
        .unwrap();
    let text = &reply.members.to_value()["content"][0]["text"];
    text.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn echo_comes_first_and_gives_back() {
    let quiet = Arc::default();
    let list = call(&quiet, CancellationToken::new(), "tools/list", json!({}))
        .await
        .unwrap();
    assert_eq!(list.members.to_value()["tools"][0]["name"], "echo");
    assert_eq!(tool(&quiet, "echo", json!({"text": "a"})).await, "a");
}

#[tokio::test(start_paused = true)]
async fn stream_counts_and_tells_the_time() {
    for interval_us in [0, 250, 5_000] {
        let outlet = Arc::default();
        let arguments = json!({"count": 5, "interval_us": interval_us});
        assert_eq!(tool(&outlet, "stream", arguments).await, "done");
        let heard = outlet.heard.lock().unwrap();
        let progress = heard
            .iter()
            .map(|params| params["progress"].as_f64().unwrap());
        assert_eq!(progress.collect::<Vec<_>>(), [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!(
            heard
                .iter()
                .all(|params| params["message"] == "1785196800250000")
        );
    }
    let outlet = Arc::default();
    let told = tool(&outlet, "stream", json!({"count": 1_000_001})).await;
    assert!(told.starts_with("invalid arguments"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn countdown_lifts_off_or_stops() {
    let outlet = Arc::default();
    let told = tool(&outlet, "countdown", json!({"from": 3})).await;
    assert_eq!(told, "counted down from 3: liftoff");
    assert_eq!(outlet.heard.lock().unwrap().len(), 3);
    let cancel = CancellationToken::new();
    let params = json!({"name": "countdown", "arguments": {"from": 100}});
    let stop = async {
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        cancel.cancel();
    };
    let (reply, ()) = tokio::join!(call(&outlet, cancel.clone(), "tools/call", params), stop);
    assert!(reply.unwrap().members.as_str().contains("stopped at 98"));
}

#[tokio::test]
async fn a_name_or_none_is_answered_politely() {
    for (answer, told) in [
        (
            json!({"action": "accept", "content": {"name": "Ada"}}),
            "Hello, Ada!",
        ),
        (json!({"action": "decline"}), "That is fine, no name then."),
        (json!({"action": "cancel"}), "Another time, perhaps."),
    ] {
        let outlet = Arc::new(Recorder {
            answer,
            ..Recorder::default()
        });
        assert_eq!(tool(&outlet, "ask_name", json!({})).await, told);
    }
    let answer = json!({"role": "assistant", "model": "m",
                        "content": {"type": "text", "text": "Short."}});
    let outlet = Arc::new(Recorder {
        answer,
        ..Recorder::default()
    });
    assert_eq!(
        tool(&outlet, "summarize", json!({"text": "Long."})).await,
        "Short."
    );
}

#[tokio::test(start_paused = true)]
async fn the_clock_is_read_and_announced() {
    let quiet = Arc::default();
    let uri = json!({"uri": CLOCK_URI});
    let read = call(&quiet, CancellationToken::new(), "resources/read", uri)
        .await
        .unwrap();
    let contents = &read.members.to_value()["contents"][0];
    assert_eq!(contents["text"], "2026-07-28T00:00:00Z");
    assert_eq!(contents["mimeType"], "text/plain");
    let server = served();
    let filter = SubscriptionFilter {
        resource_subscriptions: [CLOCK_URI.to_owned()].into(),
        ..SubscriptionFilter::default()
    };
    let watch = server
        .watch(&Arc::new(Caller::local()), filter)
        .await
        .unwrap();
    tokio::select! {
        () = server.background() => panic!("it runs for life"),
        changed = watch.changed() => assert_eq!(changed.len(), 1),
    }
}
