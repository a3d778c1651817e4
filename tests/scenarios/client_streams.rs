//! Our client and servers that break off, say too much, or say nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::client::{Builder, Client, ClientError, Limits, Program, Request, Speak};
use switchboard::protocol::version::Era;
use switchboard::runtime::tasks::Tasks;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::world::scripted::{Heard, Script, Scripted, said};
use crate::world::{eventually, within};

fn builder(era: Era) -> Builder {
    let tasks = Tasks::on(tokio::runtime::Handle::current());
    Client::builder(tasks).speak(Speak::Era(era))
}

fn call() -> Request {
    Request::new("tools/call", &json!({"name": "t", "arguments": {}}))
}

fn is_call(heard: &Heard) -> bool {
    heard.method() == "tools/call"
}

/// What a call comes to in a session with a server that answers it like this.
async fn in_a_session(
    script: impl Fn(&Heard) -> Script + Send + Sync + 'static,
) -> (ClientError, usize) {
    let server = Scripted::session(script).await;
    let client = builder(Era::Session).http(&server.url).await.unwrap();
    let error = within("the call ends", client.request(call()))
        .await
        .unwrap_err();
    (error, server.heard(is_call).len())
}

/// 2025-11-25 basic/transports, resumability and polling.
#[tokio::test]
async fn a_stream_that_breaks_off_is_resumed_after_the_last_event() {
    let server = Scripted::session(|request| match request.header("last-event-id") {
        None => Script::Stream("retry: 1\nid: e1\ndata:\n\n".into()),
        Some("e1") => Script::Stream("id: e2\ndata: \n\n".into()),
        Some(_) => {
            let result = said(&json!(3), "after all");
            Script::Stream(format!("id: e3\ndata: {result}\n\n"))
        }
    })
    .await;
    let client = builder(Era::Session).http(&server.url).await.unwrap();

    let result = within("it is answered", client.request(call()))
        .await
        .unwrap();

    assert!(result.as_str().contains("after all"));
    let resumed = server.heard(|heard| heard.header("last-event-id").is_some());
    let cursors: Vec<_> = resumed
        .iter()
        .map(|heard| heard.header("last-event-id").unwrap())
        .collect();
    assert_eq!(cursors, ["e1", "e2"]);
    assert!(
        resumed
            .iter()
            .all(|heard| heard.header("mcp-session-id") == Some("s1"))
    );
    assert_eq!(server.heard(is_call).len(), 1, "it is sent once");
}

/// Nothing with side effects is run again silently.
#[tokio::test]
async fn a_stream_that_cannot_be_resumed_leaves_the_outcome_unknown() {
    for script in [
        Script::Stream(": nothing\n\n".into()),
        Script::Stream(String::new()),
        Script::Raw(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
                .into(),
        ),
        Script::Raw(Vec::new()),
    ] {
        let shown = format!("{script:?}");
        let (error, calls) = in_a_session(move |_| script.clone()).await;
        assert!(
            matches!(error, ClientError::OutcomeUnknown { .. }),
            "{shown}: {error}"
        );
        assert!(!error.is_retryable());
        assert_eq!(calls, 1, "{shown}");
    }
    let (error, calls) = in_a_session(|request| match &*request.verb {
        "POST" => Script::Stream("id: e1\nretry: 1\ndata:\n\n".into()),
        _ => Script::Bare(400),
    })
    .await;
    assert!(
        matches!(error, ClientError::OutcomeUnknown { .. }),
        "{error}"
    );
    assert_eq!(calls, 1);
}

/// A server that lets its client come back for nothing is given up.
#[tokio::test]
async fn resuming_ends_when_it_brings_nothing() {
    let server =
        Scripted::session(|_| Script::Stream("id: same\nretry: 1\ndata:\n\n".into())).await;
    let client = builder(Era::Session).http(&server.url).await.unwrap();
    let error = within("it is given up", client.request(call()))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ClientError::OutcomeUnknown { .. }),
        "{error}"
    );
    let resumed = server.heard(|heard| heard.header("last-event-id").is_some());
    assert!(resumed.len() <= 10, "{}", resumed.len());
}

#[tokio::test]
async fn what_is_too_much_or_makes_no_sense_is_refused() {
    const JSON: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":\"";
    const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: ";
    type Expected = fn(&ClientError) -> bool;
    let too_large: Expected = |error| matches!(error, ClientError::TooLarge { .. });
    let protocol: Expected = |error| matches!(error, ClientError::Protocol(_));
    let scripts: [(Script, Expected); 8] = [
        (Script::Endless(JSON, "0123456789"), too_large),
        (Script::Endless(EVENTS, "0123456789"), too_large),
        (Script::Endless(EVENTS, "x\ndata: "), too_large),
        (Script::Json(200, json!({"hello": "world"})), protocol),
        (Script::Json(200, said(&json!(99), "for another")), protocol),
        (Script::Stream("data: {no json\n\n".into()), protocol),
        (
            Script::Raw(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi".into(),
            ),
            protocol,
        ),
        (Script::Bare(202), protocol),
    ];
    for (script, expected) in scripts {
        let shown = format!("{script:.80?}");
        let server = Scripted::start(move |_| script.clone()).await;
        let limits = Limits {
            message: 100_000,
            ..Limits::default()
        };
        let client = builder(Era::Stateless)
            .limits(limits)
            .http(&server.url)
            .await
            .unwrap();
        let error = within("it is refused", client.request(call()))
            .await
            .unwrap_err();
        assert!(expected(&error), "{shown}: {error}");
        assert_eq!(server.heard(is_call).len(), 1, "{shown}");
    }
}

/// basic/utilities/cancellation: nobody waits any more, so the server may stop.
#[tokio::test]
async fn a_call_that_takes_too_long_is_cancelled() {
    let server = Scripted::session(|_| Script::Nothing).await;
    let brief = builder(Era::Session).timeout(Duration::from_millis(300));
    let client = brief.http(&server.url).await.unwrap();
    let error = within("it times out", client.request(call()))
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::TimedOut(_)), "{error}");
    let id = server.heard(is_call)[0].message["id"].clone();
    let cancelled = eventually("it is cancelled", async || {
        server
            .heard(|heard| heard.method() == "notifications/cancelled")
            .pop()
    })
    .await;
    assert_eq!(cancelled.message["params"]["requestId"], id);
}

/// A credential is for one server.
#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Scripted::start(|_| Script::Bare(200)).await;
    let to = format!(
        "HTTP/1.1 307 X\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
        elsewhere.url
    );
    let server = Scripted::start(move |_| Script::Raw(to.clone().into())).await;
    let client = builder(Era::Stateless).header("authorization", "Bearer secret");
    let client = client.http(&server.url).await.unwrap();
    let error = client.request(call()).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Status { status: 307, .. }),
        "{error}"
    );
    assert_eq!(
        server.heard(is_call)[0].header("authorization"),
        Some("Bearer secret")
    );
    assert!(elsewhere.heard(|_| true).is_empty());
}

/// 2026-07-28 basic/transports, custom headers: after a mismatch the list is looked at again.
#[tokio::test]
async fn argument_headers_follow_the_list_of_tools() {
    let listed = AtomicUsize::new(0);
    let server = Scripted::start(move |request| {
        let id = &request.message["id"];
        match request.method() {
            "tools/list" => {
                let region = match listed.fetch_add(1, Ordering::SeqCst) {
                    0 => json!({"type": "string"}),
                    _ => json!({"type": "string", "x-mcp-header": "Region"}),
                };
                let bad = json!({"type": "number", "x-mcp-header": "A"});
                let tools = json!([
                    {"name": "t", "inputSchema": {"properties": {"region": region}}},
                    {"name": "bad", "inputSchema": {"properties": {"a": bad}}}]);
                let result = json!({"resultType": "complete", "tools": tools});
                Script::Json(200, json!({"jsonrpc": "2.0", "id": id, "result": result}))
            }
            _ if request.header("mcp-param-region") == Some("=?base64?w6k=?=") => {
                Script::Json(200, said(id, "found"))
            }
            _ => {
                let error = json!({"code": -32020, "message": "header missing"});
                Script::Json(400, json!({"jsonrpc": "2.0", "id": id, "error": error}))
            }
        }
    })
    .await;
    let client = builder(Era::Stateless).http(&server.url).await.unwrap();
    let call = || {
        Request::new(
            "tools/call",
            &json!({"name": "t", "arguments": {"region": "é"}}),
        )
    };
    let result = client.request(call()).await.unwrap();
    assert!(result.as_str().contains("found"));
    client.request(call()).await.unwrap();
    assert_eq!(server.heard(is_call).len(), 3, "the second call knows");
    assert_eq!(server.heard(is_call)[0].header("mcp-name"), Some("t"));
    let tools = client.tools().await.unwrap();
    assert_eq!(tools.len(), 1, "a tool with a bad annotation is left out");
}

/// 2026-07-28 basic/patterns/mrtr: the state goes back byte for byte, rounds are bounded.
#[tokio::test]
async fn a_server_that_asks_forever_is_left() {
    let rounds = Arc::new(AtomicUsize::new(0));
    let counted = rounds.clone();
    let server = Scripted::start(move |request| {
        if request.method() != "tools/call" {
            return Script::Bare(404);
        }
        let round = counted.fetch_add(1, Ordering::SeqCst);
        let ask = json!({"method": "elicitation/create", "params": {"message": "?"}});
        Script::Json(
            200,
            json!({"jsonrpc": "2.0", "id": request.message["id"], "result": {
            "resultType": "input_required", "inputRequests": {"k": ask},
            "requestState": format!("\u{1F600}/{round}")}}),
        )
    })
    .await;
    let client = builder(Era::Stateless).on_elicitation(async |_| {
        Ok(switchboard::protocol::raw::RawJson::from_valid(
            r#"{"action":"decline"}"#,
        ))
    });
    let client = client.http(&server.url).await.unwrap();
    let error = within("it is left", client.request(call()))
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Rounds(10)), "{error}");
    let heard = server.heard(is_call);
    assert_eq!(heard.len(), 11);
    for (round, heard) in heard.iter().enumerate().skip(1) {
        let params = &heard.message["params"];
        assert_eq!(params["requestState"], format!("\u{1F600}/{}", round - 1));
        assert_eq!(params["inputResponses"]["k"]["action"], "decline");
    }
    let ids: std::collections::HashSet<_> = heard
        .iter()
        .map(|heard| heard.message["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 11, "each round has an id of its own");
}

/// The tasks extension of 2026-07-28: asked for until it has ended, its questions answered once.
#[tokio::test]
async fn a_task_is_followed_to_its_result() {
    let looks = Arc::new(AtomicUsize::new(0));
    let server = Scripted::start(move |request| {
        let task = |status: &str, more: Value| {
            let mut task = json!({"resultType": "complete", "taskId": "t1", "status": status,
                "pollIntervalMs": 50});
            task.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            task
        };
        let ask = json!({"inputRequests": {"q": {"method": "elicitation/create", "params": {}}}});
        let result = match request.method() {
            "tools/call" => task("working", json!({"resultType": "task"})),
            "tasks/update" => json!({"resultType": "complete"}),
            _ => match looks.fetch_add(1, Ordering::SeqCst) {
                0 => task("working", json!({})),
                1 | 2 => task("input_required", ask),
                _ => task(
                    "completed",
                    json!({"result": {"content": [{"type": "text", "text": "done"}]}}),
                ),
            },
        };
        Script::Json(
            200,
            json!({"jsonrpc": "2.0", "id": request.message["id"], "result": result}),
        )
    })
    .await;
    let client = builder(Era::Stateless)
        .follows_tasks()
        .on_elicitation(async |_| {
            Ok(switchboard::protocol::raw::RawJson::from_valid(
                r#"{"action":"cancel"}"#,
            ))
        });
    let client = client.http(&server.url).await.unwrap();
    let result = within("it ends", client.request(call())).await.unwrap();
    assert!(result.as_str().contains("done"));
    assert_eq!(
        server.heard(|heard| heard.method() == "tasks/update").len(),
        1
    );
    let looked = server.heard(|heard| heard.method() == "tasks/get");
    assert!(
        looked
            .iter()
            .all(|heard| heard.header("mcp-name") == Some("t1"))
    );
}

/// basic/transports, stdio: a line without end must not fill our memory.
#[tokio::test]
async fn an_endless_line_fails_what_waits_and_nothing_else() {
    let (ours, mut theirs) = tokio::io::duplex(1_000);
    let limits = Limits {
        message: 10_000,
        ..Limits::default()
    };
    let (input, output) = tokio::io::split(ours);
    let client = builder(Era::Stateless)
        .limits(limits)
        .pipe(input, output)
        .await
        .unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.request(call()).await }
    });
    let mut lines = BufReader::new(&mut theirs);
    lines.read_line(&mut String::new()).await.unwrap();
    theirs
        .write_all("x".repeat(20_000).as_bytes())
        .await
        .unwrap();
    let error = within("it fails", waiting).await.unwrap().unwrap_err();
    assert!(
        matches!(error, ClientError::Overlong { max: 10_000 }),
        "{error}"
    );

    let waiting = tokio::spawn(async move { client.request(call()).await });
    theirs.write_all(b"\nnoise\n").await.unwrap();
    let mut line = String::new();
    BufReader::new(&mut theirs)
        .read_line(&mut line)
        .await
        .unwrap();
    let request: Value = serde_json::from_str(&line).unwrap();
    let answer = said(&request["id"], "fine").to_string() + "\n";
    theirs.write_all(answer.as_bytes()).await.unwrap();
    within("the next is answered", waiting)
        .await
        .unwrap()
        .unwrap();
}

/// 2026-07-28 basic/versioning: some servers leave when asked anything before the handshake.
#[tokio::test]
async fn a_program_that_leaves_when_asked_is_started_again_for_a_handshake() {
    const OLD: &str = r#"while read -r line; do
        id=${line#*\"id\":}; id=${id%%,*}
        case "$line" in
            *server/discover*) exit 1;;
            *'"initialize"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"protocolVersion":"2024-11-05","capabilities":{},"serverInfo":{"name":"old","version":"1"}}}';;
            *tools/list*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"tools":[{"name":"a"}]}}';;
        esac; done"#;
    let tasks = Tasks::on(tokio::runtime::Handle::current());
    let program = shell(OLD);
    let client = within("it connects", Client::builder(tasks).program(&program))
        .await
        .unwrap();
    assert_eq!(client.version().as_str(), "2024-11-05");
    assert_eq!(client.tools().await.unwrap().len(), 1);
    within("it ends", client.close()).await;
}

/// basic/lifecycle, shutdown: a wrapper takes its server with it.
#[tokio::test]
async fn a_program_ends_with_everything_it_started() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let script = format!(
        "trap '' TERM; sleep 600 & echo $! > {}; cat > /dev/null; sleep 600",
        file.display()
    );
    let client = builder(Era::Stateless)
        .program(&shell(&script))
        .await
        .unwrap();
    let pid = eventually("it runs", async || {
        std::fs::read_to_string(&file)
            .ok()
            .filter(|text| text.ends_with('\n'))
    })
    .await;
    within("it ends", client.close()).await;
    let process = format!("/proc/{}/stat", pid.trim());
    eventually("what it started has ended", async || {
        let stat = std::fs::read_to_string(&process).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    })
    .await;
}

fn shell(script: &str) -> Program {
    Program::new("sh", vec!["-c".into(), script.into()])
}
