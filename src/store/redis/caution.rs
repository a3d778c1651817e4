//! A word of caution at the first connection, if what the servers acknowledge can be lost with one.
//!
//! It asks for no more than it is allowed: who may not ask is told nothing. It refuses nothing.

use deadpool_redis::redis::{self, Cmd, Value};

use super::connection::Connection;

/// Looks at who has a copy of what is written, and says so if nobody does.
pub(super) async fn look(connection: &mut Connection) {
    let mut replication = redis::cmd("INFO");
    replication.arg("replication");
    let without_replica = ask(connection, &replication)
        .await
        .is_some_and(|answer| answer.iter().any(|info| says(info, "connected_slaves:0")));
    let mut files = redis::cmd("CONFIG");
    files.arg("GET").arg("save").arg("appendonly");
    let without_file = ask(connection, &files).await.is_some_and(|answer| {
        setting(&answer, "save") == Some("") && setting(&answer, "appendonly") == Some("no")
    });
    let why = match (without_replica, without_file) {
        (false, false) => return,
        (true, false) => "it has no replica",
        (false, true) => "it writes no file",
        (true, true) => "it has no replica and writes no file",
    };
    tracing::warn!(
        why,
        "acknowledged writes can be lost with the store's primary"
    );
}

async fn ask(connection: &mut Connection, cmd: &Cmd) -> Option<Vec<String>> {
    let answer: Value = cmd.query_async(connection).await.ok()?;
    let mut texts = Vec::new();
    gather(answer, &mut texts);
    Some(texts)
}

/// All texts of an answer; a cluster answers for each of its primaries.
fn gather(answer: Value, texts: &mut Vec<String>) {
    match answer {
        Value::BulkString(bytes) => texts.push(String::from_utf8_lossy(&bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => texts.push(text),
        Value::Array(items) => items.into_iter().for_each(|item| gather(item, texts)),
        Value::Map(pairs) => {
            for (name, value) in pairs {
                gather(name, texts);
                gather(value, texts);
            }
        }
        _ => {}
    }
}

fn says(info: &str, line: &str) -> bool {
    info.lines().any(|said| said == line)
}

/// A setting's value, which follows its name.
fn setting<'a>(answer: &'a [String], name: &str) -> Option<&'a str> {
    let at = answer.iter().position(|text| text == name)?;
    answer.get(at + 1).map(String::as_str)
}
