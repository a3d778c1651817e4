//! Our client and servers that people already have: the official SDKs of other languages.

use std::ffi::OsString;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::world::command::{Ended, run};
use crate::world::tools::{installed, node, python, root};
use crate::world::within;

/// A command line that starts a server of another SDK.
fn typescript() -> Vec<String> {
    let script = root().join("tests/servers/typescript_v1.mjs");
    words([
        "env".into(),
        format!("TEST_TOOLS={}", installed("").display()).into(),
        node().as_std().get_program().into(),
        script.into(),
        "--stdio".into(),
    ])
}

fn python_server() -> Vec<String> {
    let script = root().join("tests/servers/python_v2.py");
    words([
        python("python-v2").as_std().get_program().into(),
        script.into(),
        "--stdio".into(),
    ])
}

fn words<const N: usize>(words: [OsString; N]) -> Vec<String> {
    words
        .into_iter()
        .map(|word| word.into_string().unwrap())
        .collect()
}

async fn tools(typed: &[&str], server: &[String]) -> Ended {
    let directory = TempDir::new().unwrap();
    let server = server.iter().map(String::as_str);
    let all: Vec<&str> = ["tools"]
        .into_iter()
        .chain(typed.iter().copied())
        .chain(server)
        .collect();
    run(directory.path(), &all).await
}

async fn over_stdio(era: &str, server: &[String]) -> Ended {
    let call = [
        "call", "add", "--arg", "a=1", "--arg", "b=2", "--output", "json", "--era", era, "--",
    ];
    tools(&call, server).await
}

fn is_three(ended: &Ended) {
    assert_eq!(ended.code, 0, "{}", ended.err);
    let result: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(result["content"][0]["text"], "3");
}

#[tokio::test]
async fn a_server_of_the_typescript_sdk_over_stdio() {
    let listed = tools(&["ls", "--"], &typescript()).await;
    assert!(listed.out.contains("add  Adds."), "{}", listed.err);
    is_three(&over_stdio("auto", &typescript()).await);
}

#[tokio::test]
async fn a_server_of_the_python_sdk_over_stdio_in_each_era() {
    for era in ["auto", "session", "stateless"] {
        is_three(&over_stdio(era, &python_server()).await);
    }
}

/// Starts a server that says where it is.
async fn served(mut server: Command) -> (Child, String) {
    let started = server.stdout(Stdio::piped()).kill_on_drop(true).spawn();
    let mut server = started.unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let url = within("it serves", lines.next_line()).await;
    (server, url.unwrap().unwrap())
}

fn typescript_over_http() -> Command {
    let mut server = node();
    server
        .arg(root().join("tests/servers/typescript_v1.mjs"))
        .env("TEST_TOOLS", installed(""));
    server
}

async fn over_http(url: &str) -> Ended {
    let call = [
        "call", "add", "--arg", "a=1", "--arg", "b=2", "--output", "json", "--url", url,
    ];
    tools(&call, &[]).await
}

/// It closes the stream of a call and lets its client come back; its forms come on the standing
/// stream.
#[tokio::test]
async fn a_server_of_the_typescript_sdk_over_http() {
    let (_server, url) = served(typescript_over_http()).await;
    is_three(&over_http(&url).await);
    let polled = tools(&["call", "poll", "--url", &url], &[]).await;
    assert_eq!(
        (polled.code, &*polled.out),
        (0, "later\n"),
        "{}",
        polled.err
    );
    let asked = tools(&["call", "name", "--url", &url], &[]).await;
    assert_eq!((asked.code, &*asked.out), (0, "decline\n"), "{}", asked.err);
}

#[tokio::test]
async fn a_server_of_the_typescript_sdk_over_http_sse() {
    let mut server = typescript_over_http();
    server.arg("--sse");
    let (_server, url) = served(server).await;
    is_three(&over_http(&url).await);
    let asked = tools(&["call", "name", "--url", &url], &[]).await;
    assert_eq!((asked.code, &*asked.out), (0, "decline\n"), "{}", asked.err);
}

#[tokio::test]
async fn a_server_of_the_python_sdk_over_http_sse() {
    let mut server = python("python-v2");
    server
        .arg(root().join("tests/servers/python_v2.py"))
        .arg("--sse");
    let (_server, url) = served(server).await;
    is_three(&over_http(&url).await);
}
