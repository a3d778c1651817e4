//! What an operator sees: health, readiness, metrics, the welcome, and the subcommands.

use std::process::Stdio;

use serde_json::{Value, json};
use switchboard::telemetry::metrics::{CATALOGUE, Kind};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::world::command::run;
use crate::world::server::binary;
use crate::world::{Answer, Switchboard, within};

async fn get(url: String) -> Answer {
    Answer::read(crate::world::get(url).await.expect("it is answered")).await
}

/// Ours: an orchestrator asks these, and a cache must not answer for us.
#[tokio::test]
async fn health_and_readiness_are_told_in_json_and_never_cached() {
    let server = Switchboard::start().await;
    for (path, status) in [("/health", "ok"), ("/ready", "ready")] {
        let answer = get(server.url(path)).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.message(), json!({"status": status}));
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

/// Prometheus text format 0.0.4; ours: no metric without its help, none outside the catalogue.
#[tokio::test]
async fn metrics_are_those_of_the_catalogue_and_move_with_what_happens() {
    let server = Switchboard::start().await;
    let session = server.session("2025-11-25").await;
    let calls = |era: &str, outcome: &str| {
        format!(r#"mcp_requests_total{{method="tools/call",era="{era}",outcome="{outcome}"}}"#)
    };
    session.tool("echo", json!({"text": "a"})).await.result();
    session.tool("echo", json!({"text": "b"})).await.result();
    server
        .stateless()
        .tool("echo", json!({"text": "c"}))
        .await
        .result();
    session.tool("no_such_tool", json!({})).await.code();
    assert_eq!(
        session
            .request(reqwest::Method::PUT)
            .send()
            .await
            .unwrap()
            .status(),
        405
    );

    assert_eq!(server.metric(&calls("session", "ok")).await, 2.0);
    assert_eq!(server.metric(&calls("stateless", "ok")).await, 1.0);
    assert_eq!(server.metric(&calls("session", "error")).await, 1.0);
    assert_eq!(server.metric("mcp_sessions_opened_total").await, 1.0);
    let answer = get(server.url("/metrics")).await;
    assert_eq!(
        answer.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    for metric in CATALOGUE {
        let samples = answer
            .text
            .lines()
            .any(|line| line.starts_with(metric.name));
        if !samples {
            continue;
        }
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        for line in [
            format!("# HELP {} {}", metric.name, metric.help),
            format!("# TYPE {} {kind}", metric.name),
        ] {
            assert!(answer.text.contains(&line), "{line}");
        }
    }
    for name in [
        "mcp_active_sessions",
        "mcp_connections",
        "mcp_request_duration_seconds_count",
    ] {
        assert!(answer.text.contains(name), "{name}");
    }
    for line in answer.text.lines().filter(|line| line.starts_with("mcp_")) {
        let known = CATALOGUE.iter().any(|metric| line.starts_with(metric.name));
        assert!(known, "not in the catalogue: {line}");
        assert!(!line.contains(&session.id), "a session id in {line}");
    }
}

/// Ours: with a listener of their own, operators' paths are not where clients are.
#[tokio::test]
async fn operators_can_have_a_listener_of_their_own() {
    let directory = TempDir::new().unwrap();
    let mut process = Command::new(binary())
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--store",
            "memory:",
        ])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let (mut main, mut admin) = (String::new(), String::new());
    while main.is_empty() || admin.is_empty() {
        let line = within("the welcome", lines.next_line())
            .await
            .unwrap()
            .expect("it serves");
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("serving"), Some(url)) => url.trim_end_matches("/mcp").clone_into(&mut main),
            (Some("admin"), Some(url)) => url.trim_end_matches("/health").clone_into(&mut admin),
            _ => {}
        }
    }
    for path in ["/health", "/ready", "/metrics"] {
        assert_eq!(get(format!("{admin}{path}")).await.status, 200, "{path}");
        assert_eq!(get(format!("{main}{path}")).await.status, 404, "{path}");
    }
    let answer = crate::world::http_client()
        .post(format!("{admin}/mcp"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 404);
}

/// Ours: whoever starts it reads where it serves, what it keeps where, and what to paste.
#[tokio::test]
async fn the_welcome_names_address_store_and_a_client_configuration_that_works() {
    let directory = TempDir::new().unwrap();
    let mut process = Command::new(binary())
        .args(["--listen", "127.0.0.1:0", "--store", "embedded:state"])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut welcome = String::new();
    let snippet: Value = loop {
        let line = within("the welcome", lines.next_line())
            .await
            .unwrap()
            .expect("it serves");
        if let Ok(snippet) = serde_json::from_str(&line) {
            break snippet;
        }
        welcome += &line;
        welcome.push('\n');
    };
    let url = snippet["mcpServers"]["switchboard"]["url"]
        .as_str()
        .expect("a URL")
        .to_owned();
    assert_eq!(snippet["mcpServers"]["switchboard"]["type"], "http");
    assert!(welcome.contains(&url), "{welcome}");
    assert!(welcome.contains("embedded in state"), "{welcome}");
    assert!(welcome.contains("auth     none"), "{welcome}");
    let session = crate::world::Session::open(&url, "2025-11-25", json!({})).await;
    assert_eq!(
        session.tool("echo", json!({"text": "a"})).await.tool_text(),
        "a"
    );
}

/// Ours: every complaint at once, each with its line and key, before anything is started.
#[tokio::test]
async fn check_complains_about_everything_at_once() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("switchboard.toml");
    std::fs::write(
        &file,
        "[server]\nlisten = \"nowhere\"\n[server.limits]\nbody = \"4MB\"\n\
         [calls]\ngrace = \"1h\"\nbogus = 1\n[store]\nurl = \"floppy:secret\"\n",
    )
    .unwrap();
    for command in ["check", "serve", "stdio"] {
        let ended = run(directory.path(), &[command]).await;
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{command}");
        let complaints: Vec<&str> = ended.err.lines().collect();
        for (complaint, start) in complaints.iter().zip([
            "switchboard.toml:2: server.listen: ",
            "switchboard.toml:4: server.limits.body: ",
            "switchboard.toml:6: calls.grace: ",
            "switchboard.toml:7: calls.bogus: ",
            "switchboard.toml:9: store.url: ",
        ]) {
            assert!(
                complaint.contains(start),
                "{complaint:?} is not about {start}"
            );
        }
        assert_eq!(complaints.len(), 5, "{complaints:?}");
        assert!(!ended.err.contains("secret"), "{}", ended.err);
    }
    std::fs::write(&file, "[store]\nurl = \"memory:\"\n").unwrap();
    let ended = run(directory.path(), &["check"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert_eq!(
        ended.out,
        "ok: 127.0.0.1:8000, /mcp serves demo, state in memory\n"
    );
    let missing = run(directory.path(), &["check", "--config", "elsewhere.toml"]).await;
    assert_eq!(missing.code, 2);
    assert!(
        missing.err.starts_with("elsewhere.toml: "),
        "{}",
        missing.err
    );
}

/// JSON Schema draft 7; ours: an editor that follows the schema writes what `check` takes.
#[tokio::test]
async fn the_schema_takes_what_check_takes() {
    let directory = TempDir::new().unwrap();
    let ended = run(directory.path(), &["schema"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let schema: Value = serde_json::from_str(&ended.out).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("it is a schema");
    let example = "[server]\nlisten = \"127.0.0.1:8000\"\ncors_origins = [\"https://app.example\"]\n\
         [server.limits]\nbody = \"1MiB\"\n[sessions]\nidle_ttl = \"30m\"\n\
         [store]\nurl = \"embedded:./data\"\n[endpoints.main]\nbuiltin = \"demo\"\n\
         [log]\nformat = \"json\"\n";
    std::fs::write(directory.path().join("switchboard.toml"), example).unwrap();
    assert_eq!(run(directory.path(), &["check"]).await.code, 0);
    let document: Value = toml::from_str(example).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(&document)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(!validator.is_valid(&json!({"server": {"lisen": "127.0.0.1:1"}})));
}

/// Ours: exit code 2 is the caller's mistake, and help is not one.
#[tokio::test]
async fn the_command_line_tells_a_mistake_from_a_question() {
    let directory = TempDir::new().unwrap();
    for (arguments, code, said) in [
        (&["sevre"][..], 2, "serve"),
        (&["--lisen", "x"][..], 2, "--listen"),
        (&["serve", "--builtin", "all"][..], 2, "demo"),
        (&["--help"][..], 0, "Usage"),
        (&["--version"][..], 0, "switchboard"),
    ] {
        let ended = run(directory.path(), arguments).await;
        assert_eq!(ended.code, code, "{arguments:?}");
        let (told, silent) = if code == 0 {
            (&ended.out, &ended.err)
        } else {
            (&ended.err, &ended.out)
        };
        assert!(told.contains(said) && silent.is_empty(), "{ended:?}");
    }
}
