//! Calls with an idempotency key, sent more than once and to more than one node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{One, nodes};
use crate::protocol::method::Method;
use crate::protocol::version::ProtocolVersion;
use crate::server::{Context, Field, Form, Server, ServerBuilder, TaskUse, Tool, ToolError};
use crate::service::ServiceError;

const BOTH: [ProtocolVersion; 2] = [ProtocolVersion::V2025_11_25, ProtocolVersion::V2026_07_28];
const STATELESS: ProtocolVersion = ProtocolVersion::V2026_07_28;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Given {
    /// What comes back.
    text: String,
}

/// What the tools share: how often one ran, and when it may end.
#[derive(Clone)]
struct World {
    runs: Arc<AtomicU32>,
    let_go: Arc<Semaphore>,
}

impl World {
    fn new(let_go: usize) -> Self {
        Self {
            runs: Arc::default(),
            let_go: Arc::new(Semaphore::new(let_go)),
        }
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }

    async fn has_run(&self) {
        while self.runs() == 0 {
            tokio::task::yield_now().await;
        }
    }

    fn server(&self) -> ServerBuilder {
        let world = self.clone();
        let count = move |text: String| {
            let world = world.clone();
            async move {
                let run = world.runs.fetch_add(1, Ordering::SeqCst) + 1;
                world.let_go.acquire().await.expect("it is open").forget();
                match text.as_str() {
                    "fail" => Err(ToolError::from(ServiceError::InvalidParams("no".into()))),
                    "large" => Ok("x".repeat(1 << 20)),
                    _ => Ok(format!("{text} {run}")),
                }
            }
        };
        let (plain, task, asking) = (count.clone(), count.clone(), count);
        let runs = self.runs.clone();
        Server::builder("count", "1")
            .tool(Tool::new("count", move |_, Given { text }| plain(text)))
            .tool(Tool::new("task", move |_, Given { text }| task(text)).task(TaskUse::required()))
            .tool(Tool::new("stop", move |ctx: Context, Given { text }| {
                let runs = runs.clone();
                async move {
                    let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
                    ctx.cancelled().await;
                    Ok(format!("{text} {run}, stopped"))
                }
            }))
            .tool(Tool::new("ask", move |ctx, Given { .. }| {
                let count = asking.clone();
                async move {
                    let form = Form::new("Who?").field("name", Field::string());
                    let answer = ctx.elicit("who", form).await?.accepted();
                    count(answer.unwrap_or_default()["name"].to_string()).await
                }
            }))
    }
}

fn params(tool: &str, key: &str, text: &str) -> Value {
    json!({
        "name": tool, "arguments": {"text": text}, "_meta": {"switchboard/idempotencyKey": key},
    })
}

/// Calls a tool at a node.
async fn call(one: &One, version: ProtocolVersion, params: Value) -> Result<Value, ServiceError> {
    one.call(version, Method::ToolsCall, params).await
}

/// The same, cancelled as soon as `when` comes.
async fn call_until(when: impl Future<Output = ()>, one: &One, params: Value) {
    let cancel = CancellationToken::new();
    let call = one.call_until(cancel.clone(), STATELESS, Method::ToolsCall, params);
    let cancelling = async {
        when.await;
        cancel.cancel();
    };
    let ((), _cancelled) = tokio::join!(cancelling, call);
}

fn text(outcome: &Result<Value, ServiceError>) -> &str {
    let result = outcome.as_ref().expect("the call has a result");
    result["content"][0]["text"]
        .as_str()
        .expect("it has a text")
}

#[tokio::test]
async fn a_call_is_made_once_however_often_and_wherever_it_is_sent() {
    let world = World::new(100);
    let nodes: [One; 3] = nodes(|_| world.server()).await;
    for (at, version) in BOTH.into_iter().enumerate() {
        let key = format!("key of {version:?}");
        for one in nodes.iter().chain(&nodes) {
            let outcome = call(one, version, params("count", &key, "a")).await;
            assert_eq!(text(&outcome), format!("a {}", at + 1));
        }
    }
    let without = json!({"name": "count", "arguments": {"text": "b"}});
    for run in [3, 4] {
        let outcome = call(&nodes[0], STATELESS, without.clone()).await;
        assert_eq!(text(&outcome), format!("b {run}"), "no key, no memory");
    }
}

#[tokio::test]
async fn a_key_is_good_for_its_tool_and_arguments() {
    let world = World::new(100);
    let nodes: [One; 2] = nodes(|_| world.server()).await;
    let first = call(&nodes[0], STATELESS, params("count", "key", "a")).await;
    let other = call(&nodes[1], STATELESS, params("count", "key", "b")).await;
    assert_eq!(text(&first), "a 1");
    assert!(
        matches!(other, Err(ServiceError::InvalidParams(_))),
        "{other:?}"
    );
    let another = call(&nodes[1], STATELESS, params("task", "key", "a")).await;
    assert!(another.unwrap()["taskId"].is_string());
    for wrong in [json!(""), json!("x".repeat(257)), json!(7)] {
        let mut params = params("count", "key", "a");
        params["_meta"]["switchboard/idempotencyKey"] = wrong;
        let refused = call(&nodes[0], STATELESS, params).await;
        assert!(
            matches!(refused, Err(ServiceError::InvalidParams(_))),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_call_that_runs_is_joined_from_any_node() {
    let world = World::new(0);
    let nodes: [One; 3] = nodes(|_| world.server()).await;
    let join = |at: usize| call(&nodes[at % 3], STATELESS, params("count", "key", "a"));
    let joined = futures_util::future::join_all((0..9).map(join));
    let let_go = async {
        world.has_run().await;
        world.let_go.add_permits(10);
    };
    let (outcomes, ()) = tokio::join!(joined, let_go);
    for outcome in outcomes {
        assert_eq!(text(&outcome), "a 1");
    }
    assert_eq!(world.runs(), 1);
}

#[tokio::test]
async fn an_error_is_an_outcome_and_a_large_result_is_said_to_be_lost() {
    let world = World::new(100);
    let nodes: [One; 2] = nodes(|_| world.server()).await;
    let failing = params("count", "fails", "fail");
    let first = call(&nodes[0], STATELESS, failing.clone())
        .await
        .unwrap_err();
    let again = call(&nodes[1], STATELESS, failing).await.unwrap_err();
    assert_eq!(first.to_string(), again.to_string());
    let large = params("count", "is large", "large");
    assert!(call(&nodes[0], STATELESS, large.clone()).await.is_ok());
    let lost = call(&nodes[1], STATELESS, large).await.unwrap_err();
    assert!(lost.to_string().contains("not kept"), "{lost}");
    assert_eq!(world.runs(), 2);
}

/// Trust in a key ends with the node: what it had done before nobody knows.
#[tokio::test]
async fn a_call_whose_node_is_gone_is_unknown_and_never_run_again() {
    let world = World::new(0);
    let nodes: [One; 2] = nodes(|_| world.server()).await;
    let params = params("count", "key", "a");
    let running = call(&nodes[0], STATELESS, params.clone());
    let dying = async {
        world.has_run().await;
        let joined = call(&nodes[1], STATELESS, params.clone());
        let (joined, ()) = tokio::join!(joined, nodes[0].node.retire());
        assert!(
            matches!(joined, Err(ServiceError::OutcomeUnknown(_))),
            "{joined:?}"
        );
        world.let_go.add_permits(10);
    };
    let (ended, ()) = tokio::join!(running, dying);
    assert!(
        matches!(ended, Err(ServiceError::OutcomeUnknown(_))),
        "who waited for the run hears no other end: {ended:?}"
    );
    let again = call(&nodes[1], STATELESS, params.clone()).await;
    assert!(
        matches!(again, Err(ServiceError::OutcomeUnknown(_))),
        "{again:?}"
    );
    assert_eq!(world.runs(), 1);
}

/// What was asked on the way is no outcome: the call goes on with its answers, and then is done.
#[tokio::test]
async fn rounds_of_questions_are_one_call() {
    let world = World::new(100);
    let nodes: [One; 2] = nodes(|_| world.server()).await;
    let mut params = params("ask", "key", "");
    for one in &nodes {
        let round = call(one, STATELESS, params.clone()).await.unwrap();
        params["requestState"] = round["requestState"].clone();
    }
    let answer = json!({"action": "accept", "content": {"name": "Ada"}});
    params["inputResponses"] = json!({"who": answer});
    for one in nodes.iter().chain(&nodes) {
        let outcome = call(one, STATELESS, params.clone()).await;
        assert_eq!(text(&outcome), "\"Ada\" 1");
    }
}

#[tokio::test]
async fn a_call_that_became_a_task_is_that_task_again() {
    let world = World::new(100);
    let nodes: [One; 2] = nodes(|_| world.server()).await;
    let first = call(&nodes[0], STATELESS, params("task", "key", "a")).await;
    let again = call(&nodes[1], STATELESS, params("task", "key", "a")).await;
    assert_eq!(first.unwrap()["taskId"], again.unwrap()["taskId"]);
}

/// A client that leaves cancels its call, whose outcome then is unknown to it for good.
#[tokio::test]
async fn a_call_that_was_given_up_is_not_run_again() {
    let world = World::new(0);
    let nodes: [One; 2] = nodes(|_| world.server()).await;
    let params = params("count", "key", "a");
    let leaving = call(&nodes[0], STATELESS, params.clone());
    tokio::select! {
        outcome = leaving => panic!("nobody let it go: {outcome:?}"),
        () = world.has_run() => {}
    }
    let again = call(&nodes[1], STATELESS, params).await;
    assert!(
        matches!(again, Err(ServiceError::OutcomeUnknown(_))),
        "{again:?}"
    );
    assert_eq!(world.runs(), 1);
}

#[tokio::test]
async fn a_call_that_was_cancelled_before_it_ran_may_be_made() {
    let world = World::new(100);
    let nodes: [One; 2] = nodes(|_| world.server()).await;
    let params = params("count", "key", "a");
    call_until(std::future::ready(()), &nodes[0], params.clone()).await;
    assert_eq!(world.runs(), 0);
    let again = call(&nodes[1], STATELESS, params).await;
    assert_eq!(text(&again), "a 1");
}

/// What came of it is known, so a retry is told.
#[tokio::test]
async fn a_cancelled_call_that_ends_by_itself_is_answered_with_what_came_of_it() {
    let world = World::new(0);
    let nodes: [One; 2] = nodes(|_| world.server()).await;
    let params = params("stop", "key", "a");
    call_until(world.has_run(), &nodes[0], params.clone()).await;
    for one in &nodes {
        let again = call(one, STATELESS, params.clone()).await;
        assert_eq!(text(&again), "a 1, stopped");
    }
}

#[tokio::test]
async fn a_wait_that_is_cancelled_ends_only_the_wait() {
    let world = World::new(0);
    let nodes: [One; 2] = nodes(|_| world.server()).await;
    let params = params("count", "key", "a");
    let running = call(&nodes[0], STATELESS, params.clone());
    let waiting = async {
        for one in &nodes {
            call_until(world.has_run(), one, params.clone()).await;
        }
        world.let_go.add_permits(1);
    };
    let (ended, ()) = tokio::join!(running, waiting);
    assert_eq!(text(&ended), "a 1");
    let again = call(&nodes[1], STATELESS, params).await;
    assert_eq!(text(&again), "a 1");
}
