//! A server for the scenarios whose tools have effects that are counted: each execution is a line
//! in a file that all nodes write, synced before the tool goes on.
//!
//! It has the command line of `switchboard`. The file is named by the variable `LEDGER`.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use switchboard::config::Environment;
use switchboard::prelude::*;

/// A resource that changes again and again, for streams with something on them.
const TICK_URI: &str = "tick://now";
/// How often.
const TICK: Duration = Duration::from_secs(1);

#[derive(Deserialize, JsonSchema)]
struct Append {
    /// The client's own name for this call.
    call: String,
    /// What only this session may see again; it is part of whatever is said.
    #[serde(default)]
    mark: String,
    /// How long the work takes in all.
    #[serde(default)]
    hold_ms: u64,
    /// How many progress notifications it sends on the way.
    #[serde(default)]
    events: u32,
    /// Whether it fails when it is done.
    #[serde(default)]
    fails: bool,
}

#[derive(Deserialize, JsonSchema)]
struct Count {
    /// The client's own name for the call.
    call: String,
}

#[derive(Deserialize, JsonSchema)]
struct Echo {
    /// What to give back.
    text: String,
}

/// Notes an execution, and returns when it is on the disk.
fn note(path: &PathBuf, call: &str) -> std::io::Result<()> {
    // One write: the kernel puts the lines of several nodes one behind the other.
    let line = format!("{}\n", json!({"call": call, "owner": std::process::id()}));
    let mut file: File = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(line.as_bytes())?;
    file.sync_data()
}

fn append(path: Arc<PathBuf>) -> Tool {
    Tool::new("ledger_append", move |ctx: Context, work: Append| {
        let path = path.clone();
        async move {
            let call = work.call.clone();
            let noting = tokio::task::spawn_blocking(move || note(&path, &call));
            let noted = noting.await.ok().and_then(Result::ok);
            noted.ok_or(ServiceError::Internal)?;
            let pause = Duration::from_millis(work.hold_ms) / (work.events + 1);
            for step in 1..=work.events {
                tokio::time::sleep(pause).await;
                let total = Some(work.events.into());
                ctx.progress(step.into(), total, Some(&work.mark)).await;
            }
            tokio::time::sleep(pause).await;
            if work.fails {
                return Err(ToolError::new(format!("{} failed", work.call)));
            }
            Ok(
                json!({"call": work.call, "mark": work.mark, "owner": std::process::id()})
                    .to_string(),
            )
        }
    })
    .description("Notes that it ran, works for a while, and says so.")
}

fn count(path: Arc<PathBuf>) -> Tool {
    Tool::new("count", move |_, Count { call }| {
        let path = path.clone();
        async move {
            let text = tokio::fs::read_to_string(&*path).await.unwrap_or_default();
            let wanted = json!({ "call": call })["call"].to_string();
            let lines = text.lines().filter(|line| line.contains(&wanted));
            Ok(lines.count().to_string())
        }
    })
    .description("How often a call was executed.")
    .read_only()
}

async fn tick(handle: Handle) {
    loop {
        tokio::time::sleep(TICK).await;
        handle.resource_updated(TICK_URI);
    }
}

fn main() -> std::process::ExitCode {
    let environment = Environment::of_process();
    let path = environment.get("LEDGER").ok().flatten();
    let path = Arc::new(PathBuf::from(path.unwrap_or("ledger.jsonl")));
    let server = Server::builder("ledger", "1.0.0")
        .tool(append(path.clone()))
        .tool(count(path))
        .tool(Tool::new("echo", |_, Echo { text }| async move { Ok(text) }).read_only())
        .resource(Resource::dynamic(TICK_URI, "now", |_| async { Ok("now") }))
        .background(tick);
    switchboard::cli::run(Host::new(server))
}
