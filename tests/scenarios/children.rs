//! Servers that are our children: what they get, and that nothing of them is ever left.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use switchboard::client::{Client, Environment, Program, Request, Speak, StandardError};
use switchboard::protocol::version::Era;
use switchboard::runtime::tasks::Tasks;
use tokio::process::Command;

use crate::world::marked::{Mark, zombies};
use crate::world::server::binary;
use crate::world::terminal::Terminal;
use crate::world::{eventually, signals, within};

/// Leaves its parent, its group and its session, and does not listen.
const DAEMON: &str = r#"(setsid sh -c 'trap "" TERM HUP; : > "$MARK/daemon"; while :; do sleep 1; done' \
    < /dev/null > /dev/null 2>&1 &)"#;
/// The same, but listens.
const POLITE_DAEMON: &str = "(setsid sleep 600 < /dev/null > /dev/null 2>&1 &)";

/// A server that begins with `start`, answers calls with what `call` prints, and goes on with `end`
/// when its input has ended.
fn script(start: &str, call: &str, end: &str) -> String {
    const INITIALIZED: &str = r#""result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"shell","version":"1"}}"#;
    format!(
        r#"{start}
        while read -r line; do
            id=${{line#*\"id\":}}; id=${{id%%[,\}}]*}}
            case "$line" in
                *'"initialize"'*) echo '{{"jsonrpc":"2.0","id":'$id',{INITIALIZED}}}';;
                *'"tools/call"'*) text=$({call})
                    echo '{{"jsonrpc":"2.0","id":'$id',"result":{{"content":[{{"type":"text","text":"'$text'"}}]}}}}';;
            esac
        done
        {end}"#
    )
}

/// The same as a child of this process, with a guard.
fn program(mark: &Mark, script: &str) -> Program {
    let mut program = Program::new("sh", vec!["-c".into(), script.into()]);
    program.environment = Environment::With(BTreeMap::from([mark.variable()]));
    program.guard = Some(binary());
    program
}

async fn connect(program: &Program) -> Client {
    let tasks = Tasks::on(tokio::runtime::Handle::current());
    let builder = Client::builder(tasks).speak(Speak::Era(Era::Session));
    within("it connects", builder.program(program))
        .await
        .unwrap()
}

async fn call(client: &Client) -> String {
    let request = Request::new("tools/call", &json!({"name": "any", "arguments": {}}));
    let result = within("it answers", client.request(request)).await.unwrap();
    let result: Value = serde_json::from_str(result.as_str()).unwrap();
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

async fn there_is(mark: &Mark, file: &str) {
    let file = mark.directory.path().join(file);
    eventually("it got there", async || file.exists().then_some(())).await;
}

async fn nothing_is_left(mark: &Mark) {
    eventually("nothing is left", async || {
        mark.alive().is_empty().then_some(())
    })
    .await;
}

/// basic/lifecycle, shutdown. It listens neither to the end of its input nor to TERM.
#[tokio::test]
async fn nothing_of_a_program_is_left_after_an_orderly_end() {
    let mark = Mark::new();
    let stubborn = script(
        &format!("trap '' TERM; {DAEMON}"),
        "echo hello",
        "sleep 600",
    );
    let client = connect(&program(&mark, &stubborn)).await;
    assert_eq!(call(&client).await, "hello");
    there_is(&mark, "daemon").await;
    within("it ends", client.close()).await;
    assert_eq!(mark.alive(), []);
    assert_eq!(zombies(), 0);
}

#[tokio::test]
async fn nothing_of_a_program_is_left_when_its_client_is_dropped() {
    let mark = Mark::new();
    let stubborn = script(
        &format!("trap '' TERM; {DAEMON}"),
        "echo hello",
        "sleep 600",
    );
    let client = connect(&program(&mark, &stubborn)).await;
    there_is(&mark, "daemon").await;
    drop(client);
    nothing_is_left(&mark).await;
    eventually("the guard was waited for", async || {
        (zombies() == 0).then_some(())
    })
    .await;
}

/// Nobody is left to end anything but the guard.
#[tokio::test]
async fn nothing_of_a_program_is_left_when_its_parent_is_killed() {
    let mark = Mark::new();
    let endless = script(
        &format!("trap '' TERM; {DAEMON}"),
        ": > $MARK/called; sleep 600",
        "sleep 600",
    );
    let mut parent = Command::new(binary())
        .args(["tools", "call", "any", "--json", "{}", "--era", "session"])
        .args(["--", "sh", "-c", &endless])
        .envs([mark.variable()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    there_is(&mark, "called").await;
    there_is(&mark, "daemon").await;
    signals::send("KILL", parent.id().unwrap()).await;
    parent.wait().await.unwrap();
    nothing_is_left(&mark).await;
}

/// It is for us: a program hears that its call is cancelled, and then the end of its input.
#[tokio::test]
async fn ctrl_c_at_a_terminal_does_not_reach_a_program() {
    let mark = Mark::new();
    let patient = script(
        "trap 'echo INT > $MARK/last' INT",
        ": > $MARK/called; read -r line; echo $line > $MARK/last",
        "",
    );
    let directory = mark.directory.path();
    std::fs::write(directory.join("server"), patient).unwrap();
    let mut terminal = Terminal::run(&format!(
        "env MARK={} {} tools call any --json {{}} --era session -- sh {}/server",
        directory.display(),
        binary().display(),
        directory.display()
    ));
    there_is(&mark, "called").await;
    terminal.types("\u{3}").await;
    terminal.shows("interrupted").await;
    assert_eq!(terminal.ends().await, 1);
    let last = std::fs::read_to_string(directory.join("last")).unwrap();
    assert!(last.contains("notifications/cancelled"), "{last}");
    nothing_is_left(&mark).await;
}

#[tokio::test]
async fn nothing_of_a_program_is_left_when_it_ends_by_itself() {
    let mark = Mark::new();
    let deserter = script(DAEMON, "echo bye; kill -9 $$", "");
    let client = connect(&program(&mark, &deserter)).await;
    there_is(&mark, "daemon").await;
    let request = Request::new("tools/call", &json!({"name": "any", "arguments": {}}));
    let failed = within("it fails", client.request(request))
        .await
        .unwrap_err();
    assert!(failed.to_string().contains("outcome unknown"), "{failed}");
    nothing_is_left(&mark).await;
    within("it ends", client.close()).await;
}

/// One of ten leaves somebody behind who does not listen.
#[tokio::test]
async fn five_hundred_starts_and_crashes_leave_neither_orphan_nor_zombie() {
    let mark = Mark::new();
    let crashes = futures_util::stream::iter(0..500).map(|round: u32| {
        let daemon = if round.is_multiple_of(10) {
            DAEMON
        } else {
            POLITE_DAEMON
        };
        let crash = script(daemon, "kill -9 $$", "");
        let program = program(&mark, &crash);
        async move {
            let client = connect(&program).await;
            let request = Request::new("tools/call", &json!({"name": "any", "arguments": {}}));
            within("it crashes", client.request(request))
                .await
                .unwrap_err();
        }
    });
    crashes.buffer_unordered(4).collect::<Vec<()>>().await;
    nothing_is_left(&mark).await;
    eventually("the guards were waited for", async || {
        (zombies() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_guard_ends_as_its_program_does() {
    let ended = async |command: &str| {
        let guarded = Command::new(binary())
            .args(["guard", "--", "sh", "-c", command])
            .stdin(Stdio::piped())
            .output();
        let ended = within("it ends", guarded).await.unwrap();
        let out = String::from_utf8(ended.stdout).unwrap();
        (ended.status.code().unwrap(), out)
    };
    assert_eq!(ended("echo hello; exit 7").await, (7, "hello\n".into()));
    assert_eq!(ended("kill -9 $$").await, (137, String::new()));
}

/// Without the limit the whole of it would be counted.
#[tokio::test]
async fn a_program_feels_its_limits() {
    const BYTES: u64 = 300_000_000;
    let hungry = format!("head -c {BYTES} /dev/zero | tail -c {BYTES} 2> /dev/null | wc -c");
    let greedy = format!("{hungry}; ulimit -n");
    for (memory_max, files_max, expected) in [
        (Some(100 * 1024 * 1024), Some(64), "0 64"),
        (None, Some(64), "300000000 64"),
    ] {
        let mark = Mark::new();
        let mut program = program(&mark, &script("", &greedy, ""));
        (program.memory_max, program.files_max) = (memory_max, files_max);
        let client = connect(&program).await;
        assert_eq!(call(&client).await, expected);
        within("it ends", client.close()).await;
    }
}

/// Ours may hold secrets. This one is there in every test.
#[tokio::test]
async fn a_program_sees_what_every_program_needs_and_what_is_meant_for_it() {
    const OURS: &str = "CARGO_MANIFEST_DIR";
    assert!(std::env::vars_os().any(|(name, _)| name == OURS));
    let mark = Mark::new();
    let mut program = program(&mark, &script("", "env | cut -d = -f 1; pwd", ""));
    program.directory = Some(mark.directory.path().to_owned());
    let client = connect(&program).await;
    let told = call(&client).await;
    let seen: Vec<&str> = told.split(' ').collect();
    assert!(seen.contains(&"PATH") && seen.contains(&"MARK"), "{told}");
    assert!(!seen.contains(&OURS), "{told}");
    assert_eq!(seen.last().copied(), mark.directory.path().to_str());
    within("it ends", client.close()).await;
}

/// A log that can be looked at.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// basic/transports, stdio: standard error is for logs, as many as a program likes.
#[tokio::test]
async fn what_a_program_writes_to_its_standard_error_is_logged_within_bounds() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _installed = tracing::subscriber::set_default(subscriber);
    let mark = Mark::new();
    let loud = "echo ready to serve >&2; head -c 5000 /dev/zero | tr '\\0' x >&2; echo >&2
        yes nonsense | head -n 100000 >&2";
    let mut program = program(&mark, &script(loud, "echo hello", ""));
    program.standard_error = StandardError::Logged("files".to_owned());
    let client = connect(&program).await;
    assert_eq!(call(&client).await, "hello");
    within("it ends", client.close()).await;
    let text = eventually("the rest is told", async || {
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        text.contains("wrote more lines").then_some(text)
    })
    .await;
    assert!(text.contains("ready to serve") && text.contains(r#"upstream="files""#));
    assert!(text.contains("wrote a longer line") && !text.contains("xxx"));
    assert_eq!(text.matches("nonsense").count(), 98);
    assert!(text.contains("suppressed=99902"), "{text}");
}
