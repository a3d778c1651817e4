//! Tools that misbehave: each has one clear outcome, for its own call, and nobody else notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use switchboard::prelude::*;
use tokio::sync::Notify;

use crate::world::own::Own;
use crate::world::{Answer, eventually, within};

/// More notifications than any buffer on their way holds.
const FLOOD: u64 = 100_000;
/// What fits into no message, with the limit set below.
const HUGE: usize = 200_000;

fn tool<F>(name: &str, function: impl Fn() -> F + Send + Sync + 'static) -> Tool
where
    F: Future<Output = Result<String, ToolError>> + Send + 'static,
{
    Tool::new(name, move |_, NoArguments {}| function())
}

/// One tool of each kind of misbehaviour, and a good one that takes its time.
fn house(begun: &Arc<Notify>, go_on: &Arc<Notify>) -> ServerBuilder {
    let (begun, go_on) = (begun.clone(), go_on.clone());
    let object = json!({"type": "object", "required": ["n"],
                        "properties": {"n": {"type": "integer"}}});
    let takes_none = json!({"type": "object"});
    Server::builder("test", "1")
        .tool(tool("panics_at_once", || -> std::future::Ready<_> {
            panic!("at once")
        }))
        .tool(tool("panics_later", || async {
            tokio::task::yield_now().await;
            panic!("later")
        }))
        .tool(tool("hangs", std::future::pending))
        .tool(
            Tool::untyped("breaks_its_word", takes_none, |_, _| async {
                Ok(ToolResult::structured(json!({"n": "seven"})))
            })
            .output_schema(object),
        )
        .tool(tool("says_too_much", || async { Ok("x".repeat(HUGE)) }))
        .tool(tool("good", move || {
            let (begun, go_on) = (begun.clone(), go_on.clone());
            async move {
                begun.notify_one();
                go_on.notified().await;
                Ok("good".to_owned())
            }
        }))
}

/// What a client is told about a call that failed by a fault of its tool.
fn says(answer: &Answer, text: &str) {
    assert_eq!((answer.status, answer.code()), (200, -32_603));
    let error = &answer.message()["error"];
    let told = error["message"].as_str().expect("an error has a message");
    assert!(told.contains(text), "{error}");
    for inner in ["at once", "later", "seven", "xxx"] {
        assert!(!error.to_string().contains(inner), "{error}");
    }
}

/// Ours: a fault of one call is told to its client without particulars, in every revision; calls
/// that run beside it, and the session it ran in, go on.
#[tokio::test]
async fn a_fault_ends_its_own_call_and_no_other() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let limits = "server.limits.event = \"100KiB\"";
    let own = Own::with(house(&begun, &go_on), limits).await;
    let session = Arc::new(own.session("2025-11-25").await);
    for (bad, text) in [
        ("panics_at_once", "internal error"),
        ("panics_later", "internal error"),
        ("breaks_its_word", "internal error"),
        ("says_too_much", "more than the 102400"),
    ] {
        let good = session.clone();
        let beside = tokio::spawn(async move { good.tool("good", json!({})).await });
        within("the good call begins", begun.notified()).await;

        says(&session.tool(bad, json!({})).await, text);
        says(&own.stateless().tool(bad, json!({})).await, text);

        go_on.notify_one();
        let beside = within("the good call ends", beside).await.unwrap();
        assert_eq!(beside.tool_text(), "good", "beside {bad}");
    }
    let (_, metrics) = own.get("/metrics").await;
    assert!(metrics.contains("mcp_running_calls 0"), "{metrics}");
}

/// Ours: a tool that hangs is given up at the deadline; its session answers meanwhile.
#[tokio::test]
async fn a_tool_that_hangs_is_given_up_and_holds_nobody_up() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let times = "calls.grace = \"50ms\"\ncalls.deadline = \"1s\"";
    let own = Own::with(house(&begun, &go_on), times).await;
    let session = Arc::new(own.session("2025-11-25").await);
    let stuck = session.clone();
    let stuck = tokio::spawn(async move { stuck.tool("hangs", json!({})).await });

    go_on.notify_one();
    assert_eq!(session.tool("good", json!({})).await.tool_text(), "good");
    let given_up = "did not end within its deadline";
    says(&own.stateless().tool("hangs", json!({})).await, given_up);

    let stuck = within("it is given up", stuck).await.unwrap();
    says(&stuck, given_up);
    go_on.notify_one();
    assert_eq!(session.tool("good", json!({})).await.tool_text(), "good");
}

/// A tool that tells of progress without end, and how often it has.
fn flood() -> (ServerBuilder, Arc<AtomicU64>) {
    let told = Arc::new(AtomicU64::new(0));
    let counting = told.clone();
    let tool = Tool::new("flood", move |ctx: Context, NoArguments {}| {
        let told = counting.clone();
        async move {
            let text = "x".repeat(1_000);
            for step in 1..=FLOOD {
                #[expect(clippy::cast_precision_loss, reason = "a hundred thousand is exact")]
                ctx.progress(step as f64, None, Some(&text)).await;
                told.store(step, Ordering::Relaxed);
            }
            Ok("done")
        }
    });
    (Server::builder("test", "1").tool(tool), told)
}

/// Memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("memory can be read");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.expect("memory is a number") * 1_024
}

/// 2026-07-28 basic/utilities/progress; ours: a client that reads slowly slows the tool down, so
/// what it has not read takes no memory; once it reads, it gets everything, in order.
#[tokio::test]
async fn a_flood_of_progress_waits_for_its_reader() {
    let (server, told) = flood();
    let own = Own::start(server).await;
    let client = own.stateless();
    let params = json!({"name": "flood", "arguments": {}, "_meta": {"progressToken": 1}});
    let message = client.message("tools/call", params);
    let before = resident();
    let mut response = client.request(&message).send().await.unwrap();

    let mut last = 0;
    let stands = eventually("the tool waits", || {
        let (now, was) = (told.load(Ordering::Relaxed), last);
        last = now;
        async move { (now > 0 && now == was).then_some(now) }
    })
    .await;
    assert!(stands < FLOOD, "it waits after {stands}");
    let grown = resident().saturating_sub(before);
    assert!(grown < 40_000_000, "{grown} bytes more");

    let (mut line, mut step, mut answer) = (Vec::new(), 0_u64, Value::Null);
    while let Some(chunk) = within("more comes", response.chunk()).await.unwrap() {
        for byte in chunk {
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            if let Some(data) = line.strip_prefix(b"data:".as_slice()) {
                let message: Value = serde_json::from_slice(data).unwrap_or_default();
                if message["method"] == "notifications/progress" {
                    step += 1;
                    assert_eq!(message["params"]["progress"], step);
                } else if message.is_object() {
                    answer = message;
                }
            }
            line.clear();
        }
    }
    assert_eq!(step, FLOOD);
    assert_eq!(answer["result"]["content"][0]["text"], "done");
    let grown = resident().saturating_sub(before);
    assert!(grown < 80_000_000, "{grown} bytes more");
}

/// basic/transports (2025-11-25), resumability; ours: what a session keeps of a flood is bounded,
/// and a client that comes late gets the end of it.
#[tokio::test]
async fn a_flood_into_a_session_leaves_a_bounded_log() {
    let (server, told) = flood();
    let own = Own::start(server).await;
    let session = own.session("2025-11-25").await;
    let before = resident();
    let (_, mut stream) = session.stream_tool("flood", json!({})).await;
    let priming = stream.priming().await;

    drop(stream);

    eventually("the tool ends without its reader", || async {
        (told.load(Ordering::Relaxed) == FLOOD).then_some(())
    })
    .await;
    let grown = resident().saturating_sub(before);
    assert!(grown < 80_000_000, "{grown} bytes more");
    let late = session.get(priming.id.as_deref()).await;
    let late = Answer::read(late).await;
    assert!(late.text.len() < 3_000_000, "{} bytes", late.text.len());
}
