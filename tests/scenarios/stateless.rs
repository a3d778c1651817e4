//! The stateless era over HTTP: a request stands alone, and its headers say what its body says.

use std::collections::BTreeSet;

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::world::client::post;
use crate::world::{Answer, Stateless, Switchboard, eventually, within};

const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
const CANCELLED: &str =
    r#"mcp_requests_total{method="tools/call",era="stateless",outcome="cancelled"}"#;

/// A POST of `message` that repeats its version and nothing else.
fn bare(server: &Switchboard, message: &Value) -> RequestBuilder {
    println!("-> {message}");
    post(&crate::world::http_client(), &server.url("/mcp"))
        .header("mcp-protocol-version", "2026-07-28")
        .body(message.to_string())
}

async fn sent(request: RequestBuilder) -> Answer {
    let response = within("the answer begins", request.send()).await;
    Answer::read(response.expect("the server answers")).await
}

/// A long call that tells its progress; it never ends by itself.
fn long_call(client: &Stateless, interval_ms: u32) -> Value {
    client.message(
        "tools/call",
        json!({"name": "countdown", "arguments": {"from": 100_000, "interval_ms": interval_ms},
            "_meta": {"progressToken": "p"}}),
    )
}

/// Nothing runs, and one call was cancelled.
async fn one_call_was_cancelled(server: &Switchboard) {
    eventually("the call is cancelled", || async {
        let running = server.metric("mcp_running_calls").await;
        (server.metric(CANCELLED).await == 1.0 && running == 0.0).then_some(())
    })
    .await;
}

/// 2026-07-28 basic/transports/streamable-http: what other eras know is no business of this one.
#[tokio::test]
async fn stray_headers_of_sessions_are_ignored() {
    let server = Switchboard::start().await;
    let client = server.stateless();
    let message = client.message("tools/list", json!({}));

    let request = client.request(&message);
    let request = request
        .header("mcp-session-id", "nobody's")
        .header("last-event-id", "17");
    let answer = client.send(request).await;

    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("mcp-session-id"), "");
    assert!(!answer.is_stream());
    assert_eq!(server.metric("mcp_sessions_opened_total").await, 0.0);
}

/// 2026-07-28 basic/index, result type and server info; server/utilities/caching.
#[tokio::test]
async fn every_result_says_its_kind_its_server_and_how_long_it_may_be_kept() {
    let server = Switchboard::start().await;
    let client = server.stateless();

    for (method, params, cacheable) in [
        ("server/discover", json!({}), true),
        ("tools/list", json!({}), true),
        ("prompts/list", json!({}), true),
        ("resources/list", json!({}), true),
        ("resources/templates/list", json!({}), true),
        ("resources/read", json!({"uri": "clock://now"}), true),
        (
            "tools/call",
            json!({"name": "echo", "arguments": {"text": "x"}}),
            false,
        ),
        (
            "tools/call",
            json!({"name": "echo", "arguments": {}}),
            false,
        ),
        (
            "prompts/get",
            json!({"name": "greet", "arguments": {"name": "Ada"}}),
            false,
        ),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "greet"},
                "argument": {"name": "name", "value": "A"}}),
            false,
        ),
    ] {
        let result = client.call(method, params).await.result();

        assert_eq!(result["resultType"], "complete", "{method}");
        assert_eq!(result["_meta"][SERVER_INFO]["name"], "switchboard-demo");
        assert!(result["ttlMs"].is_u64() == cacheable, "{method}: {result}");
        let scope = result.get("cacheScope").and_then(Value::as_str);
        let known = matches!(scope, Some("private" | "public"));
        assert_eq!(
            (known, scope.is_some()),
            (cacheable, cacheable),
            "{method}: {result}"
        );
    }
}

/// 2026-07-28 server/discover.
#[tokio::test]
async fn discovery_tells_versions_and_capabilities() {
    let server = Switchboard::start().await;
    let answer = server.stateless().call("server/discover", json!({})).await;

    let result = answer.result();
    let versions = json!([
        "2026-07-28",
        "2025-11-25",
        "2025-06-18",
        "2025-03-26",
        "2024-11-05"
    ]);
    assert_eq!(result["supportedVersions"], versions);
    for capability in ["tools", "prompts", "resources"] {
        assert!(result["capabilities"][capability].is_object(), "{result}");
    }
    assert!(result["instructions"].is_string(), "{result}");
    assert_eq!(result.get("serverInfo"), None, "it stands in `_meta`");
    assert_eq!(result["capabilities"].get("tasks"), None, "{result}");
}

/// 2026-07-28 changelog, removed methods; basic/transports/streamable-http, status codes.
#[tokio::test]
async fn methods_that_do_not_exist_are_not_found() {
    let server = Switchboard::start().await;
    let client = server.stateless();

    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "tasks/result",
        "tasks/list",
        "roots/list",
        "sampling/createMessage",
        "notifications/initialized",
        "tools/List",
        "nobody/knows",
    ] {
        let answer = client.call(method, json!({})).await;
        assert_eq!((answer.status, answer.code()), (404, -32601), "{method}");
    }
}

/// 2026-07-28 basic/index, capabilities: what is not advertised is not there.
#[tokio::test]
async fn methods_behind_capabilities_nobody_advertised_are_not_found() {
    let server = Switchboard::with().builtin("none").start().await;
    let client = server.stateless();
    let discovered = client.call("server/discover", json!({})).await.result();
    let capabilities = &discovered["capabilities"];
    for capability in ["tools", "prompts", "resources", "completions"] {
        assert_eq!(capabilities.get(capability), None, "{capabilities}");
    }

    for (method, params) in [
        ("tools/list", json!({})),
        ("tools/call", json!({"name": "echo"})),
        ("prompts/list", json!({})),
        ("prompts/get", json!({"name": "greet"})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({"uri": "clock://now"})),
        ("completion/complete", json!({})),
    ] {
        let answer = client.call(method, params).await;
        assert_eq!((answer.status, answer.code()), (404, -32601), "{method}");
    }
}

/// 2026-07-28 basic/transports/streamable-http, standard headers.
#[tokio::test]
async fn headers_that_do_not_say_what_the_body_says_are_refused() {
    let server = Switchboard::start().await;
    let client = server.stateless();
    let echo = client.message(
        "tools/call",
        json!({"name": "echo", "arguments": {"text": "x"}}),
    );
    let read = client.message("resources/read", json!({"uri": "clock://now"}));
    let greet = client.message(
        "prompts/get",
        json!({"name": "greet", "arguments": {"name": "Ada"}}),
    );
    let list = client.message("tools/list", json!({}));
    let echo64 = "=?base64?ZWNobw==?=";

    for (message, headers, fits) in [
        (&list, vec![("mcp-method", "tools/list")], true),
        (&list, vec![], false),
        (&list, vec![("mcp-method", "tools/call")], false),
        (&list, vec![("mcp-method", "Tools/List")], false),
        (
            &list,
            vec![("mcp-method", "=?base64?dG9vbHMvbGlzdA==?=")],
            false,
        ),
        (
            &list,
            vec![("mcp-method", "tools/list"), ("mcp-method", "tools/list")],
            false,
        ),
        // A name nobody needs is not looked at.
        (
            &list,
            vec![("mcp-method", "tools/list"), ("mcp-name", "echo")],
            true,
        ),
        (
            &echo,
            vec![("mcp-method", "tools/call"), ("mcp-name", "echo")],
            true,
        ),
        (
            &echo,
            vec![("mcp-method", "tools/call"), ("mcp-name", echo64)],
            true,
        ),
        (&echo, vec![("mcp-method", "tools/call")], false),
        (&echo, vec![("mcp-name", "echo")], false),
        (
            &echo,
            vec![("mcp-method", "tools/call"), ("mcp-name", "stream")],
            false,
        ),
        (
            &echo,
            vec![("mcp-method", "tools/call"), ("mcp-name", "Echo")],
            false,
        ),
        (
            &echo,
            vec![("mcp-method", "tools/call"), ("mcp-name", "")],
            false,
        ),
        (
            &echo,
            vec![
                ("mcp-method", "tools/call"),
                ("mcp-name", "=?base64?ZWNobw?="),
            ],
            false,
        ),
        (
            &echo,
            vec![
                ("mcp-method", "tools/call"),
                ("mcp-name", "=?base64?&&&&?="),
            ],
            false,
        ),
        (
            &echo,
            vec![
                ("mcp-method", "tools/call"),
                ("mcp-name", "=?base64?/w==?="),
            ],
            false,
        ),
        (
            &echo,
            vec![
                ("mcp-method", "tools/call"),
                ("mcp-name", "=?BASE64?ZWNobw==?="),
            ],
            false,
        ),
        (
            &echo,
            vec![
                ("mcp-method", "tools/call"),
                ("mcp-name", "echo"),
                ("mcp-name", "echo"),
            ],
            false,
        ),
        (
            &read,
            vec![
                ("mcp-method", "resources/read"),
                ("mcp-name", "clock://now"),
            ],
            true,
        ),
        (
            &read,
            vec![
                ("mcp-method", "resources/read"),
                ("mcp-name", "clock://then"),
            ],
            false,
        ),
        (&read, vec![("mcp-method", "resources/read")], false),
        (
            &greet,
            vec![("mcp-method", "prompts/get"), ("mcp-name", "greet")],
            true,
        ),
        (
            &greet,
            vec![("mcp-method", "prompts/get"), ("mcp-name", "echo")],
            false,
        ),
        (&greet, vec![("mcp-method", "prompts/get")], false),
    ] {
        let request = headers
            .iter()
            .fold(bare(&server, message), |request, (name, value)| {
                request.header(*name, *value)
            });
        let answer = sent(request).await;

        let expected = if fits { 200 } else { 400 };
        assert_eq!(answer.status, expected, "{headers:?}: {}", answer.text);
        assert_eq!(answer.message()["id"], message["id"], "{headers:?}");
        if !fits {
            assert_eq!(answer.code(), -32020, "{headers:?}");
        }
    }
    let twice = bare(&server, &list).header("mcp-method", "tools/list");
    let answer = sent(twice.header("mcp-protocol-version", "2026-07-28")).await;
    assert_eq!(
        (answer.status, answer.code()),
        (400, -32020),
        "{}",
        answer.text
    );
}

/// RFC 9110 section 5.1: names of headers have no case.
#[tokio::test]
async fn header_names_may_be_written_in_any_case() {
    let server = Switchboard::start().await;
    let titled = Client::builder().http1_title_case_headers().build();
    let titled = titled.expect("a client can be built");
    let message = server.stateless().message(
        "tools/call",
        json!({"name": "echo", "arguments": {"text": "x"}}),
    );

    let request = post(&titled, &server.url("/mcp"))
        .header("MCP-Protocol-Version", "2026-07-28")
        .header("MCP-METHOD", "tools/call")
        .header("Mcp-Name", "echo")
        .body(message.to_string());
    let answer = sent(request).await;

    assert_eq!(answer.tool_text(), "x");
}

/// 2026-07-28 basic/transports/streamable-http, value encoding: any text fits into a header.
#[tokio::test]
async fn a_name_beyond_ascii_travels_encoded() {
    let server = Switchboard::start().await;
    let client = server.stateless();
    let message = client.message("prompts/get", json!({"name": "世界"}));
    let request = || bare(&server, &message).header("mcp-method", "prompts/get");

    let encoded = sent(request().header("mcp-name", "=?base64?5LiW55WM?=")).await;
    let raw = sent(request().header("mcp-name", "世界".as_bytes())).await;

    // It came through to where names are looked up, and there is none like it.
    assert_eq!((encoded.status, encoded.code()), (200, -32602));
    assert_eq!((raw.status, raw.code()), (400, -32020));
}

/// 2026-07-28 server/tools, custom headers from parameters.
#[tokio::test]
async fn an_annotated_argument_is_repeated_in_its_header() {
    let server = Switchboard::with().builtin("conformance").start().await;
    let client = server.stateless();

    for (arguments, headers, runs_in) in [
        (
            json!({"region": "eu"}),
            vec![("mcp-param-region", "eu")],
            Some("eu"),
        ),
        (
            json!({"region": "eu"}),
            vec![("Mcp-Param-Region", "=?base64?ZXU=?=")],
            Some("eu"),
        ),
        (
            json!({"region": " 世"}),
            vec![("mcp-param-region", "=?base64?IOS4lg==?=")],
            Some(" 世"),
        ),
        (json!({"region": "eu"}), vec![], None),
        (
            json!({"region": "eu"}),
            vec![("mcp-param-region", "us")],
            None,
        ),
        (
            json!({"region": "eu"}),
            vec![("mcp-param-region", "EU")],
            None,
        ),
        (
            json!({"region": "eu"}),
            vec![("mcp-param-region", "=?base64?ZXU?=")],
            None,
        ),
        (
            json!({"region": "eu"}),
            vec![("mcp-param-region", "eu"), ("mcp-param-region", "eu")],
            None,
        ),
        (json!({}), vec![], Some("nowhere")),
        (json!({}), vec![("mcp-param-region", "eu")], None),
        (
            json!({"region": "eu"}),
            vec![("mcp-param-region", "eu"), ("mcp-param-zone", "1")],
            Some("eu"),
        ),
    ] {
        let params = json!({"name": "test_x_mcp_header", "arguments": arguments});
        let message = client.message("tools/call", params);
        let request = headers
            .iter()
            .fold(client.request(&message), |request, (name, value)| {
                request.header(*name, *value)
            });
        let answer = client.send(request).await;

        if let Some(region) = runs_in {
            assert_eq!(
                answer.tool_text(),
                format!("Region: {region}"),
                "{headers:?}"
            );
        } else {
            let found = (answer.status, answer.code());
            assert_eq!(found, (400, -32020), "{arguments} {headers:?}");
            assert_eq!(answer.message()["id"], message["id"]);
        }
    }
}

/// 2026-07-28 server/tools: the annotations a client gets are ones it can follow.
#[tokio::test]
async fn a_published_annotation_is_a_header_name_of_its_own() {
    let server = Switchboard::with().builtin("conformance").start().await;

    let listed = server
        .stateless()
        .call("tools/list", json!({}))
        .await
        .result();

    let mut annotated = 0;
    for tool in listed["tools"].as_array().expect("tools are a list") {
        let mut names = BTreeSet::new();
        let properties = tool["inputSchema"]["properties"].as_object();
        for property in properties
            .into_iter()
            .flat_map(|properties| properties.values())
        {
            if let Some(name) = property.get("x-mcp-header") {
                let name = name.as_str().expect("a header name is text");
                let is_token =
                    |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
                assert!(!name.is_empty() && name.bytes().all(is_token), "{name:?}");
                assert!(
                    names.insert(name.to_ascii_lowercase()),
                    "{name:?} comes twice"
                );
                assert!(
                    ["string", "integer", "boolean"]
                        .map(Value::from)
                        .contains(&property["type"])
                );
                annotated += 1;
            }
        }
    }
    assert!(annotated > 0, "the set has an annotated tool");
}

/// 2026-07-28 basic/transports/streamable-http, receiving messages; basic/utilities/progress.
#[tokio::test]
async fn a_call_that_tells_progress_streams_it_and_then_its_answer() {
    let server = Switchboard::start().await;
    let client = server.stateless();
    let message = client.message(
        "tools/call",
        json!({"name": "countdown", "arguments": {"from": 5, "interval_ms": 20},
            "_meta": {"progressToken": "p"}}),
    );

    let answer = client.send(client.request(&message)).await;

    assert!(answer.is_stream());
    assert_eq!(answer.header("x-accel-buffering"), "no");
    assert_eq!(answer.header("mcp-session-id"), "");
    let events = answer.events();
    let (last, before) = events.split_last().expect("the stream says something");
    assert_eq!(last.json()["id"], message["id"]);
    assert_eq!(last.json()["result"]["resultType"], "complete");
    let mut reached = 0.0;
    for event in before {
        assert_eq!(event.method(), "notifications/progress");
        let params = &event.json()["params"];
        assert_eq!(params["progressToken"], "p");
        let progress = params["progress"].as_f64().expect("progress is a number");
        assert!(progress > reached, "{progress} after {reached}");
        reached = progress;
    }
    assert_eq!(reached, 5.0);
    for event in &events {
        assert_eq!(
            (&event.id, event.retry),
            (&None, None),
            "nothing to come back to"
        );
    }
}

/// 2026-07-28 basic/utilities/progress: no token, no progress.
#[tokio::test]
async fn progress_is_told_only_to_those_who_asked() {
    let server = Switchboard::start().await;

    let arguments = json!({"from": 4, "interval_ms": 100});
    let answer = server.stateless().tool("countdown", arguments).await;

    assert_eq!(answer.tool_text(), "counted down from 4: liftoff");
    let messages = if answer.is_stream() {
        answer.events().len()
    } else {
        1
    };
    assert_eq!(messages, 1, "{}", answer.text);
}

/// 2026-07-28 basic/patterns/cancellation: closing the stream is cancelling.
#[tokio::test]
async fn closing_the_stream_cancels_the_call() {
    let server = Switchboard::start().await;
    let client = server.stateless();
    let params = long_call(&client, 20)["params"].take();
    let (_, mut stream) = client.stream("tools/call", params).await;
    stream.message().await;
    assert_eq!(server.metric("mcp_running_calls").await, 1.0);

    drop(stream);

    one_call_was_cancelled(&server).await;
    assert!(server.is_healthy().await);
}

/// 2026-07-28 basic/patterns/cancellation: also where the call itself has nothing to say.
#[tokio::test]
async fn closing_a_silent_stream_cancels_the_call() {
    let server = Switchboard::start().await;
    let client = server.stateless();
    let params = long_call(&client, 60_000)["params"].take();
    let (_, stream) = client.stream("tools/call", params).await;

    drop(stream);

    one_call_was_cancelled(&server).await;
}

/// 2026-07-28 basic/patterns/cancellation: also before a first byte of the answer was written.
#[tokio::test]
async fn going_away_before_the_answer_begins_cancels_the_call() {
    let server = Switchboard::start().await;
    let client = server.stateless();
    let call = client.request(&long_call(&client, 60_000)).send();

    let runs = eventually("the call runs", || async {
        (server.metric("mcp_running_calls").await == 1.0).then_some(())
    });
    tokio::select! {
        _answer = call => {}
        () = runs => {}
    }

    // Either way the client has let go of it by now.
    one_call_was_cancelled(&server).await;
}

/// 2026-07-28 basic/transports/streamable-http: a long silence is broken by comments.
#[tokio::test]
async fn a_silent_call_shows_that_it_lives() {
    let config = "[streams]\nstateless_heartbeat = \"50ms\"";
    let server = Switchboard::with().config(config).start().await;
    let client = server.stateless();
    let params = long_call(&client, 60_000)["params"].take();

    let (_, mut stream) = client.stream("tools/call", params).await;

    for _ in 0..3 {
        stream.heartbeat().await;
    }
}

/// 2026-07-28 server/utilities/logging: a level per request, and none without it.
#[tokio::test]
async fn log_lines_come_only_to_the_request_that_asked_and_at_its_level() {
    let server = Switchboard::with().builtin("conformance").start().await;
    let client = server.stateless();
    let call = async |level: Option<&str>| {
        let mut params = json!({"name": "test_logging_tool", "arguments": {}});
        if let Some(level) = level {
            params["_meta"][LOG_LEVEL] = json!(level);
        }
        let message = client.message("tools/call", params);
        client.send(client.request(&message)).await
    };

    for (level, lines) in [
        (None, 0),
        (Some("debug"), 1),
        (Some("info"), 1),
        (Some("notice"), 0),
        (Some("emergency"), 0),
    ] {
        let answer = call(level).await;
        assert_eq!(answer.tool_text(), "Logging tool completed");
        let events = if answer.is_stream() {
            answer.events()
        } else {
            Vec::new()
        };
        let logged: Vec<_> = events
            .iter()
            .filter(|event| event.method() == "notifications/message")
            .map(|event| event.json()["params"]["level"].clone())
            .collect();
        assert_eq!(logged, vec![json!("info"); lines], "{level:?}");
    }
    let answer = call(Some("loud")).await;
    assert_eq!((answer.status, answer.code()), (200, -32602));
}

/// 2026-07-28 basic/index, missing client capability.
#[tokio::test]
async fn what_needs_an_undeclared_capability_names_it() {
    let server = Switchboard::start().await;
    let roots = server.stateless().with(json!({"roots": {}}));
    let url_only = server.stateless().with(json!({"elicitation": {"url": {}}}));

    for (client, tool, capability) in [
        (&roots, "ask_name", "elicitation"),
        (&roots, "summarize", "sampling"),
        (&url_only, "ask_name", "elicitation"),
    ] {
        let answer = client.tool(tool, json!({"text": "x"})).await;

        assert_eq!((answer.status, answer.code()), (400, -32021), "{tool}");
        let required = &answer.message()["error"]["data"]["requiredCapabilities"];
        assert!(required[capability].is_object(), "{required}");
        let named = required.as_object().expect("it is an object").len();
        assert_eq!(named, 1, "{required}");
    }
    assert_eq!(server.metric("mcp_running_calls").await, 0.0);
}

/// 2026-07-28 server/resources, error handling; basic/index, error codes.
#[tokio::test]
async fn a_resource_that_is_not_there_is_an_invalid_parameter() {
    let server = Switchboard::start().await;
    let client = server.stateless();

    let answer = client
        .call("resources/read", json!({"uri": "clock://then"}))
        .await;

    assert_eq!((answer.status, answer.code()), (200, -32602));
    let message = answer.message();
    assert_eq!(message["error"]["data"]["uri"], "clock://then");
    assert_eq!(message.get("result"), None, "not an empty list of contents");
}

/// 2026-07-28 server/tools, server/prompts, server/utilities/pagination: error handling.
#[tokio::test]
async fn names_and_cursors_nobody_gave_out_are_invalid_parameters() {
    let server = Switchboard::start().await;
    let client = server.stateless();

    for (method, params) in [
        ("tools/call", json!({"name": "nobody", "arguments": {}})),
        (
            "tools/call",
            json!({"name": "ECHO", "arguments": {"text": "x"}}),
        ),
        ("tools/call", json!({"name": "", "arguments": {}})),
        ("tools/call", json!({"arguments": {}})),
        ("tools/call", json!({"name": "echo", "arguments": ["x"]})),
        ("tools/call", json!({"name": "echo", "arguments": "x"})),
        ("prompts/get", json!({"name": "nobody"})),
        ("prompts/get", json!({"name": "greet"})),
        ("resources/read", json!({})),
        ("tools/list", json!({"cursor": "made up"})),
        ("tools/list", json!({"cursor": ""})),
        ("tools/list", json!({"cursor": 1})),
        ("prompts/list", json!({"cursor": "made up"})),
        ("resources/list", json!({"cursor": "made up"})),
        ("resources/templates/list", json!({"cursor": "made up"})),
        ("completion/complete", json!({})),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "nobody"},
                "argument": {"name": "name", "value": ""}}),
        ),
    ] {
        let answer = client.call(method, params.clone()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (200, -32602),
            "{method} {params}"
        );
    }
}

/// 2026-07-28 server/tools, error handling: what a model got wrong, a model can put right.
#[tokio::test]
async fn arguments_of_the_wrong_shape_are_told_to_the_model() {
    let server = Switchboard::start().await;
    let client = server.stateless();

    for (tool, arguments) in [
        ("echo", json!({})),
        ("echo", json!({"text": 7})),
        ("countdown", json!({"from": 0})),
        ("countdown", json!({"from": "ten"})),
    ] {
        let answer = client.tool(tool, arguments.clone()).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.result()["isError"], true, "{tool} {arguments}");
        assert!(answer.tool_text().starts_with("invalid arguments"));
    }
}

/// 2026-07-28 server/utilities/completion: at most a hundred values, and those that fit.
#[tokio::test]
async fn completion_offers_what_begins_like_it() {
    let server = Switchboard::start().await;
    let client = server.stateless();

    for (value, expected) in [
        ("", json!(["Ada", "Alan", "Barbara", "Grace"])),
        ("A", json!(["Ada", "Alan"])),
        ("Grace", json!(["Grace"])),
        ("x", json!([])),
    ] {
        let params = json!({"ref": {"type": "ref/prompt", "name": "greet"},
            "argument": {"name": "name", "value": value}});
        let result = client.call("completion/complete", params).await.result();
        let completion = &result["completion"];
        assert_eq!(completion["values"], expected, "{value:?}");
        let count = completion["values"].as_array().map_or(0, Vec::len);
        assert!(count <= 100);
        assert_ne!(completion["hasMore"], true, "{completion}");
    }
}

/// 2026-07-28 server/tools, listing: the same for everybody, in the same order, whatever happened.
#[tokio::test]
async fn lists_depend_on_nothing_but_what_is_offered() {
    let one = Switchboard::with().builtin("conformance").start().await;
    let other = Switchboard::with().builtin("conformance").start().await;
    let methods = [
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
    ];

    for method in methods {
        let first = one.stateless().call(method, json!({})).await.result();

        let _session = one.session("2025-11-25").await;
        let client = one
            .stateless()
            .with(json!({"sampling": {}, "elicitation": {}}));
        client.tool("test_simple_text", json!({})).await;
        client.tool("test_trigger_tool_change", json!({})).await;

        assert_eq!(
            client.call(method, json!({})).await.result(),
            first,
            "{method}"
        );
        let elsewhere = other.stateless().call(method, json!({})).await.result();
        assert_eq!(elsewhere, first, "{method}");
    }
}

/// 2026-07-28 basic/index, error codes: retired and reserved ones never leave.
#[tokio::test]
async fn retired_error_codes_are_never_sent() {
    let server = Switchboard::with().builtin("conformance").start().await;
    let client = server.stateless();

    for (method, params) in [
        ("resources/read", json!({"uri": "test://nobody"})),
        ("resources/read", json!({"uri": ""})),
        ("resources/read", json!({"uri": 7})),
        ("tools/call", json!({"name": "test_missing_capability"})),
        ("tools/call", json!({"name": "nobody"})),
        ("prompts/get", json!({"name": "nobody"})),
        ("nobody/knows", json!({})),
        ("subscriptions/listen", json!({})),
    ] {
        let code = client.call(method, params).await.code();
        assert!(code != -32002 && code != -32042, "{method}: {code}");
        assert!(!(-32099..=-32023).contains(&code), "{method}: {code}");
    }
}
