//! `switchboard tools` from the shell: every era and transport, and somebody at a terminal.

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::world::command::{Ended, run};
use crate::world::scripted::{Script, Scripted};
use crate::world::server::binary;
use crate::world::terminal::Terminal;
use crate::world::{Switchboard, eventually};

const ERAS: [&[&str]; 4] = [
    &[],
    &["--era", "session"],
    &["--era", "stateless"],
    &["--protocol-version", "2024-11-05"],
];

async fn tools(typed: &[&str], more: &[&str]) -> Ended {
    let directory = TempDir::new().unwrap();
    let all: Vec<&str> = ["tools"].iter().chain(typed).chain(more).copied().collect();
    run(directory.path(), &all).await
}

fn stdio() -> [String; 3] {
    [
        "--".into(),
        binary().into_os_string().into_string().unwrap(),
        "stdio".into(),
    ]
}

#[tokio::test]
async fn tools_are_listed_and_called_in_every_era_over_http_and_stdio() {
    let server = Switchboard::start().await;
    let url = server.url("/mcp");
    let stdio = stdio();
    for era in ERAS {
        for target in [
            vec!["--url", &url],
            stdio.iter().map(String::as_str).collect(),
        ] {
            let target = [era, &target].concat();
            let listed = tools(&["ls"], &target).await;
            assert_eq!(listed.code, 0, "{}", listed.err);
            assert!(
                listed
                    .out
                    .contains("echo  Gives the text back.\n    text: string")
            );

            let called = tools(&["call", "echo", "--arg", "text=42"], &target).await;
            assert_eq!((called.code, &*called.out), (0, "42\n"), "{}", called.err);

            let counting = [
                "call",
                "countdown",
                "--json",
                r#"{"from": 2, "interval_ms": 1}"#,
            ];
            let counted = tools(&counting, &target).await;
            assert_eq!(counted.out, "counted down from 2: liftoff\n");
            assert!(counted.err.contains("1/2"), "{}", counted.err);
            assert!(counted.err.contains("2/2"), "{}", counted.err);
        }
    }
    eventually("no session is left", async || {
        (server.metric("mcp_active_sessions").await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn as_json_the_result_is_what_the_server_sent() {
    let server = Switchboard::start().await;
    let url = server.url("/mcp");
    let call = [
        "call",
        "echo",
        "--json",
        r#"{"text":"hello"}"#,
        "--output",
        "json",
        "--url",
        &url,
    ];
    let session = tools(&call, &["--era", "session"]).await;
    assert_eq!(
        session.out,
        "{\"content\":[{\"type\":\"text\",\"text\":\"hello\"}]}\n"
    );
    let listed = tools(&["ls", "--output", "json", "--url", &url], &[]).await;
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    assert!(listed["tools"].as_array().unwrap().len() > 3);
}

#[tokio::test]
async fn exit_codes_tell_bad_usage_from_failure() {
    let server = Switchboard::start().await;
    let url = server.url("/mcp");
    for (typed, code, says) in [
        (vec!["call", "unknown", "--url", &url], 1, "unknown"),
        (vec!["call", "echo", "--url", &url], 1, "text"),
        (
            vec!["call", "echo", "--json", "[1]", "--url", &url],
            2,
            "object",
        ),
        (
            vec!["call", "countdown", "--arg", "from=x", "--url", &url],
            2,
            "integer",
        ),
        (vec!["ls", "--url", "ftp://a"], 2, "URL"),
        (
            vec!["ls", "--bearer", "s3cret", "--url", &url],
            2,
            "env:NAME",
        ),
        (
            vec!["ls", "--header", "s3cret", "--url", &url],
            2,
            "NAME: VALUE",
        ),
        (
            vec!["ls", "--url", "http://127.0.0.1:9/mcp"],
            1,
            "cannot reach",
        ),
        (vec!["ls", "--", "/no/such/program"], 1, "cannot start"),
    ] {
        let ended = tools(&typed, &[]).await;
        assert_eq!(ended.code, code, "{typed:?}: {}", ended.err);
        assert!(ended.err.contains(says), "{typed:?}: {}", ended.err);
        assert_eq!(ended.out, "", "{typed:?}");
        assert!(
            !typed.contains(&"--bearer") || !ended.err.contains("s3cret"),
            "{}",
            ended.err
        );
    }
}

/// A token is named, sent, and never shown.
#[tokio::test]
async fn a_token_comes_from_where_the_reference_says() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Scripted::start(|_| Script::Bare(401)).await;
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let reference = format!("file:{}", file.display());
    let ended = tools(
        &[
            "ls",
            "--bearer",
            &reference,
            "--header",
            "X-Team: blue",
            "--url",
            &server.url,
        ],
        &[],
    )
    .await;
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("401"), "{}", ended.err);
    assert!(!ended.err.contains("s3cret"));
    let heard = &server.heard(|_| true)[0];
    assert_eq!(heard.header("authorization"), Some("Bearer s3cret"));
    assert_eq!(heard.header("x-team"), Some("blue"));
}

/// client/elicitation: where nobody can answer, no is the answer, and it is said.
#[tokio::test]
async fn without_a_terminal_forms_are_declined() {
    let server = Switchboard::start().await;
    for era in ["session", "stateless"] {
        let ended = tools(
            &[
                "call",
                "ask_name",
                "--era",
                era,
                "--url",
                &server.url("/mcp"),
            ],
            &[],
        )
        .await;
        assert_eq!(ended.out, "That is fine, no name then.\n");
        assert!(
            ended.err.contains("What is your name? (declined"),
            "{}",
            ended.err
        );
    }
}

fn at_a_terminal(server: &Switchboard, typed: &str, era: &str) -> Terminal {
    let (binary, url) = (binary(), server.url("/mcp"));
    Terminal::run(&format!(
        "{} tools {typed} --era {era} --url {url}",
        binary.display()
    ))
}

/// client/elicitation, client/sampling: the person at the terminal answers.
#[tokio::test]
async fn a_person_answers_at_the_terminal() {
    let server = Switchboard::start().await;
    for era in ["session", "stateless"] {
        let mut terminal = at_a_terminal(&server, "call ask_name", era);
        terminal.shows("The server asks: What is your name?").await;
        terminal.shows("How to call you.").await;
        terminal.shows("name: ").await;
        terminal.types("Ada\r").await;
        terminal.shows("Hello, Ada!").await;
        assert_eq!(terminal.ends().await, 0);

        let mut terminal = at_a_terminal(&server, "call ask_name", era);
        terminal.shows("name: ").await;
        terminal.types(":cancel\r").await;
        terminal.shows("Another time, perhaps.").await;
        assert_eq!(terminal.ends().await, 0);

        let mut terminal = at_a_terminal(&server, "call summarize --arg text=long", era);
        terminal.shows("Summarize in one sentence:").await;
        terminal.shows("> ").await;
        terminal.types("short\r.\r").await;
        terminal.shows("short").await;
        assert_eq!(terminal.ends().await, 0);
    }
}

/// basic/utilities/cancellation: Ctrl-C ends the call at the server too.
#[tokio::test]
async fn ctrl_c_cancels_the_call() {
    let setup = Switchboard::with()
        .config("[streams]\nheartbeat = \"100ms\"\nstateless_heartbeat = \"100ms\"");
    let server = setup.start().await;
    for era in ["session", "stateless"] {
        let count = "call countdown --arg from=100000 --arg interval_ms=10";
        let mut terminal = at_a_terminal(&server, count, era);
        terminal.shows("3/100000").await;
        terminal.types("\u{3}").await;
        terminal.shows("interrupted").await;
        assert_eq!(terminal.ends().await, 1);
        eventually("nothing of it is left", async || {
            for gauge in ["mcp_running_calls", "mcp_active_sessions"] {
                if server.metric(gauge).await != 0.0 {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }
}

/// Large input comes by standard input, and goes out as it is.
#[tokio::test]
async fn arguments_can_come_by_standard_input() {
    let server = Switchboard::start().await;
    let script = format!(
        "printf '{}' | {} tools call echo --json - --output json --url {}",
        json!({"text": "from a pipe"}),
        binary().display(),
        server.url("/mcp")
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .output()
        .await
        .unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["content"][0]["text"], "from a pipe");
}
