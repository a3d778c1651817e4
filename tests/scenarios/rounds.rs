//! Questions of the stateless era: a call ends with them, and goes on in the next round.
//!
//! Everything a round needs travels with its client under a seal; nobody else can make it, and it
//! is good for one call only.
//!
//! Spec: 2026-07-28 basic/patterns/mrtr.

use serde_json::{Value, json};

use crate::world::{Answer, Stateless, Store, Switchboard};

const PREFIX: &str = "test_input_required_result_";

async fn conformance() -> Switchboard {
    Switchboard::with().builtin("conformance").start().await
}

/// A client that can be asked everything.
fn answering(server: &Switchboard) -> Stateless {
    let everything = json!({"elicitation": {}, "sampling": {}, "roots": {}});
    server.stateless().with(everything)
}

fn accepted(content: Value) -> Value {
    json!({"action": "accept", "content": content})
}

fn sampled(text: &str) -> Value {
    json!({"role": "assistant", "model": "test-model", "stopReason": "endTurn",
        "content": {"type": "text", "text": text}})
}

/// What a round ended with: its questions and the state to come back with.
struct Asked {
    questions: Value,
    state: String,
}

impl Asked {
    fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.text);
        let result = answer.result();
        assert_eq!(result["resultType"], "input_required", "{result}");
        for never in ["content", "isError", "ttlMs", "cacheScope", "messages"] {
            assert_eq!(result.get(never), None, "{result}");
        }
        for question in result["inputRequests"]
            .as_object()
            .expect("questions")
            .values()
        {
            assert!(question["method"].is_string(), "{question}");
            for envelope in ["jsonrpc", "id"] {
                assert_eq!(question.get(envelope), None, "{question}");
            }
        }
        Self {
            questions: result["inputRequests"].clone(),
            state: result["requestState"].as_str().expect("a state").to_owned(),
        }
    }

    fn keys(&self) -> Vec<&str> {
        let questions = self.questions.as_object().expect("questions");
        questions.keys().map(String::as_str).collect()
    }
}

/// A call of one of the suite's tools, in whatever round.
async fn call(client: &Stateless, tool: &str, more: Value) -> Answer {
    let mut params = json!({"name": format!("{PREFIX}{tool}"), "arguments": {}});
    for (key, value) in more.as_object().expect("an object") {
        params[key] = value.clone();
    }
    client.call("tools/call", params).await
}

/// The round after `asked`, with these answers.
async fn retry(client: &Stateless, tool: &str, asked: &Asked, answers: Value) -> Answer {
    let more = json!({"requestState": asked.state, "inputResponses": answers});
    call(client, tool, more).await
}

fn refused_the_state(answer: &Answer) {
    assert_eq!(
        (answer.status, answer.code()),
        (200, -32602),
        "{}",
        answer.text
    );
    let error = &answer.message()["error"];
    assert_eq!(error["data"]["reason"], "invalid_request_state", "{error}");
}

/// Input required results; client/elicitation.
#[tokio::test]
async fn a_form_is_filled_in_between_two_rounds() {
    let server = Switchboard::start().await;
    let client = server.stateless().with(json!({"elicitation": {}}));

    let asked = Asked::of(&client.tool("ask_name", json!({})).await);

    let question = &asked.questions["name"];
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["message"], "What is your name?");
    assert_eq!(question["params"]["requestedSchema"]["type"], "object");
    for (answer, text) in [
        (accepted(json!({"name": "Ada"})), "Hello, Ada!"),
        (json!({"action": "decline"}), "That is fine, no name then."),
        (json!({"action": "cancel"}), "Another time, perhaps."),
    ] {
        let params = json!({"name": "ask_name", "arguments": {},
            "requestState": asked.state, "inputResponses": {"name": answer}});
        let done = client.call("tools/call", params).await;
        assert_eq!(done.result()["resultType"], "complete");
        assert_eq!(done.result().get("requestState"), None);
        assert_eq!(done.tool_text(), text);
    }
}

/// Input required results; client/sampling.
#[tokio::test]
async fn a_model_answers_between_two_rounds() {
    let server = Switchboard::start().await;
    let client = server.stateless().with(json!({"sampling": {}}));
    let arguments = json!({"text": "a long story"});

    let asked = Asked::of(&client.tool("summarize", arguments.clone()).await);
    assert_eq!(asked.keys(), ["summary"]);
    let question = &asked.questions["summary"];
    assert_eq!(question["method"], "sampling/createMessage");
    assert_eq!(question["params"]["maxTokens"], 200);

    let params = json!({"name": "summarize", "arguments": arguments,
        "requestState": asked.state, "inputResponses": {"summary": sampled("short")}});
    assert_eq!(client.call("tools/call", params).await.tool_text(), "short");
}

/// Input required results: prompts may ask too.
#[tokio::test]
async fn a_prompt_asks_before_it_is_there() {
    let server = conformance().await;
    let client = answering(&server);
    let name = format!("{PREFIX}prompt");

    let asked = Asked::of(&client.call("prompts/get", json!({"name": name})).await);
    assert_eq!(asked.keys(), ["user_context"]);
    let params = json!({"name": name, "requestState": asked.state,
        "inputResponses": {"user_context": accepted(json!({"context": "rain"}))}});
    let result = client.call("prompts/get", params).await.result();

    assert_eq!(result["resultType"], "complete");
    assert_eq!(
        result["messages"][0]["content"]["text"],
        "Use this context: rain"
    );
}

/// Multiple rounds: what was answered is carried, and only the new question is put.
#[tokio::test]
async fn a_call_may_ask_one_thing_after_another() {
    let server = conformance().await;
    let client = answering(&server);

    let first = Asked::of(&call(&client, "multi_round", json!({})).await);
    assert_eq!(first.keys(), ["step1"]);
    let answers = json!({"step1": accepted(json!({"name": "Ada"}))});
    let second = Asked::of(&retry(&client, "multi_round", &first, answers).await);
    assert_eq!(second.keys(), ["step2"]);
    assert_ne!(second.state, first.state);
    let answers = json!({"step2": accepted(json!({"color": "blue"}))});
    let done = retry(&client, "multi_round", &second, answers).await;

    assert_eq!(done.tool_text(), "Ada likes blue");
}

/// Missing answers are asked for again; those that came are kept.
#[tokio::test]
async fn what_was_not_answered_is_asked_again() {
    let server = conformance().await;
    let client = answering(&server);
    let asked = Asked::of(&call(&client, "multiple_inputs", json!({})).await);
    assert_eq!(asked.keys(), ["client_roots", "greeting", "user_name"]);

    let answers = json!({"user_name": accepted(json!({"name": "Ada"}))});
    let again = Asked::of(&retry(&client, "multiple_inputs", &asked, answers).await);
    assert_eq!(again.keys(), ["client_roots", "greeting"]);
    let nothing = Asked::of(&retry(&client, "multiple_inputs", &again, json!({})).await);
    assert_eq!(nothing.keys(), again.keys());

    let roots = json!({"roots": [{"uri": "file:///work", "name": "work"}]});
    let answers = json!({"greeting": sampled("Good day."), "client_roots": roots});
    let done = retry(&client, "multiple_inputs", &nothing, answers).await;
    assert_eq!(done.tool_text(), "Hello, Ada! Good day. Roots: work");
}

/// Unknown answers are ignored, and answers of the wrong shape are asked for again.
#[tokio::test]
async fn answers_that_fit_no_question_change_nothing() {
    let server = conformance().await;
    let client = answering(&server);
    let asked = Asked::of(&call(&client, "elicitation", json!({})).await);

    for answers in [
        json!({}),
        json!({"somebody": accepted(json!({"name": "Eve"}))}),
        json!({"user_name": {}}),
        json!({"user_name": {"action": "agree"}}),
        json!({"user_name": {"action": "accept"}}),
        json!({"user_name": accepted(json!({}))}),
        json!({"user_name": accepted(json!({"name": 7}))}),
        json!({"user_name": sampled("Ada")}),
    ] {
        let again = Asked::of(&retry(&client, "elicitation", &asked, answers).await);
        assert_eq!(again.keys(), ["user_name"]);
    }
    let answers = json!({"somebody": {}, "user_name": accepted(json!({"name": "Ada"}))});
    let done = retry(&client, "elicitation", &asked, answers).await;
    assert_eq!(done.tool_text(), "Hello, Ada!");
}

/// What is no object of answers cannot be read at all.
#[tokio::test]
async fn answers_that_are_no_answers_are_invalid_parameters() {
    let server = conformance().await;
    let client = answering(&server);
    let asked = Asked::of(&call(&client, "elicitation", json!({})).await);

    for answers in [
        json!(null),
        json!([]),
        json!("Ada"),
        json!(7),
        json!({"user_name": null}),
        json!({"user_name": "Ada"}),
        json!({"user_name": [accepted(json!({"name": "Ada"}))]}),
    ] {
        for with_state in [true, false] {
            let mut more = json!({"inputResponses": answers});
            if with_state {
                more["requestState"] = json!(asked.state);
            }
            let answer = call(&client, "elicitation", more).await;
            assert_eq!((answer.status, answer.code()), (200, -32602), "{answers}");
        }
    }
}

/// A client may answer at once what it knows will be asked; it needs no state for that.
#[tokio::test]
async fn answers_without_a_state_are_taken() {
    let server = conformance().await;
    let client = answering(&server);

    let answers = json!({"user_name": accepted(json!({"name": "Ada"}))});
    let done = call(&client, "elicitation", json!({"inputResponses": answers})).await;

    assert_eq!(done.tool_text(), "Hello, Ada!");
}

/// Undeclared kinds are never asked; a call that cannot do without them says which.
#[tokio::test]
async fn a_client_is_asked_only_what_it_declared() {
    let server = conformance().await;
    let elicitation = || json!({"elicitation": {}});
    let sampling = || json!({"sampling": {}});

    for (capabilities, method) in [
        (elicitation(), "elicitation/create"),
        (sampling(), "sampling/createMessage"),
    ] {
        let client = server.stateless().with(capabilities);
        let asked = Asked::of(&call(&client, "capabilities", json!({})).await);
        for question in asked.questions.as_object().expect("questions").values() {
            assert_eq!(question["method"], method);
        }
    }
    for (capabilities, tool) in [
        (json!({}), "capabilities"),
        (json!({"elicitation": {"url": {}}}), "elicitation"),
        (sampling(), "elicitation"),
        (elicitation(), "sampling"),
        (elicitation(), "list_roots"),
        (elicitation(), "multiple_inputs"),
    ] {
        let client = server.stateless().with(capabilities.clone());
        let answer = call(&client, tool, json!({})).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, -32021),
            "{capabilities} {tool}"
        );
        assert!(answer.message()["error"]["data"]["requiredCapabilities"].is_object());
    }
}

/// basic/patterns/mrtr, security: a state is sealed.
#[tokio::test]
async fn a_tampered_state_is_refused_and_changes_nothing() {
    let server = conformance().await;
    let client = answering(&server);
    let asked = Asked::of(&call(&client, "tampered_state", json!({})).await);
    let answers = json!({"confirm": accepted(json!({"ok": true}))});
    let state = asked.state.as_str();
    let flipped = |at: usize| {
        let mut bytes = state.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        json!(String::from_utf8(bytes).expect("it stays ASCII"))
    };

    let mut tampered: Vec<_> = (0..state.len()).step_by(7).map(flipped).collect();
    tampered.extend([
        flipped(state.len() - 1),
        json!(""),
        json!(state[..state.len() - 1]),
        json!(state[1..]),
        json!(format!("{state}A")),
        json!(format!(" {state}")),
        json!("state"),
        json!("A".repeat(100_000)),
        json!(null),
        json!(7),
        json!({"state": state}),
        json!([state]),
    ]);
    for bad in tampered {
        let more = json!({"requestState": bad, "inputResponses": answers});
        refused_the_state(&call(&client, "tampered_state", more).await);
    }

    let done = retry(&client, "tampered_state", &asked, answers).await;
    assert_eq!(done.tool_text(), "Confirmed: accept");
}

/// basic/patterns/mrtr, security: a state is good for the call it was made for.
#[tokio::test]
async fn a_state_is_good_for_its_own_call_only() {
    let server = conformance().await;
    let client = answering(&server);
    let asked = Asked::of(&call(&client, "request_state", json!({})).await);
    let prompt = json!({"name": format!("{PREFIX}prompt")});
    let of_prompt = Asked::of(&client.call("prompts/get", prompt.clone()).await);
    let answers = json!({"confirm": accepted(json!({"ok": true}))});

    // Another tool that asks the very same.
    refused_the_state(&retry(&client, "tampered_state", &asked, answers.clone()).await);
    // A tool that never asks.
    let params = json!({"name": "test_simple_text", "requestState": asked.state});
    refused_the_state(&client.call("tools/call", params).await);
    // Another method, either way.
    let mut params = prompt;
    params["requestState"] = json!(asked.state);
    refused_the_state(&client.call("prompts/get", params).await);
    refused_the_state(&retry(&client, "request_state", &of_prompt, answers.clone()).await);
    // A resource.
    let params = json!({"uri": "test://static-text", "requestState": asked.state});
    refused_the_state(&client.call("resources/read", params).await);

    let done = retry(&client, "request_state", &asked, answers).await;
    assert_eq!(done.tool_text(), "state-ok: accept");
}

/// basic/patterns/mrtr, security: the arguments are part of what a state is good for.
#[tokio::test]
async fn a_state_is_good_for_its_own_arguments_only() {
    let server = Switchboard::start().await;
    let client = server.stateless().with(json!({"sampling": {}}));
    let asked = Asked::of(&client.tool("summarize", json!({"text": "one"})).await);
    let again = async |arguments: Value| {
        let params = json!({"name": "summarize", "arguments": arguments,
            "requestState": asked.state, "inputResponses": {"summary": sampled("short")}});
        client.call("tools/call", params).await
    };

    for arguments in [
        json!({"text": "two"}),
        json!({"text": "one "}),
        json!({"text": "one", "more": 1}),
        json!({}),
    ] {
        refused_the_state(&again(arguments).await);
    }
    assert_eq!(again(json!({"text": "one"})).await.tool_text(), "short");
}

/// basic/patterns/mrtr, security: another server's state is nobody's.
#[tokio::test]
async fn a_state_of_a_server_with_other_keys_is_refused() {
    let (here, there) = (conformance().await, conformance().await);
    let asked = Asked::of(&call(&answering(&there), "elicitation", json!({})).await);
    let answers = json!({"user_name": accepted(json!({"name": "Ada"}))});

    let answer = retry(&answering(&here), "elicitation", &asked, answers.clone()).await;

    refused_the_state(&answer);
    let done = retry(&answering(&there), "elicitation", &asked, answers).await;
    assert_eq!(done.tool_text(), "Hello, Ada!");
}

/// basic/patterns/mrtr: nothing of a round stays on the server, so any server with its keys goes on.
#[tokio::test]
async fn a_round_goes_on_after_a_restart() {
    let setup = Switchboard::with()
        .builtin("conformance")
        .store(Store::Embedded);
    let mut server = setup.start().await;
    let asked = Asked::of(&call(&answering(&server), "elicitation", json!({})).await);

    server.stop().await;
    server.start_again().await;

    let answers = json!({"user_name": accepted(json!({"name": "Ada"}))});
    let done = retry(&answering(&server), "elicitation", &asked, answers).await;
    assert_eq!(done.tool_text(), "Hello, Ada!");
}

/// basic/patterns/mrtr: answers are for their call; the next call of the same tool asks anew.
#[tokio::test]
async fn answers_are_not_remembered_for_the_next_call() {
    let server = conformance().await;
    let client = answering(&server);
    let asked = Asked::of(&call(&client, "elicitation", json!({})).await);
    let answers = json!({"user_name": accepted(json!({"name": "Ada"}))});
    let done = retry(&client, "elicitation", &asked, answers).await;
    assert_eq!(done.tool_text(), "Hello, Ada!");

    let anew = Asked::of(&call(&client, "elicitation", json!({})).await);

    assert_eq!(anew.keys(), ["user_name"]);
    assert_eq!(anew.questions, asked.questions);
}

/// Input required results: other methods have no rounds, and ignore what belongs to them.
#[tokio::test]
async fn only_calls_prompts_and_resources_have_rounds() {
    let server = conformance().await;
    let client = answering(&server);
    let asked = Asked::of(&call(&client, "elicitation", json!({})).await);

    for method in [
        "tools/list",
        "prompts/list",
        "resources/list",
        "server/discover",
    ] {
        let params = json!({"requestState": asked.state, "inputResponses": {"user_name": {}}});
        let result = client.call(method, params).await.result();
        assert_eq!(result["resultType"], "complete", "{method}");
    }
}

/// Input required results: a call that told something before it asks does so on one stream.
#[tokio::test]
async fn a_call_may_tell_progress_before_it_asks() {
    let server = conformance().await;
    let client = answering(&server);
    let params = json!({"name": "test_streaming_elicitation", "arguments": {},
        "_meta": {"progressToken": "p"}});

    let message = client.message("tools/call", params);
    let answer = client.send(client.request(&message)).await;

    let asked = Asked::of(&answer);
    assert_eq!(asked.keys(), ["user_name"]);
    let events = answer.events();
    let methods: Vec<_> = events.iter().map(crate::world::Event::method).collect();
    assert_eq!(
        methods,
        ["notifications/progress", ""],
        "no request on the stream"
    );
}
