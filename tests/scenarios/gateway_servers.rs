//! Published servers, unchanged, as programs behind one endpoint, and stock clients before it: every
//! kind of thing that the servers offer is used by clients that know nothing of a gateway.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::world::Switchboard;
use crate::world::tools::{installed, node, python, root, run};

const ENDPOINT: &str =
    "[endpoints.main]\nupstreams = [\"everything\", \"files\", \"memory\", \"time\"]\n";

/// The servers as a client's configuration has them. Files are kept in `elsewhere`, until a client says
/// what its roots are.
fn servers(elsewhere: &Path) -> Value {
    let node = node().as_std().get_program().to_owned();
    let node = node.to_str().expect("its path is text");
    let package = |name: &str| {
        installed(&format!(
            "node_modules/@modelcontextprotocol/{name}/dist/index.js"
        ))
    };
    json!({
        "everything": {"command": node, "args": [package("server-everything")]},
        "files": {"command": node, "args": [package("server-filesystem"), elsewhere]},
        "memory": {"command": node, "args": [package("server-memory")],
            "env": {"MEMORY_FILE_PATH": elsewhere.join("memory.jsonl")}},
        "time": {"command": installed("python-v2/bin/python"), "args": ["-m", "mcp_server_time"]},
    })
}

/// The same as our own configuration has them.
fn as_toml(servers: &Value) -> String {
    let servers = servers.as_object().expect("servers").iter();
    let upstreams = servers.map(|(name, server)| {
        let command = [
            &[server["command"].clone()],
            &server["args"].as_array().unwrap()[..],
        ]
        .concat();
        let env = server["env"].as_object().into_iter().flatten();
        let env = env.map(|(name, value)| format!("env.{name} = {value}\n"));
        let env = env.collect::<String>();
        let command = json!(command);
        format!("[upstreams.{name}]\ncommand = {command}\n{env}")
    });
    upstreams.collect()
}

/// What a client saw that used everything there is, in the directory that is its root.
async fn saw(mut client: Command, script: &str, mode: &str, gateway: &Switchboard) -> Value {
    // The clients of one user share a program, which asks for the roots once.
    let here = gateway.directory();
    client
        .arg(root().join("tests/clients").join(script))
        .args(["--mode", mode, "--url", &gateway.url("/mcp")])
        .current_dir(here)
        .env("HOME", here);
    let ran = run(client).await;
    assert!(ran.status.success(), "{}", ran.status);
    let written = std::fs::read_to_string(here.join("note.txt"));
    assert_eq!(written.expect("it is written"), "written by a client");
    let saw: Value = serde_json::from_str(&ran.stdout).expect("it says JSON");
    let roots = saw["roots"][0].as_str().unwrap_or_default();
    let here = here.to_str().expect("its path is text");
    assert!(roots.contains(here), "{roots}");
    saw
}

fn is_everything(saw: &Value, who: &str) {
    let names = |what: &str| saw[what].as_array().expect("a list").clone();
    for (list, name) in [
        ("tools", "everything.echo"),
        ("tools", "everything.trigger-elicitation-request"),
        ("tools", "files.write_file"),
        ("tools", "memory.create_entities"),
        ("tools", "time.get_current_time"),
        ("prompts", "everything.args-prompt"),
        ("resources", "memory+memory://knowledge-graph"),
        ("graph", "Ada"),
        ("completed", "Engineering"),
    ] {
        assert!(names(list).contains(&json!(name)), "{who}: {name}");
    }
    for (what, words) in [
        ("echo", "hello ☃"),
        ("long", "completed"),
        ("elicited", "Ada"),
        ("sampled", "a short summary"),
        ("file", "written by a client"),
        ("prompt", "Bern"),
        ("again", "still here"),
    ] {
        assert!(saw[what].to_string().contains(words), "{who}: {what}");
    }
    for (what, value) in [
        ("outside", json!(true)),
        ("time", json!("Europe/Zurich")),
        (
            "document",
            json!("everything+demo://resource/static/document/features.md"),
        ),
        (
            "dynamic",
            json!("everything+demo://resource/dynamic/text/7"),
        ),
        ("updates", json!(["memory+memory://knowledge-graph"])),
        ("cancelled", json!("cancelled")),
    ] {
        assert_eq!(saw[what], value, "{who}: {what}");
    }
    // A client may handle an answer before the notifications that came just before it.
    let steps = names("steps").into_iter();
    let steps = steps.map(|step| step.as_f64().expect("a number"));
    let steps = steps.collect::<Vec<_>>();
    let grow = steps.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(steps.len() >= 2 && grow, "{who}: {steps:?}");
}

/// 2025-11-25 and 2026-07-28, all pages: the servers as `switchboard.toml` has them.
#[tokio::test]
async fn the_typescript_sdk_uses_published_servers_behind_one_endpoint() {
    let elsewhere = TempDir::new().expect("a temporary directory can be made");
    let config = ENDPOINT.to_owned() + &as_toml(&servers(elsewhere.path()));
    let gateway = Switchboard::with().config(&config).start().await;

    for mode in ["legacy", "modern"] {
        let saw = saw(node(), "published.mjs", mode, &gateway).await;
        is_everything(&saw, mode);
    }
}

/// The same, with the servers as their users' clients have them.
#[tokio::test]
async fn the_python_sdk_uses_published_servers_of_a_clients_configuration() {
    let elsewhere = TempDir::new().expect("a temporary directory can be made");
    let block = json!({"mcpServers": servers(elsewhere.path())}).to_string();
    let gateway = Switchboard::with().config(ENDPOINT).mcp_json(&block);
    let gateway = gateway.start().await;

    for mode in ["legacy", "modern"] {
        let saw = saw(python("python-v2"), "published.py", mode, &gateway).await;
        is_everything(&saw, mode);
    }
}
