//! The official Rust SDK as a client, unchanged: HTTP and stdio, with and without a handshake.
//!
//! By default it shakes hands and names 2026-07-28 there, a revision that has no handshake: it must
//! get our newest one that has.

#![expect(
    deprecated,
    reason = "the SDK marks sampling so, and hosts still offer it"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientConfig, ClientRequest, CreateMessageRequestParams,
    CreateMessageResult, ElicitRequestParams, ElicitResult, ElicitationAction, ErrorData,
    GetPromptRequestParams, Implementation, ProgressNotificationParam, ProtocolVersion,
    ReadResourceRequestParams, Request,
};
use rmcp::service::{NotificationContext, PeerRequestOptions, RequestContext, RunningService};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{
    ClientHandler, ClientLifecycleMode, ClientServiceExt as _, RoleClient, ServiceExt as _,
};
use serde_json::{Value, json};

use crate::world::server::binary;
use crate::world::{Switchboard, eventually, within};

/// A host with a user called Ada and a model of few words.
#[derive(Clone, Debug, Default)]
struct Host {
    progress: Arc<AtomicUsize>,
}

type Connected = RunningService<RoleClient, Host>;

/// Builds a value of the SDK from the JSON it has on the wire.
fn of_json<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("the SDK knows this shape")
}

impl ClientHandler for Host {
    fn get_info(&self) -> ClientConfig {
        let capabilities = of_json(json!({"elicitation": {}, "sampling": {}}));
        ClientConfig::new(capabilities, Implementation::new("scenario", "1"))
    }

    async fn create_elicitation(
        &self,
        _form: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(json!({"name": "Ada"})))
    }

    async fn create_message(
        &self,
        _params: CreateMessageRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        Ok(of_json(
            json!({"role": "assistant", "model": "test-model", "stopReason": "endTurn",
            "content": {"type": "text", "text": "a short summary"}}),
        ))
    }

    async fn on_progress(
        &self,
        _params: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        self.progress.fetch_add(1, Ordering::SeqCst);
    }
}

fn newest() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
    }
}

fn asking() -> ClientLifecycleMode {
    ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: None,
    }
}

fn child() -> TokioChildProcess {
    let mut command = tokio::process::Command::new(binary());
    command.arg("stdio");
    TokioChildProcess::new(command).expect("the server can be started")
}

fn text_of(result: &CallToolResult) -> String {
    assert_ne!(result.is_error, Some(true), "{result:?}");
    let text = result.content.first().and_then(|block| block.as_text());
    text.expect("the first block is text").text.clone()
}

fn call(name: &'static str, arguments: Value) -> CallToolRequestParams {
    CallToolRequestParams::new(name).with_arguments(of_json(arguments))
}

async fn tool(client: &Connected, name: &'static str, arguments: Value) -> String {
    let called = client.call_tool(call(name, arguments));
    text_of(&within("the tool answers", called).await.expect(name))
}

/// Everything a host does, and a call it gives up in the middle.
async fn everything_works(client: &Connected) {
    let tools = client.list_all_tools().await.expect("tools are listed");
    assert!(tools.iter().any(|tool| tool.name == "echo"));
    let echoed = tool(client, "echo", json!({"text": "hello ☃"})).await;
    assert_eq!(echoed, "hello ☃");

    let seen = client.service().progress.load(Ordering::SeqCst);
    tool(client, "countdown", json!({"from": 4, "interval_ms": 20})).await;
    eventually("progress was told", || async {
        let now = client.service().progress.load(Ordering::SeqCst);
        (now >= seen + 4).then_some(())
    })
    .await;

    assert_eq!(tool(client, "ask_name", json!({})).await, "Hello, Ada!");
    let summary = tool(client, "summarize", json!({"text": "a long story"})).await;
    assert_eq!(summary, "a short summary");

    let read = client.read_resource(ReadResourceRequestParams::new("clock://now"));
    let read = read.await.expect("the clock is read");
    assert_eq!(read.contents.len(), 1);
    let greet =
        GetPromptRequestParams::new("greet").with_arguments(of_json(json!({"name": "Ada"})));
    let prompt = client.get_prompt(greet).await.expect("the prompt is given");
    let prompt = serde_json::to_string(&prompt.messages).expect("messages are JSON");
    assert!(prompt.contains("Ada"), "{prompt}");

    let long = call("countdown", json!({"from": 1_000, "interval_ms": 50}));
    let seen = client.service().progress.load(Ordering::SeqCst);
    let request = ClientRequest::CallToolRequest(Request::new(long));
    let running = client
        .send_cancellable_request(request, PeerRequestOptions::no_options())
        .await
        .expect("the call is sent");
    eventually("the call runs", || async {
        let now = client.service().progress.load(Ordering::SeqCst);
        (now > seen).then_some(())
    })
    .await;
    running
        .cancel(Some("never mind".to_owned()))
        .await
        .expect("the call is given up");
    let echoed = tool(client, "echo", json!({"text": "still here"})).await;
    assert_eq!(echoed, "still here");
}

/// The cancelled call has ended, and nothing else is left behind.
async fn nothing_is_left(server: &Switchboard, era: &str) {
    let cancelled =
        format!(r#"mcp_requests_total{{method="tools/call",era="{era}",outcome="cancelled"}}"#);
    eventually("the call was cancelled and nothing is left", || async {
        let left =
            server.metric("mcp_running_calls").await + server.metric("mcp_active_sessions").await;
        (server.metric(&cancelled).await == 1.0 && left == 0.0).then_some(())
    })
    .await;
}

/// 2025-11-25 basic/lifecycle, version negotiation: what has no handshake is not negotiated.
#[tokio::test]
async fn the_rust_sdk_shakes_hands_over_http_though_it_names_a_revision_without() {
    let server = Switchboard::start().await;
    let transport = StreamableHttpClientTransport::from_uri(server.url("/mcp"));

    let client = within("it connects", Host::default().serve(transport)).await;
    let client = client.expect("the handshake succeeds");

    let version = client
        .peer_info()
        .expect("we told")
        .protocol_version
        .clone();
    assert_eq!(version, ProtocolVersion::V_2025_11_25);
    everything_works(&client).await;
    client.cancel().await.expect("it leaves");
    nothing_is_left(&server, "session").await;
}

/// Opens a connection without a handshake over HTTP, and takes every step.
async fn stateless_over_http(opening: ClientLifecycleMode) {
    let server = Switchboard::start().await;
    let transport = StreamableHttpClientTransport::from_uri(server.url("/mcp"));

    let connecting = Host::default().serve_with_lifecycle(transport, opening);
    let client = within("it connects", connecting).await;
    let client = client.expect("discovery succeeds");

    let version = client
        .peer_info()
        .expect("we told")
        .protocol_version
        .clone();
    assert_eq!(version, ProtocolVersion::V_2026_07_28);
    everything_works(&client).await;
    client.cancel().await.expect("it leaves");
    nothing_is_left(&server, "stateless").await;
    assert_eq!(server.metric("mcp_sessions_opened_total").await, 0.0);
}

/// 2026-07-28 basic/transports/streamable-http.
#[tokio::test]
async fn the_rust_sdk_works_over_http_without_a_handshake() {
    stateless_over_http(newest()).await;
}

/// 2026-07-28 basic/versioning, probing.
#[tokio::test]
async fn the_rust_sdk_finds_the_newest_revision_by_asking_over_http() {
    stateless_over_http(asking()).await;
}

/// 2025-11-25 basic/transports, stdio.
#[tokio::test]
async fn the_rust_sdk_shakes_hands_over_stdio() {
    let client = within("it connects", Host::default().serve(child())).await;
    let client = client.expect("the handshake succeeds");

    everything_works(&client).await;
    client.cancel().await.expect("it leaves");
}

/// Opens a connection without a handshake over stdio, and takes every step.
async fn stateless_over_stdio(opening: ClientLifecycleMode) {
    let connecting = Host::default().serve_with_lifecycle(child(), opening);
    let client = within("it connects", connecting).await;
    let client = client.expect("discovery succeeds");

    let told = client.peer_info().expect("we told");
    assert_eq!(told.protocol_version, ProtocolVersion::V_2026_07_28);
    everything_works(&client).await;
    client.cancel().await.expect("it leaves");
}

/// 2026-07-28 basic/transports/stdio.
#[tokio::test]
async fn the_rust_sdk_works_over_stdio_without_a_handshake() {
    stateless_over_stdio(newest()).await;
}

/// 2026-07-28 basic/versioning, probing.
#[tokio::test]
async fn the_rust_sdk_finds_the_newest_revision_by_asking_over_stdio() {
    stateless_over_stdio(asking()).await;
}
