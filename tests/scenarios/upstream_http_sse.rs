//! Upstreams of HTTP+SSE (2024-11-05) that fail in all the ways their one stream can.

use serde_json::{Value, json};

use crate::world::bystander::Bystander;
use crate::world::process::{memory, memory_most};
use crate::world::scripted::{Heard, Script, Scripted, said};
use crate::world::scripted_stream::{Say, ScriptedStream};
use crate::world::{Setup, Switchboard, eventually};

/// What all faults together may cost.
const COST_MAX: u64 = 128 << 20;

/// A tool that fails, what is said when it is called with this id, and what the client is told;
/// nothing, if the call succeeds all the same.
struct Fault {
    tool: &'static str,
    says: fn(&Value) -> Say,
    told: &'static str,
}

const fn fault(tool: &'static str, says: fn(&Value) -> Say, told: &'static str) -> Fault {
    Fault { tool, says, told }
}

const FAULTS: &[Fault] = &[
    fault("fine", |id| Say::Messages(vec![said(id, "fine")]), ""),
    fault("says_nothing", |_| Say::Nothing, "did not answer within 3."),
    fault(
        "answers_another_id",
        |_| Say::Messages(vec![said(&json!(1_000_000), "not yours")]),
        "did not answer within 3.",
    ),
    fault(
        "answers_nothing_asked",
        |id| {
            Say::Messages(vec![
                said(&json!(1_000_000), "not yours"),
                json!([]),
                json!("x"),
                said(id, "fine"),
            ])
        },
        "",
    ),
    fault("ends", |_| Say::End, "broke off before it answered"),
    fault(
        "never_ends_an_event",
        |_| Say::Endless("data: x\n".to_owned()),
        "more than the 1048576 bytes",
    ),
    fault(
        "never_ends_a_line",
        |_| Say::Endless("x".to_owned()),
        "more than the 1048576 bytes",
    ),
    fault(
        "never_stops_telling",
        |_| Say::Endless(event(&notice())),
        "did not answer within 3.",
    ),
    fault(
        "never_stops_asking",
        |_| Say::Endless(event(&question())),
        "did not answer within 3.",
    ),
    fault("fine", |id| Say::Messages(vec![said(id, "fine")]), ""),
];

fn event(message: &Value) -> String {
    format!("data: {message}\n\n")
}

fn notice() -> Value {
    let params = json!({"level": "info", "data": "x".repeat(1_000)});
    json!({"jsonrpc": "2.0", "method": "notifications/message", "params": params})
}

fn question() -> Value {
    json!({"jsonrpc": "2.0", "id": 7, "method": "sampling/createMessage", "params": {}})
}

fn fails(heard: &Heard) -> Say {
    let id = &heard.message["id"];
    let result =
        |result: Value| Say::Messages(vec![json!({"jsonrpc": "2.0", "id": id, "result": result})]);
    match heard.method() {
        "initialize" => result(json!({"protocolVersion": "2024-11-05",
            "capabilities": {"tools": {}}, "serverInfo": {"name": "scripted", "version": "1"}})),
        "tools/list" => {
            let tools = FAULTS.iter().map(|fault| fault.tool);
            let tools = tools.map(|name| json!({"name": name, "inputSchema": {"type": "object"}}));
            result(json!({"tools": tools.collect::<Vec<_>>()}))
        }
        "tools/call" => {
            let name = &heard.message["params"]["name"];
            let fault = FAULTS.iter().find(|fault| name == fault.tool);
            (fault.unwrap().says)(id)
        }
        "ping" => result(json!({})),
        _told => Say::Nothing,
    }
}

fn gateway(faulty: &str, well: &Switchboard) -> Setup {
    Switchboard::with().keeps_log().config(&format!(
        "[calls]\ndeadline = \"3s\"\n\
        [endpoints.main]\npath = \"/mcp\"\nupstreams = [\"faulty\", \"well\"]\n\
        [upstreams.well]\nurl = \"{}\"\n\
        [upstreams.faulty]\nurl = \"{faulty}\"\nlimits.message = \"1MiB\"\n\
        timeouts.connect = \"1s\"\nbreaker.min_calls = 1000\n",
        well.url("/mcp")
    ))
}

/// Ours.
#[tokio::test]
async fn each_fault_of_an_upstream_of_http_sse_is_one_clear_error() {
    let upstream = ScriptedStream::start(fails).await;
    let well = Switchboard::start().await;
    let gateway = gateway(&upstream.url, &well).start().await;
    gateway.lists(&["faulty.fine", "well.echo"]).await;
    let bystander = Bystander::of(&gateway, "well.echo");
    let before = memory(gateway.pid());
    let client = gateway.stateless();

    let mut wrong = Vec::new();
    for fault in FAULTS {
        let name = format!("faulty.{}", fault.tool);
        // What is said on a stream that is never quiet again is lost, until that is noticed.
        let answer = eventually("a stream carries answers", async || {
            let answer = client.tool(&name, json!({})).await;
            let is_lost = fault.told.is_empty() && answer.failure().contains("did not answer");
            (!is_lost).then_some(answer)
        })
        .await;
        let failure = answer.failure();
        let is_told = match fault.told {
            "" => answer.message()["result"]["content"][0]["text"] == "fine",
            told => failure.contains(told) && failure.contains("upstream `faulty`"),
        };
        if !is_told || answer.text.contains("not yours") {
            wrong.push(format!(
                "{}: not {:?} but {}",
                fault.tool, fault.told, answer.text
            ));
        }
    }

    let most = memory_most(gateway.pid());
    println!("-- memory: {before} bytes, at most {most}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(most - before < COST_MAX, "{before} became {most}");
    bystander.noticed_nothing().await;
    assert!(gateway.is_running() && gateway.is_healthy().await);
}

/// 2024-11-05 basic/transports, HTTP with SSE: the first event says where to post, on the same server.
#[tokio::test]
async fn a_stream_that_begins_wrong_is_told_to_whoever_calls() {
    let well = Switchboard::start().await;
    let other = Scripted::start(|_| Script::Bare(202)).await;
    let elsewhere = format!("event: endpoint\ndata: {}\n\n", other.url);
    for (begins, told) in [
        (Script::Open(String::new()), "answered HTTP 405"),
        (Script::Endless(STREAM, ": x\n"), "answered HTTP 405"),
        (Script::Endless(STREAM, "x"), "broke the protocol"),
        (Script::Open(elsewhere), "broke the protocol"),
        (Script::Stream(String::new()), "broke the protocol"),
    ] {
        let upstream = Scripted::start(move |request| match &*request.verb {
            "GET" => begins.clone(),
            _ => Script::Bare(405),
        })
        .await;
        let url = format!("{}\"\nisolation = \"session", upstream.url);
        let gateway = gateway(&url, &well).start().await;
        let answer = gateway.stateless().tool("faulty.tool", json!({})).await;
        let expected = format!("upstream `faulty` {told} when it was connected to");
        assert!(answer.failure().starts_with(&expected), "{}", answer.text);
    }
    assert!(other.heard(|_| true).is_empty(), "nothing is posted there");
}

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
