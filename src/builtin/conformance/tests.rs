//! The set does what the suite looks for, on both wires.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::protocol::capabilities::ClientCapabilities;
use crate::protocol::client_request::ClientRequest;
use crate::protocol::jsonrpc::{Params, ProgressToken, RequestId};
use crate::protocol::logging::LogLevel;
use crate::protocol::method::Method;
use crate::protocol::notification::ServerNotification;
use crate::protocol::raw::RawJson;
use crate::protocol::subscription::{Change, SubscriptionFilter};
use crate::protocol::version::ProtocolVersion::{self, V2025_11_25, V2026_07_28};
use crate::runtime::seal::ClusterKeys;
use crate::service::{
    AskError, Call, CallContext, Client, Deadline, Ongoing, Outlet, Reply, ReplyKind, Service,
    ServiceError,
};

/// The suite's client: it answers each kind of question as the suite does.
#[derive(Debug, Default)]
struct Suite {
    heard: Mutex<Vec<Value>>,
    asked: Mutex<Vec<Value>>,
}

impl Outlet for Suite {
    fn notify(&self, notification: ServerNotification) -> BoxFuture<'_, ()> {
        self.heard
            .lock()
            .unwrap()
            .push(notification.params.to_value());
        Box::pin(std::future::ready(()))
    }

    fn wants_log(&self, _: LogLevel) -> bool {
        true
    }

    fn ask(&self, request: ClientRequest) -> BoxFuture<'_, Result<RawJson, AskError>> {
        let request = request.to_json().to_value();
        let answer = answer_to(&request);
        self.asked.lock().unwrap().push(request);
        Box::pin(std::future::ready(Ok(RawJson::of(&answer))))
    }

    fn release_connection(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn answer_to(request: &Value) -> Value {
    match request["method"].as_str() {
        Some("sampling/createMessage") => json!({
            "role": "assistant",
            "content": {"type": "text", "text": "This is a test response from the client"},
            "model": "test-model",
            "stopReason": "endTurn",
        }),
        Some("roots/list") => json!({"roots": [{"uri": "file:///test/root", "name": "Test Root"}]}),
        _elicitation => {
            let fields = request["params"]["requestedSchema"]["properties"]
                .as_object()
                .unwrap();
            let content = fields
                .iter()
                .map(|(name, field)| (name.clone(), answer_in(name, field)))
                .collect::<Value>();
            json!({"action": "accept", "content": content})
        }
    }
}

fn answer_in(name: &str, field: &Value) -> Value {
    match (name, field["type"].as_str()) {
        ("untitledSingle", _) => json!("option1"),
        ("titledSingle", _) => json!("value1"),
        ("legacyEnum", _) => json!("opt1"),
        ("untitledMulti", _) => json!(["option1", "option2"]),
        ("titledMulti", _) => json!(["value1", "value2"]),
        ("status", _) => json!("inactive"),
        (_, Some("boolean")) => json!(false),
        (_, Some("integer")) => json!(25),
        (_, Some("number")) => json!(88),
        _text => json!("Alice"),
    }
}

struct Caller {
    server: Server,
    version: ProtocolVersion,
    suite: Arc<Suite>,
    capabilities: Value,
}

impl Caller {
    fn new(version: ProtocolVersion) -> Self {
        Self {
            server: conformance(&Clock::system())
                .build(&ClusterKeys::generate())
                .unwrap(),
            version,
            suite: Arc::default(),
            capabilities: json!({"sampling": {}, "elicitation": {}, "roots": {}}),
        }
    }

    async fn call(&self, method: &str, params: Value) -> Result<Reply, ServiceError> {
        let capabilities = ClientCapabilities::parse(RawJson::of(&self.capabilities)).unwrap();
        let call = Call {
            method: Method::parse(method),
            params: Params::new(RawJson::of(&params)),
            context: CallContext {
                caller: Arc::new(crate::identity::Caller::local()),
                origin: Arc::default(),
                credential: None,
                endpoint: "main".into(),
                session: None,
                version: self.version,
                client: Arc::new(Client {
                    capabilities,
                    info: None,
                }),
                progress_token: Some(ProgressToken(RequestId::String("progress-test-1".into()))),
                cancel: CancellationToken::new(),
                deadline: Deadline::after(Duration::from_secs(10)),
                outlet: Arc::<Suite>::clone(&self.suite),
                ongoing: Ongoing::default(),
            },
        };
        self.server.call(call).await
    }

    async fn list(&self, method: &str, member: &str) -> Vec<Value> {
        let reply = self.call(method, json!({})).await.unwrap();
        reply.members.to_value()[member].as_array().unwrap().clone()
    }

    /// Calls a tool, answering its rounds as the suite does; gives every reply.
    async fn rounds(&self, method: &str, name: &str) -> Vec<Reply> {
        let mut replies = vec![self.call(method, json!({"name": name})).await.unwrap()];
        while let Some(last) = replies.last()
            && last.kind == ReplyKind::InputRequired
        {
            assert!(replies.len() < 5, "{name} comes to an end");
            let members = last.members.to_value();
            let answers = members["inputRequests"].as_object().unwrap().iter();
            let answers = answers
                .map(|(key, request)| (key.clone(), answer_to(request)))
                .collect::<Value>();
            let params = json!({"name": name, "inputResponses": answers,
                                "requestState": members["requestState"]});
            replies.push(self.call(method, params).await.unwrap());
        }
        replies
    }
}

fn first_text(reply: &Reply) -> String {
    let text = reply.members.to_value()["content"][0]["text"].clone();
    text.as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn lists_begin_with_what_the_suite_tries_first() {
    let suite = Caller::new(V2026_07_28);
    let tools = suite.list("tools/list", "tools").await;
    assert_eq!(tools[0]["name"], "test_simple_text");
    for tool in &tools {
        assert!(tool["description"].is_string(), "{tool}");
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        let properties = tool["inputSchema"]["properties"].as_object();
        let mut properties = properties.into_iter().flat_map(|all| all.values());
        assert!(properties.all(Value::is_object), "{tool}");
    }
    let resources = suite.list("resources/list", "resources").await;
    assert_eq!(resources[0]["uri"], "test://static-text");
    for prompt in suite.list("prompts/list", "prompts").await {
        assert!(prompt["description"].is_string(), "{prompt}");
    }
    assert_eq!(
        suite
            .list("resources/templates/list", "resourceTemplates")
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn every_tool_without_arguments_ends_well_on_both_wires() {
    for version in [V2025_11_25, V2026_07_28] {
        let suite = Caller::new(version);
        for tool in suite.list("tools/list", "tools").await {
            let name = tool["name"].as_str().unwrap();
            let special = [
                "json_schema_2020_12_tool",
                "failing_job",
                "protocol_error_job",
            ];
            if tool["inputSchema"]["required"].is_array() || special.contains(&name) {
                continue;
            }
            let replies = suite.rounds("tools/call", name).await;
            let result = replies.last().unwrap().members.to_value();
            let failed = result["isError"] == true;
            assert_eq!(failed, name == "test_error_handling", "{name}: {result}");
        }
    }
}

#[tokio::test]
async fn rounds_ask_under_the_keys_the_suite_knows() {
    let suite = Caller::new(V2026_07_28);
    for (name, keys, told) in [
        ("elicitation", vec![vec!["user_name"]], "Hello, Alice!"),
        ("sampling", vec![vec!["capital_question"]], "This is a test"),
        ("list_roots", vec![vec!["client_roots"]], "Roots: Test Root"),
        ("request_state", vec![vec!["confirm"]], "state-ok"),
        (
            "multiple_inputs",
            vec![vec!["client_roots", "greeting", "user_name"]],
            "Hello, Alice!",
        ),
        (
            "multi_round",
            vec![vec!["step1"], vec!["step2"]],
            "Alice likes Alice",
        ),
        ("tampered_state", vec![vec!["confirm"]], "Confirmed"),
        ("capabilities", vec![vec!["model"]], "This is a test"),
    ] {
        let name = format!("test_input_required_result_{name}");
        let replies = suite.rounds("tools/call", &name).await;
        let (done, asked) = replies.split_last().unwrap();
        let asked = asked
            .iter()
            .map(|reply| {
                let members = reply.members.to_value();
                let keys = members["inputRequests"].as_object().unwrap();
                keys.keys().cloned().collect::<Vec<_>>()
            })
            .collect::<Vec<_>>();
        assert_eq!(asked, keys, "{name}");
        assert!(
            first_text(done).starts_with(told),
            "{name}: {}",
            first_text(done)
        );
    }
    let prompt = suite
        .rounds("prompts/get", "test_input_required_result_prompt")
        .await;
    assert_eq!(prompt.len(), 2);
    assert!(prompt[1].members.to_value()["messages"].is_array());
}

#[tokio::test]
async fn sessions_are_asked_with_the_schemas_the_suite_checks() {
    let suite = Caller::new(V2025_11_25);
    for (name, arguments, told) in [
        (
            "test_sampling",
            json!({"prompt": "p"}),
            "LLM response: This is a test",
        ),
        (
            "test_elicitation",
            json!({"message": "m"}),
            "User response: accept, content: {",
        ),
        (
            "test_elicitation_sep1034_defaults",
            json!({}),
            "Elicitation completed: action=accept",
        ),
        (
            "test_elicitation_sep1330_enums",
            json!({}),
            "Elicitation completed: action=accept",
        ),
    ] {
        let params = json!({"name": name, "arguments": arguments});
        let reply = suite.call("tools/call", params).await.unwrap();
        assert!(
            first_text(&reply).starts_with(told),
            "{}",
            first_text(&reply)
        );
    }
    let asked = suite.suite.asked.lock().unwrap();
    let defaults = &asked[2]["params"]["requestedSchema"]["properties"];
    assert_eq!(defaults["age"], json!({"type": "integer", "default": 30}));
    assert_eq!(
        defaults["score"],
        json!({"type": "number", "default": 95.5})
    );
    let enums = &asked[3]["params"]["requestedSchema"]["properties"];
    assert_eq!(enums["legacyEnum"]["enumNames"][0], "Option One");
    assert_eq!(enums["titledSingle"]["oneOf"][0]["const"], "value1");
    assert_eq!(enums["untitledMulti"]["items"]["type"], "string");
    assert_eq!(
        enums["titledMulti"]["items"]["anyOf"][2]["title"],
        "Third Choice"
    );
}

#[tokio::test]
async fn progress_begins_at_zero() {
    let suite = Caller::new(V2025_11_25);
    let params = json!({"name": "test_tool_with_progress"});
    suite.call("tools/call", params).await.unwrap();
    let heard = suite.suite.heard.lock().unwrap();
    let progress = heard.iter().map(|params| params["progress"].as_f64());
    assert_eq!(
        progress.collect::<Vec<_>>(),
        [Some(0.0), Some(50.0), Some(100.0)]
    );
}

#[tokio::test]
async fn changed_lists_are_announced_and_the_same_again() {
    let suite = Caller::new(V2026_07_28);
    let local = Arc::new(crate::identity::Caller::local());
    let before = suite.server.catalog_digest(&local, None);
    for (tool, change) in [
        ("test_trigger_tool_change", Change::Tools),
        ("test_trigger_prompt_change", Change::Prompts),
    ] {
        let filter = SubscriptionFilter {
            tools_list_changed: change == Change::Tools,
            prompts_list_changed: change == Change::Prompts,
            ..SubscriptionFilter::default()
        };
        let watch = suite.server.watch(&local, filter).await.unwrap();
        suite
            .call("tools/call", json!({"name": tool}))
            .await
            .unwrap();
        assert_eq!(watch.changed().await, [change].into());
    }
    assert_eq!(suite.server.catalog_digest(&local, None), before);
}

#[tokio::test]
async fn a_missing_capability_is_named() {
    let suite = Caller {
        capabilities: json!({}),
        ..Caller::new(V2026_07_28)
    };
    let error = suite
        .call("tools/call", json!({"name": "test_missing_capability"}))
        .await;
    assert_eq!(error.unwrap_err().kind(), "missing_capability");
}

#[tokio::test]
async fn resources_prompts_and_completion_answer() {
    let suite = Caller::new(V2025_11_25);
    for (uri, text) in [
        ("test://static-text", "This is the content"),
        ("test://watched-resource", "This resource"),
        (
            "test://template/123/data",
            r#"{"data":"Data for ID: 123","id":"123""#,
        ),
    ] {
        let read = suite
            .call("resources/read", json!({"uri": uri}))
            .await
            .unwrap();
        let contents = &read.members.to_value()["contents"][0];
        assert!(
            contents["text"].as_str().unwrap().starts_with(text),
            "{contents}"
        );
        assert!(contents["mimeType"].is_string());
    }
    let missing = json!({"uri": "test://nonexistent-resource-for-conformance-testing"});
    assert!(suite.call("resources/read", missing).await.is_err());
    let params = json!({"name": "test_prompt_with_arguments",
                        "arguments": {"arg1": "a", "arg2": "b"}});
    let prompt = suite.call("prompts/get", params).await.unwrap();
    let text = &prompt.members.to_value()["messages"][0]["content"]["text"];
    assert_eq!(text, "Prompt with arguments: arg1='a', arg2='b'");
    let params = json!({"ref": {"type": "ref/prompt", "name": "test_prompt_with_arguments"},
                        "argument": {"name": "arg1", "value": "test"}});
    let completion = suite.call("completion/complete", params).await.unwrap();
    assert!(completion.members.to_value()["completion"]["values"].is_array());
}

#[test]
fn the_header_parameter_is_found() {
    let server = conformance(&Clock::system())
        .build(&ClusterKeys::generate())
        .unwrap();
    let local = Arc::new(crate::identity::Caller::local());
    assert!(server.header_params(&local, "test_x_mcp_header").is_some());
    assert!(server.header_params(&local, "test_simple_text").is_none());
}
