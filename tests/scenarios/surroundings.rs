//! When the machine around us is not as it should be: one clear sentence, the right exit code, and
//! nothing lost.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::world::command::{Ended, run};
use crate::world::server::binary;
use crate::world::{Store, Switchboard, eventually, within};

async fn serve_on(directory: &Path, store: &str) -> Ended {
    run(
        directory,
        &["serve", "--listen", "127.0.0.1:0", "--store", store],
    )
    .await
}

/// The one sentence it failed with; log lines of a start that went no further are not for it.
fn sentence(ended: &Ended) -> &str {
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(ended.out, "", "it did not say that it serves");
    let mut lines = ended.err.lines().filter(|line| !line.contains(" INFO "));
    let sentence = lines.next().expect("it says why");
    assert_eq!(lines.next(), None, "one sentence: {}", ended.err);
    let cause = sentence.rsplit(": ").next().unwrap_or_default();
    assert_eq!(
        sentence.matches(cause).count(),
        1,
        "it says so once: {sentence}"
    );
    sentence
}

/// A data directory with an open session in it, and the server that made it stopped.
async fn stopped_with_a_session() -> (Switchboard, crate::world::Session) {
    let mut server = Switchboard::with().store(Store::Embedded).start().await;
    let session = server.session("2025-11-25").await;
    assert!(server.stop().await.success());
    (server, session)
}

/// Ours: the port of another process is its own.
#[tokio::test]
async fn a_port_in_use_is_named() {
    let server = Switchboard::start().await;
    let directory = TempDir::new().unwrap();
    let arguments = [
        "serve",
        "--listen",
        server.authority(),
        "--store",
        "memory:",
    ];

    let ended = run(directory.path(), &arguments).await;

    let said = sentence(&ended);
    let expected = format!("cannot listen on {}: ", server.authority());
    assert!(said.starts_with(&expected), "{said}");
    assert!(server.is_healthy().await);
}

/// Ours: a data directory that cannot be one is named, and what is in its place is left alone.
#[tokio::test]
async fn a_file_in_place_of_the_data_directory_is_named_and_kept() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "precious").unwrap();
    for store in ["embedded:file", "embedded:file/data"] {
        let ended = serve_on(directory.path(), store).await;
        let said = sentence(&ended);
        assert!(said.starts_with(&store["embedded:".len()..]), "{said}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }
}

/// Ours: two processes on one directory would tear its files; the second is told who is there.
#[tokio::test]
async fn a_data_directory_in_use_names_its_holder_who_goes_on() {
    let server = Switchboard::with().store(Store::Embedded).start().await;
    let session = server.session("2025-11-25").await;

    let ended = serve_on(server.directory(), "embedded:data").await;

    let said = sentence(&ended);
    let holder = format!(
        "process {}, listening on {}",
        server.pid(),
        server.authority()
    );
    assert!(said.contains(&holder), "{said}");
    assert_eq!(
        session.tool("echo", json!({"text": "a"})).await.tool_text(),
        "a"
    );
}

/// Ours: what cannot be read is not written over; once it is repaired, everything is there again.
#[tokio::test]
async fn a_damaged_data_directory_is_refused_and_left_as_it_is() {
    for (name, damage) in [
        (
            "sessions.redb",
            b"not a database, whatever else it is".as_slice(),
        ),
        ("format", b"switchboard embedded store 99\n"),
        ("cluster.key", b"not a key"),
    ] {
        let (mut server, session) = stopped_with_a_session().await;
        let path = server.directory().join("data").join(name);
        let good = fs::read(&path).unwrap();
        fs::write(&path, damage).unwrap();

        let ended = serve_on(server.directory(), "embedded:data").await;

        let said = sentence(&ended);
        assert!(said.contains(name), "{name}: {said}");
        assert_eq!(fs::read(&path).unwrap(), damage, "{name} is as it was");
        fs::write(&path, good).unwrap();
        server.start_again().await;
        let session = session.elsewhere(&server.url("/mcp"));
        assert_eq!(
            session.tool("echo", json!({"text": "a"})).await.tool_text(),
            "a"
        );
    }
}

/// Ours: told to stop, it stops in order, and a session is there again afterwards.
#[tokio::test]
async fn a_stop_in_order_loses_no_session() {
    let (mut server, session) = stopped_with_a_session().await;

    server.start_again().await;

    let session = session.elsewhere(&server.url("/mcp"));
    assert_eq!(
        session
            .tool("echo", json!({"text": "again"}))
            .await
            .tool_text(),
        "again"
    );
}

/// Ours: a stop ends standing streams and idle connections instead of waiting for them.
#[tokio::test]
async fn a_stop_does_not_wait_for_who_only_listens() {
    let mut server = Switchboard::start().await;
    let session = server.session("2025-11-25").await;
    let stream = session.listen(None).await;
    let _idle = crate::world::wire::Wire::connect(&server).await;
    eventually("the stream stands", || async {
        let open = server.metric(r#"mcp_open_streams{kind="standing"}"#).await;
        (open == 1.0).then_some(())
    })
    .await;

    assert!(server.stop().await.success());

    drop(stream.rest().await);
}

/// basic/transports (every revision), stdio: the client ends the server by closing its input.
#[tokio::test]
async fn a_server_on_standard_input_ends_with_it() {
    let directory = TempDir::new().unwrap();
    let mut process = Command::new(binary())
        .arg("stdio")
        .current_dir(directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = process.stdin.take().unwrap();
    input
        .write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n")
        .await
        .unwrap();
    drop(input);

    let ended = within("it ends", process.wait()).await.unwrap();

    assert_eq!(ended.code(), Some(0));
    let mut out = String::new();
    process
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut out)
        .await
        .unwrap();
    for line in out.lines() {
        let message: serde_json::Value = serde_json::from_str(line).expect("only messages");
        assert_eq!(message["id"], 1);
    }
    let left = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left, 0, "such a server keeps nothing");
}
