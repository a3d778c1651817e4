//! Questions of the server to its client while a call runs.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::{NOTHING, Switchboard, Told as _, eventually};

const VERSION: &str = "2025-11-25";

fn accepted(name: &str) -> Value {
    json!({"action": "accept", "content": {"name": name}})
}

/// client/elicitation (2025-11-25), creating elicitation requests.
#[tokio::test]
async fn a_question_comes_on_the_stream_of_its_call_and_its_answer_ends_it() {
    let server = Switchboard::start().await;
    for version in ["2025-06-18", "2025-11-25"] {
        let session = server
            .session_with(version, json!({"elicitation": {}}))
            .await;
        let (id, mut call) = session.stream_tool("ask_name", json!({})).await;
        let question = call.message().await;
        assert_eq!(question["method"], "elicitation/create");
        assert!(question["id"].is_string(), "ids of ours are texts");
        let schema = &question["params"]["requestedSchema"];
        assert_eq!(schema["properties"]["name"]["type"], "string");

        session.answer(&question, accepted("Ada")).await;

        let rest = call.rest().await;
        assert_eq!(
            rest.messages().len(),
            1,
            "{version}: the answer, and nothing else"
        );
        assert_eq!(rest.answers()[0]["id"], id);
        let text = &rest.answers()[0]["result"]["content"][0]["text"];
        assert_eq!(text, "Hello, Ada!");
    }
}

/// client/elicitation (2025-11-25), response actions.
#[tokio::test]
async fn a_user_who_declines_or_goes_away_is_an_answer_too() {
    let server = Switchboard::start().await;
    let session = server
        .session_with(VERSION, json!({"elicitation": {"form": {}}}))
        .await;
    for (action, text) in [
        ("decline", "That is fine, no name then."),
        ("cancel", "Another time, perhaps."),
    ] {
        let (_, mut call) = session.stream_tool("ask_name", json!({})).await;
        let question = call.message().await;

        session.answer(&question, json!({"action": action})).await;

        let answer = call.rest().await.answers().remove(0);
        assert_eq!(answer["result"]["content"][0]["text"], text);
    }
}

/// client/sampling (each revision), creating messages.
#[tokio::test]
async fn a_model_is_asked_on_the_stream_of_its_call() {
    let server = Switchboard::start().await;
    for version in crate::world::SESSION_ERA {
        let session = server.session_with(version, json!({"sampling": {}})).await;
        let text = json!({"text": "a long story"});
        let (id, mut call) = session.stream_tool("summarize", text).await;
        let question = call.message().await;
        assert_eq!(question["method"], "sampling/createMessage");
        assert_eq!(question["params"]["maxTokens"], 200);

        let result = json!({"role": "assistant", "model": "scenario",
            "content": {"type": "text", "text": "In short."}});
        session.answer(&question, result).await;

        let answer = call.rest().await.answers().remove(0);
        assert_eq!(answer["id"], id, "{version}");
        assert_eq!(answer["result"]["content"][0]["text"], "In short.");
    }
}

/// client/sampling (2025-11-25), error handling.
#[tokio::test]
async fn a_client_that_refuses_a_question_makes_a_tool_error() {
    let server = Switchboard::start().await;
    let session = server.session_with(VERSION, json!({"sampling": {}})).await;
    let (id, mut call) = session
        .stream_tool("summarize", json!({"text": "story"}))
        .await;
    let question = call.message().await;

    let refusal = json!({"jsonrpc": "2.0", "id": question["id"],
        "error": {"code": -1, "message": "User rejected sampling request"}});
    assert_eq!(session.send(&refusal).await.status, 202);

    let rest = call.rest().await;
    assert_eq!(rest.messages().len(), 1, "it is not asked again");
    assert_eq!(rest.answers()[0]["id"], id);
    let answer = &rest.answers()[0];
    let failed = answer["result"]["isError"] == true || answer.get("error").is_some();
    assert!(failed, "{answer}");
}

/// basic/lifecycle (2025-11-25), operation: only what was negotiated is used.
#[tokio::test]
async fn a_client_that_did_not_declare_it_is_never_asked() {
    let server = Switchboard::start().await;
    for (version, capabilities, tool) in [
        (VERSION, json!({}), "ask_name"),
        (VERSION, json!({"sampling": {}, "roots": {}}), "ask_name"),
        (VERSION, json!({"elicitation": {"url": {}}}), "ask_name"),
        (VERSION, json!({"elicitation": {}}), "summarize"),
        // These revisions have no elicitation, whatever a client says.
        ("2025-03-26", json!({"elicitation": {}}), "ask_name"),
        ("2024-11-05", json!({"elicitation": {}}), "ask_name"),
    ] {
        let session = server.session_with(version, capabilities).await;

        let answer = session.tool(tool, json!({"text": "x"})).await;

        assert_eq!(answer.told().methods(), [""; 0], "{version} {tool}");
        let message = answer.message();
        let failed = message["result"]["isError"] == true || message.get("error").is_some();
        assert!(failed, "the operation fails instead: {message}");
    }
}

/// basic/utilities/cancellation (2025-11-25): what was asked for a cancelled call is withdrawn.
#[tokio::test]
async fn the_question_of_a_cancelled_call_is_withdrawn() {
    let server = Switchboard::start().await;
    let session = server
        .session_with(VERSION, json!({"elicitation": {}}))
        .await;
    let (id, mut call) = session.stream_tool("ask_name", json!({})).await;
    let question = call.message().await;

    session
        .notify("notifications/cancelled", json!({"requestId": id}))
        .await;

    let rest = call.rest().await;
    assert_eq!(rest.methods(), ["notifications/cancelled"]);
    assert_eq!(rest.messages()[0]["params"]["requestId"], question["id"]);
    assert_eq!(rest.answers(), NOTHING);
    session.answer(&question, accepted("too late")).await;
    let answer = session.tool("echo", json!({"text": "hi"})).await;
    assert_eq!(answer.tool_text(), "hi");
}

/// client/elicitation (2025-11-25): nobody waits for ever.
#[tokio::test]
async fn a_question_that_nobody_answers_is_withdrawn_and_the_call_fails() {
    let server = Switchboard::with()
        .config("[calls]\nquestion = \"200ms\"")
        .start()
        .await;
    let session = server
        .session_with(VERSION, json!({"elicitation": {}}))
        .await;
    let (id, mut call) = session.stream_tool("ask_name", json!({})).await;
    let question = call.message().await;

    let rest = call.rest().await;

    assert_eq!(rest.methods(), ["notifications/cancelled"]);
    assert_eq!(rest.messages()[0]["params"]["requestId"], question["id"]);
    let answer = rest.last().expect("it ends with an answer").json();
    assert_eq!(answer["id"], id);
    let failed = answer["result"]["isError"] == true || answer.get("error").is_some();
    assert!(failed, "{answer}");
}

/// basic/transports (2025-11-25), sending messages: an answer to nothing is dropped.
#[tokio::test]
async fn an_answer_to_a_question_that_was_not_asked_is_dropped() {
    let server = Switchboard::start().await;
    let session = server
        .session_with(VERSION, json!({"elicitation": {}}))
        .await;
    let (id, mut call) = session.stream_tool("ask_name", json!({})).await;
    let question = call.message().await;
    let asked = question["id"].as_str().expect("a text");

    for made_up in [
        json!("1"),
        json!(1),
        json!(format!("{asked}A")),
        json!(asked[1..]),
    ] {
        session
            .answer(&json!({"id": made_up}), accepted("Mallory"))
            .await;
    }

    session.answer(&question, accepted("Ada")).await;
    session.answer(&question, accepted("again")).await;
    let rest = call.rest().await;
    assert_eq!(rest.answers().len(), 1);
    assert_eq!(rest.answers()[0]["id"], id);
    let text = &rest.answers()[0]["result"]["content"][0]["text"];
    assert_eq!(text, "Hello, Ada!");
}

/// basic/transports (2025-11-25), session management: a question is its own session's.
#[tokio::test]
async fn the_question_of_another_session_cannot_be_answered() {
    let server = Switchboard::start().await;
    let capabilities = json!({"elicitation": {}});
    let ada = server.session_with(VERSION, capabilities.clone()).await;
    let mallory = server.session_with(VERSION, capabilities).await;
    let (_, mut ada_call) = ada.stream_tool("ask_name", json!({})).await;
    let (_, mut mallory_call) = mallory.stream_tool("ask_name", json!({})).await;
    let asked_ada = ada_call.message().await;
    let asked_mallory = mallory_call.message().await;
    assert_ne!(asked_ada["id"], asked_mallory["id"]);

    mallory.answer(&asked_ada, accepted("Mallory")).await;

    ada.answer(&asked_ada, accepted("Ada")).await;
    let answer = ada_call.rest().await.answers().remove(0);
    assert_eq!(answer["result"]["content"][0]["text"], "Hello, Ada!");
    mallory.answer(&asked_mallory, accepted("Mallory")).await;
    let answer = mallory_call.rest().await.answers().remove(0);
    assert_eq!(answer["result"]["content"][0]["text"], "Hello, Mallory!");
}

/// client/elicitation (2025-11-25): many at once, each answered where it was asked.
#[tokio::test]
async fn many_questions_at_once_get_their_own_answers() {
    let server = Switchboard::start().await;
    let capabilities = json!({"elicitation": {}});
    let sessions = (0..20).map(|_| server.session_with(VERSION, capabilities.clone()));
    let sessions = join_all(sessions).await;

    let greeted = join_all(
        sessions
            .iter()
            .enumerate()
            .map(|(number, session)| async move {
                let (_, mut first) = session.stream_tool("ask_name", json!({})).await;
                let (_, mut second) = session.stream_tool("ask_name", json!({})).await;
                let (asked_first, asked_second) = (first.message().await, second.message().await);
                session
                    .answer(&asked_second, accepted(&format!("second {number}")))
                    .await;
                session
                    .answer(&asked_first, accepted(&format!("first {number}")))
                    .await;
                let text = |answer: Value| answer["result"]["content"][0]["text"].clone();
                let first = text(first.rest().await.answers().remove(0));
                let second = text(second.rest().await.answers().remove(0));
                (number, first, second)
            }),
    )
    .await;

    for (number, first, second) in greeted {
        assert_eq!(first, format!("Hello, first {number}!"));
        assert_eq!(second, format!("Hello, second {number}!"));
    }
}

/// basic/transports (2025-11-25), resumability: a question outlives the connection it came on.
#[tokio::test]
async fn a_question_can_be_answered_after_its_connection_broke() {
    let server = Switchboard::start().await;
    let session = server
        .session_with(VERSION, json!({"elicitation": {}}))
        .await;
    let (id, mut call) = session.stream_tool("ask_name", json!({})).await;
    let priming = call.priming().await;
    let question = call.message().await;
    drop(call);

    let mut resumed = session.listen(Some(priming.id())).await;
    assert_eq!(resumed.message().await, question, "it is told again");
    session.answer(&question, accepted("Ada")).await;

    let rest = resumed.rest().await;
    assert_eq!(rest.answers()[0]["id"], id);
    let text = &rest.answers()[0]["result"]["content"][0]["text"];
    assert_eq!(text, "Hello, Ada!");
}

/// basic/transports (2025-11-25), session management, ending a session.
#[tokio::test]
async fn a_session_that_ends_leaves_no_question_waiting() {
    let server = Switchboard::start().await;
    let session = server
        .session_with(VERSION, json!({"elicitation": {}}))
        .await;
    let (_, mut call) = session.stream_tool("ask_name", json!({})).await;
    call.message().await;

    session.delete().await;

    assert_eq!(call.rest().await.answers(), NOTHING);
    eventually("no call runs", async || {
        (server.metric("mcp_running_calls").await == 0.0).then_some(())
    })
    .await;
}

/// client/roots (2025-11-25), listing roots.
#[tokio::test]
async fn roots_are_asked_for_on_the_stream_of_the_call_that_wants_them() {
    let server = Switchboard::with().builtin("conformance").start().await;
    for version in crate::world::SESSION_ERA {
        let session = server.session_with(version, json!({"roots": {}})).await;
        let standing = session.listen(None).await;
        let tool = "test_input_required_result_list_roots";
        let (id, mut call) = session.stream_tool(tool, json!({})).await;
        let question = call.message().await;
        assert_eq!(question["method"], "roots/list", "{version}");

        let roots = json!({"roots": [{"uri": "file:///home/ada", "name": "home"}]});
        session.answer(&question, roots).await;

        let answer = call.rest().await.answers().remove(0);
        assert_eq!(answer["id"], id);
        assert_eq!(answer["result"]["content"][0]["text"], "Roots: home");
        session.delete().await;
        assert_eq!(standing.rest().await.messages(), NOTHING);
    }
}
