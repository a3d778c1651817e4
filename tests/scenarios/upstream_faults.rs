//! Upstreams that fail in all the ways there are: each call gets one clear error that names the
//! upstream, and nobody else notices.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::bystander::Bystander;
use crate::world::process::{memory, memory_most};
use crate::world::scripted::{Heard, Script, Scripted, of_session_era, of_stateless_era, said};
use crate::world::{Answer, Setup, Switchboard, eventually};

/// What an answer may be large here.
const MESSAGE: usize = 1 << 20;
/// What all faults together may cost: several answers of [`MESSAGE`] at once, and what an allocator keeps.
const COST_MAX: u64 = 128 << 20;

const OBJECT: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
const NOTICE: &str = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":\"x\"}}\n\n";

/// One way to fail: the tool that fails so, what is answered to a call with this id, and what the
/// client is told by each era's upstream; nothing, if the call succeeds all the same.
struct Fault {
    tool: &'static str,
    answers: fn(&Value) -> Script,
    told: [&'static str; 2],
}

const fn fault(tool: &'static str, answers: fn(&Value) -> Script, told: &'static str) -> Fault {
    let told = [told; 2];
    Fault {
        tool,
        answers,
        told,
    }
}

const FAULTS: &[Fault] = &[
    fault(
        "says_nothing",
        |_| Script::Nothing,
        "did not answer within 3.",
    ),
    fault(
        "dribbles",
        |_| Script::Dribble(OBJECT),
        "did not answer within 3.",
    ),
    fault(
        "dribbles_events",
        |_| Script::Dribble(STREAM),
        "did not answer within 3.",
    ),
    fault(
        "never_ends",
        |_| Script::Endless(OBJECT, " "),
        "more than the 1048576 bytes",
    ),
    fault(
        "never_ends_an_event",
        |_| Script::Endless(STREAM, "data: x\n"),
        "more than the 1048576 bytes",
    ),
    fault(
        "never_ends_a_line",
        |_| Script::Endless(STREAM, "x"),
        "more than the 1048576 bytes",
    ),
    fault(
        "never_stops_telling",
        |_| Script::Endless(STREAM, NOTICE),
        "did not answer within 3.",
    ),
    fault(
        "answers_too_much",
        |id| Script::Json(200, said(id, &"x".repeat(2 * MESSAGE))),
        "more than the 1048576 bytes",
    ),
    fault("answers_zipped", |_| zipped(), "broke the protocol"),
    fault(
        "answers_another_id",
        |_| Script::Json(200, said(&json!(1_000_000), "not yours")),
        "broke the protocol",
    ),
    fault(
        "answers_another_id_in_words",
        |id| Script::Json(200, said(&json!(id.to_string()), "not yours")),
        "broke the protocol",
    ),
    fault(
        "streams_another_id",
        |_| events(&[said(&json!(1_000_000), "not yours")]),
        "broke off",
    ),
    fault(
        "answers_twice",
        |id| events(&[said(id, "fine"), said(id, "again")]),
        "",
    ),
    fault("names_another_session", in_another_session, ""),
    fault(
        "answers_nothing_asked",
        |id| events(&[said(&json!(1_000_000), "not yours"), said(id, "fine")]),
        "",
    ),
    fault(
        "tells_ten_megabytes",
        |id| {
            Script::Raw(
                [
                    STREAM.as_bytes(),
                    &ten_megabytes_of_notices(),
                    event(&said(id, "fine")).as_bytes(),
                ]
                .concat(),
            )
        },
        "",
    ),
    fault(
        "answers_no_json",
        |_| body("{\"jsonrpc\":"),
        "broke the protocol",
    ),
    fault("answers_nothing", |_| body(""), "broke the protocol"),
    fault("answers_an_array", |_| body("[]"), "broke the protocol"),
    fault("answers_a_word", |_| body("\"x\""), "broke the protocol"),
    fault(
        "answers_deep",
        |_| body(&"[".repeat(1_000)),
        "broke the protocol",
    ),
    fault(
        "answers_a_key_twice",
        |id| {
            body(&format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[]}},"result":{{"content":[]}}}}"#
            ))
        },
        "broke the protocol",
    ),
    fault(
        "has_an_array_for_a_result",
        |id| Script::result(id, &json!([])),
        "broke the protocol",
    ),
    fault(
        "has_an_object_for_content",
        |id| Script::result(id, &json!({"content": {}})),
        "broke the protocol",
    ),
    fault(
        "has_a_word_for_an_error",
        |id| Script::Json(200, json!({"jsonrpc": "2.0", "id": id, "error": "no"})),
        "broke the protocol",
    ),
    fault(
        "answers_a_page",
        |_| {
            Script::Raw(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: 4\r\n\r\n<p>x"
                    .into(),
            )
        },
        "broke the protocol",
    ),
    fault(
        "answers_no_http",
        |_| Script::Raw(b"hello\r\n\r\n".into()),
        "broke off",
    ),
    fault("closes_at_once", |_| Script::Raw(Vec::new()), "broke off"),
    fault(
        "redirects",
        |_| {
            Script::Raw(
                b"HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:1/\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                    .into(),
            )
        },
        "answered HTTP 302",
    ),
    fault("is_401", |_| Script::Bare(401), "answered HTTP 401"),
    fault(
        "is_403",
        |id| Script::Json(403, json!({"id": id, "detail": "secret"})),
        "answered HTTP 403",
    ),
    Fault {
        tool: "is_404",
        answers: |_| Script::Bare(404),
        told: ["lost our session", "answered HTTP 404"],
    },
    fault(
        "is_429",
        |_| Script::Bare(429),
        "wants no more requests now",
    ),
    fault("is_500", |_| Script::Bare(500), "answered HTTP 500"),
    fault(
        "is_500_in_words",
        |_| Script::Json(500, json!({"detail": "secret"})),
        "answered HTTP 500",
    ),
    fault(
        "is_503",
        |_| Script::Bare(503),
        "wants no more requests now",
    ),
    fault(
        "is_503_in_words",
        |_| {
            Script::Raw(b"HTTP/1.1 503 X\r\nRetry-After: 7\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".into())
        },
        "try again in 7 s",
    ),
    fault(
        "is_503_of_ours",
        |id| {
            Script::Json(
                503,
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32603, "message": "secret"}}),
            )
        },
        "wants no more requests now",
    ),
    // A question of the session era on a stream of the other; there it is one that nobody can answer.
    Fault {
        tool: "asks",
        answers: |id| {
            events(&[
                json!({"jsonrpc": "2.0", "id": 7, "method": "sampling/createMessage", "params": {}}),
                said(id, "fine"),
            ])
        },
        told: ["", "broke the protocol"],
    },
];

fn body(text: &str) -> Script {
    Script::Raw([OBJECT.as_bytes(), text.as_bytes()].concat())
}

fn event(message: &Value) -> String {
    format!("data: {message}\n\n")
}

fn events(messages: &[Value]) -> Script {
    let events = messages.iter().map(event).collect::<String>();
    Script::Raw([STREAM, &events].concat().into())
}

/// A hundred megabytes, packed.
static ZIPPED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut packing = Command::new("sh");
    let packing = packing.args(["-c", "head -c 100000000 /dev/zero | gzip -9"]);
    packing.output().unwrap().stdout
});

fn in_another_session(id: &Value) -> Script {
    let head = OBJECT.replace("\r\n\r\n", "\r\nMcp-Session-Id: s2\r\n\r\n");
    Script::Raw([head, said(id, "fine").to_string()].concat().into())
}

fn zipped() -> Script {
    let head = OBJECT.replace("\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n");
    Script::Raw([head.as_bytes(), &ZIPPED].concat())
}

fn ten_megabytes_of_notices() -> Vec<u8> {
    let data = "x".repeat(10_000);
    let notice = NOTICE.replace("\"x\"", &format!("{data:?}"));
    notice.repeat(10 * MESSAGE / notice.len()).into()
}

fn fails(heard: &Heard) -> Script {
    let id = &heard.message["id"];
    match heard.method() {
        "server/discover" => Script::Bare(400),
        "tools/list" => Script::tools(id, FAULTS.iter().map(|fault| fault.tool)),
        "tools/call" => {
            let fault = FAULTS
                .iter()
                .find(|it| heard.message["params"]["name"] == it.tool);
            (fault.unwrap().answers)(id)
        }
        "ping" => Script::result(id, &json!({})),
        _answer_of_ours => Script::Bare(202),
    }
}

/// A gateway before an upstream that fails, told so by `faulty`, and one that is well.
fn gateway(faulty: &str, well: &Switchboard) -> Setup {
    Switchboard::with().keeps_log().config(&format!(
        "[calls]\ndeadline = \"3s\"\n\
        [endpoints.main]\npath = \"/mcp\"\nupstreams = [\"faulty\", \"well\"]\n\
        [upstreams.well]\nurl = \"{}\"\n\
        [upstreams.faulty]\n{faulty}\n",
        well.url("/mcp")
    ))
}

fn at(upstream: &Scripted) -> String {
    format!(
        "url = \"{}\"\nlimits.message = \"1MiB\"\nbreaker.min_calls = 1000",
        upstream.url
    )
}

async fn each_fault_is_told(upstream: Scripted, of_era: usize) {
    let well = Switchboard::start().await;
    let gateway = gateway(&at(&upstream), &well).start().await;
    gateway.lists(&["faulty.asks", "well.echo"]).await;
    LazyLock::force(&ZIPPED);
    let bystander = Bystander::of(&gateway, "well.echo");
    let before = memory(gateway.pid());
    let client = gateway.stateless();

    let mut wrong = Vec::new();
    for fault in FAULTS {
        let name = format!("faulty.{}", fault.tool);
        let answer = client.tool(&name, json!({})).await;
        let (failure, told) = (answer.failure(), fault.told[of_era]);
        let is_told = match told {
            "" => answer.message()["result"]["content"][0]["text"] == "fine",
            told => failure.contains(told) && failure.contains("upstream `faulty`"),
        };
        if !is_told || answer.text.contains("not yours") || answer.text.contains("secret") {
            wrong.push(format!("{}: not {told:?} but {}", fault.tool, answer.text));
        }
    }

    let most = memory_most(gateway.pid());
    println!("-- memory: {before} bytes, at most {most}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(most - before < COST_MAX, "{before} became {most}");
    bystander.noticed_nothing().await;
    assert!(gateway.is_running() && gateway.is_healthy().await);
    let strays = upstream.heard(|heard| heard.header("mcp-session-id") == Some("s2"));
    assert!(strays.is_empty(), "only a handshake names a session");
}

/// Ours.
#[tokio::test]
async fn each_fault_of_an_upstream_with_sessions_is_one_clear_error() {
    let upstream = Scripted::start(of_session_era(fails)).await;
    each_fault_is_told(upstream, 0).await;
}

/// Ours.
#[tokio::test]
async fn each_fault_of_an_upstream_without_sessions_is_one_clear_error() {
    let upstream = Scripted::start(of_stateless_era(fails)).await;
    each_fault_is_told(upstream, 1).await;
}

/// The program of `tests/servers/faulty.py`.
fn program(words: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/faulty.py");
    let script = script.display().to_string();
    let words = ["python3", &script]
        .into_iter()
        .chain(words.iter().copied());
    format!("command = {}", json!(words.collect::<Vec<_>>()))
}

/// What a client is told of the faults of a program.
const OF_PROGRAMS: [(&str, &str); 20] = [
    ("fine", ""),
    ("hangs", "did not answer within 3."),
    ("leaves", "broke off"),
    ("garbage", ""),
    ("long_line", "more than the 1048576 bytes"),
    ("wrong_id", "did not answer within 3."),
    ("twice", ""),
    ("to_nothing", ""),
    ("no_json", "did not answer within 3."),
    ("duplicate_keys", "did not answer within 3."),
    ("array", "did not answer within 3."),
    ("array_result", "broke the protocol"),
    ("flood", ""),
    ("asks", ""),
    ("stops_reading", "did not answer within 3."),
    ("fine", ""),
    ("half_a_line", "did not answer within 3."),
    ("closes_input", ""),
    ("fine", "did not answer within 3."),
    ("fine", ""),
];

async fn each_fault_of_a_program_is_told(era: &str) {
    let well = Switchboard::start().await;
    let faulty = format!(
        "{}\nlimits.message = \"1MiB\"\nbreaker.min_calls = 1000\ntimeouts.connect = \"4s\"",
        program(&[era])
    );
    let gateway = gateway(&faulty, &well).start().await;
    gateway.lists(&["faulty.fine", "well.echo"]).await;
    let bystander = Bystander::of(&gateway, "well.echo");
    let before = memory(gateway.pid());
    let client = gateway.stateless();

    let mut wrong = Vec::new();
    for (tool, told) in OF_PROGRAMS {
        let name = format!("faulty.{tool}");
        // What a program that no longer listens was sent before that was noticed is lost.
        let answer = eventually("a program listens", async || {
            let answer = client.tool(&name, json!({})).await;
            let is_lost = told.is_empty() && answer.failure().contains("did not answer within");
            (!is_lost).then_some(answer)
        })
        .await;
        let failure = answer.failure();
        let is_told = match told {
            "" => answer.message()["result"]["content"][0]["text"] == "fine",
            told => failure.contains(told) && failure.contains("upstream `faulty`"),
        };
        if !is_told || answer.text.contains("not yours") {
            wrong.push(format!("{tool}: not {told:?} but {}", answer.text));
        }
    }

    let most = memory_most(gateway.pid());
    println!("-- memory: {before} bytes, at most {most}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(most - before < COST_MAX, "{before} became {most}");
    bystander.noticed_nothing().await;
}

/// Ours.
#[tokio::test]
async fn each_fault_of_a_program_with_sessions_is_one_clear_error() {
    each_fault_of_a_program_is_told("session").await;
}

/// Ours.
#[tokio::test]
async fn each_fault_of_a_program_without_sessions_is_one_clear_error() {
    each_fault_of_a_program_is_told("stateless").await;
}

/// Ours: what waits for room in its pipe is not kept for longer than its client waits.
#[tokio::test]
async fn calls_of_a_program_that_reads_nothing_end_by_their_deadlines() {
    const CALLS: usize = 100;
    let well = Switchboard::start().await;
    let faulty = format!(
        "{}\nbreaker.min_calls = 1000\ntimeouts.connect = \"5s\"",
        program(&["session"])
    );
    let gateway = gateway(&faulty, &well).start().await;
    gateway.lists(&["faulty.fine", "well.echo"]).await;
    let bystander = Bystander::of(&gateway, "well.echo");
    let before = memory(gateway.pid());
    let client = gateway.stateless();
    let is_fine = async || {
        let answer = client.tool("faulty.fine", json!({})).await;
        (answer.message()["result"]["content"][0]["text"] == "fine").then_some(())
    };
    eventually("a process is there", is_fine).await;
    let much = json!({"much": "x".repeat(20_000)});

    let stopping = client.tool("faulty.stops_reading", json!({}));
    let waiting = join_all((0..CALLS).map(|_| client.tool("faulty.fine", much.clone())));
    let (stopped, waited) = tokio::join!(stopping, waiting);

    // What was written before it stopped is answered.
    let told = waited.iter().chain([&stopped]).map(Answer::failure);
    let told = told.filter(|told| !told.is_empty()).collect::<Vec<_>>();
    let late = "upstream `faulty` did not answer within 3.";
    assert!(told.iter().all(|told| told.contains(late)), "{told:?}");
    assert!(told.len() > CALLS / 2, "{} were told", told.len());
    let most = memory_most(gateway.pid());
    println!("-- memory: {before} bytes, at most {most}");
    assert!(most - before < COST_MAX, "{before} became {most}");
    eventually("another process is asked", is_fine).await;
    bystander.noticed_nothing().await;
}

/// Ours: it may have read enough to run it.
#[tokio::test]
async fn a_call_whose_program_ends_while_it_is_written_is_of_unknown_outcome() {
    let well = Switchboard::start().await;
    let gateway = gateway(&program(&["session"]), &well).start().await;
    gateway.lists(&["faulty.leaves_reading"]).await;
    let client = gateway.stateless();
    let left = client.tool("faulty.leaves_reading", json!({})).await;
    assert_eq!(left.tool_text(), "fine");
    let much = json!({"much": "x".repeat(1 << 20)});
    let answer = client.tool("faulty.fine", much).await;
    assert_eq!(answer.message()["error"]["data"]["outcome"], "unknown");
    assert!(answer.failure().contains("upstream `faulty` broke off"));
    assert_eq!(
        client.tool("faulty.fine", json!({})).await.tool_text(),
        "fine"
    );
}

/// Ours: nobody is answered any more by a program that writes what has no end.
#[tokio::test]
async fn a_program_that_writes_without_end_is_replaced() {
    let well = Switchboard::start().await;
    let faulty = format!(
        "{}\nlimits.message = \"1MiB\"\nbreaker.min_calls = 1000",
        program(&["session"])
    );
    let gateway = gateway(&faulty, &well).start().await;
    gateway.lists(&["faulty.fine", "well.echo"]).await;
    let bystander = Bystander::of(&gateway, "well.echo");
    let client = gateway.stateless();
    for tool in ["faulty.long_lines", "faulty.endless_line"] {
        let answer = client.tool(tool, json!({})).await;
        let told = "upstream `faulty` said more than the 1048576 bytes";
        assert!(answer.failure().contains(told), "{}", answer.text);
        assert_eq!(answer.message()["error"]["data"]["outcome"], "unknown");
        eventually("another process is asked", async || {
            let answer = client.tool("faulty.fine", json!({})).await;
            (answer.message()["result"]["content"][0]["text"] == "fine").then_some(())
        })
        .await;
    }
    bystander.noticed_nothing().await;
}

/// Ours: an answer that is too long is one call's, and it is known whose.
#[tokio::test]
async fn a_call_beside_one_that_is_answered_with_too_much_notices_nothing() {
    let well = Switchboard::start().await;
    let faulty = format!("{}\nlimits.message = \"1MiB\"", program(&["stateless"]));
    let gateway = gateway(&faulty, &well).start().await;
    gateway.lists(&["faulty.waits"]).await;
    let (one, other) = (gateway.stateless(), gateway.stateless());
    let waits = one.tool("faulty.waits", json!({}));
    let too_much = async {
        eventually("the first call is there", async || {
            let running = gateway
                .metric("mcp_upstream_running_requests{upstream=\"faulty\"}")
                .await;
            (running > 0.5).then_some(())
        })
        .await;
        other.tool("faulty.long_line", json!({})).await
    };
    let (waited, too_much) = tokio::join!(waits, too_much);
    assert_eq!(waited.tool_text(), "fine");
    assert!(too_much.failure().contains("more than the 1048576 bytes"));
}

/// Ours: however much is told before it, and however slowly that is read, a late call is said to be late.
#[tokio::test]
async fn a_client_that_reads_slowly_hears_that_its_call_was_late() {
    const LATE: &str = "mcp_upstream_requests_total{upstream=\"faulty\",end=\"unknown\"}";
    let well = Switchboard::start().await;
    let upstream = Scripted::session(fails).await;
    let gateway = gateway(&at(&upstream), &well).start().await;
    gateway.lists(&["faulty.never_stops_telling"]).await;
    let session = gateway.session("2025-11-25").await;
    let arguments = json!({});
    let (_, mut stream) = session
        .stream_tool("faulty.never_stops_telling", arguments)
        .await;
    eventually("the call is counted as late", async || {
        (gateway.metric(LATE).await > 0.5).then_some(())
    })
    .await;
    let last = stream
        .until(|event| event.is_message() && event.json()["id"].is_i64())
        .await;
    let error = &last.last().unwrap().json()["error"];
    assert_eq!(error["data"]["outcome"], "unknown", "{error}");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("upstream `faulty`")
    );
}
