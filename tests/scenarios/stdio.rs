//! stdio: one message per line, however the bytes come, both eras on one pair of pipes.
//!
//! Spec: basic/transports, stdio (every revision); 2026-07-28 basic/transports/stdio,
//! basic/versioning.

use serde_json::{Value, json};

use crate::world::stdio::{Piped, claiming, notification, request, text_of, tool};

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// A server that has shaken hands.
async fn session(version: &str) -> Piped {
    let mut server = Piped::start();
    server.shake_hands(version, json!({})).await;
    server
}

/// The code of an error, which echoes its request's id.
fn code_for(answer: &Value, id: &Value) -> i64 {
    assert_eq!(answer.get("id"), Some(id), "{answer}");
    let code = answer["error"]["code"].as_i64();
    code.unwrap_or_else(|| panic!("no error in {answer}"))
}

/// An echo in the era of the session, and one in the other: the pipe is in order.
async fn both_eras_are_served(server: &mut Piped) {
    let (answer, _) = server
        .ask(&tool("with", "echo", json!({"text": "a"})))
        .await;
    assert_eq!(text_of(&answer), "a");
    assert_eq!(answer["result"].get("resultType"), None);
    let without = claiming(tool("without", "echo", json!({"text": "b"})));
    let (answer, _) = server.ask(&without).await;
    assert_eq!(text_of(&answer), "b");
    assert_eq!(answer["result"]["resultType"], "complete");
}

/// basic/lifecycle; 2026-07-28 basic/versioning: each request says what it is.
#[tokio::test]
async fn both_eras_run_interleaved_on_one_pipe() {
    let mut server = Piped::start();
    let result = server.shake_hands("2025-06-18", json!({})).await;
    assert_eq!(result["protocolVersion"], "2025-06-18");

    let countdown = json!({"from": 5, "interval_ms": 20});
    let mut with = tool(1, "countdown", countdown.clone());
    with["params"]["_meta"] = json!({"progressToken": "with"});
    let mut without = tool(2, "countdown", countdown);
    without["params"]["_meta"] = json!({"progressToken": "without"});
    server.say(&with).await;
    server.say(&claiming(without)).await;

    let (mut told_with, mut told_without, mut answers) = (0, 0, Vec::new());
    while answers.len() < 2 {
        let message = server.next().await;
        if message["method"] == "notifications/progress" {
            match message["params"]["progressToken"].as_str() {
                Some("with") => told_with += 1,
                Some("without") => told_without += 1,
                _ => panic!("whose is {message}?"),
            }
        } else {
            answers.push(message);
        }
    }
    assert_eq!((told_with, told_without), (5, 5));
    for answer in answers {
        let kind = answer["result"].get("resultType").cloned();
        let expected = (answer["id"] == 2).then(|| json!("complete"));
        assert_eq!(kind, expected, "{answer}");
    }
    both_eras_are_served(&mut server).await;
}

/// basic/transports, stdio: a message may be far larger than a pipe, in both directions.
#[tokio::test]
async fn a_message_of_five_mebibytes_comes_and_goes_whole() {
    let mut server = session("2025-11-25").await;
    let text = "0123456789abcde☃".repeat(5 * 1024 * 1024 / 18);

    for (id, claims) in [("with", false), ("without", true)] {
        let call = tool(id, "echo", json!({"text": text}));
        let call = if claims { claiming(call) } else { call };
        let (answer, _) = server.ask(&call).await;
        assert!(text_of(&answer) == text, "it comes back as it was");
    }
    both_eras_are_served(&mut server).await;
}

/// basic/transports, stdio: lines are cut by newlines, not by how the bytes come.
#[tokio::test]
async fn messages_are_the_same_however_the_bytes_come() {
    let mut server = Piped::start();
    server.shake_hands("2025-11-25", json!({})).await;

    // One byte after the other, in the middle of a character too.
    let call = format!("{}\n", tool(1, "echo", json!({"text": "snow ☃"})));
    for byte in call.as_bytes() {
        server.write(std::slice::from_ref(byte)).await;
    }
    let (answer, _) = server.answer_to(&json!(1)).await;
    assert_eq!(text_of(&answer), "snow ☃");

    // Many in one write, with the line ends of another system and empty lines between them.
    let mut many = String::new();
    for id in 100..200 {
        many.push_str(&tool(id, "echo", json!({"text": id.to_string()})).to_string());
        many.push_str(if id % 2 == 0 { "\r\n" } else { "\n\n \r\n" });
    }
    server.write(many.as_bytes()).await;
    let mut answered = Vec::new();
    for _ in 100..200 {
        let answer = server.next().await;
        assert_eq!(text_of(&answer), answer["id"].to_string());
        answered.push(answer["id"].as_i64().expect("ids stay numbers"));
    }
    answered.sort_unstable();
    assert_eq!(answered, (100..200).collect::<Vec<_>>());
}

/// basic/transports, stdio: the end of the input ends its last line too.
#[tokio::test]
async fn a_last_line_without_its_newline_is_a_line() {
    let mut server = session("2025-11-25").await;

    let last = tool(1, "echo", json!({"text": "last"}));
    server.write(last.to_string().as_bytes()).await;
    let (status, left) = server.close().await;

    assert_eq!(status.code(), Some(0));
    assert_eq!(left.iter().map(text_of).collect::<Vec<_>>(), ["last"]);
}

/// basic/transports, stdio: a client may write everything, close its end, and then read.
#[tokio::test]
async fn what_was_asked_before_the_input_closed_is_answered() {
    let mut server = session("2025-11-25").await;

    for id in 0..50 {
        let call = tool(id, "echo", json!({"text": id.to_string()}));
        server
            .say(&if id % 2 == 0 { call } else { claiming(call) })
            .await;
    }
    let (status, left) = server.close().await;

    assert_eq!(status.code(), Some(0));
    let mut answered: Vec<_> = left.iter().map(|answer| answer["id"].as_i64()).collect();
    answered.sort_unstable();
    assert_eq!(answered, (0..50).map(Some).collect::<Vec<_>>());
}

/// JSON-RPC 2.0 section 5.1: what cannot be read is answered without an id, and nothing else breaks.
#[tokio::test]
async fn a_line_that_is_no_message_is_refused_and_the_next_is_served() {
    let mut server = session("2025-11-25").await;

    for (line, code, id) in [
        ("{", -32700, None),
        ("not json", -32700, None),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"} {}"#,
            -32700,
            None,
        ),
        ("{}", -32600, None),
        ("[]", -32600, None),
        (
            r#"{"jsonrpc":"1.0","id":7,"method":"ping"}"#,
            -32600,
            Some(json!(7)),
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            -32600,
            None,
        ),
        (
            r#"{"jsonrpc":"2.0","id":0.5,"method":"ping"}"#,
            -32600,
            None,
        ),
    ] {
        server.write(format!("{line}\n").as_bytes()).await;
        let answer = server.next().await;
        assert_eq!(answer["error"]["code"], code, "{line}");
        assert_eq!(answer.get("id"), id.as_ref(), "{line}");
    }
    server
        .write(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}\n")
        .await;
    assert_eq!(server.next().await["error"]["code"], -32700);
    both_eras_are_served(&mut server).await;
}

/// basic/transports, stdio: a line has a bound, and is skipped up to its end.
#[tokio::test]
async fn a_line_over_the_limit_is_refused_once_and_the_next_is_served() {
    let mut server = Piped::with("demo", "[server.limits]\nline = \"64KiB\"");
    server.shake_hands("2025-11-25", json!({})).await;

    let long = tool(1, "echo", json!({"text": "x".repeat(1024 * 1024)}));
    for _ in 0..2 {
        server.say(&long).await;
        let refused = server.next().await;
        assert_eq!(refused["error"]["code"], -32700);
        assert_eq!(refused.get("id"), None);
        both_eras_are_served(&mut server).await;
    }
}

/// basic/transports, stdio: standard output carries messages and nothing else.
#[tokio::test]
async fn log_lines_never_get_among_the_messages() {
    let mut server = Piped::with("conformance", "[log]\nfilter = \"trace\"");
    let result = server.shake_hands("2025-11-25", json!({})).await;
    assert_eq!(result["protocolVersion"], "2025-11-25");

    // Every line is read as a message, so anything else fails where it comes.
    for id in 0..20 {
        server.ask(&tool(id, "test_simple_text", json!({}))).await;
    }
    server.write(b"nonsense\n").await;
    server.next().await;
    let (answer, before) = server
        .ask(&tool(30, "test_tool_with_logging", json!({})))
        .await;
    assert_eq!(answer["result"].get("isError"), None);
    for message in before {
        assert_eq!(message["method"], "notifications/message", "{message}");
    }
    let (status, _) = server.close().await;
    assert_eq!(status.code(), Some(0));
}

/// basic/transports, stdio, shutdown: the end of the input is the end of the server.
#[tokio::test]
async fn a_closed_input_cancels_what_runs_and_ends_the_process() {
    let mut server = session("2025-11-25").await;
    let endless = json!({"from": 100_000, "interval_ms": 20});
    let mut with = tool(1, "countdown", endless.clone());
    with["params"]["_meta"] = json!({"progressToken": 1});
    server.say(&with).await;
    server.next().await;
    server.say(&claiming(tool(2, "countdown", endless))).await;
    let listen = json!({"notifications": {"toolsListChanged": true}});
    server
        .say(&claiming(request("l", "subscriptions/listen", listen)))
        .await;
    loop {
        let message = server.next().await;
        if message["method"] == "notifications/subscriptions/acknowledged" {
            break;
        }
    }

    let (status, left) = server.close().await;

    assert_eq!(status.code(), Some(0));
    let answered: Vec<_> = left
        .iter()
        .filter(|message| message["id"].is_i64())
        .collect();
    assert!(
        answered.is_empty(),
        "cancelled calls are not answered: {answered:?}"
    );
    let closing = left.iter().find(|message| message["id"] == "l");
    let closing = closing.expect("a subscription ends with its result");
    assert_eq!(closing["result"]["_meta"][SUBSCRIPTION], "l");
}

/// basic/transports, stdio, shutdown: nothing has to have been said before.
#[tokio::test]
async fn an_input_that_closes_at_once_ends_the_process_quietly() {
    let (status, left) = Piped::start().close().await;

    assert_eq!(status.code(), Some(0));
    assert_eq!(left, Vec::<Value>::new());
}

/// basic/transports, stdio, shutdown: SIGTERM is the client's next word after closing.
#[tokio::test]
async fn a_terminated_server_ends_though_its_input_is_open() {
    let mut server = session("2025-11-25").await;
    let mut call = tool(1, "countdown", json!({"from": 100_000, "interval_ms": 20}));
    call["params"]["_meta"] = json!({"progressToken": 1});
    server.say(&call).await;
    server.next().await;

    let listen = json!({"notifications": {"toolsListChanged": true}});
    server
        .say(&claiming(request("l", "subscriptions/listen", listen)))
        .await;
    while server.next().await["method"] != "notifications/subscriptions/acknowledged" {}

    let (status, left) = server.terminate().await;

    assert_eq!(status.code(), Some(0));
    let answered = left.iter().filter(|message| message["id"].is_i64());
    assert_eq!(answered.count(), 0, "a cancelled call is not answered");
    let closing = left.iter().find(|message| message["id"] == "l");
    assert!(closing.is_some(), "a subscription ends with its result");
}

/// basic/utilities/cancellation: after it, nothing more is said for that request.
#[tokio::test]
async fn a_cancelled_request_is_not_heard_of_again() {
    let mut server = session("2025-11-25").await;
    let endless = json!({"from": 100_000, "interval_ms": 10});

    for claims in [false, true] {
        let mut call = tool("long", "countdown", endless.clone());
        call["params"]["_meta"] = json!({"progressToken": "long"});
        server
            .say(&if claims { claiming(call) } else { call })
            .await;
        assert_eq!(server.next().await["method"], "notifications/progress");
        let cancelled = json!({"requestId": "long", "reason": "never mind"});
        server
            .say(&notification("notifications/cancelled", cancelled))
            .await;

        // What was on its way may still come before this answer, but nothing after it.
        server
            .ask(&tool("mark", "echo", json!({"text": "x"})))
            .await;
        let (_, after) = server
            .ask(&tool(1, "countdown", json!({"from": 3, "interval_ms": 50})))
            .await;
        assert_eq!(after, Vec::<Value>::new());
    }
    let unknown = json!({"requestId": "nobody's"});
    server
        .say(&notification("notifications/cancelled", unknown))
        .await;
    both_eras_are_served(&mut server).await;
}

/// 2026-07-28 basic/versioning: who asks first what there is may still shake hands.
#[tokio::test]
async fn discovery_leaves_the_choice_of_the_era_open() {
    let mut server = Piped::start();

    let (answer, _) = server
        .ask(&claiming(request("d", "server/discover", json!({}))))
        .await;
    assert_eq!(answer["result"]["supportedVersions"][0], "2026-07-28");
    let result = server.shake_hands("2026-07-28", json!({})).await;

    assert_eq!(result["protocolVersion"], "2025-11-25");
    both_eras_are_served(&mut server).await;
}

/// 2026-07-28 basic/versioning: claims that nobody can serve decide nothing.
#[tokio::test]
async fn refused_claims_leave_the_choice_of_the_era_open() {
    let mut server = Piped::start();
    let claim = |version: Value, capabilities: Value| {
        let meta = json!({"io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": capabilities});
        request("r", "tools/list", json!({"_meta": meta}))
    };

    for (message, code) in [
        (claim(json!("2027-01-01"), json!({})), -32022),
        (claim(json!("2025-11-25"), json!({})), -32022),
        (claim(json!(7), json!({})), -32602),
        (claim(json!("2026-07-28"), json!(null)), -32602),
    ] {
        let (answer, _) = server.ask(&message).await;
        assert_eq!(code_for(&answer, &json!("r")), code, "{message}");
    }
    // Nobody has asked anything yet, so there is nothing to answer.
    server
        .say(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}))
        .await;
    server.shake_hands("2025-11-25", json!({})).await;
    both_eras_are_served(&mut server).await;
}

/// 2026-07-28 basic/versioning: a process in use without a handshake does not take one any more.
#[tokio::test]
async fn a_process_of_the_stateless_era_takes_no_handshake() {
    let mut server = Piped::start();
    let list = claiming(request(1, "tools/list", json!({})));
    let (answer, _) = server.ask(&list).await;
    assert_eq!(answer["result"]["resultType"], "complete");

    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "scenario", "version": "1"}});
    let (answer, _) = server.ask(&request("h", "initialize", params)).await;

    assert_eq!(code_for(&answer, &json!("h")), -32022);
    let supported = answer["error"]["data"]["supported"].as_array();
    assert!(
        supported.is_some_and(|versions| !versions.is_empty()),
        "{answer}"
    );
    let (answer, _) = server.ask(&request("p", "ping", json!({}))).await;
    assert_eq!(code_for(&answer, &json!("p")), -32602);
    let batch = json!([request(5, "ping", json!({}))]);
    server.say(&batch).await;
    assert_eq!(server.next().await["error"]["code"], -32600);
    let (answer, _) = server.ask(&list).await;
    assert_eq!(answer["result"]["resultType"], "complete");
}

/// basic/lifecycle: before the handshake there is only the handshake, and a ping.
#[tokio::test]
async fn nothing_is_served_before_the_handshake_but_a_ping() {
    let mut server = Piped::start();

    let (answer, _) = server.ask(&request(1, "tools/list", json!({}))).await;
    assert_eq!(code_for(&answer, &json!(1)), -32600);
    let (answer, _) = server.ask(&request("p", "ping", json!({}))).await;
    assert_eq!(answer["result"], json!({}));

    server.shake_hands("2025-11-25", json!({})).await;
    both_eras_are_served(&mut server).await;
}

/// 2025-03-26 basic/index, batching; 2025-06-18 changelog.
#[tokio::test]
async fn batches_are_taken_where_the_revision_has_them() {
    let batch = json!([
        request(1, "ping", json!({})),
        notification("notifications/unheard-of", json!({})),
        tool("e", "echo", json!({"text": "x"})),
    ]);
    for version in ["2024-11-05", "2025-03-26"] {
        let mut server = session(version).await;
        server.say(&batch).await;
        let answers = server.next().await;
        let ids = answers.as_array().expect("a batch answers a batch").iter();
        let mut ids: Vec<_> = ids.map(|answer| answer["id"].to_string()).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["\"e\"", "1"], "{version}");
        let claims = json!([claiming(request(1, "tools/list", json!({})))]);
        server.say(&claims).await;
        assert_eq!(server.next().await["error"]["code"], -32600);
        both_eras_are_served(&mut server).await;
    }
    for version in ["2025-06-18", "2025-11-25"] {
        let mut server = session(version).await;
        server.say(&batch).await;
        assert_eq!(server.next().await["error"]["code"], -32600, "{version}");
        both_eras_are_served(&mut server).await;
    }
}

/// 2026-07-28 basic/transports/stdio: a server never asks because of a stateless request.
#[tokio::test]
async fn only_the_session_is_asked_questions() {
    let mut server = Piped::start();
    server
        .shake_hands("2025-11-25", json!({"elicitation": {}}))
        .await;

    let mut without = tool("without", "ask_name", json!({}));
    let capabilities = "io.modelcontextprotocol/clientCapabilities";
    without["params"]["_meta"][capabilities] = json!({"elicitation": {}});
    let (answer, before) = server.ask(&claiming(without)).await;
    assert_eq!(answer["result"]["resultType"], "input_required");
    assert_eq!(before, Vec::<Value>::new());

    server.say(&tool("with", "ask_name", json!({}))).await;
    let question = server.next().await;
    assert_eq!(question["method"], "elicitation/create");
    let content = json!({"action": "accept", "content": {"name": "Ada"}});
    server
        .say(&json!({"jsonrpc": "2.0", "id": question["id"], "result": content}))
        .await;
    let (answer, _) = server.answer_to(&json!("with")).await;
    assert_eq!(text_of(&answer), "Hello, Ada!");
}

/// 2026-07-28 basic/patterns/subscriptions: several on one pipe, told apart by their ids.
#[tokio::test]
async fn subscriptions_share_a_pipe_and_end_on_their_own() {
    let mut server = Piped::with("conformance", "");
    let listen = |id: Value, filter: Value| {
        claiming(request(
            id,
            "subscriptions/listen",
            json!({"notifications": filter}),
        ))
    };
    let change = |id: i64, name: &str| claiming(tool(id, name, json!({})));

    for (id, filter) in [
        (json!(1), json!({"toolsListChanged": true})),
        (json!("1"), json!({"promptsListChanged": true})),
    ] {
        server.say(&listen(id.clone(), filter.clone())).await;
        let acknowledged = server.next().await;
        assert_eq!(
            acknowledged["method"],
            "notifications/subscriptions/acknowledged"
        );
        assert_eq!(acknowledged["params"]["_meta"][SUBSCRIPTION], id);
        assert_eq!(acknowledged["params"]["notifications"], filter);
    }
    let (answer, _) = server.ask(&listen(json!("bad"), json!(null))).await;
    assert_eq!(code_for(&answer, &json!("bad")), -32602);

    server.say(&change(10, "test_trigger_tool_change")).await;
    server
        .say(&notification(
            "notifications/cancelled",
            json!({"requestId": 1}),
        ))
        .await;
    server.say(&request_mark()).await;
    let (_, before) = server.answer_to(&json!("mark")).await;
    for message in before
        .iter()
        .filter(|message| message.get("method").is_some())
    {
        assert_eq!(
            message["params"]["_meta"][SUBSCRIPTION],
            json!(1),
            "{message}"
        );
    }

    // The cancelled one is silent, and its id is free; the other goes on.
    server.ask(&change(11, "test_trigger_tool_change")).await;
    server.say(&change(12, "test_trigger_prompt_change")).await;
    loop {
        let message = server.next().await;
        if message["method"] == "notifications/prompts/list_changed" {
            assert_eq!(message["params"]["_meta"][SUBSCRIPTION], json!("1"));
            break;
        }
        assert_eq!(message.get("method"), None, "{message}");
    }
}

/// An exchange after which everything said before has been taken.
fn request_mark() -> Value {
    claiming(tool("mark", "test_simple_text", json!({})))
}
