//! Upstreams that are programs of ours: they crash, again and again, and nothing of them is left.

use std::path::Path;

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::world::marked::{Mark, zombies_of};
use crate::world::{Setup, Switchboard, eventually, within};

/// The program of `tests/servers/faulty.py`.
fn program(words: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/faulty.py");
    let script = script.display().to_string();
    let words = ["python3", &script]
        .into_iter()
        .chain(words.iter().copied());
    format!("command = {}\n", json!(words.collect::<Vec<_>>()))
}

fn gateway(it: &str) -> Setup {
    Switchboard::with().config(&format!(
        "[endpoints.main]\npath = \"/mcp\"\nupstreams = [\"it\"]\n[upstreams.it]\n{it}\n"
    ))
}

/// When it was started, in seconds.
fn starts(file: &Path) -> Vec<f64> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// Ours. Each rest is twice as long as the one before, give or take a quarter: the fourth takes at least
/// three seconds.
#[tokio::test]
async fn a_program_that_works_and_leaves_is_started_more_and_more_seldom() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("starts");
    let env = format!("env = {{ STARTS = {} }}", json!(file));
    let it = program(&["session", "lists_and_leaves"]) + &env;
    let _gateway = gateway(&it).start().await;
    let starts = eventually("it was started five times", async || {
        let starts = starts(&file);
        (starts.len() > 4).then_some(starts)
    })
    .await;
    let rests = starts.windows(2).map(|two| two[1] - two[0]);
    let rests = rests.collect::<Vec<_>>();
    println!("-- rests: {rests:?}");
    assert!(rests[3] > 2.9, "{rests:?}");
}

/// Ours.
#[tokio::test]
async fn a_program_that_always_leaves_is_left_alone() {
    let it = program(&["session", "leaves"])
        + "isolation = \"session\"\nbreaker.min_calls = 3\nbreaker.open_for = \"10m\"";
    let gateway = gateway(&it).start().await;
    let session = gateway.session("2025-11-25").await;
    let told = eventually("it is left alone", async || {
        let told = session.tool("it.tool", json!({})).await.tool_text();
        assert!(told.starts_with("upstream `it` "), "{told}");
        told.contains("left alone").then_some(told)
    })
    .await;
    assert!(told.contains("try again in 600 s"), "{told}");
}

/// Ours: what one session has counted, no other sees.
#[tokio::test]
async fn a_program_of_one_session_is_not_seen_by_another() {
    let it = program(&["session"]) + "isolation = \"session\"";
    let gateway = gateway(&it).may_have_a_bug().start().await;
    let one = gateway.session("2025-11-25").await;
    let other = gateway.session("2025-11-25").await;
    for (session, counted) in [(&one, "1"), (&one, "2"), (&other, "1"), (&one, "3")] {
        let seen = session.tool("it.count", json!({})).await.tool_text();
        assert_eq!(seen, counted, "another session's calls were counted");
    }
}

/// Ours: whoever hears that a list changed, its list is read again where lists are read.
#[tokio::test]
async fn a_list_that_a_call_changed_is_seen_though_another_process_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("names");
    let env = format!("env = {{ NAMES = {} }}", json!(file));
    let gateway = gateway(&(program(&["session"]) + &env)).start().await;
    gateway.lists(&["it.learn"]).await;
    let session = gateway.session("2025-11-25").await;
    let mut stream = session.listen(None).await;
    let learned = session.tool("it.learn", json!({})).await;
    assert_eq!(learned.tool_text(), "fine");
    let told = within("its client hears of it", stream.message()).await;
    assert_eq!(told["method"], "notifications/tools/list_changed");
    gateway.lists(&["it.learned"]).await;
}

/// Ours: what is still starting is not taken for what does not answer.
#[tokio::test]
async fn a_program_that_starts_slowly_is_given_the_time_to_connect_and_started_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("starts");
    let env = format!("env = {{ STARTS = {} }}\n", json!(file));
    let it = program(&["stateless", "starts_slowly"]) + &env + "timeouts.connect = \"25s\"";
    let gateway = gateway(&it).start().await;
    gateway.lists(&["it.fine"]).await;
    assert_eq!(starts(&file).len(), 1);
}

/// Stays though nobody of its family does.
const POLITE: &str = "(setsid sleep 600 < /dev/null > /dev/null 2>&1 &)";
/// The same, and listens to nobody.
const STUBBORN: &str = r#"(setsid sh -c 'trap "" TERM HUP; while :; do sleep 1; done' < /dev/null > /dev/null 2>&1 &)"#;

/// A server that is killed by its first call. Others, which leave its session, live on. It stands
/// behind another program, as those behind `npx` do.
fn crashing(mark: &Mark) -> String {
    let server = mark.directory.path().join("server");
    let text = format!(
        r#"if [ $(($$ % 10)) = 0 ]; then {STUBBORN}; else {POLITE}; fi
        while read -r line; do
            id=${{line#*\"id\":}}; id=${{id%%[,\}}]*}}
            case "$line" in
                *'"initialize"'*) echo '{{"jsonrpc":"2.0","id":'$id',"result":{{"protocolVersion":"2025-11-25","capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"shell","version":"1"}}}}}}';;
                *'"tools/list"'*) echo '{{"jsonrpc":"2.0","id":'$id',"result":{{"tools":[{{"name":"crash","inputSchema":{{"type":"object"}}}}]}}}}';;
                *'"tools/call"'*) kill -9 $$;;
            esac
        done"#
    );
    std::fs::write(&server, text).unwrap();
    let wrapper = format!("sh {}; exit $?", server.display());
    let (name, value) = mark.variable();
    format!(
        "command = {}\nenv = {{ {} = {} }}\nversion = \"2025-11-25\"\nbreaker.min_calls = 10000\n",
        json!(["sh", "-c", wrapper]),
        name.display(),
        json!(Path::new(&value)),
    )
}

/// Ours: faults 1 and 7 together.
#[tokio::test]
async fn five_hundred_crashes_and_a_killed_gateway_leave_neither_orphan_nor_zombie() {
    const CRASHES: usize = 500;
    // Eight lines for calls and the gateway's own: each a guard, a wrapper, the server and who left it.
    const LIVING_MAX: usize = 9 * 5;
    let mark = Mark::new();
    let mut gateway = gateway(&crashing(&mark)).start().await;
    let client = gateway.stateless();
    eventually("it is listed", async || {
        let tools = client.call("tools/list", json!({})).await.result();
        (tools["tools"] != json!([])).then_some(())
    })
    .await;

    let calls = futures_util::stream::iter(0..CRASHES).map(|_| async {
        let message = client.tool("it.crash", json!({})).await.message();
        let is_unknown = message["error"]["data"]["outcome"] == "unknown";
        assert!(is_unknown && is_named(&message["error"]), "{message}");
    });
    calls.buffer_unordered(4).collect::<Vec<()>>().await;

    eventually("the crashed are gone", async || {
        (mark.alive().len() <= LIVING_MAX && zombies_of(gateway.pid()) == 0).then_some(())
    })
    .await;
    gateway.crash().await;
    eventually("nothing is left", async || {
        mark.alive().is_empty().then_some(())
    })
    .await;
}

fn is_named(error: &Value) -> bool {
    let text = error["message"].as_str().unwrap_or_default();
    text.contains("upstream `it` ")
}
