//! Tasks that run at one node, asked about at another.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{One, nodes, within};
use crate::identity::Caller;
use crate::protocol::method::Method;
use crate::protocol::subscription::{Change, SubscriptionFilter};
use crate::protocol::version::ProtocolVersion;
use crate::server::{Field, Form, NoArguments, Server, ServerBuilder, TaskUse, Tool};
use crate::service::ServiceError;

const STATELESS: ProtocolVersion = ProtocolVersion::V2026_07_28;
const SESSION: ProtocolVersion = ProtocolVersion::V2025_11_25;

/// `wait` ends when it is let, `name` asks for one.
fn server(let_go: &Arc<Semaphore>) -> ServerBuilder {
    let let_go = let_go.clone();
    let wait = Tool::new("wait", move |_, NoArguments {}| {
        let let_go = let_go.clone();
        async move {
            let_go.acquire().await.expect("it is never closed").forget();
            Ok("let go")
        }
    });
    let name = Tool::new("name", |ctx, NoArguments {}| async move {
        let form = Form::new("Who?").field("name", Field::string());
        let answer = ctx.elicit("who", form).await?.accepted();
        Ok(format!("{}", answer.unwrap_or_default()["name"]))
    });
    let [wait, name] = [wait, name].map(|tool| tool.task(TaskUse::required()));
    Server::builder("waits", "1").tool(wait).tool(name)
}

async fn three() -> ([One; 3], Arc<Semaphore>) {
    let let_go = Arc::new(Semaphore::new(0));
    (nodes(|_| server(&let_go)).await, let_go)
}

/// Calls a tool at a node; the id of the task it becomes.
async fn begin(one: &One, version: ProtocolVersion, tool: &str) -> Value {
    let params = match version {
        STATELESS => json!({"name": tool, "arguments": {}}),
        _ => json!({"name": tool, "arguments": {}, "task": {}}),
    };
    let handle = one.ask(version, Method::ToolsCall, params).await;
    let id = handle.pointer("/task/taskId").or(handle.get("taskId"));
    json!({"taskId": id.expect("a task id")})
}

/// The task as a node shows it, once it has this status.
async fn standing(one: &One, id: &Value, status: &str) -> Value {
    let standing = async {
        loop {
            let task = one.ask(STATELESS, Method::TasksGet, id.clone()).await;
            if task["status"] == status {
                return task;
            }
            tokio::task::yield_now().await;
        }
    };
    within(status, standing).await
}

#[tokio::test]
async fn a_task_is_the_same_at_every_node() {
    let (nodes, let_go) = three().await;
    let id = begin(&nodes[0], STATELESS, "wait").await;
    for one in &nodes {
        let task = one.ask(STATELESS, Method::TasksGet, id.clone()).await;
        assert_eq!(task["status"], "working");
    }
    let_go.add_permits(1);
    for one in &nodes {
        let task = standing(one, &id, "completed").await;
        assert_eq!(task["result"]["content"][0]["text"], "let go");
    }
}

#[tokio::test]
async fn a_task_is_cancelled_from_any_node_when_that_is_answered() {
    let (nodes, _) = three().await;
    for version in [STATELESS, SESSION] {
        let id = begin(&nodes[0], version, "wait").await;
        nodes[1].ask(version, Method::TasksCancel, id.clone()).await;
        for one in &nodes {
            let task = one.ask(version, Method::TasksGet, id.clone()).await;
            assert_eq!(task["status"], "cancelled");
        }
    }
}

#[tokio::test]
async fn an_answer_reaches_its_task_from_any_node() {
    let (nodes, _) = three().await;
    let id = begin(&nodes[0], STATELESS, "name").await;
    let task = standing(&nodes[1], &id, "input_required").await;
    let (key, _) = task["inputRequests"]
        .as_object()
        .unwrap()
        .iter()
        .next()
        .unwrap();
    let answer = json!({"action": "accept", "content": {"name": "Ada"}});
    let update = json!({"taskId": id["taskId"], "inputResponses": {key: answer, "unknown": {}}});
    nodes[2].ask(STATELESS, Method::TasksUpdate, update).await;
    let task = standing(&nodes[1], &id, "completed").await;
    assert_eq!(task["result"]["content"][0]["text"], "\"Ada\"");
}

#[tokio::test]
async fn a_result_is_waited_for_at_any_node() {
    let (nodes, let_go) = three().await;
    let id = begin(&nodes[0], SESSION, "wait").await;
    let wait = || nodes[1].ask(SESSION, Method::TasksResult, id.clone());
    let (result, again, ()) = tokio::join!(wait(), wait(), async { let_go.add_permits(1) });
    assert_eq!(result["content"][0]["text"], "let go");
    assert_eq!(result, again);
}

#[tokio::test]
async fn a_change_of_status_is_heard_at_every_node() {
    let (nodes, let_go) = three().await;
    let id = begin(&nodes[0], STATELESS, "wait").await;
    let task = id["taskId"].as_str().unwrap().to_owned();
    let filter = SubscriptionFilter {
        task_ids: [task.clone()].into(),
        ..SubscriptionFilter::default()
    };
    let watching = nodes[1].service.watch(&Arc::new(Caller::local()), filter);
    let watch = watching.await.unwrap();
    let first = within("it says how it stands", watch.changed()).await;
    assert_eq!(first, [Change::Task(task.clone())].into());
    let_go.add_permits(1);
    let next = within("it says that it ended", watch.changed()).await;
    assert_eq!(next, [Change::Task(task)].into());
}

/// Whoever waits for a task hears that its node is gone, and the end it has then is its end, though
/// the node comes back with another.
#[tokio::test]
async fn a_task_whose_node_is_gone_ends_once_and_as_unknown() {
    let (nodes, let_go) = three().await;
    let id = begin(&nodes[0], SESSION, "wait").await;
    let wait = nodes[1].call(SESSION, Method::TasksResult, id.clone());
    let (waited, ()) = tokio::join!(wait, nodes[0].node.retire());
    let Err(ServiceError::Application { message, .. }) = waited else {
        panic!("{waited:?}");
    };
    assert!(message.contains("unknown"), "{message}");

    let_go.add_permits(1);
    let own = nodes[0]
        .call(SESSION, Method::TasksResult, id.clone())
        .await;
    assert!(
        matches!(own, Err(ServiceError::Application { .. })),
        "{own:?}"
    );
    for one in &nodes {
        let task = one.ask(SESSION, Method::TasksGet, id.clone()).await;
        assert_eq!(task["status"], "failed");
    }
    let cancelled = nodes[2].call(SESSION, Method::TasksCancel, id).await;
    assert!(matches!(cancelled, Err(ServiceError::InvalidParams(_))));
}
