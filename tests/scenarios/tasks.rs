//! Tasks: a call whose client gets a handle now and the result later, in both generations.
//!
//! Spec: extension `io.modelcontextprotocol/tasks` (SEP-2663) for 2026-07-28; 2025-11-25
//! basic/utilities/tasks.

use serde_json::{Value, json};

use crate::world::tools::{node, root, run};
use crate::world::{
    Answer, EventStream, Session, Stateless, Store, Switchboard, Told as _, eventually, within,
};

const EXTENSION: &str = "io.modelcontextprotocol/tasks";
const RELATED: &str = "io.modelcontextprotocol/related-task";
const VERSION: &str = "2025-11-25";

async fn conformance() -> Switchboard {
    Switchboard::with().builtin("conformance").start().await
}

/// A client of the stateless era that can follow tasks and be asked.
fn following(server: &Switchboard) -> Stateless {
    server
        .stateless()
        .with(json!({"elicitation": {}, "extensions": {EXTENSION: {}}}))
}

/// A session whose client can be asked.
async fn session(server: &Switchboard) -> Session {
    server
        .session_with(VERSION, json!({"elicitation": {}}))
        .await
}

/// The id of the task that a call became.
fn handle(answer: &Answer) -> String {
    let result = answer.result();
    assert_eq!(result["resultType"], "task", "{result}");
    result["taskId"].as_str().expect("a task id").to_owned()
}

/// The task a session's call became.
fn nested(answer: &Answer) -> String {
    let task = &answer.result()["task"];
    assert_eq!(task["status"], "working", "{task}");
    task["taskId"].as_str().expect("a task id").to_owned()
}

async fn slow(client: &Stateless, seconds: u32) -> String {
    let arguments = json!({"seconds": seconds, "label": "sum"});
    handle(&client.tool("slow_compute", arguments).await)
}

/// A session's call of `tool` as a task.
async fn as_task(session: &Session, tool: &str, arguments: Value) -> Answer {
    let params = json!({"name": tool, "arguments": arguments, "task": {"ttl": 60_000}});
    session.call("tools/call", params).await
}

async fn get(client: &Stateless, id: &str) -> Value {
    let answer = client.call("tasks/get", json!({"taskId": id})).await;
    let task = answer.result();
    assert_eq!(task["resultType"], "complete", "{task}");
    assert_eq!(task["taskId"], id);
    task
}

/// The task once it has this status.
async fn standing(client: &Stateless, id: &str, status: &str) -> Value {
    eventually(status, async || {
        Some(get(client, id).await).filter(|task| task["status"] == status)
    })
    .await
}

/// Both generations, as the protocol's own package for clients reads them.
#[tokio::test]
async fn the_official_tasks_package_follows_tasks_of_both_generations() {
    let server = conformance().await;
    // With sessions the package asks for the result only when the task has ended, and questions
    // travel with that request: none would ever reach it.
    for (mode, without, asked) in [
        ("legacy", "question", None),
        ("modern", "", Some("Delete a?")),
    ] {
        let mut driver = node();
        driver
            .arg(root().join("tests/clients/tasks.mjs"))
            .args(["--mode", mode, "--without", without])
            .args(["--url", &server.url("/mcp")]);
        let ran = run(driver).await;
        assert!(ran.status.success(), "{mode}: {}", ran.status);
        let saw: Value = serde_json::from_str(&ran.stdout).expect("the driver says JSON");
        assert_eq!(
            saw,
            json!({
                "slow": {"kind": "task", "text": "sum: computed for 1 s"},
                "confirmed": asked.map(|_| json!({"kind": "task", "text": "Deleted a"})),
                "asked": asked.into_iter().collect::<Vec<_>>(),
            }),
            "{mode}"
        );
    }
}

mod stateless {
    use super::*;

    /// SEP-2663, task creation and tasks/get.
    #[tokio::test]
    async fn a_call_becomes_a_task_and_its_result_is_found_there() {
        let server = conformance().await;
        let client = following(&server);

        let id = slow(&client, 1).await;
        let working = get(&client, &id).await;
        let done = standing(&client, &id, "completed").await;

        assert_eq!(working["status"], "working");
        for absent in ["result", "error", "inputRequests"] {
            assert_eq!(working.get(absent), None, "{working}");
        }
        assert_eq!(
            done["result"]["content"][0]["text"],
            "sum: computed for 1 s"
        );
        // Every result of this revision says what it is, and the official package looks for it.
        assert_eq!(done["result"]["resultType"], "complete");
        assert_eq!(done["createdAt"], working["createdAt"]);
        eventually("nothing runs any more", async || {
            (server.metric("mcp_running_tasks").await == 0.0).then_some(())
        })
        .await;
    }

    /// SEP-2663: no task for a request that did not declare the extension.
    #[tokio::test]
    async fn a_client_that_did_not_declare_waits_for_its_result() {
        let server = conformance().await;
        let id = slow(&following(&server), 60).await;
        let client = server.stateless();

        let answer = client.tool("slow_compute", json!({"seconds": 0})).await;
        let asked = client.call("tasks/get", json!({"taskId": id})).await;
        let refused = client.tool("failing_job", json!({})).await;
        let listened = client
            .call(
                "subscriptions/listen",
                json!({"notifications": {"taskIds": [id]}}),
            )
            .await;

        assert_eq!(answer.result()["resultType"], "complete");
        for refused in [asked, refused, listened] {
            assert_eq!((refused.status, refused.code()), (400, -32021));
            let required = &refused.message()["error"]["data"]["requiredCapabilities"];
            assert_eq!(required, &json!({"extensions": {EXTENSION: {}}}));
        }
    }

    /// SEP-2663: ids are unguessable; an unknown task is -32602.
    #[tokio::test]
    async fn ids_that_are_not_ours_are_unknown_tasks() {
        let server = conformance().await;
        let client = following(&server);
        let real = slow(&client, 60).await;
        let other_generation = nested(
            &as_task(
                &session(&server).await,
                "slow_compute",
                json!({"seconds": 60}),
            )
            .await,
        );
        let mut forged = real.clone().into_bytes();
        forged[3] = if forged[3] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).expect("still ASCII");

        for id in [&forged, &other_generation, "x", &"A".repeat(43)] {
            for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
                let params = json!({"taskId": id, "inputResponses": {}});
                let answer = client.call(method, params).await;
                assert_eq!(
                    (answer.status, answer.code()),
                    (200, -32602),
                    "{method} {id}"
                );
            }
        }
        assert_eq!(get(&client, &real).await["status"], "working");
    }

    /// SEP-2663, tasks/cancel: an empty acknowledgement, whatever the task's state.
    #[tokio::test]
    async fn a_cancelled_task_stays_cancelled() {
        let server = conformance().await;
        let client = following(&server);
        let id = slow(&client, 60).await;

        for _ in 0..2 {
            let answer = client.call("tasks/cancel", json!({"taskId": id})).await;
            let result = answer.result();
            assert_eq!(result["resultType"], "complete");
            assert_eq!(result.get("taskId"), None);
            assert_eq!(get(&client, &id).await["status"], "cancelled");
        }
        eventually("its work has ended", async || {
            (server.metric("mcp_running_tasks").await == 0.0).then_some(())
        })
        .await;
        assert_eq!(get(&client, &id).await["status"], "cancelled");
    }

    /// SEP-2663, input: all outstanding questions, answered in parts, and no key used twice.
    #[tokio::test]
    async fn a_question_that_was_answered_wrongly_is_put_again_under_another_key() {
        let server = conformance().await;
        let client = following(&server);
        let id = handle(
            &client
                .tool("confirm_delete", json!({"filename": "a"}))
                .await,
        );
        let asked = standing(&client, &id, "input_required").await;
        assert_eq!(
            asked["inputRequests"]["confirm"]["method"],
            "elicitation/create"
        );

        let update = async |key: &str, content: Value| {
            let answers = json!({key: {"action": "accept", "content": content}});
            let params = json!({"taskId": id, "inputResponses": answers});
            let answer = client.call("tasks/update", params).await;
            assert_eq!(answer.result()["resultType"], "complete");
        };
        update("confirm", json!({"confirm": "perhaps"})).await;
        let again = eventually("it asks again", async || {
            let task = get(&client, &id).await;
            task["inputRequests"]
                .get("confirm-2")
                .is_some()
                .then_some(task)
        })
        .await;
        assert_eq!(again["inputRequests"].get("confirm"), None, "{again}");
        update("confirm", json!({"confirm": true})).await;
        assert_eq!(get(&client, &id).await["status"], "input_required");
        update("confirm-2", json!({"confirm": true})).await;

        let done = standing(&client, &id, "completed").await;
        assert_eq!(done["result"]["content"][0]["text"], "Deleted a");
    }

    /// SEP-2663, status notifications on a listen stream that names the task.
    #[tokio::test]
    async fn a_listen_stream_tells_how_the_task_stands() {
        let server = conformance().await;
        let client = following(&server);
        let id = slow(&client, 1).await;
        let unknown = "A".repeat(43);

        let filter = json!({"notifications": {"taskIds": [id, unknown]}});
        let (listen, mut stream) = client.stream("subscriptions/listen", filter).await;

        let acknowledged = stream.message().await;
        assert_eq!(
            acknowledged["params"]["notifications"],
            json!({"taskIds": [id]})
        );
        let mut statuses = Vec::new();
        while statuses.last().is_none_or(|status| status != "completed") {
            let told = stream.message().await;
            assert_eq!(told["method"], "notifications/tasks");
            let params = &told["params"];
            assert_eq!(params["taskId"], id);
            assert_eq!(
                params["_meta"]["io.modelcontextprotocol/subscriptionId"],
                listen
            );
            statuses.push(params["status"].clone());
            if params["status"] == "completed" {
                assert!(params["result"]["content"].is_array(), "{params}");
            }
        }
        assert_eq!(statuses, ["working", "completed"]);
    }

    /// A task is gone when its time is over, whatever it is doing.
    #[tokio::test]
    async fn a_task_is_gone_after_its_time() {
        let server = Switchboard::with()
            .builtin("conformance")
            .config("[tasks]\nttl = \"1s\"")
            .start()
            .await;
        let client = following(&server);

        let id = slow(&client, 60).await;

        assert_eq!(get(&client, &id).await["ttlMs"], 1_000);
        eventually("it is unknown", async || {
            let answer = client.call("tasks/get", json!({"taskId": id})).await;
            (answer.message()["error"]["code"] == -32602).then_some(())
        })
        .await;
        eventually("its work has ended", async || {
            (server.metric("mcp_running_tasks").await == 0.0).then_some(())
        })
        .await;
    }

    /// `[tasks] after`: any tool's call, when it takes too long to be watched.
    #[tokio::test]
    async fn a_call_that_takes_long_becomes_a_task_on_the_way() {
        let server = Switchboard::with()
            .config("[tasks]\nafter = \"100ms\"")
            .start()
            .await;
        let client = following(&server);

        let quick = client.tool("echo", json!({"text": "a"})).await;
        let long = json!({"count": 20, "interval_us": 20_000});
        let id = handle(&client.tool("stream", long).await);

        assert_eq!(quick.result()["resultType"], "complete");
        eventually("its progress is its status", async || {
            get(&client, &id).await["statusMessage"]
                .is_string()
                .then_some(())
        })
        .await;
        let done = standing(&client, &id, "completed").await;
        assert_eq!(done["result"]["content"][0]["text"], "done");
    }

    /// As many tasks run as may: what could be a task is a call, what must be one is refused.
    #[tokio::test]
    async fn without_a_place_a_call_goes_on_as_a_call() {
        let server = Switchboard::with()
            .builtin("conformance")
            .config("[tasks]\nmax_per_principal = 1")
            .start()
            .await;
        let client = following(&server);
        let first = slow(&client, 60).await;

        let second = client.tool("slow_compute", json!({"seconds": 0})).await;
        let third = client.tool("failing_job", json!({})).await;
        client.call("tasks/cancel", json!({"taskId": first})).await;

        assert_eq!(second.result()["resultType"], "complete");
        assert_eq!(third.status, 503);
        assert!(third.text.contains("as many of your tasks run as may"));
        eventually("there is a place again", async || {
            let answer = client.tool("slow_compute", json!({"seconds": 0})).await;
            (answer.result()["resultType"] == "task").then_some(())
        })
        .await;
    }

    /// A finished result survives a crash; running work ends as outcome unknown, once.
    #[tokio::test]
    async fn after_a_crash_results_stay_and_running_work_is_unknown() {
        let mut server = Switchboard::with()
            .builtin("conformance")
            .store(Store::Embedded)
            .start()
            .await;
        let client = following(&server);
        let done = slow(&client, 0).await;
        let before = standing(&client, &done, "completed").await;
        let cut = slow(&client, 60).await;

        server.crash().await;
        server.start_again().await;

        let client = following(&server);
        assert_eq!(get(&client, &done).await, before);
        let lost = get(&client, &cut).await;
        assert_eq!(lost["status"], "failed");
        assert_eq!(lost["error"]["code"], -32603);
        assert_eq!(lost["error"]["data"]["outcome"], "unknown");
        assert_eq!(get(&client, &cut).await, lost, "told the same again");
    }

    /// Nobody is told of an end that a crash could take back.
    #[tokio::test]
    async fn what_was_told_as_completed_stays_completed() {
        let mut server = Switchboard::with()
            .builtin("conformance")
            .store(Store::Embedded)
            .start()
            .await;
        for _ in 0..5 {
            let id = slow(&following(&server), 0).await;
            let client = following(&server);
            // As fast as it can be asked.
            within("it completes", async {
                while get(&client, &id).await["status"] != "completed" {}
            })
            .await;
            server.crash().await;
            server.start_again().await;
            assert_eq!(get(&following(&server), &id).await["status"], "completed");
        }
    }
}

mod session_era {
    use super::*;

    async fn task(session: &Session, id: &str) -> Value {
        session
            .call("tasks/get", json!({"taskId": id}))
            .await
            .result()
    }

    /// 2025-11-25 tasks: the handle, the result that is waited for, and the list.
    #[tokio::test]
    async fn a_task_is_asked_for_and_its_result_is_waited_for() {
        let server = conformance().await;
        let session = session(&server).await;

        let created = as_task(&session, "slow_compute", json!({"seconds": 1})).await;
        let id = nested(&created);
        let waited = session.call("tasks/result", json!({"taskId": id})).await;

        let task_at_first = &created.result()["task"];
        assert_eq!(task_at_first["ttl"], 60_000);
        assert_eq!(task_at_first["pollInterval"], 1_000);
        let result = waited.result();
        assert_eq!(result["content"][0]["text"], ": computed for 1 s");
        assert_eq!(result["_meta"][RELATED], json!({"taskId": id}));
        assert_eq!(result.get("resultType"), None);
        assert_eq!(task(&session, &id).await["status"], "completed");
        let listed = session.call("tasks/list", json!({})).await.result();
        assert_eq!(listed["tasks"][0]["taskId"], id);
        assert_eq!(listed["tasks"].as_array().map(Vec::len), Some(1));
    }

    /// 2025-11-25 tasks, capability negotiation and tool-level negotiation.
    #[tokio::test]
    async fn tool_and_server_say_who_may_ask_for_a_task() {
        let server = conformance().await;
        let session = session(&server).await;
        let older = server.session("2025-06-18").await;

        let offered = &session.initialized["capabilities"]["tasks"];
        assert_eq!(
            offered,
            &json!({"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}})
        );
        assert_eq!(older.initialized["capabilities"].get("tasks"), None);
        let tools = session.call("tools/list", json!({})).await.result();
        let support = |name: &str| {
            let tools = tools["tools"].as_array().expect("tools");
            let tool = tools.iter().find(|tool| tool["name"] == name);
            tool.expect("the tool is listed")["execution"]["taskSupport"].clone()
        };
        assert_eq!(support("slow_compute"), "optional");
        assert_eq!(support("failing_job"), "required");
        assert_eq!(support("greet"), Value::Null);

        let forbidden = as_task(&session, "greet", json!({"name": "A"})).await;
        let required = session.tool("failing_job", json!({})).await;
        let unknown = as_task(&session, "no_such_tool", json!({})).await;
        let ignored = as_task(&older, "slow_compute", json!({"seconds": 0})).await;
        let absent = older.call("tasks/list", json!({})).await;
        let waits = older.tool("failing_job", json!({})).await;
        assert_eq!(forbidden.code(), -32601);
        assert_eq!(required.code(), -32601);
        assert_eq!(unknown.code(), -32602);
        assert!(ignored.result()["content"].is_array());
        assert_eq!(absent.code(), -32601);
        assert_eq!(waits.result()["isError"], true);
    }

    /// 2025-11-25 tasks: a question goes out on the stream of `tasks/result`.
    #[tokio::test]
    async fn a_question_of_a_task_comes_with_the_wait_for_its_result() {
        let server = conformance().await;
        let session = session(&server).await;
        let id = nested(&as_task(&session, "confirm_delete", json!({"filename": "a"})).await);
        eventually("it asks", async || {
            let status = task(&session, &id).await["status"].clone();
            (status == "input_required").then_some(())
        })
        .await;

        let wait = session.next_id();
        let request = json!({"jsonrpc": "2.0", "id": wait, "method": "tasks/result",
            "params": {"taskId": id}});
        let mut stream = EventStream::of(session.post(&request).await);
        let question = stream.message().await;
        session
            .answer(
                &question,
                json!({"action": "accept", "content": {"confirm": true}}),
            )
            .await;
        let answer = stream.message().await;

        assert_eq!(question["method"], "elicitation/create");
        assert_eq!(question["params"]["_meta"][RELATED], json!({"taskId": id}));
        assert_eq!(answer["id"], wait);
        assert_eq!(answer["result"]["content"][0]["text"], "Deleted a");
    }

    /// A `tasks/result` of this session, as it begins to be answered.
    async fn waiting(session: &Session, id: &str) -> (i64, EventStream) {
        let request = session.next_id();
        let message = json!({"jsonrpc": "2.0", "id": request, "method": "tasks/result",
            "params": {"taskId": id}});
        (request, EventStream::of(session.post(&message).await))
    }

    /// Ours: of those who wait, a question goes to the newest who can be asked; the others hear the end.
    #[tokio::test]
    async fn a_question_goes_to_the_newest_who_can_be_asked() {
        let server = conformance().await;
        let (asked, mute) = (session(&server).await, server.session(VERSION).await);
        let id = nested(&as_task(&asked, "confirm_delete", json!({"filename": "a"})).await);

        let (_, mut unasked) = waiting(&mute, &id).await;
        let (_, mut older) = waiting(&asked, &id).await;
        let first = older.message().await;
        let (_, mut newest) = waiting(&asked, &id).await;
        let again = newest.message().await;
        asked
            .answer(
                &again,
                json!({"action": "accept", "content": {"confirm": true}}),
            )
            .await;

        assert_eq!(first["method"], "elicitation/create");
        assert_eq!(again["params"], first["params"]);
        for stream in [&mut newest, &mut unasked] {
            let told = stream.message().await;
            assert_eq!(told["result"]["content"][0]["text"], "Deleted a");
        }
        let withdrawn = older.message().await;
        assert_eq!(withdrawn["method"], "notifications/cancelled");
        assert_eq!(withdrawn["params"]["requestId"], first["id"]);
        let told = older.message().await;
        assert_eq!(told["result"]["content"][0]["text"], "Deleted a");
    }

    /// 2025-11-25 tasks, and basic/utilities/cancellation: nobody waits for what will not come.
    #[tokio::test]
    async fn a_wait_ends_with_its_task_and_when_it_is_given_up() {
        let server = conformance().await;
        let session = session(&server).await;
        let cancelled =
            nested(&as_task(&session, "confirm_delete", json!({"filename": "a"})).await);
        let left = nested(&as_task(&session, "confirm_delete", json!({"filename": "b"})).await);
        let (request, mut stream) = waiting(&session, &cancelled).await;
        let question = stream.message().await;
        let (given_up, mut silent) = waiting(&session, &left).await;
        silent.message().await;

        session
            .call("tasks/cancel", json!({"taskId": cancelled}))
            .await;
        session
            .notify("notifications/cancelled", json!({"requestId": given_up}))
            .await;

        let withdrawn = stream.message().await;
        assert_eq!(withdrawn["params"]["requestId"], question["id"]);
        let answer = stream.message().await;
        assert_eq!(answer["id"], request);
        assert_eq!(answer["error"]["code"], -32602);
        assert_eq!(silent.rest().await.answers(), crate::world::NOTHING);
        eventually("no call is left", async || {
            (server.metric("mcp_running_calls").await == 0.0).then_some(())
        })
        .await;
        assert_eq!(task(&session, &left).await["status"], "input_required");
    }

    /// 2025-11-25 tasks, status notifications on the standing stream.
    #[tokio::test]
    async fn the_standing_stream_tells_of_the_sessions_own_tasks() {
        let server = conformance().await;
        let (session, stranger) = (session(&server).await, session(&server).await);
        let mut stream = session.listen(None).await;
        let mut elsewhere = stranger.listen(None).await;
        let id = nested(&as_task(&session, "slow_compute", json!({"seconds": 0})).await);
        let other = nested(&as_task(&stranger, "slow_compute", json!({"seconds": 0})).await);

        for (stream, id) in [(&mut stream, &id), (&mut elsewhere, &other)] {
            let told = stream.message().await;
            assert_eq!(told["method"], "notifications/tasks/status");
            assert_eq!(told["params"]["taskId"], *id);
            assert_eq!(told["params"]["status"], "completed");
            assert_eq!(told["params"].get("result"), None);
        }
    }

    /// 2025-11-25 tasks, cancelling: before the answer, for good, and not twice.
    #[tokio::test]
    async fn cancelling_is_done_when_it_is_answered() {
        let server = conformance().await;
        let session = session(&server).await;
        let id = nested(&as_task(&session, "slow_compute", json!({"seconds": 60})).await);

        let first = session.call("tasks/cancel", json!({"taskId": id})).await;
        let second = session.call("tasks/cancel", json!({"taskId": id})).await;
        let result = session.call("tasks/result", json!({"taskId": id})).await;

        assert_eq!(first.result()["status"], "cancelled");
        assert_eq!(second.code(), -32602);
        assert_eq!(result.code(), -32602);
        assert_eq!(task(&session, &id).await["status"], "cancelled");
    }

    /// 2025-11-25 tasks: a tool that failed is a task that failed; its result says why.
    #[tokio::test]
    async fn a_tool_that_fails_is_a_failed_task() {
        let server = conformance().await;
        let session = session(&server).await;

        let failed = nested(&as_task(&session, "failing_job", json!({})).await);
        let broken = nested(&as_task(&session, "protocol_error_job", json!({})).await);
        let result = session
            .call("tasks/result", json!({"taskId": failed}))
            .await;
        let error = session
            .call("tasks/result", json!({"taskId": broken}))
            .await;

        assert_eq!(result.result()["isError"], true);
        assert_eq!(task(&session, &failed).await["status"], "failed");
        assert_eq!(error.code(), -32603);
        assert_eq!(task(&session, &broken).await["status"], "failed");
    }

    /// server/utilities/pagination: pages of a session's tasks, and no others.
    #[tokio::test]
    async fn a_session_lists_its_own_tasks_in_pages() {
        let server = conformance().await;
        let (session, stranger) = (session(&server).await, session(&server).await);
        let mut made = Vec::new();
        for _ in 0..101 {
            made.push(nested(
                &as_task(&session, "slow_compute", json!({"seconds": 0})).await,
            ));
        }

        let first = session.call("tasks/list", json!({})).await.result();
        let cursor = &first["nextCursor"];
        let second = session
            .call("tasks/list", json!({"cursor": cursor}))
            .await
            .result();
        let beyond = session.call("tasks/list", json!({"cursor": "x"})).await;
        let none = stranger.call("tasks/list", json!({})).await.result();

        let ids = |page: &Value| {
            let tasks = page["tasks"].as_array().expect("tasks").clone();
            tasks.into_iter().map(|task| task["taskId"].clone())
        };
        let listed = ids(&first).chain(ids(&second)).collect::<Vec<_>>();
        assert_eq!(listed, made);
        assert_eq!(second.get("nextCursor"), None);
        assert_eq!(beyond.code(), -32602);
        assert_eq!(none["tasks"], json!([]));
    }

    /// A session that comes back after a crash finds its tasks, and what became of them.
    #[tokio::test]
    async fn a_session_finds_its_tasks_after_a_crash() {
        let mut server = Switchboard::with()
            .builtin("conformance")
            .store(Store::Embedded)
            .start()
            .await;
        let before = session(&server).await;
        let done = nested(&as_task(&before, "slow_compute", json!({"seconds": 0})).await);
        before.call("tasks/result", json!({"taskId": done})).await;
        let cut = nested(&as_task(&before, "slow_compute", json!({"seconds": 60})).await);

        server.crash().await;
        server.start_again().await;

        let session = before.elsewhere(&server.url("/mcp"));
        let listed = session.call("tasks/list", json!({})).await.result();
        let statuses = listed["tasks"].as_array().expect("tasks");
        let statuses = statuses.iter().map(|task| &task["status"]);
        assert_eq!(statuses.collect::<Vec<_>>(), ["completed", "failed"]);
        let result = session.call("tasks/result", json!({"taskId": done})).await;
        assert!(result.result()["content"].is_array());
        let lost = session.call("tasks/result", json!({"taskId": cut})).await;
        assert_eq!(lost.message()["error"]["data"]["outcome"], "unknown");
    }
}
